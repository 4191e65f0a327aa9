//! The listed names on their way into the file.
//!
//! Enters: keys, strictly increasing. Leaves: the sections that [`super::names`] reads.

use super::bucket::{self, NO_CHAIN};
use super::code::Coder;
use super::file::{Section, Sections};
use super::filter::{self, Hash};
use super::key;
use super::train;
use super::tree::{self, FAN_OUT, Heads, PADDED};
use super::types::{BATCH, ListError};
use super::vector::prefetch;
use crate::narrow::{to_u8, to_u32};

/// Octets of a chain's node.
pub(crate) const CHAIN: usize = 12;
/// Ends a chain.
const NO_MORE: u32 = u32::MAX;

/// Octets of suffixes that tokens are chosen from.
const SAMPLE: usize = 1 << 18;

/// Names as they come, front-coded: about 16 octets each.
#[derive(Default)]
pub(crate) struct NamesBuilder {
    last: Vec<u8>,
    shared: Vec<u8>,
    lengths: Vec<u8>,
    suffixes: Vec<u8>,
}

impl NamesBuilder {
    /// The next name; its key must be above all before it.
    pub fn push(&mut self, key: &[u8]) {
        let shared = key::common(&self.last, key);
        self.shared.push(to_u8(shared));
        self.lengths.push(to_u8(key.len() - shared));
        self.suffixes.extend_from_slice(&key[shared..]);
        self.last.clear();
        self.last.extend_from_slice(key);
    }

    /// Write the sections.
    pub fn finish(self, sections: &mut Sections) -> Result<(), ListError> {
        // the code needs a sample of the suffixes alone, the index the keys alone
        let (index, (coder, tokens)) = std::thread::scope(|threads| {
            let failed = |why: String| ListError::new("internal", format!("the thread that makes the code: {why}"));
            let coder = std::thread::Builder::new().name("code".into()).spawn_scoped(threads, || self.coder());
            let coder = coder.map_err(|error| failed(error.to_string()))?;
            let index = self.index();
            Ok((index, coder.join().map_err(|_| failed("it failed".into()))?))
        })?;
        let (places, buckets) = self.encoded(&index, coder);
        let too_large = || ListError::new("too-large", "more octets of names than a compiled list can hold");
        let (nodes, overflow) = index.heads.tree(&places).ok_or_else(too_large)?;
        *sections.section(Section::Tree) = nodes;
        *sections.section(Section::Overflow) = overflow;
        *sections.section(Section::Buckets) = buckets;
        *sections.section(Section::Tokens) = tokens;
        *sections.section(Section::Chains) = index.chain_nodes;
        *sections.section(Section::Filter) = index.filter;
        Ok(())
    }

    fn index(&self) -> Index {
        let mut index = Index::new(self.shared.len());
        self.each(|row, key, shared| index.add(row, key, shared));
        index.settle();
        index
    }

    /// The buckets, and where each of them is.
    fn encoded(&self, index: &Index, mut coder: Coder) -> (Vec<usize>, Vec<u8>) {
        let rows = self.shared.len();
        let mut buckets = Vec::with_capacity(6 * rows);
        let mut places = Vec::with_capacity(index.heads.len());
        let mut start = 0;
        let mut names = Vec::with_capacity(FAN_OUT);
        let mut of_node = 0;
        for bucket in 0..index.heads.len() {
            if bucket.is_multiple_of(FAN_OUT) {
                of_node = buckets.len();
            }
            let head = &index.heads.get(bucket)[index.heads.prefix(bucket / FAN_OUT).len()..];
            let first = bucket * FAN_OUT;
            let last = rows.min(first + FAN_OUT);
            start += usize::from(self.lengths[first]);
            names.clear();
            for row in first + 1..last {
                let end = start + usize::from(self.lengths[row]);
                names.push(bucket::Name { shared: usize::from(self.shared[row]), suffix: &self.suffixes[start..end] });
                start = end;
            }
            places.push(buckets.len());
            bucket::write(&mut coder, head, &names, index.chains[bucket], &mut buckets);
            let ends_node = (bucket + 1).is_multiple_of(FAN_OUT) || bucket + 1 == index.heads.len();
            if ends_node && buckets.len() - of_node > tree::MAX_DISTANCE {
                widen(&mut buckets, &mut places[bucket / FAN_OUT * FAN_OUT..]);
            }
        }
        buckets.resize(buckets.len() + bucket::PADDING, 0);
        (places, buckets)
    }

    /// Call `visit` with each row, its key, and what it shares with the one before.
    fn each(&self, mut visit: impl FnMut(usize, &[u8], usize)) {
        let mut key = Vec::with_capacity(key::MAX_KEY);
        let mut start = 0;
        for (row, (&shared, &length)) in self.shared.iter().zip(&self.lengths).enumerate() {
            key.truncate(usize::from(shared));
            key.extend_from_slice(&self.suffixes[start..start + usize::from(length)]);
            start += usize::from(length);
            visit(row, &key, usize::from(shared));
        }
    }

    /// Tokens from a sample, and the code for them.
    fn coder(&self) -> (Coder, Vec<u8>) {
        let stride = self.suffixes.len().div_ceil(SAMPLE).max(1);
        let mut sample = Vec::with_capacity(self.shared.len() / stride);
        let mut start = 0;
        for (row, &length) in self.lengths.iter().enumerate() {
            let end = start + usize::from(length);
            if row.is_multiple_of(stride) && !row.is_multiple_of(FAN_OUT) {
                sample.push(&self.suffixes[start + 1..end]);
            }
            start = end;
        }
        let (tokens, used) = train::train(sample.iter().copied(), stride);
        Coder::new(tokens, &used)
    }
}

/// Move the buckets of one node apart so that each starts at a multiple of eight octets from the first.
fn widen(buckets: &mut Vec<u8>, places: &mut [usize]) {
    let ends: Vec<usize> = places[1..].iter().copied().chain([buckets.len()]).collect();
    let moved: Vec<Vec<u8>> = places.iter().zip(ends).map(|(&start, end)| buckets[start..end].to_vec()).collect();
    let first = places[0];
    buckets.truncate(first);
    for (place, bytes) in places.iter_mut().zip(moved) {
        buckets.resize(first + (buckets.len() - first).next_multiple_of(tree::WIDE), 0);
        *place = buckets.len();
        buckets.extend_from_slice(&bytes);
    }
}

/// What follows from the keys alone, whatever the code: built when compiling, and again, to compare, when opening.
pub(crate) struct Index {
    pub heads: Heads,
    /// The chain of each bucket.
    pub chains: Vec<u32>,
    pub chain_nodes: Vec<u8>,
    pub filter: Vec<u8>,
    /// Where a key stands while it is hashed.
    padded: [u8; PADDED],
    /// Names that the filter does not hold yet: their lines are asked for before the first of them is written.
    waiting: Vec<Hash>,
    /// Listed names at or above the last key: row, octets, number of its chain node if it has one.
    above: Vec<(u32, usize, u32)>,
}

impl Index {
    pub fn new(rows: usize) -> Self {
        Self {
            heads: Heads::default(),
            chains: Vec::new(),
            chain_nodes: Vec::new(),
            filter: filter::empty(rows),
            padded: [0; PADDED],
            waiting: Vec::with_capacity(BATCH),
            above: Vec::new(),
        }
    }

    pub fn add(&mut self, row: usize, key: &[u8], shared: usize) {
        let is_above = |length: usize| length <= shared && key.get(length) == Some(&key::SEPARATOR);
        while self.above.pop_if(|&mut (_, length, _)| !is_above(length)).is_some() {}
        if row.is_multiple_of(FAN_OUT) {
            let mut parent = NO_MORE;
            for (row, length, node) in &mut self.above {
                if *node == NO_MORE {
                    *node = to_u32(self.chain_nodes.len() / CHAIN);
                    self.chain_nodes.extend_from_slice(&row.to_le_bytes());
                    self.chain_nodes.extend_from_slice(&parent.to_le_bytes());
                    self.chain_nodes.extend_from_slice(&[to_u8(*length), 0, 0, 0]);
                }
                parent = *node;
            }
            self.chains.push(parent.min(NO_CHAIN));
            self.heads.push(key, shared);
        }
        self.above.push((to_u32(row), key.len(), NO_MORE));
        let hash = self.hash(key);
        prefetch(&self.filter, hash.line(filter::lines(&self.filter)));
        self.waiting.push(hash);
        if self.waiting.len() == BATCH {
            self.settle();
        }
    }

    /// The hash of a key's name.
    fn hash(&mut self, key: &[u8]) -> Hash {
        self.padded[..key.len()].copy_from_slice(key);
        let mut rest = &self.padded[..];
        key.split(|&byte| byte == key::SEPARATOR).fold(Hash::ROOT, |hash, label| {
            let below = hash.below(rest, label.len());
            rest = &rest[label.len() + 1..];
            below
        })
    }

    /// After the last key: the filter holds all.
    pub fn settle(&mut self) {
        let lines = filter::lines(&self.filter);
        self.waiting.drain(..).for_each(|hash| hash.place(lines).set(&mut self.filter));
    }
}
