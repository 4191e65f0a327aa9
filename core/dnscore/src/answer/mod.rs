//! Every message Stopsign writes: blocked answers, errors, the query for the upstream, the upstream's answer rebuilt.
//!
//! Enters: the client's packet and what was parsed of it. Leaves: bytes in the caller's buffer, and their number. Rules:
//! id, RD, CD and the question in the client's own case come back; a forged answer never carries AD and says RA; an OPT
//! answers an OPT and only that, always a new one; a message that would pass `limit` loses its extended error's text
//! first, then the error, then records that the client can do without, then everything but TC. `out` holds at least 512
//! bytes; `limit` never counts beyond it.

mod aliases;
mod blocked;
mod body;
mod explained;
mod rebuild;
mod relayed;
mod shorten;
mod write;

pub use aliases::{MAX_OWNERS, Reason, owners, owners_beside, trim};
pub use blocked::{MAX_BLOCKED_TTL, StopPage, blocked, hinfo, nodata, text};
pub use explained::{Explained, Explanation};
pub use relayed::{client_answer, pad_query, upstream_query, without_opt};

pub(crate) use body::{Behind, Body};
pub(crate) use rebuild::rebuild;
use write::{Ede, Start};

use crate::wire::{Echo, Query, flag, rcode};

/// An answer without records: an error to a client, with an extended error where given and the client has EDNS.
///
/// An extended rcode (BADVERS) to a client without OPT, which cannot be said, becomes SERVFAIL.
pub fn error(packet: &[u8], echo: Echo, rcode: u16, ede: Option<(u16, &str)>, out: &mut [u8]) -> usize {
    let limit = echo.udp_limit();
    let rcode = if rcode > flag::RCODE && echo.edns.is_none() { rcode::SERVFAIL } else { rcode };
    let Some(mut start) = Start::of(packet, echo, out) else { return 0 };
    start.flags(flag::RA | (rcode & flag::RCODE));
    start.opt(rcode, ede.map(|(code, text)| Ede { code, text: [text.as_bytes(), b"", b""], short: b"" }), limit);
    start.finish()
}

/// An empty answer with TC: "ask me over TCP".
pub fn truncated(packet: &[u8], query: &Query, out: &mut [u8]) -> usize {
    let Some(mut start) = Start::of(packet, query.echo(), out) else { return 0 };
    start.flags(flag::RA | flag::TC);
    start.opt(0, None, usize::from(u16::MAX));
    start.finish()
}
