//! The checks on an upstream's answer, and the one walk over its records that finds what relay and cache need.
//!
//! Enters: a datagram (or a TCP message) from an upstream, and what was asked there. Leaves: [`Checked`], the places of
//! all that matters, or [`Mismatch`]. Which socket it came on is for the caller. The rules:
//!
//! * An answer counts only if id, QR, opcode and question (byte for byte, case and all: 0x20) agree. FORMERR, SERVFAIL,
//!   NOTIMP and REFUSED count without a question too: servers that will not even read one say so by a header alone. Who
//!   forges that has to guess id and port, and gains a failure, which the next upstream is asked about and which is kept
//!   for seconds; NOERROR and NXDOMAIN never count without.
//! * OPT, TSIG and SIG(0) are between two hosts (RFC 6891, 6.1.1; RFC 8945, 5.1; RFC 2931, 3): they are left out. The
//!   records before and behind the OPT are the answer's; signatures must be last.
//! * Owner names come to an end. Names inside record data are not looked at: what is not ours to read passes as the
//!   upstream said it.

use super::message::{Header, Record, options, record, skip_part, soa_minimum};
use super::pointers::pointers;
use super::{HEADER, OPTION_EDE, flag, rcode, rtype, u16_at};
use crate::narrow::{to_u8, to_u16};

/// Records whose TTLs' places [`Checked`] holds; those of a longer answer are for the cache to find.
pub const MAX_TTLS: usize = 128;

/// The longest a negative answer is kept: 1 hour.
pub const MAX_NEGATIVE_TTL: u32 = 3600;

/// A pointer to the question's name (RFC 1035, 4.1.4).
const TO_QUESTION: [u8; 2] = [0xc0, to_u8(HEADER)];

/// What was asked of the upstream.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The id that was sent.
    pub id: u16,
    /// The question section that was sent, `query[12..question_end]`.
    pub question: &'a [u8],
}

/// Why a message is not the answer to what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// Under 12 bytes.
    Short,
    /// QR=0.
    NotAResponse,
    /// Another opcode.
    Opcode,
    /// Another id.
    Id,
    /// Not exactly one question, or another one, or in another case; none, and it is no error without records.
    Question,
    /// All of the above agrees, but counts or lengths lie: the upstream's own fault, not a guesser's.
    Malformed,
}

/// What an answer says, as far as lifetimes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// NOERROR with data of the type asked for.
    Positive,
    /// NXDOMAIN, or NOERROR without data of the type asked for.
    Negative,
    /// Any other rcode.
    Failure,
}

/// An answer that counts, with the places of its parts.
#[derive(Clone, Copy, Debug)]
pub struct Checked {
    /// The header's flags.
    pub flags: u16,
    /// Extended rcode.
    pub rcode: u16,
    /// What it says.
    pub kind: Kind,
    /// Records of the answer section.
    pub answers: u16,
    /// Records of the authority section.
    pub authorities: u16,
    /// Records of the additional section, without the OPT and signatures of the message.
    pub additionals: u16,
    /// The records are `answer[question_end..body_end]`.
    pub question_end: u16,
    /// Where the records end: at the OPT or after the last record.
    pub body_end: u16,
    /// Where records after the OPT begin and end; usually empty.
    pub behind: (u16, u16),
    /// Where the OPT's data begins and ends, if there is an extended DNS error in it; else empty.
    pub ede: (u16, u16),
    /// There is an OPT.
    pub edns: bool,
    /// Names beside the question's own records of the answer section, or records beside it.
    pub foreign: bool,
    /// Seconds the answer may be kept; 0: not at all. Failures say 0 here, the cache knows their time.
    pub lifetime: u32,
    /// The SOA whose TTL a negative answer lives by (RFC 2308, 5): offset of the TTL, 0 without.
    pub soa_ttl_at: u16,
    /// Offsets of the TTLs of the first records, the OPT taken out.
    ttls: [u16; MAX_TTLS],
    ttl_count: u16,
}

impl Checked {
    fn forget_records(&mut self) {
        (self.answers, self.authorities, self.additionals) = (0, 0, 0);
        (self.body_end, self.behind, self.ttl_count) = (self.question_end, (0, 0), 0);
    }

    /// The answer came truncated.
    pub fn truncated(&self) -> bool {
        self.flags & flag::TC != 0
    }

    /// What a server says that does not speak EDNS: FORMERR, and no OPT (RFC 6891, 7).
    pub fn lacks_edns(&self) -> bool {
        self.rcode == rcode::FORMERR && !self.edns
    }

    /// Records in all; none where it came truncated within one.
    pub fn records(&self) -> usize {
        [self.answers, self.authorities, self.additionals].into_iter().map(usize::from).sum()
    }

    /// Offsets of the records' TTLs in the message, as they are once the OPT is taken out: of all, or of the first
    /// [`MAX_TTLS`].
    pub fn ttls(&self) -> &[u16] {
        &self.ttls[..usize::from(self.ttl_count)]
    }
}

/// Whether `answer` is the answer to `expected`, and what is in it.
#[inline]
pub fn check_answer(answer: &[u8], expected: &Expected<'_>) -> Result<Checked, Mismatch> {
    let header = Header::read(answer).ok_or(Mismatch::Short)?;
    if header.flags & flag::QR == 0 {
        return Err(Mismatch::NotAResponse);
    }
    if header.flags & flag::OPCODE != 0 {
        return Err(Mismatch::Opcode);
    }
    if header.id != expected.id {
        return Err(Mismatch::Id);
    }
    let question_end = match header.questions {
        1 if answer.get(HEADER..HEADER + expected.question.len()) == Some(expected.question) => {
            HEADER + expected.question.len()
        }
        0 if is_bare_error(&header) => HEADER,
        _ => return Err(Mismatch::Question),
    };
    if answer.len() > usize::from(u16::MAX) {
        return Err(Mismatch::Malformed);
    }
    let mut checked = Checked {
        flags: header.flags,
        rcode: header.flags & flag::RCODE,
        kind: Kind::Failure,
        answers: header.answers,
        authorities: header.authorities,
        additionals: 0,
        question_end: to_u16(question_end),
        body_end: to_u16(question_end),
        behind: (0, 0),
        ede: (0, 0),
        edns: false,
        foreign: false,
        lifetime: 0,
        soa_ttl_at: 0,
        ttls: [0; MAX_TTLS],
        ttl_count: 0,
    };
    let mut walk = Walk { min_ttl: u32::MAX, negative_ttl: None, has_data: false };
    match walk.records(answer, &header, &mut checked) {
        Some(()) if header.questions == 1 => {}
        // Pointers in what else stands there would point elsewhere, once the question is put before it.
        Some(()) => checked.forget_records(),
        // "TC ... the message was truncated": some servers cut inside a record. Nothing of it is kept.
        None if checked.truncated() => checked.forget_records(),
        None => return Err(Mismatch::Malformed),
    }
    (checked.kind, checked.lifetime) = walk.judge(&checked);
    Ok(checked)
}

/// Nothing but an error: what a server says that does not want to read the question.
fn is_bare_error(header: &Header) -> bool {
    let errors = [rcode::FORMERR, rcode::SERVFAIL, rcode::NOTIMP, rcode::REFUSED];
    header.answers | header.authorities == 0 && errors.contains(&(header.flags & flag::RCODE))
}

struct Walk {
    min_ttl: u32,
    negative_ttl: Option<u32>,
    has_data: bool,
}

impl Walk {
    /// One pass over all sections; `None` where a count or a length lies.
    #[inline]
    fn records(&mut self, answer: &[u8], header: &Header, checked: &mut Checked) -> Option<()> {
        let mut at = usize::from(checked.question_end);
        let qtype = u16_at(answer, at - 4)?;
        for _ in 0..header.answers {
            let rr = record(answer, at)?;
            self.has_data |= rr.rtype == qtype || qtype == rtype::ANY;
            // A server that spells the question's name out is taken for one that names others; nothing is lost by it.
            checked.foreign |= answer[rr.start..rr.start + 2] != TO_QUESTION;
            self.note(&rr, 0, checked)?;
            at = rr.end;
        }
        for _ in 0..header.authorities {
            let rr = record(answer, at)?;
            if rr.rtype == rtype::SOA && self.negative_ttl.is_none() {
                self.negative_ttl = Some(ttl(rr.ttl).min(soa_minimum(answer, &rr)?).min(MAX_NEGATIVE_TTL));
                checked.soa_ttl_at = to_u16(rr.ttl_at);
            }
            self.note(&rr, 0, checked)?;
            at = rr.end;
        }
        checked.body_end = to_u16(at);
        let mut opt: Option<Record> = None;
        for number in 1..=header.additionals {
            let rr = record(answer, at)?;
            at = rr.end;
            if rr.rtype == rtype::OPT {
                if opt.is_some() || answer[rr.start] != 0 {
                    return None;
                }
                opt = Some(rr);
                continue;
            }
            if is_signature(answer, &rr) {
                // "it MUST be the last record" (RFC 8945, 5.2).
                if number < header.additionals {
                    return None;
                }
                break;
            }
            checked.additionals += 1;
            checked.foreign |= answer[rr.start..rr.start + 2] != TO_QUESTION;
            match &opt {
                None => {
                    self.note(&rr, 0, checked)?;
                    checked.body_end = to_u16(at);
                }
                Some(opt) => self.note_behind(answer, &rr, opt, checked)?,
            }
        }
        if let Some(rr) = opt {
            checked.edns = true;
            checked.rcode |= ((rr.ttl >> 24) as u16) << 4;
            let mut found = false;
            options(&answer[rr.data..rr.end], |code, _| found |= code == OPTION_EDE)?;
            if found {
                checked.ede = (to_u16(rr.data), to_u16(rr.end));
            }
        }
        Some(())
    }

    /// `taken_out`: the octets of the OPT, where it stands before this record.
    #[inline]
    fn note(&mut self, rr: &Record, taken_out: usize, checked: &mut Checked) -> Option<()> {
        if matches!(rr.rtype, rtype::OPT | rtype::TSIG) {
            return None; // outside the additional section they are nothing
        }
        self.min_ttl = self.min_ttl.min(ttl(rr.ttl));
        if let Some(place) = checked.ttls.get_mut(usize::from(checked.ttl_count)) {
            *place = to_u16(rr.ttl_at - taken_out);
            checked.ttl_count += 1;
        }
        Some(())
    }

    /// A record behind the OPT, to be moved to where that is: no octet of the OPT may be part of its names.
    #[cold]
    fn note_behind(&mut self, answer: &[u8], rr: &Record, opt: &Record, checked: &mut Checked) -> Option<()> {
        let mut fits = true;
        pointers(&answer[rr.start..rr.end], |_, target| fits &= passes_by(answer, target, opt));
        checked.behind = (to_u16(opt.end), to_u16(rr.end));
        self.note(rr, opt.end - opt.start, checked).filter(|()| fits)
    }

    /// What the answer says and how long it may be kept.
    fn judge(&self, checked: &Checked) -> (Kind, u32) {
        let (kind, lifetime) = match checked.rcode {
            rcode::NOERROR if self.has_data => (Kind::Positive, self.min_ttl),
            // RFC 2308, 5: a negative answer without SOA "SHOULD NOT be cached"; a referral looks the same.
            rcode::NOERROR | rcode::NXDOMAIN => (Kind::Negative, self.negative_ttl.unwrap_or(0).min(self.min_ttl)),
            _ => (Kind::Failure, 0),
        };
        (kind, if checked.truncated() { 0 } else { lifetime })
    }
}

/// Whether what a pointer leads to is read without an octet of the OPT: a label before it may reach into it.
fn passes_by(answer: &[u8], mut target: usize, opt: &Record) -> bool {
    loop {
        let Some((end, next)) = skip_part(answer, target) else { return !(opt.start..opt.end).contains(&target) };
        if target < opt.end && end > opt.start {
            return false;
        }
        match next {
            None => return true,
            Some(next) if next < target => target = next,
            Some(_) => return false,
        }
    }
}

/// TSIG, or SIG(0): a SIG that covers no type (RFC 2931, 3).
#[inline]
pub(super) fn is_signature(packet: &[u8], rr: &Record) -> bool {
    rr.rtype == rtype::TSIG || (rr.rtype == rtype::SIG && u16_at(&packet[rr.data..rr.end], 0) == Some(0))
}

/// "if ... the most significant bit is set, the entire value is to be treated as zero" (RFC 2181, 8).
#[inline(always)]
fn ttl(value: u32) -> u32 {
    if value >> 31 == 0 { value } else { 0 }
}
