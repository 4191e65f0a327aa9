//! The same chain and the same relay for messages that came over a stream.
//!
//! Python owns the connections and knows each by a number. A message is answered at once ([`Decision::Answer`]), or waits
//! in the relay among the clients of its question ([`Decision::Waits`]); its answer then comes out of the [`Outlet`], with
//! the number of its stream. A stream that is gone meanwhile cancels nothing: the answer still fills the cache.

use std::net::SocketAddr;

use crate::counters::{Counter, Counters};
use crate::relay::slot::ReplyTo;
use crate::sys::Links;
use crate::wire::Query;
use crate::wire::proxy::Ends;

use super::Plane;
use super::chain::{self, Place, Way};
use super::replies::{LONGEST, Replies};

/// What becomes of a message from a stream.
#[derive(Debug)]
pub enum Decision {
    /// Send this.
    Answer(Vec<u8>),
    /// One answer will come, by [`Plane::take_answers`].
    Waits,
    /// Close the connection: no answer is due.
    Close,
}

/// A message of a stream: a batch of one.
struct Stream<'a> {
    packet: &'a [u8],
    ends: &'a Ends,
    number: u64,
}

impl Way for Stream<'_> {
    const IS_STREAM: bool = true;

    fn can_be_answered(&self, _: usize, place: &mut Place) -> bool {
        (place.client, place.ends) = (self.ends.source.ip().to_canonical(), Some(*self.ends));
        true
    }

    /// Upstreams are asked over TCP from any port: a circle ends at the cap of what is in flight.
    fn is_ours(&self, _: usize, _: &Links) -> bool {
        false
    }

    /// Python has read the header, with the connection's beginning.
    fn introduce(&mut self, _: usize, _: &mut Place) -> bool {
        true
    }

    fn packet(&self, _: usize) -> &[u8] {
        self.packet
    }

    fn sender(&self, _: usize) -> SocketAddr {
        self.ends.source
    }

    fn limit(&self, _: &Query) -> usize {
        LONGEST
    }

    fn reply_to(&self, _: usize) -> ReplyTo {
        ReplyTo::Stream(self.number)
    }

    fn room<'r>(&self, replies: &'r mut Replies, _: &mut Counters) -> &'r mut [u8] {
        replies.outlet.room()
    }

    fn answer(&self, _: usize, length: usize, replies: &mut Replies, counters: &mut Counters) {
        replies.outlet.answer(counters, self.number, length);
    }
}

impl Plane {
    /// Takes a message from a client's stream through the chain. `ends`: the client, and the address that it asked.
    pub fn decide(&mut self, packet: &[u8], ends: &Ends, stream: u64) -> Decision {
        self.read_clock();
        let Plane { batch, chain, relaying, poll, clock, .. } = self;
        chain.counters.count(Counter::QueriesStream);
        let before = relaying.replies.outlet.answers.len();
        let way = Stream { packet, ends, number: stream };
        chain::run(&mut batch.line(1, way, chain, relaying, poll, *clock));
        let waits = !batch.open.is_empty();
        if waits {
            relaying.flush(chain, poll, *clock);
        }
        // What it was answered at once, by whichever stage.
        let answers = &mut relaying.replies.outlet.answers;
        match answers.iter().skip(before).position(|(to, _)| *to == stream) {
            Some(at) => Decision::Answer(answers.remove(before + at).1),
            None if waits => Decision::Waits,
            None => Decision::Close,
        }
    }

    /// Answers that are ready, each with the number of its stream.
    pub fn take_answers(&mut self) -> Vec<(u64, Vec<u8>)> {
        std::mem::take(&mut self.relaying.replies.outlet.answers)
    }

    /// Something waits for Python: answers for streams, or questions over TCP.
    #[inline]
    pub fn has_work(&self) -> bool {
        let Plane { relaying, .. } = self;
        !(relaying.replies.outlet.answers.is_empty() && relaying.tcp_asks.is_empty() && relaying.tcp_overdue.is_empty())
    }
}
