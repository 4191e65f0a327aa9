//! The sockets towards upstreams: questions leave by them in batches, answers and faults come in.

use std::io;

use crate::answer;
use crate::counters::Counter;
use crate::relay::Reception;
use crate::relay::forwarder::{Forwarder, Heard};
use crate::relay::health::Fault;
use crate::sys::{self, Local, Picked, Poll, Sent};
use crate::wire::HEADER;
use crate::wire::proxy;

use super::asks::Lane;
use super::relaying::Relaying;
use super::stages::{Chain, Now};

impl Relaying {
    /// A socket towards each upstream, so that questions leave also when later no descriptor is left for another one.
    pub fn open_one_each(&mut self, poll: &Poll, now: Now) {
        for upstream in self.forwarder.upstreams.iter().filter(|upstream| !upstream.tls) {
            // where it fails now, the first question says why
            let _ = self.links.pick(upstream.uid, poll, &mut self.random, now.us);
        }
    }

    /// Writes the question for one upstream; it leaves with the batch.
    #[inline]
    pub fn put_to(&mut self, chain: &mut Chain, poll: &Poll, slot: u32, number: usize, now: Now) {
        let held = self.forwarder.relay.slot(slot);
        if held.is_asked_out() {
            return;
        }
        if held.over_tcp || self.forwarder.upstreams[number].tls {
            return self.put_over_tcp(slot, number, now);
        }
        if self.lanes[number].sender.is_full() {
            self.send(chain, poll, number, now);
        }
        let Relaying { forwarder: Forwarder { relay, upstreams, .. }, links, lanes, random, askers, .. } = self;
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
        let uid = self.forwarder.upstreams[number].uid;
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
    pub fn fault(&mut self, chain: &mut Chain, poll: &Poll, uid: u32, fault: Fault, now: Now) {
        let mut slots = std::mem::take(&mut self.slots);
        slots.clear();
        if self.forwarder.failed(&mut chain.counters, uid, fault, now.us, &mut slots) {
            for slot in slots.drain(..) {
                if !self.forwarder.all_down() {
                    self.ask_next(chain, poll, slot, now);
                }
            }
        }
        self.slots = slots;
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
        match self.forwarder.relay.receive(picked.serial, datagram, now.us) {
            Reception::Answer { slot, upstream, rtt, checked } => {
                self.links.well(picked.index);
                let heard = Heard { upstream, rtt, over_tcp: false };
                self.answered(chain, poll, slot, heard, (datagram, &checked), now);
            }
            Reception::Stray => {
                chain.counters.count(Counter::UpstreamStrays);
                self.unfit(uid, now);
                if self.links.stray(picked.index) {
                    // Somebody has found the port: what is in flight on it goes over TCP, the port is given up.
                    self.links.close(picked.index);
                    let mut slots = std::mem::take(&mut self.slots);
                    self.forwarder.relay.waiting_on(|ask| ask.serial() == picked.serial, &mut slots);
                    for slot in slots.drain(..) {
                        self.forwarder.relay.leave_datagrams(slot);
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
        if let Some(upstream) = self.forwarder.upstream(uid) {
            upstream.unfit(now.us);
        }
    }
}
