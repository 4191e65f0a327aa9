//! How often each row of the list was hit since somebody last asked: for daily totals and for entries that meet nothing.
//!
//! A fixed table; what finds no place is counted as dropped. Rows alone are kept: not who asked, nor for what name.

use crate::counters::{Counter, Counters};

const CELLS: usize = 1 << 14;
const REACH: usize = 8;
const NOTED: usize = 1024;

/// The table, and what is yet to be entered into it.
pub struct RowHits {
    cells: Box<[(u32, u32)]>,
    noted: Vec<u32>,
}

impl RowHits {
    /// Empty.
    pub fn new() -> RowHits {
        RowHits { cells: vec![(0, 0); CELLS].into_boxed_slice(), noted: Vec::with_capacity(NOTED) }
    }

    /// One more for `row`. It is entered later, with many others: then their waits for memory overlap.
    #[inline]
    pub fn note(&mut self, row: u32, counters: &mut Counters) {
        self.noted.push(row);
        if self.noted.len() == NOTED {
            self.enter(counters);
        }
    }

    #[cold]
    fn enter(&mut self, counters: &mut Counters) {
        let mut noted = std::mem::take(&mut self.noted);
        for row in noted.drain(..) {
            let home = (row.wrapping_mul(0x9e37_79b1) >> 18) as usize;
            let places = (home..home + REACH).map(|place| place & (CELLS - 1));
            match places.into_iter().find(|place| self.cells[*place].1 == 0 || self.cells[*place].0 == row) {
                Some(place) => self.cells[place] = (row, self.cells[place].1.saturating_add(1)),
                None => counters.count(Counter::HitsDropped),
            }
        }
        self.noted = noted;
    }

    /// (row, hits) in the order of rows; the table is empty afterwards.
    pub fn drain(&mut self, counters: &mut Counters) -> Vec<(u32, u32)> {
        self.enter(counters);
        let mut hits: Vec<(u32, u32)> = self.cells.iter().copied().filter(|(_, n)| *n > 0).collect();
        self.cells.fill((0, 0));
        hits.sort_unstable();
        hits
    }
}

impl Default for RowHits {
    fn default() -> RowHits {
        RowHits::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hit_is_either_drained_or_counted_as_dropped() {
        let (mut rows, mut counters) = (RowHits::new(), Counters::new());
        for i in 0..100_000u32 {
            rows.note(i % 30_000, &mut counters);
        }
        let drained: u64 = rows.drain(&mut counters).iter().map(|(_, n)| u64::from(*n)).sum();
        assert_eq!(drained + counters.get(Counter::HitsDropped), 100_000);
        assert!(rows.drain(&mut counters).is_empty());
        rows.note(7, &mut counters);
        rows.note(7, &mut counters);
        assert_eq!(rows.drain(&mut counters), [(7, 2)]);
    }
}
