//! The frames of a compressed document, one after the other: what is in them, and they themselves.
//!
//! Enters: a zstd file of one or several frames, and how many octets may come out of it. Leaves: octets as the caller has
//! room for them, never of two frames at once; or pieces of at most [`LARGEST`] octets and a line. Memory: a read buffer,
//! the decompressor's window, a piece.
//!
//! Rules
//! - One octet more than was announced is decompressed at most.
//! - A file that breaks off within a frame is refused, and one without any.
//! - At most [`MOST_HOLLOW`] frames in a row hold nothing (skippable ones, RFC 8878, 3.1.2, and empty ones). Encoders write
//!   fewer: pzstd one before each frame, the seekable format one at the end, ours none but for an empty document.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use zstd::stream::raw::{DParameter, Decoder, Operation};

use super::entry::MAX_LINE;
use super::types::ListError;

/// Octets of lines that a frame of ours holds at least, but for the last one: what zstd compresses as one job.
pub(crate) const FRAME: usize = 8 << 20;
/// Octets of lines that no frame of ours exceeds by more than a line.
pub(crate) const LARGEST: usize = 2 * FRAME;
/// More frames than this are not looked at one by one: of ours none has so many.
pub(crate) const MANY: usize = 1 << 12;
/// No decompression window is larger (as power of two): 8 MiB, which RFC 8878 (3.1.1.1.2) asks all encoders to keep to. Ours
/// need 2 MiB.
const MAX_WINDOW_LOG: u32 = 23;
/// So many frames in a row may hold nothing.
const MOST_HOLLOW: u32 = 8;
const INPUT: usize = 1 << 16;
/// Octets that are read at a time to see where blocks end: most blocks are longer.
const HEADERS: usize = 1 << 12;
/// Octets of a piece.
const ROOM: usize = LARGEST + MAX_LINE;

/// A compressed file while its frames are read.
pub(crate) struct Frames {
    file: File,
    path: PathBuf,
    decoder: Decoder<'static>,
    /// Read and not yet decompressed: `input[from..to]`.
    input: Vec<u8>,
    from: usize,
    to: usize,
    /// Octets of the file before `from`.
    place: u64,
    /// Their hash, where it was asked for.
    hash: Option<Sha256>,
    /// Octets that may still come.
    left: u64,
    /// In the middle of a frame.
    inside: bool,
    /// Something came out of it.
    filled: bool,
    /// Frames in a row that held nothing.
    hollow: u32,
}

/// What comes next out of a file, in memory that is used again.
pub(crate) struct Piece {
    text: Vec<u8>,
    end: usize,
    /// What it came from, as far as that is no longer than a piece.
    frame: Vec<u8>,
    /// It is all of a frame.
    pub whole: bool,
    /// A frame ends here.
    pub ends: bool,
}

impl Piece {
    pub fn new() -> Self {
        Self { text: vec![0; ROOM], end: 0, frame: Vec::new(), whole: false, ends: false }
    }

    pub fn text(&self) -> &[u8] {
        &self.text[..self.end]
    }

    /// The frame, where this is all of one.
    pub fn frame(&self) -> &[u8] {
        &self.frame
    }
}

impl Frames {
    /// Open a file of at most `size` octets uncompressed.
    pub fn open(path: &Path, size: u64) -> Result<Self, ListError> {
        let unreadable = |error| ListError::of_file("unreadable", path, &error);
        let file = File::open(path).map_err(unreadable)?;
        if file.metadata().map_err(unreadable)?.len() == 0 {
            return Err(damaged(path, &"it is empty"));
        }
        let mut decoder = Decoder::new().map_err(unreadable)?;
        decoder.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG)).map_err(unreadable)?;
        Ok(Self {
            file,
            path: path.into(),
            decoder,
            input: vec![0; INPUT],
            from: 0,
            to: 0,
            place: 0,
            hash: None,
            left: size,
            inside: false,
            filled: false,
            hollow: 0,
        })
    }

    /// Hashes the file too, from here on.
    pub fn hashed(mut self) -> Self {
        self.hash = Some(Sha256::new());
        self
    }

    /// The hash of the octets that were taken.
    pub fn hash(self) -> Sha256 {
        self.hash.unwrap_or_default()
    }

    /// Octets of the file that were taken.
    pub fn place(&self) -> u64 {
        self.place
    }

    /// Whether something follows.
    pub fn more(&mut self) -> Result<bool, ListError> {
        Ok(self.inside || self.fill()?)
    }

    /// Decompress up to as many octets as there is room for; fewer, where a frame ends. How many, and whether one does.
    /// None come after the last frame.
    pub fn read(&mut self, room: &mut [u8]) -> Result<(usize, bool), ListError> {
        self.read_keeping(room, None)
    }

    /// The next piece; false after the last.
    pub fn next(&mut self, piece: &mut Piece) -> Result<bool, ListError> {
        piece.end = 0;
        piece.frame.clear();
        let begins = !self.inside;
        if !self.more()? {
            return Ok(false);
        }
        let kept = begins.then_some(&mut piece.frame);
        (piece.end, piece.ends) = self.read_keeping(&mut piece.text, kept)?;
        piece.whole = begins && piece.ends && piece.frame.len() <= ROOM;
        Ok(true)
    }

    /// Goes on at a frame that begins at this octet of the file.
    pub fn seek(&mut self, place: u64) -> Result<(), ListError> {
        self.file.seek(SeekFrom::Start(place)).map_err(|error| self.unread(&error))?;
        (self.from, self.to, self.place) = (0, 0, place);
        (self.inside, self.filled, self.hollow) = (false, false, 0);
        self.decoder.reinit().map_err(|error| self.damaged(&error))
    }

    /// The octets of the file from one place to another, as they are.
    pub fn raw(&self, from: u64, to: u64) -> Result<Vec<u8>, ListError> {
        let length = usize::try_from(to.saturating_sub(from)).map_err(|error| self.damaged(&error))?;
        let mut octets = vec![0; length];
        self.file.read_exact_at(&mut octets, from).map_err(|error| self.unread(&error))?;
        Ok(octets)
    }

    /// How the frame begins that begins at this octet of the file: a line of it, or all of a frame without one.
    pub fn beginning(&mut self, place: u64, beginning: &mut Vec<u8>) -> Result<(), ListError> {
        self.seek(place)?;
        beginning.resize(MAX_LINE, 0);
        // it comes again, where the frame is read
        let left = self.left;
        let (octets, _) = self.read(beginning)?;
        self.left = left;
        beginning.truncate(octets);
        Ok(())
    }

    /// Where each frame begins (RFC 8878, 3.1.1), without looking into any: of more than [`MANY`] of them so many and one.
    pub fn places(&mut self) -> Result<Vec<u64>, ListError> {
        self.seek(0)?;
        let length = self.file.metadata().map_err(|error| self.unread(&error))?.len();
        let (mut places, mut headers) = (Vec::new(), BufReader::with_capacity(HEADERS, &self.file));
        let mut at = 0;
        while at < length && places.len() <= MANY {
            places.push(at);
            at += self.frame_length(&mut headers)?;
        }
        self.seek(0)?;
        Ok(places)
    }

    /// Octets of the frame that comes next, which is passed over.
    fn frame_length(&self, file: &mut BufReader<&File>) -> Result<u64, ListError> {
        let unread = |error| self.unread(&error);
        // no frame is shorter
        let mut head = [0; 8];
        file.read_exact(&mut head).map_err(unread)?;
        let [a, b, c, d, rest @ ..] = head;
        if let [0x50..=0x5F, 0x2A, 0x4D, 0x18] = [a, b, c, d] {
            // a skippable frame (3.1.2): its length, and what nobody reads
            let length = u32::from_le_bytes(rest);
            file.seek_relative(length.into()).map_err(unread)?;
            return Ok(8 + u64::from(length));
        }
        let ([0x28, 0xB5, 0x2F, 0xFD], [descriptor, ..]) = ([a, b, c, d], rest) else {
            return Err(self.damaged(&"it is no frame"));
        };
        let single = descriptor >> 5 & 1;
        let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let content = [single, 2, 4, 8][usize::from(descriptor >> 6)];
        let header = 5 + (1 - single) + dictionary + content;
        file.seek_relative(i64::from(header) - 8).map_err(unread)?;
        let mut length = u64::from(header);
        loop {
            let mut block = [0; 3];
            file.read_exact(&mut block).map_err(unread)?;
            let block = u32::from_le_bytes([block[0], block[1], block[2], 0]);
            let last = block & 1 == 1;
            // one octet stands for all of a block that repeats it; after the last there may be a checksum
            let octets = if block >> 1 & 3 == 1 { 1 } else { block >> 3 };
            let octets = octets + if last { u32::from(descriptor & 4) } else { 0 };
            file.seek_relative(octets.into()).map_err(unread)?;
            length += 3 + u64::from(octets);
            if last {
                return Ok(length);
            }
        }
    }

    /// Whether there is something to decompress.
    fn fill(&mut self) -> Result<bool, ListError> {
        if self.from == self.to {
            let read = self.file.read(&mut self.input);
            (self.from, self.to) = (0, read.map_err(|error| self.unread(&error))?);
        }
        Ok(self.from < self.to)
    }

    /// As `read`; what it came from goes to `kept`.
    fn read_keeping(&mut self, room: &mut [u8], mut kept: Option<&mut Vec<u8>>) -> Result<(usize, bool), ListError> {
        // one octet more than may come, so that a longer file shows
        let end = room.len().min(usize::try_from(self.left.saturating_add(1)).unwrap_or(usize::MAX));
        let mut at = 0;
        while at < end {
            // without input, what the decoder still holds comes out
            let more = self.fill()?;
            if !more && !self.inside {
                break;
            }
            let done = self.decoder.run_on_buffers(&self.input[self.from..self.to], &mut room[at..end]);
            let done = done.map_err(|error| self.damaged(&error))?;
            if !more && done.bytes_written == 0 && done.remaining > 0 {
                return Err(self.damaged(&"it breaks off"));
            }
            let taken = &self.input[self.from..self.from + done.bytes_read];
            if let Some(hash) = &mut self.hash {
                hash.update(taken);
            }
            if let Some(kept) = &mut kept
                && kept.len() <= ROOM
            {
                kept.extend_from_slice(taken);
            }
            self.from += done.bytes_read;
            self.place += done.bytes_read as u64;
            self.inside = done.remaining > 0;
            self.filled |= done.bytes_written > 0;
            at += done.bytes_written;
            self.left = self.left.checked_sub(done.bytes_written as u64).ok_or_else(|| {
                ListError::new("too-large", format!("{}: more octets than were announced", self.path.display()))
            })?;
            if !self.inside {
                self.hollow = if std::mem::take(&mut self.filled) { 0 } else { self.hollow + 1 };
                if self.hollow > MOST_HOLLOW {
                    return Err(self.damaged(&format!("more than {MOST_HOLLOW} frames in a row hold nothing")));
                }
                return Ok((at, true));
            }
        }
        Ok((at, false))
    }

    /// The disk's trouble; or the file ends too soon.
    fn unread(&self, error: &io::Error) -> ListError {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return self.damaged(error);
        }
        ListError::of_file("unreadable", &self.path, error)
    }

    fn damaged(&self, why: &dyn std::fmt::Display) -> ListError {
        damaged(&self.path, why)
    }
}

fn damaged(path: &Path, why: &dyn std::fmt::Display) -> ListError {
    ListError::new("damaged", format!("{}: not a whole zstd file: {why}", path.display()))
}
