//! A keyed hash for tables that clients fill: fast, and without the key nobody can aim at one place.

/// Two secret words.
#[derive(Clone, Copy)]
pub struct Key(pub u64, pub u64);

#[inline]
#[allow(clippy::cast_possible_truncation)] // both halves
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a).wrapping_mul(u128::from(b));
    (product as u64) ^ ((product >> 64) as u64)
}

impl Key {
    /// The hash of some bytes and one word beside them.
    #[inline]
    pub fn hash(self, bytes: &[u8], word: u64) -> u64 {
        let mut state = self.0 ^ word ^ (bytes.len() as u64).rotate_left(32);
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let mut eight = [0; 8];
            eight.copy_from_slice(chunk);
            state = fold(state ^ u64::from_le_bytes(eight), self.1 | 1);
        }
        let rest = chunks.remainder();
        if !rest.is_empty() {
            let mut eight = [0; 8];
            eight[..rest.len()].copy_from_slice(rest);
            state = fold(state ^ u64::from_le_bytes(eight), self.1 | 1);
        }
        fold(state, self.1.rotate_left(17) | 1)
    }
}
