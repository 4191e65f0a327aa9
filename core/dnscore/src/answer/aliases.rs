//! Answers that lead, by CNAME or DNAME, to names that are listed: what of them is left out.
//!
//! Enters: an answer as it is to be sent, and which of the names that own its records are stopped. Leaves: the answer
//! without what those names own. Rules:
//!
//! * From the first record on that is not of the question's name, or of one that it leads to before any that is stopped,
//!   everything is left out: behind a stopped name the chain is cut, and some clients take every address that they see,
//!   no matter who owns it. What is kept is a beginning of the section, so no compressed name in it points to what is gone.
//! * A DNAME stays where it leads on from a name that stays: a validator needs it for the CNAME beside it.
//! * What a listed name owns beside an answer, in the additional section, is left out with all that stands there: some
//!   resolvers answer the listed name from it.
//! * Of the other sections only denials and signatures stay (NSEC, NSEC3, RRSIG), which prove that a kept alias was made
//!   from a wildcard. A SOA would be about the name at the end.
//! * NOERROR, since what is left is there; neither AD nor AA, since this is not what anybody signed or said; TTLs of at
//!   most [`super::MAX_BLOCKED_TTL`], so that relief reaches caches as soon as after a blocked answer.

use super::MAX_BLOCKED_TTL;
use super::explained::Explained;
use super::write::{Ede, OPT, Start};
use crate::wire::message::{self, Header, Record, record};
use crate::wire::{HEADER, Name, Query, rtype, u16_at};

/// Different owners in an answer section that are looked at: more than any resolver follows. What others own is left
/// out where anything is.
pub const MAX_OWNERS: usize = 32;

/// The question's name, by a pointer: the owner of most records.
const TO_QUESTION: u16 = 0xc000 | HEADER as u16;

/// Finds the names that own records of the answer section, besides the question's, each once. Says whether these are all:
/// there may be more than [`MAX_OWNERS`].
pub fn owners(message: &[u8], query: &Query, found: &mut Vec<Name>) -> bool {
    found.clear();
    let mut all = true;
    let mut last = Some(TO_QUESTION);
    each_answer(message, query, |rr| {
        let pointer = u16_at(message, rr.start).filter(|pointer| *pointer >= 0xc000);
        if pointer == Some(TO_QUESTION) || (pointer.is_some() && pointer == last) {
            return true;
        }
        last = pointer;
        match message::name(message, rr.start) {
            Some(name) if name == query.qname || found.contains(&name) => {}
            Some(name) if found.len() < MAX_OWNERS => found.push(name),
            _ => all = false,
        }
        all
    });
    all
}

/// Finds the names that own additional records too, behind those of the answer section. Says whether these are all.
pub fn owners_beside(message: &[u8], query: &Query, found: &mut Vec<Name>) -> bool {
    let Some(header) = Header::read(message) else { return true };
    let before = usize::from(header.answers) + usize::from(header.authorities);
    let mut at = usize::from(query.question_end);
    for number in 0..before + usize::from(header.additionals) {
        let Some(rr) = record(message, at) else { break };
        at = rr.end;
        if number < before || rr.rtype == rtype::OPT {
            continue;
        }
        match message::name(message, rr.start) {
            Some(name) if name == query.qname || found.contains(&name) => {}
            Some(name) if found.len() < MAX_OWNERS => found.push(name),
            _ => return false,
        }
    }
    true
}

/// What is said of an answer that was trimmed, and for how long it holds.
pub struct Reason<'a> {
    /// INFO-CODE of the extended error; 0: none is said.
    pub ede: u16,
    /// The entry's public reference; empty: none known.
    pub reference: &'a [u8],
    /// The portal's address.
    pub portal: &'a [u8],
    /// The text for a client that reads structured errors.
    pub explained: Option<&'a Explained>,
    /// Seconds for which the entry still holds.
    pub expires_in: u32,
}

/// Leaves out of an answer, which is the first `length` octets of `out`, what is owned by names that are stopped. Returns
/// its new length.
pub fn trim(
    query: &Query,
    is_stopped: impl Fn(&Name) -> bool,
    reason: &Reason<'_>,
    length: usize,
    limit: usize,
    out: &mut [u8],
) -> usize {
    let most = reason.expires_in.min(MAX_BLOCKED_TTL);
    let Some(message) = out.get(..length) else { return 0 };
    let proofs = proofs(message, query, most);
    let (kept, end, ttls) = beginning(message, query, is_stopped);
    ttls.into_iter().for_each(|at| lower(out, at, most));
    let mut start = Start::behind(out, query, end);
    start.count(0, kept);
    let room = limit.saturating_sub(if query.edns.is_some() { OPT } else { 0 });
    let mut proven = 0;
    for proof in proofs {
        if start.at() + proof.len() <= room {
            start.put(&proof);
            proven += 1;
        }
    }
    start.count(1, proven);
    start.opt(0, Ede::of_entry(reason.ede, reason.reference, reason.portal, reason.explained), limit);
    start.finish()
}

/// The records that stay: how many, where they end, where their TTLs are.
fn beginning(message: &[u8], query: &Query, is_stopped: impl Fn(&Name) -> bool) -> (u16, usize, Vec<usize>) {
    let reached = reached(message, query, is_stopped);
    let (mut kept, mut end, mut ttls) = (0, usize::from(query.question_end), Vec::new());
    each_answer(message, query, |rr| {
        let stays = message::name(message, rr.start).is_some_and(|owner| {
            let leads_on = is_of_dname(message, rr) && reached.iter().any(|name| name.is_at_or_below(owner.wire()));
            leads_on || reached.contains(&owner)
        });
        if stays {
            (kept, end) = (kept + 1, rr.end);
            ttls.push(rr.ttl_at);
        }
        stays
    });
    (kept, end, ttls)
}

/// The question's name and those that it leads to, up to the first that is stopped.
fn reached(message: &[u8], query: &Query, is_stopped: impl Fn(&Name) -> bool) -> Vec<Name> {
    let mut reached = vec![query.qname];
    while let Some(last) = reached.last().filter(|_| reached.len() <= MAX_OWNERS) {
        let mut target = None;
        each_answer(message, query, |rr| {
            if rr.rtype == rtype::CNAME && message::name(message, rr.start).as_ref() == Some(last) {
                target = message::name(message, rr.data);
            }
            target.is_none()
        });
        match target.filter(|name| !reached.contains(name) && !is_stopped(name)) {
            Some(name) => reached.push(name),
            None => break,
        }
    }
    reached
}

/// The denials of the authority section and what signs them, each with its owner's name in full.
fn proofs(message: &[u8], query: &Query, most: u32) -> Vec<Vec<u8>> {
    let mut proofs = Vec::new();
    let (Some(header), true) = (Header::read(message), query.dnssec_ok()) else { return proofs };
    let mut at = usize::from(query.question_end);
    for number in 0..usize::from(header.answers) + usize::from(header.authorities) {
        let Some(rr) = record(message, at) else { break };
        at = rr.end;
        if number < usize::from(header.answers) || !is_of_denial(message, &rr) {
            continue;
        }
        // The names in their data are never compressed (RFC 4034, 3.1.7 and 4.1.1).
        if let Some(owner) = message::name(message, rr.start) {
            let mut proof = [owner.wire(), &message[rr.ttl_at - 4..rr.end]].concat();
            lower(&mut proof, owner.len() + 4, most);
            proofs.push(proof);
        }
    }
    proofs
}

fn is_of_denial(message: &[u8], rr: &Record) -> bool {
    matches!(covered(message, rr), rtype::NSEC | rtype::NSEC3)
}

fn is_of_dname(message: &[u8], rr: &Record) -> bool {
    covered(message, rr) == rtype::DNAME
}

/// The type of a record; of a signature the type that it covers.
fn covered(message: &[u8], rr: &Record) -> u16 {
    if rr.rtype == rtype::RRSIG { u16_at(message, rr.data).unwrap_or(rr.rtype) } else { rr.rtype }
}

/// Lowers the TTL at that place.
fn lower(bytes: &mut [u8], at: usize, most: u32) {
    if let Some(place) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<4>()) {
        *place = u32::from_be_bytes(*place).min(most).to_be_bytes();
    }
}

/// Walks the answer section for as long as `each` says so.
#[inline]
fn each_answer(message: &[u8], query: &Query, mut each: impl FnMut(&Record) -> bool) {
    let Some(header) = Header::read(message) else { return };
    let mut at = usize::from(query.question_end);
    for _ in 0..header.answers {
        let Some(rr) = record(message, at) else { return };
        if !each(&rr) {
            return;
        }
        at = rr.end;
    }
}
