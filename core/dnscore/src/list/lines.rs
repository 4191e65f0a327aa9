//! The lines of a compressed file, one after the other, and the hash of all of them.
//!
//! Enters: a zstd file, and how many octets may come out of it. Leaves: lines without their line feeds, with their numbers
//! from 1; at the end the state hash. Not a byte is decompressed beyond the announced size, and no line is longer than
//! [`MAX_LINE`], so that a few chunks and the decompressor's window are all the memory there is to it.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};

use super::entry::MAX_LINE;
use super::types::ListError;

/// No decompression window is larger (as power of two): what the issuer's half writes and reads.
pub(crate) const MAX_WINDOW_LOG: u32 = 27;
const CHUNK: usize = 1 << 18;

/// The lines of a compressed file, without their line feeds.
pub(crate) struct Lines {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    number: u64,
    reading: Reading,
}

impl Lines {
    /// Open a compressed file of at most `size` octets uncompressed.
    pub fn open(path: &Path, size: u64, hashed: bool) -> Result<Self, ListError> {
        let reading = Reading::start(path, size, hashed)?;
        Ok(Self { buffer: Vec::new(), start: 0, end: 0, number: 0, reading })
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

    /// The state hash of all lines, which were read to their end, if it was asked for.
    pub fn finish(self) -> Result<String, ListError> {
        self.reading.finish()
    }

    /// Goes on in the next chunk, with the part of a line that this one ends with before it.
    fn fill(&mut self) -> Result<bool, ListError> {
        let Some(mut next) = self.reading.next()? else { return Ok(false) };
        let rest = &self.buffer[self.start..self.end];
        let start = MAX_LINE - rest.len();
        next[start..MAX_LINE].copy_from_slice(rest);
        (self.start, self.end) = (start, next.len());
        self.reading.give_back(std::mem::replace(&mut self.buffer, next));
        Ok(true)
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

/// A thread that decompresses and hashes ahead of the reader of the lines: that costs more than all else that is done
/// with a line. Chunks come with [`MAX_LINE`] octets of room before them.
struct Reading {
    chunks: Receiver<Result<Vec<u8>, ListError>>,
    used: SyncSender<Vec<u8>>,
    thread: JoinHandle<Option<Sha256>>,
    ended: bool,
}

impl Reading {
    fn start(path: &Path, size: u64, hashed: bool) -> Result<Self, ListError> {
        let unreadable = |error| ListError::new("unreadable", format!("{}: {error}", path.display()));
        let file = File::open(path).map_err(unreadable)?;
        let mut decoder = zstd::stream::read::Decoder::new(file).map_err(unreadable)?;
        decoder.window_log_max(MAX_WINDOW_LOG).map_err(unreadable)?;
        let (give, chunks) = sync_channel(1);
        let (used, again) = sync_channel(2);
        let mut source = Decompressed { path: path.into(), decoder, left: size };
        let thread = std::thread::Builder::new().name("read".into()).spawn(move || {
            let mut hash = hashed.then(Sha256::new);
            loop {
                let chunk = source.read(again.try_recv().unwrap_or_default());
                if let (Some(hash), Ok(chunk)) = (&mut hash, &chunk) {
                    hash.update(&chunk[MAX_LINE..]);
                }
                let last = chunk.as_ref().map_or(true, |chunk| chunk.len() == MAX_LINE);
                // fails where nobody reads any more
                if give.send(chunk).is_err() || last {
                    return hash;
                }
            }
        });
        Ok(Self { chunks, used, thread: thread.map_err(unreadable)?, ended: false })
    }

    /// The next chunk, `None` after the last.
    fn next(&mut self) -> Result<Option<Vec<u8>>, ListError> {
        if self.ended {
            return Ok(None);
        }
        let chunk = self.chunks.recv().map_err(|_| failed())??;
        self.ended = chunk.len() == MAX_LINE;
        Ok((!self.ended).then_some(chunk))
    }

    /// Returns a chunk that was read: the thread uses its memory again.
    fn give_back(&self, chunk: Vec<u8>) {
        let _ = self.used.try_send(chunk);
    }

    fn finish(self) -> Result<String, ListError> {
        drop(self.chunks);
        let hash = self.thread.join().map_err(|_| failed())?;
        let Some(hash) = hash else { return Ok(String::new()) };
        Ok(state_of(hash))
    }
}

/// The state that a hash of lines names.
pub(crate) fn state_of(hash: Sha256) -> String {
    hash.finalize().iter().fold(String::from("sha256:"), |text, byte| format!("{text}{byte:02x}"))
}

fn failed() -> ListError {
    ListError::new("internal", "the reading thread failed")
}

/// What comes out of a compressed file, chunk by chunk.
struct Decompressed {
    path: PathBuf,
    decoder: zstd::stream::read::Decoder<'static, BufReader<File>>,
    /// Octets that may still come.
    left: u64,
}

impl Decompressed {
    /// The next chunk, in the memory of one that was read; empty after the last.
    fn read(&mut self, mut chunk: Vec<u8>) -> Result<Vec<u8>, ListError> {
        // one octet more than may come, so that a longer file shows
        let room = usize::try_from(self.left.saturating_add(1)).unwrap_or(CHUNK).min(CHUNK);
        chunk.resize(MAX_LINE + room, 0);
        let mut end = MAX_LINE;
        while end < chunk.len() {
            let read = self.decoder.read(&mut chunk[end..]).map_err(|error| {
                ListError::new("damaged", format!("{}: not a whole zstd file: {error}", self.path.display()))
            })?;
            if read == 0 {
                break;
            }
            end += read;
        }
        chunk.truncate(end);
        self.left = self.left.checked_sub((end - MAX_LINE) as u64).ok_or_else(|| {
            ListError::new("too-large", format!("{}: more octets than were announced", self.path.display()))
        })?;
        Ok(chunk)
    }
}
