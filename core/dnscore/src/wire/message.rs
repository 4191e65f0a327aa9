//! Walking the records of a message without building anything.

use super::name::{MAX_NAME, Name};
use super::{HEADER, u16_at, u32_at};

/// Pointers followed in one name: as many as it can have labels. One that points at another adds nothing.
const MAX_PARTS: usize = 128;

/// The six words of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Message id.
    pub id: u16,
    /// Flags, opcode and rcode as they stand.
    pub flags: u16,
    /// Entries in the question section.
    pub questions: u16,
    /// Records in the answer section.
    pub answers: u16,
    /// Records in the authority section.
    pub authorities: u16,
    /// Records in the additional section.
    pub additionals: u16,
}

impl Header {
    /// The header of a message; `None` below 12 bytes.
    #[inline(always)]
    pub fn read(packet: &[u8]) -> Option<Header> {
        let h: &[u8; HEADER] = packet.first_chunk()?;
        let word = |i: usize| u16::from_be_bytes([h[i], h[i + 1]]);
        Some(Header {
            id: word(0),
            flags: word(2),
            questions: word(4),
            answers: word(6),
            authorities: word(8),
            additionals: word(10),
        })
    }
}

/// One record, by the places of its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where the owner name begins.
    pub start: usize,
    /// Record type.
    pub rtype: u16,
    /// Class (for OPT: the sender's UDP size).
    pub class: u16,
    /// Offset of the TTL.
    pub ttl_at: usize,
    /// TTL (for OPT: extended rcode, version, flags).
    pub ttl: u32,
    /// Offset of the data.
    pub data: usize,
    /// Offset of the first byte after the record.
    pub end: usize,
}

/// Reads the record at `at`; `None` where it does not lie inside the message or its owner is no name.
#[inline]
pub fn record(packet: &[u8], at: usize) -> Option<Record> {
    record_behind(packet, at, skip_name(packet, at)?)
}

/// The same of a record whose owner ends at `fixed`.
#[inline]
fn record_behind(packet: &[u8], at: usize, fixed: usize) -> Option<Record> {
    let head = packet.get(fixed..fixed.checked_add(10)?)?;
    let rtype = u16::from_be_bytes([head[0], head[1]]);
    let class = u16::from_be_bytes([head[2], head[3]]);
    let ttl = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
    let length = usize::from(u16::from_be_bytes([head[8], head[9]]));
    let data = fixed + 10;
    let end = data + length;
    (end <= packet.len()).then_some(Record { start: at, rtype, class, ttl_at: fixed + 4, ttl, data, end })
}

/// Reads the record at `at` of a message that was checked, whose header may be missing: pointers are passed over.
#[inline]
pub fn record_again(octets: &[u8], at: usize) -> Option<Record> {
    record_behind(octets, at, skip_part(octets, at)?.0)
}

/// The offset after the name at `start`. Each part that a pointer leads to must lie wholly before the part that it is in:
/// "a pointer to a prior occurance of the same name" (RFC 1035, 4.1.4). So no name leads into itself.
#[inline]
pub fn skip_name(packet: &[u8], start: usize) -> Option<usize> {
    match packet.get(start..)? {
        // The root, as an OPT's owner.
        [0, ..] => Some(start + 1),
        // The question's name, as most owners: it has no pointer, and was read before.
        [0xc0, low, ..] if usize::from(*low) == HEADER && start > HEADER => Some(start + 2),
        _ => skip_parts(packet, start),
    }
}

fn skip_parts(packet: &[u8], start: usize) -> Option<usize> {
    let (end, target) = skip_part(packet, start)?;
    match target {
        None => Some(end),
        Some(target) => ends_before(packet, start, target, end - start - 2).then_some(end),
    }
}

/// The name at `start`, which may be compressed, by the rule of [`skip_name`]; `None` where it is no name.
pub fn name(packet: &[u8], start: usize) -> Option<Name> {
    skip_name(packet, start)?;
    let (mut wire, mut length) = ([0u8; MAX_NAME], 0);
    for label in Labels::new(packet, 0, start) {
        // The root's octet follows.
        let place = wire[..MAX_NAME - 1].get_mut(length..=length + label.len())?;
        place[0] = u8::try_from(label.len()).ok()?;
        place[1..].copy_from_slice(label);
        length += place.len();
    }
    Name::read(&wire[..=length], 0).ok().map(|(name, _)| name)
}

/// The offset after the labels at `start` or after the pointer that ends them, and where that points.
#[inline]
pub fn skip_part(octets: &[u8], start: usize) -> Option<(usize, Option<usize>)> {
    let mut at = start;
    loop {
        let octet = *octets.get(at)?;
        match octet {
            0 => return Some((at + 1, None)),
            1..=63 => at += 1 + usize::from(octet),
            192..=255 => return Some((at + 2, Some(usize::from(u16_at(octets, at)? & 0x3fff)))),
            _ => return None,
        }
        if at - start >= MAX_NAME {
            return None;
        }
    }
}

/// Whether a name that goes on at `target` comes to its end: `before` is where the part begins that points there, `length`
/// how many octets of labels there are so far.
fn ends_before(packet: &[u8], mut before: usize, mut target: usize, mut length: usize) -> bool {
    for _ in 0..MAX_PARTS {
        if target < HEADER || target >= before {
            return false;
        }
        let Some((end, next)) = skip_part(packet, target) else { return false };
        length += end - target - if next.is_some() { 2 } else { 1 };
        // With the root's octet.
        if end > before || length + 1 > MAX_NAME {
            return false;
        }
        let Some(next) = next else { return true };
        (before, target) = (target, next);
    }
    false
}

/// The labels of a name in a message that was checked, of which the first `missing` octets are not at hand.
pub struct Labels<'a> {
    octets: &'a [u8],
    missing: usize,
    at: usize,
    parts: usize,
}

impl<'a> Labels<'a> {
    /// Of the name at `at` in `octets`.
    pub fn new(octets: &'a [u8], missing: usize, at: usize) -> Labels<'a> {
        Labels { octets, missing, at, parts: MAX_PARTS }
    }

    /// Whether two names are the same (RFC 4343: whatever the case).
    pub fn same(mut self, mut other: Labels<'_>) -> bool {
        loop {
            match (self.next(), other.next()) {
                (None, None) => return true,
                (Some(ours), Some(theirs)) if ours.eq_ignore_ascii_case(theirs) => {}
                _ => return false,
            }
        }
    }
}

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let octet = *self.octets.get(self.at)?;
            if octet < 192 {
                let label = self.octets.get(self.at + 1..self.at + 1 + usize::from(octet))?;
                self.at += 1 + label.len();
                return (octet > 0).then_some(label);
            }
            self.parts = self.parts.checked_sub(1)?;
            self.at = usize::from(u16_at(self.octets, self.at)? & 0x3fff).checked_sub(self.missing)?;
        }
    }
}

/// The MINIMUM field of a SOA record's data (RFC 2308, 4).
pub fn soa_minimum(packet: &[u8], soa: &Record) -> Option<u32> {
    let after_mname = skip_name(packet, soa.data)?;
    let numbers = skip_name(packet, after_mname)?;
    (numbers + 20 <= soa.end).then(|| u32_at(packet, numbers + 16))?
}

/// Calls `each` with code and value of every option of an OPT record; `None` where an option lies about its length.
#[inline]
pub fn options(data: &[u8], mut each: impl FnMut(u16, &[u8])) -> Option<()> {
    let mut rest = data;
    while !rest.is_empty() {
        let code = u16_at(rest, 0)?;
        let length = usize::from(u16_at(rest, 2)?);
        each(code, rest.get(4..4 + length)?);
        rest = &rest[4 + length..];
    }
    Some(())
}
