//! Answers that are made here: to blocked questions, to ANY, and a text.
//!
//! | asked | answer |
//! |---|---|
//! | A, AAAA, action `stop-page` | the stop page's address of that family; NODATA where there is none |
//! | any other type | NODATA: for HTTPS (type 65) NXDOMAIN breaks phones, and forwarding the question is a bypass |
//! | action `nxdomain`, `nodata`, `refused` | as named |
//!
//! DS and DNSKEY never come here: the chain relays them (`plane/stages.rs`). TTL min(60, time to expiry) throughout, so
//! that relief reaches a client's own cache within a minute.

use super::explained::Explained;
use super::write::{Ede, Start};
use crate::list::Action;
use crate::verdict::Stop;
use crate::wire::{CLASS_IN, HEADER, Query, flag, rcode, rtype};

/// The longest a blocked answer may be kept by the client, in seconds.
pub const MAX_BLOCKED_TTL: u32 = 60;

/// Where a blocked client is sent.
#[derive(Clone, Debug, Default)]
pub struct StopPage {
    /// The stop page's address, if it has one.
    pub ipv4: Option<[u8; 4]>,
    /// The stop page's address, if it has one.
    pub ipv6: Option<[u8; 16]>,
    /// The portal's URL, for the text of the extended error.
    pub portal: Vec<u8>,
}

/// Answers a blocked question. `reference` is the entry's public reference (empty: none known), `explained` the text for a
/// client that reads structured errors, `now` in Unix seconds.
#[allow(clippy::too_many_arguments)] // each a different thing; a struct would be built per packet for one call
#[inline]
pub fn blocked(
    packet: &[u8],
    query: &Query,
    stop: &Stop,
    reference: &[u8],
    explained: Option<&Explained>,
    page: &StopPage,
    now: u32,
    limit: usize,
    out: &mut [u8],
) -> usize {
    let ttl = stop.expires.saturating_sub(now).min(MAX_BLOCKED_TTL);
    let Some(mut start) = Start::of(packet, query.echo(), out) else { return 0 };
    let address: Option<&[u8]> = match (stop.action, query.qtype) {
        (Action::StopPage, rtype::A) => page.ipv4.as_ref().map(|a| &a[..]),
        (Action::StopPage, rtype::AAAA) => page.ipv6.as_ref().map(|a| &a[..]),
        _ => None,
    };
    let rcode = match stop.action {
        Action::Nxdomain => rcode::NXDOMAIN,
        Action::Refused => rcode::REFUSED,
        _ => rcode::NOERROR,
    };
    start.flags(flag::RA | rcode);
    if let Some(address) = address {
        start.count(0, 1);
        // The owner is the question's name.
        record_head(&mut start, HEADER, query.qtype, ttl, address.len() as u16);
        start.put(address);
    } else if stop.action != Action::Refused {
        start.count(1, 1);
        soa(&mut start, HEADER + query.qname.ancestor(stop.distance), ttl);
    }
    start.opt(rcode, Ede::of_entry(stop.ede, reference, &page.portal, explained), limit);
    start.finish()
}

/// "No such data" for a name that is answered here, from an empty zone whose apex is the name of that many labels.
pub fn nodata(packet: &[u8], query: &Query, apex: u8, limit: usize, out: &mut [u8]) -> usize {
    let Some(mut start) = Start::of(packet, query.echo(), out) else { return 0 };
    start.flags(flag::RA | flag::AA);
    start.count(1, 1);
    soa(&mut start, HEADER + query.qname.ancestor(query.qname.labels().saturating_sub(apex)), MAX_BLOCKED_TTL);
    start.opt(0, None, limit);
    start.finish()
}

/// The answer to ANY where nothing is blocked: one HINFO of "RFC8482" (RFC 8482, 4.2).
pub fn hinfo(packet: &[u8], query: &Query, out: &mut [u8]) -> usize {
    let Some(mut start) = Start::of(packet, query.echo(), out) else { return 0 };
    start.flags(flag::RA);
    start.count(0, 1);
    record_head(&mut start, HEADER, rtype::HINFO, 3600, 9);
    start.put(b"\x07RFC8482\x00");
    start.opt(0, None, usize::from(u16::MAX));
    start.finish()
}

/// One TXT record of one string, for this moment alone (TTL 0). `text`: at most 255 octets.
pub fn text(packet: &[u8], query: &Query, text: &[u8], out: &mut [u8]) -> usize {
    let Some(mut start) = Start::of(packet, query.echo(), out) else { return 0 };
    start.flags(flag::RA);
    start.count(0, 1);
    record_head(&mut start, HEADER, rtype::TXT, 0, text.len() as u16 + 1);
    start.put(&[text.len() as u8]);
    start.put(text);
    start.opt(0, None, usize::from(u16::MAX));
    start.finish()
}

/// Owner (a pointer), type, class, TTL, length of the data.
fn record_head(start: &mut Start<'_>, owner: usize, rtype: u16, ttl: u32, length: u16) {
    let owner = (0xc000 | owner as u16).to_be_bytes();
    let (rtype, ttl, length) = (rtype.to_be_bytes(), ttl.to_be_bytes(), length.to_be_bytes());
    let class = CLASS_IN as u8;
    start
        .put(&[owner[0], owner[1], rtype[0], rtype[1], 0, class, ttl[0], ttl[1], ttl[2], ttl[3], length[0], length[1]]);
}

/// The SOA of an empty zone at the entry's name (the form of RFC 6303, 3), whose MINIMUM bounds how long "no" is kept.
fn soa(start: &mut Start<'_>, owner: usize, ttl: u32) {
    const RNAME: &[u8] = b"\x06nobody\x07invalid\x00";
    const SERIAL_REFRESH_RETRY_EXPIRE: &[u8] = &[0, 0, 0, 1, 0, 0, 14, 16, 0, 0, 4, 176, 0, 9, 58, 128];
    record_head(start, owner, rtype::SOA, ttl, (2 + RNAME.len() + 20) as u16);
    start.put(&(0xc000 | owner as u16).to_be_bytes());
    start.put(RNAME);
    start.put(SERIAL_REFRESH_RETRY_EXPIRE);
    start.put(&ttl.to_be_bytes());
}
