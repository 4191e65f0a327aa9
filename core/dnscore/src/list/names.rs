//! The listed names, found again in batches.
//!
//! Enters: the sections that [`super::names_builder`] wrote; then query names. Leaves: for each query the rows of all listed
//! names at or above it.
//!
//! A query goes through the filter, down the tree, into one bucket. All names of a batch take each step together, and
//! ask for the memory of the next step before any of them takes it: a look-up costs one miss of the cache, not five in
//! a row. What is listed above a bucket's head but before it in the order, the bucket's *chain* names, so that one
//! bucket is enough whatever the number of labels:
//!
//! ```text
//! chains: 12 octets each: row u32, the next one further up u32 (0xFFFFFFFF: none), octets of the key u8, free
//! ```

use super::bucket::{self, Bucket, NO_CHAIN};
use super::code::Decoder;
use super::file::{Content, Section, damaged};
use super::filter::{self, Hash};
use super::hits::{Batch, FILTERED, Hit, Hits, Key};
use super::key;
use super::names_builder::{CHAIN, Index};
use super::tree::{self, FAN_OUT, INNER, LOWEST, Levels, PADDED};
use super::types::{BATCH, ListError};
use super::vector::{Lanes, Portable, prefetch};
use crate::narrow::{to_u8, to_u32};
use crate::wire::Name;

/// The names of an open file.
#[derive(Debug)]
pub(crate) struct Names {
    decoder: Decoder,
    levels: Levels,
    buckets: usize,
    filter_lines: usize,
    /// Is a name of one label listed? Else the filter is not asked about them.
    single: bool,
}

impl Names {
    /// Check everything that look-ups rely on: the whole of the sections is decoded and built again.
    pub fn open(content: &Content) -> Result<Self, ListError> {
        let rows = content.named as usize;
        let decoder = Decoder::read(content.get(Section::Tokens)).ok_or_else(|| damaged("tokens"))?;
        let buckets = rows.div_ceil(FAN_OUT);
        let levels = Levels::over(buckets);
        let filter = content.get(Section::Filter);
        let mut names = Self { decoder, levels, buckets, filter_lines: filter::lines(filter), single: false };
        if content.get(Section::Tree).len() != levels.size() || filter.len() != filter::empty(rows).len() {
            return Err(damaged("tree"));
        }
        let mut index = Index::new(rows);
        let mut places = Vec::with_capacity(buckets);
        let mut last = Vec::with_capacity(key::MAX_KEY);
        let mut key = [0; PADDED];
        for bucket in 0..buckets {
            let whole = names.bucket(content, bucket).and_then(|(place, prefix, read)| {
                places.push(place);
                key[..prefix.len()].copy_from_slice(prefix);
                let count = FAN_OUT.min(rows - bucket * FAN_OUT);
                let chain = read.chain;
                let walked = read.walk(&names.decoder, count, prefix.len(), &mut key, |at, key| {
                    let shared = key::common(&last, key);
                    let above = shared == last.len() || key.get(shared) > last.get(shared);
                    if !above || last == *key || !key::is_key(key) {
                        return None;
                    }
                    names.single |= !key.contains(&key::SEPARATOR);
                    index.add(bucket * FAN_OUT + at, key, shared);
                    last.clear();
                    last.extend_from_slice(key);
                    Some(())
                });
                walked.filter(|_| index.chains.last() == Some(&chain))
            });
            if whole.is_none() {
                return Err(damaged("names"));
            }
        }
        index.settle();
        let sane = places.is_sorted() && places.first().is_none_or(|&first| first == 0);
        let (tree, overflow) = if sane { index.heads.tree(&places) } else { None }.ok_or_else(|| damaged("tree"))?;
        if tree != content.get(Section::Tree)
            || overflow != content.get(Section::Overflow)
            || index.chain_nodes != content.get(Section::Chains)
            || index.filter != filter
        {
            return Err(damaged("tree"));
        }
        Ok(names)
    }

    /// Octets that look-ups touch beside the sections.
    pub fn size(&self) -> usize {
        self.decoder.size()
    }

    /// The key of a row.
    pub fn key(&self, content: &Content, row: u32) -> Option<Vec<u8>> {
        if row >= content.named {
            return None;
        }
        let (bucket, at) = (row as usize / FAN_OUT, row as usize % FAN_OUT);
        let (_, prefix, bucket) = self.bucket(content, bucket)?;
        let mut key = [0; PADDED];
        key[..prefix.len()].copy_from_slice(prefix);
        let mut found = None;
        bucket.walk(&self.decoder, at + 1, prefix.len(), &mut key, |index, key| {
            if index == at {
                found = Some(key.to_vec());
            }
            Some(())
        });
        found
    }

    /// Call `visit` with each row and its key, in order; its error ends the walk.
    pub fn each<E>(&self, content: &Content, mut visit: impl FnMut(u32, &[u8]) -> Result<(), E>) -> Result<(), E> {
        let rows = content.named as usize;
        let mut key = [0; PADDED];
        for bucket in 0..self.buckets {
            // the file was decoded whole when it was opened
            let Some((_, prefix, read)) = self.bucket(content, bucket) else { break };
            key[..prefix.len()].copy_from_slice(prefix);
            let (first, mut outcome) = (bucket * FAN_OUT, Ok(()));
            read.walk(&self.decoder, FAN_OUT.min(rows - first), prefix.len(), &mut key, |at, key| {
                outcome = visit(to_u32(first + at), key);
                outcome.is_ok().then_some(())
            });
            outcome?;
        }
        Ok(())
    }

    /// Find all rows at or above each of up to [`BATCH`] names, and append them to `hits`.
    #[inline(always)]
    pub fn look_up<L: Lanes>(&self, lanes: L, content: &Content, names: &[&Name], hits: &mut Hits) {
        self.ask(content.get(Section::Filter), names, &mut hits.batch);
        self.keep(lanes, content.get(Section::Filter), names, &mut hits.batch);
        self.descend(lanes, content, &mut hits.batch);
        self.collect(lanes, content, names.len(), hits);
    }

    /// Hash every name and those above it, and ask for the filter's lines.
    #[inline(always)]
    fn ask(&self, filter: &[u8], names: &[&Name], batch: &mut Batch) {
        let top = usize::from(!self.single);
        for (index, name) in names.iter().enumerate().take(BATCH) {
            let (held, starts) = (name.held(), name.starts());
            if usize::from(name.labels()) > FILTERED {
                batch.asked[index] = u8::MAX;
                continue;
            }
            let mut hash = Hash::ROOT;
            for (depth, &start) in starts.iter().rev().enumerate() {
                let start = usize::from(start);
                hash = hash.below(&held[start + 1..], usize::from(held[start]));
                if depth >= top {
                    prefetch(filter, hash.line(self.filter_lines));
                    batch.hashes[index][depth - top] = hash;
                }
            }
            batch.asked[index] = to_u8(starts.len().saturating_sub(top));
        }
    }

    /// Make the keys of those that pass the filter.
    #[inline(always)]
    fn keep<L: Lanes>(&self, lanes: L, filter: &[u8], names: &[&Name], batch: &mut Batch) {
        batch.names.clear();
        for (index, name) in names.iter().enumerate().take(BATCH) {
            let passes = match batch.hashes[index].get(..usize::from(batch.asked[index])) {
                Some(hashes) => hashes.iter().any(|hash| hash.place(self.filter_lines).is_set(filter)),
                None => true,
            };
            if passes && self.buckets > 0 {
                let key = &mut batch.keys[batch.names.len()];
                if key.fill(lanes, name) || key.fill_from_the_right(name) {
                    batch.names.push(to_u8(index));
                }
            }
        }
    }

    /// Take all keys down the tree, level by level, to the place of a bucket.
    #[inline(always)]
    fn descend<L: Lanes>(&self, lanes: L, content: &Content, batch: &mut Batch) {
        let (tree, overflow) = (content.get(Section::Tree), content.get(Section::Overflow));
        let count = batch.names.len();
        batch.nodes.clear();
        batch.nodes.resize(count, 0);
        batch.buckets.clear();
        for level in (1..self.levels.depth).rev() {
            let below = self.levels.nodes(level - 1);
            for (node, key) in batch.nodes.iter_mut().zip(&batch.keys) {
                let offset = self.levels.offset(level, *node as usize);
                let Some(bytes) = tree.get(offset..offset + INNER).and_then(|bytes| bytes.try_into().ok()) else {
                    continue;
                };
                let first = *node as usize * FAN_OUT;
                let (child, _) = tree::child(lanes, bytes, (below - first).min(FAN_OUT), overflow, &key.bytes);
                *node = to_u32(first + child);
                let next = self.levels.offset(level - 1, first + child);
                if level == 1 {
                    (0..LOWEST).step_by(64).for_each(|line| prefetch(tree, next + line));
                }
            }
        }
        let buckets = content.get(Section::Buckets);
        batch.prefixes.clear();
        for node in &batch.nodes {
            let node = tree.get(self.levels.offset(0, *node as usize)..).unwrap_or(&[]);
            if let Some(place) = tree::overflow_at(node) {
                prefetch(overflow, place);
                prefetch(overflow, place + 64);
            }
        }
        for (node, key) in batch.nodes.iter().zip(&batch.keys) {
            let offset = self.levels.offset(0, *node as usize);
            let first = *node as usize * FAN_OUT;
            let lowest: Option<&[u8; LOWEST]> =
                tree.get(offset..offset + LOWEST).and_then(|bytes| bytes.try_into().ok());
            let Some(lowest) = lowest else { continue };
            let inner = lowest[..INNER].try_into().unwrap_or(&[0; INNER]);
            let (child, prefix) = tree::child(lanes, inner, (self.buckets - first).min(FAN_OUT), overflow, &key.bytes);
            let place = tree::place(lowest, child);
            for line in (0..256).step_by(64) {
                prefetch(buckets, place + line);
            }
            batch.prefixes.push(prefix);
            batch.buckets.push((to_u32(first + child), place));
        }
    }

    /// Scan the buckets and write down the hits of every name of the batch.
    #[inline(always)]
    fn collect<L: Lanes>(&self, lanes: L, content: &Content, names: usize, hits: &mut Hits) {
        let buckets = content.get(Section::Buckets);
        let Hits { hits, ends, batch, .. } = hits;
        let chains = content.get(Section::Chains);
        for (_, place) in &batch.buckets {
            if let Some(chain) = buckets.get(*place..).and_then(bucket::chain) {
                prefetch(chains, CHAIN * chain as usize);
            }
        }
        let mut next = 0;
        for index in 0..names {
            if batch.names.get(next).is_some_and(|&name| usize::from(name) == index) {
                let (key, (bucket, place)) = (&batch.keys[next], batch.buckets[next]);
                let start = hits.len();
                if let Some(read) = buckets.get(place..).and_then(|area| Bucket::read(lanes, area)) {
                    let first_row = bucket * to_u32(FAN_OUT);
                    let shared =
                        read.scan(lanes, &self.decoder, batch.prefixes[next], &key.bytes, key.length, |at, octets| {
                            hits.push(key.hit(first_row + to_u32(at), octets));
                        });
                    hits[start..].reverse();
                    if read.chain != NO_CHAIN {
                        follow(chains, read.chain, shared, key, hits);
                    }
                }
                next += 1;
            }
            ends.push(to_u32(hits.len()));
        }
    }

    /// A bucket with its place and the prefix of its node.
    fn bucket<'c>(&self, content: &'c Content, bucket: usize) -> Option<(usize, &'c [u8], Bucket<'c>)> {
        let offset = self.levels.offset(0, bucket / FAN_OUT);
        let node: &[u8; LOWEST] = content.get(Section::Tree).get(offset..offset + LOWEST)?.try_into().ok()?;
        let place = tree::place(node, bucket % FAN_OUT);
        let area = content.get(Section::Buckets).get(place..)?;
        Some((place, tree::prefix(node), Bucket::read(Portable, area)?))
    }
}

/// The listed names above a bucket's head that are above the key too: the nearest first.
#[cold]
fn follow(chains: &[u8], chain: u32, shared: usize, key: &Key, hits: &mut Vec<Hit>) {
    let number = |four: &[u8]| u32::from_le_bytes(four.try_into().unwrap_or_default());
    let mut node = chain;
    // each node names one further up, so there are no more of them than labels
    for _ in 0..=key::MAX_KEY / 2 {
        let Some(bytes) = chains.get(node as usize * CHAIN..(node as usize + 1) * CHAIN) else { return };
        let octets = usize::from(bytes[8]);
        if octets <= shared && (octets == key.length || key.bytes[octets] == key::SEPARATOR) {
            hits.push(key.hit(number(&bytes[..4]), octets));
        }
        node = number(&bytes[4..8]);
    }
}

impl Key {
    /// Make this the key of a name with few labels of the usual letters; false: that it is not.
    #[inline(always)]
    fn fill<L: Lanes>(&mut self, lanes: L, name: &Name) -> bool {
        let (held, starts) = (name.held(), name.starts());
        if usize::from(name.labels()) > starts.len() {
            return false;
        }
        let mut length = 0;
        let mut strange = false;
        for &start in starts.iter().rev() {
            let first = usize::from(start) + 1;
            let octets = usize::from(held[first - 1]);
            // what is copied too much is overwritten by the next label, or by the zeros behind the key
            let mut half = |from: usize, octets: usize| {
                let (Some(label), Some(slot)) = (
                    held[first + from..].first_chunk::<32>(),
                    self.bytes.get_mut(length + from..).and_then(|rest| rest.first_chunk_mut::<32>()),
                ) else {
                    return false;
                };
                *slot = *label;
                // a byte of the key's own meaning would make one label look like two
                strange |= u64::from(lanes.at_most(label, key::SEPARATOR)) & ((1 << octets) - 1) != 0;
                true
            };
            if !half(0, octets.min(32)) || octets > 31 && !half(32, octets - 32) {
                return false;
            }
            self.bytes[length + octets] = key::SEPARATOR;
            length += octets + 1;
        }
        length = length.saturating_sub(1);
        let Some(behind) = self.bytes.get_mut(length..length + 32) else { return false };
        behind.fill(0);
        self.length = length;
        self.left_out = 0;
        !strange
    }

    /// The same for any name: from the right, as far as its labels are ones that a listed name may have. False: none is.
    #[cold]
    fn fill_from_the_right(&mut self, name: &Name) -> bool {
        let (mut starts, mut labels, mut at) = ([0; 128], 0, 0);
        while let Some(&octets @ 1..) = name.wire().get(at) {
            starts[labels] = to_u8(at);
            labels += 1;
            at += 1 + usize::from(octets);
        }
        self.length = 0;
        self.left_out = 0;
        for (done, &start) in starts[..labels].iter().rev().enumerate() {
            let first = usize::from(start) + 1;
            let label = &name.wire()[first..first + usize::from(name.wire()[first - 1])];
            if !label.iter().all(|&byte| key::is_label_byte(byte)) {
                self.left_out = to_u8(labels - done);
                break;
            }
            if done > 0 {
                self.bytes[self.length] = key::SEPARATOR;
                self.length += 1;
            }
            self.bytes[self.length..self.length + label.len()].copy_from_slice(label);
            self.length += label.len();
        }
        self.bytes[self.length..self.length + 32].fill(0);
        self.length > 0
    }

    /// The hit of a row whose key is the first `octets` of this one.
    #[inline(always)]
    fn hit(&self, row: u32, octets: usize) -> Hit {
        let labels = self.bytes[octets..self.length].iter().filter(|&&byte| byte == key::SEPARATOR).count();
        Hit { row, distance: to_u8(labels) + self.left_out }
    }
}
