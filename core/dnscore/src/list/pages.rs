//! A file's content in memory of this process's own, on huge pages where the kernel has them.
//!
//! Enters: a file. Leaves: its octets, which nobody can change or cut short any more: what becomes of the file, or of the
//! disk under it, no longer concerns who holds them. A look-up touches a page here and a page there: on huge ones it
//! walks page tables more rarely, which in a virtual machine is dear.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;

use crate::sys::prefer_huge_pages;

const HUGE: usize = 2 << 20;

/// The octets of a file.
#[derive(Debug)]
pub(crate) struct Pages {
    map: memmap2::MmapMut,
    range: Range<usize>,
}

impl Pages {
    /// Read all of it. An error of the disk, or a file that is cut short meanwhile, is an error here and nowhere later.
    pub fn read(file: &mut File) -> io::Result<Self> {
        let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        let mut pages = Self::blank(length)?;
        file.read_exact(&mut pages.map[pages.range.clone()])?;
        Ok(pages)
    }

    /// The same octets.
    pub fn copy(bytes: &[u8]) -> io::Result<Self> {
        let mut pages = Self::blank(bytes.len())?;
        pages.map[pages.range.clone()].copy_from_slice(bytes);
        Ok(pages)
    }

    fn blank(length: usize) -> io::Result<Self> {
        if length < HUGE {
            return Ok(Self { map: memmap2::MmapMut::map_anon(length.max(1))?, range: 0..length });
        }
        // The advice holds for whole huge pages, so they begin at one and end at one.
        let room = length.checked_next_multiple_of(HUGE).and_then(|room| room.checked_add(HUGE));
        let mut map = memmap2::MmapMut::map_anon(room.ok_or_else(|| io::Error::other("too large"))?)?;
        let start = map.as_ptr().align_offset(HUGE);
        prefer_huge_pages(&mut map[start..start + length.next_multiple_of(HUGE)]);
        Ok(Self { map, range: start..start + length })
    }

    pub fn bytes(&self) -> &[u8] {
        &self.map[self.range.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_any_length_is_read_whole() {
        let path = std::env::temp_dir().join(format!("pages-{}", std::process::id()));
        for length in [0, 1, 4096, HUGE - 1, HUGE, HUGE + 1] {
            let content: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).expect("below 251")).collect();
            std::fs::write(&path, &content).expect("a writable temporary directory");
            let pages = Pages::read(&mut File::open(&path).expect("just written")).expect("readable");
            std::fs::write(&path, b"").expect("a writable temporary directory");
            assert!(pages.bytes() == content, "{length}");
        }
        std::fs::remove_file(&path).expect("still there");
    }
}
