//! The chain of a query, written once, for datagrams and streams alike: [`run`] is the order of the stages, with the reason
//! for each neighbour, and it is what runs. What a stage does to one query is in [`super::stages`].
//!
//! Enters: a batch of messages, as their transport ([`Way`]) has them; a stream's message is a batch of one. Leaves:
//! answers, by that transport; in [`Batch::open`] the queries that wait in the relay now.
//!
//! A new stage is a method of [`Stages`] and a name in [`run`]. The stages of one [`pass`] are compiled into one loop, in
//! which a query goes from stage to stage while what it is made of is near; between two passes stands what is done for all
//! queries of the batch at once.

use std::net::SocketAddr;

use crate::answer;
use crate::cache::Key;
use crate::counters::{Counter, Counters};
use crate::relay::Cap;
use crate::relay::slot::ReplyTo;
use crate::sys::{BATCH, Links, Poll};
use crate::wire::{Name, Query, parse_into, rcode, rtype};

use super::batch::{ALL, Batch, Found, Place};
use super::relaying::Relaying;
use super::replies::Replies;
use super::stages::{Asked, Chain, Now, Step};

/// Takes each query of a batch through the named stages, until one of them ends its way.
macro_rules! pass {
    ($line:expr, $($stage:ident),+ $(,)?) => {
        $line.each(|stages, place, index| {
            $(match stages.$stage(place, index) {
                Step::Next => {}
                end => return end,
            })+
            Step::Next
        })
    };
}
#[cfg(test)]
pub(super) use pass;

/// The stages, in their order.
pub(super) fn run<W: Way>(line: &mut Line<'_, W>) {
    pass!(
        line,
        // Port 0 cannot be answered, and a datagram from our own address would be answered to ourselves.
        source,
        // An upstream that asks us what we asked it is a circle. It stands before `proxy`, as `source` does: both judge who
        // sent the datagram, not for whom.
        own,
        // A balancer's header says who the client is, and is taken off: all that follows judges the client.
        proxy,
        // Before `parse`: who is not served must not be able to make us work, and gets no answer that could be aimed at a
        // forged source (RFC 5358). This host itself (loopback) and a balancer that speaks for itself (PROXY LOCAL) are
        // answered the health name alone, served or not: `stopsign health` and a balancer's check need no place among
        // the clients. Loopback cannot be forged from outside, and a balancer's address gains nothing: who could forge it
        // could name any client in the header, and the answer, which goes to the balancer, is hardly longer than the
        // question.
        client,
        // Before `rate`: a datagram that will be dropped must not use up its forged source's tokens, and the rate's answer
        // (TC) has to carry the question.
        parse,
        // Before `list`: blocked answers are as good a reflector as any. Datagrams alone: a stream's address is proven.
        rate,
    );
    // One look-up for the names of the whole batch: their waits for memory overlap.
    line.look_up();
    pass!(
        line,
        // Before `cache`: a change of the list holds from the next query on, whatever is cached, and the cache needs no part
        // in it. DS and DNSKEY pass: they carry no address and speak of a whole zone. Stopped, every validator would fail
        // names in it that are not listed, and could not see that an unsigned zone is unsigned, which the stop page needs.
        // Their signatures and denials (RRSIG, NSEC, NSEC3) come in the same answers; asked for by themselves these are
        // stopped like any type, since no validator needs that.
        list,
    );
    line.prefetch_cache();
    pass!(
        line,
        // After `list`: a listed name is stopped for ANY too; else RFC 8482 answers without anyone upstream.
        any,
        // Before `relay`: that is what it is for. An answer may hold records of listed names though the one asked for is not
        // listed: as it leaves, from here or from the relay, they are judged (`super::aliases`), so that no change of a list
        // has to look for them in the cache.
        cache,
    );
    pass!(
        line,
        // The health name and what this resolver says of itself (`super::local`) are answered here whatever the upstreams
        // say. After `cache`: so they cost no cached query a comparison; they are themselves never cached.
        local,
        // While no upstream is up: a stale answer, where there is one; SERVFAIL, where the upstreams are gone. After `local`:
        // what is answered here needs no upstream. Last of all `relay`: what nobody here can answer.
        stale, relay,
    );
}

/// What of the chain depends on how a message came.
pub(super) trait Way {
    /// Over a stream: whose other end has proven its address.
    const IS_STREAM: bool;

    /// Can its sender be answered? Notes the sender as the client.
    fn can_be_answered(&self, index: usize, place: &mut Place) -> bool;
    /// Was it sent by a socket of ours towards an upstream?
    fn is_ours(&self, index: usize, links: &Links) -> bool;
    /// Takes off a balancer's header, and notes the client that it names. False: there must be one, and is none.
    fn introduce(&mut self, index: usize, place: &mut Place) -> bool;
    /// The message.
    fn packet(&self, index: usize) -> &[u8];
    /// Its sender, with the port.
    fn sender(&self, index: usize) -> SocketAddr;
    /// The longest answer to it.
    fn limit(&self, query: &Query) -> usize;
    /// How its answer leaves, where that is later.
    fn reply_to(&self, index: usize) -> ReplyTo;
    /// Room for one answer.
    fn room<'r>(&self, replies: &'r mut Replies, counters: &mut Counters) -> &'r mut [u8];
    /// The first `length` octets of the room are its answer.
    fn answer(&self, index: usize, length: usize, replies: &mut Replies, counters: &mut Counters);
}

impl Batch {
    /// A batch of so many messages, and what the stages work with.
    #[inline]
    pub fn line<'a, W: Way>(
        &'a mut self,
        count: usize,
        way: W,
        chain: &'a mut Chain,
        relaying: &'a mut Relaying,
        poll: &'a Poll,
        now: Now,
    ) -> Line<'a, W> {
        let Batch { places, open, found, keys } = self;
        open.clear();
        open.extend_from_slice(&ALL[..count]);
        Line { places, open, keys, stages: Stages { way, chain, relaying, poll, found, now } }
    }
}

/// The query in that place.
#[inline]
fn asked_at<'a, W: Way>(way: &'a W, place: &'a Place, index: usize, now: Now) -> Asked<'a> {
    let Place { query, key, view, .. } = place;
    Asked { packet: way.packet(index), query, key: key.as_ref(), limit: way.limit(query), now, view: *view }
}

/// The client with its port.
#[inline]
fn client_of<W: Way>(way: &W, place: &Place, index: usize) -> SocketAddr {
    place.ends.as_ref().map_or_else(|| way.sender(index), |ends| ends.source)
}

/// A batch on its way.
pub(super) struct Line<'a, W> {
    places: &'a mut [Place],
    open: &'a mut Vec<u8>,
    keys: &'a mut Vec<Key>,
    stages: Stages<'a, W>,
}

impl<W: Way> Line<'_, W> {
    /// Takes each open query through `stages`, and sends what they answer.
    #[inline]
    pub fn each(&mut self, stages: impl Fn(&mut Stages<'_, W>, &mut Place, usize) -> Step) {
        self.open.retain(|index| {
            let index = usize::from(*index);
            match stages(&mut self.stages, &mut self.places[index], index) {
                Step::Next => true,
                Step::Drop => false,
                Step::Answer(length) => {
                    self.stages.answer(index, length);
                    false
                }
            }
        });
    }

    /// Looks all open names up, and asks for the memory that the verdicts about them will read.
    #[inline]
    pub fn look_up(&mut self) {
        let Stages { chain, found: Found { hits, at }, .. } = &mut self.stages;
        let Some(list) = &chain.list else { return };
        let mut names = [&Name::ROOT; BATCH];
        for ((number, name), index) in (0u8..).zip(&mut names).zip(self.open.iter()) {
            *name = &self.places[usize::from(*index)].query.qname;
            at[usize::from(*index)] = number;
        }
        list.look_up(&names[..self.open.len()], hits);
        chain.prefetch(hits);
    }

    /// Works out the keys of all open queries, and asks for what the cache will read about them.
    #[inline]
    pub fn prefetch_cache(&mut self) {
        let cache = &self.stages.chain.cache;
        self.keys.clear();
        for index in self.open.iter() {
            let place = &mut self.places[usize::from(*index)];
            place.key = cache.key(&place.query, 0);
            self.keys.extend(place.key);
        }
        cache.touch(self.keys);
    }
}

/// Everything that the stages work with. Each is a method, of the name that [`run`] calls it by.
pub(super) struct Stages<'a, W> {
    way: W,
    chain: &'a mut Chain,
    relaying: &'a mut Relaying,
    poll: &'a Poll,
    found: &'a mut Found,
    now: Now,
}

impl<W: Way> Stages<'_, W> {
    #[inline]
    fn answer(&mut self, index: usize, length: usize) {
        self.way.answer(index, length, &mut self.relaying.replies, &mut self.chain.counters);
    }

    #[inline]
    fn drop_unless(&mut self, fits: bool, counter: Counter) -> Step {
        if fits {
            return Step::Next;
        }
        self.chain.counters.count(counter);
        Step::Drop
    }

    #[inline]
    pub fn source(&mut self, place: &mut Place, index: usize) -> Step {
        let fits = self.way.can_be_answered(index, place);
        self.drop_unless(fits, Counter::DroppedSource)
    }

    #[inline]
    pub fn own(&mut self, _: &mut Place, index: usize) -> Step {
        let fits = !self.way.is_ours(index, &self.relaying.links);
        self.drop_unless(fits, Counter::Loops)
    }

    #[inline]
    pub fn proxy(&mut self, place: &mut Place, index: usize) -> Step {
        let fits = self.way.introduce(index, place);
        self.drop_unless(fits, Counter::DroppedProxy)
    }

    #[inline]
    pub fn client(&mut self, place: &mut Place, index: usize) -> Step {
        place.answered = false;
        match self.chain.view(place.client) {
            Some(view) => {
                place.view = view;
                Step::Next
            }
            None => self.check(place, index),
        }
    }

    #[cold]
    fn check(&mut self, place: &mut Place, index: usize) -> Step {
        let Stages { way, chain, relaying, now, .. } = self;
        let heard = relaying.forwarder.gone(now.us).is_none();
        let out = way.room(&mut relaying.replies, &mut chain.counters);
        chain.checked(place.client, way.packet(index), heard, *now, out)
    }

    #[inline]
    pub fn parse(&mut self, place: &mut Place, index: usize) -> Step {
        let Stages { way, chain, relaying, .. } = self;
        let packet = way.packet(index);
        match parse_into(packet, &mut place.query) {
            Ok(()) => {
                chain.counters.qtype(place.query.qtype);
                Step::Next
            }
            Err(rejected) => {
                let out = way.room(&mut relaying.replies, &mut chain.counters);
                chain.rejected(rejected, packet, out)
            }
        }
    }

    #[inline]
    pub fn rate(&mut self, place: &mut Place, index: usize) -> Step {
        let Stages { way, chain, relaying, now, .. } = self;
        if W::IS_STREAM || chain.is_in_bounds(place.client, *now) {
            return Step::Next;
        }
        let out = way.room(&mut relaying.replies, &mut chain.counters);
        Step::Answer(answer::truncated(way.packet(index), &place.query, out))
    }

    #[inline]
    pub fn list(&mut self, place: &mut Place, index: usize) -> Step {
        let Stages { way, chain, relaying, found, now, .. } = self;
        if chain.list.is_none() {
            return Step::Next;
        }
        let met = Chain::met(&place.query, found.hits.of(usize::from(found.at[index])));
        let stop = chain.judged(&place.query, met, place.view, *now);
        if chain.shadow.is_on() {
            chain.evaluate(place.client, &place.query.qname, place.view, met, stop.is_some(), *now);
        }
        let Some(stop) = stop else { return Step::Next };
        let asked = asked_at(way, place, index, *now);
        let out = way.room(&mut relaying.replies, &mut chain.counters);
        let length = chain.blocked(asked, &stop, out);
        chain.record(|| (client_of(way, place, index), way.reply_to(index)), asked, &stop, &out[..length]);
        Step::Answer(length)
    }

    #[inline]
    pub fn any(&mut self, place: &mut Place, index: usize) -> Step {
        let Stages { way, chain, relaying, .. } = self;
        let query = &place.query;
        if query.qtype != rtype::ANY {
            return Step::Next;
        }
        let out = way.room(&mut relaying.replies, &mut chain.counters);
        Step::Answer(answer::hinfo(way.packet(index), query, out))
    }

    #[inline]
    pub fn cache(&mut self, place: &mut Place, index: usize) -> Step {
        let Stages { way, chain, relaying, now, .. } = self;
        let asked = asked_at(way, place, index, *now);
        let out = way.room(&mut relaying.replies, &mut chain.counters);
        let step = chain.cached(asked, out);
        if let Step::Answer(length) = step {
            chain.record_alias(|| (client_of(way, place, index), way.reply_to(index)), asked, &out[..length]);
        }
        step
    }

    #[inline]
    pub fn local(&mut self, place: &mut Place, index: usize) -> Step {
        let Stages { way, chain, relaying, now, .. } = self;
        if !chain.is_local(&place.query) {
            return Step::Next;
        }
        let heard = relaying.forwarder.gone(now.us).is_none();
        let out = way.room(&mut relaying.replies, &mut chain.counters);
        Step::Answer(chain.local(asked_at(way, place, index, *now), heard, out))
    }

    #[inline]
    pub fn stale(&mut self, place: &mut Place, index: usize) -> Step {
        if self.relaying.forwarder.all_down() { self.unserved(place, index) } else { Step::Next }
    }

    #[cold]
    fn unserved(&mut self, place: &mut Place, index: usize) -> Step {
        let Stages { way, chain, relaying, now, .. } = self;
        let asked = asked_at(way, place, index, *now);
        let gone = relaying.forwarder.gone(now.us);
        let out = way.room(&mut relaying.replies, &mut chain.counters);
        let Some(length) = chain.unserved(asked, gone, out) else { return Step::Next };
        chain.record_alias(|| (client_of(way, place, index), way.reply_to(index)), asked, &out[..length]);
        if !relaying.forwarder.wants_probe(now.us) {
            return Step::Answer(length);
        }
        // Once the client has its answer, the question goes on as a probe.
        self.answer(index, length);
        place.answered = true;
        Step::Next
    }

    #[inline]
    pub fn relay(&mut self, place: &mut Place, index: usize) -> Step {
        let Stages { way, chain, relaying, poll, now, .. } = self;
        let asked = asked_at(way, place, index, *now);
        let (to, client) = (way.reply_to(index), client_of(way, place, index));
        let over = relaying.relay_query(chain, poll, asked, to, client, place.ends.as_ref(), place.answered);
        let Some(cap) = over else { return Step::Next };
        chain.counters.count(match cap {
            Cap::Worker => Counter::CapWorker,
            Cap::Client => Counter::CapClient,
            Cap::Zone => Counter::CapZone,
            Cap::Waiters => Counter::CapWaiters,
        });
        if place.answered {
            return Step::Drop;
        }
        let out = way.room(&mut relaying.replies, &mut chain.counters);
        Step::Answer(answer::error(asked.packet, asked.query.echo(), rcode::SERVFAIL, None, out))
    }
}
