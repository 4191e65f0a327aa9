//! A bucket: 32 names in order, front-coded in columns.
//!
//! ```text
//!  0  shared: 32 numbers of four bits, octets that a name shares with the one before it, less the bucket's base;
//!     15: in the list of long ones. The first, the head, shares with none: its number holds the flags below
//! 16  next: 32 octets, each name's first octet after those; in the head's place the base
//! 48  lengths: 32 numbers of four bits, octets of code for what follows; 15: in the list of long ones
//! 64  with flag 4: number of a chain, three octets
//!     with flag 1: the long shared, one octet each        with flag 2: the long lengths, two octets each
//!     the code of the head after its node's prefix, then of each name after its next octet
//! ```
//!
//! Packed numbers: the low halves of all octets first. Rows missing from the last bucket share nothing, go on with 0xFF
//! and have no code.
//!
//! To find what a key meets: while names go on they only leave the key later or not at all, so with m octets in common
//! with the last name looked at, a name that shares more than m with its neighbour is passed over, one that shares less
//! is above the key, and one that shares just m decides by its next octet. One comparison of all columns finds it.

use super::code::{Coder, Decoder, Met, SLACK};
use super::key;
use super::tree::{FAN_OUT, PADDED, Prefix};
use super::vector::Lanes;
use crate::narrow::{to_u8, to_u16};

const COLUMNS: usize = 64;
const LONG: usize = 15;
const LONG_SHARED: u8 = 1;
const LONG_LENGTHS: u8 = 2;
const CHAIN: u8 = 4;

/// Octets that follow the last bucket in its section.
pub(crate) const PADDING: usize = 32;
/// No chain.
pub(crate) const NO_CHAIN: u32 = 0xFF_FFFF;

/// A name in a bucket to be written: octets shared with the name before, then the rest.
pub(crate) struct Name<'a> {
    pub shared: usize,
    pub suffix: &'a [u8],
}

/// Append a bucket. `head` is the first name after its node's prefix; `names` are those after it.
pub(crate) fn write(coder: &mut Coder, head: &[u8], names: &[Name<'_>], chain: u32, out: &mut Vec<u8>) {
    let base = names.iter().map(|name| name.shared).min().unwrap_or(0);
    let (mut shared, mut firsts, mut lengths) = ([0; FAN_OUT], [0xFF; FAN_OUT], [0; FAN_OUT]);
    let (mut long_shared, mut long_lengths, mut codes) = (Vec::new(), Vec::new(), Vec::new());
    let mut length = |octets: usize, slot: &mut u8| {
        *slot = to_u8(octets.min(LONG));
        if octets >= LONG {
            long_lengths.extend_from_slice(&to_u16(octets).to_le_bytes());
        }
    };
    firsts[0] = to_u8(base);
    length(coder.encode(head, &mut codes), &mut lengths[0]);
    for (index, name) in (1..).zip(names) {
        let above = name.shared - base;
        shared[index] = to_u8(above.min(LONG));
        if above >= LONG {
            long_shared.push(to_u8(above));
        }
        firsts[index] = name.suffix[0];
        length(coder.encode(&name.suffix[1..], &mut codes), &mut lengths[index]);
    }
    for (flag, holds) in
        [(LONG_SHARED, !long_shared.is_empty()), (LONG_LENGTHS, !long_lengths.is_empty()), (CHAIN, chain != NO_CHAIN)]
    {
        shared[0] |= if holds { flag } else { 0 };
    }
    out.extend((0..16).map(|index| shared[index] | shared[index + 16] << 4));
    out.extend_from_slice(&firsts);
    out.extend((0..16).map(|index| lengths[index] | lengths[index + 16] << 4));
    if chain != NO_CHAIN {
        out.extend_from_slice(&chain.to_le_bytes()[..3]);
    }
    out.extend_from_slice(&long_shared);
    out.extend_from_slice(&long_lengths);
    out.extend_from_slice(&codes);
}

/// The chain of the bucket that starts `area`, if it has one.
#[inline(always)]
pub(crate) fn chain(area: &[u8]) -> Option<u32> {
    let flags = area.first()? & 15;
    let three = area.get(COLUMNS..COLUMNS + 3).filter(|_| flags & CHAIN != 0)?;
    Some(u32::from_le_bytes([three[0], three[1], three[2], 0]))
}

/// A bucket, its columns unpacked.
pub(crate) struct Bucket<'a> {
    area: &'a [u8],
    shared: [u8; FAN_OUT],
    firsts: &'a [u8; FAN_OUT],
    lengths: [u8; FAN_OUT],
    /// Bit i: the length of name i is in the list of long ones, which starts there.
    long: u32,
    long_at: usize,
    base: usize,
    codes: usize,
    pub chain: u32,
}

impl<'a> Bucket<'a> {
    /// The bucket that starts `area`; `None` if it ends too early for one.
    #[inline(always)]
    pub fn read<L: Lanes>(lanes: L, area: &'a [u8]) -> Option<Self> {
        let columns: &[u8; COLUMNS] = area.get(..COLUMNS)?.try_into().ok()?;
        let firsts: &[u8; FAN_OUT] = columns[16..48].try_into().ok()?;
        let flags = columns[0] & 15;
        let mut bucket = Self {
            area,
            shared: lanes.halves(columns[..16].try_into().ok()?),
            firsts,
            lengths: lanes.halves(columns[48..].try_into().ok()?),
            long: 0,
            long_at: COLUMNS,
            base: usize::from(firsts[0]),
            codes: COLUMNS,
            chain: NO_CHAIN,
        };
        if flags != 0 {
            bucket.read_rest(lanes, flags)?;
        }
        Some(bucket)
    }

    fn read_rest<L: Lanes>(&mut self, lanes: L, flags: u8) -> Option<()> {
        if flags & CHAIN != 0 {
            self.chain = chain(self.area)?;
            self.codes += 3;
        }
        if flags & LONG_SHARED != 0 {
            // the head's own number holds the flags
            let mut long = !lanes.at_most(&self.shared, to_u8(LONG) - 1) & !1;
            while long != 0 {
                self.shared[long.trailing_zeros() as usize] = *self.area.get(self.codes)?;
                self.codes += 1;
                long &= long - 1;
            }
        }
        if flags & LONG_LENGTHS != 0 {
            self.long = !lanes.at_most(&self.lengths, to_u8(LONG) - 1);
            self.long_at = self.codes;
            self.codes += 2 * self.long.count_ones() as usize;
            self.area.get(self.long_at..self.codes)?;
        }
        Some(())
    }

    /// The lengths that four bits do not hold, in order.
    #[inline(always)]
    fn long_lengths(&self) -> impl Iterator<Item = usize> {
        let of_all = self.area.get(self.long_at..self.codes).unwrap_or(&[]);
        of_all.chunks_exact(2).map(|two| usize::from(u16::from_le_bytes([two[0], two[1]])))
    }

    /// Where the code of a name starts and ends.
    #[inline(always)]
    fn code<L: Lanes>(&self, lanes: L, index: usize) -> (usize, usize) {
        let mut start = self.codes + lanes.sum(&self.lengths, index);
        let mut length = usize::from(self.lengths[index]);
        if self.long != 0 {
            let before = (self.long & !(!0 << index)).count_ones() as usize;
            let mut long = self.long_lengths();
            start += long.by_ref().take(before).map(|octets| octets.saturating_sub(LONG)).sum::<usize>();
            if self.long >> index & 1 != 0 {
                length = long.next().unwrap_or(0);
            }
        }
        (start, start + length)
    }

    /// Compare what follows a name's next octet (or a head's prefix) with the key from its octet `from` on.
    #[inline(always)]
    fn meet<L: Lanes>(&self, lanes: L, decoder: &Decoder, index: usize, key: &[u8; PADDED], from: usize) -> Met {
        let (start, end) = self.code(lanes, index);
        decoder.compare(self.area, start, end, key, from)
    }

    /// Find the names that are the key's own or above it: calls `found` with the index and the octets of each, the
    /// topmost first. Returns how many octets the key shares with the head.
    #[inline(always)]
    pub fn scan<L: Lanes>(
        &self,
        lanes: L,
        decoder: &Decoder,
        prefix: Prefix,
        key: &[u8; PADDED],
        length: usize,
        mut found: impl FnMut(usize, usize),
    ) -> usize {
        let with_head = match prefix {
            Prefix::Below { .. } => return prefix.shared(),
            Prefix::Above { shared } => shared,
            Prefix::Same { length: prefix } => match self.meet(lanes, decoder, 0, key, prefix) {
                Met::Before(with_head) => return with_head,
                Met::Beyond(with_head) => with_head,
                Met::Whole(with_head) => {
                    if is_whole(key, length, with_head) {
                        found(0, with_head);
                    }
                    with_head
                }
            },
        };
        let mut common_now = with_head;
        let mut after = !1u32;
        while common_now < length && common_now >= self.base {
            let (level, next) = (to_u8(common_now - self.base), key[common_now]);
            let mask = lanes.candidates(&self.shared, self.firsts, level, next) & after;
            let index = mask.trailing_zeros() as usize;
            if index >= FAN_OUT || self.shared[index] != level || self.firsts[index] != next {
                break;
            }
            after = (!1u32) << index;
            match self.meet(lanes, decoder, index, key, common_now + 1) {
                Met::Before(_) => break,
                Met::Beyond(shared) => common_now = shared,
                Met::Whole(shared) => {
                    common_now = shared;
                    if is_whole(key, length, shared) {
                        found(index, shared);
                    }
                }
            }
        }
        with_head
    }

    /// Walk the names in order: `next` gets each whole key, after the check that the columns say what it says. `key`
    /// holds the node's prefix (`prefix` octets). `None` if the bucket is not one that a builder writes.
    pub fn walk(
        &self,
        decoder: &Decoder,
        names: usize,
        prefix: usize,
        key: &mut [u8; PADDED],
        mut next: impl FnMut(usize, &[u8]) -> Option<()>,
    ) -> Option<usize> {
        let mut length = prefix;
        let mut codes_end = self.codes;
        let mut long = self.long_lengths();
        for index in 0..FAN_OUT {
            let start = codes_end;
            let octets = match self.long >> index & 1 {
                0 => usize::from(self.lengths[index]),
                _ => long.next().filter(|&octets| octets >= LONG)?,
            };
            let end = start + octets;
            if index >= names {
                let free = self.shared[index] == 0 && self.firsts[index] == 0xFF && start == end;
                if !free {
                    return None;
                }
                continue;
            }
            let mut from = prefix;
            let mut before = 0xFF;
            if index > 0 {
                from = self.base + usize::from(self.shared[index]);
                if from > length {
                    return None;
                }
                before = if from == length { 0 } else { key[from] };
                key[from] = self.firsts[index];
                from += 1;
            }
            if end + 8 > self.area.len() {
                return None;
            }
            let stop = decoder.decode(self.area, start, end, key, from);
            if stop > key::MAX_KEY || stop == 0 || index > 0 && self.firsts[index] <= before {
                return None;
            }
            length = stop;
            codes_end = end;
            next(index, &key[..length])?;
        }
        Some(codes_end)
    }
}

/// Is what the key shares with a name a whole name: does the key end there, or go on with another label?
#[inline(always)]
fn is_whole(key: &[u8; PADDED], length: usize, shared: usize) -> bool {
    shared == length || key[shared] == key::SEPARATOR
}

const _: () = assert!(key::MAX_KEY + SLACK <= PADDED);
