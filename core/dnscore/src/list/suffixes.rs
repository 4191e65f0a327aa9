//! A batch of names, and all names above them, as the words that SipHash takes: made once for all sealed lists.
//!
//! Enters: query names. Leaves: groups of eight names of equally many words, which are hashed side by side. A top-level
//! domain stands in a batch many times, so it is hashed once for all.

use super::types::BATCH;
use crate::narrow::to_u16;
use crate::wire::Name;
use crate::wire::name::{MAX_NAME, NAME_ROOM};

/// Messages that are hashed at a time.
pub(super) const LANES: usize = 8;
/// Words of the longest name, and one more: a name has at least one.
const WORDS: usize = MAX_NAME / 8 + 2;
/// Places for top-level domains; a power of two.
const TOPS: usize = 32;
/// Ones in the lowest n octets, by n.
const LOW: [u64; 8] = [0, 0xFF, 0xFFFF, 0xFF_FFFF, 0xFFFF_FFFF, 0xFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF, 0xFF_FFFF_FFFF_FFFF];

/// A name at or above one of the batch.
#[derive(Clone, Copy)]
pub(super) struct Suffix {
    /// Its number in the batch.
    pub name: u8,
    pub distance: u8,
}

/// Names of equally many words, hashed at a time.
#[derive(Clone, Copy)]
pub(super) struct Group {
    pub of: [Suffix; LANES],
    /// How many of the lanes hold a name.
    pub filled: u8,
    /// Where its words are among those of all groups, and how many.
    start: u16,
    words: u16,
}

impl Group {
    /// Its words, among those of all groups.
    #[inline(always)]
    pub fn words<'w>(&self, all: &'w [[u64; LANES]]) -> &'w [[u64; LANES]] {
        &all[usize::from(self.start)..][..usize::from(self.words)]
    }
}

/// A digest of a sealed list that a name of the batch met.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub name: u8,
    pub distance: u8,
    pub row: u32,
}

/// What a batch is made into once for all sealed lists. Reused from batch to batch.
#[derive(Clone)]
pub(crate) struct Suffixes {
    /// Of each number of words the group that has room, and one more; 0: none.
    open: [u16; WORDS],
    pub(super) groups: Vec<Group>,
    pub(super) words: Vec<[u64; LANES]>,
    /// What the filter of one list is asked for, group by group: lines, then bits.
    pub(super) asked: Vec<[[u64; LANES]; 2]>,
    pub(super) found: Vec<Found>,
    /// Top-level domains of the batch in wire form, by a hash.
    tops: [u64; TOPS],
}

impl Default for Suffixes {
    fn default() -> Self {
        Self {
            open: [0; WORDS],
            groups: Vec::new(),
            words: Vec::new(),
            asked: Vec::new(),
            found: Vec::new(),
            tops: [0; TOPS],
        }
    }
}

impl Suffixes {
    #[inline(always)]
    pub(super) fn fill(&mut self, names: &[&Name]) {
        self.open = [0; WORDS];
        self.tops = [0; TOPS];
        self.groups.clear();
        self.words.clear();
        self.found.clear();
        for (index, name) in (0u8..).zip(names.iter().take(BATCH)) {
            let (held, length, mut start) = (name.held(), name.len(), 0);
            for distance in 0..name.labels() {
                if distance + 1 == name.labels() && self.has_top(held, start, length) {
                    break;
                }
                self.push(held, start, length, Suffix { name: index, distance });
                start += 1 + usize::from(held[start]);
            }
        }
    }

    /// Put the name that begins at `start` into a lane of its own.
    #[inline(always)]
    fn push(&mut self, held: &[u8; NAME_ROOM], start: usize, length: usize, suffix: Suffix) {
        let octets = length - start;
        let words = octets / 8 + 1;
        let group = match self.open[words] {
            0 => {
                let start = to_u16(self.words.len());
                self.words.resize(self.words.len() + words, [0; LANES]);
                self.groups.push(Group { of: [suffix; LANES], filled: 0, start, words: to_u16(words) });
                self.open[words] = to_u16(self.groups.len());
                self.groups.len() - 1
            }
            open => usize::from(open) - 1,
        };
        let group = &mut self.groups[group];
        let lane = usize::from(group.filled) % LANES;
        group.of[lane] = suffix;
        group.filled += 1;
        if usize::from(group.filled) == LANES {
            self.open[words] = 0;
        }
        let own = &mut self.words[usize::from(group.start)..][..words];
        let rest = &held[start..];
        for (slot, eight) in own.iter_mut().zip(rest.as_chunks::<8>().0) {
            slot[lane] = u64::from_le_bytes(*eight);
        }
        // the last word has the length in place of what follows the name
        let last = &mut own[words - 1][lane];
        *last = *last & LOW[octets % 8] | (octets as u64) << 56;
    }

    /// Whether this top-level domain was met in this batch; from now on it was.
    #[inline(always)]
    fn has_top(&mut self, held: &[u8; NAME_ROOM], start: usize, length: usize) -> bool {
        let Some(eight) = held[start..].first_chunk() else { return false };
        if length - start > 7 {
            return false;
        }
        // the length octet comes first, so that no two names make one number
        let wire = u64::from_le_bytes(*eight) & LOW[length - start];
        let place = &mut self.tops[(wire.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 59) as usize % TOPS];
        std::mem::replace(place, wire) == wire
    }

    /// What was found of a top-level domain holds for all names of the batch under it.
    #[cold]
    pub(super) fn share(&mut self, names: &[&Name]) {
        for at in 0..self.found.len() {
            let Found { name, distance, row } = self.found[at];
            let own = names[usize::from(name)];
            if distance + 1 != own.labels() {
                continue;
            }
            for (other, number) in names.iter().zip(0u8..) {
                let is_known = |found: &Found| found.name == number && found.row == row;
                let distance = other.labels().saturating_sub(1);
                if other.without(distance) == own.without(own.labels() - 1) && !self.found.iter().any(is_known) {
                    self.found.push(Found { name: number, distance, row });
                }
            }
        }
    }
}
