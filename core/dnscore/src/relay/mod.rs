//! The relay: what is asked of the upstreams, who waits for it, and which datagram counts as the answer.
//!
//! Enters: questions that neither list nor cache answers, whether they came as datagrams or on streams; answers from
//! upstreams, the time. Leaves: decisions. Nothing here touches a socket; the plane carries out what is decided. The rules:
//!
//! * An answer counts only if it comes on the socket that the question left by, with its id, QR, opcode and question,
//!   letter case included (RFC 5452, 9). A mismatch never frees the slot; after eight the question is asked over TCP.
//! * One question in flight per cache key (a birthday attack needs several, VU#457875), at most 64 clients waiting for
//!   it, on streams or for datagrams; a client's retransmit takes its own place.
//! * A question leaves by datagram. It is asked over TCP once an answer came truncated and a client on a stream waits for
//!   the whole, or once no datagram can be trusted. All else holds for it as before: slot, caps, time, next upstream.
//! * After 1.8 seconds whoever waits gets a stale answer, where there is one; the question goes on.
//! * A slot lives five seconds, longer than its clients wait: a late answer still fills the cache, and tells of its
//!   upstream's health.
//! * Caps on what is in flight for the worker, for a client, and under one parent zone (random-subdomain attacks).
//! * An upstream that left a client's question unanswered is asked once a second, by the worker itself, for the root's
//!   name servers, which any resolver has at hand; while none is up each of them is. An answer, of whatever kind, to that
//!   or to a client's question, is a *word*. Once no upstream is up and none has said a word for as long as a client
//!   waits, they are *gone*: what has no stale answer gets SERVFAIL at once, until the next word. So an outage shorter
//!   than that costs nobody an answer, and what is gone gets no more load than a probe.
//! * What an upstream says of the root does not bring it up: it may know that and no way out. A live query does; where
//!   none came for as long as probes are apart at most, there is nothing better, and the root's answer does.

pub mod caps;
pub mod hash;
pub mod health;
pub mod index;
pub mod random;
pub mod rate;
pub mod slot;
#[cfg(test)]
mod tests;

use crate::wire::{Checked, Expected, Mismatch, Query, check_answer};

use caps::Caps;
use hash::Key;
use index::Index;
use slot::{Ask, NONE, Phase, Slot, Waiter};

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

/// What a datagram from an upstream is.
#[allow(clippy::large_enum_variant)] // it is matched where it is made; boxed it would be an allocation an answer
pub enum Reception {
    /// The answer to that slot.
    Answer {
        /// The slot.
        slot: u32,
        /// Who answered.
        upstream: u32,
        /// After how many microseconds.
        rtt: u64,
        /// What it says.
        checked: Checked,
    },
    /// Nothing was asked on that socket under that id.
    Stray,
    /// Right socket and id, but not the answer.
    Mismatch {
        /// Who seems to have sent it.
        upstream: u32,
        /// It was the eighth: the question goes over TCP from now on.
        over_tcp: Option<u32>,
    },
}

/// What time has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nobody answered in time: ask the next upstream.
    Retry(u32),
    /// The clients are to have a stale answer, if there is one.
    Stale(u32),
    /// The clients have waited long enough.
    GiveUp(u32),
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

    /// The slot of that number, to be changed; its time is noted anew by [`Relay::reschedule`].
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

    fn join(&mut self, number: u32, mut waiter: Waiter) -> Admission {
        let slot = &self.slots[number as usize];
        let mut at = slot.first;
        while at != NONE {
            let other = &mut self.waiters[at as usize];
            if other.is_repeated_by(&waiter) {
                waiter.next = other.next;
                *other = waiter;
                return Admission::Repeated;
            }
            at = other.next;
        }
        if slot.waiting >= MAX_WAITERS {
            return Admission::Over(Cap::Waiters);
        }
        if self.clients.is_reached(waiter.client) {
            return Admission::Over(Cap::Client);
        }
        self.clients.add(waiter.client);
        waiter.next = slot.first;
        let streams = u8::from(waiter.is_stream());
        let first = self.take_waiter(waiter);
        let slot = &mut self.slots[number as usize];
        slot.first = first;
        slot.waiting += 1;
        slot.streams += streams;
        Admission::Joined
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
        (self.slots.len() - 1) as u32
    }

    fn take_waiter(&mut self, waiter: Waiter) -> u32 {
        if let Some(at) = self.free_waiters.pop() {
            self.waiters[at as usize] = waiter;
            return at;
        }
        self.waiters.push(waiter);
        (self.waiters.len() - 1) as u32
    }

    /// Whether `slot` was put to that upstream in the way that it is asked now.
    pub fn was_asked(&self, slot: u32, upstream: u32) -> bool {
        let slot = self.slot(slot);
        slot.asks().iter().any(|ask| ask.upstream == upstream && ask.is_tcp() == slot.over_tcp)
    }

    /// An id that is not in use on that socket, drawn at random.
    #[inline]
    pub fn draw_id(&self, serial: u32, random: &mut random::Random) -> u16 {
        loop {
            let id = random.u16();
            if self.by_id.get(ask_key(serial, id), |_| true).is_none() {
                return id;
            }
        }
    }

    /// The question of `slot` leaves on that socket with that id.
    #[inline]
    pub fn asked(&mut self, slot: u32, upstream: u32, serial: u32, id: u16, now: u64) {
        let key = ask_key(serial, id);
        self.by_id.insert(key, slot);
        self.slots[slot as usize].note(Ask { key, upstream, at: now, open: true });
    }

    /// The question of `slot` is put to an upstream over TCP; the number that tells it from all others.
    pub fn asked_over_tcp(&mut self, slot: u32, upstream: u32, now: u64) -> u64 {
        self.tcp_asks += 1;
        let key = Ask::tcp_key(self.tcp_asks);
        self.slots[slot as usize].note(Ask { key, upstream, at: now, open: true });
        self.tcp_asks
    }

    /// Question `number` over TCP came to its end. `None`: what was asked is forgotten, or has been answered since.
    pub fn close_tcp(&mut self, slot: u32, generation: u32, number: u64) -> Option<Ask> {
        self.living(slot, generation)?;
        self.slots[slot as usize].close(Ask::tcp_key(number))
    }

    /// A datagram on the socket `serial`.
    #[inline]
    pub fn receive(&mut self, serial: u32, datagram: &[u8], now: u64) -> Reception {
        let Some(id) = crate::wire::u16_at(datagram, 0) else { return Reception::Stray };
        let key = ask_key(serial, id);
        let Some(number) = self.by_id.get(key, |_| true) else { return Reception::Stray };
        let slot = &mut self.slots[number as usize];
        let Some(ask) = slot.asks().iter().find(|ask| ask.key == key).copied() else { return Reception::Stray };
        match check_answer(datagram, &Expected { id, question: slot.question() }) {
            Ok(checked) => {
                slot.close(key);
                self.by_id.remove(key, number);
                Reception::Answer { slot: number, upstream: ask.upstream, rtt: now.saturating_sub(ask.at), checked }
            }
            Err(Mismatch::Short | Mismatch::Id) => Reception::Stray,
            Err(_) => {
                slot.mismatches = slot.mismatches.saturating_add(1);
                let over_tcp = slot.mismatches == MAX_MISMATCHES && slot.phase == Phase::Asking && !slot.over_tcp;
                let reception = Reception::Mismatch { upstream: ask.upstream, over_tcp: over_tcp.then_some(number) };
                if over_tcp {
                    self.leave_datagrams(number);
                }
                reception
            }
        }
    }

    /// From now on no datagram counts for this slot: TCP will tell.
    pub fn leave_datagrams(&mut self, number: u32) {
        self.forget_ids(number);
        let slot = &mut self.slots[number as usize];
        slot.close_datagrams();
        slot.over_tcp = true;
    }

    fn forget_ids(&mut self, number: u32) {
        let slot = &self.slots[number as usize];
        for ask in slot.asks().iter().filter(|ask| ask.open) {
            self.by_id.remove(ask.key, number);
        }
    }

    /// Slots that wait for a datagram, and whose latest question `left` so.
    pub fn waiting_on(&self, left: impl Fn(&Ask) -> bool, out: &mut Vec<u32>) {
        out.clear();
        for (number, (slot, due)) in self.slots.iter().zip(&self.due).enumerate() {
            let waits = *due != u64::MAX && slot.phase == Phase::Asking && !slot.over_tcp;
            if waits && slot.asks().last().is_some_and(&left) {
                out.push(number as u32);
            }
        }
    }

    /// Everything that is due at `now`; what is past its life is forgotten on the way.
    pub fn due(&mut self, now: u64, out: &mut Vec<Due>) {
        out.clear();
        for number in 0..self.due.len() {
            if self.due[number] > now {
                continue;
            }
            let slot = &self.slots[number];
            let number = number as u32;
            if now >= slot.patience && slot.phase != Phase::Late {
                out.push(Due::GiveUp(number));
            } else if now >= slot.dies {
                self.release(number);
            } else if now >= slot.stale_at && slot.phase != Phase::Late {
                let slot = &mut self.slots[number as usize];
                slot.stale_at = u64::MAX;
                self.due[number as usize] = slot.due();
                out.push(Due::Stale(number));
            } else if slot.phase == Phase::Asking {
                out.push(Due::Retry(number));
            }
        }
    }

    /// When the next upstream is asked, `delay` from now at the earliest; never, once nobody is left to ask.
    pub fn reschedule(&mut self, number: u32, retry_at: u64) {
        let slot = &mut self.slots[number as usize];
        slot.retry_at = if slot.is_asked_out() { u64::MAX } else { retry_at };
        self.due[number as usize] = slot.due();
    }

    /// Takes the clients off the slot, one after the other.
    #[inline]
    pub fn take_waiting(&mut self, number: u32) -> Option<&Waiter> {
        let slot = &mut self.slots[number as usize];
        let at = slot.first;
        if at == NONE {
            return None;
        }
        let waiter = &self.waiters[at as usize];
        slot.first = waiter.next;
        slot.waiting -= 1;
        slot.streams -= u8::from(waiter.is_stream());
        self.clients.remove(waiter.client);
        self.free_waiters.push(at);
        Some(waiter)
    }

    /// Somebody waits for it on a stream.
    #[inline]
    pub fn has_streams(&self, number: u32) -> bool {
        self.slot(number).streams > 0
    }

    /// Takes the clients off the slot that wait for a datagram, one after the other; those on streams stay.
    pub fn take_datagram_waiting(&mut self, number: u32) -> Option<&Waiter> {
        let slot = &mut self.slots[number as usize];
        let (mut before, mut at) = (NONE, slot.first);
        while at != NONE && self.waiters[at as usize].is_stream() {
            (before, at) = (at, self.waiters[at as usize].next);
        }
        if at == NONE {
            return None;
        }
        let next = self.waiters[at as usize].next;
        if before == NONE {
            slot.first = next;
        } else {
            self.waiters[before as usize].next = next;
        }
        slot.waiting -= 1;
        let waiter = &self.waiters[at as usize];
        self.clients.remove(waiter.client);
        self.free_waiters.push(at);
        Some(waiter)
    }

    /// The clients have been answered without an answer from upstream: the slot stays for a late one.
    pub fn give_up(&mut self, number: u32) {
        let slot = &mut self.slots[number as usize];
        if slot.shared {
            self.by_key.remove(slot.hash, number);
        }
        slot.shared = false;
        slot.phase = Phase::Late;
        self.due[number as usize] = slot.due();
    }

    /// An upstream's answer went to the clients. Where another upstream was asked besides, the slot stays for what it
    /// says: its health is told by that, and nobody takes its datagram for a guess.
    pub fn settled(&mut self, number: u32) {
        let slot = &mut self.slots[number as usize];
        slot.settled = true;
        if slot.asks().iter().any(|ask| ask.open && !ask.is_tcp()) {
            self.give_up(number);
        } else {
            self.release(number);
        }
    }

    /// Forgets the slot. Clients that still wait are forgotten with it.
    pub fn release(&mut self, number: u32) {
        while self.take_waiting(number).is_some() {}
        self.forget_ids(number);
        let slot = &mut self.slots[number as usize];
        if slot.shared {
            self.by_key.remove(slot.hash, number);
        }
        if slot.zone != 0 {
            self.zones.remove(slot.zone);
        }
        slot.forget_asks();
        slot.fallback = None;
        self.due[number as usize] = u64::MAX;
        self.free_slots.push(number);
        self.used -= 1;
    }
}

#[inline]
fn ask_key(serial: u32, id: u16) -> u64 {
    u64::from(serial) << 16 | u64::from(id)
}

#[inline]
fn same_key(a: &Query, b: &Query) -> bool {
    a.qtype == b.qtype && a.dnssec_ok() == b.dnssec_ok() && a.cd() == b.cd() && a.qname == b.qname
}
