//! A compressed document, or a step, in the making: whole lines go in, zstd frames come out.
//!
//! Enters: canonical lines in their order, and frames of another document that may be taken over as they are. Leaves: a
//! file, and what its lines come to ([`Summary`]). The caller makes the file durable.
//!
//! Rules
//! - The same lines make the same file, whatever they were made of. What is signed is the file's hash, and another desk
//!   makes the file again.
//! - Where a frame ends depends on the lines in it alone: with the first line beyond [`FRAME`] octets whose [`is_last`] bits
//!   say so, at the latest with the one that reaches [`LARGEST`]. So a change has one frame written again, and all
//!   others stay as they are.
//! - Up to [`FRAME`] octets a document is one frame, compressed as `blocklists/document.py` does it, octet for octet.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};

use super::lines::{count, lines_of, state_of};
use super::output::unwritable;
use super::types::ListError;

/// Octets of lines that a frame holds at least, but for the last one: what zstd compresses as one job at our level.
pub(crate) const FRAME: usize = 8 << 20;
/// Octets of lines that no frame exceeds by more than a line.
pub(crate) const LARGEST: usize = 2 * FRAME;
/// One line of so many may end a frame.
const ONE_IN: u32 = 1 << 10;

/// What the lines of a document come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Lines.
    pub entries: u64,
    /// Octets, uncompressed.
    pub size: u64,
    /// `sha256:` and 64 digits.
    pub state: String,
}

/// A file in the making.
pub(crate) struct Writer {
    file: File,
    path: PathBuf,
    level: i32,
    /// Lines of the frame that is being filled.
    text: Vec<u8>,
    hash: Sha256,
    entries: u64,
    size: u64,
    /// Octets that the lines may come to.
    limit: u64,
    /// The frame before, while it is compressed beside.
    packing: Option<JoinHandle<io::Result<Packed>>>,
}

/// A frame, and the memory that its lines were in.
struct Packed {
    frame: Vec<u8>,
    text: Vec<u8>,
}

impl Writer {
    /// Writes to `path`, in place of what was there, lines of at most `limit` octets.
    pub fn create(path: &Path, level: i32, limit: u64) -> Result<Self, ListError> {
        let file = File::create(path).map_err(|error| unwritable(path, &error))?;
        let (text, hash) = (Vec::new(), Sha256::new());
        Ok(Self { file, path: path.into(), level, text, hash, entries: 0, size: 0, limit, packing: None })
    }

    /// Writes whole lines.
    pub fn write(&mut self, mut lines: &[u8]) -> Result<(), ListError> {
        self.count(lines)?;
        while let Some(end) = frame_end(self.text.len(), lines) {
            self.text.extend_from_slice(&lines[..end]);
            self.pack()?;
            lines = &lines[end..];
        }
        self.text.extend_from_slice(lines);
        Ok(())
    }

    /// Writes all lines of a frame of another document; the frame itself, where it is the one that would be made here.
    /// `last`: no line follows.
    pub fn write_frame(&mut self, lines: &[u8], frame: &[u8], last: bool) -> Result<(), ListError> {
        let ends = frame_end(0, lines).map_or(last, |end| end == lines.len());
        if !self.text.is_empty() || !ends {
            return self.write(lines);
        }
        self.count(lines)?;
        self.settle()?;
        self.file.write_all(frame).map_err(|error| unwritable(&self.path, &error))
    }

    /// The hash of all lines so far.
    pub fn hash(&self) -> &Sha256 {
        &self.hash
    }

    /// Writes the last frame.
    pub fn finish(mut self) -> Result<Summary, ListError> {
        self.settle()?;
        let empty = self.file.metadata().map_or(true, |file| file.len() == 0);
        if empty || !self.text.is_empty() {
            let packed = compressed(std::mem::take(&mut self.text), self.level);
            self.put(packed)?;
        }
        let state = state_of(self.hash);
        Ok(Summary { entries: self.entries, size: self.size, state })
    }

    fn count(&mut self, lines: &[u8]) -> Result<(), ListError> {
        self.size += lines.len() as u64;
        if self.size > self.limit {
            return Err(ListError::new("too-large", format!("more than {} octets come of it", self.limit)));
        }
        self.hash.update(lines);
        self.entries += count(lines);
        Ok(())
    }

    /// Has the frame compressed beside, once the one before it is written.
    fn pack(&mut self) -> Result<(), ListError> {
        self.settle()?;
        let (text, level) = (std::mem::take(&mut self.text), self.level);
        let work = std::thread::Builder::new().name("pack".into()).spawn(move || compressed(text, level));
        self.packing = Some(work.map_err(|error| unwritable(&self.path, &error))?);
        Ok(())
    }

    fn settle(&mut self) -> Result<(), ListError> {
        let Some(work) = self.packing.take() else { return Ok(()) };
        let packed = work.join().unwrap_or_else(|_| Err(io::Error::other("the compressing thread failed")));
        self.put(packed)
    }

    fn put(&mut self, packed: io::Result<Packed>) -> Result<(), ListError> {
        let written = packed.and_then(|packed| self.file.write_all(&packed.frame).map(|()| packed.text));
        let text = written.map_err(|error| unwritable(&self.path, &error))?;
        if self.text.capacity() == 0 {
            self.text = text;
        }
        Ok(())
    }
}

fn compressed(mut text: Vec<u8>, level: i32) -> io::Result<Packed> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), level)?;
    // zstd writes other octets with a thread of its own than without, and documents were always written with one
    encoder.multithread(1)?;
    encoder.write_all(&text)?;
    let frame = encoder.finish()?;
    text.clear();
    Ok(Packed { frame, text })
}

/// Octets of `lines` up to where a frame ends that has `before` octets already; `None` where it goes on after them.
fn frame_end(before: usize, lines: &[u8]) -> Option<usize> {
    if before + lines.len() < FRAME {
        return None;
    }
    // no line that ends below the least size is looked at
    let skipped = FRAME.saturating_sub(before + 1).min(lines.len());
    let mut end = lines[..skipped].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    for line in lines_of(&lines[end..]) {
        end += line.len() + 1;
        if before + end >= LARGEST || is_last(line) {
            return Some(end);
        }
    }
    None
}

/// May this line end a frame?
fn is_last(line: &[u8]) -> bool {
    // FNV-1a: any hash that stays the same for ever
    let hash = line.iter().fold(0x811C_9DC5_u32, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash >> 16 & (ONE_IN - 1) == 0
}
