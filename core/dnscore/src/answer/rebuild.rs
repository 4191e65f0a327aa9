//! An upstream's answer, or one of the cache, as one client asked for it.

use super::body::Body;
use super::shorten::shortened;
use super::write::{Ede, OPT, Start};
use crate::wire::{HEADER, Query, flag, rcode};

/// Writes an upstream's answer as this client asked for it: whole, or without what it can do without, or nothing but TC
/// (see [`shortened`]). Returns the length, and where the records end, which begin at `query.question_end`.
#[inline]
pub(crate) fn rebuild(packet: &[u8], query: &Query, body: &Body<'_>, limit: usize, out: &mut [u8]) -> (usize, usize) {
    let limit = limit.min(out.len());
    let rcode = if body.rcode > flag::RCODE && query.edns.is_none() { rcode::SERVFAIL } else { body.rcode };
    // RFC 6840, 5.8: AD only to a client that showed it knows the bit.
    let kept = flag::AA | flag::TC | flag::RA | if query.wants_ad() { flag::AD } else { 0 };
    let flags = (body.flags & kept) | (rcode & flag::RCODE);
    let question_end = usize::from(query.question_end);
    let opt = if query.edns.is_some() { OPT } else { 0 };
    let room = limit.saturating_sub(question_end + opt);
    let (mut length, mut counts) = (body.length(), body.counts);
    let whole = length <= room;
    if !whole {
        let Some(kept) = shortened(body, query.dnssec_ok(), room) else {
            let Some(mut start) = Start::of(packet, query.echo(), out) else { return (0, question_end) };
            start.flags((flags & !flag::AD) | flag::TC);
            start.opt(rcode, None, limit);
            return (start.finish(), question_end);
        };
        (length, counts) = (kept.length, kept.counts);
    }
    let (Some(id), Some(question)) = (packet.first_chunk::<2>(), packet.get(HEADER..question_end)) else {
        return (0, question_end);
    };
    let records_end = question_end + length;
    let (message, _) = out.split_at_mut(records_end);
    let (head, records) = message.split_at_mut(question_end);
    if whole {
        body.copy_records(records);
    } else {
        records.copy_from_slice(&body.octets[body.question..body.question + length]);
    }
    let (head, name) = head.split_at_mut(HEADER);
    name.copy_from_slice(question);
    let flags = (flag::QR | (query.flags & (flag::OPCODE | flag::RD | flag::CD)) | flags).to_be_bytes();
    let [answers, authorities, additionals] = counts.map(u16::to_be_bytes);
    head.copy_from_slice(&[
        id[0],
        id[1],
        flags[0],
        flags[1],
        0,
        1,
        answers[0],
        answers[1],
        authorities[0],
        authorities[1],
        additionals[0],
        additionals[1],
    ]);
    let mut start = Start { out, at: records_end, edns: query.edns };
    if opt > 0 {
        let data = start.begin_opt(rcode);
        if body.ede.is_some() || !body.options.is_empty() {
            if let Some(code) = body.ede {
                start.ede(Ede { code, text: [b""; 3], short: b"" }, limit);
            }
            start.copy_ede(body.options, limit);
            start.end_opt(data);
        }
    }
    (start.finish(), records_end)
}
