//! A compressed document, or a step, in the making: whole lines go in, zstd frames come out.
//!
//! Enters: canonical lines in their order, and frames of another document that may be taken over as they are. Leaves: a
//! file, and its [`Marks`]. The caller makes the file durable. What is compressed, hashed and written goes to a thread of
//! its own, frame by frame, while the caller makes the next one.
//!
//! Rules
//! - The same lines make the same file, by whatever steps they came, where all of its frames were made here. What is signed
//!   is the file's hash, and another desk makes the file again, from the same file and step.
//! - Where a frame ends depends on the lines in it alone: with the first line beyond [`FRAME`] octets whose [`is_last`] bits
//!   say so, at the latest with the one that reaches [`LARGEST`]. So a change has one frame written again, and all
//!   others stay as they are.
//! - Up to [`FRAME`] octets a document is one frame, compressed as `blocklists/document.py` does it, octet for octet. Of
//!   several frames none is compressed at a higher level than [`LONG`].
//! - Whatever becomes of a [`Writer`], its thread has ended when it is gone: another one may write the same file.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};

use super::frames::{FRAME, LARGEST, Piece};
use super::lines::{lines_of, whole_lines};
use super::marks::{Mark, Marker, Marks};
use super::output::unwritable;
use super::types::ListError;

/// One line of so many may end a frame.
const ONE_IN: u32 = 1 << 10;
/// The highest level of a document of several frames: of real names 2 in 100 octets more than at level 6 come of it, in a
/// fifth of the time.
const LONG: i32 = 2;

/// A file in the making.
pub(crate) struct Writer {
    level: i32,
    /// Lines of the frame that is being filled.
    text: Vec<u8>,
    /// Frames were given away.
    frames: bool,
    /// Octets of lines so far, and what they may come to.
    size: u64,
    limit: u64,
    /// `None` at the end.
    jobs: Option<SyncSender<Job>>,
    /// Jobs that are done and whose memory is used again.
    done: Receiver<Job>,
    /// `None` after an error of it.
    thread: Option<JoinHandle<Result<Marks, ListError>>>,
}

enum Job {
    /// Lines that make a frame, compressed at this level.
    Lines(Vec<u8>, i32),
    /// A frame that stays as it is, and what is in it.
    Frame(Piece),
    /// The same, up to a mark of a document with which all before it agrees.
    Marked(Vec<u8>, Mark),
    /// Says how far the document has come.
    Ask(Sender<Mark>),
}

impl Writer {
    /// Writes to `path`, in place of what was there, lines of at most `limit` octets.
    pub fn create(path: &Path, level: i32, limit: u64) -> Result<Self, ListError> {
        let file = File::create(path).map_err(|error| unwritable(path, &error))?;
        // the next frame is made meanwhile, and waits for the thread
        let (jobs, todo) = sync_channel(0);
        let (give, done) = channel();
        let back = Back { file, path: path.into(), written: 0, hash: Sha256::new(), marker: Marker::default() };
        let thread = std::thread::Builder::new().name("pack".into()).spawn(move || back.run(&todo, &give));
        let thread = Some(thread.map_err(|error| unwritable(path, &error))?);
        Ok(Self { level, text: Vec::new(), frames: false, size: 0, limit, jobs: Some(jobs), done, thread })
    }

    /// Writes whole lines.
    pub fn write(&mut self, mut lines: &[u8]) -> Result<(), ListError> {
        self.grow(lines.len() as u64)?;
        while let Some(end) = frame_end(self.text.len(), lines) {
            self.text.extend_from_slice(&lines[..end]);
            let text = std::mem::take(&mut self.text);
            self.give(Job::Lines(text, self.level.min(LONG)))?;
            self.reclaim();
            lines = &lines[end..];
        }
        self.text.extend_from_slice(lines);
        Ok(())
    }

    /// Writes all lines of a frame of another document; the frame itself, where it is the one that would be made here. The
    /// piece is another one then. `last`: no line follows, and frames stand before it as they did there, or none.
    pub fn write_frame(&mut self, piece: &mut Piece, last: bool) -> Result<(), ListError> {
        let lines = piece.text();
        let ends = frame_end(0, lines).map_or(last, |end| end == lines.len());
        if !self.between() || !ends {
            return self.write(lines);
        }
        self.grow(lines.len() as u64)?;
        let other = self.reclaim().unwrap_or_else(Piece::new);
        self.give(Job::Frame(std::mem::replace(piece, other)))
    }

    /// Takes over a frame, or several, up to a mark of a document that they are in. All lines so far are that document's,
    /// up to the mark before.
    pub fn take(&mut self, frame: Vec<u8>, mark: &Mark) -> Result<(), ListError> {
        self.grow(mark.size - self.size)?;
        self.give(Job::Marked(frame, mark.clone()))
    }

    /// How far the document has come, where the next line begins a frame and one is made.
    pub fn at(&mut self) -> Result<Mark, ListError> {
        let (ask, told) = channel();
        self.give(Job::Ask(ask))?;
        told.recv().map_err(|_| failed())
    }

    /// Whether the next line begins a frame.
    pub fn between(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether a frame is made.
    pub fn begun(&self) -> bool {
        self.frames
    }

    /// Writes the last frame.
    pub fn finish(mut self) -> Result<Marks, ListError> {
        if !self.frames || !self.text.is_empty() {
            let level = if self.frames { self.level.min(LONG) } else { self.level };
            let text = std::mem::take(&mut self.text);
            self.give(Job::Lines(text, level))?;
        }
        self.ended()
    }

    /// Lets the thread come to its end.
    fn ended(&mut self) -> Result<Marks, ListError> {
        self.jobs = None;
        let thread = self.thread.take();
        thread.and_then(|thread| thread.join().ok()).unwrap_or_else(|| Err(failed()))
    }

    fn grow(&mut self, octets: u64) -> Result<(), ListError> {
        self.size += octets;
        if self.size > self.limit {
            return Err(ListError::new("too-large", format!("more than {} octets come of it", self.limit)));
        }
        Ok(())
    }

    fn give(&mut self, job: Job) -> Result<(), ListError> {
        self.frames = true;
        if self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok()) {
            return Ok(());
        }
        // after an error the thread takes no more
        self.ended().and_then(|_| Err(failed()))
    }

    /// Takes back the memory of jobs that are done; that of a piece, if one is.
    fn reclaim(&mut self) -> Option<Piece> {
        let mut found = None;
        for job in self.done.try_iter() {
            match job {
                Job::Lines(text, _) if self.text.capacity() == 0 => self.text = text,
                Job::Frame(piece) => found = Some(piece),
                _ => {}
            }
        }
        found
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // an error of the thread was said, or the caller had another one
        let _ = self.ended();
    }
}

/// The thread that compresses, hashes and writes.
struct Back {
    file: File,
    path: PathBuf,
    written: u64,
    hash: Sha256,
    marker: Marker,
}

impl Back {
    fn run(mut self, todo: &Receiver<Job>, done: &Sender<Job>) -> Result<Marks, ListError> {
        for mut job in todo {
            match &mut job {
                Job::Lines(text, level) => {
                    self.compress(text, *level)?;
                    text.clear();
                }
                Job::Frame(piece) => {
                    self.marker.text(piece.text());
                    self.put(piece.frame())?;
                }
                Job::Marked(frame, mark) => {
                    self.file.write_all(frame).map_err(|error| unwritable(&self.path, &error))?;
                    self.hash.update(frame);
                    self.written = mark.file;
                    self.marker.same(mark.clone());
                }
                // both fail where the caller gave up
                Job::Ask(ask) => drop(ask.send(self.marker.at().clone())),
            }
            if matches!(job, Job::Lines(..) | Job::Frame(_)) {
                let _ = done.send(job);
            }
        }
        Ok(self.marker.finish(self.hash))
    }

    fn compress(&mut self, text: &[u8], level: i32) -> Result<(), ListError> {
        let begun = || -> io::Result<_> {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), level)?;
            // zstd writes other octets with a thread of its own than without, and documents were always written with one
            encoder.multithread(1)?;
            encoder.write_all(text)?;
            Ok(encoder)
        };
        let encoder = begun().map_err(|error| unwritable(&self.path, &error))?;
        self.marker.text(text);
        let frame = encoder.finish().map_err(|error| unwritable(&self.path, &error))?;
        self.put(&frame)
    }

    /// Writes a frame; what is in it is hashed already.
    fn put(&mut self, frame: &[u8]) -> Result<(), ListError> {
        self.file.write_all(frame).map_err(|error| unwritable(&self.path, &error))?;
        self.hash.update(frame);
        self.written += frame.len() as u64;
        self.marker.frame(self.written);
        Ok(())
    }
}

fn failed() -> ListError {
    ListError::new("internal", "the thread that writes failed")
}

/// Octets of `lines` up to where a frame ends that has `before` octets already; `None` where it goes on after them.
fn frame_end(before: usize, lines: &[u8]) -> Option<usize> {
    if before + lines.len() < FRAME {
        return None;
    }
    // no line that ends below the least size is looked at
    let skipped = FRAME.saturating_sub(before + 1).min(lines.len());
    let mut end = whole_lines(&lines[..skipped]).len();
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
