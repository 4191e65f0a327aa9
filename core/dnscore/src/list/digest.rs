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
    let both = siphash_words(key_words(key), (0..words).map(|at| word(message, at)));
    let mut digest = [0; DIGEST];
    digest[..8].copy_from_slice(&both[0].to_le_bytes());
    digest[8..].copy_from_slice(&both[1].to_le_bytes());
    digest
}

/// A key as the two numbers that SipHash takes.
#[inline(always)]
pub(super) fn key_words(key: &[u8; KEY]) -> [u64; 2] {
    [0, 8].map(|at| u64::from_le_bytes(key[at..at + 8].try_into().unwrap_or_default()))
}

/// The four words with which SipHash-2-4-128 begins.
#[inline(always)]
pub(super) const fn beginning([low, high]: [u64; 2]) -> [u64; 4] {
    [
        low ^ 0x736f_6d65_7073_6575,
        high ^ 0x646f_7261_6e64_6f6d ^ 0xee,
        low ^ 0x6c79_6765_6e65_7261,
        high ^ 0x7465_6462_7974_6573,
    ]
}

/// The `at`th word that SipHash takes of a message: eight octets of it, or the last of them with its length.
fn word(message: &[u8], at: usize) -> u64 {
    let rest = &message[8 * at..];
    let mut eight = [0; 8];
    let octets = rest.len().min(8);
    eight[..octets].copy_from_slice(&rest[..octets]);
    u64::from_le_bytes(eight) | if octets < 8 { (message.len() as u64) << 56 } else { 0 }
}

/// SipHash-2-4-128 of a message of these words: the two halves of its digest.
#[inline(always)]
pub(super) fn siphash_words(key: [u64; 2], words: impl Iterator<Item = u64>) -> [u64; 2] {
    let mut state = beginning(key);
    for word in words {
        state[3] ^= word;
        rounds(&mut state, 2);
        state[0] ^= word;
    }
    state[2] ^= 0xee;
    rounds(&mut state, 4);
    let first = state.iter().fold(0, |folded, word| folded ^ word);
    state[1] ^= 0xdd;
    rounds(&mut state, 4);
    [first, state.iter().fold(0, |folded, word| folded ^ word)]
}

#[inline(always)]
fn rounds(state: &mut [u64; 4], count: usize) {
    let [mut a, mut b, mut c, mut d] = *state;
    for _ in 0..count {
        a = a.wrapping_add(b);
        c = c.wrapping_add(d);
        b = b.rotate_left(13) ^ a;
        d = d.rotate_left(16) ^ c;
        a = a.rotate_left(32).wrapping_add(d);
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        d = d.rotate_left(21) ^ a;
        c = c.rotate_left(32);
    }
    *state = [a, b, c, d];
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
