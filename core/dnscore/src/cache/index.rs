//! From a query to its place in the arena: a keyed hash, and buckets of eight slots, one cache line each.

use memmap2::MmapMut;

use super::memory::memory;
use crate::wire::Query;

/// Slots of a bucket.
const SLOTS: usize = 8;

/// Eight hash halves, then the eight places they stand for; place 0: the slot is free. So all eight are compared at once.
type Bucket = [[u8; 4]; 2 * SLOTS];

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
        buckets * size_of::<Bucket>()
    }

    #[inline(always)]
    fn at(&self, hash: u64) -> usize {
        (((hash & 0xffff_ffff) * self.buckets) >> 32) as usize
    }

    #[inline(always)]
    fn bucket(&self, hash: u64) -> &Bucket {
        &self.memory.as_chunks::<4>().0.as_chunks().0[self.at(hash)]
    }

    #[inline(always)]
    fn bucket_mut(&mut self, hash: u64) -> &mut Bucket {
        let at = self.at(hash);
        &mut self.memory.as_chunks_mut::<4>().0.as_chunks_mut().0[at]
    }

    /// The first word of a bucket, read to have the bucket at hand.
    #[inline(always)]
    pub fn first(&self, hash: u64) -> u32 {
        u32::from_le_bytes(self.bucket(hash)[0])
    }

    /// Places whose slot agrees with the hash.
    #[inline]
    pub fn candidates(&self, hash: u64) -> impl Iterator<Item = u32> {
        let (bucket, tag) = (self.bucket(hash), tag(hash));
        let mut agreeing = 0u32;
        for (slot, held) in bucket[..SLOTS].iter().enumerate() {
            agreeing |= u32::from(u32::from_le_bytes(*held) == tag) << slot;
        }
        std::iter::from_fn(move || {
            while agreeing != 0 {
                let slot = agreeing.trailing_zeros() as usize;
                agreeing &= agreeing - 1;
                let place = u32::from_le_bytes(bucket[SLOTS + slot]);
                if place != 0 {
                    return Some(place);
                }
            }
            None
        })
    }

    /// All places of the bucket.
    pub fn places(&self, hash: u64) -> impl Iterator<Item = u32> {
        self.bucket(hash)[SLOTS..].iter().map(|place| u32::from_le_bytes(*place))
    }

    /// Whether the entry of this hash is the one at `place`.
    pub fn holds(&self, hash: u64, place: u32) -> bool {
        self.candidates(hash).any(|held| held == place)
    }

    /// Puts `new` where `old` stands (0: in a free slot). False if there is none.
    pub fn set(&mut self, hash: u64, old: u32, new: u32) -> bool {
        let bucket = self.bucket_mut(hash);
        let slot = (0..SLOTS).find(|slot| {
            bucket[SLOTS + slot] == old.to_le_bytes() && (old == 0 || bucket[*slot] == tag(hash).to_le_bytes())
        });
        slot.map(|slot| (bucket[slot], bucket[SLOTS + slot]) = (tag(hash).to_le_bytes(), new.to_le_bytes())).is_some()
    }

    /// Removes the entry at `place` in the bucket of `hash`.
    pub fn remove(&mut self, hash: u64, place: u32) {
        for held in &mut self.bucket_mut(hash)[SLOTS..] {
            if *held == place.to_le_bytes() {
                *held = [0; 4];
            }
        }
    }

    pub fn clear(&mut self) {
        self.memory.fill(0);
    }
}

/// The half of the hash that did not choose the bucket.
#[inline(always)]
fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}
