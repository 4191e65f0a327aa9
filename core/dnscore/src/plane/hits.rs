//! How often each row of the list was hit since somebody last asked: for daily totals and for entries that meet nothing.
//!
//! A fixed table; what finds no place is counted as dropped. Rows alone are kept: not who asked, nor for what name.

use crate::counters::{Counter, Counters};

const CELLS: usize = 1 << 14;
const REACH: usize = 8;

/// The table.
pub struct RowHits {
    cells: Box<[(u32, u32)]>,
}

impl RowHits {
    /// Empty.
    pub fn new() -> RowHits {
        RowHits { cells: vec![(0, 0); CELLS].into_boxed_slice() }
    }

    /// One more for `row`.
    #[inline]
    pub fn count(&mut self, row: u32, counters: &mut Counters) {
        let home = (row.wrapping_mul(0x9e37_79b1) >> 18) as usize;
        for step in 0..REACH {
            let cell = &mut self.cells[(home + step) & (CELLS - 1)];
            if cell.1 == 0 {
                *cell = (row, 1);
                return;
            }
            if cell.0 == row {
                cell.1 = cell.1.saturating_add(1);
                return;
            }
        }
        counters.count(Counter::HitsDropped);
    }

    /// (row, hits) in the order of rows; the table is empty afterwards.
    pub fn drain(&mut self) -> Vec<(u32, u32)> {
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
            rows.count(i % 30_000, &mut counters);
        }
        let drained: u64 = rows.drain().iter().map(|(_, n)| u64::from(*n)).sum();
        assert_eq!(drained + counters.get(Counter::HitsDropped), 100_000);
        assert!(rows.drain().is_empty());
        rows.count(7, &mut counters);
        rows.count(7, &mut counters);
        assert_eq!(rows.drain(), [(7, 2)]);
    }
}
