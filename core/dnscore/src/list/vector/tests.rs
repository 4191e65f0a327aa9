//! Each way of computing a step against what the step means.

use super::*;
use proptest::prelude::*;

fn same_as_meant(lanes: impl Lanes, bytes: &[u8], levels: [u8; 32], level: u8, first: u8, count: usize) {
    let firsts: [u8; 32] = bytes[..32].try_into().expect("32");
    let mask = (0..32).fold(0, |mask, index| {
        let meant = levels[index] < level || levels[index] == level && firsts[index] >= first;
        mask | u32::from(meant) << index
    });
    assert_eq!(lanes.candidates(&levels, &firsts, level, first), mask);
    let at_most = (0..32).fold(0, |mask, index| mask | u32::from(firsts[index] <= first) << index);
    assert_eq!(lanes.at_most(&firsts, first), at_most);
    let packed: [u8; 16] = bytes[..16].try_into().expect("16");
    let halves = lanes.halves(&packed);
    assert!((0..16).all(|index| halves[index] == packed[index] & 15 && halves[index + 16] == packed[index] >> 4));
    assert_eq!(lanes.sum(&halves, count), halves[..count].iter().map(|&half| usize::from(half)).sum::<usize>());
    let mut numbers: Vec<u64> =
        bytes.chunks_exact(8).map(|eight| u64::from_le_bytes(eight.try_into().expect("8"))).collect();
    numbers.sort_unstable();
    let all: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    for &number in numbers.iter().chain([&0, &u64::MAX, &(1 << 63)]) {
        let rank = numbers.partition_point(|&own| own <= number);
        assert_eq!(lanes.rank(all.as_slice().try_into().expect("256"), number), rank);
    }
    let key = [numbers[0], numbers[31]];
    let words: Vec<[u64; 8]> = numbers[..8 * (count / 8)].as_chunks::<8>().0.to_vec();
    let number = numbers[7];
    for lines in [1, 8, u32::try_from(number >> 34).expect("30 bits") + 1] {
        let both = lanes.screened(key, &words, lines);
        for lane in 0..8 {
            let [first, _] = siphash_words(key, words.iter().map(|word| word[lane]));
            assert_eq!(both[0][lane], line_of(first, lines));
            assert_eq!(both[1][lane], bits_of(first));
            assert!(both[0][lane] < u64::from(lines) && both[1][lane].count_ones() <= 4);
        }
    }
}

proptest! {
    #[test]
    fn either_way_gives_what_is_meant(
        bytes in prop::collection::vec(any::<u8>(), 256),
        levels in prop::array::uniform32(0u8..20),
        level in 0u8..20,
        first in any::<u8>(),
        count in 0usize..=32,
    ) {
        same_as_meant(Portable, &bytes, levels, level, first, count);
        #[cfg(target_arch = "x86_64")]
        if let Some(lanes) = Avx2::detect() {
            same_as_meant(lanes, &bytes, levels, level, first, count);
            same_as_meant(lanes.narrow(), &bytes, levels, level, first, count);
        }
    }
}
