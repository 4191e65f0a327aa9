//! The frames of a compressed document, one after the other: what is in them, and they themselves.
//!
//! Enters: a zstd file of one or several frames, and how many octets may come out of it. Leaves: octets as the caller has
//! room for them, never of two frames at once; or pieces of at most [`LARGEST`] octets and a line. Memory: a read buffer.
//!
//! Rules: one octet more than was announced is decompressed at most; a file that breaks off within a frame is refused.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
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
/// No decompression window is larger (as power of two): what the issuer's half writes and reads.
const MAX_WINDOW_LOG: u32 = 27;
const INPUT: usize = 1 << 16;

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
}

/// What comes next out of a file, in memory that is used again.
pub(crate) struct Piece {
    text: Vec<u8>,
    end: usize,
    /// What it came from.
    frame: Vec<u8>,
    /// It is all of a frame.
    pub whole: bool,
    /// A frame ends here.
    pub ends: bool,
}

impl Piece {
    pub fn new() -> Self {
        Self { text: vec![0; LARGEST + MAX_LINE], end: 0, frame: Vec::new(), whole: false, ends: false }
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
        piece.whole = begins && piece.ends;
        Ok(true)
    }

    /// Goes on at a frame that begins at this octet of the file.
    pub fn seek(&mut self, place: u64) -> Result<(), ListError> {
        self.file.seek(SeekFrom::Start(place)).map_err(|error| self.damaged(&error))?;
        (self.from, self.to, self.place, self.inside) = (0, 0, place, false);
        self.decoder.reinit().map_err(|error| self.damaged(&error))
    }

    /// The octets of the file from one place to another, as they are.
    pub fn raw(&self, from: u64, to: u64) -> Result<Vec<u8>, ListError> {
        let length = usize::try_from(to.saturating_sub(from)).map_err(|error| self.damaged(&error))?;
        let mut octets = vec![0; length];
        self.read_at(from, &mut octets)?;
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

    /// Where each frame begins (RFC 8878, 3.1.1), without looking into any.
    pub fn places(&mut self) -> Result<Vec<u64>, ListError> {
        let length = self.file.metadata().map_err(|error| self.damaged(&error))?.len();
        let (mut places, mut at) = (Vec::new(), 0);
        if length == 0 {
            return Err(self.damaged(&"it is empty"));
        }
        while at < length {
            places.push(at);
            at = self.frame_end(at)?;
        }
        Ok(places)
    }

    /// Where the frame ends that begins at this octet of the file.
    fn frame_end(&mut self, begin: u64) -> Result<u64, ListError> {
        let mut head = [0; 5];
        self.read_at(begin, &mut head)?;
        if let [0x50..=0x5F, 0x2A, 0x4D, 0x18, _] = head {
            // a skippable frame (3.1.2): its length, and what nobody reads
            let mut length = [0; 4];
            self.read_at(begin + 4, &mut length)?;
            return Ok(begin + 8 + u64::from(u32::from_le_bytes(length)));
        }
        let [0x28, 0xB5, 0x2F, 0xFD, descriptor] = head else { return Err(self.damaged(&"it is no frame")) };
        let single = descriptor >> 5 & 1;
        let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let content = [u64::from(single), 2, 4, 8][usize::from(descriptor >> 6)];
        let mut at = begin + 5 + u64::from(1 - single) + dictionary + content;
        loop {
            let mut block = [0; 3];
            self.read_at(at, &mut block)?;
            let block = u32::from_le_bytes([block[0], block[1], block[2], 0]);
            // one octet stands for all of a block that repeats it
            let octets = if block >> 1 & 3 == 1 { 1 } else { block >> 3 };
            at += 3 + u64::from(octets);
            if block & 1 == 1 {
                return Ok(at + u64::from(descriptor & 4));
            }
        }
    }

    fn read_at(&self, place: u64, octets: &mut [u8]) -> Result<(), ListError> {
        self.file.read_exact_at(octets, place).map_err(|error| self.damaged(&error))
    }

    /// Whether there is something to decompress.
    fn fill(&mut self) -> Result<bool, ListError> {
        if self.from == self.to {
            let read = self.file.read(&mut self.input);
            (self.from, self.to) = (0, read.map_err(|error| self.damaged(&error))?);
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
            if let Some(kept) = &mut kept {
                kept.extend_from_slice(taken);
            }
            self.from += done.bytes_read;
            self.place += done.bytes_read as u64;
            self.inside = done.remaining > 0;
            at += done.bytes_written;
            self.left = self.left.checked_sub(done.bytes_written as u64).ok_or_else(|| {
                ListError::new("too-large", format!("{}: more octets than were announced", self.path.display()))
            })?;
            if !self.inside {
                return Ok((at, true));
            }
        }
        Ok((at, false))
    }

    fn damaged(&self, why: &dyn std::fmt::Display) -> ListError {
        ListError::new("damaged", format!("{}: not a whole zstd file: {why}", self.path.display()))
    }
}
