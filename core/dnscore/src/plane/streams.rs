//! Messages of streams, on their way through the chain.
//!
//! Enters: messages of [`crate::streams`], each with its number; a batch of them is what the connections that are ready at
//! the same time have. Leaves: their answers, by the [`Outlet`], for their connections. A message is answered at once, or
//! waits in the relay among the clients of its question; a stream that is gone meanwhile cancels nothing: the answer still
//! fills the cache.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use crate::counters::{Counter, Counters};
use crate::relay::slot::ReplyTo;
use crate::streams::{Kind, Message, Secrets, transport};
use crate::sys::{BATCH, Links, Ready};
use crate::tap::Transport;
use crate::wire::message::Header;
use crate::wire::{Query, flag};

use super::Plane;
use super::batch::Place;
use super::chain::{self, Way};
use super::replies::{LONGEST, Replies};

/// Messages of one connection in a batch: so many of the longest answers are what may wait to be written on it.
const OF_ONE: usize = 16;

/// A batch of messages.
#[derive(Default)]
pub(super) struct Messages {
    octets: Vec<u8>,
    heads: Vec<Head>,
    /// One bit for each that was answered at once.
    answered: Cell<u64>,
}

struct Head {
    start: usize,
    end: usize,
    message: Message,
}

impl Messages {
    /// The number of each.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        self.heads.iter().map(|head| head.message.number)
    }

    fn clear(&mut self) {
        self.octets.clear();
        self.heads.clear();
        self.answered.set(0);
    }

    fn push(&mut self, message: Message, start: usize) {
        self.heads.push(Head { start, end: self.octets.len(), message });
    }
}

impl Way for &Messages {
    const IS_STREAM: bool = true;

    fn can_be_answered(&self, index: usize, place: &mut Place) -> bool {
        let ends = self.heads[index].message.ends;
        (place.client, place.ends) = (ends.source.ip().to_canonical(), Some(ends));
        true
    }

    /// Upstreams are asked over TCP from any port: a circle ends at the cap of what is in flight.
    fn is_ours(&self, _: usize, _: &Links) -> bool {
        false
    }

    /// The header was read with the connection's beginning.
    fn introduce(&mut self, _: usize, _: &mut Place) -> bool {
        true
    }

    fn packet(&self, index: usize) -> &[u8] {
        let Head { start, end, .. } = self.heads[index];
        &self.octets[start..end]
    }

    fn sender(&self, index: usize) -> SocketAddr {
        self.heads[index].message.ends.source
    }

    fn limit(&self, _: &Query) -> usize {
        LONGEST
    }

    fn reply_to(&self, index: usize) -> ReplyTo {
        ReplyTo::Stream(self.heads[index].message.number)
    }

    fn room<'r>(&self, replies: &'r mut Replies, _: &mut Counters) -> &'r mut [u8] {
        replies.outlet.room()
    }

    fn answer(&self, index: usize, length: usize, replies: &mut Replies, counters: &mut Counters) {
        self.answered.set(self.answered.get() | 1 << index);
        replies.outlet.answer(counters, self.heads[index].message.number, length);
    }
}

/// What counts the questions that came so.
fn counter(transport: Transport) -> Counter {
    match transport {
        Transport::Tls => Counter::QueriesTls,
        Transport::Https => Counter::QueriesHttps,
        Transport::Quic => Counter::QueriesQuic,
        Transport::Udp | Transport::Tcp => Counter::QueriesTcp,
    }
}

/// By the parse table: it is no message, or an answer itself.
fn gets_no_answer(packet: &[u8]) -> bool {
    Header::read(packet).is_none_or(|header| header.flags & flag::QR != 0)
}

impl Plane {
    /// Accepts connections on a bound and listening socket, which its owner keeps open as long as the plane.
    pub fn listen_stream(&mut self, socket: BorrowedFd<'_>, kind: Kind) -> io::Result<()> {
        self.streams.listen(socket, kind, &self.poll)
    }

    /// Serves DNS over QUIC at a bound UDP socket, which its owner keeps open as long as the plane. False: another process
    /// does, for now.
    pub fn listen_quic(&mut self, socket: BorrowedFd<'_>) -> io::Result<bool> {
        self.read_clock();
        self.streams.listen_quic(socket, &self.poll, self.clock.us)
    }

    /// What the next identities share with those of other workers.
    pub fn share(&mut self, secrets: Secrets) {
        self.streams.share(secrets);
    }

    /// New connections over TLS are of this chain and key, in PEM.
    pub fn set_identity(&mut self, chain: &[u8], key: &[u8]) -> Result<(), String> {
        self.read_clock();
        self.streams.set_identity(chain, key, self.clock.us)
    }

    /// Connections.
    pub fn streams(&self) -> usize {
        self.streams.connected()
    }

    /// Queries of streams wait for answers, or answers to be read.
    pub fn streams_busy(&mut self) -> bool {
        self.read_clock();
        if self.streams.leave(self.clock.us) {
            self.carry_on();
        }
        self.streams.is_busy()
    }

    /// What the readiness of a connection or of a listening socket brings. True if there may be more.
    pub(super) fn attend(&mut self, at: &Ready) -> bool {
        let (index, more) = self.streams.attend(at, &self.chain.clients, &self.poll, self.clock.us);
        if let Some(index) = index {
            self.collect(index);
        }
        more
    }

    /// Puts the whole messages of a connection into the batch, until a limit says wait.
    fn collect(&mut self, index: u32) {
        for _ in 0..OF_ONE {
            let start = self.messages.octets.len();
            let Some(message) = self.streams.next(index, &mut self.messages.octets, self.clock.us) else { return };
            self.messages.push(message, start);
            // What gets no answer ends its connection: nothing after it is decided.
            if self.messages.heads.len() == BATCH || gets_no_answer(&self.messages.octets[start..]) {
                self.decide_batch();
            }
        }
        self.streams.resume(index);
    }

    /// Decides what was collected, gives connections the answers that are ready, and lets those go on that waited for one.
    pub(super) fn carry_on(&mut self) {
        loop {
            self.decide_batch();
            self.streams.flush(&self.poll, self.clock.us);
            let Some(index) = self.streams.resumed() else { break };
            self.collect(index);
        }
    }

    fn decide_batch(&mut self) {
        self.run_batch();
        let Plane { relaying, streams, clock, .. } = self;
        for (number, message) in relaying.replies.outlet.waiting() {
            streams.answer(number, message, clock.us);
        }
        relaying.replies.outlet.clear();
    }

    /// Takes the batch through the chain and to the relay.
    fn run_batch(&mut self) {
        let Plane { messages, batch, chain, relaying, poll, clock, streams, .. } = self;
        if messages.heads.is_empty() {
            return;
        }
        for head in &messages.heads {
            chain.counters.count(counter(transport(head.message.number)));
        }
        chain::run(&mut batch.line(messages.heads.len(), &*messages, chain, relaying, poll, *clock));
        if !batch.open.is_empty() {
            relaying.flush(chain, poll, *clock);
        }
        let waits = batch.open.iter().fold(0, |bits, index| bits | 1u64 << index);
        let dropped = !(waits | messages.answered.get());
        for (_, head) in messages.heads.iter().enumerate().filter(|(index, _)| dropped >> index & 1 != 0) {
            streams.close(head.message.number, clock.us);
        }
        messages.clear();
    }

    /// Something waits for Python: questions over TCP.
    #[inline]
    pub fn has_work(&self) -> bool {
        !(self.relaying.tcp_asks.is_empty() && self.relaying.tcp_overdue.is_empty())
    }
}
