//! Unpredictable numbers, drawn from the kernel a page at a time so that a batch of queries costs no system call.

/// A source of bytes that nobody can guess. Handed in, so that tests can repeat themselves.
pub struct Random {
    source: Source,
    pool: Box<[u8; POOL]>,
    at: usize,
}

enum Source {
    Filler(fn(&mut [u8])),
    Seeded(u64),
}

const POOL: usize = 4096;

impl Random {
    /// Filled by `filler`, which must be cryptographically strong.
    pub fn new(filler: fn(&mut [u8])) -> Random {
        Random { source: Source::Filler(filler), pool: Box::new([0; POOL]), at: POOL }
    }

    /// The same numbers for the same seed: for tests alone.
    pub fn seeded(seed: u64) -> Random {
        Random { source: Source::Seeded(seed), pool: Box::new([0; POOL]), at: POOL }
    }

    #[cold]
    fn refill(&mut self) {
        match &mut self.source {
            Source::Filler(fill) => fill(&mut self.pool[..]),
            Source::Seeded(state) => {
                for chunk in self.pool.chunks_exact_mut(8) {
                    // SplitMix64 (Steele, Lea, Flood 2014)
                    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                    let mut z = *state;
                    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                    chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes());
                }
            }
        }
        self.at = 0;
    }

    #[inline]
    fn take<const N: usize>(&mut self) -> [u8; N] {
        if self.at + N > POOL {
            self.refill();
        }
        let mut out = [0; N];
        out.copy_from_slice(&self.pool[self.at..self.at + N]);
        // What was handed out is forgotten: a later disclosure of memory must not tell ids that are still in flight.
        self.pool[self.at..self.at + N].fill(0);
        self.at += N;
        out
    }

    /// Sixteen bits: a message id.
    #[inline]
    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    /// Sixty-four bits: letter case, seeds.
    #[inline]
    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    /// Below `bound` (at most 2^16), without a bias that mattered: 32 random bits are scaled.
    #[inline]
    pub fn below(&mut self, bound: usize) -> usize {
        let random = u64::from(u32::from_le_bytes(self.take()));
        ((random * bound as u64) >> 32) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_below_a_bound_reach_all_of_it_and_nothing_beyond() {
        let mut random = Random::seeded(7);
        let mut seen = [0u32; 256];
        for _ in 0..25_600 {
            seen[random.below(256)] += 1;
        }
        assert!(seen.iter().all(|&n| (40..200).contains(&n)), "{seen:?}");
    }

    #[test]
    fn what_was_handed_out_is_no_longer_in_the_pool() {
        let mut random = Random::seeded(7);
        let first = random.u64().to_le_bytes();
        assert!(!random.pool.windows(8).any(|w| w == first));
    }
}
