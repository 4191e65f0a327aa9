//! One document from another and a step, in one pass.
//!
//! Enters: the old document, whose state hash is checked as it streams by, and a step. Leaves: the new document, the step as
//! a file beside it where one is wanted, and what both come to. Memory does not grow with the list: a frame of the old
//! document, one of the new. Lines that no change touches are not looked at, and a frame of them is taken over as it
//! is.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::change::{Change, Sign, place_of};
use super::find::{cut_short, each_line};
use super::frames::{Frames, Piece};
use super::lines::{count, state_of};
use super::steps::{Steps, Walk};
use super::types::ListError;
use super::written::{Summary, Writer};

/// Octets within which the next change is looked for first.
const NEAR: usize = 1 << 10;

/// A document, and what was signed of it.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// The file.
    pub path: &'a Path,
    /// Octets, uncompressed.
    pub size: u64,
    /// `sha256:` and 64 digits; `None`: of what is kept here alone, nothing is signed.
    pub state: Option<&'a str>,
}

/// Where a step comes from.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// Made here.
    Made(&'a Steps),
    /// A delta file, and at most how many octets come out of it.
    File(&'a Path, u64),
}

/// Write to `new` what the old document becomes, in at most `limit` octets uncompressed, compressed at `level`; to `delta`
/// the step, at the level of what is published. The caller makes both durable.
///
/// # Errors
/// The old document is not the signed one; a line that is to go is not there; a file cannot be read or written.
pub fn apply(
    old: Option<Signed<'_>>,
    step: Origin<'_>,
    new: &Path,
    level: i32,
    limit: u64,
    delta: Option<&Path>,
) -> Result<(Summary, Option<Summary>), ListError> {
    let changes = match step {
        Origin::Made(steps) => Walk::of(steps)?,
        Origin::File(path, size) => Walk::read(path, size)?,
    };
    let delta = delta.map(|path| Writer::create(path, PUBLISHED, u64::MAX)).transpose()?;
    let mut merge = Merge { changes, new: Writer::create(new, level, limit)?, delta, before: None, last: Vec::new() };
    if let Some(old) = old {
        merge.document(old)?;
    }
    while let Some(change) = &merge.changes.next {
        if change.sign == Sign::Removed {
            return Err(missing());
        }
        merge.step()?;
    }
    Ok((merge.new.finish()?, merge.delta.map(Writer::finish).transpose()?))
}

/// The level of what is published.
const PUBLISHED: i32 = 6;

struct Merge<'s> {
    changes: Walk<'s>,
    new: Writer,
    delta: Option<Writer>,
    /// The hash of the old lines, from where the new ones are others.
    before: Option<Sha256>,
    /// Place of the last line of what is looked at.
    last: Vec<u8>,
}

impl Merge<'_> {
    fn document(&mut self, old: Signed<'_>) -> Result<(), ListError> {
        let mut frames = Frames::open(old.path, old.size)?;
        let mut rest = Vec::new();
        while let Some(Piece { text, frame, last, .. }) = frames.next()? {
            if rest.is_empty() && text.ends_with(b"\n") {
                self.lines(text, frame, last)?;
                continue;
            }
            // a frame that was cut elsewhere than at the end of a line
            rest.extend_from_slice(text);
            let end = rest.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            self.lines(&rest[..end], None, false)?;
            rest.drain(..end);
        }
        if !rest.is_empty() {
            return Err(cut_short());
        }
        let state = state_of(self.before.take().unwrap_or_else(|| self.new.hash().clone()));
        match old.state {
            Some(signed) if signed != state => {
                Err(ListError::new("state-hash", format!("the old lines have the state {state}, not {signed}")))
            }
            _ => Ok(()),
        }
    }

    /// The lines with those changes that fall among them.
    fn lines(&mut self, text: &[u8], frame: Option<&[u8]>, last: bool) -> Result<(), ListError> {
        if text.is_empty() {
            return Ok(());
        }
        let begin = text[..text.len() - 1].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        place_of(&text[begin..], &mut self.last)?;
        let touched = |change: &Change, last: &[u8]| change.place.as_slice() <= last;
        if !self.changes.next.as_ref().is_some_and(|change| touched(change, &self.last)) {
            if let Some(before) = &mut self.before {
                before.update(text);
            }
            return match frame {
                Some(frame) => self.new.write_frame(text, frame, last && self.changes.next.is_none()),
                None => self.new.write(text),
            };
        }
        self.before.get_or_insert_with(|| self.new.hash().clone()).update(text);
        let (mut at, mut place) = (0, Vec::new());
        while let Some(change) = &self.changes.next
            && touched(change, &self.last)
        {
            let here = first_from(text, at, &change.place, &mut place)?;
            self.new.write(&text[at..here])?;
            at = here;
            if change.sign == Sign::Removed {
                if !text[here..].starts_with(&change.line) {
                    return Err(missing());
                }
                at += change.line.len();
            }
            self.step()?;
        }
        self.new.write(&text[at..])
    }

    /// Writes the next change.
    fn step(&mut self) -> Result<(), ListError> {
        if let Some(change) = &self.changes.next {
            if change.sign == Sign::Added {
                self.new.write(&change.line)?;
            }
            if let Some(delta) = &mut self.delta {
                delta.write(&[&[change.sign.octet()], change.line.as_slice()].concat())?;
            }
        }
        self.changes.advance()
    }
}

/// What the lines of a document of at most `size` octets come to. None is looked at.
///
/// # Errors
/// The document cannot be read.
pub fn summary(document: &Path, size: u64) -> Result<Summary, ListError> {
    let mut frames = Frames::open(document, size)?;
    let (mut hash, mut entries, mut size) = (Sha256::new(), 0, 0);
    while let Some(Piece { text, .. }) = frames.next()? {
        hash.update(text);
        entries += count(text);
        size += text.len() as u64;
    }
    Ok(Summary { entries, size, state: state_of(hash) })
}

fn missing() -> ListError {
    ListError::new("delta", "a line that is to go is not there")
}

/// Where the first line from `start` on begins whose place is not below `wanted`; both are where lines begin.
fn first_from(text: &[u8], mut start: usize, wanted: &[u8], place: &mut Vec<u8>) -> Result<usize, ListError> {
    let line_start = |at: usize| text[..at].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let line_end = |at: usize| text[at..].iter().position(|&byte| byte == b'\n').map_or(text.len(), |end| at + end + 1);
    let mut below = |begin: usize, end: usize| {
        place_of(&text[begin..end], place)?;
        Ok(place.as_slice() < wanted)
    };
    // in growing leaps to beyond it, then by halves
    let (mut reach, mut end) = (NEAR, text.len());
    while start + reach < end {
        let after = line_end(start + reach);
        if below(line_start(after - 1), after)? {
            start = after;
            reach *= 2;
        } else {
            end = after;
            break;
        }
    }
    while start < end {
        let middle = line_start((start + end) / 2).max(start);
        let after = line_end(middle);
        if below(middle, after)? {
            start = after;
        } else {
            end = middle;
        }
    }
    Ok(start)
}

/// Write to `output` the step from nothing to a document of at most `size` octets. The caller makes it durable.
///
/// # Errors
/// The document cannot be read, or holds what is no canonical line; the file cannot be written.
pub fn first_step(document: &Path, size: u64, output: &Path, level: i32) -> Result<(), ListError> {
    let mut step = Writer::create(output, level, u64::MAX)?;
    let mut change = Vec::new();
    each_line(
        &mut Frames::open(document, size)?,
        |_, _| true,
        |_| true,
        |line| {
            change.clear();
            for part in [&[Sign::Added.octet()], line, b"\n"] {
                change.extend_from_slice(part);
            }
            step.write(&change)
        },
    )?;
    step.finish().map(|_| ())
}
