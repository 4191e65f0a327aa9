//! Where a step leads from a document that was signed: the state of the lines to come, without writing them.
//!
//! Enters: the old document, checked and signed when it came, its [`Marks`] where this machine has some, and a delta file.
//! Leaves: count, size and state hash of what they come to; or the first thing that is wrong with it. Memory: a few
//! chunks, ten octets a change.
//!
//! Rules: a line that goes stands in the old document, letter by letter; one that comes is valid, in its place, on a basis
//! of the head, its reference stands nowhere else, and its name does not have too many. Lines that stay were checked when
//! they came: of them place and name are looked at where a change falls among them, the basis where the head lacks one, and no
//! more. That they are the signed ones, the state hash says: of what comes before the first change the marks know it.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::beside::beside;
use super::bonds::twice;
use super::change::{Sign, last_reference};
use super::compile::references;
use super::crowd::Crowd;
use super::entry::{Form, Reader, Reference, decode_reference, encode_reference};
use super::few::Few;
use super::find::first_place;
use super::frames::Frames;
use super::key;
use super::lines::{Lines, lines_of, whole_lines};
use super::marks::{Mark, Marks, count, state_of};
use super::review::{Change, Counts, Review, Steps};
use super::steps::missing;
use super::types::{ListError, Matching};

/// What a document must hold to be followed by the step.
#[derive(Clone, Copy, Debug)]
pub struct Following<'a> {
    /// Octets that the new document may have, uncompressed.
    pub size: u64,
    /// Keys of the bases that its entries may name.
    pub bases: &'a [String],
    /// References that are withdrawn.
    pub withdrawn: &'a [String],
    /// Look at the basis of every line, and count by it what is in force.
    pub counted: bool,
    /// The marks of the old document, if this machine has them.
    pub marks: Option<&'a Path>,
    /// They were compared with its file since it was last written.
    pub compared: bool,
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// Lines.
    pub entries: u64,
    /// Octets, uncompressed.
    pub octets: u64,
    /// `sha256:` and 64 digits.
    pub state: String,
    /// How many entries that are in force stand on each basis, where that was asked for.
    pub bases: BTreeMap<String, u64>,
}

/// Where the step leads from the old document (its file, octets uncompressed); `review` is what the step means.
///
/// # Errors
/// The first thing that is wrong with the step, or with a file.
pub fn follow(
    old: (&Path, u64),
    step: (&Path, u64),
    review: &Review,
    asked: Following<'_>,
) -> Result<Followed, ListError> {
    let fresh =
        Fresh { few: Few::of(review.come.iter().map(encode_reference)), all: review.come.iter().copied().collect() };
    let marks = if asked.counted { None } else { asked.marks };
    Marks::with(old.0, marks, asked.compared, |marks| follow_from(&begin(old, step, marks)?, old, step, &fresh, asked))
        .unwrap_or_else(|| follow_from(&Mark::default(), old, step, &fresh, asked))
}

/// Where the step leads, as `follow` says it; no change falls before the mark `begin`.
fn follow_from(
    begin: &Mark,
    old: (&Path, u64),
    step: (&Path, u64),
    fresh: &Fresh,
    asked: Following<'_>,
) -> Result<Followed, ListError> {
    let new = New {
        asked,
        bases: asked.bases.iter().map(String::as_bytes).collect(),
        withdrawn: references(asked.withdrawn)?,
        fresh,
        reader: Reader::of(Form::Named),
        buffer: Vec::with_capacity(BUFFER + 4096),
        hash: begin.hash.clone(),
        entries: begin.entries,
        octets: begin.size,
        counts: Counts::default(),
        crowd: Crowd::default(),
    };
    let after = || Lines::after(old.0, begin, old.1).and_then(|lines| new.after(lines, Steps::open(step)?));
    if begin.size == 0 || fresh.all.is_empty() {
        return after();
    }
    let (after, before) = beside("look", || fresh.stand_before(old.0, begin), after);
    before??;
    after
}

/// The last mark of the old document before the name in which the first change falls.
fn begin(old: (&Path, u64), step: (&Path, u64), marks: &Marks) -> Result<Mark, ListError> {
    let all = &marks.all;
    if marks.summary().size > old.1 {
        return Ok(Mark::default()); // more octets than were announced, as the lines will say
    }
    let Some(next) = Steps::open(step)?.next else { return Ok(all.last().cloned().unwrap_or_default()) };
    let mut frames = Frames::open(old.0, old.1)?;
    let (mut beginning, mut first) = (Vec::new(), Vec::new());
    // behind the last mark no line stands
    let (mut from, mut to) = (0, all.len().saturating_sub(1));
    while from < to {
        let middle = usize::midpoint(from, to);
        if !first_place(&mut frames, all[middle].file, &mut beginning, &mut first)? {
            return Ok(Mark::default());
        }
        // of the name itself every place comes after its key
        if first < next.key {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    Ok(if from == 0 { Mark::default() } else { all[from - 1].clone() })
}

/// References that come.
struct Fresh {
    all: HashSet<Reference>,
    /// The same, where they are few.
    few: Option<Few>,
}

impl Fresh {
    /// None of them stands in these lines.
    fn stand_in(&self, text: &[u8], reader: &mut Reader) -> Result<(), ListError> {
        if self.few.as_ref().is_some_and(|few| !few.stands_in(text)) {
            return Ok(());
        }
        for line in lines_of(text) {
            let reference = match last_reference(line).and_then(decode_reference) {
                Some(reference) => reference,
                None => reader.read(line).map_err(|(kind, reason)| ListError::new(kind, reason))?.reference,
            };
            self.meets(&reference)?;
        }
        Ok(())
    }

    /// None of them stands before a mark of the document.
    fn stand_before(&self, document: &Path, mark: &Mark) -> Result<(), ListError> {
        let (mut lines, mut reader) = (Lines::before(document, mark)?, Reader::of(Form::Named));
        while let Some((_, line)) = lines.next()? {
            self.stand_in(&[line, b"\n"].concat(), &mut reader)?;
            let whole = whole_lines(lines.at_hand());
            self.stand_in(whole, &mut reader)?;
            let (octets, passed) = (whole.len(), count(whole));
            lines.pass(octets, passed);
        }
        Ok(())
    }

    fn meets(&self, reference: &Reference) -> Result<(), ListError> {
        if self.all.contains(reference) { Err(twice(reference)) } else { Ok(()) }
    }
}

/// Octets that are hashed at a time.
const BUFFER: usize = 1 << 16;

type Place<'p> = (&'p [u8], Matching, Reference);

fn place(change: &Change) -> Place<'_> {
    (&change.key, change.line.matching, change.line.reference)
}

/// Takes the changes up to the line `text`, which stands at `here`; whether it goes.
fn meets(steps: &mut Steps, new: &mut New<'_>, here: Place<'_>, text: &[u8]) -> Result<bool, ListError> {
    let mut goes = false;
    while let Some(change) = &steps.next
        && place(change) <= here
    {
        let at = place(change) == here;
        if !change.comes {
            if !at || change.line.text != text {
                return Err(missing());
            }
            new.crowd.changes(&change.key, Sign::Removed)?;
            goes = true;
        } else if at && !goes {
            let name = key::to_name(here.0);
            return Err(ListError::new("order", format!("{name} comes where a line with its reference stands")));
        } else {
            new.comes(change)?;
        }
        steps.advance()?;
    }
    Ok(goes)
}

/// Whether all of these whole lines stand before the name of the next change. A last line that is none is left to be read by
/// itself.
fn is_before(whole: &[u8], next: Option<&Change>, reader: &mut Reader, name: &mut Vec<u8>) -> bool {
    let Some(next) = next else { return true };
    let start = whole_lines(&whole[..whole.len() - 1]).len();
    let Ok(entry) = reader.read(&whole[start..whole.len() - 1]) else { return false };
    name.clear();
    key::from_name(entry.name, name);
    *name < next.key
}

/// The new document, as far as it has come.
struct New<'a> {
    asked: Following<'a>,
    bases: HashSet<&'a [u8]>,
    withdrawn: HashSet<Reference>,
    fresh: &'a Fresh,
    reader: Reader,
    buffer: Vec<u8>,
    hash: Sha256,
    entries: u64,
    octets: u64,
    counts: Counts,
    crowd: Crowd,
}

impl New<'_> {
    /// Takes the lines to come, and the changes.
    fn after(mut self, mut lines: Lines, mut steps: Steps) -> Result<Followed, ListError> {
        let (mut reader, mut name, mut text) = (Reader::of(Form::Named), Vec::new(), Vec::new());
        while let Some((number, line)) = lines.next()? {
            let unread = |(kind, reason)| ListError::at(number, kind, reason);
            text.clear();
            text.extend_from_slice(line);
            text.push(b'\n');
            if steps.next.is_some() || self.crowd.is_changed() {
                let entry = reader.read(line).map_err(unread)?;
                name.clear();
                key::from_name(entry.name, &mut name);
                let place = (name.as_slice(), entry.matching, entry.reference);
                if !meets(&mut steps, &mut self, place, &text)? {
                    self.crowd.stays(&name)?;
                    self.stays(&text)?;
                }
            } else {
                self.stays(&text)?;
            }
            // from another name up to that of the next change all lines stay
            while !self.crowd.is_changed() {
                let whole = whole_lines(lines.at_hand());
                if whole.is_empty() || !is_before(whole, steps.next.as_ref(), &mut reader, &mut name) {
                    break;
                }
                self.stay(whole)?;
                let (octets, passed) = (whole.len(), count(whole));
                lines.pass(octets, passed);
            }
        }
        while let Some(change) = &steps.next {
            if !change.comes {
                return Err(missing());
            }
            self.comes(change)?;
            steps.advance()?;
        }
        self.finish()
    }

    fn comes(&mut self, change: &Change) -> Result<(), ListError> {
        self.crowd.changes(&change.key, Sign::Added)?;
        let basis = change.line.basis();
        if !self.bases.contains(basis) {
            let basis = String::from_utf8_lossy(basis).into_owned();
            let name = key::to_name(&change.key);
            return Err(ListError::new(
                "no-basis",
                format!("{name} stands on {basis}, a basis that the head does not know"),
            ));
        }
        if self.asked.counted && !self.withdrawn.contains(&change.line.reference) {
            self.counts.add(basis);
        }
        self.push(&change.line.text)
    }

    /// A line stays.
    fn stays(&mut self, text: &[u8]) -> Result<(), ListError> {
        self.look(text)?;
        self.push(text)
    }

    /// Whole lines stay.
    fn stay(&mut self, text: &[u8]) -> Result<(), ListError> {
        self.look(text)?;
        self.settle();
        self.entries += count(text);
        self.grow(text.len())?;
        self.hash.update(text);
        Ok(())
    }

    /// Looks at lines that stay, as far as it must.
    fn look(&mut self, text: &[u8]) -> Result<(), ListError> {
        if !self.asked.counted {
            return self.fresh.stand_in(text, &mut self.reader);
        }
        for line in lines_of(text) {
            let entry = self.reader.read(line).map_err(|(kind, reason)| ListError::new(kind, reason))?;
            if !self.bases.contains(entry.basis) {
                let name = String::from_utf8_lossy(entry.name).into_owned();
                let reason = format!("{name} stands on a basis that the head does not know");
                return Err(ListError::new("no-basis", reason));
            }
            if !self.withdrawn.contains(&entry.reference) {
                self.counts.add(entry.basis);
            }
            self.fresh.meets(&entry.reference)?;
        }
        Ok(())
    }

    fn push(&mut self, text: &[u8]) -> Result<(), ListError> {
        self.entries += 1;
        self.grow(text.len())?;
        self.buffer.extend_from_slice(text);
        if self.buffer.len() >= BUFFER {
            self.settle();
        }
        Ok(())
    }

    fn grow(&mut self, octets: usize) -> Result<(), ListError> {
        self.octets += octets as u64;
        if self.octets > self.asked.size {
            return Err(ListError::new("too-large", "the step leads to more than was announced"));
        }
        Ok(())
    }

    fn settle(&mut self) {
        self.hash.update(&self.buffer);
        self.buffer.clear();
    }

    fn finish(mut self) -> Result<Followed, ListError> {
        self.settle();
        let state = state_of(self.hash);
        Ok(Followed { entries: self.entries, octets: self.octets, state, bases: self.counts.finish() })
    }
}
