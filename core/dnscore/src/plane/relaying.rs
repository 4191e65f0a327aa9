//! The upstream side of a plane: carries out what the relay decides ([`crate::relay::forwarder`]), and says what came of it.
//! One relay for queries that came as datagrams and on streams. `sending` has the sockets towards upstreams, `over_tcp` sends by
//! TCP, `own` has what the worker itself asks.

use std::net::{IpAddr, SocketAddr};

use crate::cache::Key;
use crate::counters::Counter;
use crate::relay::forwarder::{Action, Forwarder, Heard};
use crate::relay::random::Random;
use crate::relay::rate::client_hash;
use crate::relay::slot::{Phase, ReplyTo, Waiter};
use crate::relay::{Admission, Cap, Due, Relay};
use crate::sys::{LARGEST_SENT, Links, Local, Poll};
use crate::wire::proxy::Ends;
use crate::wire::{Checked, Expected, Query, check_answer};

use super::asks::{Lane, TcpAsk};
use super::replies::{LONGEST, Replies};
use super::stages::{Asked, Chain, Now};

/// Everything between a miss and its answer.
pub(super) struct Relaying {
    pub forwarder: Forwarder,
    pub links: Links,
    pub lanes: Vec<Lane>,
    pub replies: Replies,
    /// Questions for Python to ask over TCP, and the numbers of those that were not answered in time.
    pub tcp_asks: Vec<TcpAsk>,
    pub tcp_overdue: Vec<u64>,
    pub remote_sockets: usize,
    /// Of the settings, for every sender.
    pub joins: bool,
    /// When the worker itself asks upstreams next.
    pub asks_at: u64,
    /// Upstreams that get a PROXY header, those that are asked over TLS alone; and, where there are any, who asked first for the question of each slot.
    pub proxy_to: Vec<SocketAddr>,
    pub tls_to: Vec<SocketAddr>,
    pub askers: Vec<Option<Ends>>,
    pub random: Random,
    due: Vec<Due>,
    pub slots: Vec<u32>,
}

impl Relaying {
    pub fn new(
        relay: Relay,
        random: Random,
        remote_sockets: usize,
        (proxy_to, tls_to): (Vec<SocketAddr>, Vec<SocketAddr>),
        joins: bool,
    ) -> Relaying {
        Relaying {
            forwarder: Forwarder::new(relay),
            links: Links::new(),
            lanes: Vec::new(),
            replies: Replies::new(),
            tcp_asks: Vec::new(),
            tcp_overdue: Vec::new(),
            remote_sockets,
            joins,
            asks_at: 0,
            proxy_to,
            tls_to,
            askers: Vec::new(),
            random,
            due: Vec::new(),
            slots: Vec::new(),
        }
    }

    /// A query that nobody here can answer. `ends`: those of the client, where a balancer or a stream said them. One that is
    /// `answered` already only asks. Which cap it is over, if it is.
    #[inline]
    #[allow(clippy::too_many_arguments)] // what there is to know about a query
    pub fn relay_query(
        &mut self,
        chain: &mut Chain,
        poll: &Poll,
        asked: Asked<'_>,
        to: ReplyTo,
        client: SocketAddr,
        ends: Option<&Ends>,
        answered: bool,
    ) -> Option<Cap> {
        let Asked { packet, query, now, .. } = asked;
        let hash = client_hash(chain.key, client.ip().to_canonical());
        let waiter = Waiter::new(packet, query, to, hash, client, asked.view);
        match self.forwarder.relay.admit(query, waiter, now.us) {
            Admission::Ask(slot) => {
                if answered {
                    self.forwarder.relay.take_waiting(slot);
                }
                if !self.proxy_to.is_empty() {
                    self.note_asker(slot, &to, ends);
                }
                // Only who asks on a stream comes this far with a name whose answer is known to be too long.
                let is_stream = matches!(to, ReplyTo::Stream(_));
                if is_stream && asked.key.is_some_and(|key| chain.cache.is_truncated(key, query, now.ms())) {
                    self.go_over_tcp(chain, poll, slot, None, now);
                } else {
                    self.ask(chain, poll, slot, None, now);
                }
            }
            Admission::Joined => chain.counters.count(Counter::Joined),
            Admission::Repeated => chain.counters.count(Counter::Repeated),
            Admission::Over(cap) => return Some(cap),
        }
        None
    }

    /// Notes who asked, for the PROXY headers.
    #[cold]
    fn note_asker(&mut self, slot: u32, to: &ReplyTo, ends: Option<&Ends>) {
        let slot = slot as usize;
        if self.askers.len() <= slot {
            self.askers.resize(slot + 1, None);
        }
        self.askers[slot] = ends.copied().or_else(|| {
            let ReplyTo::Datagram(peer) = to else { return None };
            let bound = self.replies.doors.get(usize::from(peer.listener))?.listener.address();
            let asked = match peer.local {
                Local::Bound => bound.ip(),
                Local::V4(address) => IpAddr::from(address),
                Local::V6(address, _) => IpAddr::from(address),
            };
            Some(Ends { source: SocketAddr::from(&peer.source), destination: SocketAddr::new(asked, bound.port()) })
        });
    }

    /// Puts the question of a slot to `first`, else to the best upstream that has not been asked; and to those that are due
    /// for a probe.
    pub fn ask(&mut self, chain: &mut Chain, poll: &Poll, slot: u32, first: Option<usize>, now: Now) {
        let Some(best) = first.or_else(|| self.forwarder.next(slot)) else {
            chain.counters.count(Counter::NoUpstream);
            return self.give_up(chain, slot, now);
        };
        chain.counters.count(Counter::Relayed);
        self.put_to(chain, poll, slot, best, now);
        let mut from = 0;
        while let Some(other) = self.forwarder.take_probe(slot, from, best, now.us) {
            chain.counters.count(Counter::Probes);
            self.put_to(chain, poll, slot, other, now);
            from = other + 1;
        }
    }

    pub fn ask_next(&mut self, chain: &mut Chain, poll: &Poll, slot: u32, now: Now) {
        chain.counters.count(Counter::Retried);
        self.ask(chain, poll, slot, None, now);
        self.await_again(slot, now);
    }

    /// The upstream that was asked now has its time.
    pub fn await_again(&mut self, slot: u32, now: Now) {
        let relay = &mut self.forwarder.relay;
        if relay.slot(slot).phase == Phase::Asking {
            relay.reschedule(slot, now.us + relay.limits().upstream_timeout);
        }
    }

    /// An answer, whichever way it came, to a question of a client or to the worker's own.
    #[inline]
    pub fn answered(
        &mut self,
        chain: &mut Chain,
        poll: &Poll,
        slot: u32,
        heard: Heard,
        (message, checked): (&[u8], &Checked),
        now: Now,
    ) {
        self.forwarder.unheard_since = None;
        let counters = &mut chain.counters;
        if self.forwarder.relay.slot(slot).own {
            return self.forwarder.answered_us(counters, slot, heard, checked, now.us);
        }
        match self.forwarder.answered(counters, slot, heard, message, checked, now.us) {
            Action::Give => self.settle(chain, slot, message, checked, now),
            Action::GiveTruncated(first) => self.truncated(chain, poll, slot, first, (message, checked), now),
            action => self.carry_out(chain, poll, slot, action, now),
        }
    }

    /// Does what the relay decided without an answer at hand.
    #[cold]
    pub fn carry_out(&mut self, chain: &mut Chain, poll: &Poll, slot: u32, action: Action, now: Now) {
        match action {
            Action::Wait | Action::Give | Action::GiveTruncated(_) => {}
            Action::AskNext => self.ask_next(chain, poll, slot, now),
            Action::AskPlainly(number) => {
                chain.counters.count(Counter::Retried);
                self.put_to(chain, poll, slot, number, now);
                self.await_again(slot, now);
            }
            Action::GiveKept => self.give_kept(chain, slot, now),
            Action::GiveStale => self.give_stale(chain, slot, now),
            Action::GiveUp => self.give_up(chain, slot, now),
        }
    }

    /// What time has brought.
    pub fn tick(&mut self, chain: &mut Chain, poll: &Poll, now: Now) {
        let mut due = std::mem::take(&mut self.due);
        self.forwarder.relay.due(now.us, &mut due);
        for event in due.drain(..) {
            let (slot, over_tcp, action) = self.forwarder.overdue(&mut chain.counters, event, now.us);
            self.tcp_overdue.extend(over_tcp);
            self.carry_out(chain, poll, slot, action, now);
        }
        self.due = due;
        self.ask_ourselves(chain, poll, now);
        self.flush(chain, poll, now);
        self.links.tick(now.us);
    }

    /// Answers all who wait, keeps the answer, frees the slot.
    pub fn settle(&mut self, chain: &mut Chain, slot: u32, message: &[u8], checked: &Checked, now: Now) {
        self.give(chain, slot, message, checked, Relay::take_waiting, now);
        self.forwarder.relay.settled(slot);
    }

    /// Keeps the answer, and gives it to those who wait, as `take` takes them off the slot.
    #[inline]
    pub fn give(
        &mut self,
        chain: &mut Chain,
        slot: u32,
        message: &[u8],
        checked: &Checked,
        take: impl Fn(&mut Relay, u32) -> Option<&Waiter>,
        now: Now,
    ) {
        let Relaying { forwarder: Forwarder { relay, .. }, replies, .. } = self;
        let mut query = relay.slot(slot).query;
        let key = chain.cache.key(&query, 0);
        if !relay.slot(slot).settled
            && let Some(key) = &key
        {
            chain.cache.put(key, &query, message, checked, now.ms());
        }
        let born = relay.slot(slot).born;
        let mut heard = 0;
        while let Some(waiter) = take(relay, slot) {
            heard += 1;
            as_asked_by(&mut query, waiter);
            let asked = asked_by(waiter, &query, key.as_ref(), now);
            let Some(out) = replies.room(&mut chain.counters, &waiter.to) else { continue };
            let length = chain.relayed(asked, message, checked, out);
            chain.record_alias(|| (waiter.source, waiter.to), asked, &out[..length]);
            replies.answer(&mut chain.counters, &waiter.to, length);
        }
        chain.counters.waited(now.us.saturating_sub(born), heard);
    }

    /// The same with the answer that was kept.
    fn give_kept(&mut self, chain: &mut Chain, slot: u32, now: Now) {
        let held = self.forwarder.relay.slot_mut(slot);
        let message = held.fallback.take().unwrap_or_default();
        let id = message.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
        match check_answer(&message, &Expected { id, question: held.question() }) {
            Ok(checked) => self.settle(chain, slot, &message, &checked, now),
            Err(_) => self.give_up(chain, slot, now),
        }
    }

    /// Nobody answered in time. The slot stays for a late answer.
    pub fn give_up(&mut self, chain: &mut Chain, slot: u32, now: Now) {
        chain.counters.count(Counter::GaveUp);
        self.tell(chain, slot, now);
        self.forwarder.relay.give_up(slot);
    }

    /// Nobody has answered yet: who waits has waited long enough where there is a stale answer. The question goes on.
    fn give_stale(&mut self, chain: &mut Chain, slot: u32, now: Now) {
        let query = &self.forwarder.relay.slot(slot).query;
        if chain.cache.key(query, 0).is_some_and(|key| chain.cache.has_stale(&key, query, now.ms())) {
            self.tell(chain, slot, now);
        }
    }

    /// Stale answers, else SERVFAIL, for all who wait, and for who asks within the next seconds.
    fn tell(&mut self, chain: &mut Chain, slot: u32, now: Now) {
        let Relaying { forwarder: Forwarder { relay, .. }, replies, .. } = self;
        let held = relay.slot(slot);
        let (mut query, ede, born) = (held.query, held.fault_ede, held.born);
        let key = chain.cache.key(&query, 0);
        let mut heard = 0;
        while let Some(waiter) = relay.take_waiting(slot) {
            heard += 1;
            as_asked_by(&mut query, waiter);
            let asked = asked_by(waiter, &query, key.as_ref(), now);
            let Some(out) = replies.room(&mut chain.counters, &waiter.to) else { continue };
            let length = chain.failed(asked, ede, out);
            chain.record_alias(|| (waiter.source, waiter.to), asked, &out[..length]);
            replies.answer(&mut chain.counters, &waiter.to, length);
        }
        chain.counters.waited(now.us.saturating_sub(born), heard);
        if let Some(key) = &key {
            chain.cache.fail(key, &query, ede, now.ms());
        }
    }
}

/// The slot's question as this client asked it.
#[inline]
fn as_asked_by(query: &mut Query, waiter: &Waiter) {
    let head = waiter.head();
    if let [id0, id1, flags0, flags1, ..] = *head {
        query.id = u16::from_be_bytes([id0, id1]);
        query.flags = u16::from_be_bytes([flags0, flags1]);
    }
    query.edns = waiter.edns;
}

/// The same for the chain, with the longest answer that this client can be given.
#[inline]
fn asked_by<'a>(waiter: &'a Waiter, query: &'a Query, key: Option<&'a Key>, now: Now) -> Asked<'a> {
    let limit = if waiter.is_stream() { LONGEST } else { query.udp_limit().min(LARGEST_SENT) };
    Asked { packet: waiter.head(), query, key, limit, now, view: waiter.view }
}
