//! The lines of a compressed file, one after the other, and the hash of all of them.
//!
//! Enters: a zstd file, and how many octets may come out of it. Leaves: lines without their line feeds, with their numbers
//! from 1; at the end the document's [`Marks`]. Not a byte is decompressed beyond the announced size, and no line is longer
//! than [`MAX_LINE`], so that a few chunks and the decompressor's window are all the memory there is to it.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use sha2::Sha256;

use super::entry::MAX_LINE;
use super::frames::Frames;
use super::marks::{Mark, Marker, Marks};
use super::types::ListError;

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
    /// Open a compressed file of at most `size` octets uncompressed; with `marked` its marks are made too.
    pub fn open(path: &Path, size: u64, marked: bool) -> Result<Self, ListError> {
        let reading = Reading::start(Source::new(Frames::open(path, size)?), marked)?;
        Ok(Self { buffer: Vec::new(), start: 0, end: 0, number: 0, reading })
    }

    /// Open what follows in one after the mark `from`; all of it has at most `size` octets uncompressed.
    pub fn after(path: &Path, from: &Mark, size: u64) -> Result<Self, ListError> {
        let mut frames = Frames::open(path, size - from.size)?;
        frames.seek(from.file)?;
        let reading = Reading::start(Source::new(frames), false)?;
        Ok(Self { buffer: Vec::new(), start: 0, end: 0, number: from.entries, reading })
    }

    /// Open what stands in one before the mark `to`.
    pub fn before(path: &Path, to: &Mark) -> Result<Self, ListError> {
        let source = Source { wanted: to.size, ..Source::new(Frames::open(path, to.size)?) };
        let reading = Reading::start(source, false)?;
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

    /// The marks of the document, which was read to its end, if they were asked for.
    pub fn finish(self) -> Result<Option<Marks>, ListError> {
        let (marker, file) = self.reading.finish()?;
        Ok(marker.map(|marker| marker.finish(file)))
    }

    /// Goes on in the next chunk, with the part of a line that this one ends with before it.
    fn fill(&mut self) -> Result<bool, ListError> {
        let Some(mut next) = self.reading.next()? else { return Ok(false) };
        let rest = &self.buffer[self.start..self.end];
        let start = MAX_LINE - rest.len();
        next.octets[start..MAX_LINE].copy_from_slice(rest);
        (self.start, self.end) = (start, next.end);
        std::mem::swap(&mut self.buffer, &mut next.octets);
        self.reading.give_back(next);
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

/// Those of these lines that end here.
pub(crate) fn whole_lines(text: &[u8]) -> &[u8] {
    &text[..text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1)]
}

/// The marks of a document of at most `size` octets. No line is looked at.
pub(crate) fn marks_of(path: &Path, size: u64) -> Result<Marks, ListError> {
    let mut reading = Reading::start(Source::new(Frames::open(path, size)?.hashed()), false)?;
    let mut marker = Marker::default();
    // here, beside the thread that decompresses: the two cost about the same
    while let Some(chunk) = reading.next()? {
        chunk.mark(&mut marker);
        reading.give_back(chunk);
    }
    let (_, file) = reading.finish()?;
    Ok(marker.finish(file))
}

/// What was decompressed at a time, with [`MAX_LINE`] octets of room before it.
#[derive(Default)]
struct Chunk {
    octets: Vec<u8>,
    end: usize,
    /// Where in it frames end, and how many octets of the file were taken by then; after those that hold nothing too.
    frames: Vec<(usize, u64)>,
}

impl Chunk {
    fn mark(&self, marker: &mut Marker) {
        let mut at = MAX_LINE;
        for &(end, place) in &self.frames {
            marker.text(&self.octets[at..end]);
            marker.frame(place);
            at = end;
        }
        marker.text(&self.octets[at..self.end]);
    }
}

/// A thread that decompresses ahead of the reader of the lines, and makes the marks where they are asked for: that costs
/// more than all else that is done with a line.
struct Reading {
    chunks: Receiver<Result<Chunk, ListError>>,
    used: SyncSender<Chunk>,
    thread: JoinHandle<(Option<Marker>, Sha256)>,
    ended: bool,
}

impl Reading {
    fn start(mut source: Source, marked: bool) -> Result<Self, ListError> {
        let (give, chunks) = sync_channel(1);
        let (used, again) = sync_channel::<Chunk>(2);
        if marked {
            source.frames = source.frames.hashed();
        }
        let thread = std::thread::Builder::new().name("read".into()).spawn(move || {
            let mut marker = marked.then(Marker::default);
            loop {
                let chunk = source.read(again.try_recv().unwrap_or_default());
                if let (Some(marker), Ok(chunk)) = (&mut marker, &chunk) {
                    chunk.mark(marker);
                }
                let last = chunk.as_ref().map_or(true, |chunk| chunk.end == MAX_LINE);
                // fails where nobody reads any more
                if give.send(chunk).is_err() || last {
                    return (marker, source.frames.hash());
                }
            }
        });
        let thread = thread.map_err(|error| ListError::new("internal", format!("no thread to read: {error}")))?;
        Ok(Self { chunks, used, thread, ended: false })
    }

    /// The next chunk, `None` after the last; one without octets, where a frame has none.
    fn next(&mut self) -> Result<Option<Chunk>, ListError> {
        if self.ended {
            return Ok(None);
        }
        let chunk = self.chunks.recv().map_err(|_| failed())??;
        self.ended = chunk.end == MAX_LINE;
        Ok((!self.ended || !chunk.frames.is_empty()).then_some(chunk))
    }

    /// Returns a chunk that was read: the thread uses its memory again.
    fn give_back(&self, chunk: Chunk) {
        let _ = self.used.try_send(chunk);
    }

    /// The marks where they were asked for, and the hash of the file where it was.
    fn finish(self) -> Result<(Option<Marker>, Sha256), ListError> {
        drop(self.chunks);
        self.thread.join().map_err(|_| failed())
    }
}

fn failed() -> ListError {
    ListError::new("internal", "the reading thread failed")
}

/// What comes out of a compressed file, chunk by chunk.
struct Source {
    frames: Frames,
    /// Octets that are wanted of it.
    wanted: u64,
}

impl Source {
    fn new(frames: Frames) -> Self {
        Self { frames, wanted: u64::MAX }
    }

    /// The next chunk, in the memory of one that was read; empty after the last.
    fn read(&mut self, mut chunk: Chunk) -> Result<Chunk, ListError> {
        chunk.frames.clear();
        chunk.octets.resize(MAX_LINE + CHUNK, 0);
        chunk.end = MAX_LINE;
        let full = MAX_LINE + usize::try_from(self.wanted).unwrap_or(CHUNK).min(CHUNK);
        while chunk.end < full && self.frames.more()? {
            let (octets, ends) = self.frames.read(&mut chunk.octets[chunk.end..full])?;
            chunk.end += octets;
            if ends {
                chunk.frames.pop_if(|(end, _)| *end == chunk.end);
                chunk.frames.push((chunk.end, self.frames.place()));
            }
        }
        self.wanted -= (chunk.end - MAX_LINE) as u64;
        Ok(chunk)
    }
}
