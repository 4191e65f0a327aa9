//! The digest that stands for a name in a sealed list.
//!
//! Enters: the list's key, and a name. Leaves: 16 octets, SipHash-2-4 with 128 bits of output (Aumasson and Bernstein,
//! "SipHash: a fast short-input PRF", 2012) of the name's wire form in lower case, root byte included. Without the key
//! nothing follows from a digest; with it, one name can be tested in about 20 ns.

use super::types::ListError;
use crate::wire::Name;

/// Octets of a list's key.
pub const KEY: usize = 16;
/// Octets of a digest.
pub const DIGEST: usize = 16;

/// What stands for a name.
pub type Digest = [u8; DIGEST];

/// The digest of a name under a list's key.
#[must_use]
pub fn sealed_digest(key: &[u8; KEY], name: &Name) -> Digest {
    siphash(key, name.wire())
}

/// The key of these octets.
///
/// # Errors
/// They are not as many as a key has.
pub fn key_of(octets: &[u8]) -> Result<&[u8; KEY], ListError> {
    octets.try_into().map_err(|_| ListError::new("key", format!("the key of a sealed list has {KEY} octets")))
}

/// The digest of 32 lower-case hexadecimal digits, as lines of a sealed list have it.
pub(super) fn digest_of(text: &[u8]) -> Option<Digest> {
    let text: &[u8; 2 * DIGEST] = text.try_into().ok()?;
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut digest = [0; DIGEST];
    for (octet, [high, low]) in digest.iter_mut().zip(text.as_chunks::<2>().0) {
        *octet = value(*high)? << 4 | value(*low)?;
    }
    Some(digest)
}

/// SipHash-2-4-128.
fn siphash(key: &[u8; KEY], message: &[u8]) -> Digest {
    let words = message.len() / 8 + 1;
    let both = siphash_side_by_side(key, (0..words).map(|at| [word(message, 0, message.len(), at)]));
    let mut digest = [0; DIGEST];
    digest[..8].copy_from_slice(&both[0][0].to_le_bytes());
    digest[8..].copy_from_slice(&both[1][0].to_le_bytes());
    digest
}

/// The `at`th word that SipHash takes of the message in `held` from `start` to `end`: eight octets of it, or the last of
/// them with its length. What stands after `end` is not looked at.
#[inline(always)]
pub(super) fn word(held: &[u8], start: usize, end: usize, at: usize) -> u64 {
    let from = start + 8 * at;
    let left = end.saturating_sub(from);
    let word = match held.get(from..).and_then(|rest| rest.first_chunk()) {
        Some(eight) => u64::from_le_bytes(*eight),
        None => {
            let mut last = [0; 8];
            last.iter_mut().zip(held.get(from..end).unwrap_or(&[])).for_each(|(octet, &own)| *octet = own);
            u64::from_le_bytes(last)
        }
    };
    match left {
        0..8 => word & ((1 << (8 * left)) - 1) | ((end - start) as u64) << 56,
        _ => word,
    }
}

/// SipHash-2-4-128 of `N` messages of equally many words at a time: the first half of each digest, then the second.
#[inline(always)]
pub(super) fn siphash_side_by_side<const N: usize>(
    key: &[u8; KEY],
    words: impl Iterator<Item = [u64; N]>,
) -> [[u64; N]; 2] {
    let [low, high] = [0, 8].map(|at| u64::from_le_bytes(key[at..at + 8].try_into().unwrap_or_default()));
    let mut state = State([
        [low ^ 0x736f_6d65_7073_6575; N],
        [high ^ 0x646f_7261_6e64_6f6d ^ 0xee; N],
        [low ^ 0x6c79_6765_6e65_7261; N],
        [high ^ 0x7465_6462_7974_6573; N],
    ]);
    for word in words {
        each(&mut state.0[3], |lane, at| *lane ^= word[at]);
        state.round();
        state.round();
        each(&mut state.0[0], |lane, at| *lane ^= word[at]);
    }
    each(&mut state.0[2], |lane, _| *lane ^= 0xee);
    (0..4).for_each(|_| state.round());
    let first = state.folded();
    each(&mut state.0[1], |lane, _| *lane ^= 0xdd);
    (0..4).for_each(|_| state.round());
    [first, state.folded()]
}

#[inline(always)]
fn each<const N: usize>(lanes: &mut [u64; N], mut act: impl FnMut(&mut u64, usize)) {
    for (at, lane) in lanes.iter_mut().enumerate() {
        act(lane, at);
    }
}

/// The four words of each message's state.
struct State<const N: usize>([[u64; N]; 4]);

impl<const N: usize> State<N> {
    #[inline(always)]
    fn round(&mut self) {
        let [a, b, c, d] = &mut self.0;
        for at in 0..N {
            a[at] = a[at].wrapping_add(b[at]);
            c[at] = c[at].wrapping_add(d[at]);
            b[at] = b[at].rotate_left(13) ^ a[at];
            d[at] = d[at].rotate_left(16) ^ c[at];
            a[at] = a[at].rotate_left(32).wrapping_add(d[at]);
            c[at] = c[at].wrapping_add(b[at]);
            b[at] = b[at].rotate_left(17) ^ c[at];
            d[at] = d[at].rotate_left(21) ^ a[at];
            c[at] = c[at].rotate_left(32);
        }
    }

    #[inline(always)]
    fn folded(&self) -> [u64; N] {
        let [a, b, c, d] = &self.0;
        std::array::from_fn(|at| a[at] ^ b[at] ^ c[at] ^ d[at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VECTORS: &str = include_str!("../../../../tests/vectors/siphash-2-4-128.txt");

    #[test]
    fn the_hash_is_that_of_its_authors() {
        let key: [u8; KEY] = std::array::from_fn(|at| u8::try_from(at).expect("16"));
        let message: Vec<u8> = (0..64).collect();
        let lines: Vec<&str> = VECTORS.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(lines.len(), 64);
        for (length, line) in lines.iter().enumerate() {
            let digest: String = siphash(&key, &message[..length]).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(&digest, line, "{length} octets");
            let words = (0..=length / 8).map(|at| [word(&message, 0, length, at); 8]);
            let [first, second] = siphash_side_by_side(&key, words);
            let halves = [first[7].to_le_bytes(), second[7].to_le_bytes()].concat();
            assert_eq!(halves, siphash(&key, &message[..length]), "{length} octets, eight at a time");
        }
    }

    #[test]
    fn a_name_is_hashed_in_wire_form_and_lower_case() {
        let key = [7; KEY];
        let name = Name::from_text("WWW.Example.com.").expect("a name");
        assert_eq!(sealed_digest(&key, &name), siphash(&key, b"\x03www\x07example\x03com\x00"));
        assert_eq!(sealed_digest(&key, &Name::ROOT), siphash(&key, b"\x00"));
    }
}
