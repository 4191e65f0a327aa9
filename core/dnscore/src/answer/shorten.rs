//! What a client can do without, of an answer that is too long for it.
//!
//! "The TC bit should be set in responses only when an RRSet is required as a part of the response, but could not be
//! included in its entirety. The TC bit should not be set merely because some extra information could have been included"
//! (RFC 2181, 9). Enters: an answer, and the octets there are for its records. Leaves: how much of its beginning is sent,
//! or that TC is. The rules:
//!
//! * Required are the answer section; in the authority section the SOA of a negative answer and, where the client asked
//!   for DNSSEC, the proofs (RFC 4035, 3.1.3); all of it where the answer section is empty. Of a referral the addresses
//!   are required too (RFC 9471).
//! * What is left out is left out from the end, so that no pointer moves: first the additional section, then what of the
//!   authority section comes after the last record that is required.
//! * Record sets are left out whole, and their signatures with them.

use super::body::Body;
use crate::wire::message::{Labels, Record, record_again};
use crate::wire::{HEADER, rcode, rtype, u16_at};

/// The records that are sent: octets, and how many of each section.
#[derive(Clone, Copy)]
pub(super) struct Kept {
    pub length: usize,
    pub counts: [u16; 3],
}

/// What is sent of an answer whose records take more than `room` octets; `None`: TC.
#[cold]
pub(super) fn shortened(body: &Body<'_>, dnssec_ok: bool, room: usize) -> Option<Kept> {
    let end = body.question + room;
    let mut kept = required(body, dnssec_ok, end)?;
    let mut read = kept;
    let mut last: Option<(usize, Record)> = None;
    while let Some(section) = (1..3).find(|&section| read.counts[section] < body.counts[section]) {
        let Some(rr) = record_again(body.octets, read.length) else { break };
        if !last.is_some_and(|(before, last)| before == section && is_one_set(body.octets, &last, &rr)) {
            kept = read;
        }
        if rr.end > end {
            break;
        }
        read.length = rr.end;
        read.counts[section] += 1;
        last = Some((section, rr));
    }
    Some(Kept { length: kept.length - body.question, ..kept })
}

/// The records up to the last one that is required, the question's octets counted too; `None` if that is behind `end`.
fn required(body: &Body<'_>, dnssec_ok: bool, end: usize) -> Option<Kept> {
    let mut at = body.question;
    for _ in 0..body.counts[0] {
        at = record_again(body.octets, at).filter(|rr| rr.end <= end)?.end;
    }
    let is_empty = body.counts[0] == 0;
    let mut kept = Kept { length: at, counts: [body.counts[0], 0, 0] };
    let mut has_soa = false;
    for number in 1..=body.counts[1] {
        let rr = record_again(body.octets, at)?;
        at = rr.end;
        has_soa |= rr.rtype == rtype::SOA;
        let proves = dnssec_ok && matches!(set_type(body.octets, &rr), rtype::SOA | rtype::NSEC | rtype::NSEC3);
        if is_empty || rr.rtype == rtype::SOA || proves {
            (kept.length, kept.counts[1]) = (at, number);
        }
    }
    let refers = is_empty && body.counts[1] > 0 && !has_soa && body.rcode == rcode::NOERROR;
    (kept.length <= end && !refers).then_some(kept)
}

/// The type of the record set that a record belongs to; a signature belongs to the one that it covers.
fn set_type(octets: &[u8], rr: &Record) -> u16 {
    match rr.rtype {
        rtype::RRSIG => u16_at(octets, rr.data).unwrap_or(rtype::RRSIG),
        other => other,
    }
}

/// Two records, one behind the other, are of one set or are its signatures.
fn is_one_set(octets: &[u8], first: &Record, second: &Record) -> bool {
    let owner = |rr: &Record| Labels::new(octets, HEADER, rr.start);
    set_type(octets, first) == set_type(octets, second) && owner(first).same(owner(second))
}
