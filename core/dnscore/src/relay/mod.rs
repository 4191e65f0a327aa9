//! The relay: what is asked of the upstreams, who waits for it, and which datagram counts as the answer.
//!
//! Enters: questions that neither list nor cache answers, whether they came as datagrams or on streams; answers from
//! upstreams, the time. Leaves: decisions. Nothing here touches a socket; the plane carries out what is decided. The rules:
//!
//! * An answer counts only if it comes on the socket that the question left by, with its id, QR, opcode and question,
//!   letter case included (RFC 5452, 9). A mismatch never frees the slot; after eight the question is asked over TCP.
//! * One question in flight per cache key (a birthday attack needs several, VU#457875), at most 64 clients waiting for
//!   it, on streams or for datagrams; a client's retransmit takes its own place.
//! * A *slot* is one question in flight. A question leaves by datagram. It is asked over TCP once an answer came truncated
//!   and a client on a stream waits for the whole, or once no datagram can be trusted. Over TCP it keeps its slot, and
//!   caps, time and the choice of the next upstream are the same.
//! * After 1.8 seconds all clients that wait get a stale answer, where there is one; the question goes on.
//! * A slot lives five seconds, longer than its clients wait: a late answer still fills the cache, and tells of its
//!   upstream's health.
//! * Caps on what is in flight for the worker, for a client, and under one parent zone (random-subdomain attacks).
//! * An upstream that left a client's question unanswered is asked once a second, by the worker itself, for the root's
//!   name servers, which any resolver has at hand; while none is up each of them is. An answer, of whatever kind, to that
//!   or to a client's question, is a *word*. Once no upstream is up and none has said a word for as long as a client
//!   waits, they are *gone*: what has no stale answer gets SERVFAIL at once, until the next word. So an outage shorter
//!   than that costs nobody an answer, and what is gone gets no more load than a probe.
//! * An upstream is up again once it answers a client's question. Its answer about the root is not enough: it may have
//!   that in its cache and reach no other server. Where no client asked for as long as
//!   `health::RAREST` there is nothing better, and the root's answer is enough.

#![deny(clippy::cast_possible_truncation)]

pub mod caps;
mod ending;
pub mod forwarder;
pub mod hash;
pub mod health;
pub mod index;
mod matching;
pub mod random;
pub mod rate;
pub mod slot;
#[cfg(test)]
mod tests;
mod waiting;

use crate::narrow::to_u32;
use crate::wire::Query;

pub use ending::Due;
pub use matching::Reception;

use caps::Caps;
use hash::Key;
use index::Index;
use slot::{NONE, Phase, Slot, Waiter};

/// Clients that wait for one question.
pub const MAX_WAITERS: u8 = 64;
/// Datagrams that may fail to match before the question is asked over TCP.
pub const MAX_MISMATCHES: u8 = 8;
/// A slot's life, in microseconds.
pub const LIFE: u64 = 5_000_000;
/// After how long clients are given a stale answer, where there is one, while the question goes on, in microseconds. RFC
/// 8767, 5: "The suggested value for the client response timer is 1.8 seconds".
pub const CLIENT_RESPONSE: u64 = 1_800_000;

/// Times and caps.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a client waits over all upstreams, in microseconds.
    pub patience: u64,
    /// After how long the next upstream is asked, in microseconds.
    pub upstream_timeout: u64,
    /// Slots of this worker.
    pub in_flight: usize,
    /// Questions that one client waits for.
    pub per_client: usize,
    /// Slots under one parent zone.
    pub per_zone: usize,
}

/// Which cap was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    /// The worker's.
    Worker,
    /// The client's.
    Client,
    /// The parent zone's.
    Zone,
    /// 64 clients wait for this question already.
    Waiters,
}

/// What is to be done about a new question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Ask an upstream.
    Ask(u32),
    /// It is being asked; the client waits.
    Joined,
    /// The client waits already; this is its retransmit.
    Repeated,
    /// SERVFAIL.
    Over(Cap),
}

/// The state of everything in flight.
pub struct Relay {
    limits: Limits,
    key: Key,
    slots: Vec<Slot>,
    /// When each slot is next to be looked at; `u64::MAX` for a free one. Apart from the slots, so that looking for
    /// what is due reads one dense array.
    due: Vec<u64>,
    free_slots: Vec<u32>,
    waiters: Vec<Waiter>,
    free_waiters: Vec<u32>,
    by_key: Index,
    by_id: Index,
    clients: Caps,
    zones: Caps,
    used: usize,
    /// Questions asked over TCP so far.
    tcp_asks: u64,
}

impl Relay {
    /// Nothing in flight.
    pub fn new(limits: Limits, key: Key) -> Relay {
        Relay {
            limits,
            key,
            slots: Vec::new(),
            due: Vec::new(),
            free_slots: Vec::new(),
            waiters: Vec::new(),
            free_waiters: Vec::new(),
            by_key: Index::new(),
            by_id: Index::new(),
            clients: Caps::new(limits.per_client),
            zones: Caps::new(limits.per_zone),
            used: 0,
            tcp_asks: 0,
        }
    }

    /// Slots in use.
    pub fn in_flight(&self) -> usize {
        self.used
    }

    /// The times and caps.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The slot of that number.
    pub fn slot(&self, slot: u32) -> &Slot {
        &self.slots[slot as usize]
    }

    /// The slot of that number, to be changed; after a change of its times call [`Relay::reschedule`].
    pub fn slot_mut(&mut self, slot: u32) -> &mut Slot {
        &mut self.slots[slot as usize]
    }

    /// The slot, if it is still the one that `generation` was said of.
    pub fn living(&self, slot: u32, generation: u32) -> Option<&Slot> {
        let due = *self.due.get(slot as usize)?;
        let slot = &self.slots[slot as usize];
        (due != u64::MAX && slot.generation == generation).then_some(slot)
    }

    /// The hash of a cache key: name, type, DO and CD.
    #[inline]
    pub fn hash(&self, query: &Query) -> u64 {
        let word = u64::from(query.qtype) | u64::from(query.dnssec_ok()) << 16 | u64::from(query.cd()) << 17;
        self.key.hash(query.qname.wire(), word)
    }

    /// The parent zone, as far as the cap goes: the name without its first label. Parents of one label (`com`) are not
    /// counted: half of the world lives there.
    #[inline]
    fn zone(&self, query: &Query) -> u64 {
        if query.qname.labels() < 3 {
            return 0;
        }
        let wire = query.qname.wire();
        self.key.hash(&wire[1 + usize::from(wire[0])..], 1 << 32) | 1
    }

    /// A hash of the last two labels that a slot asks for: one that is broken is below one of them.
    pub fn domain(&self, slot: u32) -> u64 {
        let qname = &self.slot(slot).query.qname;
        self.key.hash(qname.without(qname.labels().saturating_sub(2)), 1 << 33)
    }

    /// A question that has to be asked, with the client that waits for it.
    pub fn admit(&mut self, query: &Query, waiter: Waiter, now: u64) -> Admission {
        let shared = query.rd();
        let hash = self.hash(query);
        if shared {
            let slots = &self.slots;
            if let Some(found) = self.by_key.get(hash, |s| same_key(&slots[s as usize].query, query)) {
                return self.join(found, waiter);
            }
        }
        if self.used >= self.limits.in_flight {
            return Admission::Over(Cap::Worker);
        }
        if self.clients.is_reached(waiter.client) {
            return Admission::Over(Cap::Client);
        }
        let zone = self.zone(query);
        if zone != 0 && self.zones.is_reached(zone) {
            return Admission::Over(Cap::Zone);
        }
        let number = self.open(query, now);
        self.clients.add(waiter.client);
        let streams = u8::from(waiter.is_stream());
        let first = self.take_waiter(waiter);
        if zone != 0 {
            self.zones.add(zone);
        }
        if shared {
            self.by_key.insert(hash, number);
        }
        let slot = &mut self.slots[number as usize];
        slot.hash = hash;
        slot.zone = zone;
        slot.shared = shared;
        slot.first = first;
        slot.waiting = 1;
        slot.streams = streams;
        Admission::Ask(number)
    }

    /// A question of the worker's own: nobody waits for it or joins it, and it is put to nobody else.
    pub fn own(&mut self, query: &Query, now: u64) -> u32 {
        let number = self.open(query, now);
        self.slots[number as usize].own = true;
        self.give_up(number);
        number
    }

    /// A slot for that question, which nobody waits for yet.
    fn open(&mut self, query: &Query, now: u64) -> u32 {
        let number = self.take_slot(query);
        let limits = self.limits;
        let slot = &mut self.slots[number as usize];
        slot.phase = Phase::Asking;
        slot.hash = 0;
        slot.zone = 0;
        slot.shared = false;
        slot.settled = false;
        slot.own = false;
        slot.over_tcp = false;
        slot.plain = false;
        slot.born = now;
        slot.stale_at = now + CLIENT_RESPONSE;
        slot.patience = now + limits.patience;
        slot.retry_at = now + limits.upstream_timeout;
        slot.dies = now + LIFE.max(limits.patience);
        slot.mismatches = 0;
        slot.fault_ede = health::Fault::Silent.ede();
        slot.fallback = None;
        slot.first = NONE;
        slot.waiting = 0;
        slot.streams = 0;
        self.due[number as usize] = slot.due();
        number
    }

    fn take_slot(&mut self, query: &Query) -> u32 {
        self.used += 1;
        if let Some(number) = self.free_slots.pop() {
            let slot = &mut self.slots[number as usize];
            slot.query = *query;
            slot.generation = slot.generation.wrapping_add(1);
            slot.forget_asks();
            return number;
        }
        self.slots.push(Slot::new(*query));
        self.due.push(u64::MAX);
        to_u32(self.slots.len() - 1)
    }
}

#[inline]
fn same_key(a: &Query, b: &Query) -> bool {
    a.qtype == b.qtype && a.dnssec_ok() == b.dnssec_ok() && a.cd() == b.cd() && a.qname == b.qname
}
