//! A small hash index from 64-bit keys to slots: open addressing, no tombstones, grown as it fills.
//!
//! Keys come hashed with a secret seed or are random themselves, so a client cannot choose where they land.

/// The index. Several entries may share a key; the caller tells them apart.
pub struct Index {
    cells: Vec<Cell>,
    mask: usize,
    length: usize,
}

#[derive(Clone, Copy)]
struct Cell {
    key: u64,
    slot: u32,
}

const FREE: u32 = u32::MAX;
const EMPTY: Cell = Cell { key: 0, slot: FREE };

impl Index {
    /// Empty; small, so that what is used stays in the cache.
    pub fn new() -> Index {
        Index { cells: vec![EMPTY; 1024], mask: 1023, length: 0 }
    }

    #[inline]
    fn home(&self, key: u64) -> usize {
        // Fibonacci hashing: the ids' low bits are random, the sockets' high bits are not.
        (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & self.mask
    }

    /// The slot under `key` that `matches`.
    #[inline]
    pub fn get(&self, key: u64, mut matches: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = self.home(key);
        loop {
            let cell = &self.cells[at];
            if cell.slot == FREE {
                return None;
            }
            if cell.key == key && matches(cell.slot) {
                return Some(cell.slot);
            }
            at = (at + 1) & self.mask;
        }
    }

    /// Adds an entry; `slot` is below `u32::MAX`.
    pub fn insert(&mut self, key: u64, slot: u32) {
        if (self.length + 1) * 2 > self.cells.len() {
            self.grow();
        }
        let mut at = self.home(key);
        while self.cells[at].slot != FREE {
            at = (at + 1) & self.mask;
        }
        self.cells[at] = Cell { key, slot };
        self.length += 1;
    }

    /// Removes the entry of that key and slot, if there is one.
    pub fn remove(&mut self, key: u64, slot: u32) {
        let mut at = self.home(key);
        loop {
            let cell = self.cells[at];
            if cell.slot == FREE {
                return;
            }
            if cell.key == key && cell.slot == slot {
                break;
            }
            at = (at + 1) & self.mask;
        }
        // Close the gap (Knuth 6.4, algorithm R): move up whatever may stand here.
        let mut gap = at;
        loop {
            at = (at + 1) & self.mask;
            let cell = self.cells[at];
            if cell.slot == FREE {
                break;
            }
            let home = self.home(cell.key);
            if (at.wrapping_sub(home) & self.mask) >= (at.wrapping_sub(gap) & self.mask) {
                self.cells[gap] = cell;
                gap = at;
            }
        }
        self.cells[gap] = EMPTY;
        self.length -= 1;
    }

    #[cold]
    fn grow(&mut self) {
        let doubled = vec![EMPTY; self.cells.len() * 2];
        let old = std::mem::replace(&mut self.cells, doubled);
        self.mask = self.cells.len() - 1;
        self.length = 0;
        for cell in old {
            if cell.slot != FREE {
                self.insert(cell.key, cell.slot);
            }
        }
    }
}

impl Default for Index {
    fn default() -> Index {
        Index::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::relay::random::Random;

    #[test]
    fn it_holds_what_a_set_holds() {
        let mut index = Index::new();
        let mut set: HashSet<(u64, u32)> = HashSet::new();
        let mut random = Random::seeded(1);
        for step in 0..200_000u32 {
            let (key, slot) = (u64::from(random.u16() & 0xfff), u32::from(random.u16() & 3));
            if random.u16() & 1 == 0 || step % 3 == 0 {
                if set.insert((key, slot)) {
                    index.insert(key, slot);
                }
            } else {
                set.remove(&(key, slot));
                index.remove(key, slot);
            }
            let probe = (u64::from(random.u16() & 0xfff), u32::from(random.u16() & 3));
            assert_eq!(index.get(probe.0, |s| s == probe.1).is_some(), set.contains(&probe));
        }
        assert_eq!(index.length, set.len());
    }
}
