//! One document from another and a step.
//!
//! Enters: the old document, its [`Marks`] where this machine has some, and a step. Leaves: the new document and its marks,
//! the step as a file beside it where one is wanted. Memory: two frames of the old document, two of the new; its marks, one
//! for eight mebibytes; and of a step from a file some thirty octets for each line that goes, of which it has no more than the
//! old document has lines.
//!
//! Rules: the old document is the signed one, which its marks prove; without them its lines are hashed first. Frames before
//! the first change are taken over and not looked into; frames after it are hashed, and taken over. Where this machine has
//! the new document already, the lines were hashed once: a frame that both have, after the same lines, is not looked into.
//! A reference that goes comes back with its name, match and basis, or not at all. Lines that come in a delta file are
//! canonical. A step that is made here leaves no name with too many entries, as far as they stand in one frame: who signs it
//! counts all of them.

use std::path::Path;

use super::bonds::Bonds;
use super::change::{Change, Sign, name_of, place_of};
use super::crowd::Crowd;
use super::entry::{Form, MAX_LINE};
use super::find::{cut_short, each_line, first_place, too_long};
use super::frames::{Frames, LARGEST, Piece};
use super::lines::{Lines, lines_of, marks_of, whole_lines};
use super::marks::{Mark, Marks, Summary};
use super::steps::{Steps, Walk, missing, no_change};
use super::types::ListError;
use super::written::Writer;

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
    /// Where this machine has its marks, if it has any.
    pub marks: Option<&'a Path>,
}

/// Where a step comes from.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// Made here.
    Made(&'a Steps),
    /// A delta file, and at most how many octets come out of it.
    File(&'a Path, u64),
}

/// A document that was made here.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The file.
    pub path: &'a Path,
    /// Its SHA-256, by which the caller has checked it.
    pub hash: [u8; 32],
    /// Where its marks are.
    pub marks: &'a Path,
}

/// Where what is made goes.
#[derive(Clone, Copy, Debug)]
pub struct Made<'a> {
    /// The new document.
    pub new: &'a Path,
    /// The level that it is compressed at.
    pub level: i32,
    /// Octets that it may have, uncompressed.
    pub limit: u64,
    /// Its marks, if they are wanted.
    pub marks: Option<&'a Path>,
    /// The step, at the level of what is published, if it is wanted.
    pub delta: Option<&'a Path>,
    /// What is said to be the new document.
    pub same_as: Option<Known<'a>>,
    /// The list is a sealed one. Steps that are made here are of readable ones.
    pub sealed: bool,
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// What the new document comes to.
    pub new: Summary,
    /// SHA-256 of its file.
    pub file: [u8; 32],
    /// What the step comes to, where it was wanted.
    pub delta: Option<Summary>,
}

/// Write what the old document becomes. The caller makes it and the step durable.
///
/// # Errors
/// The old document is not the signed one; a line that is to go is not there; a reference is bound to something else; a file
/// cannot be read or written.
pub fn apply(old: Option<Signed<'_>>, step: Origin<'_>, made: Made<'_>) -> Result<Written, ListError> {
    let Some(old) = old else { return merged(None, None, step, made) };
    let merged = |same_as: Option<(&Path, &Marks)>| {
        Marks::with(old.path, old.marks, false, |marks| merged(Some((old, marks)), same_as, step, made))
            .unwrap_or_else(|| merged(Some((old, &marks_of(old.path, old.size)?)), same_as, step, made))
    };
    let known = made.same_as.and_then(|known| {
        let marks = Marks::of(known.path, known.marks).filter(|marks| marks.file == known.hash)?;
        Some((known.path, marks))
    });
    merged(known.as_ref().map(|(path, marks)| (*path, marks)))
}

fn merged(
    old: Option<(Signed<'_>, &Marks)>,
    same_as: Option<(&Path, &Marks)>,
    step: Origin<'_>,
    made: Made<'_>,
) -> Result<Written, ListError> {
    let (changes, bonds, crowd) = match step {
        Origin::Made(steps) => {
            let mut bonds = Bonds::new(Form::Named, false);
            steps.gone().for_each(|line| bonds.goes(line));
            (Walk::of(steps)?, bonds, Some(Crowd::default()))
        }
        Origin::File(path, size) => {
            let most = old.map_or(0, |(_, marks)| marks.summary().entries);
            (Walk::read(path, size)?, judged(path, size, Form::of(made.sealed), most)?, None)
        }
    };
    let delta = made.delta.map(|path| Writer::create(path, PUBLISHED, u64::MAX)).transpose()?;
    let new = Writer::create(made.new, made.level, made.limit)?;
    let same_as =
        same_as.map(|(path, marks)| Frames::open(path, made.limit).map(|frames| (frames, marks))).transpose()?;
    let mut merge =
        Merge { changes, bonds, crowd, new, delta, same: true, same_as, rest: Vec::new(), last: Vec::new() };
    if let Some((old, marks)) = old {
        check(old, marks)?;
        merge.document(old.path, marks)?;
    }
    while let Some(change) = &merge.changes.next {
        if change.sign == Sign::Removed {
            return Err(missing());
        }
        merge.step()?;
    }
    let marks = merge.new.finish()?;
    if let Some(path) = made.marks {
        marks.write(path);
    }
    let delta = merge.delta.map(Writer::finish).transpose()?;
    Ok(Written { new: marks.summary(), file: marks.file, delta: delta.map(|delta| delta.summary()) })
}

/// What references of a delta file are bound to that go, which are `most` at most; each line that comes is canonical.
fn judged(path: &Path, size: u64, form: Form, most: u64) -> Result<Bonds, ListError> {
    let (mut bonds, mut lines, mut gone) = (Bonds::new(form, false), Lines::open(path, size, false)?, 0);
    while let Some((number, line)) = lines.next()? {
        match line.split_first().and_then(|(sign, line)| Some((Sign::parse(*sign)?, line))) {
            Some((Sign::Removed, _)) if gone == most => {
                return Err(ListError::at(number, "delta", format!("more lines go than the {most} that are there")));
            }
            Some((Sign::Removed, line)) => {
                gone += 1;
                bonds.goes(line);
            }
            Some((Sign::Added, line)) => bonds.comes(number, line).map(|_| ())?,
            None => return Err(no_change(number)),
        }
    }
    Ok(bonds)
}

/// A document with these marks is the signed one.
fn check(old: Signed<'_>, marks: &Marks) -> Result<(), ListError> {
    let Summary { size, state, .. } = marks.summary();
    if size > old.size {
        return Err(ListError::new("too-large", format!("{}: more octets than were announced", old.path.display())));
    }
    match old.state {
        Some(signed) if signed != state => {
            Err(ListError::new("state-hash", format!("the old lines have the state {state}, not {signed}")))
        }
        _ => Ok(()),
    }
}

/// The level of what is published.
const PUBLISHED: i32 = 6;

struct Merge<'s> {
    changes: Walk<'s>,
    bonds: Bonds,
    /// Where the step is made here.
    crowd: Option<Crowd>,
    new: Writer,
    delta: Option<Writer>,
    /// So far the new lines are the old ones.
    same: bool,
    /// What is said to be the new document.
    same_as: Option<(Frames, &'s Marks)>,
    /// The begin of a line whose end is in the next piece.
    rest: Vec<u8>,
    /// Place of the last line of what is looked at.
    last: Vec<u8>,
}

impl Merge<'_> {
    fn document(&mut self, path: &Path, marks: &Marks) -> Result<(), ListError> {
        let (mut frames, mut piece) = (Frames::open(path, marks.summary().size)?, Piece::new());
        let (mut begin, mut next, mut place) = (&Mark::default(), Vec::new(), Vec::new());
        for (at, mark) in marks.all.iter().enumerate() {
            let last = at + 1 == marks.all.len();
            let falls = match &self.changes.next {
                Some(change) if !last => {
                    // where no line is at hand, none of the frame is passed over
                    !first_place(&mut frames, mark.file, &mut next, &mut place)? || change.place < place
                }
                next => next.is_some(),
            };
            // a longer frame is cut as soon as may be
            let ours = (mark.size - begin.size).max(mark.file - begin.file) <= LARGEST as u64;
            if self.same && !falls && ours {
                self.new.take(frames.raw(begin.file, mark.file)?, mark)?;
            } else if falls || !ours || !self.knows(&frames, begin.file, mark.file)? {
                self.same = false;
                frames.seek(begin.file)?;
                let mut left = mark.size - begin.size;
                while left > 0 && frames.next(&mut piece)? {
                    left = left.saturating_sub(piece.text().len() as u64);
                    self.piece(&mut piece, falls, last && (at > 0) == self.new.begun())?;
                }
            }
            begin = mark;
        }
        if self.rest.is_empty() { Ok(()) } else { Err(cut_short()) }
    }

    /// Whether a part of the document's file, in which no change falls, is what the new one goes on with as it is known
    /// here. It is taken over then.
    fn knows(&mut self, frames: &Frames, from: u64, to: u64) -> Result<bool, ListError> {
        let Some((known, marks)) = &self.same_as else { return Ok(false) };
        if !self.rest.is_empty() || !self.new.between() || !self.new.begun() {
            return Ok(false);
        }
        let at = self.new.at()?;
        let Some((here, next)) = marks.after(&at) else { return Ok(false) };
        if next.file - here.file != to - from {
            return Ok(false);
        }
        let octets = frames.raw(from, to)?;
        if octets != known.raw(here.file, next.file)? {
            return Ok(false);
        }
        let file = at.file + octets.len() as u64;
        self.new.take(octets, &Mark { file, ..next.clone() })?;
        Ok(true)
    }

    /// A piece of the document, and the changes that fall into it.
    fn piece(&mut self, piece: &mut Piece, falls: bool, last: bool) -> Result<(), ListError> {
        if self.rest.is_empty() && piece.text().ends_with(b"\n") {
            return if piece.whole && !falls { self.new.write_frame(piece, last) } else { self.lines(piece.text()) };
        }
        // a frame that was cut elsewhere than at the end of a line
        let (lines, begun) = piece.text().split_at(whole_lines(piece.text()).len());
        if !lines.is_empty() {
            let mut first = std::mem::take(&mut self.rest);
            first.extend_from_slice(lines);
            self.lines(&first)?;
        }
        self.rest.extend_from_slice(begun);
        if self.rest.len() < MAX_LINE { Ok(()) } else { Err(too_long()) }
    }

    /// The lines with those changes that fall among them.
    fn lines(&mut self, text: &[u8]) -> Result<(), ListError> {
        if text.is_empty() {
            return Ok(());
        }
        let begin = whole_lines(&text[..text.len() - 1]).len();
        place_of(&text[begin..], &mut self.last)?;
        let touched = |change: &Change, last: &[u8]| change.place.as_slice() <= last;
        let (mut at, mut place) = (0, Vec::new());
        while let Some(change) = &self.changes.next
            && touched(change, &self.last)
        {
            let here = first_from(text, at, &change.place, &mut place)?;
            self.new.write(&text[at..here])?;
            if let Some(crowd) = &mut self.crowd {
                crowd.look_at(name_of(&change.place));
                crowd.pass(from_last(&text[at..here]))?;
            }
            at = here;
            if change.sign == Sign::Removed {
                if !text[here..].starts_with(&change.line) {
                    return Err(missing());
                }
                at += change.line.len();
            }
            self.step()?;
            let goes_on = |next: &Change, crowd: &Crowd| touched(next, &self.last) && crowd.is_at(name_of(&next.place));
            if let Some(crowd) = &mut self.crowd
                && !self.changes.next.as_ref().is_some_and(|next| goes_on(next, crowd))
            {
                crowd.pass(lines_of(&text[at..]))?;
            }
        }
        if let Some(crowd) = &mut self.crowd
            && let Some(next) = &self.changes.next
            && !crowd.is_at(name_of(&next.place))
        {
            crowd.look_at(name_of(&next.place));
            crowd.pass(from_last(&text[at..]))?;
        }
        self.new.write(&text[at..])
    }

    /// Writes the next change.
    fn step(&mut self) -> Result<(), ListError> {
        if let Some(change) = &self.changes.next {
            if let Some(crowd) = &mut self.crowd {
                crowd.changes(name_of(&change.place), change.sign)?;
            }
            if change.sign == Sign::Added {
                if !self.bonds.is_empty() {
                    let bond = self.bonds.comes(0, &change.line)?;
                    self.bonds.check(&bond, &change.line)?;
                }
                self.new.write(&change.line)?;
            }
            if let Some(delta) = &mut self.delta {
                delta.write(&[&[change.sign.octet()], change.line.as_slice()].concat())?;
            }
        }
        self.changes.advance()
    }
}

/// What the lines of a document of at most `size` octets come to, and its marks to `marks`. None is looked at.
///
/// # Errors
/// The document cannot be read.
pub fn summary(document: &Path, size: u64, marks: Option<&Path>) -> Result<Summary, ListError> {
    let found = marks_of(document, size)?;
    if let Some(path) = marks {
        found.write(path);
    }
    Ok(found.summary())
}

/// Whole lines, the last one first, without their line feeds.
fn from_last(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.rsplit(|&byte| byte == b'\n').skip(1)
}

/// Where the first line from `start` on begins whose place is not below `wanted`; both are where lines begin.
fn first_from(text: &[u8], mut start: usize, wanted: &[u8], place: &mut Vec<u8>) -> Result<usize, ListError> {
    let line_start = |at: usize| whole_lines(&text[..at]).len();
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
/// The document cannot be read, or ends within a line; the file cannot be written.
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
