//! The lines of a compressed file, one after the other, and the hash of all of them.
//!
//! Enters: a zstd file, and how many octets may come out of it. Leaves: lines without their line feeds, with their numbers
//! from 1; at the end the state hash. Not a byte is decompressed beyond the announced size, and no line is longer than
//! [`MAX_LINE`], so that a read buffer and the decompressor's window are all the memory there is to it.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};

use super::entry::MAX_LINE;
use super::types::ListError;

/// No decompression window is larger (as power of two): what the issuer's half writes and reads.
const MAX_WINDOW_LOG: u32 = 27;
const CHUNK: usize = 1 << 18;

/// The lines of a compressed file, without their line feeds.
pub(crate) struct Lines {
    path: PathBuf,
    decoder: zstd::stream::read::Decoder<'static, BufReader<File>>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Octets that may still come.
    left: u64,
    number: u64,
    hashing: Option<Hashing>,
}

impl Lines {
    /// Open a compressed file of at most `size` octets uncompressed.
    pub fn open(path: &Path, size: u64, hashed: bool) -> Result<Self, ListError> {
        let unreadable = |error| ListError::new("unreadable", format!("{}: {error}", path.display()));
        let file = File::open(path).map_err(unreadable)?;
        let mut decoder = zstd::stream::read::Decoder::new(file).map_err(unreadable)?;
        decoder.window_log_max(MAX_WINDOW_LOG).map_err(unreadable)?;
        let hashing = hashed.then(Hashing::start);
        let buffer = vec![0; CHUNK + MAX_LINE];
        Ok(Self { path: path.into(), decoder, buffer, start: 0, end: 0, left: size, number: 0, hashing })
    }

    /// The next line and its number, from 1.
    pub fn next(&mut self) -> Result<Option<(u64, &[u8])>, ListError> {
        let mut searched = 0;
        loop {
            if let Some(length) = line_length(&self.buffer[self.start + searched..self.end]) {
                let start = self.start;
                self.start += searched + length;
                self.number += 1;
                return Ok(Some((self.number, &self.buffer[start..self.start - 1])));
            }
            searched = self.end - self.start;
            if searched >= MAX_LINE {
                return Err(ListError::at(self.number + 1, "malformed", format!("longer than {MAX_LINE} octets")));
            }
            if !self.fill()? {
                if searched > 0 {
                    let reason = "ends without a line feed: the file is cut short";
                    return Err(ListError::at(self.number + 1, "malformed", reason));
                }
                return Ok(None);
            }
        }
    }

    /// What is at hand of the lines to come: of the last of them perhaps a part.
    pub fn at_hand(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Passes over the next `octets` of what is at hand, which are so many whole lines.
    pub fn pass(&mut self, octets: usize, lines: u64) {
        self.start += octets;
        self.number += lines;
    }

    /// The number of the last line.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The state hash of all lines, if it was asked for.
    pub fn finish(self) -> Result<String, ListError> {
        self.hashing.map_or_else(|| Ok(String::new()), Hashing::finish)
    }

    fn fill(&mut self) -> Result<bool, ListError> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        // one octet more than may come, so that a longer file shows
        let room = usize::try_from(self.left.saturating_add(1)).unwrap_or(CHUNK).min(CHUNK);
        let read = self.decoder.read(&mut self.buffer[self.end..self.end + room]);
        let read = read.map_err(|error| {
            ListError::new("damaged", format!("{}: not a whole zstd file: {error}", self.path.display()))
        })?;
        if read as u64 > self.left {
            let reason = format!("{}: more octets than were announced", self.path.display());
            return Err(ListError::new("too-large", reason));
        }
        self.left -= read as u64;
        if let Some(hashing) = &mut self.hashing {
            hashing.update(&self.buffer[self.end..self.end + read]);
        }
        self.end += read;
        Ok(read > 0)
    }
}

/// Octets of the first line with its line feed, if that is here.
fn line_length(text: &[u8]) -> Option<usize> {
    // no branch within a chunk, so that all of its octets are compared at once
    let has = |chunk: &[u8; 32]| chunk.iter().fold(false, |has, &byte| has | (byte == b'\n'));
    let before = 32 * text.as_chunks().0.iter().take_while(|chunk| !has(chunk)).count();
    text[before..].iter().position(|&byte| byte == b'\n').map(|at| before + at + 1)
}

/// The whole lines in `text`, without their line feeds.
pub(crate) fn lines_of(mut text: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (line, rest) = text.split_at(line_length(text)?);
        text = rest;
        line.split_last().map(|(_, line)| line)
    })
}

/// How many lines end here.
pub(crate) fn count(text: &[u8]) -> u64 {
    let in_chunk = |chunk: &[u8]| chunk.iter().fold(0u8, |count, &byte| count.wrapping_add(u8::from(byte == b'\n')));
    text.chunks(128).map(|chunk| u64::from(in_chunk(chunk))).sum()
}

/// SHA-256 on a thread of its own: it costs more than all else that is done with a line.
struct Hashing {
    chunks: SyncSender<Vec<u8>>,
    used: Receiver<Vec<u8>>,
    thread: JoinHandle<[u8; 32]>,
}

impl Hashing {
    fn start() -> Self {
        let (chunks, to_hash) = sync_channel::<Vec<u8>>(8);
        let (give_back, used) = sync_channel(16);
        let thread = std::thread::spawn(move || {
            let mut hash = Sha256::new();
            for chunk in to_hash {
                hash.update(&chunk);
                // the reader takes it up again, or has gone: then it is dropped here
                let _ = give_back.try_send(chunk);
            }
            hash.finalize().into()
        });
        Self { chunks, used, thread }
    }

    fn update(&mut self, bytes: &[u8]) {
        let mut chunk = self.used.try_recv().unwrap_or_default();
        chunk.clear();
        chunk.extend_from_slice(bytes);
        // fails only when the thread is gone, which `finish` reports
        let _ = self.chunks.send(chunk);
    }

    fn finish(self) -> Result<String, ListError> {
        drop(self.chunks);
        let digest = self.thread.join().map_err(|_| ListError::new("internal", "the hashing thread failed"))?;
        Ok(digest.iter().fold(String::from("sha256:"), |text, byte| format!("{text}{byte:02x}")))
    }
}
