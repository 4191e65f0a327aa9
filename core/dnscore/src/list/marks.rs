//! The marks of a document: where its frames end, and the hash of all lines up to there.
//!
//! Enters: a document while it is read or written: its lines and, apart from them, the octets of its file. Leaves: what
//! the lines come to ([`Summary`]), and marks that this machine may keep in a file of its own. With marks a step from the
//! document begins with the frame in which the first change falls: the lines before it were hashed once.
//!
//! Rules
//! - Marks hold for one file, which they name by its SHA-256: that is compared before anything is taken from them, here or
//!   by the caller.
//! - They are a shortcut. Where they are missing, damaged or of another file, the lines are hashed from the first on.
//! - They are worth as much as the folder that they are in: the process that hashed the lines wrote them there. They do
//!   not travel, and nobody signs them.
//!
//! The file: a heading; the SHA-256 of the document's file; for each mark three numbers of eight octets (little-endian)
//! and the state of SHA-256; the SHA-256 of all that.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest, Sha256};

use super::beside::beside;
use super::frames::FRAME;

const HEADING: &[u8] = b"stopsign marks 1\n";
const DIGEST: usize = 32;
/// Octets of a file that are hashed at a time.
const BLOCK: usize = 1 << 16;

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

/// How far a document has come where a frame ends, with the end of a line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mark {
    /// Octets of the file.
    pub file: u64,
    /// Octets of lines.
    pub size: u64,
    pub entries: u64,
    /// Of all lines up to here.
    pub hash: Sha256,
}

impl Mark {
    fn is_before(&self, other: &Self) -> bool {
        self.file <= other.file && self.size <= other.size && self.entries <= other.entries
    }

    /// Whether the lines up to both are the same, however they are compressed.
    fn agrees(&self, other: &Self) -> bool {
        self.size == other.size && self.hash.clone().finalize() == other.hash.clone().finalize()
    }
}

/// All marks of a document, the last at its end.
#[derive(Debug)]
pub(crate) struct Marks {
    /// SHA-256 of the file.
    pub file: [u8; DIGEST],
    pub all: Vec<Mark>,
}

impl Marks {
    /// What is done with the marks in the file at `path`. `None` where there are none, or not those of this document: the
    /// document's file is hashed meanwhile, unless it was `compared` with them before.
    pub fn with<T>(document: &Path, path: Option<&Path>, compared: bool, work: impl FnOnce(&Self) -> T) -> Option<T> {
        let marks = Self::of(document, path?)?;
        if compared {
            return Some(work(&marks));
        }
        let (done, file) = beside("hash", || file_hash(document), || work(&marks));
        (file.ok()?? == marks.file).then_some(done)
    }

    /// The marks in the file at `path`, which may be those of this document: they name its length.
    pub fn of(document: &Path, path: &Path) -> Option<Self> {
        let marks = Self::parse(&fs::read(path).ok()?)?;
        (marks.all.last()?.file == fs::metadata(document).ok()?.len()).then_some(marks)
    }

    /// Of a document that has come to `at`: that mark, and the one after it.
    pub fn after(&self, at: &Mark) -> Option<(&Mark, &Mark)> {
        self.all.windows(2).find(|pair| pair[0].agrees(at)).map(|pair| (&pair[0], &pair[1]))
    }

    /// What the lines come to.
    pub fn summary(&self) -> Summary {
        let Mark { size, entries, hash, .. } = self.all.last().cloned().unwrap_or_default();
        Summary { entries, size, state: state_of(hash) }
    }

    /// Keep them for this machine. The caller need not make them durable: what is damaged is not used. Where they cannot be
    /// written there are none, which is no error.
    pub fn write(&self, path: &Path) {
        let mut octets = [HEADING, &self.file].concat();
        for mark in &self.all {
            for number in [mark.file, mark.size, mark.entries] {
                octets.extend_from_slice(&number.to_le_bytes());
            }
            octets.extend_from_slice(&mark.hash.serialize());
        }
        octets.extend_from_slice(&Sha256::digest(&octets));
        if fs::write(path, octets).is_err() {
            let _ = fs::remove_file(path);
        }
    }

    fn parse(octets: &[u8]) -> Option<Self> {
        let (octets, check) = octets.split_last_chunk::<DIGEST>()?;
        if Sha256::digest(octets).as_slice() != check {
            return None;
        }
        let (file, mut rest) = octets.strip_prefix(HEADING)?.split_first_chunk::<DIGEST>()?;
        let mut all: Vec<Mark> = Vec::new();
        while !rest.is_empty() {
            let mut number = || {
                let (number, after) = rest.split_first_chunk::<8>()?;
                rest = after;
                Some(u64::from_le_bytes(*number))
            };
            let (file, size, entries) = (number()?, number()?, number()?);
            let (hash, after) = rest.split_at_checked(size_of::<SerializedState<Sha256>>())?;
            let hash = Sha256::deserialize(hash.try_into().ok()?).ok()?;
            rest = after;
            let mark = Mark { file, size, entries, hash };
            if all.last().is_some_and(|last| !last.is_before(&mark)) {
                return None;
            }
            all.push(mark);
        }
        Some(Self { file: *file, all })
    }
}

/// Makes the marks of a document.
#[derive(Default)]
pub(crate) struct Marker {
    /// How far it has come.
    at: Mark,
    marks: Vec<Mark>,
    /// In the middle of a line.
    inside: bool,
}

impl Marker {
    /// Lines, or parts of them.
    pub fn text(&mut self, text: &[u8]) {
        self.at.hash.update(text);
        self.at.size += text.len() as u64;
        self.at.entries += count(text);
        if let Some(last) = text.last() {
            self.inside = *last != b'\n';
        }
    }

    /// A frame ends, `octets` into the file. It is marked where it is long enough, so that there are few marks,
    /// however the frames were cut.
    pub fn frame(&mut self, octets: u64) {
        self.at.file = octets;
        let long = self.at.size >= self.marks.last().map_or(0, |mark| mark.size) + FRAME as u64;
        if !self.inside && long {
            self.marks.push(self.at.clone());
        }
    }

    /// A frame of a document that is the same up to this mark.
    pub fn same(&mut self, mark: Mark) {
        self.marks.push(mark.clone());
        self.at = mark;
    }

    /// How far it has come.
    pub fn at(&self) -> &Mark {
        &self.at
    }

    /// After the last line; `file`: the hash of the whole file.
    pub fn finish(self, file: Sha256) -> Marks {
        let mut all = self.marks;
        if all.last().is_none_or(|mark| mark.file < self.at.file || mark.size < self.at.size) {
            all.push(self.at);
        }
        Marks { file: file.finalize().into(), all }
    }
}

/// What the lines of a document come to by the marks in a file; `None` where these are not those of the document.
#[must_use]
pub fn marked(document: &Path, marks: &Path) -> Option<Summary> {
    Marks::with(document, Some(marks), false, Marks::summary)
}

/// The state that a hash of lines names.
pub(crate) fn state_of(hash: Sha256) -> String {
    hash.finalize().iter().fold(String::from("sha256:"), |text, byte| format!("{text}{byte:02x}"))
}

/// How many lines end here.
#[must_use]
pub fn count(text: &[u8]) -> u64 {
    let in_chunk = |chunk: &[u8]| chunk.iter().fold(0u8, |count, &byte| count.wrapping_add(u8::from(byte == b'\n')));
    text.chunks(128).map(|chunk| u64::from(in_chunk(chunk))).sum()
}

fn file_hash(path: &Path) -> Option<[u8; DIGEST]> {
    let (mut file, mut hash, mut block) = (File::open(path).ok()?, Sha256::new(), vec![0; BLOCK]);
    loop {
        match file.read(&mut block).ok()? {
            0 => return Some(hash.finalize().into()),
            read => hash.update(&block[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(all: Vec<Mark>) -> Option<Marks> {
        let path = std::env::temp_dir().join(format!("stopsign-marks-{}-{}", std::process::id(), all.len()));
        Marks { file: [7; DIGEST], all }.write(&path);
        let found = Marks::parse(&fs::read(&path).expect("what was written"));
        fs::remove_file(&path).expect("what was written");
        found
    }

    fn mark(at: u64) -> Mark {
        Mark { file: at, size: 9 * at, entries: at / 4, hash: Sha256::new_with_prefix(at.to_le_bytes()) }
    }

    #[test]
    fn what_is_written_comes_back_and_goes_on() {
        let found = written(vec![mark(4), mark(8), mark(8)]).expect("marks");
        assert_eq!((found.file, found.all.len()), ([7; DIGEST], 3));
        let mut hash = found.all[1].hash.clone();
        hash.update(b"more");
        assert_eq!(state_of(hash), state_of(Sha256::new_with_prefix(8_u64.to_le_bytes()).chain_update(b"more")));
    }

    #[test]
    fn marks_that_go_back_are_none() {
        assert!(written(vec![mark(8), mark(4)]).is_none());
    }
}
