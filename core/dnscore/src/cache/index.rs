//! From a query to its place in the arena: a keyed hash, and buckets of eight slots, one cache line each.

use memmap2::MmapMut;

use super::store::memory;
use crate::wire::Query;

/// Slots of a bucket: 64 bytes.
const SLOTS: usize = 8;

/// 32 bits of hash over 32 bits of place.
type Slot = [u8; 8];

/// No place is 0.
const EMPTY: Slot = [0; 8];

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

/// The buckets, each a cache line of the memory they lie in.
pub(super) struct Index {
    memory: MmapMut,
    buckets: u64,
}

impl Index {
    pub fn new(buckets: usize) -> std::io::Result<Index> {
        Ok(Index { memory: memory(Self::bytes(buckets))?, buckets: buckets as u64 })
    }

    /// Memory taken.
    pub const fn bytes(buckets: usize) -> usize {
        buckets * SLOTS * 8
    }

    #[inline(always)]
    fn at(&self, hash: u64) -> usize {
        (((hash & 0xffff_ffff) * self.buckets) >> 32) as usize
    }

    #[inline(always)]
    fn bucket(&self, hash: u64) -> &[Slot; SLOTS] {
        &self.memory.as_chunks::<8>().0.as_chunks::<SLOTS>().0[self.at(hash)]
    }

    #[inline(always)]
    fn bucket_mut(&mut self, hash: u64) -> &mut [Slot; SLOTS] {
        let at = self.at(hash);
        &mut self.memory.as_chunks_mut::<8>().0.as_chunks_mut::<SLOTS>().0[at]
    }

    /// The first slot of a bucket, read to have the bucket at hand.
    #[inline(always)]
    pub fn first(&self, hash: u64) -> u64 {
        u64::from_le_bytes(self.bucket(hash)[0])
    }

    /// Places whose slot agrees with the hash.
    #[inline]
    pub fn candidates(&self, hash: u64) -> impl Iterator<Item = u32> {
        let tag = hash >> 32;
        self.bucket(hash)
            .iter()
            .map(|slot| u64::from_le_bytes(*slot))
            .filter(move |slot| slot >> 32 == tag && *slot as u32 != 0)
            .map(|slot| slot as u32)
    }

    /// All places of the bucket.
    pub fn places(&self, hash: u64) -> [u32; SLOTS] {
        self.bucket(hash).map(|slot| u64::from_le_bytes(slot) as u32)
    }

    /// Whether the entry of this hash is the one at `place`.
    pub fn holds(&self, hash: u64, place: u32) -> bool {
        self.bucket(hash).contains(&slot(hash, place))
    }

    /// Puts `new` where `old` stands (0: in a free slot). False if there is none.
    pub fn set(&mut self, hash: u64, old: u32, new: u32) -> bool {
        let wanted = if old == 0 { EMPTY } else { slot(hash, old) };
        let held = self.bucket_mut(hash).iter_mut().find(|held| **held == wanted);
        held.map(|held| *held = slot(hash, new)).is_some()
    }

    /// Takes out whatever lies at `place` in the bucket of `hash`.
    pub fn remove(&mut self, hash: u64, place: u32) {
        for held in self.bucket_mut(hash) {
            if u64::from_le_bytes(*held) as u32 == place {
                *held = EMPTY;
            }
        }
    }

    pub fn clear(&mut self) {
        self.memory.fill(0);
    }
}

#[inline(always)]
fn slot(hash: u64, place: u32) -> Slot {
    (hash >> 32 << 32 | u64::from(place)).to_le_bytes()
}
