//! What a change of a list means, for the people who sign it.
//!
//! Enters: a step (a delta file, or two documents), references that are withdrawn, the names that people are to look at.
//! Leaves: by kind how many entries change and the first of them, how many come and go on each basis, and the entries
//! that come and that somebody should look at. Memory: the first of each kind, ten octets a change.
//!
//! What counts as what, name by name: an entry that stands in both under its reference is *prolonged* or *shortened* by its
//! expiry, or *reworded*. One that comes where one of the same name and basis with another match goes is *widened* or
//! *narrowed* by that match. What else comes is *added*, what else goes is *removed*. What is withdrawn is neither in force
//! before nor after, and counts for itself. A reference is bound to one name, match and basis for ever.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use super::bonds::{reused, twice};
use super::compile::references;
use super::document::{Document, Group, Item, MAX_PER_NAME, Trust, crowded};
use super::entry::{Entry, Form, Reader, Reference, expires_text};
use super::guard::{Guards, Watch};
use super::key;
use super::lines::Lines;
use super::marks::Summary;
use super::side_by_side::{Step, side_by_side};
use super::steps::no_change;
use super::types::{ListError, Matching};

/// The kinds of change, in the order of [`Review::kinds`].
pub const KINDS: [&str; 8] =
    ["added", "removed", "widened", "narrowed", "prolonged", "shortened", "reworded", "withdrawn"];
const ADDED: usize = 0;
const REMOVED: usize = 1;
const WIDENED: usize = 2;
const NARROWED: usize = 3;
const PROLONGED: usize = 4;
const SHORTENED: usize = 5;
const REWORDED: usize = 6;
const WITHDRAWN: usize = 7;

/// What people are to be told of.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// Entries that come and meet one of these names, with whatever match, are noted.
    pub guards: &'a Guards,
    /// References that are withdrawn.
    pub withdrawn: &'a [String],
    /// How many of each kind are listed.
    pub limit: usize,
}

/// Canonical lines with their line feeds: of one that comes or goes, or before and after.
pub type Pair = (Vec<u8>, Option<Vec<u8>>);

/// One kind of change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kind {
    /// How many there are.
    pub count: u64,
    /// The first of them: in the order of documents, or of references where those stand in both.
    pub first: Vec<Pair>,
    by_reference: BTreeMap<Reference, Pair>,
}

impl Kind {
    fn push(&mut self, limit: usize, make: impl FnOnce() -> Pair) {
        self.count += 1;
        if self.first.len() < limit {
            self.first.push(make());
        }
    }

    fn put(&mut self, limit: usize, reference: Reference, make: impl FnOnce() -> Pair) {
        self.count += 1;
        if self.by_reference.len() == limit {
            if self.by_reference.last_key_value().is_none_or(|(last, _)| *last < reference) {
                return;
            }
            self.by_reference.pop_last();
        }
        self.by_reference.insert(reference, make());
    }
}

/// What a change means.
#[derive(Clone, Debug, Default)]
pub struct Review {
    /// By kind, as in [`KINDS`].
    pub kinds: [Kind; 8],
    /// For each basis: how many entries come, how many go.
    pub by_basis: BTreeMap<String, (u64, u64)>,
    /// Lines that come and meet a name of the guards: those added, then those widened, then those prolonged.
    pub noted: Vec<Vec<u8>>,
    /// References that come, in order and each once, and did not stand at the same name and match before.
    pub(crate) come: Vec<Reference>,
}

/// An entry that comes or goes.
pub(crate) struct Line {
    /// With its line feed.
    pub text: Vec<u8>,
    pub matching: Matching,
    pub reference: Reference,
    /// Octets of its basis and category.
    words: (usize, usize),
}

impl Line {
    pub fn new(text: &[u8], entry: &Entry<'_>) -> Self {
        let words = (entry.basis.len(), entry.category.len());
        Self { text: text.into(), matching: entry.matching, reference: entry.reference, words }
    }

    fn of(group: &Group, item: &Item) -> Self {
        let (basis, category) = group.words(item);
        let words = (basis.len(), category.len());
        Self { text: group.line(item).into(), matching: item.matching, reference: item.reference, words }
    }

    pub fn basis(&self) -> &[u8] {
        super::entry::split_words(&self.text, self.words).0
    }

    fn expires(&self) -> &[u8] {
        expires_text(&self.text, self.words)
    }
}

/// What a delta file of at most `size` octets uncompressed means.
///
/// # Errors
/// The file cannot be read, a line is not canonical or not in its place, or a reference comes twice or stands for another
/// entry.
pub fn review_step(step: (&Path, u64), told: Told<'_>) -> Result<Review, ListError> {
    let mut reviewing = Reviewing::new(told)?;
    let mut steps = Steps::open(step)?;
    let (mut gone, mut come, mut name) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(change) = steps.next.take() {
        if change.key != name {
            reviewing.name(&name, &mut gone, &mut come)?;
            name.clone_from(&change.key);
        }
        let lines = if change.comes { &mut come } else { &mut gone };
        if lines.len() == MAX_PER_NAME {
            return Err(crowded(0, &key::to_name(&name)));
        }
        lines.push(change.line);
        steps.advance()?;
    }
    reviewing.name(&name, &mut gone, &mut come)?;
    reviewing.finish()
}

/// What the new document means after the old one; both were checked, and are of at most `size` octets uncompressed.
///
/// # Errors
/// A file cannot be read, or a reference stands for another entry.
pub fn review_difference(old: &Path, new: &Path, size: u64, told: Told<'_>) -> Result<Review, ListError> {
    let mut reviewing = Reviewing::new(told)?;
    let new = Document::open(new, Form::Named, size, Trust::Checked)?;
    side_by_side(Some(old), new, |step| {
        let lines = |group: &Group, other: Option<&Group>| {
            let same = |item: &Item| other.is_some_and(|o| o.items.iter().any(|i| o.line(i) == group.line(item)));
            group.items.iter().filter(|item| !same(item)).map(|item| Line::of(group, item)).collect::<Vec<_>>()
        };
        let (key, mut gone, mut come) = match step {
            Step::Same(..) => return Ok(()),
            Step::Old(before) => (&before.key, lines(before, None), Vec::new()),
            Step::New(after) => (&after.key, Vec::new(), lines(after, None)),
            Step::Both(before, after) => (&after.key, lines(before, Some(after)), lines(after, Some(before))),
        };
        reviewing.name(key, &mut gone, &mut come)
    })?;
    reviewing.finish()
}

/// What a document holds.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// Lines.
    pub entries: u64,
    /// Octets, uncompressed.
    pub octets: u64,
    /// `sha256:` and 64 digits.
    pub state: String,
    /// How many entries that are in force stand on each basis.
    pub bases: BTreeMap<String, u64>,
    /// All of it as a first version, where that was asked for.
    pub review: Review,
}

/// Check a document of at most `size` octets uncompressed, line by line, and say what it holds; with `told` also what it means
/// as a first version. Its marks go to `marks`.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn check_document(
    path: &Path,
    sealed: bool,
    size: u64,
    bases: &[String],
    withdrawn: &[String],
    told: Option<Told<'_>>,
    marks: Option<&Path>,
) -> Result<Content, ListError> {
    let mut document = Document::open(path, Form::of(sealed), size, Trust::Nothing { bases: Some(bases) })?;
    let withdrawn = references(withdrawn)?;
    let mut reviewing = told.map(Reviewing::new).transpose()?;
    let (mut content, mut counts, mut group) = (Content::default(), Counts::default(), Group::default());
    while document.next(&mut group)? {
        for item in &group.items {
            if withdrawn.is_empty() || !withdrawn.contains(&item.reference) {
                counts.add(group.words(item).0);
            }
        }
        if let Some(reviewing) = &mut reviewing {
            reviewing.first(&group);
        }
    }
    if let Some(found) = document.finish()? {
        Summary { entries: content.entries, size: content.octets, state: content.state } = found.summary();
        if let Some(path) = marks {
            found.write(path);
        }
    }
    content.bases = counts.finish();
    content.review = reviewing.map(Reviewing::finish).transpose()?.unwrap_or_default();
    Ok(content)
}

/// How many of each: neighbours mostly say the same.
#[derive(Default)]
pub(crate) struct Counts {
    last: Vec<u8>,
    count: u64,
    all: BTreeMap<String, u64>,
}

impl Counts {
    pub fn add(&mut self, basis: &[u8]) {
        if self.last != basis {
            self.settle();
            self.last.clear();
            self.last.extend_from_slice(basis);
        }
        self.count += 1;
    }

    pub fn finish(mut self) -> BTreeMap<String, u64> {
        self.settle();
        self.all
    }

    fn settle(&mut self) {
        if self.count > 0 {
            *self.all.entry(String::from_utf8_lossy(&self.last).into_owned()).or_default() += self.count;
            self.count = 0;
        }
    }
}

/// A change from a delta file, with its name's key.
pub(crate) struct Change {
    pub comes: bool,
    pub key: Vec<u8>,
    pub line: Line,
}

impl Change {
    /// What changes are in order by.
    fn place(&self) -> (&[u8], Matching, Reference, bool) {
        (&self.key, self.line.matching, self.line.reference, self.comes)
    }
}

/// The changes of a delta file, each valid and in its place.
pub(crate) struct Steps {
    pub next: Option<Change>,
    lines: Lines,
    reader: Reader,
    last: Option<(Vec<u8>, Matching, Reference, bool)>,
}

impl Steps {
    pub fn open((path, size): (&Path, u64)) -> Result<Self, ListError> {
        let lines = Lines::open(path, size, false)?;
        let mut steps = Self { next: None, lines, reader: Reader::of(Form::Named), last: None };
        steps.advance()?;
        Ok(steps)
    }

    /// Go on to the next change.
    pub fn advance(&mut self) -> Result<(), ListError> {
        self.next = None;
        let Some((number, line)) = self.lines.next()? else { return Ok(()) };
        let (sign, line) = line.split_first().unwrap_or((&0, b""));
        let comes = match sign {
            b'+' => true,
            b'-' => false,
            _ => return Err(no_change(number)),
        };
        let entry = self.reader.read(line).map_err(|(kind, reason)| ListError::at(number, kind, reason))?;
        let mut key = Vec::with_capacity(entry.name.len());
        key::from_name(entry.name, &mut key);
        let mut own = Line::new(line, &entry);
        own.text.push(b'\n');
        let change = Change { comes, key, line: own };
        if let Some((key, matching, reference, came)) = &self.last
            && (key.as_slice(), *matching, *reference, *came) >= change.place()
        {
            let name = key::to_name(&change.key);
            return Err(ListError::at(number, "order", format!("{name} does not belong after the line before it")));
        }
        self.last = Some((change.key.clone(), change.line.matching, change.line.reference, comes));
        self.next = Some(change);
        Ok(())
    }
}

struct Reviewing<'a> {
    told: Told<'a>,
    watch: Watch<'a>,
    withdrawn: HashSet<Reference>,
    review: Review,
    gone: Vec<Reference>,
    /// What goes and comes again, at its own name.
    kept: Vec<Reference>,
    come: Counts,
    go: Counts,
    noted: Noted,
}

/// Lines that people are to look at.
#[derive(Default)]
struct Noted {
    added: Vec<Vec<u8>>,
    widened: Vec<Vec<u8>>,
    prolonged: BTreeMap<Reference, Vec<u8>>,
}

impl<'a> Reviewing<'a> {
    fn new(told: Told<'a>) -> Result<Self, ListError> {
        Ok(Self {
            told,
            watch: Watch::new(told.guards),
            withdrawn: references(told.withdrawn)?,
            review: Review::default(),
            gone: Vec::new(),
            kept: Vec::new(),
            come: Counts::default(),
            go: Counts::default(),
            noted: Noted::default(),
        })
    }

    /// A name of a first version: nothing was withdrawn before.
    fn first(&mut self, group: &Group) {
        let noted = self.watch.meets(&group.key);
        for item in &group.items {
            let line = group.line(item);
            self.review.kinds[ADDED].push(self.told.limit, || (line.into(), None));
            self.come.add(group.words(item).0);
            if noted {
                self.noted.added.push(line.into());
            }
        }
    }

    /// What goes and comes under one name: of both at most [`MAX_PER_NAME`].
    fn name(&mut self, key: &[u8], gone: &mut Vec<Line>, come: &mut Vec<Line>) -> Result<(), ListError> {
        let limit = self.told.limit;
        let noted = !come.is_empty() && self.watch.meets(key);
        let kinds = &mut self.review.kinds;
        // what stands in both
        let mut fresh = Vec::new();
        for new in come.drain(..) {
            let Some(at) = gone.iter().position(|old| old.reference == new.reference) else {
                self.review.come.push(new.reference);
                fresh.push(new);
                continue;
            };
            let old = gone.remove(at);
            if old.matching != new.matching || old.basis() != new.basis() {
                return Err(reused(&old.reference));
            }
            self.kept.push(old.reference);
            if self.withdrawn.contains(&new.reference) {
                kinds[WITHDRAWN].put(limit, new.reference, || (new.text, None));
                continue;
            }
            let kind = match new.expires().cmp(old.expires()) {
                std::cmp::Ordering::Greater => PROLONGED,
                std::cmp::Ordering::Less => SHORTENED,
                std::cmp::Ordering::Equal => REWORDED,
            };
            if kind == PROLONGED && noted {
                self.noted.prolonged.insert(new.reference, new.text.clone());
            }
            kinds[kind].put(limit, new.reference, || (old.text, Some(new.text)));
        }
        self.gone.extend(gone.iter().map(|old| old.reference));
        // what is withdrawn
        for lines in [&mut *gone, &mut fresh] {
            for line in lines.extract_if(.., |line| self.withdrawn.contains(&line.reference)) {
                kinds[WITHDRAWN].put(limit, line.reference, || (line.text, None));
            }
        }
        // what takes the place of another on the same basis: of several the last
        let mut last: Vec<usize> = (0..gone.len())
            .filter(|&at| gone[at + 1..].iter().all(|other| other.basis() != gone[at].basis()))
            .collect();
        let mut replaced = vec![false; gone.len()];
        for new in fresh {
            let at = last.iter().position(|&at| gone[at].basis() == new.basis());
            let Some(at) = at.filter(|&at| gone[last[at]].matching != new.matching) else {
                self.come.add(new.basis());
                if noted {
                    self.noted.added.push(new.text.clone());
                }
                kinds[ADDED].push(limit, || (new.text, None));
                continue;
            };
            let at = last.swap_remove(at);
            replaced[at] = true;
            let old = &gone[at];
            if widens(old.matching, new.matching) {
                self.come.add(new.basis());
                if noted {
                    self.noted.widened.push(new.text.clone());
                }
                kinds[WIDENED].push(limit, || (old.text.clone(), Some(new.text)));
            } else {
                self.go.add(new.basis());
                kinds[NARROWED].push(limit, || (old.text.clone(), Some(new.text)));
            }
        }
        for (old, replaced) in gone.drain(..).zip(replaced) {
            if !replaced {
                self.go.add(old.basis());
                kinds[REMOVED].push(limit, || (old.text, None));
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Review, ListError> {
        let review = &mut self.review;
        for references in [&mut self.gone, &mut self.kept, &mut review.come] {
            references.sort_unstable();
        }
        let stood = |one: &&Reference| [&self.gone, &self.kept].iter().any(|before| before.binary_search(one).is_ok());
        if let Some(other) = review.come.iter().find(stood) {
            return Err(reused(other));
        }
        if let Some(both) = self.kept.windows(2).chain(review.come.windows(2)).find(|pair| pair[0] == pair[1]) {
            return Err(twice(&both[0]));
        }
        for kind in &mut review.kinds {
            kind.first.extend(std::mem::take(&mut kind.by_reference).into_values());
        }
        for (basis, count) in self.come.finish() {
            review.by_basis.entry(basis).or_default().0 += count;
        }
        for (basis, count) in self.go.finish() {
            review.by_basis.entry(basis).or_default().1 += count;
        }
        let Noted { added, widened, prolonged } = self.noted;
        review.noted = added.into_iter().chain(widened).chain(prolonged.into_values()).collect();
        Ok(self.review)
    }
}

/// Is an entry of the kind `new` in the place of one of the kind `old` the wider one?
fn widens(old: Matching, new: Matching) -> bool {
    use Matching::{Below, Exact, Subtree};
    matches!((old, new), (Exact | Below, Subtree) | (Exact, Below) | (Below, Exact))
}
