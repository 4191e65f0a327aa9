//! From a query to its place in the arena: a keyed hash, and buckets of eight slots, one cache line each.

use crate::udp::prefer_huge_pages;
use crate::wire::Query;

/// Slots of a bucket: 64 bytes.
const SLOTS: usize = 8;

/// What a query is looked for under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Key {
    pub(super) hash: u64,
    pub(super) bits: u8,
    pub(super) view: u8,
}

/// Hashes names under four secret words, by folded multiplication as wyhash does. Who does not know the secret cannot
/// choose names that share a bucket; who finds some by chance pushes out as many entries as a bucket holds.
pub(super) struct Hasher {
    secret: [u64; 4],
}

impl Hasher {
    pub fn new(seed: [u64; 2]) -> Hasher {
        let [mut state, other] = seed;
        Hasher {
            secret: std::array::from_fn(|_| {
                // splitmix64
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut word = state ^ other;
                word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
                word ^ word >> 31
            }),
        }
    }

    /// The key of a query: name, type, DO, CD, view.
    #[inline]
    pub fn key(&self, query: &Query, view: u8) -> Key {
        let bits = u8::from(query.dnssec_ok()) | u8::from(query.cd()) << 1;
        let length = query.qname.len();
        let rest = length as u64 | u64::from(query.qtype) << 8 | u64::from(bits) << 24 | u64::from(view) << 32;
        let mut hash = self.secret[0] ^ rest;
        // The name is followed by zeros up to the next 16, and its length is in `rest`.
        for chunk in query.qname.padded() {
            let low = u64::from_le_bytes(std::array::from_fn(|i| chunk[i]));
            let high = u64::from_le_bytes(std::array::from_fn(|i| chunk[8 + i]));
            hash = fold(low ^ self.secret[1], high ^ hash);
        }
        Key { hash: fold(hash ^ self.secret[2], self.secret[3]), bits, view }
    }
}

#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// The buckets. A slot is 32 bits of hash over 32 bits of place; place 0 is none.
pub(super) struct Index {
    slots: Vec<u64>,
    /// Slots before the first whole cache line.
    skip: usize,
    buckets: u64,
}

impl Index {
    pub fn new(buckets: usize) -> Index {
        let mut slots = vec![0u64; (buckets + 1) * SLOTS];
        prefer_huge_pages(&mut slots);
        let skip = slots.as_ptr().align_offset(SLOTS * 8).min(SLOTS);
        Index { slots, skip, buckets: buckets as u64 }
    }

    /// Memory taken.
    pub const fn bytes(buckets: usize) -> usize {
        (buckets + 1) * SLOTS * 8
    }

    #[inline(always)]
    fn start(&self, hash: u64) -> usize {
        self.skip + (((hash & 0xffff_ffff) * self.buckets) >> 32) as usize * SLOTS
    }

    #[inline(always)]
    fn bucket(&self, hash: u64) -> &[u64; SLOTS] {
        let start = self.start(hash);
        self.slots[start..].first_chunk().unwrap_or(&[0; SLOTS])
    }

    /// The first slot of a bucket, read to have the bucket at hand.
    #[inline(always)]
    pub fn first(&self, hash: u64) -> u64 {
        self.bucket(hash)[0]
    }

    /// Places whose slot agrees with the hash.
    #[inline]
    pub fn candidates(&self, hash: u64) -> impl Iterator<Item = u32> {
        let tag = hash >> 32;
        self.bucket(hash).iter().filter(move |slot| **slot >> 32 == tag && **slot as u32 != 0).map(|slot| *slot as u32)
    }

    /// All places of the bucket.
    pub fn places(&self, hash: u64) -> [u32; SLOTS] {
        self.bucket(hash).map(|slot| slot as u32)
    }

    /// Whether the entry of this hash is the one at `place`.
    pub fn holds(&self, hash: u64, place: u32) -> bool {
        self.bucket(hash).contains(&slot(hash, place))
    }

    /// Puts `new` where `old` stands (0: in a free slot). False if there is none.
    pub fn set(&mut self, hash: u64, old: u32, new: u32) -> bool {
        let start = self.start(hash);
        for held in &mut self.slots[start..start + SLOTS] {
            if *held == slot(hash, old) || (old == 0 && *held as u32 == 0) {
                *held = slot(hash, new);
                return true;
            }
        }
        false
    }

    /// Takes out whatever lies at `place` in the bucket of `hash`.
    pub fn remove(&mut self, hash: u64, place: u32) {
        let start = self.start(hash);
        for held in &mut self.slots[start..start + SLOTS] {
            if *held as u32 == place {
                *held = 0;
            }
        }
    }

    pub fn clear(&mut self) {
        self.slots.fill(0);
    }
}

#[inline(always)]
fn slot(hash: u64, place: u32) -> u64 {
    if place == 0 { 0 } else { hash >> 32 << 32 | u64::from(place) }
}
