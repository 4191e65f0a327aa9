//! The framing of messages on a stream (RFC 1035, 4.2.2): each after its length in two octets.
//!
//! Enters: octets, in pieces as they come. Leaves: whole messages, in order. Rules: what is not whole waits, and what was
//! taken takes no room; without input no buffer is kept.

/// Octets of a message's length.
pub const PREFIX: usize = 2;
/// Octets that an empty buffer may keep.
const KEPT: usize = 512;

/// What has come and is not taken yet.
#[derive(Default)]
pub struct Frames {
    octets: Vec<u8>,
    taken: usize,
}

impl Frames {
    /// Octets as they came.
    #[inline]
    pub fn push(&mut self, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
    }

    /// What waits, whole or not.
    pub fn waiting(&self) -> &[u8] {
        &self.octets[self.taken..]
    }

    /// Where more is appended.
    pub fn end(&mut self) -> &mut Vec<u8> {
        &mut self.octets
    }

    /// The next whole message; `None`: none has come whole.
    #[inline]
    pub fn take(&mut self) -> Option<&[u8]> {
        let whole = self.waiting().split_first_chunk::<PREFIX>().and_then(|(prefix, rest)| {
            let length = usize::from(u16::from_be_bytes(*prefix));
            (rest.len() >= length).then_some(length)
        });
        let Some(length) = whole else {
            self.forget_taken();
            return None;
        };
        let start = self.taken + PREFIX;
        self.taken = start + length;
        Some(&self.octets[start..start + length])
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Frames::default();
    }

    /// Takes so many octets that are no message.
    pub fn skip(&mut self, count: usize) {
        self.taken += count.min(self.waiting().len());
        self.forget_taken();
    }

    fn forget_taken(&mut self) {
        self.octets.drain(..self.taken);
        self.taken = 0;
        if self.octets.is_empty() && self.octets.capacity() > KEPT {
            self.octets = Vec::new();
        }
    }
}
