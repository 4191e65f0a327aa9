//! The same chain and the same relay for messages that came over a stream.
//!
//! Enters: messages of [`crate::streams`], each with its number. Leaves: their answers, by the [`Outlet`]. A message is
//! answered at once, or waits in the relay among the clients of its question; a stream that is gone meanwhile cancels
//! nothing: the answer still fills the cache. [`Plane::decide`] is the same for a message that no connection of ours
//! brought.

use std::io;
use std::os::fd::BorrowedFd;

use crate::counters::{Counter, Counters};
use crate::relay::slot::ReplyTo;
use crate::wire::Query;
use crate::wire::proxy::Ends;

use crate::streams::{Kind, Message};
use crate::sys::Ready;

use super::Plane;
use super::chain::{Asked, Chain, Step};

/// The longest message.
pub(super) const LONGEST: usize = u16::MAX as usize;

/// Marks the numbers of messages that no connection of ours brought.
const FOREIGN: u64 = 1 << 63;
/// Octets that the outlet's buffer keeps.
const KEPT: usize = 1 << 18;

/// What becomes of such a message.
#[derive(Debug)]
pub enum Decision {
    /// Send this.
    Answer(Vec<u8>),
    /// One answer will come, by [`Plane::take_answers`].
    Waits,
    /// Close the connection: no answer is due.
    Close,
}

/// Answers for streams, until their connections have them.
pub(super) struct Outlet {
    room: Box<[u8]>,
    octets: Vec<u8>,
    answers: Vec<(u64, usize)>,
    foreign: Vec<(u64, Vec<u8>)>,
}

impl Outlet {
    pub fn new() -> Outlet {
        let room = vec![0; LONGEST].into_boxed_slice();
        Outlet { room, octets: Vec::new(), answers: Vec::new(), foreign: Vec::new() }
    }

    /// Room for an answer.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.room
    }

    /// The first `length` octets of the room are an answer for that stream.
    pub fn push(&mut self, counters: &mut Counters, stream: u64, length: usize) {
        let message = &self.room[..length];
        counters.answer(message);
        if stream & FOREIGN != 0 {
            return self.foreign.push((stream & !FOREIGN, message.to_vec()));
        }
        self.octets.extend_from_slice(message);
        self.answers.push((stream, length));
    }

    /// Forgets what a bug left half-done.
    pub fn clear(&mut self) {
        self.octets.clear();
        self.answers.clear();
    }
}

impl Plane {
    /// Accepts connections on a bound and listening socket, which its owner keeps open as long as the plane.
    pub fn listen_stream(&mut self, socket: BorrowedFd<'_>, kind: Kind) -> io::Result<()> {
        self.streams.listen(socket, kind, &self.poll)
    }

    /// Connections.
    pub fn streams(&self) -> usize {
        self.streams.connected()
    }

    /// Queries of streams wait for answers, or answers to be read.
    pub fn streams_busy(&self) -> bool {
        self.streams.is_busy()
    }

    /// What the readiness of a connection or of a listening socket brings. True if there may be more.
    pub(super) fn attend(&mut self, at: &Ready) -> bool {
        let (index, more) = self.streams.attend(at, &self.poll, self.clock.us);
        if let Some(index) = index {
            self.converse(index);
        }
        more
    }

    /// Takes the whole messages of a connection through the chain, until a limit says wait.
    fn converse(&mut self, index: u32) {
        let mut message = std::mem::take(&mut self.message);
        while let Some(Message { number, ends }) = self.streams.next(index, &mut message, self.clock.us) {
            if !self.take(&message, &ends, number) {
                self.streams.close(number);
            }
            self.deliver();
        }
        self.message = message;
    }

    /// Gives connections the answers that are ready, and lets those go on that waited for one.
    pub(super) fn carry_on(&mut self) {
        loop {
            self.deliver();
            self.streams.flush(&self.poll, self.clock.us);
            match self.streams.resumed() {
                Some(index) => self.converse(index),
                None => break,
            }
        }
    }

    fn deliver(&mut self) {
        let Plane { relaying, streams, clock, .. } = self;
        let Outlet { octets, answers, .. } = &mut relaying.outlet;
        let mut rest = &octets[..];
        for (number, length) in answers.drain(..) {
            let (message, after) = rest.split_at(length);
            streams.answer(number, message, clock.us);
            rest = after;
        }
        octets.clear();
        octets.shrink_to(KEPT);
    }

    /// Takes a message that no connection of ours brought. `ends`: the client, and the address that it asked.
    pub fn decide(&mut self, packet: &[u8], ends: &Ends, stream: u64) -> Decision {
        self.read_clock();
        let before = self.relaying.outlet.foreign.len();
        if !self.take(packet, ends, FOREIGN | stream) {
            return Decision::Close;
        }
        self.carry_on();
        // What it was answered at once, by whichever stage.
        let answers = &mut self.relaying.outlet.foreign;
        match answers.iter().skip(before).position(|(to, _)| *to == stream) {
            Some(at) => Decision::Answer(answers.remove(before + at).1),
            None => Decision::Waits,
        }
    }

    /// Takes a message through the chain and to the relay. False: no answer is due.
    fn take(&mut self, packet: &[u8], ends: &Ends, number: u64) -> bool {
        self.chain.counters.count(Counter::QueriesStream);
        let mut query = Query::BLANK;
        match self.decided(packet, ends, &mut query) {
            Step::Answer(length) => self.relaying.outlet.push(&mut self.chain.counters, number, length),
            Step::Drop => return false,
            Step::Next(view) => self.relay(packet, &query, ends, number, view),
        }
        true
    }

    /// Stages 1 to 5; the next one is told the lists that hold for the client.
    fn decided(&mut self, packet: &[u8], ends: &Ends, query: &mut Query) -> Step<u64> {
        let Plane { chain, relaying, hits, clock, .. } = self;
        let (now, client) = (*clock, ends.source);
        let ip = client.ip().to_canonical();
        let Some(view) = chain.allowed(ip) else {
            let heard = relaying.gone(now.us).is_none();
            return match chain.checked(ip, packet, heard, now, relaying.outlet.room()) {
                Step::Answer(length) => Step::Answer(length),
                _ => Step::Drop,
            };
        };
        let out = relaying.outlet.room();
        match chain.parsed(packet, query, out) {
            Step::Next(()) => {}
            Step::Answer(length) => return Step::Answer(length),
            Step::Drop => return Step::Drop,
        }
        let key = chain.cache.key(query, 0);
        let asked = Asked { packet, query, key: key.as_ref(), limit: out.len(), now, view };
        if let Some(list) = chain.list.clone() {
            list.look_up(&[&query.qname], hits);
            let met = Chain::met(query, hits.of(0));
            let stop = chain.judged(query, met, view, now);
            if chain.watching.is_on() {
                chain.watching.asked(client.ip().to_canonical(), view, &list, met, stop.is_some(), now.unix);
            }
            if let Some(stop) = stop {
                let length = chain.blocked(asked, &stop, out);
                chain.record(|| client, true, asked, &stop, &out[..length]);
                return Step::Answer(length);
            }
        }
        let step = match chain.any(asked, out) {
            Step::Next(()) => chain.cached(asked, out),
            step => step,
        };
        match step {
            Step::Answer(length) => {
                chain.record_alias(|| client, true, asked, &out[..length]);
                Step::Answer(length)
            }
            Step::Drop => Step::Drop,
            Step::Next(()) => Step::Next(view),
        }
    }

    /// Stage 6.
    fn relay(&mut self, packet: &[u8], query: &Query, ends: &Ends, stream: u64, view: u64) {
        let Plane { chain, relaying, poll, clock, .. } = self;
        let key = chain.cache.key(query, 0);
        let asked = Asked { packet, query, key: key.as_ref(), limit: LONGEST, now: *clock, view };
        relaying.relay_query(chain, poll, asked, ReplyTo::Stream(stream), Some(ends));
        relaying.flush(chain, poll, *clock);
    }

    /// Answers to messages of [`Plane::decide`] that came later, each with the number of its stream.
    pub fn take_answers(&mut self) -> Vec<(u64, Vec<u8>)> {
        std::mem::take(&mut self.relaying.outlet.foreign)
    }

    /// Something waits for Python: answers of [`Plane::take_answers`], or questions over TCP.
    #[inline]
    pub fn has_work(&self) -> bool {
        let Plane { relaying, .. } = self;
        !(relaying.outlet.foreign.is_empty() && relaying.tcp_asks.is_empty() && relaying.tcp_overdue.is_empty())
    }
}
