//! What a look-up found ([`Hit`], [`Hits`]), and the memory it works in ([`Batch`]): one value, reused from batch to
//! batch, so that a look-up allocates nothing.

use std::fmt;

use super::filter::Hash;
use super::suffixes::{Found, Suffixes};
use super::tree::{PADDED, Prefix};
use super::types::BATCH;
use crate::narrow::to_u32;
use crate::wire::name::KEPT_STARTS;

/// A name with more labels than this is not asked of the filter: it goes to the tree at once.
pub(crate) const FILTERED: usize = KEPT_STARTS;

/// One listed name found at or above the name asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Hit {
    /// The row of the listed name: its rank in the list.
    pub row: u32,
    /// Labels between the two; 0: the very name that was asked for.
    pub distance: u8,
}

/// What a batch of names met, name by name. Reused from batch to batch: it allocates only while it grows.
#[derive(Clone, Default)]
pub struct Hits {
    pub(crate) hits: Vec<Hit>,
    pub(crate) ends: Vec<u32>,
    /// Working memory of a look-up.
    pub(crate) batch: Batch,
    /// The same of look-ups in sealed lists.
    pub(super) suffixes: Suffixes,
}

impl fmt::Debug for Hits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries((0..self.len()).map(|index| self.of(index))).finish()
    }
}

impl Hits {
    /// A place for results, empty.
    #[must_use]
    pub fn new() -> Self {
        Self { hits: Vec::with_capacity(2 * BATCH), ends: Vec::with_capacity(BATCH), ..Self::default() }
    }

    /// What the `index`th name of the batch met, the most specific first; empty beyond the batch.
    #[must_use]
    pub fn of(&self, index: usize) -> &[Hit] {
        let Some(&end) = self.ends.get(index) else { return &[] };
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.hits[start as usize..end as usize]
    }

    /// What all names met.
    #[must_use]
    pub fn all(&self) -> &[Hit] {
        &self.hits
    }

    /// Names in the batch.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Was the batch empty?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Put what was found in sealed lists among the hits of the last `names` names, by distance.
    #[cold]
    pub(super) fn merge(&mut self, names: usize) {
        let first = self.ends.len() - names;
        let before = if first == 0 { 0 } else { self.ends[first - 1] };
        let plain = self.hits.split_off(before as usize);
        let mut rest = plain.as_slice();
        self.suffixes.found.sort_by_key(|found| (found.name, found.distance));
        let mut sealed = self.suffixes.found.iter().peekable();
        let mut start = before;
        for (index, end) in self.ends[first..].iter_mut().enumerate() {
            let (own, others) = rest.split_at((*end - start) as usize);
            (rest, start) = (others, *end);
            let from = self.hits.len();
            self.hits.extend_from_slice(own);
            while let Some(&Found { row, distance, .. }) = sealed.next_if(|found| usize::from(found.name) == index) {
                self.hits.push(Hit { row, distance });
            }
            self.hits[from..].sort_by_key(|hit| hit.distance);
            *end = to_u32(self.hits.len());
        }
    }

    pub(crate) fn clear(&mut self) {
        self.hits.clear();
        self.ends.clear();
    }
}

/// A key with zeros behind it.
#[derive(Clone)]
pub(crate) struct Key {
    pub bytes: [u8; PADDED],
    pub length: usize,
    /// Labels of the query name that the key leaves out: those from the first on that no listed name has.
    pub left_out: u8,
}

/// Where a batch stands.
#[derive(Clone)]
pub(crate) struct Batch {
    pub hashes: [[Hash; FILTERED]; BATCH],
    /// Hashes to ask the filter for, name by name; beyond [`FILTERED`]: do not ask.
    pub asked: [u8; BATCH],
    pub keys: Vec<Key>,
    /// Number of each key's name in the batch.
    pub names: Vec<u8>,
    pub nodes: Vec<u32>,
    pub prefixes: Vec<Prefix>,
    pub buckets: Vec<(u32, usize)>,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            hashes: [[Hash::default(); FILTERED]; BATCH],
            asked: [0; BATCH],
            keys: vec![Key { bytes: [0; PADDED], length: 0, left_out: 0 }; BATCH],
            names: Vec::with_capacity(BATCH),
            nodes: Vec::with_capacity(BATCH),
            prefixes: Vec::with_capacity(BATCH),
            buckets: Vec::with_capacity(BATCH),
        }
    }
}
