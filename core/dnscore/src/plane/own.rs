//! What the worker itself asks the upstreams: the only thing that proves something of their health which no client chose.
//!
//! Enters: the time, and what came of its questions. Leaves: questions for the root's name servers, by datagram to those
//! that clients' questions make doubtful, over TCP to all now and then; and what [`crate::relay::health`] makes of it.

use crate::counters::Counter;
use crate::relay::health::SECOND;
use crate::sys::Poll;
use crate::wire::{Checked, HEADER, Query, flag, rtype};

use super::relaying::{Heard, Relaying, is_unwilling};
use super::stages::{Chain, Now};

/// For the root's name servers, which any resolver has at hand.
const OWN_QUESTION: Query =
    Query { flags: flag::RD, qtype: rtype::NS, question_end: HEADER as u16 + 5, ..Query::BLANK };

impl Relaying {
    /// Asks once a second each upstream that clients' questions make doubtful, and while none is up each of all.
    pub fn ask_ourselves(&mut self, chain: &mut Chain, poll: &Poll, now: Now) {
        let all_down = self.all_down();
        if !all_down {
            self.unheard_since = None;
        }
        let timeout = self.relay.limits().upstream_timeout;
        self.upstreams.iter_mut().for_each(|upstream| {
            upstream.look(timeout, now.us);
            upstream.look_over_tcp(timeout, now.us);
            upstream.judge(now.us);
        });
        self.ask_over_tcp(chain, poll, now);
        if now.us < self.asks_at {
            return;
        }
        if all_down {
            self.unheard_since.get_or_insert(now.us);
        }
        for number in 0..self.upstreams.len() {
            let upstream = &mut self.upstreams[number];
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
        for number in 0..self.upstreams.len() {
            if !self.upstreams[number].wants_tcp(now.us) {
                continue;
            }
            self.upstreams[number].asked_by_us_over_tcp(now.us);
            let slot = self.own_slot(now);
            self.relay.slot_mut(slot).over_tcp = true;
            self.put_to(chain, poll, slot, number, now);
        }
    }

    fn own_slot(&mut self, now: Now) -> u32 {
        let slot = self.relay.own(&OWN_QUESTION, now.us);
        // Whoever had this slot before does not ask this.
        if let Some(asker) = self.askers.get_mut(slot as usize) {
            *asker = None;
        }
        slot
    }

    /// The answer to a question of the worker's own.
    pub fn answered_us(&mut self, chain: &mut Chain, slot: u32, heard: Heard, checked: &Checked, now: Now) {
        chain.counters.count(Counter::UpstreamAnswers);
        chain.counters.rtt(heard.rtt);
        self.relay.release(slot);
        let timeout = self.relay.limits().upstream_timeout;
        let Some(upstream) = self.upstreams.iter_mut().find(|u| u.uid == heard.upstream) else { return };
        if heard.over_tcp {
            upstream.spoke_over_tcp(now.us);
        } else if is_unwilling(checked) && !checked.lacks_edns() {
            if upstream.refused_us(now.us) {
                chain.counters.count(Counter::UpstreamDown);
            }
        } else if upstream.lacks_probes(now.us) {
            upstream.answered(heard.rtt, timeout);
        } else {
            upstream.vouched(heard.rtt, timeout);
        }
    }
}
