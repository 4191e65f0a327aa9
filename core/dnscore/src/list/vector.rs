//! What needs the machine itself: mapping a file, prefetching.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;

/// Map a file for reading.
pub(crate) fn map(file: &File) -> io::Result<memmap2::Mmap> {
    // SAFETY: the bytes must not change while they are mapped. A compiled list is written beside its place and renamed
    // into it (`output`), never written again; the folder belongs to the provider's own processes. Everything read
    // through the map is checked when it is opened and bounds-checked when it is used.
    unsafe { memmap2::MmapOptions::new().populate().map(file) }
}
