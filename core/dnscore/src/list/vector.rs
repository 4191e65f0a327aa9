//! What needs the machine itself: prefetching, comparing 32 octets at a time, hashing eight names at a time.
//!
//! Every vector operation exists twice: [`Portable`], in plain Rust, and for x86-64 with AVX2, found at run time. Both
//! give the same results; the tests of the list run with either.
#![allow(unsafe_code)]

use super::digest::siphash_words;

/// Ask for the cache line that holds `items[at]`; nothing where there is none.
#[inline(always)]
pub(crate) fn prefetch<T>(items: &[T], at: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(item) = items.get(at) {
        // SAFETY: a prefetch reads nothing that the program sees, and SSE is part of every x86-64
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(item).cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (items, at);
}

/// Operations on 32 octets at a time.
pub(crate) trait Lanes: Copy {
    /// Bit i: is `levels[i]` below `level`, or the same and `firsts[i]` at least `first`?
    fn candidates(self, levels: &[u8; 32], firsts: &[u8; 32], level: u8, first: u8) -> u32;
    /// Bit i: is octet i at most `limit`?
    fn at_most(self, octets: &[u8; 32], limit: u8) -> u32;
    /// 16 octets as 32 numbers of four bits, all the low halves first.
    fn halves(self, packed: &[u8; 16]) -> [u8; 32];
    /// The sum of the first `count` numbers, each below 16.
    fn sum(self, numbers: &[u8; 32], count: usize) -> usize;
    /// How many of the numbers (of eight octets, ascending) are at most `number`.
    fn rank(self, numbers: &[u8; 256], number: u64) -> usize;
    /// The first halves of SipHash-2-4-128 of eight messages of equally many words, as a filter of so many `lines` asks
    /// for them: [`line_of`] each, then [`bits_of`] each.
    fn screened(self, key: [u64; 2], words: &[[u64; 8]], lines: u32) -> [[u64; 8]; 2];
}

/// The line of a filter that a digest is in, by the upper half of its first eight octets.
#[inline(always)]
pub(crate) fn line_of(first: u64, lines: u32) -> u64 {
    ((first >> 32) * u64::from(lines)) >> 32
}

/// The bits that a digest sets in its line, by the lower half of its first eight octets.
#[inline(always)]
pub(crate) fn bits_of(first: u64) -> u64 {
    SHIFTS.iter().fold(0, |bits, shift| bits | 1 << (first >> shift & 63))
}

/// Where each of the bits that a digest sets is written in its first octets.
const SHIFTS: [u32; 4] = [0, 6, 12, 18];

/// Work that is compiled once for each kind of lanes: `run` must be `#[inline(always)]`, with all that matters in it.
pub(crate) trait Work {
    fn run<L: Lanes>(self, lanes: L);
}

/// Plain Rust.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

impl Lanes for Portable {
    #[inline(always)]
    fn candidates(self, levels: &[u8; 32], firsts: &[u8; 32], level: u8, first: u8) -> u32 {
        let mut flags = [0u8; 32];
        for ((flag, &own), &byte) in flags.iter_mut().zip(levels).zip(firsts) {
            *flag = u8::from(own < level) | (u8::from(own == level) & u8::from(byte >= first));
        }
        gather(&flags)
    }

    #[inline(always)]
    fn at_most(self, octets: &[u8; 32], limit: u8) -> u32 {
        gather(&octets.map(|octet| u8::from(octet <= limit)))
    }

    #[inline(always)]
    fn halves(self, packed: &[u8; 16]) -> [u8; 32] {
        let mut halves = [0; 32];
        for (index, &octet) in packed.iter().enumerate() {
            halves[index] = octet & 15;
            halves[index + 16] = octet >> 4;
        }
        halves
    }

    #[inline(always)]
    fn sum(self, numbers: &[u8; 32], count: usize) -> usize {
        numbers.iter().zip(0..count).map(|(&number, _)| usize::from(number)).sum()
    }

    #[inline(always)]
    fn rank(self, numbers: &[u8; 256], number: u64) -> usize {
        let mut at_most = 0;
        for eight in numbers.chunks_exact(8) {
            at_most += usize::from(u64::from_le_bytes(eight.try_into().unwrap_or_default()) <= number);
        }
        at_most
    }

    #[inline(always)]
    fn screened(self, key: [u64; 2], words: &[[u64; 8]], lines: u32) -> [[u64; 8]; 2] {
        let mut both = [[0; 8]; 2];
        for lane in 0..8 {
            let [first, _] = siphash_words(key, words.iter().map(|word| word[lane]));
            (both[0][lane], both[1][lane]) = (line_of(first, lines), bits_of(first));
        }
        both
    }
}

/// The lowest bit of each of 32 octets.
#[inline(always)]
fn gather(flags: &[u8; 32]) -> u32 {
    let mut mask = 0;
    for (index, eight) in (0..).zip(flags.chunks_exact(8)) {
        let word = u64::from_le_bytes(eight.try_into().unwrap_or_default());
        // the product gathers the lowest bits in the highest octet
        let gathered = word.wrapping_mul(0x0102_0408_1020_4080) >> 56;
        mask |= (gathered as u32) << (8 * index);
    }
    mask
}

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::{Avx2, with_avx2};

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::super::digest::beginning;
    use super::{Lanes, Work};
    use std::arch::x86_64::{
        __m256i, __m512i, _mm_and_si128, _mm_loadu_si128, _mm_set1_epi8, _mm_srli_epi16, _mm256_add_epi64,
        _mm256_and_si256, _mm256_andnot_si256, _mm256_cmpeq_epi8, _mm256_cmpgt_epi64, _mm256_extract_epi64,
        _mm256_loadu_si256, _mm256_max_epu8, _mm256_min_epu8, _mm256_movemask_epi8, _mm256_mul_epu32, _mm256_or_si256,
        _mm256_sad_epu8, _mm256_set_m128i, _mm256_set1_epi8, _mm256_set1_epi64x, _mm256_setr_epi8,
        _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_shuffle_epi32, _mm256_slli_epi64, _mm256_sllv_epi64,
        _mm256_srli_epi64, _mm256_storeu_si256, _mm256_sub_epi64, _mm256_xor_si256, _mm512_add_epi64, _mm512_and_si512,
        _mm512_loadu_si512, _mm512_mul_epu32, _mm512_or_si512, _mm512_rol_epi64, _mm512_set1_epi64, _mm512_sllv_epi64,
        _mm512_srli_epi64, _mm512_storeu_si512, _mm512_xor_si512,
    };

    /// x86-64 with AVX2; made only where the processor has it.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Avx2 {
        /// It has AVX-512F too, which rotates: a hash then takes half of the time.
        wide: bool,
    }

    impl Avx2 {
        /// Proof that the processor has AVX2, if it has.
        pub fn detect() -> Option<Self> {
            let has_all = std::is_x86_feature_detected!("avx2")
                && std::is_x86_feature_detected!("bmi1")
                && std::is_x86_feature_detected!("bmi2")
                && std::is_x86_feature_detected!("lzcnt")
                && std::is_x86_feature_detected!("popcnt");
            has_all.then_some(Self { wide: std::is_x86_feature_detected!("avx512f") })
        }
    }

    #[cfg(test)]
    impl Avx2 {
        /// As on a processor without AVX-512.
        pub fn narrow(self) -> Self {
            Self { wide: false }
        }
    }

    /// Run `work` compiled for AVX2.
    #[inline]
    pub(crate) fn with_avx2<W: Work>(lanes: Avx2, work: W) {
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
        fn run<W: Work>(lanes: Avx2, work: W) {
            work.run(lanes);
        }
        // SAFETY: an `Avx2` exists only after the processor was asked for all of these
        unsafe { run(lanes, work) }
    }

    /// `count` octets of ones before 32 of zeros, from 32 - count.
    static ONES: [u8; 64] = {
        let mut ones = [0; 64];
        let mut index = 0;
        while index < 32 {
            ones[index] = 0xFF;
            index += 1;
        }
        ones
    };

    impl Lanes for Avx2 {
        #[inline(always)]
        fn candidates(self, levels: &[u8; 32], firsts: &[u8; 32], level: u8, first: u8) -> u32 {
            // SAFETY: an `Avx2` exists only after the processor was asked for what the function is compiled for
            unsafe { candidates(levels, firsts, level, first) }
        }

        #[inline(always)]
        fn at_most(self, octets: &[u8; 32], limit: u8) -> u32 {
            // SAFETY: an `Avx2` exists only after the processor was asked for what the function is compiled for
            unsafe { at_most(octets, limit) }
        }

        #[inline(always)]
        fn halves(self, packed: &[u8; 16]) -> [u8; 32] {
            // SAFETY: an `Avx2` exists only after the processor was asked for what the function is compiled for
            unsafe { halves(packed) }
        }

        #[inline(always)]
        fn sum(self, numbers: &[u8; 32], count: usize) -> usize {
            // SAFETY: an `Avx2` exists only after the processor was asked for what the function is compiled for
            unsafe { sum(numbers, count) }
        }

        #[inline(always)]
        fn rank(self, numbers: &[u8; 256], number: u64) -> usize {
            // SAFETY: an `Avx2` exists only after the processor was asked for what the function is compiled for
            unsafe { rank(numbers, number) }
        }

        #[inline(always)]
        fn screened(self, key: [u64; 2], words: &[[u64; 8]], lines: u32) -> [[u64; 8]; 2] {
            // SAFETY: an `Avx2` exists only after the processor was asked for what the function is compiled for, and is
            // `wide` only where it has AVX-512F
            unsafe { if self.wide { screened_wide(key, words, lines) } else { screened(key, words, lines) } }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn rounds_wide([mut a, mut b, mut c, mut d]: [__m512i; 4], count: usize) -> [__m512i; 4] {
        for _ in 0..count {
            (a, c) = (_mm512_add_epi64(a, b), _mm512_add_epi64(c, d));
            b = _mm512_xor_si512(_mm512_rol_epi64::<13>(b), a);
            d = _mm512_xor_si512(_mm512_rol_epi64::<16>(d), c);
            a = _mm512_add_epi64(_mm512_rol_epi64::<32>(a), d);
            c = _mm512_add_epi64(c, b);
            b = _mm512_xor_si512(_mm512_rol_epi64::<17>(b), c);
            d = _mm512_xor_si512(_mm512_rol_epi64::<21>(d), a);
            c = _mm512_rol_epi64::<32>(c);
        }
        [a, b, c, d]
    }

    /// The same with all eight messages in one register a word.
    #[target_feature(enable = "avx512f")]
    fn screened_wide(key: [u64; 2], words: &[[u64; 8]], lines: u32) -> [[u64; 8]; 2] {
        let stored = |eight: __m512i| {
            let mut out = [0u64; 8];
            // SAFETY: 64 octets are there, and the store needs no alignment
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), eight) };
            out
        };
        let mut state = beginning(key).map(|word| _mm512_set1_epi64(word.cast_signed()));
        for word in words {
            // SAFETY: 64 octets are there, and the load needs no alignment
            let own = unsafe { _mm512_loadu_si512(word.as_ptr().cast()) };
            state[3] = _mm512_xor_si512(state[3], own);
            state = rounds_wide(state, 2);
            state[0] = _mm512_xor_si512(state[0], own);
        }
        state[2] = _mm512_xor_si512(state[2], _mm512_set1_epi64(0xee));
        let [a, b, c, d] = rounds_wide(state, 4);
        let first = _mm512_xor_si512(_mm512_xor_si512(a, b), _mm512_xor_si512(c, d));
        let scaled = _mm512_mul_epu32(_mm512_srli_epi64::<32>(first), _mm512_set1_epi64(i64::from(lines)));
        let (one, six) = (_mm512_set1_epi64(1), _mm512_set1_epi64(63));
        let bit = |shifted| _mm512_sllv_epi64(one, _mm512_and_si512(shifted, six));
        let bits = _mm512_or_si512(
            _mm512_or_si512(bit(first), bit(_mm512_srli_epi64::<6>(first))),
            _mm512_or_si512(bit(_mm512_srli_epi64::<12>(first)), bit(_mm512_srli_epi64::<18>(first))),
        );
        [stored(_mm512_srli_epi64::<32>(scaled)), stored(bits)]
    }

    /// A word of the state of four messages.
    type Four = __m256i;

    #[inline]
    #[target_feature(enable = "avx2")]
    fn rotate<const LEFT: i32, const RIGHT: i32>(four: Four) -> Four {
        _mm256_or_si256(_mm256_slli_epi64::<LEFT>(four), _mm256_srli_epi64::<RIGHT>(four))
    }

    /// One round of SipHash for four messages, and for four others: neither waits for the other.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn round(states: &mut [[Four; 4]; 2]) {
        const SWAP: i32 = 0b10_11_00_01;
        let sixteen = _mm256_setr_epi8(
            6, 7, 0, 1, 2, 3, 4, 5, 14, 15, 8, 9, 10, 11, 12, 13, 6, 7, 0, 1, 2, 3, 4, 5, 14, 15, 8, 9, 10, 11, 12, 13,
        );
        for state in states {
            let [a, b, c, d] = *state;
            let (a, c) = (_mm256_add_epi64(a, b), _mm256_add_epi64(c, d));
            let b = _mm256_xor_si256(rotate::<13, 51>(b), a);
            let d = _mm256_xor_si256(_mm256_shuffle_epi8(d, sixteen), c);
            let a = _mm256_add_epi64(_mm256_shuffle_epi32::<SWAP>(a), d);
            let c = _mm256_add_epi64(c, b);
            let b = _mm256_xor_si256(rotate::<17, 47>(b), c);
            let d = _mm256_xor_si256(rotate::<21, 43>(d), a);
            *state = [a, b, _mm256_shuffle_epi32::<SWAP>(c), d];
        }
    }

    /// [`super::line_of`] and [`super::bits_of`] of four digests.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn asked([a, b, c, d]: [Four; 4], lines: u32) -> [Four; 2] {
        let first = _mm256_xor_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(c, d));
        let scaled = _mm256_mul_epu32(_mm256_srli_epi64::<32>(first), _mm256_set1_epi64x(i64::from(lines)));
        let (one, six) = (_mm256_set1_epi64x(1), _mm256_set1_epi64x(63));
        let bit = |shifted| _mm256_sllv_epi64(one, _mm256_and_si256(shifted, six));
        let bits = _mm256_or_si256(
            _mm256_or_si256(bit(first), bit(_mm256_srli_epi64::<6>(first))),
            _mm256_or_si256(bit(_mm256_srli_epi64::<12>(first)), bit(_mm256_srli_epi64::<18>(first))),
        );
        [_mm256_srli_epi64::<32>(scaled), bits]
    }

    #[target_feature(enable = "avx2")]
    fn screened(key: [u64; 2], words: &[[u64; 8]], lines: u32) -> [[u64; 8]; 2] {
        let all = |word: u64| _mm256_set1_epi64x(word.cast_signed());
        let [a, b, c, d] = beginning(key);
        let mut states = [[all(a), all(b), all(c), all(d)]; 2];
        for word in words {
            // SAFETY: twice 32 octets are there, and the load needs no alignment
            let own = unsafe { [0, 4].map(|at| _mm256_loadu_si256(word[at..at + 4].as_ptr().cast())) };
            states[0][3] = _mm256_xor_si256(states[0][3], own[0]);
            states[1][3] = _mm256_xor_si256(states[1][3], own[1]);
            round(&mut states);
            round(&mut states);
            states[0][0] = _mm256_xor_si256(states[0][0], own[0]);
            states[1][0] = _mm256_xor_si256(states[1][0], own[1]);
        }
        for state in &mut states {
            state[2] = _mm256_xor_si256(state[2], all(0xee));
        }
        for _ in 0..4 {
            round(&mut states);
        }
        let mut out = [[0u64; 8]; 2];
        for (state, at) in states.into_iter().zip([0, 4]) {
            for (own, four) in out.iter_mut().zip(asked(state, lines)) {
                // SAFETY: 32 octets are there, and the store needs no alignment
                unsafe { _mm256_storeu_si256(own[at..at + 4].as_mut_ptr().cast(), four) };
            }
        }
        out
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load(octets: &[u8; 32]) -> __m256i {
        // SAFETY: 32 octets are there, and the load needs no alignment
        unsafe { _mm256_loadu_si256(octets.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn candidates(levels: &[u8; 32], firsts: &[u8; 32], level: u8, first: u8) -> u32 {
        let (levels, firsts) = (load(levels), load(firsts));
        let (level, first) = (_mm256_set1_epi8(level as i8), _mm256_set1_epi8(first as i8));
        let same = _mm256_cmpeq_epi8(levels, level);
        let at_most = _mm256_cmpeq_epi8(_mm256_min_epu8(levels, level), levels);
        let far_enough = _mm256_cmpeq_epi8(_mm256_max_epu8(firsts, first), firsts);
        let below = _mm256_andnot_si256(same, at_most);
        _mm256_movemask_epi8(_mm256_or_si256(below, _mm256_and_si256(same, far_enough))) as u32
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn at_most(octets: &[u8; 32], limit: u8) -> u32 {
        let octets = load(octets);
        _mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_min_epu8(octets, _mm256_set1_epi8(limit as i8)), octets)) as u32
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn halves(packed: &[u8; 16]) -> [u8; 32] {
        // SAFETY: 16 octets are there, and the load needs no alignment
        let packed = unsafe { _mm_loadu_si128(packed.as_ptr().cast()) };
        let low = _mm_set1_epi8(15);
        let halves = _mm256_set_m128i(_mm_and_si128(_mm_srli_epi16::<4>(packed), low), _mm_and_si128(packed, low));
        let mut out = [0; 32];
        // SAFETY: 32 octets are there, and the store needs no alignment
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), halves) };
        out
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    #[allow(clippy::cast_possible_truncation)] // 32 octets' sum
    fn sum(numbers: &[u8; 32], count: usize) -> usize {
        let from = 32 - count.min(32);
        let mask: &[u8; 32] = ONES[from..from + 32].try_into().unwrap_or(&[0; 32]);
        let sums = _mm256_sad_epu8(_mm256_and_si256(load(numbers), load(mask)), _mm256_setzero_si256());
        (_mm256_extract_epi64::<0>(sums) + _mm256_extract_epi64::<1>(sums)) as usize
            + (_mm256_extract_epi64::<2>(sums) + _mm256_extract_epi64::<3>(sums)) as usize
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    #[allow(clippy::cast_possible_truncation)] // at most 32
    fn rank(numbers: &[u8; 256], number: u64) -> usize {
        let sign = _mm256_set1_epi64x(i64::MIN);
        let number = _mm256_xor_si256(_mm256_set1_epi64x(number as i64), sign);
        let mut above = _mm256_setzero_si256();
        for four in numbers.chunks_exact(32) {
            let own = _mm256_xor_si256(load(four.try_into().unwrap_or(&[0; 32])), sign);
            above = _mm256_sub_epi64(above, _mm256_cmpgt_epi64(own, number));
        }
        let sums = [_mm256_extract_epi64::<0>(above), _mm256_extract_epi64::<1>(above)];
        let more = [_mm256_extract_epi64::<2>(above), _mm256_extract_epi64::<3>(above)];
        32 - (sums[0] + sums[1] + more[0] + more[1]) as usize
    }
}

#[cfg(test)]
mod tests;
