//! The same decision for messages that came over a stream, and questions that are to be asked over TCP.
//!
//! Python owns the connections; here is decided. A message gives an answer, or a [`Forward`]: the query to send, with
//! all that is needed to check the answer and to write the client's.

use std::net::SocketAddr;

use crate::answer;
use crate::cache::Key;
use crate::counters::Counter;
use crate::relay::random::Random;
use crate::relay::slot::{Phase, Slot};
use crate::wire::proxy::{self, Ends};
use crate::wire::{Expected, HEADER, Query, check_answer};

use super::Plane;
use super::chain::{Asked, Step};

/// What becomes of a message from a stream.
#[derive(Debug)]
pub enum Decision {
    /// Send this.
    Answer(Vec<u8>),
    /// Ask upstream.
    Forward(Box<Forward>),
    /// Close the connection: no answer is due.
    Close,
}

/// A question to be asked over TCP.
#[derive(Debug)]
pub struct Forward {
    /// The message to send.
    pub query: Vec<u8>,
    /// Whom to ask, best first.
    pub upstreams: Vec<SocketAddr>,
    /// The PROXY header that goes before it on a connection to one of [`Forward::told`].
    pub header: Vec<u8>,
    /// Those of the upstreams that are told who asks.
    pub told: Vec<SocketAddr>,
    born: u64,
    id: u16,
    asked: Query,
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    /// A client's stream: its header and question as they came.
    Stream { head: Vec<u8>, key: Option<Key> },
    /// A slot whose datagrams nobody could trust.
    Slot { slot: u32, generation: u32 },
}

impl Forward {
    /// A client on a stream waits for it.
    pub fn is_for_stream(&self) -> bool {
        matches!(self.origin, Origin::Stream { .. })
    }

    pub(super) fn for_slot(number: u32, slot: &Slot, random: &mut Random, upstreams: Vec<SocketAddr>) -> Forward {
        let origin = Origin::Slot { slot: number, generation: slot.generation };
        Forward::new(slot.query, origin, random, upstreams, slot.born)
    }

    fn new(asked: Query, origin: Origin, random: &mut Random, upstreams: Vec<SocketAddr>, born: u64) -> Forward {
        let id = random.u16();
        let mut query = vec![0; 512];
        let length = answer::upstream_query(&asked, id, None, &mut query);
        query.truncate(length);
        Forward { query, upstreams, header: Vec::new(), told: Vec::new(), born, id, asked, origin }
    }

    /// Who asks, for those of the upstreams that are told.
    pub(super) fn tell(&mut self, proxy_to: &[SocketAddr], ends: Option<&Ends>) {
        if proxy_to.is_empty() {
            return;
        }
        self.told = self.upstreams.iter().filter(|upstream| proxy_to.contains(upstream)).copied().collect();
        self.header = vec![0; proxy::LONGEST];
        let length = proxy::write(ends, false, &mut self.header);
        self.header.truncate(length);
    }

    fn expected(&self) -> Expected<'_> {
        let end = usize::from(self.asked.question_end).min(self.query.len());
        Expected { id: self.id, question: &self.query[HEADER.min(end)..end] }
    }
}

impl Plane {
    /// Takes a message from a client's stream through the chain. `ends`: the client, and the address that it asked.
    pub fn decide(&mut self, packet: &[u8], ends: &Ends) -> Decision {
        self.read_clock();
        self.chain.counters.count(Counter::QueriesStream);
        match self.decided(packet, ends.source) {
            Step::Answer(length) => {
                let message = &self.wide[..length];
                self.chain.counters.answer(message);
                Decision::Answer(message.to_vec())
            }
            Step::Drop => Decision::Close,
            Step::Next((query, key)) => {
                self.chain.counters.count(Counter::StreamsForwarded);
                let head = packet.get(..usize::from(query.question_end)).unwrap_or_default().to_vec();
                let upstreams = self.relaying.addresses();
                let origin = Origin::Stream { head, key };
                let mut forward = Forward::new(query, origin, &mut self.relaying.random, upstreams, self.clock.us);
                forward.tell(&self.relaying.proxy_to, Some(ends));
                Decision::Forward(Box::new(forward))
            }
        }
    }

    fn decided(&mut self, packet: &[u8], client: SocketAddr) -> Step<(Query, Option<Key>)> {
        let Plane { chain, relaying, hits, wide: out, clock, .. } = self;
        let now = *clock;
        let ip = client.ip().to_canonical();
        let Some(view) = chain.allowed(ip) else {
            return match chain.checked(ip, packet, relaying.gone(now.us).is_none(), now, out) {
                Step::Answer(length) => Step::Answer(length),
                _ => Step::Drop,
            };
        };
        let mut query = Query::BLANK;
        match chain.parsed(packet, &mut query, out) {
            Step::Next(()) => {}
            Step::Answer(length) => return Step::Answer(length),
            Step::Drop => return Step::Drop,
        }
        let key = chain.cache.key(&query, 0);
        let asked = Asked { packet, query: &query, key: key.as_ref(), limit: out.len(), now };
        if let Some(list) = chain.list.clone() {
            list.look_up(&[&query.qname], hits);
            let stop = chain.judged(&query, hits.of(0), view, now);
            if chain.watching.is_on() {
                chain.watching.asked(client.ip().to_canonical(), view, &list, hits.of(0), stop.is_some(), now.unix);
            }
            if let Some(stop) = stop {
                let length = chain.blocked(asked, &stop, out);
                chain.record(|| client, true, asked, &stop, &out[..length]);
                return Step::Answer(length);
            }
        }
        if let Step::Answer(length) = chain.any(asked, out) {
            return Step::Answer(length);
        }
        if let Step::Answer(length) = chain.cached(asked, out) {
            return Step::Answer(length);
        }
        let gone = relaying.gone(now.us);
        if chain.asks_for_health(&query) {
            return Step::Answer(chain.healthy(asked, gone.is_none(), out));
        }
        if relaying.all_down()
            && let Some(length) = chain.unserved(asked, gone, out)
        {
            return Step::Answer(length);
        }
        Step::Next((query, key))
    }

    /// An upstream's answer over TCP: checked, kept, and written for whoever waits. `None` where it is no answer to the
    /// question, or where the clients were answered by datagram.
    pub fn finish(&mut self, forward: &Forward, message: &[u8]) -> Option<Vec<u8>> {
        self.read_clock();
        let Plane { chain, relaying, wide, clock, .. } = self;
        let checked = check_answer(message, &forward.expected()).ok();
        let Some(checked) = checked.filter(|checked| !checked.truncated()) else {
            chain.counters.count(Counter::UpstreamMismatches);
            return None;
        };
        chain.counters.count(Counter::UpstreamAnswers);
        relaying.unheard_since = None;
        match &forward.origin {
            Origin::Stream { head, key } => {
                if let Some(key) = key {
                    chain.cache.put(key, &forward.asked, message, &checked, clock.ms());
                }
                let (query, limit) = (&forward.asked, wide.len());
                let asked = Asked { packet: head, query, key: key.as_ref(), limit, now: *clock };
                let length = chain.relayed(asked, message, &checked, wide);
                chain.counters.answer(&wide[..length]);
                chain.counters.waited(clock.us.saturating_sub(forward.born), 1);
                Some(wide[..length].to_vec())
            }
            Origin::Slot { slot, generation } => {
                if relaying.relay.living(*slot, *generation).is_some() {
                    relaying.settle(chain, *slot, message, &checked, *clock);
                    relaying.flush(chain, &self.poll, *clock);
                }
                None
            }
        }
    }

    /// A stale answer for a client's stream, if there is one. What it is told is counted once, by [`Plane::finish`] or
    /// [`Plane::fail`], when the question has come to its end.
    pub fn stale(&mut self, forward: &Forward) -> Option<Vec<u8>> {
        self.read_clock();
        let Plane { chain, wide, clock, .. } = self;
        let Origin::Stream { head, key } = &forward.origin else { return None };
        let (query, limit) = (&forward.asked, wide.len());
        let asked = Asked { packet: head, query, key: key.as_ref(), limit, now: *clock };
        chain.stale(asked, wide).map(|length| wide[..length].to_vec())
    }

    /// No upstream answered over TCP: a stale answer, else SERVFAIL with that extended error.
    pub fn fail(&mut self, forward: &Forward, ede: u16) -> Vec<u8> {
        self.read_clock();
        let Plane { chain, relaying, wide, clock, .. } = self;
        match &forward.origin {
            Origin::Stream { head, key } => {
                let (query, limit) = (&forward.asked, wide.len());
                let asked = Asked { packet: head, query, key: key.as_ref(), limit, now: *clock };
                let length = chain.failed(asked, ede, wide);
                if let Some(key) = key {
                    chain.cache.fail(key, &forward.asked, ede, clock.ms());
                }
                chain.counters.answer(&wide[..length]);
                chain.counters.waited(clock.us.saturating_sub(forward.born), 1);
                wide[..length].to_vec()
            }
            Origin::Slot { slot, generation } => {
                if relaying.relay.living(*slot, *generation).is_some_and(|held| held.phase != Phase::Late) {
                    relaying.relay.slot_mut(*slot).fault_ede = ede;
                    relaying.give_up(chain, *slot, *clock);
                    relaying.flush(chain, &self.poll, *clock);
                }
                Vec::new()
            }
        }
    }

    /// Questions that wait to be asked over TCP.
    pub fn take_tcp_retries(&mut self) -> Vec<Forward> {
        self.relaying.over_tcp.drain(..).collect()
    }

    /// How many there are.
    pub fn tcp_retries_waiting(&self) -> usize {
        self.relaying.over_tcp.len()
    }

    /// What a TCP connection to an upstream showed.
    pub fn upstream_spoke(&mut self, address: SocketAddr, well: bool) {
        self.read_clock();
        let now = self.clock.us;
        let asked_at = now.saturating_sub(self.relaying.relay.limits().upstream_timeout);
        if let Some(upstream) = self.relaying.upstreams.iter_mut().find(|u| u.address == address)
            && !well
            && upstream.unanswered(false, asked_at, now)
        {
            self.chain.counters.count(Counter::UpstreamDown);
        }
    }
}
