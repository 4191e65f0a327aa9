//! The checks on an upstream's answer, and the one walk over its records that finds what relay and cache need.
//!
//! Enters: a datagram (or a TCP message) from an upstream, and what was asked there. Leaves: [`Checked`], the places of
//! all that matters, or [`Mismatch`]. An answer counts only if id, QR, opcode and question (byte for byte, case and
//! all: 0x20) agree; which socket it came on is for the caller. Names inside record data are not looked at: what is
//! not ours to read passes as the upstream said it.

use super::message::{Header, Record, options, record, soa_minimum};
use super::{HEADER, OPTION_EDE, flag, rcode, rtype, u16_at};

/// The most records an answer can have to be cached; a longer one passes uncached.
pub const MAX_TTLS: usize = 128;

/// The longest a negative answer is kept: 1 hour.
pub const MAX_NEGATIVE_TTL: u32 = 3600;

/// A pointer to the question's name (RFC 1035, 4.1.4).
const TO_QUESTION: [u8; 2] = [0xc0, HEADER as u8];

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
    /// Not exactly one question, or another one, or in another case.
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
    /// Records of the additional section before the OPT.
    pub additionals: u16,
    /// The records are `answer[question_end..body_end]`.
    pub question_end: u16,
    /// Where the records end: at the OPT (what stands after it is left out) or after the last record.
    pub body_end: u16,
    /// Where the OPT's data begins and ends, if there is an extended DNS error in it; else empty.
    pub ede: (u16, u16),
    /// Names beside the question's own records of the answer section.
    pub foreign: bool,
    /// Seconds the answer may be kept; 0: not at all. Failures say 0 here, the cache knows their time.
    pub lifetime: u32,
    /// The SOA whose TTL a negative answer lives by (RFC 2308, 5): offset of the TTL, 0 without.
    pub soa_ttl_at: u16,
    /// Offsets of the TTLs of all records but the OPT.
    ttls: [u16; MAX_TTLS],
    ttl_count: u16,
}

impl Checked {
    /// The answer came truncated.
    pub fn truncated(&self) -> bool {
        self.flags & flag::TC != 0
    }

    /// Offsets of the records' TTLs in the message.
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
    let question_end = HEADER + expected.question.len();
    if header.questions != 1 || answer.get(HEADER..question_end) != Some(expected.question) {
        return Err(Mismatch::Question);
    }
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
        question_end: question_end as u16,
        body_end: question_end as u16,
        ede: (0, 0),
        foreign: false,
        lifetime: 0,
        soa_ttl_at: 0,
        ttls: [0; MAX_TTLS],
        ttl_count: 0,
    };
    let mut walk = Walk { min_ttl: u32::MAX, negative_ttl: None, has_data: false, too_many: false };
    match walk.records(answer, &header, &mut checked) {
        Some(()) => {}
        // "TC ... the message was truncated": some servers cut inside a record. Nothing of it is kept.
        None if checked.truncated() => {
            checked = Checked { answers: 0, authorities: 0, additionals: 0, body_end: checked.question_end, ..checked };
            checked.ttl_count = 0;
        }
        None => return Err(Mismatch::Malformed),
    }
    (checked.kind, checked.lifetime) = walk.judge(&checked);
    Ok(checked)
}

struct Walk {
    min_ttl: u32,
    negative_ttl: Option<u32>,
    has_data: bool,
    too_many: bool,
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
            self.note(&rr, checked)?;
            at = rr.end;
        }
        for _ in 0..header.authorities {
            let rr = record(answer, at)?;
            if rr.rtype == rtype::SOA && self.negative_ttl.is_none() {
                self.negative_ttl = Some(ttl(rr.ttl).min(soa_minimum(answer, &rr)?).min(MAX_NEGATIVE_TTL));
                checked.soa_ttl_at = rr.ttl_at as u16;
            }
            self.note(&rr, checked)?;
            at = rr.end;
        }
        checked.body_end = at as u16;
        let mut opt: Option<Record> = None;
        for _ in 0..header.additionals {
            let rr = record(answer, at)?;
            at = rr.end;
            if rr.rtype == rtype::OPT {
                if opt.is_some() || answer[rr.start] != 0 {
                    return None;
                }
                opt = Some(rr);
            } else if opt.is_none() {
                self.note(&rr, checked)?;
                checked.additionals += 1;
                checked.body_end = at as u16;
            }
        }
        if let Some(rr) = opt {
            checked.rcode |= (rr.ttl >> 24 << 4) as u16;
            let mut found = false;
            options(&answer[rr.data..rr.end], |code, _| found |= code == OPTION_EDE)?;
            if found {
                checked.ede = (rr.data as u16, rr.end as u16);
            }
        }
        Some(())
    }

    #[inline]
    fn note(&mut self, rr: &Record, checked: &mut Checked) -> Option<()> {
        if rr.rtype == rtype::OPT {
            return None; // outside the additional section it is nothing
        }
        self.min_ttl = self.min_ttl.min(ttl(rr.ttl));
        match checked.ttls.get_mut(usize::from(checked.ttl_count)) {
            Some(place) => {
                *place = rr.ttl_at as u16;
                checked.ttl_count += 1;
            }
            None => self.too_many = true,
        }
        Some(())
    }

    /// What the answer says and how long it may be kept.
    fn judge(&self, checked: &Checked) -> (Kind, u32) {
        let (kind, lifetime) = match checked.rcode {
            rcode::NOERROR if self.has_data => (Kind::Positive, self.min_ttl),
            // RFC 2308, 5: a negative answer without SOA "SHOULD NOT be cached"; a referral looks the same.
            rcode::NOERROR | rcode::NXDOMAIN => (Kind::Negative, self.negative_ttl.unwrap_or(0).min(self.min_ttl)),
            _ => (Kind::Failure, 0),
        };
        (kind, if checked.truncated() || self.too_many { 0 } else { lifetime })
    }
}

/// "if ... the most significant bit is set, the entire value is to be treated as zero" (RFC 2181, 8).
#[inline(always)]
fn ttl(value: u32) -> u32 {
    if value >> 31 == 0 { value } else { 0 }
}
