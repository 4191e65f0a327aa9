//! One answer as it is stored in the arena: a fixed head, then question, records, TTL offsets, EDNS options.

use super::index::Key;
use crate::wire::{CLASS_IN, Query, flag};

/// Bytes of the head.
pub(super) const HEAD: usize = 52;

/// Every entry begins at and fills a multiple of this.
pub(super) const UNIT: usize = 16;

/// Set in the first word where it is no entry but room left over at the end of a queue.
const FILLER: u32 = 1 << 31;

/// The head of an entry. Times are seconds of the caller's clock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry {
    /// Bytes taken in the arena.
    pub size: u32,
    pub stored: u32,
    pub hash: u64,
    pub expires: u32,
    /// Until then upstreams are known to fail for it.
    pub retry_at: u32,
    pub records: u16,
    pub options: u16,
    pub flags: u16,
    pub rcode: u16,
    pub counts: [u16; 3],
    pub qtype: u16,
    pub name: u8,
    /// DO and CD.
    pub bits: u8,
    pub view: u8,
    /// How often it was used of late, 0 to 3.
    pub used: u8,
    pub failure: bool,
    pub strikes: u8,
    /// Records; the place of each one's TTL is kept.
    pub ttls: u16,
    /// 0: only the question's name owns records. Else the generation of the list of which no owner meets an entry;
    /// [`super::UNJUDGED`] before that was looked at.
    pub judged: u32,
}

/// Type and class, after the name.
const TYPE_AND_CLASS: usize = 4;

/// What follows the head.
pub(super) struct Parts<'a> {
    /// The question, its name in lower case, and the records behind it, as in a message.
    pub octets: &'a [u8],
    /// How much of that is the question.
    pub question: usize,
    /// Offsets within the records, little-endian pairs.
    pub ttls: &'a [u8],
    pub options: &'a [u8],
}

/// The same, to be written.
pub(super) struct PartsMut<'a> {
    pub question: &'a mut [u8],
    pub records: &'a mut [u8],
    pub ttls: &'a mut [u8],
    pub options: &'a mut [u8],
}

impl Entry {
    pub fn new(key: &Key, query: &Query, stored: u32, expires: u32, strikes: u8) -> Entry {
        Entry {
            hash: key.hash,
            stored,
            expires,
            qtype: query.qtype,
            name: query.qname.len() as u8,
            bits: key.bits,
            view: key.view,
            strikes,
            ..Entry::default()
        }
    }

    /// Whether it is an answer whose time is not over, or not for longer than so many seconds.
    pub fn stale(&self, now: u32, stale_for: u32) -> bool {
        !self.failure && !self.truncated() && now < self.expires.saturating_add(stale_for)
    }

    /// All that is known is that the answer is too long for a datagram.
    #[inline]
    pub fn truncated(&self) -> bool {
        self.flags & flag::TC != 0
    }

    /// The entry at the beginning of `bytes`; `None` for a filler, with its size.
    #[inline]
    pub fn read(bytes: &[u8]) -> Option<Entry> {
        let head: &[u8; HEAD] = bytes.first_chunk()?;
        let half = |i: usize| u16::from_le_bytes([head[i], head[i + 1]]);
        let word = |i: usize| u32::from_le_bytes([head[i], head[i + 1], head[i + 2], head[i + 3]]);
        Some(Entry {
            size: word(0),
            stored: word(4),
            hash: u64::from(word(8)) | u64::from(word(12)) << 32,
            expires: word(16),
            retry_at: word(20),
            records: half(24),
            options: half(26),
            flags: half(28),
            rcode: half(30),
            counts: [half(32), half(34), half(36)],
            qtype: half(38),
            name: head[40],
            bits: head[41],
            view: head[42],
            used: head[43],
            failure: head[44] != 0,
            strikes: head[45],
            ttls: half(46),
            judged: word(48),
        })
    }

    #[inline]
    pub fn write(&self, bytes: &mut [u8]) {
        let Some(head) = bytes.first_chunk_mut::<HEAD>() else { return };
        head[0..4].copy_from_slice(&self.size.to_le_bytes());
        head[4..8].copy_from_slice(&self.stored.to_le_bytes());
        head[8..16].copy_from_slice(&self.hash.to_le_bytes());
        head[16..20].copy_from_slice(&self.expires.to_le_bytes());
        head[20..24].copy_from_slice(&self.retry_at.to_le_bytes());
        head[24..26].copy_from_slice(&self.records.to_le_bytes());
        head[26..28].copy_from_slice(&self.options.to_le_bytes());
        head[28..30].copy_from_slice(&self.flags.to_le_bytes());
        head[30..32].copy_from_slice(&self.rcode.to_le_bytes());
        for (i, count) in self.counts.into_iter().enumerate() {
            head[32 + 2 * i..34 + 2 * i].copy_from_slice(&count.to_le_bytes());
        }
        head[38..40].copy_from_slice(&self.qtype.to_le_bytes());
        head[40..46].copy_from_slice(&[
            self.name,
            self.bits,
            self.view,
            self.used,
            u8::from(self.failure),
            self.strikes,
        ]);
        head[46..48].copy_from_slice(&self.ttls.to_le_bytes());
        head[48..52].copy_from_slice(&self.judged.to_le_bytes());
    }

    /// Offset of the byte that says how often it was used.
    pub const USED: usize = 43;

    fn question(&self) -> usize {
        usize::from(self.name) + TYPE_AND_CLASS
    }

    /// Bytes of head and parts, rounded up to units.
    pub fn needs(&self) -> usize {
        let parts = self.question() + usize::from(self.records) + 2 * usize::from(self.ttls);
        (HEAD + parts + usize::from(self.options)).next_multiple_of(UNIT)
    }

    /// The name of the entry whose bytes these are.
    #[inline]
    pub fn name<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[HEAD..HEAD + usize::from(self.name)]
    }

    /// The parts of the entry whose bytes these are.
    #[inline]
    pub fn parts<'a>(&self, bytes: &'a [u8]) -> Parts<'a> {
        let question = self.question();
        let (octets, rest) = bytes[HEAD..].split_at(question + usize::from(self.records));
        let (ttls, rest) = rest.split_at(2 * usize::from(self.ttls));
        Parts { octets, question, ttls, options: &rest[..usize::from(self.options)] }
    }

    /// The same, to be written.
    pub fn parts_mut<'a>(&self, bytes: &'a mut [u8]) -> PartsMut<'a> {
        let (question, rest) = bytes[HEAD..].split_at_mut(self.question());
        let (records, rest) = rest.split_at_mut(usize::from(self.records));
        let (ttls, rest) = rest.split_at_mut(2 * usize::from(self.ttls));
        PartsMut { question, records, ttls, options: &mut rest[..usize::from(self.options)] }
    }
}

/// Writes the question that comes before an entry's records.
pub(super) fn write_question(query: &Query, place: &mut [u8]) {
    let (name, rest) = place.split_at_mut(query.qname.len());
    name.copy_from_slice(query.qname.wire());
    rest[..2].copy_from_slice(&query.qtype.to_be_bytes());
    rest[2..].copy_from_slice(&CLASS_IN.to_be_bytes());
}

/// Size of what begins here, and whether it is an entry.
pub(super) fn size(bytes: &[u8]) -> (usize, bool) {
    let word = bytes.first_chunk().map_or(0, |word| u32::from_le_bytes(*word));
    ((word & !FILLER) as usize, word & FILLER == 0)
}

/// Marks `bytes` as no entry.
pub(super) fn fill(bytes: &mut [u8]) {
    let word = (bytes.len() as u32 | FILLER).to_le_bytes();
    if let Some(place) = bytes.first_chunk_mut() {
        *place = word;
    }
}
