//! The filter asked first: a Bloom filter over the listed names, which most names that are not listed never pass.
//!
//! Enters: the hash of a name's key. Leaves: "not listed" for certain, or "perhaps" (about one name in a hundred that
//! is not listed). Ten bits a name; the six bits of one name lie in two words of one cache line, so one question costs
//! one miss.

use super::tree::eight;

/// Octets of a cache line, and of a block of the filter.
const LINE: usize = 64;
const BITS_PER_NAME: usize = 10;
const SEED: u64 = 0x243F_6A88_85A3_08D3;
const PRIME: u64 = 0x9E37_79B9_7F4A_7C15;
const OTHER: u64 = 0xD6E8_FEB8_6659_FD93;
/// Ones in the lowest n octets, by n.
const LOW: [u64; 9] =
    [0, 0xFF, 0xFFFF, 0xFF_FFFF, u32::MAX as u64, 0xFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF, u64::MAX >> 8, u64::MAX];

/// The hash of a name, label by label from the right.
#[derive(Clone, Copy, Default)]
pub(crate) struct Hash(u64);

impl Hash {
    /// The hash of the root.
    pub const ROOT: Self = Self(SEED);

    /// The hash one label further down: the first `length` octets of `padded`, of which at least 64 may be read.
    #[inline(always)]
    pub fn below(self, padded: &[u8], length: usize) -> Self {
        let word = |index: usize| {
            let word = u64::from_le_bytes(eight(padded.get(8 * index..).unwrap_or(&[])));
            word & LOW[length.saturating_sub(8 * index).min(8)]
        };
        let mut hash = self.0 ^ word(1).rotate_left(23).wrapping_add(length as u64).wrapping_mul(OTHER);
        hash = (hash ^ word(0)).wrapping_mul(PRIME);
        hash ^= hash >> 32;
        for index in 2..length.div_ceil(8) {
            hash = (hash ^ word(index)).wrapping_mul(PRIME);
            hash ^= hash >> 32;
        }
        Self(hash)
    }

    #[cfg(test)]
    fn of(number: u64) -> Self {
        Self(number.wrapping_mul(PRIME))
    }

    /// The place of the name's line alone.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // below `lines`
    pub fn line(self, lines: usize) -> usize {
        LINE * ((u128::from(self.0) * lines as u128) >> 64) as usize
    }

    /// The place of the name's line among `lines`, and the bits within it: two words of three bits each.
    #[inline(always)]
    pub fn place(self, lines: usize) -> Place {
        let bits = (self.0 ^ SEED).wrapping_mul(PRIME).rotate_left(32).wrapping_mul(PRIME);
        let mask = |shift: u32| {
            let bit = |at: u32| 1u64 << ((bits >> (shift + at)) & 63);
            bit(0) | bit(6) | bit(12)
        };
        let word = (bits >> 61) as usize;
        let other = word ^ (1 + ((bits >> 58) & 7) as usize % 7);
        Place { offset: self.line(lines), words: [8 * word, 8 * other], masks: [mask(20), mask(38)] }
    }
}

/// Where the bits of a name are.
pub(crate) struct Place {
    offset: usize,
    words: [usize; 2],
    masks: [u64; 2],
}

impl Place {
    /// Are all bits of the name set?
    #[inline(always)]
    pub fn is_set(&self, filter: &[u8]) -> bool {
        let has = |index: usize| {
            let at = self.offset + self.words[index];
            let word = filter
                .get(at..at + 8)
                .map_or(u64::MAX, |eight| u64::from_le_bytes(eight.try_into().unwrap_or_default()));
            word & self.masks[index] == self.masks[index]
        };
        has(0) & has(1)
    }

    /// Set them.
    pub fn set(&self, filter: &mut [u8]) {
        for (word, mask) in self.words.iter().zip(self.masks) {
            let slot = &mut filter[self.offset + word..][..8];
            let set = u64::from_le_bytes(eight(slot)) | mask;
            slot.copy_from_slice(&set.to_le_bytes());
        }
    }
}

/// An empty filter for so many names.
pub(crate) fn empty(rows: usize) -> Vec<u8> {
    let lines = (rows * BITS_PER_NAME).div_ceil(8 * LINE).max(1);
    vec![0; lines * LINE]
}

/// Lines of a filter.
pub(crate) const fn lines(filter: &[u8]) -> usize {
    filter.len() / LINE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_name_always_passes_and_few_others_do() {
        let mut filter = empty(50_000);
        let count = lines(&filter);
        (0..50_000).for_each(|number| Hash::of(number).place(count).set(&mut filter));
        assert!((0..50_000).all(|number| Hash::of(number).place(count).is_set(&filter)));
        let passed = (50_000..150_000).filter(|&number| Hash::of(number).place(count).is_set(&filter)).count();
        assert!(passed < 2_000, "{passed} of 100,000");
    }
}
