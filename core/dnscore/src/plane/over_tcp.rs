//! The relay's other way out: questions that are asked over TCP.
//!
//! Enters: slots whose answer is too long for a datagram, or for which no datagram can be trusted. Leaves: [`TcpAsk`]s for
//! Python, which owns the connections and decides nothing. It says what came of each ([`Plane::tcp_answered`],
//! [`Plane::tcp_failed`]); that a question was not answered in time it learns from here ([`Plane::take_tcp_overdue`]).

use std::net::SocketAddr;

use crate::answer;
use crate::counters::Counter;
use crate::relay::Relay;
use crate::relay::health::{Fault, Upstream};
use crate::relay::slot::{HEAD, Phase};
use crate::sys::Poll;
use crate::wire::{Checked, Expected, HEADER, check_answer, proxy};

use super::Plane;
use super::relaying::{Heard, Relaying};
use super::stages::{Chain, Now};

/// Questions that wait for Python, at most: more would be an attack on its time. What finds no place is asked again when
/// its time is over.
const MAX_WAITING: usize = 1024;
/// Octets for a query: header, question, OPT.
const ROOM: usize = HEAD + 11;

/// A question for one upstream over TCP.
#[derive(Debug)]
pub struct TcpAsk {
    /// Tells it from all others.
    pub number: u64,
    /// The question that it asks; the same each time that one is asked.
    pub question: u64,
    /// Whom.
    pub upstream: SocketAddr,
    /// The message.
    pub message: Vec<u8>,
    /// The PROXY header at the beginning of its connection; empty: none.
    pub header: Vec<u8>,
    question_end: usize,
    slot: u32,
    generation: u32,
}

impl TcpAsk {
    fn expected(&self) -> Expected<'_> {
        let id = u16::from_be_bytes([self.message[0], self.message[1]]);
        Expected { id, question: &self.message[HEADER..self.question_end] }
    }
}

impl Relaying {
    /// From now on the slot is asked over TCP; `first`: the upstream that is known to have the answer.
    pub(super) fn go_over_tcp(&mut self, chain: &mut Chain, poll: &Poll, slot: u32, first: Option<usize>, now: Now) {
        self.relay.slot_mut(slot).over_tcp = true;
        self.ask(chain, poll, slot, first, now);
        chain.counters.count(Counter::OverTcp);
        if self.relay.slot(slot).phase == Phase::Asking {
            self.relay.reschedule(slot, now.us + self.relay.limits().upstream_timeout);
        }
    }

    /// A truncated answer, where clients wait on streams too: those for datagrams have theirs, the others want it whole.
    #[allow(clippy::too_many_arguments)] // what there is to know about an answer
    #[cold]
    pub(super) fn truncated(
        &mut self,
        chain: &mut Chain,
        poll: &Poll,
        slot: u32,
        uid: u32,
        message: &[u8],
        checked: &Checked,
        now: Now,
    ) {
        self.give(chain, slot, message, checked, Relay::take_datagram_waiting, now);
        if !self.relay.slot(slot).over_tcp {
            let first = self.upstreams.iter().position(|u| u.uid == uid && u.is_usable());
            self.go_over_tcp(chain, poll, slot, first, now);
        }
    }

    /// Hands the question over, to be asked over TCP.
    #[cold]
    pub(super) fn put_over_tcp(&mut self, slot: u32, number: usize, now: Now) {
        if self.tcp_asks.len() >= MAX_WAITING {
            return;
        }
        let Relaying { relay, upstreams, askers, random, .. } = self;
        let upstream = &upstreams[number];
        let number = relay.asked_over_tcp(slot, upstream.uid, now.us);
        let mut message = vec![0; ROOM];
        let held = relay.slot_mut(slot);
        let length = answer::upstream_query(&held.query, random.u16(), None, &mut message);
        message.truncate(length);
        let end = usize::from(held.query.question_end);
        // The same letters each time: an answer to any of the questions asked will do.
        if held.question().is_empty() {
            held.keep_question(&message[HEADER..end]);
        }
        message[HEADER..end].copy_from_slice(held.question());
        if held.plain {
            let length = answer::without_opt(&mut message, length);
            message.truncate(length);
        }
        let mut header = Vec::new();
        if upstream.sends_proxy_header {
            header.resize(proxy::LONGEST, 0);
            let length = proxy::write(askers.get(slot as usize).and_then(Option::as_ref), false, &mut header);
            header.truncate(length);
        }
        let generation = held.generation;
        let question = u64::from(generation) << 32 | u64::from(slot);
        let upstream = upstream.address;
        self.tcp_asks.push(TcpAsk { number, question, upstream, message, header, question_end: end, slot, generation });
    }
}

impl Plane {
    /// The questions to be asked over TCP.
    pub fn take_tcp_asks(&mut self) -> Vec<TcpAsk> {
        std::mem::take(&mut self.relaying.tcp_asks)
    }

    /// The numbers of those that were not answered in time. They may still be.
    pub fn take_tcp_overdue(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.relaying.tcp_overdue)
    }

    /// What came for it. False: that is no answer to it.
    pub fn tcp_answered(&mut self, ask: &TcpAsk, message: &[u8]) -> bool {
        self.read_clock();
        let Plane { chain, relaying, poll, clock, .. } = self;
        let checked = check_answer(message, &ask.expected()).ok().filter(|checked| !checked.truncated());
        let Some(checked) = checked else {
            chain.counters.count(Counter::UpstreamMismatches);
            return false;
        };
        relaying.unheard_since = None;
        let Some(closed) = relaying.relay.close_tcp(ask.slot, ask.generation, ask.number) else { return true };
        let rtt = clock.us.saturating_sub(closed.at);
        let heard = Heard { upstream: closed.upstream, rtt, over_tcp: true };
        if relaying.relay.slot(ask.slot).own {
            relaying.answered_us(chain, ask.slot, heard, &checked, *clock);
        } else {
            relaying.answered(chain, poll, ask.slot, heard, message, &checked, *clock);
        }
        relaying.flush(chain, poll, *clock);
        self.carry_on();
        true
    }

    /// No connection brought an answer to it. What clients ask is put to the next upstream that is up; where there is
    /// none, it is asked again when its time is over: an upstream that is being restarted costs nobody an answer. Where
    /// all that are up are known to answer no TCP, nobody waits for it.
    pub fn tcp_failed(&mut self, ask: &TcpAsk) {
        self.read_clock();
        let Plane { chain, relaying, poll, clock, .. } = self;
        let Some(closed) = relaying.relay.close_tcp(ask.slot, ask.generation, ask.number) else { return };
        let held = relaying.relay.slot_mut(ask.slot);
        held.fault_ede = Fault::NotListening.ede();
        if held.own {
            relaying.relay.release(ask.slot);
            if let Some(upstream) = relaying.upstreams.iter_mut().find(|u| u.uid == closed.upstream) {
                upstream.failed_over_tcp(clock.us);
            }
            return;
        }
        if held.phase != Phase::Asking {
            return;
        }
        let (relay, upstreams) = (&relaying.relay, &relaying.upstreams);
        if upstreams.iter().any(|u: &Upstream| u.is_usable() && !relay.was_asked(ask.slot, u.uid)) {
            relaying.ask_next(chain, poll, ask.slot, *clock);
        } else if upstreams.iter().all(|u| u.is_tcp_closed() || !u.is_usable())
            && !relaying.is_awaited(ask.slot)
            && !relaying.fall_back(chain, ask.slot, *clock)
        {
            relaying.give_up(chain, ask.slot, *clock);
        }
        relaying.flush(chain, poll, *clock);
        self.carry_on();
    }
}
