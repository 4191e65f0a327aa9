//! A queue of entries of different sizes in one stretch of the arena: put in at the head, taken out at the tail.

use super::entry::{fill, size};

/// A ring over `arena[start..start + length]`.
pub(super) struct Queue {
    start: usize,
    length: usize,
    head: usize,
    tail: usize,
    used: usize,
}

impl Queue {
    pub fn new(start: usize, length: usize) -> Queue {
        Queue { start, length, head: 0, tail: 0, used: 0 }
    }

    /// Room for `need` bytes in one piece; `None` if something has to go first. `need` is a multiple of the unit.
    pub fn push(&mut self, arena: &mut [u8], need: usize) -> Option<usize> {
        if self.used == 0 {
            (self.head, self.tail) = (0, 0);
        }
        let wrapped = self.used > 0 && self.head <= self.tail;
        let room = if wrapped { self.tail } else { self.length } - self.head;
        if room < need {
            if wrapped || self.tail < need {
                return None;
            }
            // Too little is left at the end: skip it.
            if room > 0 {
                fill(&mut arena[self.start + self.head..self.start + self.length]);
                self.used += room;
            }
            self.head = 0;
        }
        let at = self.start + self.head;
        self.used += need;
        self.head = (self.head + need) % self.length;
        Some(at)
    }

    /// Whether `need` bytes would find room before the queue's end without anything going; wrapped it is full.
    pub fn has_room(&self, need: usize) -> bool {
        self.used == 0 || (self.head > self.tail && self.length - self.head >= need)
    }

    /// Takes out what is at the tail. Returns its place, if it was an entry; its bytes stay until the next `push`.
    pub fn pop(&mut self, arena: &[u8]) -> Popped {
        if self.used == 0 {
            return Popped::Nothing;
        }
        let at = self.start + self.tail;
        let (size, entry) = size(&arena[at..]);
        self.used -= size;
        self.tail = (self.tail + size) % self.length;
        if entry { Popped::Entry(at) } else { Popped::Filler }
    }

    pub fn contains(&self, at: usize) -> bool {
        (self.start..self.start + self.length).contains(&at)
    }

    pub fn clear(&mut self) {
        (self.head, self.tail, self.used) = (0, 0, 0);
    }
}

/// What came out of a queue.
pub(super) enum Popped {
    Entry(usize),
    Filler,
    Nothing,
}
