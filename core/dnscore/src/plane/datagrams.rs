//! Clients' datagrams: a batch is received at once, goes through the chain, and its answers leave at once.

use std::net::{IpAddr, SocketAddr};

use crate::counters::{Counter, Counters};
use crate::relay::slot::{Peer, ReplyTo};
use crate::sys::{BATCH, Links, Local, Receiver};
use crate::wire::Query;

use super::Plane;
use super::batch::Place;
use super::chain::{self, Line, Way};
use super::proxy::{Balancers, ProxySource};
use super::replies::Replies;

/// A batch as it was received.
pub(super) struct Datagrams<'a> {
    pub queries: &'a mut Receiver,
    pub balancers: &'a Balancers,
    /// The number of the door that it came in by, and the address that it listens on.
    pub door: usize,
    pub listening: SocketAddr,
}

impl Way for Datagrams<'_> {
    const IS_STREAM: bool = false;

    #[inline]
    fn can_be_answered(&self, index: usize, place: &mut Place) -> bool {
        let source = self.queries.source(index);
        let (port, ip) = (source.port(), source.ip());
        (place.client, place.ends) = (ip, None);
        let is_from_us = || ip == self.listening.ip() || is_itself(self.queries.local(index), ip);
        port != 0 && !(port == self.listening.port() && is_from_us())
    }

    #[inline]
    fn is_ours(&self, index: usize, links: &Links) -> bool {
        links.is_ours(self.queries.source(index).port(), || self.sender(index))
    }

    #[inline]
    fn introduce(&mut self, index: usize, place: &mut Place) -> bool {
        match self.balancers.unwrap(self.queries, index) {
            ProxySource::Itself => {}
            ProxySource::Client(ends) => (place.client, place.ends) = (ends.source.ip(), Some(ends)),
            ProxySource::Unknown => return false,
        }
        true
    }

    #[inline]
    fn packet(&self, index: usize) -> &[u8] {
        self.queries.datagram(index)
    }

    #[inline]
    fn sender(&self, index: usize) -> SocketAddr {
        SocketAddr::from(self.queries.source(index))
    }

    #[inline]
    fn limit(&self, query: &Query) -> usize {
        query.udp_limit()
    }

    #[inline]
    fn reply_to(&self, index: usize) -> ReplyTo {
        let (source, local) = (*self.queries.source(index), self.queries.local(index));
        ReplyTo::Datagram(Peer { source, local, listener: self.door as u16 })
    }

    #[inline]
    fn room<'r>(&self, replies: &'r mut Replies, counters: &mut Counters) -> &'r mut [u8] {
        replies.doors[self.door].room(counters)
    }

    #[inline]
    fn answer(&self, index: usize, length: usize, replies: &mut Replies, counters: &mut Counters) {
        let (to, from) = (self.queries.source(index), self.queries.local(index));
        replies.doors[self.door].answer(counters, to, from, length);
    }
}

/// The datagram came from the very address it was sent to.
fn is_itself(local: Local, ip: IpAddr) -> bool {
    match (local, ip) {
        (Local::V4(ours), IpAddr::V4(theirs)) => ours == theirs.octets(),
        (Local::V6(ours, _), IpAddr::V6(theirs)) => ours == theirs.octets(),
        _ => false,
    }
}

impl Plane {
    /// A batch from clients. True if there may be more.
    pub(super) fn serve(&mut self, number: usize) -> bool {
        let Some(door) = self.relaying.replies.doors.get(number) else { return false };
        let (fd, wildcard, listening) = (door.listener.raw(), door.listener.is_wildcard(), door.listener.address());
        let Ok(count) = self.queries.receive(fd, wildcard) else { return false };
        let family = if listening.is_ipv4() { Counter::QueriesUdp4 } else { Counter::QueriesUdp6 };
        self.chain.counters.add(family, count as u64);
        chain::run(&mut self.line(number, listening, count));
        self.relaying.replies.doors[number].flush(&mut self.chain.counters);
        count == BATCH
    }

    /// The batch of `count` that was received last, before the first stage.
    #[inline]
    pub(super) fn line(&mut self, door: usize, listening: SocketAddr, count: usize) -> Line<'_, Datagrams<'_>> {
        let Plane { queries, balancers, batch, chain, relaying, poll, clock, .. } = self;
        let way = Datagrams { queries, balancers, door, listening };
        batch.line(count, way, chain, relaying, poll, *clock)
    }
}
