//! The chain of a query, written once, for datagrams and streams alike.
//!
//! ```text
//! datagram -> client allowed? -> parsed -> rate in bounds? -> on an active list of its view? -> in the cache? -> relayed
//! ```
//!
//! Each stage takes the query as it is and says [`Step::Answer`], [`Step::Drop`] or [`Step::Next`]. Why each stands where
//! it stands:
//!
//! * **allowed before parsed**: who is not served must not be able to make us work, and gets no answer that could be
//!   aimed at a forged source (RFC 5358).
//! * **parsed before the rate**: a datagram that will be dropped must not use up its forged source's tokens, and the
//!   rate's answer (TC) has to carry the question.
//! * **rate before the list**: blocked answers are as good a reflector as any.
//! * **list before the cache**: a change of the list holds from the next query on, whatever is cached, and the cache
//!   needs no part in it.
//! * **ANY after the list, before the cache**: a listed name is stopped for ANY too; else RFC 8482 answers without
//!   anyone upstream.
//! * **cache before the relay**: that is what it is for; stale answers stand behind it, only when no upstream is up.

use std::net::IpAddr;
use std::sync::Arc;

use crate::answer::{self, StopPage};
use crate::cache::{Cache, Key};
use crate::clients::Clients;
use crate::counters::{Counter, Counters};
use crate::list::{Action, CompiledList, Hit};
use crate::relay::hash;
use crate::relay::rate::{Rate, client_hash};
use crate::verdict::{Judgement, Passes, Stop, verdict};
use crate::wire::{Parsed, Query, parse, rtype};

use super::hits::RowHits;

/// What a stage says.
#[derive(Debug)]
pub enum Step<T> {
    /// So many bytes in the buffer are the answer.
    Answer(usize),
    /// Nothing is sent.
    Drop,
    /// The next stage's turn.
    Next(T),
}

/// The time, read once a batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    /// CLOCK_MONOTONIC in microseconds.
    pub us: u64,
    /// Unix time.
    pub unix: u32,
}

impl Now {
    /// CLOCK_MONOTONIC in milliseconds.
    #[inline]
    pub fn ms(&self) -> u64 {
        self.us / 1000
    }
}

/// Everything that the stages consult.
pub struct Chain {
    pub(super) clients: Clients,
    pub(super) rate: Option<Rate>,
    pub(super) list: Option<Arc<CompiledList>>,
    pub(super) passes: Passes,
    pub(super) page: StopPage,
    pub(super) cache: Cache,
    pub(super) counters: Counters,
    pub(super) rows: RowHits,
    pub(super) key: hash::Key,
}

impl Chain {
    /// Stage 1: is the client served, and by which lists? `None`: it is not.
    #[inline]
    pub fn allowed(&mut self, ip: IpAddr) -> Option<u64> {
        let view = self.clients.view(ip);
        if view.is_none() {
            self.counters.count(Counter::DroppedClient);
        }
        view
    }

    /// Stage 2: the parse table.
    #[inline]
    pub fn parsed(&mut self, packet: &[u8], out: &mut [u8]) -> Step<Query> {
        match parse(packet) {
            Parsed::Query(query) => {
                self.counters.qtype(query.qtype);
                Step::Next(query)
            }
            Parsed::Refuse(refusal) => {
                self.counters.count(Counter::RefusedByTable);
                Step::Answer(answer::error(packet, refusal.echo, refusal.rcode, None, out))
            }
            Parsed::Drop(_) => {
                self.counters.count(Counter::DroppedMalformed);
                Step::Drop
            }
        }
    }

    /// Stage 3: is the client within its rate? Asked of datagrams alone: the answer, TC, sends the client to TCP, where
    /// its address is proven.
    #[inline]
    pub fn in_bounds(&mut self, packet: &[u8], query: &Query, ip: IpAddr, now: Now, out: &mut [u8]) -> Step<()> {
        let Some(rate) = &mut self.rate else { return Step::Next(()) };
        if rate.take(client_hash(self.key, ip), now.ms()) {
            return Step::Next(());
        }
        self.counters.count(Counter::RateLimited);
        Step::Answer(answer::truncated(packet, query, out))
    }

    /// Stage 4, first half: what the lists and the operator say. The look-up itself was made for the whole batch.
    #[inline]
    pub fn judged(&mut self, query: &Query, hits: &[Hit], view: u64, now: Now) -> Option<Stop> {
        if hits.is_empty() {
            return None;
        }
        let list = self.list.as_deref()?;
        let Judgement { stop, monitored, excused } = verdict(list, hits, &query.qname, &self.passes, view, now.unix);
        if excused {
            self.counters.count(Counter::Excused);
        }
        if let Some(found) = monitored {
            self.counters.count(Counter::Monitored);
            self.counters.monitored_by(found.list);
            self.rows.count(found.row, &mut self.counters);
        }
        stop
    }

    /// Stage 4, second half: the blocked answer.
    #[inline]
    pub fn blocked(
        &mut self,
        packet: &[u8],
        query: &Query,
        stop: &Stop,
        now: Now,
        limit: usize,
        out: &mut [u8],
    ) -> usize {
        self.counters.count(Counter::Blocked);
        self.counters.blocked_by(stop.list);
        self.counters.count(match stop.action {
            Action::StopPage => Counter::BlockedStopPage,
            Action::Nxdomain => Counter::BlockedNxdomain,
            Action::Refused => Counter::BlockedRefused,
            Action::Nodata | Action::Monitor => Counter::BlockedNodata,
        });
        self.rows.count(stop.row, &mut self.counters);
        // The reference is only ever said in an extended error, and that only to who has EDNS.
        let record = match (&self.list, query.edns) {
            (Some(list), Some(_)) if stop.ede != 0 => list.record(stop.row, usize::from(stop.rule)),
            _ => None,
        };
        let reference: &[u8] = record.as_ref().map_or(&[], |record| &record.reference);
        answer::blocked(packet, query, stop, reference, &self.page, now.unix, limit, out)
    }

    /// Between list and cache: ANY.
    #[inline]
    pub fn any(&mut self, packet: &[u8], query: &Query, out: &mut [u8]) -> Step<()> {
        if query.qtype == rtype::ANY { Step::Answer(answer::hinfo(packet, query, out)) } else { Step::Next(()) }
    }

    /// Stage 5: the cache. `key` is `None` where it is passed by (RD=0); `upstreams_down`: stale answers will do.
    #[allow(clippy::too_many_arguments)] // a stage takes what the stages before it found
    #[inline]
    pub fn cached(
        &mut self,
        packet: &[u8],
        query: &Query,
        key: Option<&Key>,
        now: Now,
        limit: usize,
        out: &mut [u8],
    ) -> Step<()> {
        let Some(key) = key else { return Step::Next(()) };
        match self.cache.get(key, query, packet, now.ms(), limit, out) {
            Some(length) => {
                self.counters.count(Counter::CacheHits);
                Step::Answer(length)
            }
            None => {
                self.counters.count(Counter::CacheMisses);
                Step::Next(())
            }
        }
    }

    /// What a client gets when no upstream answered: a stale answer if there is one, else SERVFAIL with the reason.
    pub fn failed(
        &mut self,
        packet: &[u8],
        query: &Query,
        key: Option<&Key>,
        ede: u16,
        now: Now,
        limit: usize,
        out: &mut [u8],
    ) -> usize {
        if let Some(length) = key.and_then(|key| self.stale(packet, query, key, now, limit, out)) {
            return length;
        }
        answer::error(packet, query.echo(), crate::wire::rcode::SERVFAIL, Some((ede, "")), out)
    }

    /// A stale answer, if there is one.
    pub fn stale(
        &mut self,
        packet: &[u8],
        query: &Query,
        key: &Key,
        now: Now,
        limit: usize,
        out: &mut [u8],
    ) -> Option<usize> {
        let length = self.cache.stale(key, query, packet, now.ms(), limit, out)?;
        self.counters.count(Counter::CacheStale);
        Some(length)
    }
}
