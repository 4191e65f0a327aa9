//! The upstream side of a plane: carries out what the relay decides, and tells it what became of it. One relay for
//! queries that came as datagrams and on streams; `over_tcp` is its other way out, `own` what the worker itself asks.

use std::io;
use std::net::{IpAddr, SocketAddr};

use crate::answer;
use crate::cache::Key;
use crate::counters::Counter;
use crate::relay::health::{Fault, State, Upstream, choose};
use crate::relay::random::Random;
use crate::relay::rate::client_hash;
use crate::relay::slot::{Ask, Phase, ReplyTo, Waiter};
use crate::relay::{Admission, Cap, Due, Reception, Relay};
use crate::sys::{self, LARGEST_SENT, Links, Local, Picked, Poll, Sender, Sent};
use crate::wire::proxy::{self, Ends};
use crate::wire::{Checked, Expected, HEADER, Query, check_answer, rcode};

use super::over_tcp::TcpAsk;
use super::replies::{LONGEST, Replies};
use super::stages::{Asked, Chain, Now};

/// What waits to be sent to one upstream: a batch leaves by one socket, picked for it.
pub(super) struct Lane {
    sender: Sender,
    picked: Option<Picked>,
}

impl Lane {
    pub fn new(joins: bool) -> Lane {
        Lane { sender: Sender::new(joins), picked: None }
    }

    pub fn clear(&mut self) {
        self.sender.clear();
        self.picked = None;
    }
}

/// Everything between a miss and its answer.
pub(super) struct Relaying {
    pub relay: Relay,
    pub links: Links,
    pub upstreams: Vec<Upstream>,
    pub lanes: Vec<Lane>,
    pub replies: Replies,
    /// Questions for Python to ask over TCP, and the numbers of those that were not answered in time.
    pub tcp_asks: Vec<TcpAsk>,
    pub tcp_overdue: Vec<u64>,
    pub remote_sockets: usize,
    /// Of the settings, for every sender.
    pub joins: bool,
    /// Since when the worker itself asks the upstreams, of which none is up, without a word from any.
    pub unheard_since: Option<u64>,
    pub asks_at: u64,
    /// Upstreams that are told who asks; and, where there are any, who asked first for the question of each slot.
    pub proxy_to: Vec<SocketAddr>,
    pub askers: Vec<Option<Ends>>,
    pub random: Random,
    due: Vec<Due>,
    slots: Vec<u32>,
}

impl Relaying {
    pub fn new(
        relay: Relay,
        random: Random,
        remote_sockets: usize,
        proxy_to: Vec<SocketAddr>,
        joins: bool,
    ) -> Relaying {
        Relaying {
            relay,
            links: Links::new(),
            upstreams: Vec::new(),
            lanes: Vec::new(),
            replies: Replies::new(),
            tcp_asks: Vec::new(),
            tcp_overdue: Vec::new(),
            remote_sockets,
            joins,
            unheard_since: None,
            asks_at: 0,
            proxy_to,
            askers: Vec::new(),
            random,
            due: Vec::new(),
            slots: Vec::new(),
        }
    }

    /// No upstream is up.
    #[inline]
    pub fn all_down(&self) -> bool {
        !self.upstreams.iter().any(Upstream::is_usable)
    }

    /// No upstream is up, and for as long as a client waits none has said a word: INFO-CODE of the reason.
    pub fn gone(&self, now: u64) -> Option<u16> {
        let since = self.unheard_since.filter(|_| self.all_down())?;
        if now < since + self.relay.limits().patience {
            return None;
        }
        let State::Down(fault) = self.upstreams.first()?.state else { return None };
        Some(fault.ede())
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
        match self.relay.admit(query, waiter, now.us) {
            Admission::Ask(slot) => {
                if answered {
                    self.relay.take_waiting(slot);
                }
                if !self.proxy_to.is_empty() {
                    self.note_asker(slot, &to, ends);
                }
                // Only who asks on a stream comes this far with a name whose answer is known to be too long.
                if asked.key.is_some_and(|key| chain.cache.is_truncated(key, query, now.ms())) {
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

    /// Notes who asked, for the headers to the upstreams that are told.
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

    /// Puts the question of a slot to `first`, else to the best upstream that has not been asked; and to one that is due
    /// for a probe.
    pub fn ask(&mut self, chain: &mut Chain, poll: &Poll, slot: u32, first: Option<usize>, now: Now) {
        let Relaying { upstreams, relay, .. } = self;
        let Some(best) = first.or_else(|| choose(upstreams, |uid| relay.was_asked(slot, uid))) else {
            chain.counters.count(Counter::NoUpstream);
            self.give_up(chain, slot, now);
            return;
        };
        chain.counters.count(Counter::Relayed);
        self.put_to(chain, poll, slot, best, now);
        if self.relay.slot(slot).over_tcp {
            return; // health is a matter of datagrams
        }
        for other in 0..self.upstreams.len() {
            if other != best && self.upstreams[other].take_probe(now.us) {
                chain.counters.count(Counter::Probes);
                self.put_to(chain, poll, slot, other, now);
            }
        }
        if !self.upstreams[best].is_usable() {
            self.upstreams[best].take_probe(now.us);
        }
    }

    /// A socket towards each upstream, so that questions leave also when later no descriptor is left for another one.
    pub fn open_one_each(&mut self, poll: &Poll, now: Now) {
        for upstream in &self.upstreams {
            // where it fails now, the first question says why
            let _ = self.links.pick(upstream.uid, poll, &mut self.random, now.us);
        }
    }

    /// Writes the question for one upstream; it leaves with the batch.
    #[inline]
    pub fn put_to(&mut self, chain: &mut Chain, poll: &Poll, slot: u32, number: usize, now: Now) {
        let held = self.relay.slot(slot);
        if held.is_asked_out() {
            return;
        }
        if held.over_tcp {
            return self.put_over_tcp(slot, number, now);
        }
        if self.lanes[number].sender.is_full() {
            self.send(chain, poll, number, now);
        }
        let Relaying { relay, links, upstreams, lanes, random, askers, .. } = self;
        let (lane, upstream) = (&mut lanes[number], &mut upstreams[number]);
        let picked = match lane.picked {
            Some(picked) => picked,
            None => match links.pick(upstream.uid, poll, random, now.us) {
                Ok(picked) => *lane.picked.insert(picked),
                Err(error) => {
                    if !sys::is_out_of_descriptors(&error) && upstream.failed(Fault::Unreachable, now.us) {
                        chain.counters.count(Counter::UpstreamDown);
                    }
                    return;
                }
            },
        };
        let id = relay.draw_id(picked.serial, random);
        let mut out = lane.sender.room();
        let mut before = 0;
        if upstream.sends_proxy_header {
            before = proxy::write(askers.get(slot as usize).and_then(Option::as_ref), true, out);
            out = &mut out[before..];
        }
        let held = relay.slot(slot);
        let end = usize::from(held.query.question_end);
        let plain = held.plain;
        let mut length = if held.question().is_empty() {
            let case = (!upstream.loopback).then(|| random.u64());
            let length = answer::upstream_query(&held.query, id, case, out);
            relay.slot_mut(slot).keep_question(&out[HEADER..end]);
            length
        } else {
            // The same letters again: an answer to any of the questions asked will do.
            let length = answer::upstream_query(&held.query, id, None, out);
            out[HEADER..end].copy_from_slice(held.question());
            length
        };
        if plain {
            length = answer::without_opt(out, length);
        }
        relay.asked(slot, upstream.uid, picked.serial, id, now.us);
        lane.sender.push(before + length, None, Local::Bound);
    }

    /// Sends what waits for one upstream.
    fn send(&mut self, chain: &mut Chain, poll: &Poll, number: usize, now: Now) {
        let lane = &mut self.lanes[number];
        // A socket that was closed since it was picked must not be written to: its descriptor may be another's by now.
        let Some(picked) = lane.picked.take().filter(|picked| self.links.holds(picked)) else {
            return lane.sender.clear();
        };
        if lane.sender.is_empty() {
            return;
        }
        let Sent { dropped, failed, refused, broken, .. } = lane.sender.send(picked.fd, true);
        if dropped | failed == 0 && !refused && !broken {
            return;
        }
        // What was not sent is asked again when its time is over, like what was lost on the way.
        chain.counters.add(Counter::SendDropped, u64::from(dropped));
        chain.counters.add(Counter::SendFailed, u64::from(failed));
        let uid = self.upstreams[number].uid;
        if broken {
            self.links.close(picked.index);
            self.links.reopened += 1;
            self.fault(chain, poll, uid, Fault::Unreachable, now);
        } else if refused {
            self.fault(chain, poll, uid, Fault::NotListening, now);
        }
    }

    /// Sends everything that waits, to upstreams and to clients.
    pub fn flush(&mut self, chain: &mut Chain, poll: &Poll, now: Now) {
        // A fault found while sending puts questions into other lanes; each upstream goes down once at most.
        for _ in 0..=self.lanes.len() {
            for number in 0..self.lanes.len() {
                self.send(chain, poll, number, now);
            }
            if self.lanes.iter().all(|lane| lane.sender.is_empty()) {
                break;
            }
        }
        self.lanes.iter_mut().for_each(Lane::clear);
        self.replies.flush(&mut chain.counters);
    }

    /// A fault of an upstream. Where it goes down by it, what waits for it is put to the next one at once.
    fn fault(&mut self, chain: &mut Chain, poll: &Poll, uid: u32, fault: Fault, now: Now) {
        let Some(upstream) = self.upstreams.iter_mut().find(|u| u.uid == uid) else { return };
        if !upstream.failed(fault, now.us) {
            return;
        }
        chain.counters.count(Counter::UpstreamDown);
        let mut slots = std::mem::take(&mut self.slots);
        self.relay.waiting_on(|ask| ask.upstream == uid, &mut slots);
        for slot in slots.drain(..) {
            self.relay.slot_mut(slot).fault_ede = fault.ede();
            if self.upstreams.iter().any(Upstream::is_usable) {
                self.ask_next(chain, poll, slot, now);
            }
        }
        self.slots = slots;
    }

    pub fn ask_next(&mut self, chain: &mut Chain, poll: &Poll, slot: u32, now: Now) {
        chain.counters.count(Counter::Retried);
        self.ask(chain, poll, slot, None, now);
        if self.relay.slot(slot).phase == Phase::Asking {
            self.relay.reschedule(slot, now.us + self.relay.limits().upstream_timeout);
        }
    }

    /// Receiving failed: an ICMP error to something sent before, or a broken socket.
    pub fn trouble(&mut self, chain: &mut Chain, poll: &Poll, picked: Picked, uid: u32, error: &io::Error, now: Now) {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {}
            io::ErrorKind::ConnectionRefused => self.fault(chain, poll, uid, Fault::NotListening, now),
            _ => {
                self.links.close(picked.index);
                self.links.reopened += 1;
                self.fault(chain, poll, uid, Fault::Unreachable, now);
            }
        }
    }

    /// A datagram from the upstream `uid`, or from somebody who would like to be it.
    #[inline]
    pub fn heard(&mut self, chain: &mut Chain, poll: &Poll, picked: Picked, uid: u32, datagram: &[u8], now: Now) {
        match self.relay.receive(picked.serial, datagram, now.us) {
            Reception::Answer { slot, upstream, rtt, checked } => {
                self.links.well(picked.index);
                self.unheard_since = None;
                let heard = Heard { upstream, rtt, over_tcp: false };
                if self.relay.slot(slot).own {
                    self.answered_us(chain, slot, heard, &checked, now);
                } else {
                    self.answered(chain, poll, slot, heard, datagram, &checked, now);
                }
            }
            Reception::Stray => {
                chain.counters.count(Counter::UpstreamStrays);
                self.unfit(uid, now);
                if self.links.stray(picked.index) {
                    // Somebody has found the port: what is in flight on it goes over TCP, the port is given up.
                    self.links.close(picked.index);
                    let mut slots = std::mem::take(&mut self.slots);
                    self.relay.waiting_on(|ask| ask.serial() == picked.serial, &mut slots);
                    for slot in slots.drain(..) {
                        self.relay.leave_datagrams(slot);
                        self.go_over_tcp(chain, poll, slot, None, now);
                    }
                    self.slots = slots;
                }
            }
            Reception::Mismatch { upstream, over_tcp } => {
                chain.counters.count(Counter::UpstreamMismatches);
                self.unfit(upstream, now);
                if let Some(slot) = over_tcp {
                    self.go_over_tcp(chain, poll, slot, None, now);
                    self.fault(chain, poll, upstream, Fault::Lying, now);
                }
            }
        }
    }

    fn unfit(&mut self, uid: u32, now: Now) {
        if let Some(upstream) = self.upstreams.iter_mut().find(|u| u.uid == uid) {
            upstream.unfit(now.us);
        }
    }

    /// The answer to a slot's question, whichever way it came.
    #[allow(clippy::too_many_arguments)] // what there is to know about an answer
    pub fn answered(
        &mut self,
        chain: &mut Chain,
        poll: &Poll,
        slot: u32,
        ask: Heard,
        message: &[u8],
        checked: &Checked,
        now: Now,
    ) {
        let counters = &mut chain.counters;
        counters.count(Counter::UpstreamAnswers);
        counters.rtt(ask.rtt);
        if checked.lacks_edns() && self.asked_plainly(chain, poll, slot, &ask, now) {
            return;
        }
        let counters = &mut chain.counters;
        if checked.truncated() {
            counters.count(Counter::UpstreamTruncated);
        }
        let unwilling = is_unwilling(checked);
        let failing = unwilling || checked.rcode == rcode::SERVFAIL;
        if unwilling {
            counters.count(Counter::UpstreamRefused);
        }
        self.note_word(slot, &ask, unwilling, failing, now);
        let held = self.relay.slot_mut(slot);
        if held.phase == Phase::Late {
            counters.count(Counter::UpstreamLate);
        }
        if failing {
            if !unwilling {
                counters.count(Counter::UpstreamServfail);
            }
            // Another upstream may know better. What this one said is kept for when none does.
            let first = held.fallback.is_none() && held.phase == Phase::Asking;
            if first {
                held.fallback = Some(message.into());
                held.fault_ede = Fault::Refusing.ede();
            }
            let relay = &self.relay;
            if first && self.upstreams.iter().any(|u| u.is_usable() && !relay.was_asked(slot, u.uid)) {
                self.ask_next(chain, poll, slot, now);
                return;
            }
            // Another upstream has been asked besides, and may yet answer.
            if self.relay.slot(slot).phase == Phase::Asking && self.is_awaited(slot) {
                return;
            }
        }
        if checked.truncated() && self.relay.has_streams(slot) {
            return self.truncated(chain, poll, slot, ask.upstream, message, checked, now);
        }
        self.settle(chain, slot, message, checked, now);
    }

    /// It does not speak EDNS: the same once more, without (RFC 6891, 7). False where that has been done already.
    #[cold]
    fn asked_plainly(&mut self, chain: &mut Chain, poll: &Poll, slot: u32, ask: &Heard, now: Now) -> bool {
        let number = self.upstreams.iter().position(|u| u.uid == ask.upstream);
        let timeout = self.relay.limits().upstream_timeout;
        let held = self.relay.slot_mut(slot);
        let (Some(number), Phase::Asking) = (number, held.phase) else { return false };
        if held.plain || held.is_asked_out() {
            return false;
        }
        held.plain = true;
        if ask.over_tcp {
            self.upstreams[number].spoke_over_tcp(now.us);
        } else {
            self.upstreams[number].answered(ask.rtt, timeout);
        }
        chain.counters.count(Counter::Retried);
        self.put_to(chain, poll, slot, number, now);
        self.relay.reschedule(slot, now.us + timeout);
        true
    }

    /// What an answer to a client's question says of the upstream.
    #[inline]
    fn note_word(&mut self, slot: u32, ask: &Heard, unwilling: bool, failing: bool, now: Now) {
        let Some(upstream) = self.upstreams.iter_mut().find(|u| u.uid == ask.upstream) else { return };
        if !unwilling || is_everyday(&self.relay.slot(slot).query) {
            upstream.said(failing.then(|| self.relay.domain(slot)), now.us);
        }
        let timeout = self.relay.limits().upstream_timeout;
        if ask.over_tcp {
            upstream.spoke_over_tcp(now.us);
        } else if unwilling {
            upstream.was_unwilling(ask.rtt, timeout);
        } else {
            upstream.answered(ask.rtt, timeout);
        }
    }

    /// An upstream that is up has been asked and may yet answer.
    pub fn is_awaited(&self, slot: u32) -> bool {
        let mut open = self.relay.slot(slot).asks().iter().filter(|ask| ask.open);
        open.any(|ask| self.upstreams.iter().any(|u| u.uid == ask.upstream && u.is_usable()))
    }

    /// Answers all who wait, keeps the answer, frees the slot.
    pub fn settle(&mut self, chain: &mut Chain, slot: u32, message: &[u8], checked: &Checked, now: Now) {
        self.give(chain, slot, message, checked, Relay::take_waiting, now);
        self.relay.settled(slot);
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
        let Relaying { relay, replies, .. } = self;
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
            chain.record_alias(|| waiter.source, waiter.is_stream(), asked, &out[..length]);
            replies.answer(&mut chain.counters, &waiter.to, length);
        }
        chain.counters.waited(now.us.saturating_sub(born), heard);
    }

    /// Nobody answered in time. The slot stays for a late answer.
    pub fn give_up(&mut self, chain: &mut Chain, slot: u32, now: Now) {
        chain.counters.count(Counter::GaveUp);
        self.tell(chain, slot, now);
        self.relay.give_up(slot);
    }

    /// Nobody has answered yet: who waits has waited long enough where there is a stale answer. The question goes on.
    fn give_stale(&mut self, chain: &mut Chain, slot: u32, now: Now) {
        let query = &self.relay.slot(slot).query;
        if chain.cache.key(query, 0).is_some_and(|key| chain.cache.has_stale(&key, query, now.ms())) {
            self.tell(chain, slot, now);
        }
    }

    /// Stale answers, else SERVFAIL, for all who wait, and for who asks within the next seconds.
    fn tell(&mut self, chain: &mut Chain, slot: u32, now: Now) {
        let Relaying { relay, replies, .. } = self;
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
            chain.record_alias(|| waiter.source, waiter.is_stream(), asked, &out[..length]);
            replies.answer(&mut chain.counters, &waiter.to, length);
        }
        chain.counters.waited(now.us.saturating_sub(born), heard);
        if let Some(key) = &key {
            chain.cache.fail(key, &query, ede, now.ms());
        }
    }

    /// What time has brought.
    pub fn tick(&mut self, chain: &mut Chain, poll: &Poll, now: Now) {
        let mut due = std::mem::take(&mut self.due);
        self.relay.due(now.us, &mut due);
        for event in due.drain(..) {
            match event {
                Due::Retry(slot) => self.overdue(chain, poll, slot, now),
                Due::Stale(slot) => self.give_stale(chain, slot, now),
                Due::GiveUp(slot) => {
                    self.note_silence(chain, slot, now);
                    if !self.fall_back(chain, slot, now) {
                        self.give_up(chain, slot, now);
                    }
                }
            }
        }
        self.due = due;
        self.ask_ourselves(chain, poll, now);
        self.flush(chain, poll, now);
        self.links.tick(now.us);
    }

    /// The upstream asked last has not answered in its time.
    fn overdue(&mut self, chain: &mut Chain, poll: &Poll, slot: u32, now: Now) {
        self.note_silence(chain, slot, now);
        if !self.fall_back(chain, slot, now) {
            self.ask_next(chain, poll, slot, now);
        }
    }

    /// Counts the silence of the upstream that the slot was last put to.
    fn note_silence(&mut self, chain: &mut Chain, slot: u32, now: Now) {
        let timeout = self.relay.limits().upstream_timeout;
        let held = self.relay.slot(slot);
        let Some(last) = held.asks().last().filter(|ask| ask.at + timeout <= now.us && held.phase == Phase::Asking)
        else {
            return;
        };
        chain.counters.count(Counter::UpstreamTimeouts);
        let Ask { upstream: uid, at, .. } = *last;
        if let Some(number) = last.tcp_number() {
            self.tcp_overdue.push(number);
            return;
        }
        let again = held.asks().iter().filter(|ask| ask.upstream == uid).count() > 1;
        let domain = self.relay.domain(slot);
        if let Some(upstream) = self.upstreams.iter_mut().find(|u| u.uid == uid)
            && upstream.unanswered(again, domain, at, now.us)
        {
            chain.counters.count(Counter::UpstreamDown);
        }
    }

    /// Settles with what an unwilling upstream said, if one said something.
    pub fn fall_back(&mut self, chain: &mut Chain, slot: u32, now: Now) -> bool {
        let held = self.relay.slot_mut(slot);
        let Some(message) = held.fallback.take() else { return false };
        let id = u16::from_be_bytes([message[0], message[1]]);
        let Ok(checked) = check_answer(&message, &Expected { id, question: held.question() }) else { return false };
        self.settle(chain, slot, &message, &checked, now);
        true
    }
}

/// An answer's upstream, its time, and the way it came.
#[derive(Clone, Copy)]
pub(super) struct Heard {
    pub upstream: u32,
    pub rtt: u64,
    pub over_tcp: bool,
}

/// It says that it does not answer such questions, or not ours.
pub(super) fn is_unwilling(checked: &Checked) -> bool {
    matches!(checked.rcode, rcode::REFUSED | rcode::NOTIMP | rcode::FORMERR)
}

/// What devices ask: with recursion, and for a type of data. What else is refused tells nothing of an upstream.
fn is_everyday(query: &Query) -> bool {
    query.rd() && !(128..=255).contains(&query.qtype)
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
