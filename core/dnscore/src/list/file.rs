//! The compiled file: a header, a table of sections, the sections; one checksum over all of it.
//!
//! ```text
//!  0  "STOPLIST"            8  format u32        12  number of sections u32
//! 16  length of the file   24  checksum (XXH64 of the file with these eight octets zero)
//! 32  rows u32             36  records u32       40  rows that have names u32; free
//! 64  sections: offset u64, length u64 each; then the sections, each at a multiple of 64
//! ```
//!
//! All numbers are little-endian. The checksum finds damage; what a hostile file could say is checked by each part that reads
//! a section, when the file is opened.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::Path;

use super::output::{Output, unwritable};
use super::pages::Pages;
use super::types::ListError;
use crate::narrow::to_u32;
use crate::sys::in_words;

const MAGIC: &[u8; 8] = b"STOPLIST";
const FORMAT: u32 = 3;
const HEADER: usize = 64;
const ALIGN: usize = 64;
const CHECKSUM: Range<usize> = 24..32;

/// Sections, in the order in which they stand in the file: what a query touches first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Section {
    Filter,
    Tree,
    Overflow,
    Buckets,
    Chains,
    Tokens,
    Seals,
    Screens,
    Digests,
    Classes,
    Rules,
    Several,
    Records,
    Kinds,
    Meta,
}

const SECTIONS: usize = Section::Meta as usize + 1;

/// Sections that a query may touch.
pub(crate) const HOT: [Section; 11] = [
    Section::Filter,
    Section::Tree,
    Section::Overflow,
    Section::Buckets,
    Section::Chains,
    Section::Tokens,
    Section::Seals,
    Section::Screens,
    Section::Digests,
    Section::Classes,
    Section::Rules,
];

/// A file's content in the making.
#[derive(Default)]
pub(crate) struct Sections {
    pub rows: u32,
    /// Of them, those that have names: they come first.
    pub named: u32,
    pub records: u32,
    contents: [Vec<u8>; SECTIONS],
}

impl Sections {
    pub fn section(&mut self, section: Section) -> &mut Vec<u8> {
        &mut self.contents[section as usize]
    }

    pub fn hot_bytes(&self) -> u64 {
        HOT.iter().map(|&section| self.contents[section as usize].len() as u64).sum()
    }

    pub fn length(&self) -> u64 {
        self.contents
            .iter()
            .fold(start_of_sections() as u64, |at, content| at + content.len().next_multiple_of(ALIGN) as u64)
    }

    fn head(&self) -> Vec<u8> {
        let mut head = Vec::with_capacity(start_of_sections());
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&FORMAT.to_le_bytes());
        head.extend_from_slice(&to_u32(SECTIONS).to_le_bytes());
        head.extend_from_slice(&self.length().to_le_bytes());
        head.extend_from_slice(&[0; 8]);
        head.extend_from_slice(&self.rows.to_le_bytes());
        head.extend_from_slice(&self.records.to_le_bytes());
        head.extend_from_slice(&self.named.to_le_bytes());
        head.resize(HEADER, 0);
        let mut offset = start_of_sections() as u64;
        for content in &self.contents {
            head.extend_from_slice(&offset.to_le_bytes());
            head.extend_from_slice(&(content.len() as u64).to_le_bytes());
            offset += content.len().next_multiple_of(ALIGN) as u64;
        }
        head.resize(start_of_sections(), 0);
        head
    }

    /// The pieces of the file in order, with the checksum filled in.
    fn pieces(&self) -> Vec<std::borrow::Cow<'_, [u8]>> {
        let mut pieces = vec![std::borrow::Cow::Owned(self.head())];
        for content in &self.contents {
            pieces.push(content.as_slice().into());
            pieces.push(vec![0; content.len().next_multiple_of(ALIGN) - content.len()].into());
        }
        let mut sum = Checksum::default();
        pieces.iter().for_each(|piece| sum.update(piece));
        let sum = sum.finish();
        if let std::borrow::Cow::Owned(head) = &mut pieces[0] {
            head[CHECKSUM].copy_from_slice(&sum.to_le_bytes());
        }
        pieces
    }

    /// The whole file in memory.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.pieces().concat()
    }

    /// Write the file, durably, or leave what is there.
    pub fn write(&self, path: &Path) -> Result<(), ListError> {
        let mut output = Output::create(path)?;
        for piece in self.pieces() {
            output.write_all(&piece).map_err(|error| unwritable(path, &error))?;
        }
        output.commit()
    }
}

const fn start_of_sections() -> usize {
    (HEADER + 16 * SECTIONS).next_multiple_of(ALIGN)
}

/// A file's content as it was found, the checksum and the table of sections checked.
#[derive(Debug)]
pub(crate) struct Content {
    pages: Pages,
    ranges: [Range<usize>; SECTIONS],
    pub rows: u32,
    pub named: u32,
    pub records: u32,
}

impl Content {
    pub fn open(path: &Path) -> Result<Self, ListError> {
        let unreadable = |error: std::io::Error| ListError::new("unreadable", in_words(&error));
        let mut file = File::open(path).map_err(unreadable)?;
        Self::check(Pages::read(&mut file).map_err(unreadable)?)
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ListError> {
        Self::check(Pages::copy(bytes).map_err(|error| ListError::new("memory", in_words(&error)))?)
    }

    pub fn get(&self, section: Section) -> &[u8] {
        &self.bytes()[self.ranges[section as usize].clone()]
    }

    pub fn hot_bytes(&self) -> u64 {
        HOT.iter().map(|&section| self.ranges[section as usize].len() as u64).sum()
    }

    pub fn sizes(&self) -> Vec<(&'static str, u64)> {
        let names = ["filter", "tree", "overflow", "buckets", "chains", "tokens"];
        let sealed = ["seals", "screens", "digests"];
        let all = ["classes", "rules", "several", "records", "kinds", "meta"];
        names
            .into_iter()
            .chain(sealed)
            .chain(all)
            .zip(&self.ranges)
            .map(|(name, range)| (name, range.len() as u64))
            .collect()
    }

    pub fn bytes(&self) -> &[u8] {
        self.pages.bytes()
    }

    fn check(pages: Pages) -> Result<Self, ListError> {
        let content = Self { pages, ranges: std::array::from_fn(|_| 0..0), rows: 0, named: 0, records: 0 };
        let all = content.bytes();
        let number =
            |at: usize| all.get(at..at + 8).map_or(0, |eight| u64::from_le_bytes(eight.try_into().unwrap_or_default()));
        if all.len() < start_of_sections() || &all[..8] != MAGIC {
            return Err(damaged("no header"));
        }
        if number(8) != u64::from(FORMAT) | (SECTIONS as u64) << 32 {
            return Err(ListError::new("format", "compiled by another version: compile again"));
        }
        let mut sum = Checksum::default();
        sum.update(&all[..CHECKSUM.start]);
        sum.update(&[0; 8]);
        sum.update(&all[CHECKSUM.end..]);
        if number(16) != all.len() as u64 || number(CHECKSUM.start) != sum.finish() {
            return Err(damaged("the checksum does not fit"));
        }
        let mut ranges = std::array::from_fn(|_| 0..0);
        let mut free = start_of_sections();
        for (index, range) in ranges.iter_mut().enumerate() {
            let (offset, length) = (number(HEADER + 16 * index), number(HEADER + 16 * index + 8));
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let end = usize::try_from(length).ok().and_then(|length| start.checked_add(length));
            match end {
                Some(end) if start == free && end <= all.len() => *range = start..end,
                _ => return Err(damaged("a section lies outside")),
            }
            free = range.end.next_multiple_of(ALIGN);
        }
        let (rows, records) = ((number(32) & 0xffff_ffff) as u32, (number(32) >> 32) as u32);
        let named = (number(40) & 0xffff_ffff) as u32;
        if named > rows {
            return Err(damaged("more names than rows"));
        }
        Ok(Self { ranges, rows, named, records, ..content })
    }
}

/// The error of a file that is not what the compiler writes.
pub(crate) fn damaged(what: &str) -> ListError {
    ListError::new("damaged", format!("damaged compiled list: {what}"))
}

/// XXH64 with seed 0, by its specification (doc/xxhash_spec.md of Cyan4973/xxHash).
pub(crate) struct Checksum {
    lanes: [u64; 4],
    rest: Vec<u8>,
    length: u64,
}

const PRIME: [u64; 5] =
    [0x9E37_79B1_85EB_CA87, 0xC2B2_AE3D_27D4_EB4F, 0x1656_67B1_9E37_79F9, 0x85EB_CA77_C2B2_AE63, 0x27D4_EB2F_1656_67C5];

impl Default for Checksum {
    fn default() -> Self {
        let lanes = [PRIME[0].wrapping_add(PRIME[1]), PRIME[1], 0, 0u64.wrapping_sub(PRIME[0])];
        Self { lanes, rest: Vec::new(), length: 0 }
    }
}

impl Checksum {
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len() as u64;
        if !self.rest.is_empty() {
            let missing = (32 - self.rest.len()).min(bytes.len());
            self.rest.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            if self.rest.len() < 32 {
                return;
            }
            let rest = std::mem::take(&mut self.rest);
            self.stripes(&rest);
        }
        let whole = bytes.len() - bytes.len() % 32;
        self.stripes(&bytes[..whole]);
        self.rest.extend_from_slice(&bytes[whole..]);
    }

    pub fn finish(self) -> u64 {
        let [a, b, c, d] = self.lanes;
        let mut sum = if self.length < 32 {
            PRIME[4]
        } else {
            let sum = a.rotate_left(1).wrapping_add(b.rotate_left(7));
            let sum = sum.wrapping_add(c.rotate_left(12)).wrapping_add(d.rotate_left(18));
            self.lanes
                .iter()
                .fold(sum, |sum, &lane| (sum ^ round(0, lane)).wrapping_mul(PRIME[0]).wrapping_add(PRIME[3]))
        };
        sum = sum.wrapping_add(self.length);
        let eights = self.rest.chunks_exact(8);
        let fours = eights.remainder().chunks_exact(4);
        for &byte_group in eights.map(word).collect::<Vec<_>>().iter() {
            sum = (sum ^ round(0, byte_group)).rotate_left(27).wrapping_mul(PRIME[0]).wrapping_add(PRIME[3]);
        }
        let ones = fours.remainder();
        for four in fours {
            sum =
                (sum ^ word(four).wrapping_mul(PRIME[0])).rotate_left(23).wrapping_mul(PRIME[1]).wrapping_add(PRIME[2]);
        }
        for &one in ones {
            sum = (sum ^ u64::from(one).wrapping_mul(PRIME[4])).rotate_left(11).wrapping_mul(PRIME[0]);
        }
        sum = (sum ^ sum >> 33).wrapping_mul(PRIME[1]);
        sum = (sum ^ sum >> 29).wrapping_mul(PRIME[2]);
        sum ^ sum >> 32
    }

    fn stripes(&mut self, bytes: &[u8]) {
        let [mut a, mut b, mut c, mut d] = self.lanes;
        for stripe in bytes.chunks_exact(32) {
            a = round(a, word(&stripe[..8]));
            b = round(b, word(&stripe[8..16]));
            c = round(c, word(&stripe[16..24]));
            d = round(d, word(&stripe[24..]));
        }
        self.lanes = [a, b, c, d];
    }
}

fn round(lane: u64, input: u64) -> u64 {
    lane.wrapping_add(input.wrapping_mul(PRIME[1])).rotate_left(31).wrapping_mul(PRIME[0])
}

/// Up to eight octets as a little-endian number.
fn word(bytes: &[u8]) -> u64 {
    let mut eight = [0; 8];
    eight[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(eight)
}

/// The bytes with the length and the checksum that they would have been written with, whatever else they say: how the
/// tests and the fuzzers come past the first checks.
#[doc(hidden)]
#[must_use]
pub fn with_right_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() < start_of_sections() {
        return bytes;
    }
    let length = bytes.len() as u64;
    bytes[16..24].copy_from_slice(&length.to_le_bytes());
    bytes[CHECKSUM].fill(0);
    let mut sum = Checksum::default();
    sum.update(&bytes);
    bytes[CHECKSUM].copy_from_slice(&sum.finish().to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_xxh64() {
        // the empty and the short ones as published with the algorithm; the long one crosses stripes
        for (text, sum) in [("", 0xEF46_DB37_51D8_E999), ("a", 0xD24E_C4F1_A98C_6E5B), ("abc", 0x44BC_2CF5_AD77_0999)] {
            let mut checksum = Checksum::default();
            checksum.update(text.as_bytes());
            assert_eq!(checksum.finish(), sum, "{text:?}");
        }
        let long: Vec<u8> = (0..=255).collect();
        let mut whole = Checksum::default();
        whole.update(&long);
        let whole = whole.finish();
        for cut in 0..long.len() {
            let mut parts = Checksum::default();
            parts.update(&long[..cut]);
            parts.update(&long[cut..]);
            assert_eq!(parts.finish(), whole);
        }
    }
}
