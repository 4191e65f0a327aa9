//! What the worker itself asks the upstreams: the only thing that proves something of their health which no client chose.
//!
//! Enters: the time. Leaves: questions for the root's name servers, by datagram to those
//! that clients' questions make doubtful, over TCP to all now and then.

use crate::counters::Counter;
use crate::relay::health::SECOND;
use crate::sys::Poll;
use crate::wire::{HEADER, Query, flag, rtype};

use super::relaying::Relaying;
use super::stages::{Chain, Now};

/// For the root's name servers, which any resolver has at hand.
const OWN_QUESTION: Query =
    Query { flags: flag::RD, qtype: rtype::NS, question_end: HEADER as u16 + 5, ..Query::BLANK };

impl Relaying {
    /// Asks once a second each upstream that clients' questions make doubtful, and while none is up each of all.
    pub fn ask_ourselves(&mut self, chain: &mut Chain, poll: &Poll, now: Now) {
        let all_down = self.forwarder.all_down();
        if !all_down {
            self.forwarder.unheard_since = None;
        }
        let timeout = self.forwarder.relay.limits().upstream_timeout;
        self.forwarder.upstreams.iter_mut().for_each(|upstream| {
            upstream.look(timeout, now.us);
            upstream.look_over_tcp(timeout, now.us);
            upstream.judge(now.us);
        });
        self.ask_over_tcp(chain, poll, now);
        if now.us < self.asks_at {
            return;
        }
        if all_down {
            self.forwarder.unheard_since.get_or_insert(now.us);
        }
        for number in 0..self.forwarder.upstreams.len() {
            let upstream = &mut self.forwarder.upstreams[number];
            if !all_down && !upstream.is_doubted() {
                continue;
            }
            upstream.asked_by_us(now.us);
            self.asks_at = now.us + SECOND;
            chain.counters.count(Counter::Probes);
            let slot = self.own_slot(now);
            self.put_to(chain, poll, slot, number, now);
        }
    }

    /// Looks over TCP where it is time.
    fn ask_over_tcp(&mut self, chain: &mut Chain, poll: &Poll, now: Now) {
        for number in 0..self.forwarder.upstreams.len() {
            if !self.forwarder.upstreams[number].wants_tcp(now.us) {
                continue;
            }
            self.forwarder.upstreams[number].asked_by_us_over_tcp(now.us);
            let slot = self.own_slot(now);
            self.forwarder.relay.slot_mut(slot).over_tcp = true;
            self.put_to(chain, poll, slot, number, now);
        }
    }

    fn own_slot(&mut self, now: Now) -> u32 {
        let slot = self.forwarder.relay.own(&OWN_QUESTION, now.us);
        // The client that had this slot before does not ask this.
        if let Some(asker) = self.askers.get_mut(slot as usize) {
            *asker = None;
        }
        slot
    }
}
