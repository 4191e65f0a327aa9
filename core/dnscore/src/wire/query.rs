//! The parse table: what a datagram from a client is, before anyone asks who the client is.
//!
//! | in the datagram | outcome |
//! |---|---|
//! | under 12 bytes, QR=1 | dropped: an answer could be reflected, and two servers could talk for ever |
//! | EDNS version above 0, whatever the opcode or the sections | BADVERS |
//! | opcode other than QUERY | NOTIMP, without the question |
//! | QDCOUNT not 1 (RFC 9619); a pointer, a reserved label type, more than 255 octets or the end of the message in QNAME | FORMERR |
//! | records in the answer or authority section (IXFR apart, which carries a SOA: RFC 1995) | FORMERR |
//! | two OPTs, an OPT below the root, a length that leaves the message, QTYPE OPT | FORMERR |
//! | a datagram longer than 4,096 octets, of which the rest is cut off, records with it | FORMERR, and never TC |
//! | TSIG, SIG(0), TKEY, AXFR, IXFR, class other than IN | REFUSED |
//! | other additional records, bytes after the last record | ignored, as Unbound and BIND do; neither is sent on, since the upstream's query is a new message |
//!
//! Each of these answers carries an OPT where the request has one that can be read, as far as its options at least,
//! whatever else is wrong with it: "If an OPT record is present in a received request, compliant responders MUST include
//! an OPT record in their respective responses" (RFC 6891, 6.1.1). A FORMERR without would say that EDNS is not spoken here.

use super::message::{Header, options, record, skip_name};
use super::name::Name;
use super::structured::asks;
use super::upstream::is_signature;
use super::{CLASS_IN, HEADER, UDP_SIZE, UDP_SIZE_WITHOUT_EDNS, flag, rcode, rtype};
use crate::narrow::to_u16;

/// What [`parse`] makes of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // boxed it would be an allocation a packet
pub enum Parsed {
    /// A question to decide.
    Query(Query),
    /// To be answered with an error, see [`crate::answer::error`].
    Refuse(Refusal),
    /// Not to be answered.
    Drop(DropReason),
}

/// Why a datagram gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// Under 12 bytes.
    Short,
    /// QR=1: it is an answer itself.
    Response,
}

/// A question of class IN, opcode QUERY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// The client's message id.
    pub id: u16,
    /// The header's flags as the client sent them.
    pub flags: u16,
    /// The name, lower case.
    pub qname: Name,
    /// The type.
    pub qtype: u16,
    /// The question as the client wrote it is `packet[12..question_end]`.
    pub question_end: u16,
    /// The client's OPT, if there was one.
    pub edns: Option<Edns>,
}

/// What of a client's OPT counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns {
    /// UDP size the client takes, as it said.
    pub size: u16,
    /// DNSSEC OK.
    pub dnssec_ok: bool,
    /// The client reads structured errors.
    pub structured: bool,
}

/// What of a query an answer repeats: the question, if it could be read, and whether there is an OPT to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// End of the question; 12 where none is repeated.
    pub question_end: u16,
    /// The client's OPT.
    pub edns: Option<Edns>,
}

/// An error to answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Extended response code.
    pub rcode: u16,
    /// What the answer repeats.
    pub echo: Echo,
}

impl Query {
    /// Room for [`parse_into`].
    pub const BLANK: Query =
        Query { id: 0, flags: 0, qname: Name::ROOT, qtype: 0, question_end: to_u16(HEADER), edns: None };

    /// Recursion desired.
    #[inline(always)]
    pub fn rd(&self) -> bool {
        self.flags & flag::RD != 0
    }

    /// Checking disabled.
    #[inline(always)]
    pub fn cd(&self) -> bool {
        self.flags & flag::CD != 0
    }

    /// DNSSEC OK.
    #[inline(always)]
    pub fn dnssec_ok(&self) -> bool {
        matches!(self.edns, Some(Edns { dnssec_ok: true, .. }))
    }

    /// The client understands the AD bit (RFC 6840, 5.7): only then may an answer carry it.
    #[inline(always)]
    pub fn wants_ad(&self) -> bool {
        self.flags & flag::AD != 0 || self.dnssec_ok()
    }

    /// DS or DNSKEY: asked by validators about a *zone*, whose name may be listed while names in it are not.
    #[inline(always)]
    pub fn asks_for_trust(&self) -> bool {
        matches!(self.qtype, rtype::DS | rtype::DNSKEY)
    }

    /// The longest answer over UDP: min(the client's, 1232), 512 without OPT.
    #[inline(always)]
    pub fn udp_limit(&self) -> usize {
        self.echo().udp_limit()
    }

    /// What an answer repeats of this query.
    #[inline(always)]
    pub fn echo(&self) -> Echo {
        Echo { question_end: self.question_end, edns: self.edns }
    }
}

impl Echo {
    /// No question, no OPT.
    pub const NOTHING: Echo = Echo { question_end: to_u16(HEADER), edns: None };

    /// The longest answer over UDP. "Values lower than 512 MUST be treated as equal to 512" (RFC 6891, 6.2.3).
    #[inline(always)]
    pub fn udp_limit(&self) -> usize {
        usize::from(match self.edns {
            Some(edns) => edns.size.clamp(UDP_SIZE_WITHOUT_EDNS, UDP_SIZE),
            None => UDP_SIZE_WITHOUT_EDNS,
        })
    }
}

/// Why a datagram holds no question to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// To be answered with an error.
    Refuse(Refusal),
    /// Not to be answered.
    Drop(DropReason),
}

/// Applies the parse table of this module's head.
#[inline]
pub fn parse(packet: &[u8]) -> Parsed {
    let mut query = Query::BLANK;
    match parse_into(packet, &mut query) {
        Ok(()) => Parsed::Query(query),
        Err(Rejected::Refuse(refusal)) => Parsed::Refuse(refusal),
        Err(Rejected::Drop(reason)) => Parsed::Drop(reason),
    }
}

/// The same into a query that is at hand: a [`Query`] is 270 octets, and a batch of them is not to be moved about. On an
/// error nothing in `query` means anything.
#[inline(always)]
pub fn parse_into(packet: &[u8], query: &mut Query) -> Result<(), Rejected> {
    let Some(header) = Header::read(packet) else { return Err(Rejected::Drop(DropReason::Short)) };
    if header.flags & flag::QR != 0 {
        return Err(Rejected::Drop(DropReason::Response));
    }
    let refuse = |rcode, echo| Err(Rejected::Refuse(Refusal { rcode, echo }));
    if header.flags & flag::OPCODE != 0 || header.questions != 1 {
        let Extra { edns, version, .. } = behind_all(packet, &header);
        let error = match header.flags & flag::OPCODE {
            _ if version > 0 => rcode::BADVERS,
            0 => rcode::FORMERR,
            _ => rcode::NOTIMP,
        };
        return refuse(error, Echo { edns, ..Echo::NOTHING });
    }
    let Ok(after) = query.qname.fill(packet, HEADER) else { return refuse(rcode::FORMERR, Echo::NOTHING) };
    let Some(&[type_high, type_low, class_high, class_low]) = packet[after..].first_chunk() else {
        return refuse(rcode::FORMERR, Echo::NOTHING);
    };
    let qtype = u16::from_be_bytes([type_high, type_low]);
    let qclass = u16::from_be_bytes([class_high, class_low]);
    // At most 12 + 255 + 4.
    let question_end = to_u16(after + 4);
    let mut echo = Echo { question_end, edns: None };
    let strange_sections = header.answers | header.authorities != 0;
    let extra = if strange_sections {
        behind_records(packet, after + 4, &header)
    } else if header.additionals > 0 {
        additional(packet, after + 4, header.additionals)
    } else {
        Extra::default()
    };
    echo.edns = extra.edns;
    if extra.broken {
        return refuse(rcode::FORMERR, echo);
    }
    if extra.version > 0 {
        return refuse(rcode::BADVERS, echo);
    }
    // Before the sections are judged: an IXFR carries a SOA (RFC 1995).
    if matches!(qtype, rtype::AXFR | rtype::IXFR | rtype::TKEY | rtype::TSIG) || extra.signed {
        return refuse(rcode::REFUSED, echo);
    }
    if strange_sections || qtype == rtype::OPT {
        return refuse(rcode::FORMERR, echo);
    }
    if qclass != CLASS_IN {
        return refuse(rcode::REFUSED, echo);
    }
    query.id = header.id;
    query.flags = header.flags;
    query.qtype = qtype;
    query.question_end = question_end;
    query.edns = extra.edns;
    Ok(())
}

/// What the additional section of a query says.
#[derive(Default)]
struct Extra {
    edns: Option<Edns>,
    version: u8,
    signed: bool,
    /// It is a FORMERR, whatever was read of it.
    broken: bool,
}

/// The additional section of a request whose other sections are of no further interest.
#[cold]
fn behind_all(packet: &[u8], header: &Header) -> Extra {
    let mut at = HEADER;
    for _ in 0..header.questions {
        let Some(end) = skip_name(packet, at) else { return Extra { broken: true, ..Extra::default() } };
        at = end + 4;
    }
    behind_records(packet, at, header)
}

/// Walks to the additional section, and that.
#[cold]
fn behind_records(packet: &[u8], start: usize, header: &Header) -> Extra {
    let mut at = start;
    for _ in 0..usize::from(header.answers) + usize::from(header.authorities) {
        let Some(rr) = record(packet, at) else { return Extra { broken: true, ..Extra::default() } };
        at = rr.end;
    }
    additional(packet, at, header.additionals)
}

/// The type of an OPT, in its second octet.
const OPT_LOW: u8 = 41;

/// Walks the additional section.
#[inline]
fn additional(packet: &[u8], start: usize, count: u16) -> Extra {
    let mut extra = Extra::default();
    // What most queries end with: one OPT of version 0 without options.
    let opt = packet.get(start..).and_then(|rest| rest.first_chunk()).filter(|_| count == 1);
    if let Some(&[0, 0, OPT_LOW, size_high, size_low, _, 0, flags, _, 0, 0]) = opt {
        let size = u16::from_be_bytes([size_high, size_low]);
        extra.edns = Some(Edns { size, dnssec_ok: flags & 0x80 != 0, structured: false });
        return extra;
    }
    let mut at = start;
    for _ in 0..count {
        let Some(rr) = record(packet, at) else {
            extra.edns = extra.edns.or_else(|| begun_opt(packet, at));
            extra.broken = true;
            break;
        };
        if rr.rtype == rtype::OPT {
            // "the presence of more than one OPT MUST be FORMERR"; its owner "MUST be 0 (root domain)" (RFC 6891, 6.1)
            if extra.edns.is_some() || packet[rr.start] != 0 {
                extra.broken = true;
                break;
            }
            let mut edns = Edns { size: rr.class, dnssec_ok: rr.ttl & 0x8000 != 0, structured: false };
            extra.version = (rr.ttl >> 16 & 0xff) as u8;
            // The options of another version may look otherwise; BADVERS says so without reading them.
            let sound = extra.version > 0
                || options(&packet[rr.data..rr.end], |code, value| edns.structured |= asks(code, value)).is_some();
            extra.edns = Some(edns);
            if !sound {
                extra.broken = true;
                break;
            }
        }
        extra.signed |= is_signature(packet, &rr);
        at = rr.end;
    }
    extra
}

/// An OPT whose options are not all there: who sent it speaks EDNS nevertheless.
#[cold]
fn begun_opt(packet: &[u8], at: usize) -> Option<Edns> {
    let &[0, type_high, type_low, size_high, size_low, _, _, flags, _, _, _] = packet.get(at..)?.first_chunk()? else {
        return None;
    };
    let size = u16::from_be_bytes([size_high, size_low]);
    (u16::from_be_bytes([type_high, type_low]) == rtype::OPT).then_some(Edns {
        size,
        dnssec_ok: flags & 0x80 != 0,
        structured: false,
    })
}
