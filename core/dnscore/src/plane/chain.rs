//! The chain of a query, written once, for datagrams and streams alike: [`run`] is the order of the stages, with the reason
//! for each neighbour, and it is what runs. What a stage does to one query is in [`super::stages`].
//!
//! Enters: a batch of messages, as their transport ([`Way`]) has them; a stream's message is a batch of one. Leaves:
//! answers, by that transport; in [`Batch::open`] the queries that wait in the relay now.
//!
//! A new stage is a method of [`Line`] and a name in [`run`]. The stages of one [`pass`] are compiled into one loop, in
//! which a query goes from stage to stage while what it is made of is near; between two passes stands what is done for all
//! queries of the batch at once.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::answer;
use crate::cache::Key;
use crate::counters::{Counter, Counters};
use crate::list::Hits;
use crate::relay::Cap;
use crate::relay::slot::ReplyTo;
use crate::sys::{BATCH, Links, Poll};
use crate::wire::proxy::Ends;
use crate::wire::{Name, Query, rcode, rtype};

use super::relaying::Relaying;
use super::replies::Replies;
use super::stages::{Asked, Chain, Now, Step};

/// Takes each query of a batch through the named stages, until one of them ends its way.
macro_rules! pass {
    ($line:expr, $($stage:ident),+ $(,)?) => {
        $line.each(|line, index| {
            $(match line.$stage(index) {
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
        // answered the health name alone, whoever is served: `stopsign health` and a balancer's check need no place among
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
        // what is answered here needs no upstream.
        stale, // What nobody here can answer.
        relay,
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

/// A query of a batch, as far as the stages have come with it. Made once: a batch of queries is not to be moved about.
pub(super) struct Place {
    /// Whose it is.
    pub client: IpAddr,
    /// The client and the address that it asked, where a balancer or a stream said so.
    pub ends: Option<Ends>,
    view: u64,
    query: Query,
    key: Option<Key>,
    /// It has an answer already, and goes on only to ask an upstream.
    answered: bool,
}

/// The queries of a batch, in the places of their datagrams, and what is worked out for all of them at once.
pub(super) struct Batch {
    pub places: Box<[Place]>,
    /// Those that no stage has answered or dropped.
    pub open: Vec<u8>,
    hits: Hits,
    /// Where among the hits each place's are.
    looked_up: [u8; BATCH],
    pub keys: Vec<Key>,
}

impl Batch {
    pub fn new() -> Batch {
        let client = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let place = || Place { client, ends: None, view: 0, query: Query::BLANK, key: None, answered: false };
        Batch {
            places: (0..BATCH).map(|_| place()).collect(),
            open: Vec::with_capacity(BATCH),
            hits: Hits::new(),
            looked_up: [0; BATCH],
            keys: Vec::with_capacity(BATCH),
        }
    }

    /// A batch of so many messages.
    pub fn begin(&mut self, count: usize) {
        self.open.clear();
        self.open.extend((0u8..).take(count));
    }

    /// Nothing of a batch is left. Each stage writes what it leaves in a place before a later one reads it.
    pub fn forget(&mut self) {
        self.open.clear();
        self.hits.clear();
        self.keys.clear();
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

/// A batch on its way, and everything that the stages work with.
pub(super) struct Line<'a, W> {
    pub way: W,
    pub batch: &'a mut Batch,
    pub chain: &'a mut Chain,
    pub relaying: &'a mut Relaying,
    pub poll: &'a Poll,
    pub now: Now,
}

impl<W: Way> Line<'_, W> {
    /// Takes each open query through `stages`, and sends what they answer.
    #[inline]
    pub fn each(&mut self, stages: impl Fn(&mut Self, usize) -> Step) {
        let mut open = std::mem::take(&mut self.batch.open);
        open.retain(|index| {
            let index = usize::from(*index);
            match stages(self, index) {
                Step::Next => true,
                Step::Drop => false,
                Step::Answer(length) => {
                    self.answer(index, length);
                    false
                }
            }
        });
        self.batch.open = open;
    }

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
    pub fn source(&mut self, index: usize) -> Step {
        let fits = self.way.can_be_answered(index, &mut self.batch.places[index]);
        self.drop_unless(fits, Counter::DroppedSource)
    }

    #[inline]
    pub fn own(&mut self, index: usize) -> Step {
        let fits = !self.way.is_ours(index, &self.relaying.links);
        self.drop_unless(fits, Counter::Loops)
    }

    #[inline]
    pub fn proxy(&mut self, index: usize) -> Step {
        let fits = self.way.introduce(index, &mut self.batch.places[index]);
        self.drop_unless(fits, Counter::DroppedProxy)
    }

    #[inline]
    pub fn client(&mut self, index: usize) -> Step {
        let place = &mut self.batch.places[index];
        place.answered = false;
        match self.chain.view(place.client) {
            Some(view) => {
                place.view = view;
                Step::Next
            }
            None => self.check(index),
        }
    }

    #[cold]
    fn check(&mut self, index: usize) -> Step {
        let Line { way, batch, chain, relaying, now, .. } = self;
        let heard = relaying.gone(now.us).is_none();
        let out = way.room(&mut relaying.replies, &mut chain.counters);
        chain.checked(batch.places[index].client, way.packet(index), heard, *now, out)
    }

    #[inline]
    pub fn parse(&mut self, index: usize) -> Step {
        let Line { way, batch, chain, relaying, .. } = self;
        let out = way.room(&mut relaying.replies, &mut chain.counters);
        chain.parsed(way.packet(index), &mut batch.places[index].query, out)
    }

    #[inline]
    pub fn rate(&mut self, index: usize) -> Step {
        let Line { way, batch, chain, relaying, now, .. } = self;
        if W::IS_STREAM {
            return Step::Next;
        }
        let place = &batch.places[index];
        let out = way.room(&mut relaying.replies, &mut chain.counters);
        chain.in_bounds(asked_at(way, place, index, *now), place.client, out)
    }

    /// Looks all open names up, and asks for the memory that the verdicts about them will read.
    #[inline]
    pub fn look_up(&mut self) {
        let Batch { places, open, hits, looked_up, .. } = &mut *self.batch;
        let Some(list) = &self.chain.list else { return };
        let mut names = [&Name::ROOT; BATCH];
        for ((at, name), index) in (0u8..).zip(&mut names).zip(open.iter()) {
            *name = &places[usize::from(*index)].query.qname;
            looked_up[usize::from(*index)] = at;
        }
        list.look_up(&names[..open.len()], hits);
        self.chain.prefetch(hits);
    }

    #[inline]
    pub fn list(&mut self, index: usize) -> Step {
        let Line { way, batch, chain, relaying, now, .. } = self;
        let Batch { places, hits, looked_up, .. } = &**batch;
        if chain.list.is_none() {
            return Step::Next;
        }
        let place = &places[index];
        let met = Chain::met(&place.query, hits.of(usize::from(looked_up[index])));
        let stop = chain.judged(&place.query, met, place.view, *now);
        if chain.watching.is_on() {
            chain.watched(place.client, place.view, met, stop.is_some(), *now);
        }
        let Some(stop) = stop else { return Step::Next };
        let asked = asked_at(way, place, index, *now);
        let out = way.room(&mut relaying.replies, &mut chain.counters);
        let length = chain.blocked(asked, &stop, out);
        chain.record(|| client_of(way, place, index), W::IS_STREAM, asked, &stop, &out[..length]);
        Step::Answer(length)
    }

    /// Works out the keys of all open queries, and asks for what the cache will read about them.
    #[inline]
    pub fn prefetch_cache(&mut self) {
        let Batch { places, open, keys, .. } = &mut *self.batch;
        keys.clear();
        for index in open.iter() {
            let place = &mut places[usize::from(*index)];
            place.key = self.chain.cache.key(&place.query, 0);
            keys.extend(place.key);
        }
        self.chain.cache.touch(keys);
    }

    #[inline]
    pub fn any(&mut self, index: usize) -> Step {
        let Line { way, batch, chain, relaying, .. } = self;
        let query = &batch.places[index].query;
        if query.qtype != rtype::ANY {
            return Step::Next;
        }
        let out = way.room(&mut relaying.replies, &mut chain.counters);
        Step::Answer(answer::hinfo(way.packet(index), query, out))
    }

    #[inline]
    pub fn cache(&mut self, index: usize) -> Step {
        let Line { way, batch, chain, relaying, now, .. } = self;
        let place = &batch.places[index];
        let asked = asked_at(way, place, index, *now);
        let out = way.room(&mut relaying.replies, &mut chain.counters);
        let step = chain.cached(asked, out);
        if let Step::Answer(length) = step {
            chain.record_alias(|| client_of(way, place, index), W::IS_STREAM, asked, &out[..length]);
        }
        step
    }

    #[inline]
    pub fn local(&mut self, index: usize) -> Step {
        let Line { way, batch, chain, relaying, now, .. } = self;
        let place = &batch.places[index];
        if !chain.is_local(&place.query) {
            return Step::Next;
        }
        let heard = relaying.gone(now.us).is_none();
        let out = way.room(&mut relaying.replies, &mut chain.counters);
        Step::Answer(chain.local(asked_at(way, place, index, *now), heard, out))
    }

    #[inline]
    pub fn stale(&mut self, index: usize) -> Step {
        if self.relaying.all_down() { self.unserved(index) } else { Step::Next }
    }

    #[cold]
    fn unserved(&mut self, index: usize) -> Step {
        let Line { way, batch, chain, relaying, now, .. } = self;
        let place = &batch.places[index];
        let asked = asked_at(way, place, index, *now);
        let gone = relaying.gone(now.us);
        let out = way.room(&mut relaying.replies, &mut chain.counters);
        let Some(length) = chain.unserved(asked, gone, out) else { return Step::Next };
        chain.record_alias(|| client_of(way, place, index), W::IS_STREAM, asked, &out[..length]);
        if !relaying.upstreams.iter().any(|u| u.wants_probe(now.us)) {
            return Step::Answer(length);
        }
        // Once the client has its answer, the question goes on as a probe.
        self.answer(index, length);
        self.batch.places[index].answered = true;
        Step::Next
    }

    #[inline]
    pub fn relay(&mut self, index: usize) -> Step {
        let Line { way, batch, chain, relaying, poll, now } = self;
        let place = &batch.places[index];
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
