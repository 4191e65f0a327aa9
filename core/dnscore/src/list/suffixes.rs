//! A batch of names, and all names above them, as the words that SipHash takes: made once for all sealed lists.
//!
//! Enters: query names. Leaves: groups of names of equally many words, which are hashed side by side.

use super::digest;
use super::types::BATCH;
use crate::narrow::to_u8;
use crate::wire::Name;
use crate::wire::name::MAX_NAME;

/// Messages that are hashed at a time.
const LANES: usize = 8;
/// Words of the longest name.
const WORDS: usize = MAX_NAME / 8 + 1;

/// A name at or above one of the batch.
#[derive(Clone, Copy)]
pub(super) struct Suffix {
    /// Its number in the batch.
    pub name: u8,
    pub distance: u8,
    start: u8,
}

/// The distance of a lane that no name fills.
pub(super) const NO_NAME: u8 = u8::MAX;
const EMPTY: Suffix = Suffix { name: 0, distance: NO_NAME, start: 0 };

/// Names of equally many words, hashed at a time.
#[derive(Clone)]
pub(super) struct Group {
    pub of: [Suffix; LANES],
    pub words: usize,
}

/// A digest of a sealed list that a name of the batch met.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub name: u8,
    pub distance: u8,
    pub row: u32,
}

/// What a batch is made into once for all sealed lists. Reused from batch to batch.
#[derive(Clone, Default)]
pub(crate) struct Suffixes {
    /// By number of words.
    by_words: Vec<Vec<Suffix>>,
    pub(super) groups: Vec<Group>,
    /// The words of one group after the other.
    pub(super) words: Vec<[u64; LANES]>,
    /// The digests under the key of one list, group by group.
    pub(super) digests: Vec<[[u64; LANES]; 2]>,
    pub(super) found: Vec<Found>,
}

impl Suffixes {
    #[inline(always)]
    pub(super) fn fill(&mut self, names: &[&Name]) {
        self.by_words.resize(WORDS, Vec::new());
        self.groups.clear();
        self.words.clear();
        self.found.clear();
        for (index, name) in (0u8..).zip(names.iter().take(BATCH)) {
            let (length, mut start) = (name.len(), 0);
            for distance in 0..name.labels() {
                self.by_words[(length - start) / 8].push(Suffix { name: index, distance, start: to_u8(start) });
                start += 1 + usize::from(name.held()[start]);
            }
        }
        for (words, suffixes) in (1..).zip(&mut self.by_words) {
            for some in suffixes.chunks(LANES) {
                let mut of = [EMPTY; LANES];
                of[..some.len()].copy_from_slice(some);
                for at in 0..words {
                    self.words.push(std::array::from_fn(|lane| {
                        let (name, start) = (names[usize::from(of[lane].name)], usize::from(of[lane].start));
                        digest::word(name.held(), start, name.len(), at)
                    }));
                }
                self.groups.push(Group { of, words });
            }
            suffixes.clear();
        }
    }
}
