//! A document read line by line: bounded, in order, each line canonical, the state hash in the same pass.
//!
//! Enters: a file of zstd-compressed canonical lines, and the size that was announced for it. Leaves: its entries, name
//! by name ([`Group`]); at the end the state hash. Memory: a read buffer, the decompressor's window, one name's entries.
//!
//! Rules: not a byte is decompressed beyond the announced size; lines strictly increase by (labels from the right,
//! match, reference); a reference stands once in a document; a name has at most [`MAX_PER_NAME`] entries in it, so that
//! no query ever meets more rules than that a list.

use std::borrow::Cow;
use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::Path;

use super::entry::{Entry, Form, Reader, Reference, encode_reference, split_words};
use super::key;
use super::lines::{Lines, lines_of};
use super::marks::Marks;
use super::types::{ListError, Matching};
use crate::narrow::to_u8;

/// Entries that one document may hold for one name: three kinds of match, a few bases each.
pub const MAX_PER_NAME: usize = 16;

/// A name, and the line at which it has one entry too many; 0 where that is none of a document's.
pub(crate) fn crowded(line: u64, name: &str) -> ListError {
    ListError::at(line, "crowded", format!("{name} has more than {MAX_PER_NAME} entries"))
}

/// All entries of one name, as they stand in one document.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// The name's key.
    pub key: Vec<u8>,
    /// The canonical lines, each with its line feed.
    pub text: Vec<u8>,
    pub items: Vec<Item>,
}

/// One entry of a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    start: usize,
    end: usize,
    pub matching: Matching,
    pub reference: Reference,
    pub expires: u32,
    pub issued: u32,
    /// Octets of the basis and the category, which stand first in the line.
    words: (u8, u8),
}

impl Group {
    /// The line of an entry, with its line feed.
    pub fn line(&self, item: &Item) -> &[u8] {
        &self.text[item.start..item.end]
    }

    /// The basis and the category of an entry.
    pub fn words(&self, item: &Item) -> (&[u8], &[u8]) {
        split_words(self.line(item), (item.words.0.into(), item.words.1.into()))
    }

    /// The last second at which an entry of this name that is in force and covers `matching` still holds.
    pub fn holds_until(&self, matching: Matching, withdrawn: &HashSet<Reference>) -> Option<u32> {
        let in_force = self.items.iter().filter(|item| !withdrawn.contains(&item.reference));
        let covering = in_force.filter(|item| item.matching == matching || item.matching == Matching::Subtree);
        covering.map(|item| item.expires).max()
    }

    fn clear(&mut self) {
        self.key.clear();
        self.text.clear();
        self.items.clear();
    }

    fn push(&mut self, line: &[u8], entry: &Entry<'_>) {
        let start = self.text.len();
        self.text.extend_from_slice(line);
        self.text.push(b'\n');
        self.items.push(Item {
            start,
            end: self.text.len(),
            matching: entry.matching,
            reference: entry.reference,
            expires: entry.expires,
            issued: entry.issued,
            words: (to_u8(entry.basis.len()), to_u8(entry.category.len())),
        });
    }
}

/// A document while it is read.
pub(crate) struct Document<'a> {
    lines: Lines,
    checks: Checks<'a>,
    /// The first entry of the name after the current one.
    ahead: Group,
    /// Key of the line that `ahead` was filled from, while reading.
    scratch: Vec<u8>,
    ended: bool,
}

/// How much of what a document promises is checked again.
#[derive(Clone, Copy)]
pub(crate) enum Trust<'a> {
    /// Everything: hash, references, bases (`None`: any basis).
    Nothing { bases: Option<&'a [String]> },
    /// Form, order and bases; it was checked when it arrived, and kept by the provider.
    Compiling { bases: Option<&'a [String]> },
    /// Form and order alone.
    Checked,
}

impl<'a> Document<'a> {
    /// Open a document of this form that holds at most `size` octets uncompressed. The key of a group of a sealed one is
    /// its digest, as 32 digits.
    pub fn open(path: &Path, form: Form, size: u64, trust: Trust<'a>) -> Result<Self, ListError> {
        let (hashed, bases) = match trust {
            Trust::Nothing { bases } => (true, bases),
            Trust::Compiling { bases } => (false, bases),
            Trust::Checked => (false, None),
        };
        let mut document = Self {
            lines: Lines::open(path, size, hashed)?,
            checks: Checks::new(form, bases, hashed),
            ahead: Group::default(),
            scratch: Vec::new(),
            ended: false,
        };
        document.read_ahead()?;
        Ok(document)
    }

    /// Move the next name's entries into `group`; false after the last. The caller's buffers are used again.
    pub fn next(&mut self, group: &mut Group) -> Result<bool, ListError> {
        if self.ended {
            group.clear();
            return Ok(false);
        }
        std::mem::swap(group, &mut self.ahead);
        self.ahead.clear();
        loop {
            let Some((number, line)) = self.lines.next()? else {
                self.ended = true;
                return Ok(true);
            };
            let entry = self.checks.read(line, number)?;
            self.scratch.clear();
            key::from_name(entry.name, &mut self.scratch);
            let last = group.items.last();
            let names = group.key.as_slice().cmp(&self.scratch);
            let order = names.then_with(|| {
                last.map(|last| (last.matching, last.reference)).cmp(&Some((entry.matching, entry.reference)))
            });
            if order.is_ge() {
                let name = shown(self.checks.reader.form(), &entry);
                return Err(ListError::at(number, "order", format!("{name} does not belong after the line before it")));
            }
            if names.is_eq() {
                if group.items.len() == MAX_PER_NAME {
                    let name = shown(self.checks.reader.form(), &entry);
                    return Err(crowded(number, &name));
                }
                group.push(line, &entry);
            } else {
                self.ahead.push(line, &entry);
                std::mem::swap(&mut self.ahead.key, &mut self.scratch);
                return Ok(true);
            }
        }
    }

    /// What stands for the names.
    pub fn form(&self) -> Form {
        self.checks.reader.form()
    }

    /// The first line of the next name, if there is one, and what is at hand of the lines after it.
    pub fn coming(&self) -> (&[u8], &[u8]) {
        (&self.ahead.text, self.lines.at_hand())
    }

    /// Passes over the first line of the next name and the `octets` after it, so many whole lines up to where another name
    /// begins. The caller knows that these lines stand in another document just so, one after the other, which was
    /// checked before: so they are in order, no name among them is crowded and no reference stands there twice. The rest
    /// is checked here.
    pub fn pass(&mut self, octets: usize, lines: u64) -> Result<(), ListError> {
        self.checks.pass(&self.lines.at_hand()[..octets], self.lines.number())?;
        self.lines.pass(octets, lines);
        self.ahead.clear();
        self.read_ahead()
    }

    /// The marks of everything that was read. `None` unless opened with [`Trust::Nothing`].
    pub fn finish(self) -> Result<Option<Marks>, ListError> {
        self.checks.finish()?;
        self.lines.finish()
    }

    fn read_ahead(&mut self) -> Result<(), ListError> {
        match self.lines.next()? {
            None => self.ended = true,
            Some((number, line)) => {
                let entry = self.checks.read(line, number)?;
                key::from_name(entry.name, &mut self.ahead.key);
                self.ahead.push(line, &entry);
            }
        }
        Ok(())
    }
}

/// The name of an entry for a message, which says no digest.
fn shown<'l>(form: Form, entry: &Entry<'l>) -> Cow<'l, str> {
    if form == Form::Sealed { Cow::Borrowed("a digest") } else { String::from_utf8_lossy(entry.name) }
}

/// What each line is held against.
struct Checks<'a> {
    reader: Reader,
    /// Keys that entries may name; `None`: any.
    bases: Option<HashSet<&'a [u8]>>,
    /// The last of them that an entry named.
    basis: &'a [u8],
    references: Option<References>,
    /// References of the lines that were passed over.
    passed: Vec<Reference>,
}

impl<'a> Checks<'a> {
    fn new(form: Form, bases: Option<&'a [String]>, references: bool) -> Self {
        Self {
            reader: Reader::of(form),
            bases: bases.map(|bases| bases.iter().map(String::as_bytes).collect()),
            basis: b"",
            references: references.then(References::default),
            passed: Vec::new(),
        }
    }

    /// A line by itself, and its reference beside all that were read.
    fn read<'l>(&mut self, line: &'l [u8], number: u64) -> Result<Entry<'l>, ListError> {
        let entry = self.alone(line, number)?;
        if let Some(references) = &mut self.references
            && let Some(first) = references.insert(&entry.reference, number)
        {
            let reference = String::from_utf8_lossy(&encode_reference(&entry.reference)).into_owned();
            let reason = format!("reference {reference} stands on line {first} already");
            return Err(ListError::at(number, "reference-twice", reason));
        }
        Ok(entry)
    }

    /// Lines after the `number`th by themselves, where anything is checked again; their references are looked at in the end.
    fn pass(&mut self, text: &[u8], number: u64) -> Result<(), ListError> {
        if self.references.is_some() {
            for (line, number) in lines_of(text).zip(number + 1..) {
                let entry = self.alone(line, number)?;
                self.passed.push(entry.reference);
            }
        }
        Ok(())
    }

    /// No reference of a line that was read stands in one that was passed over.
    fn finish(&self) -> Result<(), ListError> {
        let Some(references) = &self.references else { return Ok(()) };
        match self.passed.iter().find(|reference| references.has(reference)) {
            None => Ok(()),
            Some(reference) => {
                let reference = String::from_utf8_lossy(&encode_reference(reference)).into_owned();
                Err(ListError::new("reference-twice", format!("reference {reference} stands there twice")))
            }
        }
    }

    fn alone<'l>(&mut self, line: &'l [u8], number: u64) -> Result<Entry<'l>, ListError> {
        let entry = self.reader.read(line).map_err(|(kind, reason)| ListError::at(number, kind, reason))?;
        if let Some(bases) = &self.bases
            && self.basis != entry.basis
        {
            self.basis = bases.get(entry.basis).ok_or_else(|| {
                let basis = String::from_utf8_lossy(entry.basis);
                ListError::at(number, "no-basis", format!("basis {basis} is not in the head's table"))
            })?;
        }
        Ok(entry)
    }
}

/// The references seen so far: 18 octets an entry, exact, keyed so that no issuer can choose colliding ones.
#[derive(Default)]
struct References {
    seen: Vec<(Reference, u32)>,
    /// Index + 1 into `seen`; 0: free. A power of two long, at most half full.
    table: Vec<u32>,
    hasher: RandomState,
}

impl References {
    /// Remember a reference; the line of its first use, if it was there.
    fn insert(&mut self, reference: &Reference, line: u64) -> Option<u64> {
        if 2 * (self.seen.len() + 1) > self.table.len() {
            self.grow();
        }
        let slot = self.slot(reference);
        if self.table[slot] != 0 {
            return Some(u64::from(self.seen[self.table[slot] as usize - 1].1));
        }
        self.seen.push((*reference, u32::try_from(line).unwrap_or(u32::MAX)));
        self.table[slot] = u32::try_from(self.seen.len()).unwrap_or(u32::MAX);
        None
    }

    fn has(&self, reference: &Reference) -> bool {
        !self.table.is_empty() && self.table[self.slot(reference)] != 0
    }

    fn slot(&self, reference: &Reference) -> usize {
        let mask = self.table.len() - 1;
        let mut slot = usize::try_from(self.hasher.hash_one(reference) & mask as u64).unwrap_or(0);
        while self.table[slot] != 0 && self.seen[self.table[slot] as usize - 1].0 != *reference {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn grow(&mut self) {
        self.table = vec![0; (4 * (self.seen.len() + 1)).next_power_of_two()];
        for index in 0..self.seen.len() {
            let slot = self.slot(&self.seen[index].0);
            self.table[slot] = u32::try_from(index + 1).unwrap_or(u32::MAX);
        }
    }
}
