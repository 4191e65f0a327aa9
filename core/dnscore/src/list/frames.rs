//! The frames of a compressed document, one after the other: what is in them, and they themselves.
//!
//! Enters: a zstd file of one or several frames, and how many octets may come out of it. Leaves: pieces of at most
//! [`LARGEST`] octets and a line. Memory: one piece, and the frame that it came in.
//!
//! Rules: not a byte is decompressed beyond the announced size; a file that breaks off within a frame is refused.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use zstd::stream::raw::{DParameter, Decoder, Operation};

use super::entry::MAX_LINE;
use super::lines::MAX_WINDOW_LOG;
use super::types::ListError;
use super::written::LARGEST;

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
    /// Octets that may still come.
    left: u64,
    /// In the middle of a frame.
    inside: bool,
    text: Vec<u8>,
    end: usize,
    frame: Vec<u8>,
}

/// What comes next out of a file.
pub(crate) struct Piece<'f> {
    pub text: &'f [u8],
    /// The frame that holds just this text; `None` where that is longer than frames are.
    pub frame: Option<&'f [u8]>,
    /// A frame ends here.
    pub ends: bool,
    /// Nothing follows.
    pub last: bool,
}

impl Frames {
    /// Open a file of at most `size` octets uncompressed.
    pub fn open(path: &Path, size: u64) -> Result<Self, ListError> {
        let unreadable = |error| ListError::new("unreadable", format!("{}: {error}", path.display()));
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
            left: size,
            inside: false,
            text: vec![0; LARGEST + MAX_LINE],
            end: 0,
            frame: Vec::new(),
        })
    }

    /// The next piece; `None` after the last.
    pub fn next(&mut self) -> Result<Option<Piece<'_>>, ListError> {
        self.end = 0;
        self.frame.clear();
        let mut whole = !self.inside;
        if !self.inside && !self.fill()? {
            return Ok(None);
        }
        while self.end < self.text.len() {
            self.step(whole, self.text.len())?;
            if !self.inside {
                let last = !self.fill()?;
                let frame = whole.then_some(self.frame.as_slice());
                return Ok(Some(Piece { text: &self.text[..self.end], frame, ends: true, last }));
            }
            // a frame that is longer than a piece is not kept
            whole &= self.end < self.text.len();
        }
        Ok(Some(Piece { text: &self.text[..self.end], frame: None, ends: false, last: false }))
    }

    /// Goes on at a frame that begins at this octet of the file.
    pub fn seek(&mut self, place: u64) -> Result<(), ListError> {
        self.file.seek(SeekFrom::Start(place)).map_err(|error| self.damaged(&error))?;
        (self.from, self.to, self.inside) = (0, 0, false);
        self.decoder.reinit().map_err(|error| self.damaged(&error))
    }

    /// How the frame begins that begins at this octet of the file: a line of it, or all of a frame without one.
    pub fn beginning(&mut self, place: u64) -> Result<&[u8], ListError> {
        self.seek(place)?;
        self.end = 0;
        self.frame.clear();
        // it comes again, where the frame is read
        let left = self.left;
        self.step(false, MAX_LINE)?;
        while self.inside && self.end < MAX_LINE {
            self.step(false, MAX_LINE)?;
        }
        self.left = left;
        Ok(&self.text[..self.end])
    }

    /// Where each frame begins (RFC 8878, 3.1.1), without looking into any.
    pub fn places(&mut self) -> Result<Vec<u64>, ListError> {
        let length = self.file.metadata().map_err(|error| self.damaged(&error))?.len();
        let (mut places, mut at) = (Vec::new(), 0);
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

    fn read_at(&mut self, place: u64, octets: &mut [u8]) -> Result<(), ListError> {
        let read = self.file.seek(SeekFrom::Start(place)).and_then(|_| self.file.read_exact(octets));
        read.map_err(|error| self.damaged(&error))
    }

    /// Whether there is something to decompress.
    fn fill(&mut self) -> Result<bool, ListError> {
        if self.from == self.to {
            let read = self.file.read(&mut self.input);
            (self.from, self.to) = (0, read.map_err(|error| self.damaged(&error))?);
        }
        Ok(self.from < self.to)
    }

    /// Decompress some octets more, up to the `limit`th of the piece. `kept`: what they came from is kept too.
    fn step(&mut self, kept: bool, limit: usize) -> Result<(), ListError> {
        // without input, what the decoder still holds comes out
        let more = self.fill()?;
        let input = &self.input[self.from..self.to];
        let done = self.decoder.run_on_buffers(input, &mut self.text[self.end..limit]);
        let done = done.map_err(|error| self.damaged(&error))?;
        if !more && done.bytes_written == 0 && done.remaining > 0 {
            return Err(self.damaged(&"it breaks off"));
        }
        if kept {
            self.frame.extend_from_slice(&self.input[self.from..self.from + done.bytes_read]);
        }
        self.from += done.bytes_read;
        self.end += done.bytes_written;
        self.inside = done.remaining > 0;
        self.left = self.left.checked_sub(done.bytes_written as u64).ok_or_else(|| {
            ListError::new("too-large", format!("{}: more octets than were announced", self.path.display()))
        })?;
        Ok(())
    }

    fn damaged(&self, why: &dyn std::fmt::Display) -> ListError {
        ListError::new("damaged", format!("{}: not a whole zstd file: {why}", self.path.display()))
    }
}
