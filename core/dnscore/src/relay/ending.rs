//! When something is to be done about a question again, and how its slot ends.

use super::Relay;
use super::slot::Phase;
use crate::narrow::to_u32;

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

impl Relay {
    /// Everything that is due at `now`; what is past its life is forgotten on the way.
    pub fn due(&mut self, now: u64, out: &mut Vec<Due>) {
        out.clear();
        for number in 0..self.due.len() {
            if self.due[number] > now {
                continue;
            }
            let slot = &self.slots[number];
            let number = to_u32(number);
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
    /// says: its health is judged by that, and nobody takes its datagram for a guess.
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
