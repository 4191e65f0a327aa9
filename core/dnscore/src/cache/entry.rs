//! One answer as it lies in the arena: a fixed head, then name, TTL offsets, EDNS options, records.

use super::index::Key;
use crate::wire::Query;

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
    pub ttls: u8,
    /// DO and CD.
    pub bits: u8,
    pub view: u8,
    /// How often it was used of late, 0 to 3.
    pub used: u8,
    pub failure: bool,
    pub strikes: u8,
    /// 0: only the question's name owns records. Else the generation of the list of which no owner meets an entry;
    /// [`super::UNJUDGED`] before that was looked at.
    pub judged: u32,
}

/// What follows the head.
pub(super) struct Parts<'a> {
    pub name: &'a [u8],
    /// Offsets within `records`, little-endian pairs.
    pub ttls: &'a [u8],
    pub options: &'a [u8],
    pub records: &'a [u8],
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
        !self.failure && now < self.expires.saturating_add(stale_for)
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
            ttls: head[41],
            bits: head[42],
            view: head[43],
            used: head[44],
            failure: head[45] != 0,
            strikes: head[46],
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
        let bytes = [self.name, self.ttls, self.bits, self.view, self.used, u8::from(self.failure), self.strikes, 0];
        head[40..48].copy_from_slice(&bytes);
        head[48..52].copy_from_slice(&self.judged.to_le_bytes());
    }

    /// Offset of the byte that says how often it was used.
    pub const USED: usize = 44;

    /// Bytes of head and parts, rounded up to units.
    pub fn needs(&self) -> usize {
        let parts = usize::from(self.name) + 2 * usize::from(self.ttls);
        (HEAD + parts + usize::from(self.options) + usize::from(self.records)).next_multiple_of(UNIT)
    }

    /// The parts of the entry whose bytes these are.
    #[inline]
    pub fn parts<'a>(&self, bytes: &'a [u8]) -> Parts<'a> {
        let (name, rest) = bytes[HEAD..].split_at(usize::from(self.name));
        let (ttls, rest) = rest.split_at(2 * usize::from(self.ttls));
        let (options, rest) = rest.split_at(usize::from(self.options));
        Parts { name, ttls, options, records: &rest[..usize::from(self.records)] }
    }
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
