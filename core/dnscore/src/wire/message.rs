//! Walking the records of a message without building anything.

use super::{HEADER, u16_at, u32_at};

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
    let fixed = skip_name(packet, at)?;
    let head = packet.get(fixed..fixed.checked_add(10)?)?;
    let rtype = u16::from_be_bytes([head[0], head[1]]);
    let class = u16::from_be_bytes([head[2], head[3]]);
    let ttl = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
    let length = usize::from(u16::from_be_bytes([head[8], head[9]]));
    let data = fixed + 10;
    let end = data + length;
    (end <= packet.len()).then_some(Record { start: at, rtype, class, ttl_at: fixed + 4, ttl, data, end })
}

/// The offset after the name at `at`. A pointer ends a name and is not followed (so no loop can be run into), but it
/// must point before itself and into the message's body.
#[inline]
pub fn skip_name(packet: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        let octet = *packet.get(at)?;
        match octet {
            0 => return Some(at + 1),
            1..=63 => at += 1 + usize::from(octet),
            192..=255 => {
                let target = usize::from(u16_at(packet, at)? & 0x3fff);
                return (target < at && target >= HEADER).then_some(at + 2);
            }
            _ => return None,
        }
        if at - start >= super::name::MAX_NAME {
            return None;
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
