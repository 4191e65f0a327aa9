//! Which datagram counts as the answer to which question.

use crate::wire::{Checked, Expected, Mismatch, check_answer};

use super::random::Random;
use super::slot::{Ask, Phase};
use super::{MAX_MISMATCHES, Relay};
use crate::narrow::to_u32;

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

impl Relay {
    /// Whether `slot` was put to that upstream in the way that it is asked now.
    pub fn was_asked(&self, slot: u32, upstream: u32) -> bool {
        let slot = self.slot(slot);
        slot.asks().iter().any(|ask| ask.upstream == upstream && ask.is_tcp() == slot.over_tcp)
    }

    /// An id that is not in use on that socket, drawn at random.
    #[inline]
    pub fn draw_id(&self, serial: u32, random: &mut Random) -> u16 {
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

    pub(super) fn forget_ids(&mut self, number: u32) {
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
                out.push(to_u32(number));
            }
        }
    }
}

#[inline]
fn ask_key(serial: u32, id: u16) -> u64 {
    u64::from(serial) << 16 | u64::from(id)
}
