//! The names that an import takes, in the order in which it meets them.
//!
//! Enters: lines of files, of which those are taken here that are a name and nothing else, and surely may be one; names
//! that somebody else judged. Leaves: each name once, with its line and a number that says what it comes with
//! (its *kind*: match, ground, category, days; the caller's table has them). A million names take 50 MB.

use std::hash::{BuildHasher, Hasher, RandomState};

use hashbrown::HashTable;
use rustc_hash::FxHashSet;

use super::entry::check_name;
use super::key;
use super::lines::lines_of;
use super::types::ListError;
use super::vector::prefetch;
use crate::narrow::{to_u8, to_u32};

/// What of names surely may be an entry, whatever its match; those of all others somebody judges one by one. All of it is
/// ours, so that the hash need not be one that strangers cannot aim at.
#[derive(Clone, Debug, Default)]
pub struct Plain {
    /// Last labels of protected names.
    pub tops: FxHashSet<Vec<u8>>,
    /// Last labels but one of protected names.
    pub seconds: FxHashSet<Vec<u8>>,
    /// Public suffixes, and names above such or above protected ones.
    pub near: FxHashSet<Vec<u8>>,
    /// Names whose every child is a public suffix.
    pub wildcards: FxHashSet<Vec<u8>>,
}

impl Plain {
    fn allows(&self, name: &[u8]) -> bool {
        let mut labels = name.rsplitn(3, |&byte| byte == b'.');
        let (top, second) = (labels.next().unwrap_or_default(), labels.next());
        let Some(second) = second else { return false };
        let parent = name.iter().position(|&byte| byte == b'.').map_or(&name[..0], |dot| &name[dot + 1..]);
        !self.tops.contains(top)
            && !self.seconds.contains(second)
            && !self.near.contains(name)
            && !self.wildcards.contains(parent)
    }
}

/// How a line says a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// The name alone.
    Bare,
    /// An address where nobody listens, then the name (hosts(5)).
    Hosts,
    /// `||name^` (ad blockers).
    Rule,
}

/// Addresses where nobody listens.
const NOWHERE: [&[u8]; 4] = [b"0.0.0.0", b"127.0.0.1", b"::", b"::1"];

/// Rows that are asked for before one is read.
pub(crate) const AHEAD: usize = 8;

/// The names that were taken.
#[derive(Clone, Debug, Default)]
pub struct Names {
    plain: Plain,
    /// The keys of all names.
    keys: Vec<u8>,
    /// One a name.
    rows: Vec<Row>,
    /// What names have besides their first row.
    more: Vec<Row>,
    /// Rows by their keys; none where nobody looked since the names were settled.
    table: HashTable<Slot>,
    hasher: RandomState,
    scratch: Vec<u8>,
}

/// A name with what it comes with.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// Where its key stands in `keys`, after the number of its octets.
    at: u32,
    line: u32,
    kind: u32,
}

/// A row as the table has it: a table that grows reads no key again.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Half of the hash of its key.
    half: u32,
    row: u32,
}

impl Slot {
    /// What the table places it by: with the first bits it tells neighbours apart, by the last it chooses among places.
    fn hash(self) -> u64 {
        u64::from(self.half) << 32 | u64::from(self.half)
    }
}

impl Names {
    /// None yet.
    #[must_use]
    pub fn new(plain: Plain) -> Self {
        Self { plain, ..Self::default() }
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len() + self.more.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Take the whole lines of `text` from the octet `at` on, the first of which has the number `line`, up to the first that
    /// is not a name and nothing else, or stands here already. Where that begins, and its number.
    ///
    /// # Errors
    /// There is no room for so many names.
    pub fn take(
        &mut self,
        text: &[u8],
        at: usize,
        line: u32,
        kind: u32,
        writing: Writing,
    ) -> Result<(usize, u32), ListError> {
        let (mut at, mut number) = (at, line);
        for line in lines_of(&text[at.min(text.len())..]) {
            let octets = line.len() + 1;
            let line = &line[..line.len() - line.iter().rev().take_while(|&&byte| byte == b'\r').count()];
            let name = match writing {
                Writing::Bare => Some(line),
                Writing::Hosts => blocked(line),
                Writing::Rule => line.strip_prefix(b"||").and_then(|rest| rest.strip_suffix(b"^")),
            };
            match name {
                Some(name) if self.is_plain(name) && self.put(name, number, kind)?.is_none() => {}
                _ => break,
            }
            at += octets;
            number += 1;
        }
        Ok((at, number))
    }

    /// Put a name that may be an entry; line and kind of where it stands already, if it does.
    ///
    /// # Errors
    /// There is no room for so many names.
    pub fn put(&mut self, name: &[u8], line: u32, kind: u32) -> Result<Option<(u32, u32)>, ListError> {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        key::from_name(name, &mut scratch);
        if self.table.len() < self.rows.len() {
            (0..self.rows.len()).for_each(|row| self.enter(self.slot(self.key(row), row)));
        }
        let slot = self.slot(&scratch, self.rows.len());
        let same = |other: &Slot| other.half == slot.half && self.key(other.row as usize) == scratch;
        let there = self.table.find(slot.hash(), same).map(|other| self.rows[other.row as usize]);
        if there.is_none() {
            let row = self.row(&scratch, line, kind)?;
            self.rows.push(row);
            self.enter(slot);
        }
        self.scratch = scratch;
        Ok(there.map(|row| (row.line, row.kind)))
    }

    /// Add to a name what it comes with too.
    ///
    /// # Errors
    /// There is no room for so many names.
    pub fn add(&mut self, name: &[u8], line: u32, kind: u32) -> Result<(), ListError> {
        let mut key = Vec::new();
        key::from_name(name, &mut key);
        let row = self.row(&key, line, kind)?;
        self.more.push(row);
        Ok(())
    }

    /// Line, name and kind of a row; those that were added come last.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<(u32, String, u32)> {
        (index < self.len()).then(|| {
            let row = self.at(index);
            (row.line, key::to_name(self.key(index)), row.kind)
        })
    }

    /// Keep no more than the names themselves, for as long as no other is put.
    pub fn settle(&mut self) {
        self.table = HashTable::new();
    }

    /// Forget all names.
    pub fn clear(&mut self) {
        let plain = std::mem::take(&mut self.plain);
        *self = Self::new(plain);
    }

    /// How many rows are of each kind.
    #[must_use]
    pub fn kinds(&self) -> Vec<u64> {
        let mut counts = Vec::new();
        for row in self.rows.iter().chain(&self.more) {
            let kind = row.kind as usize;
            if kind >= counts.len() {
                counts.resize(kind + 1, 0);
            }
            counts[kind] += 1;
        }
        counts
    }

    /// The key of a row.
    pub(crate) fn key(&self, index: usize) -> &[u8] {
        key_at(&self.keys, self.at(index).at)
    }

    /// Who goes through rows in this order reads the one at `at`: those further on begin to come from memory.
    pub(crate) fn ask_for(&self, order: &[u32], at: usize) {
        if let Some(&row) = order.get(at + 2 * AHEAD) {
            prefetch(&self.rows, row as usize);
        }
        if let Some(&row) = order.get(at + AHEAD) {
            prefetch(&self.keys, self.at(row as usize).at as usize);
        }
    }

    /// The kind of a row.
    pub(crate) fn kind(&self, index: usize) -> usize {
        self.at(index).kind as usize
    }

    /// Whether a row has a name that may be an entry's. What was put was looked at before; what was added, nobody did.
    pub(crate) fn is_sound(&self, index: usize) -> bool {
        index < self.rows.len() || check_name(key::to_name(self.key(index)).as_bytes()).is_ok()
    }

    fn at(&self, index: usize) -> &Row {
        self.rows.get(index).unwrap_or_else(|| &self.more[index - self.rows.len()])
    }

    fn is_plain(&self, name: &[u8]) -> bool {
        check_name(name).is_ok() && self.plain.allows(name)
    }

    fn row(&mut self, key: &[u8], line: u32, kind: u32) -> Result<Row, ListError> {
        let full = || ListError::new("too-large", "more names than can be imported at once");
        let at = u32::try_from(self.keys.len()).ok().filter(|at| at.checked_add(256).is_some()).ok_or_else(full)?;
        if key.len() > key::MAX_KEY {
            return Err(ListError::new("malformed", "a name of more than 253 octets"));
        }
        self.keys.push(to_u8(key.len()));
        self.keys.extend_from_slice(key);
        Ok(Row { at, line, kind })
    }

    fn slot(&self, key: &[u8], row: usize) -> Slot {
        // without its length, which `Hash` would add: keys of other lengths are other keys
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        Slot { half: u32::try_from(hasher.finish() >> 32).unwrap_or_default(), row: to_u32(row) }
    }

    fn enter(&mut self, slot: Slot) {
        self.table.insert_unique(slot.hash(), slot, |other| other.hash());
    }
}

/// The key that begins at this octet, after its length.
fn key_at(keys: &[u8], at: u32) -> &[u8] {
    let at = at as usize;
    &keys[at + 1..at + 1 + usize::from(keys[at])]
}

/// The name that a line of a hosts file blocks, where it is just one and in the plainest form.
fn blocked(line: &[u8]) -> Option<&[u8]> {
    let mut words = line.split(|&byte| byte == b' ' || byte == b'\t').filter(|word| !word.is_empty());
    let (wall, name) = (words.next()?, words.next()?);
    // the machine's own names are single labels, which are not plain, but for this one
    let own = name == b"localhost.localdomain";
    (NOWHERE.contains(&wall) && words.next().is_none() && !own).then_some(name)
}
