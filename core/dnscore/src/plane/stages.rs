//! What each stage of the chain does to one query. Their order, and why it is that, is [`super::chain`]'s.
//!
//! Enters: a query as far as it is known ([`Asked`]), and the room for an answer. Leaves: a [`Step`], or the length of the
//! answer that was written. Nothing here knows a transport or a socket.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::answer::{self, Explained, Explanation, StopPage};
use crate::cache::{Cache, Key};
use crate::clients::Clients;
use crate::counters::{Counter, Counters};
use crate::list::{Action, CompiledList, Hit, Hits, reference_text};
use crate::relay::hash;
use crate::relay::rate::{Rate, client_hash};
use crate::relay::slot::ReplyTo;
use crate::streams;
use crate::tap::{self, Tap};
use crate::verdict::{Exceptions, Judgement, Stop, verdict};
use crate::wire::{Name, Query, Rejected, ede, parse_into, rcode, rtype};

use super::entry_counts::EntryHits;
use super::local::Local;
use super::owners::Owners;
use super::shadow::Shadow;

/// What a stage says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many octets of the room are the answer.
    Answer(usize),
    /// Nothing is sent.
    Drop,
    /// The next stage's turn.
    Next,
}

/// The time, read once a batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    /// CLOCK_MONOTONIC in microseconds.
    pub us: u64,
    /// Unix time.
    pub unix: u32,
    /// The same in microseconds.
    pub unix_us: u64,
}

impl Now {
    /// CLOCK_MONOTONIC in milliseconds.
    #[inline]
    pub fn ms(&self) -> u64 {
        self.us / 1000
    }
}

/// A query as the stages after the parser see it.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// As it came.
    pub packet: &'a [u8],
    /// What it says.
    pub query: &'a Query,
    /// The key of its answer in the cache; `None` where the cache is not used (RD=0).
    pub key: Option<&'a Key>,
    /// The longest answer.
    pub limit: usize,
    /// When.
    pub now: Now,
    /// The lists that hold for the client.
    pub view: u64,
}

/// Everything that the stages consult.
pub struct Chain {
    pub(super) clients: Clients,
    pub(super) checkers: Clients,
    pub(super) rate: Option<Rate>,
    pub(super) list: Option<Arc<CompiledList>>,
    pub(super) explanations: Vec<Option<Explanation>>,
    pub(super) exceptions: Exceptions,
    pub(super) page: StopPage,
    pub(super) health: Option<Name>,
    pub(super) health_mark: Vec<u8>,
    pub(super) local: Local,
    pub(super) cache: Cache,
    pub(super) counters: Counters,
    pub(super) hits: EntryHits,
    pub(super) owners: Owners,
    pub(super) tap: Option<Box<Tap>>,
    pub(super) shadow: Shadow,
    pub(super) key: hash::Key,
}

impl Chain {
    /// Is the client served, and by which lists? `None`: it is not, and [`Chain::checked`] has the last word.
    #[inline]
    pub fn view(&self, ip: IpAddr) -> Option<u64> {
        self.clients.view(ip)
    }

    /// For a client that is not served: only this host and its balancers are answered, and only the health name.
    #[cold]
    pub fn checked(&mut self, ip: IpAddr, packet: &[u8], heard: bool, now: Now, out: &mut [u8]) -> Step {
        let mut query = Query::BLANK;
        let asks =
            self.checkers.view(ip).is_some() && parse_into(packet, &mut query).is_ok() && self.asks_for_health(&query);
        if !asks {
            self.counters.count(Counter::DroppedClient);
            return Step::Drop;
        }
        self.counters.qtype(query.qtype);
        let asked = Asked { packet, query: &query, key: None, limit: query.udp_limit(), now, view: 0 };
        Step::Answer(self.healthy(asked, heard, out))
    }

    /// What the parse table says to what is no query.
    #[cold]
    pub fn rejected(&mut self, rejected: Rejected, packet: &[u8], out: &mut [u8]) -> Step {
        match rejected {
            Rejected::Refuse(refusal) => {
                self.counters.count(Counter::RefusedByTable);
                Step::Answer(answer::error(packet, refusal.echo, refusal.rcode, None, out))
            }
            Rejected::Drop(_) => {
                self.counters.count(Counter::DroppedMalformed);
                Step::Drop
            }
        }
    }

    /// Is the client within its rate?
    #[inline]
    pub fn is_in_bounds(&mut self, client: IpAddr, now: Now) -> bool {
        let Some(rate) = &mut self.rate else { return true };
        let is_in_bounds = rate.take(client_hash(self.key, client), now.ms());
        if !is_in_bounds {
            self.counters.count(Counter::RateLimited);
        }
        is_in_bounds
    }

    /// Asks for the memory that the verdicts about a batch will read and change: then they wait for it together.
    #[inline]
    pub fn prefetch(&self, hits: &Hits) {
        if let Some(list) = &self.list {
            hits.all().iter().for_each(|hit| self.hits.prefetch(list.prefetch(hit.row)));
        }
    }

    /// What of a look-up counts for this query: all of it, or nothing for DS and DNSKEY.
    #[inline]
    pub fn met<'h>(query: &Query, hits: &'h [Hit]) -> &'h [Hit] {
        if query.asks_for_trust() { &[] } else { hits }
    }

    /// What the lists and the operator say. The look-up itself was made for the whole batch.
    #[inline(always)]
    pub fn judged(&mut self, query: &Query, hits: &[Hit], view: u64, now: Now) -> Option<Stop> {
        if hits.is_empty() {
            return None;
        }
        let list = self.list.as_deref()?;
        let judgement = verdict(list, hits, &query.qname, &self.exceptions, view, now.unix);
        self.noted(judgement)
    }

    /// Notes for a shadow evaluation what a client met. `stopped`: by a list that acts.
    #[cold]
    pub fn evaluate(&mut self, client: IpAddr, qname: &Name, view: u64, met: &[Hit], stopped: bool, now: Now) {
        if let Some(list) = &self.list {
            self.shadow.asked(client, qname, view, list, if stopped { &[] } else { met }, now.unix);
        }
    }

    /// Counts what a judgement says beside the entry that stops.
    #[inline]
    pub(super) fn noted(&mut self, judgement: Judgement) -> Option<Stop> {
        let Judgement { stop, monitored, excused } = judgement;
        if excused {
            self.counters.count(Counter::Excused);
        }
        if let (Some(found), Some(list)) = (monitored, &self.list) {
            self.counters.count(Counter::Monitored);
            self.counters.monitored_by(found.list);
            self.hits.note(list.number(found.row, found.rule));
        }
        stop
    }

    /// Notes the entry, and writes the blocked answer.
    #[inline]
    pub fn blocked(&mut self, asked: Asked<'_>, stop: &Stop, out: &mut [u8]) -> usize {
        let stop = &self.acted(asked.query, *stop);
        self.counters.count(Counter::Blocked);
        self.counters.blocked_by(stop.list);
        self.counters.count(match stop.action {
            Action::StopPage => Counter::BlockedStopPage,
            Action::Nxdomain => Counter::BlockedNxdomain,
            Action::Refused => Counter::BlockedRefused,
            Action::Nodata | Action::Monitor => Counter::BlockedNodata,
        });
        let Asked { packet, query, limit, now, .. } = asked;
        let mut reference = None;
        if let Some(list) = &self.list {
            let entry = list.number(stop.row, stop.rule);
            self.hits.note_stop(entry, stop.list);
            // an extended error carries the reference, and only who has EDNS gets one
            if stop.ede != 0 && query.edns.is_some() {
                reference = list.reference(entry);
            }
        }
        let reference = reference.as_ref().map(reference_text);
        let reference = reference.as_slice().as_flattened();
        let explained = self.explained(query, stop);
        answer::blocked(packet, query, stop, reference, explained.as_ref(), &self.page, now.unix, limit, out)
    }

    /// How the entry's list explains itself to this client, if it does so in JSON and the client reads that.
    #[inline]
    fn explanation(&self, query: &Query, stop: &Stop) -> Option<&Explanation> {
        if !query.edns.is_some_and(|edns| edns.structured) {
            return None;
        }
        self.explanations.get(usize::from(stop.list))?.as_ref()
    }

    /// The text about the entry for a client that reads structured errors.
    #[inline]
    pub(super) fn explained(&self, query: &Query, stop: &Stop) -> Option<Explained> {
        self.explanation(query, stop)?.of(self.list.as_deref()?, stop)
    }

    /// The stop with what is done for this client: one that shows the reason by itself may need no stop page.
    #[inline]
    fn acted(&self, query: &Query, stop: Stop) -> Stop {
        match self.explanation(query, &stop) {
            Some(Explanation { action: Some(action), .. }) if stop.action == Action::StopPage => {
                Stop { action: *action, ..stop }
            }
            _ => stop,
        }
    }

    /// Records a blocked answer, where that is asked for.
    #[inline]
    pub fn record(
        &mut self,
        asker: impl FnOnce() -> (SocketAddr, ReplyTo),
        asked: Asked<'_>,
        stop: &Stop,
        answer: &[u8],
    ) {
        if self.tap.is_some() {
            let name = asked.query.qname.without(stop.distance);
            self.recorded(asker(), asked, stop, name, answer);
        }
    }

    /// `name`: the entry's own.
    #[cold]
    pub(super) fn recorded(
        &mut self,
        (client, to): (SocketAddr, ReplyTo),
        asked: Asked<'_>,
        stop: &Stop,
        name: &[u8],
        answer: &[u8],
    ) {
        let (unix_us, action) = (asked.now.unix_us, self.acted(asked.query, *stop).action);
        let (Some(tap), Some(list)) = (&mut self.tap, &self.list) else { return };
        if list.is_sealed(stop.row) {
            return; // the records together would be a list of its names
        }
        let reference = list.reference(list.number(stop.row, stop.rule));
        let reference = reference.as_ref().map(reference_text);
        let reference = reference.as_slice().as_flattened();
        let transport = match to {
            ReplyTo::Datagram(_) => tap::Transport::Udp,
            ReplyTo::Stream(number) => streams::transport(number),
        };
        let noted = tap.note(&tap::Blocked { client, transport, unix_us, answer, action, reference, name });
        self.counters.count(if noted { Counter::TapFrames } else { Counter::TapDropped });
    }

    /// Is it a name that is answered here?
    #[inline]
    pub fn is_local(&self, query: &Query) -> bool {
        self.local.has(query) || self.asks_for_health(query)
    }

    /// The answer for such a name. `heard`: the upstreams are not gone.
    pub fn local(&self, asked: Asked<'_>, heard: bool, out: &mut [u8]) -> usize {
        let own = self.local.answer(asked.packet, asked.query, asked.limit, out);
        own.unwrap_or_else(|| self.healthy(asked, heard, out))
    }

    /// The name by which a balancer or an anycast daemon asks whether this host should get queries: without error unless
    /// the upstreams are gone, then SERVFAIL with EDE 22. That clients ask for what nobody answers must not take the host
    /// out. TXT answers the mark of this provider's run, so that who asks can tell its workers from another program that
    /// listens on the same port; any other type answers without records.
    pub fn healthy(&self, asked: Asked<'_>, heard: bool, out: &mut [u8]) -> usize {
        if !heard {
            let reason = Some((ede::NO_REACHABLE_AUTHORITY, ""));
            return answer::error(asked.packet, asked.query.echo(), rcode::SERVFAIL, reason, out);
        }
        if asked.query.qtype == rtype::TXT && !self.health_mark.is_empty() {
            return answer::text(asked.packet, asked.query, &self.health_mark, out);
        }
        answer::error(asked.packet, asked.query.echo(), rcode::NOERROR, None, out)
    }

    /// Is it that name?
    #[inline]
    pub fn asks_for_health(&self, query: &Query) -> bool {
        self.health.as_ref().is_some_and(|name| *name == query.qname)
    }
}
