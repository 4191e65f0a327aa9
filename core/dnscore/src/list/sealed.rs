//! Sealed lists in the compiled file: digests in place of names, and their look-up in a batch.
//!
//! Enters: digests list by list, ascending; when the file is open, the list's key; then query names. Leaves: for each query the
//! rows whose digest is that of the name or of one above it. Rules:
//!
//! - Every name at or above the query is asked for, however many labels it has; a digest is compared whole.
//! - The keys are not in the file. A list whose key was not given finds nothing. The file has the root's digest, so that
//!   another list's key, or an older one, is refused.
//! - Names of a batch are made into words once and hashed for each list, eight at a time: that costs more than all else.
//!   The filter asks for the first half of a digest alone; the second one is computed of what passes.
//!
//! ```text
//! seals:   24 octets a list: number of the list u32, digests u32, digest of the root
//! screens: a filter a list, twelve bits a digest: about one name in a hundred passes that is not listed
//! digests: 16 octets each, list after list
//! ```

use std::ops::Range;
use std::sync::OnceLock;

use super::digest::{self, DIGEST, Digest, KEY};
use super::file::{Content, Section, Sections, damaged};
use super::hits::Hits;
use super::suffixes::{Found, LANES, Suffix, Suffixes};
use super::types::ListError;
use super::vector::{Lanes, bits_of, line_of, prefetch};
use crate::narrow::to_u32;
use crate::sys::Locked;
use crate::wire::Name;

const SEAL: usize = 24;
const BITS_PER_DIGEST: usize = 12;
/// Digests that one place of the index covers, about.
const STRIDE: u32 = 8;
/// The lowest bits, by how many lanes are filled.
const FILLED: [u32; LANES + 1] = [0, 0x01, 0x03, 0x07, 0x0F, 0x1F, 0x3F, 0x7F, 0xFF];
/// Lines of a filter that a processor keeps near (128 KiB): nothing is gained by asking for them in advance.
const NEAR: usize = 1 << 14;

/// Begin a list in the making; `check` is the root's digest.
pub(super) fn begin(sections: &mut Sections, list: u8, check: &Digest) {
    let seals = sections.section(Section::Seals);
    seals.extend_from_slice(&u32::from(list).to_le_bytes());
    seals.extend_from_slice(&[0; 4]);
    seals.extend_from_slice(check);
}

/// Add a digest to the list that was begun last.
pub(super) fn push(sections: &mut Sections, digest: &Digest) {
    sections.section(Section::Digests).extend_from_slice(digest);
    let seals = sections.section(Section::Seals);
    let at = seals.len() - SEAL + 4;
    let count = number(&seals[at..at + 4]) + 1;
    seals[at..at + 4].copy_from_slice(&count.to_le_bytes());
}

/// After the last digest of the last list.
pub(super) fn finish(sections: &mut Sections) {
    let counts: Vec<u32> =
        sections.section(Section::Seals).chunks_exact(SEAL).map(|seal| number(&seal[4..8])).collect();
    let mut screens = Vec::new();
    let mut rest = sections.section(Section::Digests).as_slice();
    for count in counts {
        let (own, others) = rest.split_at(count as usize * DIGEST);
        screens.extend_from_slice(&screen(own));
        rest = others;
    }
    *sections.section(Section::Screens) = screens;
}

/// The filter of these digests: lines of 64 bits, in which each digest sets four.
fn screen(digests: &[u8]) -> Vec<u8> {
    let lines = to_u32((digests.len() / DIGEST * BITS_PER_DIGEST).div_ceil(512).max(1) * 8);
    let mut screen = vec![[0; 8]; lines as usize];
    for digest in digests.as_chunks::<DIGEST>().0 {
        let line = &mut screen[to_usize(line_of(first(digest), lines))];
        *line = (u64::from_le_bytes(*line) | bits_of(first(digest))).to_le_bytes();
    }
    screen.into_flattened()
}

/// The octets of a digest that its place in the filter comes from.
fn first(digest: &Digest) -> u64 {
    number64(&digest[..8])
}

#[inline(always)]
fn number64(eight: &[u8]) -> u64 {
    u64::from_le_bytes(eight.try_into().unwrap_or_default())
}

fn number(four: &[u8]) -> u32 {
    u32::from_le_bytes(four.try_into().unwrap_or_default())
}

/// The sealed lists of an open file.
#[derive(Debug, Default)]
pub(super) struct Sealed {
    lists: Vec<Seal>,
}

#[derive(Debug)]
struct Seal {
    list: u8,
    check: Digest,
    first_row: u32,
    digests: Range<usize>,
    screen: Range<usize>,
    /// The first digest of each part of the range of all digests, and the end; a power of two of parts.
    starts: Vec<u32>,
    /// By how much the first eight octets are shifted to give the part.
    shift: u32,
    key: OnceLock<Locked>,
}

impl Sealed {
    /// Check everything that look-ups rely on.
    pub fn open(content: &Content) -> Result<Self, ListError> {
        let mut sealed = Self::default();
        let (mut row, mut digest, mut line) = (content.named, 0, 0);
        let seals = content.get(Section::Seals);
        for seal in seals.chunks_exact(SEAL) {
            let list = u8::try_from(number(&seal[..4])).map_err(|_| damaged("seals"))?;
            let count = number(&seal[4..8]);
            let digests = digest..digest + count as usize * DIGEST;
            let own = content.get(Section::Digests).get(digests.clone()).ok_or_else(|| damaged("digests"))?;
            let filter = screen(own);
            let found = Seal {
                list,
                check: seal[8..].try_into().unwrap_or_default(),
                first_row: row,
                screen: line..line + filter.len(),
                starts: Vec::new(),
                shift: 0,
                key: OnceLock::new(),
                digests,
            };
            let ascends = own.as_chunks::<DIGEST>().0.is_sorted_by(|one, other| one < other);
            let in_order = sealed.lists.last().is_none_or(|last| last.list < list);
            if !ascends || !in_order || content.get(Section::Screens).get(found.screen.clone()) != Some(&filter) {
                return Err(damaged("digests"));
            }
            row = row.checked_add(count).ok_or_else(|| damaged("digests"))?;
            (digest, line) = (found.digests.end, found.screen.end);
            sealed.lists.push(found.indexed(own));
        }
        let whole = seals.len().is_multiple_of(SEAL)
            && row == content.rows
            && digest == content.get(Section::Digests).len()
            && line == content.get(Section::Screens).len();
        if whole { Ok(sealed) } else { Err(damaged("seals")) }
    }

    /// Octets that look-ups touch beside the sections.
    pub fn size(&self) -> usize {
        self.lists.iter().map(|seal| 4 * seal.starts.len()).sum()
    }

    /// The list that a row is of, if it is a sealed one.
    pub fn list_of(&self, row: u32) -> Option<u8> {
        let at = self.lists.partition_point(|seal| seal.first_row <= row);
        at.checked_sub(1).map(|at| self.lists[at].list)
    }

    /// Has one of the lists its key?
    pub fn is_open(&self) -> bool {
        self.lists.iter().any(|seal| seal.key.get().is_some())
    }

    /// Give a list its key.
    pub fn unseal(&self, list: u8, key: &[u8; KEY]) -> Result<(), ListError> {
        let seal = self.lists.iter().find(|seal| seal.list == list);
        let seal = seal.ok_or_else(|| ListError::new("key", format!("list {list} is not sealed")))?;
        if digest::sealed_digest(key, &Name::ROOT) != seal.check {
            return Err(ListError::new("key", format!("this is not the key of list {list}")));
        }
        let locked = Locked::new(key).map_err(|error| {
            ListError::new("memory", format!("no locked memory for the key of list {list}: {error}"))
        })?;
        // where somebody else gave it meanwhile, that one is as good
        let _ = seal.key.set(locked);
        Ok(())
    }

    /// Find all rows at or above each of a batch of names, and put them among the `hits` of these names, the last ones.
    #[inline(always)]
    pub fn look_up<L: Lanes>(&self, lanes: L, content: &Content, names: &[&Name], hits: &mut Hits) {
        let Hits { suffixes, .. } = hits;
        if !self.is_open() {
            return;
        }
        suffixes.fill(names);
        for seal in &self.lists {
            if let Some(key) = seal.key.get() {
                seal.look_up(lanes, content, key.get(), suffixes);
            }
        }
        if !suffixes.found.is_empty() {
            suffixes.share(names);
            hits.merge(names.len());
        }
    }
}

impl Seal {
    fn indexed(mut self, digests: &[u8]) -> Self {
        let digests = digests.as_chunks::<DIGEST>().0;
        let parts = (to_u32(digests.len()) / STRIDE).max(2).next_power_of_two();
        self.shift = u64::BITS - parts.trailing_zeros();
        let mut at = 0;
        for part in 0..u64::from(parts) {
            while digests.get(at).is_some_and(|digest| self.part(digest) < part) {
                at += 1;
            }
            self.starts.push(to_u32(at));
        }
        self.starts.push(to_u32(digests.len()));
        self
    }

    fn part(&self, digest: &Digest) -> u64 {
        u64::from_be_bytes(*digest.first_chunk().unwrap_or(&[0; 8])) >> self.shift
    }

    #[inline(always)]
    fn look_up<L: Lanes>(&self, lanes: L, content: &Content, key: &[u8; KEY], suffixes: &mut Suffixes) {
        let screen = content.get(Section::Screens)[self.screen.clone()].as_chunks::<8>().0;
        let (lines, key) = (to_u32(screen.len()), digest::key_words(key));
        let is_far = screen.len() > NEAR;
        let Suffixes { groups, words, asked, found, .. } = suffixes;
        asked.clear();
        for group in groups.iter() {
            let own = lanes.screened(key, group.words(words), lines);
            if is_far {
                own[0].iter().for_each(|&line| prefetch(screen.as_flattened(), 8 * to_usize(line)));
            }
            asked.push(own);
        }
        for (group, [places, bits]) in groups.iter().zip(asked.iter()) {
            let mut passed = 0u32;
            for lane in (0..LANES).rev() {
                let own = screen.get(to_usize(places[lane])).map_or(0, |line| u64::from_le_bytes(*line));
                passed = passed << 1 | u32::from(own & bits[lane] == bits[lane]);
            }
            passed &= FILLED[usize::from(group.filled) % FILLED.len()];
            while passed != 0 {
                let lane = passed.trailing_zeros() as usize;
                passed &= passed - 1;
                if let Some(row) = self.find(content, key, group.words(words), lane) {
                    let Suffix { name, distance } = group.of[lane];
                    found.push(Found { name, distance, row });
                }
            }
        }
    }

    /// The row of the name in a lane, exactly.
    #[cold]
    #[inline(never)]
    fn find(&self, content: &Content, key: [u64; 2], words: &[[u64; LANES]], lane: usize) -> Option<u32> {
        let halves = digest::siphash_words(key, words.iter().map(|word| word[lane]));
        let mut digest = [0; DIGEST];
        digest[..8].copy_from_slice(&halves[0].to_le_bytes());
        digest[8..].copy_from_slice(&halves[1].to_le_bytes());
        let part = usize::try_from(self.part(&digest)).ok()?;
        let (start, end) = (*self.starts.get(part)?, *self.starts.get(part + 1)?);
        let all = content.get(Section::Digests)[self.digests.clone()].as_chunks::<DIGEST>().0;
        let at = all.get(start as usize..end as usize)?.binary_search(&digest).ok()?;
        Some(self.first_row + start + to_u32(at))
    }
}

/// A line's number as an index.
#[inline(always)]
#[allow(clippy::cast_possible_truncation)] // a filter has fewer lines than 32 bits number
fn to_usize(line: u64) -> usize {
    line as usize
}
