//! EDNS options that belong to a connection, not to a question: how long it may be idle (RFC 7828).
//!
//! Enters: a message as it came, an answer as the chain wrote it. Leaves: what the client asked for, and the answer with
//! it. Rules: an option is answered only where it was asked for, and only where the answer has an OPT, which is its last
//! record; an answer that would pass 65,535 octets stays as it is.

use crate::wire::message::{Header, options, record, record_again, skip_name};
use crate::wire::{HEADER, rtype};

/// edns-tcp-keepalive.
const KEEPALIVE: u16 = 11;
/// Additional records of a query that are looked at.
const LOOKED_AT: u16 = 4;
/// Microseconds of a keepalive's unit.
const UNIT: u64 = 100_000;

/// What a query asks of its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// To be told for how long it may be idle.
    pub keepalive: bool,
}

impl Wanted {
    /// By this query; nothing where it cannot be read.
    #[inline]
    pub fn by(packet: &[u8]) -> Wanted {
        match Header::read(packet) {
            Some(Header { questions: 1, answers: 0, authorities: 0, additionals: count @ 1.., .. }) => {
                Wanted::in_additional(packet, count.min(LOOKED_AT)).unwrap_or_default()
            }
            _ => Wanted::default(),
        }
    }

    fn in_additional(packet: &[u8], count: u16) -> Option<Wanted> {
        let mut at = skip_name(packet, HEADER)? + 4;
        for _ in 0..count {
            let found = record(packet, at)?;
            if found.rtype == rtype::OPT {
                let mut wanted = Wanted::default();
                options(&packet[found.data..found.end], |code, value| {
                    // "The client MUST NOT include the TIMEOUT value" (3.2.1): one that does is not heeded.
                    wanted.keepalive |= code == KEEPALIVE && value.is_empty();
                })?;
                return Some(wanted);
            }
            at = found.end;
        }
        None
    }

    /// As a message's tag.
    pub fn tag(self) -> u16 {
        u16::from(self.keepalive)
    }

    /// From it.
    pub fn of_tag(tag: u16) -> Wanted {
        Wanted { keepalive: tag & 1 != 0 }
    }

    /// Something is wanted.
    pub fn anything(self) -> bool {
        self != Wanted::default()
    }
}

/// Adds what was wanted to the answer that begins at `start` and ends with `out`. `idle`: microseconds.
pub fn add(out: &mut Vec<u8>, start: usize, wanted: Wanted, idle: u64) {
    let Some(length_at) = options_of(&out[start..]).map(|at| start + at) else { return };
    let before = out.len();
    if wanted.keepalive {
        let units = u16::try_from(idle / UNIT).unwrap_or(u16::MAX);
        out.extend_from_slice(&KEEPALIVE.to_be_bytes());
        out.extend_from_slice(&2u16.to_be_bytes());
        out.extend_from_slice(&units.to_be_bytes());
    }
    let added = out.len() - before;
    let length = usize::from(u16::from_be_bytes([out[length_at], out[length_at + 1]])) + added;
    match u16::try_from(length) {
        Ok(length) if out.len() - start <= usize::from(u16::MAX) => {
            out[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
        }
        _ => out.truncate(before),
    }
}

/// Where the length of an answer's options is, if its last record is an OPT.
fn options_of(answer: &[u8]) -> Option<usize> {
    let header = Header::read(answer)?;
    let mut at = HEADER;
    for _ in 0..header.questions {
        at = skip_name(answer, at)? + 4;
    }
    let records = u32::from(header.answers) + u32::from(header.authorities) + u32::from(header.additionals);
    let mut last = None;
    for _ in 0..records {
        let found = record_again(answer, at)?;
        at = found.end;
        last = Some(found);
    }
    let last = last.filter(|found| found.rtype == rtype::OPT && found.end == answer.len())?;
    Some(last.data - 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x01a\x00\x00\x01\x00\x01";

    fn with_options(options: &[u8]) -> Vec<u8> {
        let mut message = QUESTION.to_vec();
        message.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, options.len() as u8]);
        message.extend_from_slice(options);
        message
    }

    #[test]
    fn a_keepalive_is_heeded_where_it_is_empty() {
        assert!(Wanted::by(&with_options(&[0, 11, 0, 0])).keepalive);
        assert!(Wanted::by(&with_options(&[0, 10, 0, 1, 7, 0, 11, 0, 0])).keepalive);
        for other in [&[][..], &[0, 11, 0, 2, 0, 1], &[0, 12, 0, 0], &[0, 11, 0, 9]] {
            assert_eq!(Wanted::by(&with_options(other)), Wanted::default(), "{other:?}");
        }
        for cut in 0..QUESTION.len() {
            assert_eq!(Wanted::by(&QUESTION[..cut]), Wanted::default());
        }
    }

    #[test]
    fn what_is_added_is_in_the_opt_and_its_length_says_so() {
        let mut out = b"before".to_vec();
        out.extend_from_slice(&with_options(&[0, 15, 0, 2, 0, 16]));
        add(&mut out, 6, Wanted { keepalive: true }, 10_000_000);
        assert_eq!(out[6..], with_options(&[0, 15, 0, 2, 0, 16, 0, 11, 0, 2, 0, 100]));
        let mut plain = QUESTION.to_vec();
        plain[11] = 0;
        let whole = plain.clone();
        add(&mut plain, 0, Wanted { keepalive: true }, 10_000_000);
        assert_eq!(plain, whole, "no OPT, no option");
    }
}
