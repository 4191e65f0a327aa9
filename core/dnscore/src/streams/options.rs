//! EDNS options that belong to a connection, not to a question: how long it may be idle (RFC 7828), and padding, so that
//! the length of what is sealed says little (RFC 7830).
//!
//! Enters: a message as it came, an answer as the chain wrote it. Leaves: what the client asked for, and the answer with
//! it. Rules: an option is answered only where it was asked for, padding only under a seal, and only where the answer has
//! an OPT, which is its last record; an answer that would pass 65,535 octets stays as it is.

use crate::wire::message::{Header, options, record, record_again, skip_name};
use crate::wire::{HEADER, OPTION_PADDING, rtype};

/// edns-tcp-keepalive.
const KEEPALIVE: u16 = 11;
/// Octets of an option's code and length.
const OPTION: usize = 4;
/// "Servers SHOULD pad the corresponding response to a multiple of 468 octets" (RFC 8467, 4.1).
const BLOCK: usize = 468;
/// Additional records of a query that are looked at.
const LOOKED_AT: u16 = 4;
/// Microseconds of a keepalive's unit.
const UNIT: u64 = 100_000;

/// What a query asks of its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// To be told for how long it may be idle.
    pub keepalive: bool,
    /// That its answer be padded.
    pub padding: bool,
}

impl Wanted {
    /// By this query; nothing where it cannot be read. `sealed`: nobody on the way reads it.
    #[inline]
    pub fn by(packet: &[u8], sealed: bool) -> Wanted {
        let mut wanted = Wanted::default();
        let read = options_of_query(packet, |code, value| {
            // "The client MUST NOT include the TIMEOUT value" (3.2.1): one that does is not heeded.
            wanted.keepalive |= code == KEEPALIVE && value.is_empty();
            wanted.padding |= code == OPTION_PADDING && sealed;
        });
        read.map_or_else(Wanted::default, |()| wanted)
    }

    /// As a message's tag.
    pub fn tag(self) -> u16 {
        u16::from(self.keepalive) | u16::from(self.padding) << 1
    }

    /// From it.
    pub fn of_tag(tag: u16) -> Wanted {
        Wanted { keepalive: tag & 1 != 0, padding: tag & 2 != 0 }
    }

    /// Something is wanted.
    pub fn anything(self) -> bool {
        self != Wanted::default()
    }
}

/// A query has edns-tcp-keepalive, in whatever form.
pub fn has_keepalive(packet: &[u8]) -> bool {
    let mut found = false;
    // What cannot be read to its end is not obeyed, but it was there.
    let _ = options_of_query(packet, |code, _| found |= code == KEEPALIVE);
    found
}

/// Shows each option of a query's OPT. `None`: there is none, or it cannot be read to its end.
fn options_of_query(packet: &[u8], show: impl FnMut(u16, &[u8])) -> Option<()> {
    let header = Header::read(packet)?;
    let Header { questions: 1, answers: 0, authorities: 0, additionals, .. } = header else { return None };
    let mut at = skip_name(packet, HEADER)? + 4;
    for _ in 0..additionals.min(LOOKED_AT) {
        let found = record(packet, at)?;
        if found.rtype == rtype::OPT {
            return options(&packet[found.data..found.end], show);
        }
        at = found.end;
    }
    None
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
    if wanted.padding {
        let length = (out.len() - start + OPTION).next_multiple_of(BLOCK).min(usize::from(u16::MAX));
        let zeros = length.saturating_sub(out.len() - start + OPTION);
        out.extend_from_slice(&OPTION_PADDING.to_be_bytes());
        out.extend_from_slice(&(zeros as u16).to_be_bytes());
        out.resize(out.len() + zeros, 0);
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
    const KEEP: Wanted = Wanted { keepalive: true, padding: false };
    const PAD: Wanted = Wanted { keepalive: false, padding: true };

    fn with_options(options: &[u8]) -> Vec<u8> {
        let mut message = QUESTION.to_vec();
        message.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0]);
        message.extend_from_slice(&(options.len() as u16).to_be_bytes());
        message.extend_from_slice(options);
        message
    }

    #[test]
    fn a_keepalive_is_heeded_where_it_is_empty_and_padding_where_nobody_reads_along() {
        assert_eq!(Wanted::by(&with_options(&[0, 11, 0, 0]), false), KEEP);
        assert_eq!(Wanted::by(&with_options(&[0, 10, 0, 1, 7, 0, 11, 0, 0]), true), KEEP);
        assert_eq!(Wanted::by(&with_options(&[0, 12, 0, 2, 0, 0]), true), PAD);
        for other in [&[][..], &[0, 11, 0, 2, 0, 1], &[0, 12, 0, 0], &[0, 11, 0, 9]] {
            assert_eq!(Wanted::by(&with_options(other), false), Wanted::default(), "{other:?}");
        }
        for cut in 0..QUESTION.len() {
            assert_eq!(Wanted::by(&QUESTION[..cut], true), Wanted::default());
        }
        for wanted in [KEEP, PAD, Wanted { keepalive: true, padding: true }, Wanted::default()] {
            assert_eq!(Wanted::of_tag(wanted.tag()), wanted);
        }
    }

    #[test]
    fn what_is_added_is_in_the_opt_and_its_length_says_so() {
        let mut out = b"before".to_vec();
        out.extend_from_slice(&with_options(&[0, 15, 0, 2, 0, 16]));
        add(&mut out, 6, KEEP, 10_000_000);
        assert_eq!(out[6..], with_options(&[0, 15, 0, 2, 0, 16, 0, 11, 0, 2, 0, 100]));
        let mut plain = QUESTION.to_vec();
        plain[11] = 0;
        let whole = plain.clone();
        add(&mut plain, 0, Wanted { keepalive: true, padding: true }, 10_000_000);
        assert_eq!(plain, whole, "no OPT, no option");
    }

    #[test]
    fn an_answer_is_padded_to_whole_blocks_and_stays_one_message() {
        for fill in [0, 1, 400, 430, 431, 432, 433, 900, 65_000, 65_490, 65_500] {
            let mut options = vec![0, 15];
            options.extend_from_slice(&(fill as u16).to_be_bytes());
            options.resize(options.len() + fill, 7);
            let mut out = with_options(&options);
            let before = out.len();
            add(&mut out, 0, PAD, 0);
            let is_whole = out.len().is_multiple_of(BLOCK) || out.len() == usize::from(u16::MAX) || out.len() == before;
            assert!(is_whole && out.len() <= usize::from(u16::MAX), "{fill}: {}", out.len());
            assert_eq!(options_of(&out), Some(QUESTION.len() + 9));
        }
    }
}
