//! The lists as the rules of a response policy zone, for resolvers that know nothing of lists, order and exceptions.
//!
//! Enters: a compiled list, which of its lists count, the operator's exceptions, the time. Leaves: a file of lines
//! `NAME SB`, in the order of keys: what holds for the name itself (S) and for all below it (B). Also, what changed
//! between two such files.
//!
//! A consumer knows two kinds of owner, `NAME` and `*.NAME`, and takes the nearest. Some look for a wildcard at every
//! ancestor, others only at the closest name that exists in the zone (RFC 4592, 3.3.1), where a name between two owners
//! exists too. Both must come to our verdict, so:
//!
//! - a name of which the zone would say what holds above it anyway is left out;
//! - whatever is written below a wildcard says both, S and B, and so does every name between the two.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use super::key;
use super::output::{Output, unwritable};
use super::types::{Action, ListError, Matching, Rule, Standing};

/// Nothing is said.
const SILENT: u8 = b'-';
/// What is above is stopped, this passes.
const PASSTHRU: u8 = b'p';

/// Under which terms the rules are made.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Bit `n`: list `n` counts.
    pub lists: u64,
    /// The operator's exceptions: name in presentation form, kind, first second at which it no longer holds.
    pub exceptions: &'a [(String, Matching, u32)],
    /// Unix time.
    pub now: u32,
    /// Octets of the longest name, wildcard label included, that fits before the zone's own name.
    pub room: usize,
    /// How many of the names that cannot be said are reported.
    pub limit: usize,
}

/// What was written.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    /// Lines.
    pub names: u64,
    /// Owners: a line has one or two.
    pub owners: u64,
    /// First second at which the rules are others if nothing else changes; 0: never.
    pub next: u32,
    /// Owners that the zone cannot hold.
    pub unsayable: u64,
    /// The first of them.
    pub told: Vec<String>,
}

/// The line of one name in one file and in the other; empty where it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyChange {
    /// The name.
    pub name: String,
    /// What the old file says of it.
    pub old: String,
    /// What the new file says of it.
    pub new: String,
}

/// An entry that stops, as the verdict compares them.
#[derive(Clone, Copy)]
struct Stop {
    list: u8,
    action: Action,
}

impl Stop {
    const fn letter(self) -> u8 {
        match self.action {
            Action::StopPage => b's',
            Action::Nxdomain => b'x',
            Action::Nodata => b'n',
            Action::Refused => b'r',
            Action::Monitor => SILENT,
        }
    }
}

/// A name above the one that is looked at.
struct Above {
    /// Octets of its key.
    length: usize,
    /// The entry that stops what is below it, exceptions aside.
    below: Option<Stop>,
    /// An operator's exception covers what is below it.
    excused: bool,
    /// It stands in the zone.
    written: bool,
}

impl Above {
    fn letter(&self) -> u8 {
        if self.excused { SILENT } else { self.below.map_or(SILENT, Stop::letter) }
    }
}

/// The walk over all names in order.
pub(super) struct Walk<'a> {
    terms: Terms<'a>,
    output: BufWriter<Output>,
    place: &'a Path,
    /// Exceptions that hold, by key; the last comes first.
    exceptions: Vec<(Vec<u8>, Matching, u32)>,
    /// Listed names above the last key, and names between them that are written.
    above: Vec<Above>,
    last: Vec<u8>,
    done: Policies,
}

impl<'a> Walk<'a> {
    pub fn create(place: &'a Path, terms: Terms<'a>) -> Result<Self, ListError> {
        let mut exceptions = Vec::new();
        for (name, matching, until) in terms.exceptions {
            if *until > terms.now {
                let mut key = Vec::with_capacity(name.len());
                key::from_name(name.as_bytes(), &mut key);
                exceptions.push((key, *matching, *until));
            }
        }
        exceptions.sort_by(|one, other| other.0.cmp(&one.0));
        let output = BufWriter::with_capacity(1 << 16, Output::create(place)?);
        Ok(Self { terms, output, place, exceptions, above: Vec::new(), last: Vec::new(), done: Policies::default() })
    }

    /// The next listed name.
    pub fn row(&mut self, key: &[u8], rules: &[Rule]) -> Result<(), ListError> {
        while self.exceptions.last().is_some_and(|(passed, ..)| passed.as_slice() < key) {
            let passed = self.exceptions.last().map(|(passed, ..)| passed.clone()).unwrap_or_default();
            self.name(&passed, &[])?;
        }
        self.name(key, rules)
    }

    /// After the last name: the file is made durable and put in its place.
    pub fn finish(mut self) -> Result<Policies, ListError> {
        while let Some((passed, ..)) = self.exceptions.last() {
            let passed = passed.clone();
            self.name(&passed, &[])?;
        }
        let place = self.place;
        let output = self.output.into_inner().map_err(|error| unwritable(place, error.error()))?;
        output.commit()?;
        Ok(self.done)
    }

    /// A name that is listed or excepted, or both.
    fn name(&mut self, key: &[u8], rules: &[Rule]) -> Result<(), ListError> {
        let last = &self.last;
        let left = |above: &mut Above| {
            above.length >= key.len()
                || key[above.length] != key::SEPARATOR
                || key[..above.length] != last[..above.length]
        };
        while self.above.pop_if(left).is_some() {}
        self.last.clear();
        self.last.extend_from_slice(key);

        let (inherited, excused, letter) =
            self.above.last().map_or((None, false, SILENT), |above| (above.below, above.excused, above.letter()));
        let itself = self.nearest(rules, 0, inherited);
        let below = self.nearest(rules, 1, inherited);
        let (mut itself_excused, mut below_excused) = (excused, excused);
        while let Some((_, matching, until)) = self.exceptions.pop_if(|(passed, ..)| passed == key) {
            itself_excused |= matching.covers(0);
            below_excused |= matching.covers(1);
            if until != u32::MAX {
                self.ends(until);
            }
        }
        let mut now = Above { length: key.len(), below, excused: below_excused, written: false };
        let said = if itself_excused { SILENT } else { itself.map_or(SILENT, Stop::letter) };
        if (said, now.letter()) != (letter, letter) {
            if letter != SILENT {
                self.bridge(key, letter)?;
            }
            now.written = true;
            let or_pass = |said: u8| if said == SILENT && letter != SILENT { PASSTHRU } else { said };
            self.write(key, or_pass(said), or_pass(now.letter()))?;
        }
        self.above.push(now);
        Ok(())
    }

    /// The entry that stops a name `distance` below this row's: the list that stands first decides, then the nearest.
    fn nearest(&mut self, rules: &[Rule], distance: u8, inherited: Option<Stop>) -> Option<Stop> {
        let mut own: Option<Stop> = None;
        for rule in rules {
            if rule.standing(distance, self.terms.lists, 0, self.terms.now) == Standing::Stops {
                self.ends(rule.expires);
                if rule.comes_before(own.map(|found| found.list)) {
                    own = Some(Stop { list: rule.list, action: rule.action });
                }
            }
        }
        match (own, inherited) {
            (Some(own), Some(inherited)) if inherited.list < own.list => Some(inherited),
            (own, inherited) => own.or(inherited),
        }
    }

    fn ends(&mut self, at: u32) {
        if self.done.next == 0 || at < self.done.next {
            self.done.next = at;
        }
    }

    /// Says of every name between the nearest written one above and this what holds there anyway.
    fn bridge(&mut self, key: &[u8], letter: u8) -> Result<(), ListError> {
        let from = self.above.iter().rposition(|above| above.written).map_or(0, |at| at + 1);
        let start = from.checked_sub(1).map_or(0, |at| self.above[at].length + 1);
        let mut at = from;
        for end in (start..key.len()).filter(|&end| key[end] == key::SEPARATOR) {
            if self.above.get(at).is_none_or(|above| above.length != end) {
                let Some(Above { below, excused, .. }) = at.checked_sub(1).and_then(|at| self.above.get(at)) else {
                    continue;
                };
                let between = Above { length: end, below: *below, excused: *excused, written: false };
                self.above.insert(at, between);
            }
            self.above[at].written = true;
            self.write(&key[..end], letter, letter)?;
            at += 1;
        }
        Ok(())
    }

    fn write(&mut self, key: &[u8], itself: u8, below: u8) -> Result<(), ListError> {
        // `rpz-ip` and its like, as a last label, mean something else than a name
        let reserved = key.starts_with(b"rpz-");
        let fits = |octets: usize| !reserved && octets <= self.terms.room;
        let (itself_fits, below_fits) = (fits(key.len()), fits(key.len() + 2));
        let mut name = Vec::with_capacity(key.len() + 4);
        key::reverse(key, key::SEPARATOR, b'.', &mut name);
        let mut letters = [itself, below];
        for (letter, fits, star) in [(0, itself_fits, ""), (1, below_fits, "*.")] {
            if letters[letter] == SILENT {
                continue;
            }
            if fits {
                self.done.owners += 1;
            } else {
                letters[letter] = SILENT;
                self.done.unsayable += 1;
                if self.done.told.len() < self.terms.limit {
                    self.done.told.push(format!("{star}{}", String::from_utf8_lossy(&name)));
                }
            }
        }
        if letters == [SILENT; 2] {
            return Ok(());
        }
        name.push(b' ');
        name.extend_from_slice(&letters);
        name.push(b'\n');
        self.done.names += 1;
        self.output.write_all(&name).map_err(|error| unwritable(self.place, &error))
    }
}

/// What changed between two files of rules, in order; `None` where more than `limit` names did.
///
/// # Errors
/// A file cannot be read, or is not one that [`super::CompiledList::write_policies`] wrote.
pub fn policy_changes(old: &Path, new: &Path, limit: usize) -> Result<Option<Vec<PolicyChange>>, ListError> {
    let (mut old, mut new) = (Lines::open(old)?, Lines::open(new)?);
    let mut changes = Vec::new();
    loop {
        let order = match (old.line.is_empty(), new.line.is_empty()) {
            (true, true) => return Ok(Some(changes)),
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            _ if old.line == new.line => {
                old.advance()?;
                new.advance()?;
                continue;
            }
            _ => old.key()?.cmp(&new.key()?),
        };
        if changes.len() == limit {
            return Ok(None);
        }
        let said = |lines: &Lines| Ok::<_, ListError>(lines.parts()?.1.to_owned());
        let change = match order {
            Ordering::Less => PolicyChange { name: old.parts()?.0.into(), old: said(&old)?, new: String::new() },
            Ordering::Greater => PolicyChange { name: new.parts()?.0.into(), old: String::new(), new: said(&new)? },
            Ordering::Equal => PolicyChange { name: new.parts()?.0.into(), old: said(&old)?, new: said(&new)? },
        };
        changes.push(change);
        if order != Ordering::Greater {
            old.advance()?;
        }
        if order != Ordering::Less {
            new.advance()?;
        }
    }
}

/// A file of rules, line by line.
struct Lines<'p> {
    file: BufReader<File>,
    path: &'p Path,
    line: Vec<u8>,
}

impl<'p> Lines<'p> {
    fn open(path: &'p Path) -> Result<Self, ListError> {
        let file = File::open(path).map_err(|error| ListError::of_file("unreadable", path, &error))?;
        let mut lines = Self { file: BufReader::with_capacity(1 << 16, file), path, line: Vec::new() };
        lines.advance()?;
        Ok(lines)
    }

    /// The next line; empty at the end.
    fn advance(&mut self) -> Result<(), ListError> {
        self.line.clear();
        self.file
            .read_until(b'\n', &mut self.line)
            .map_err(|error| ListError::of_file("unreadable", self.path, &error))?;
        Ok(())
    }

    fn parts(&self) -> Result<(&str, &str), ListError> {
        let line = std::str::from_utf8(&self.line).ok().and_then(|line| line.strip_suffix('\n'));
        let parts = line.and_then(|line| line.split_once(' ')).filter(|(_, said)| said.len() == 2);
        parts.ok_or_else(|| ListError::new("malformed", format!("{} is not a file of rules", self.path.display())))
    }

    fn key(&self) -> Result<Vec<u8>, ListError> {
        let mut key = Vec::with_capacity(self.line.len());
        key::from_name(self.parts()?.0.as_bytes(), &mut key);
        Ok(key)
    }
}
