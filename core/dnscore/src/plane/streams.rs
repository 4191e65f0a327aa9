//! The same chain and the same relay for messages that came over a stream.
//!
//! Python owns the connections and knows each by a number. A message is answered at once ([`Decision::Answer`]), or waits
//! in the relay among the clients of its question ([`Decision::Waits`]); its answer then comes out of the [`Outlet`], with
//! the number of its stream. A stream that is gone meanwhile cancels nothing: the answer still fills the cache.

use crate::counters::{Counter, Counters};
use crate::relay::slot::ReplyTo;
use crate::wire::Query;
use crate::wire::proxy::Ends;

use super::Plane;
use super::chain::{Asked, Chain, Step};

/// The longest message.
pub(super) const LONGEST: usize = u16::MAX as usize;

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

/// Answers for streams, until Python takes them.
pub(super) struct Outlet {
    room: Box<[u8]>,
    answers: Vec<(u64, Vec<u8>)>,
}

impl Outlet {
    pub fn new() -> Outlet {
        Outlet { room: vec![0; LONGEST].into_boxed_slice(), answers: Vec::new() }
    }

    /// Room for an answer.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.room
    }

    /// The first `length` octets of the room are an answer for that stream.
    pub fn push(&mut self, counters: &mut Counters, stream: u64, length: usize) {
        let message = &self.room[..length];
        counters.answer(message);
        self.answers.push((stream, message.to_vec()));
    }

    /// Answers wait.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }
}

impl Plane {
    /// Takes a message from a client's stream through the chain. `ends`: the client, and the address that it asked.
    pub fn decide(&mut self, packet: &[u8], ends: &Ends, stream: u64) -> Decision {
        self.read_clock();
        self.chain.counters.count(Counter::QueriesStream);
        let mut query = Query::BLANK;
        let before = self.relaying.outlet.answers.len();
        match self.decided(packet, ends, &mut query) {
            Step::Answer(length) => self.relaying.outlet.push(&mut self.chain.counters, stream, length),
            Step::Drop => return Decision::Close,
            Step::Next(view) => self.relay(packet, &query, ends, stream, view),
        }
        // What it was answered at once, by whichever stage.
        let answers = &mut self.relaying.outlet.answers;
        match answers.iter().skip(before).position(|(to, _)| *to == stream) {
            Some(at) => Decision::Answer(answers.remove(before + at).1),
            None => Decision::Waits,
        }
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

    /// Answers that are ready, each with the number of its stream.
    pub fn take_answers(&mut self) -> Vec<(u64, Vec<u8>)> {
        std::mem::take(&mut self.relaying.outlet.answers)
    }

    /// Something waits for Python: answers for streams, or questions over TCP.
    #[inline]
    pub fn has_work(&self) -> bool {
        let Plane { relaying, .. } = self;
        !(relaying.outlet.is_empty() && relaying.tcp_asks.is_empty() && relaying.tcp_overdue.is_empty())
    }
}
