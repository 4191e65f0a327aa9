//! How often each entry of the list was met, in a mapped file that outlives this process: for daily totals and for
//! entries that meet nothing.
//!
//! Enters: the number of an entry. Leaves: one more in its cell. The file is made by who reads it afterwards
//! (`resolver/ipc/entry_hits.py`, where its form stands); a kill at any instruction loses no count that was made. Not who
//! asked is kept, nor for what name.

#![allow(unsafe_code)]

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

use crate::counters::LISTS;
use crate::list::prefetch;

const TOTALS: usize = 8 * (1 + LISTS);

/// The cells of one list, or none: then nothing is counted.
#[derive(Default)]
pub struct EntryHits {
    file: Option<memmap2::MmapMut>,
    at: usize,
}

impl EntryHits {
    /// The file at `path`, whose totals begin at `at`, with a cell for each of `entries`.
    pub fn in_file(path: &Path, at: usize, entries: u32) -> io::Result<EntryHits> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        // SAFETY: the file was made for this process, written to its full length (so that no page of it is missing when
        // the file system is full) and is never truncated by anybody; its readers wait until this process lets go.
        let map = unsafe { memmap2::MmapMut::map_mut(&file)? };
        let length = (entries as usize).checked_mul(4).and_then(|cells| cells.checked_add(at)?.checked_add(TOTALS));
        if length != Some(map.len()) {
            return Err(io::Error::other(format!("{} octets are not {entries} cells", map.len())));
        }
        Ok(EntryHits { file: Some(map), at })
    }

    /// Asks for the memory that [`EntryHits::note`] will change.
    #[inline]
    pub fn prefetch(&self, entry: u32) {
        if let Some(map) = &self.file {
            prefetch(map, self.at + TOTALS + 4 * entry as usize);
        }
    }

    /// An entry was met.
    #[inline]
    pub fn note(&mut self, entry: u32) {
        let Some(counted) = self.file.as_mut().and_then(|map| map.get_mut(self.at..)) else { return };
        one_more(counted, 0);
        let place = TOTALS + 4 * entry as usize;
        if let Some(cell) = counted.get_mut(place..).and_then(|rest| rest.first_chunk_mut::<4>()) {
            *cell = u32::from_le_bytes(*cell).saturating_add(1).to_le_bytes();
        }
    }

    /// The same, and it stopped the query: one more for its list.
    #[inline]
    pub fn note_stop(&mut self, entry: u32, list: u8) {
        self.note(entry);
        if let Some(counted) = self.file.as_mut().and_then(|map| map.get_mut(self.at..)) {
            one_more(counted, 1 + usize::from(list) % LISTS);
        }
    }
}

#[inline]
fn one_more(counted: &mut [u8], word: usize) {
    if let Some(total) = counted.get_mut(8 * word..).and_then(|rest| rest.first_chunk_mut::<8>()) {
        *total = u64::from_le_bytes(*total).wrapping_add(1).to_le_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_note_stands_in_its_cell_its_list_and_the_sum() {
        let path = std::env::temp_dir().join(format!("hits-{}", std::process::id()));
        std::fs::write(&path, vec![0; 64 + TOTALS + 4 * 3]).expect("a writable temporary directory");
        assert!(EntryHits::in_file(&path, 64, 4).is_err());
        let mut hits = EntryHits::in_file(&path, 64, 3).expect("of that length");
        for (entry, list) in [(2, 0), (2, 63), (0, 63)] {
            hits.note_stop(entry, list);
        }
        hits.note(1);
        hits.note(3); // there is no such entry: its like is counted in the sum alone
        let bytes = std::fs::read(&path).expect("still there");
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        assert_eq!([word(64), word(64 + 8), word(64 + 8 * LISTS)], [5, 1, 2]);
        assert_eq!(&bytes[64 + TOTALS..], [1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0]);
        EntryHits::default().note_stop(0, 0);
        std::fs::remove_file(&path).expect("still there");
    }
}
