//! DNS messages as bytes: the query's parse table, and the checks on an upstream's answer.
//!
//! Enters: datagrams nobody has looked at yet. Leaves: a [`Query`], a reason to refuse or drop it, or [`Checked`]
//! answers. Rules: every offset is bounded by the slice before it is read; nothing is allocated; a name is kept in a
//! fixed inline buffer, lower-cased, in wire form with its root byte.

#![deny(clippy::cast_possible_truncation)]

pub mod message;
pub mod name;
pub mod pointers;
pub mod proxy;
pub mod query;
pub mod structured;
pub mod upstream;

pub use name::Name;
pub use query::{DropReason, Echo, Edns, Parsed, Query, Refusal, Rejected, parse, parse_into};
pub use upstream::{Checked, Expected, Mismatch, check_answer};

/// Length of the fixed header (RFC 1035, 4.1.1).
pub const HEADER: usize = 12;

/// The largest UDP message sent or asked for (DNS flag day 2020: no fragments on any common path).
pub const UDP_SIZE: u16 = 1232;

/// What a client without EDNS takes (RFC 1035, 4.2.1).
pub const UDP_SIZE_WITHOUT_EDNS: u16 = 512;

/// Bits of the header's second 16-bit word (RFC 1035, 4.1.1; RFC 4035, 3.1.6 and 3.2).
pub mod flag {
    /// Response.
    pub const QR: u16 = 0x8000;
    /// The four bits of the opcode.
    pub const OPCODE: u16 = 0x7800;
    /// Authoritative answer.
    pub const AA: u16 = 0x0400;
    /// Truncated.
    pub const TC: u16 = 0x0200;
    /// Recursion desired.
    pub const RD: u16 = 0x0100;
    /// Recursion available.
    pub const RA: u16 = 0x0080;
    /// Authentic data.
    pub const AD: u16 = 0x0020;
    /// Checking disabled.
    pub const CD: u16 = 0x0010;
    /// The lower four bits of the response code.
    pub const RCODE: u16 = 0x000f;
}

/// Record types and question types that mean something here (IANA DNS parameters).
pub mod rtype {
    /// IPv4 address.
    pub const A: u16 = 1;
    /// Name server.
    pub const NS: u16 = 2;
    /// Alias.
    pub const CNAME: u16 = 5;
    /// Start of authority.
    pub const SOA: u16 = 6;
    /// Host information; the answer to ANY (RFC 8482).
    pub const HINFO: u16 = 13;
    /// Text.
    pub const TXT: u16 = 16;
    /// Signature; SIG(0) when it covers no type (RFC 2931).
    pub const SIG: u16 = 24;
    /// IPv6 address.
    pub const AAAA: u16 = 28;
    /// Alias of a whole subtree (RFC 6672).
    pub const DNAME: u16 = 39;
    /// The EDNS pseudo-record (RFC 6891).
    pub const OPT: u16 = 41;
    /// Delegation signer: the parent's word on a zone's keys (RFC 4034, 5).
    pub const DS: u16 = 43;
    /// Signature over a record set (RFC 4034, 3).
    pub const RRSIG: u16 = 46;
    /// Authenticated denial (RFC 4034, 4).
    pub const NSEC: u16 = 47;
    /// A zone's keys (RFC 4034, 2).
    pub const DNSKEY: u16 = 48;
    /// Authenticated denial by hashes (RFC 5155).
    pub const NSEC3: u16 = 50;
    /// Service binding of a web origin (RFC 9460).
    pub const HTTPS: u16 = 65;
    /// Key negotiation (RFC 2930).
    pub const TKEY: u16 = 249;
    /// Transaction signature (RFC 8945).
    pub const TSIG: u16 = 250;
    /// Incremental zone transfer (RFC 1995).
    pub const IXFR: u16 = 251;
    /// Zone transfer (RFC 5936).
    pub const AXFR: u16 = 252;
    /// All records (RFC 8482).
    pub const ANY: u16 = 255;
}

/// The one class that is served.
pub const CLASS_IN: u16 = 1;

/// Response codes; those above 15 need EDNS for their upper eight bits (RFC 6891, 6.1.3).
pub mod rcode {
    /// No error.
    pub const NOERROR: u16 = 0;
    /// The query could not be interpreted.
    pub const FORMERR: u16 = 1;
    /// The server failed.
    pub const SERVFAIL: u16 = 2;
    /// The name does not exist.
    pub const NXDOMAIN: u16 = 3;
    /// Not implemented.
    pub const NOTIMP: u16 = 4;
    /// Refused by policy.
    pub const REFUSED: u16 = 5;
    /// An EDNS version above ours.
    pub const BADVERS: u16 = 16;
}

/// Extended DNS errors (RFC 8914).
pub mod ede {
    /// A stale answer.
    pub const STALE_ANSWER: u16 = 3;
    /// The operator's own policy.
    pub const BLOCKED: u16 = 15;
    /// An authority's order.
    pub const CENSORED: u16 = 16;
    /// The subscriber asked for it.
    pub const FILTERED: u16 = 17;
    /// A stale NXDOMAIN.
    pub const STALE_NXDOMAIN: u16 = 19;
    /// No upstream could be reached.
    pub const NO_REACHABLE_AUTHORITY: u16 = 22;
    /// An upstream was reached and answered in no usable way.
    pub const NETWORK_ERROR: u16 = 23;
}

/// EDNS option code of an extended DNS error (RFC 8914, 2).
pub const OPTION_EDE: u16 = 15;
/// Padding (RFC 7830).
pub const OPTION_PADDING: u16 = 12;

/// The big-endian 16-bit value at `at`, if it lies inside.
#[inline(always)]
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes([pair[0], pair[1]]))
}

/// The big-endian 32-bit value at `at`, if it lies inside.
#[inline(always)]
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
}
