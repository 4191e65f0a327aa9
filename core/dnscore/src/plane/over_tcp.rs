//! The relay over TCP: questions that are sent to an upstream by TCP, or by TLS where that is all it is asked over.
//!
//! Enters: slots whose answer is too long for a datagram, or for which no datagram can be trusted, or whose upstream is
//! asked over TLS. Leaves: [`TcpAsk`]s for
//! Python, which owns the connections and decides nothing. It says what came of each ([`Plane::tcp_answered`],
//! [`Plane::tcp_failed`]); that a question was not answered in time it learns from here ([`Plane::take_tcp_overdue`]).

use crate::answer;
use crate::counters::Counter;
use crate::relay::Relay;
use crate::relay::forwarder::{Forwarder, Heard};
use crate::relay::health::Fault;
use crate::relay::slot::HEAD;
use crate::sys::Poll;
use crate::wire::{Checked, HEADER, check_answer, proxy};

use super::Plane;
use super::asks::TcpAsk;
use super::relaying::Relaying;
use super::stages::{Chain, Now};

/// Questions that wait for Python, at most: more would be an attack on its time. What finds no place is asked again when
/// its time is over.
const MAX_WAITING: usize = 1024;
/// Octets for a query: header, question, OPT.
const ROOM: usize = HEAD + 11;
/// "Clients SHOULD pad queries to the closest multiple of 128 octets" (RFC 8467, 4.1), where nobody on the way reads them.
const BLOCK: usize = 128;

impl Relaying {
    /// From now on the slot is asked over TCP; `first`: the upstream that is known to have the answer.
    pub(super) fn go_over_tcp(&mut self, chain: &mut Chain, poll: &Poll, slot: u32, first: Option<usize>, now: Now) {
        self.forwarder.relay.slot_mut(slot).over_tcp = true;
        self.ask(chain, poll, slot, first, now);
        chain.counters.count(Counter::OverTcp);
        self.await_again(slot, now);
    }

    /// A truncated answer, where clients wait on streams too: those for datagrams have theirs, the others want it whole.
    #[cold]
    pub(super) fn truncated(
        &mut self,
        chain: &mut Chain,
        poll: &Poll,
        slot: u32,
        first: Option<usize>,
        (message, checked): (&[u8], &Checked),
        now: Now,
    ) {
        self.give(chain, slot, message, checked, Relay::take_datagram_waiting, now);
        if !self.forwarder.relay.slot(slot).over_tcp {
            self.go_over_tcp(chain, poll, slot, first, now);
        }
    }

    /// Hands the question over, to be asked over TCP.
    #[cold]
    pub(super) fn put_over_tcp(&mut self, slot: u32, number: usize, now: Now) {
        if self.tcp_asks.len() >= MAX_WAITING {
            return;
        }
        let Relaying { forwarder: Forwarder { relay, upstreams, .. }, askers, random, .. } = self;
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
        if upstream.tls && !held.plain {
            answer::pad_query(&mut message, BLOCK);
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
        let forwarder = &mut relaying.forwarder;
        forwarder.unheard_since = None;
        let closed = forwarder.relay.close_tcp(ask.slot, ask.generation, ask.number);
        let Some(closed) = closed else { return true };
        let heard = Heard { upstream: closed.upstream, rtt: clock.us.saturating_sub(closed.at), over_tcp: true };
        relaying.answered(chain, poll, ask.slot, heard, (message, &checked), *clock);
        relaying.flush(chain, poll, *clock);
        self.carry_on();
        true
    }

    /// No connection brought an answer to it. `fault`: why none could be opened; none: one was, and ended.
    pub fn tcp_failed(&mut self, ask: &TcpAsk, fault: Option<Fault>) {
        self.read_clock();
        let Plane { chain, relaying, poll, clock, .. } = self;
        let forwarder = &mut relaying.forwarder;
        let closed = forwarder.relay.close_tcp(ask.slot, ask.generation, ask.number);
        let Some(closed) = closed else { return };
        match fault {
            // Of one that is asked by datagrams too its TCP proves nothing.
            Some(fault) if forwarder.upstream(closed.upstream).is_some_and(|upstream| upstream.tls) => {
                relaying.fault(chain, poll, closed.upstream, fault, *clock);
            }
            Some(_) => {}
            None => forwarder.hung_up(&mut chain.counters, ask.slot, closed.upstream, closed.at, clock.us),
        }
        let forwarder = &mut relaying.forwarder;
        let action = forwarder.tcp_failed(ask.slot, closed.upstream, clock.us);
        relaying.carry_out(chain, poll, ask.slot, action, *clock);
        relaying.flush(chain, poll, *clock);
        self.carry_on();
    }
}
