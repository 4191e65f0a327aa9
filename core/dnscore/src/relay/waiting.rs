//! Who waits for a question: joining it, and being taken off it.

use super::slot::{NONE, Waiter};
use super::{Admission, Cap, MAX_WAITERS, Relay};
use crate::narrow::to_u32;

impl Relay {
    /// The client waits too, for a question that is being asked.
    pub(super) fn join(&mut self, number: u32, mut waiter: Waiter) -> Admission {
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

    pub(super) fn take_waiter(&mut self, waiter: Waiter) -> u32 {
        if let Some(at) = self.free_waiters.pop() {
            self.waiters[at as usize] = waiter;
            return at;
        }
        self.waiters.push(waiter);
        to_u32(self.waiters.len() - 1)
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
}
