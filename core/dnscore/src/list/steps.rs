//! The step from one document to the next: lines that go and lines that come, in the order of the document.
//!
//! Enters: lines with a sign before each, in memory or as a delta file; or names that were drawn ([`super::wanted`]), whose
//! lines are made one after the other. Leaves: the changes, each with its place among the lines of the document.
//!
//! The place of a line is one text: the labels from the right (of a sealed list the digest), the match, the reference. It
//! is read without judging the rest of the line; where a document is signed or fetched, all of each line is checked.

use std::collections::BTreeSet;
use std::path::Path;

use super::entry::{BEFORE_BASIS, MAX_LINE};
use super::key;
use super::lines::Lines;
use super::types::ListError;
use super::wanted::Drawn;

/// Ends the labels, and the match, of a place: below all that they hold.
const END: u8 = 0;

/// Changes in the order of the document.
#[derive(Debug, Default)]
pub struct Steps {
    lines: Vec<(Sign, Vec<u8>)>,
    drawn: Option<Drawn>,
}

/// What becomes of a line. One that goes stands before one of the same place that comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sign {
    /// It goes.
    Removed,
    /// It comes.
    #[default]
    Added,
}

impl Sign {
    /// The octet before a line in a delta file.
    #[must_use]
    pub const fn octet(self) -> u8 {
        match self {
            Self::Removed => b'-',
            Self::Added => b'+',
        }
    }

    /// The sign of this octet.
    #[must_use]
    pub fn parse(octet: u8) -> Option<Self> {
        [Self::Removed, Self::Added].into_iter().find(|sign| sign.octet() == octet)
    }
}

impl Steps {
    /// These lines with their line feeds, in order.
    #[must_use]
    pub fn of(lines: Vec<(Sign, Vec<u8>)>) -> Self {
        Self { lines, drawn: None }
    }

    /// These lines go, in order, and what was drawn comes.
    pub(crate) fn drawn(gone: Vec<Vec<u8>>, drawn: Drawn) -> Self {
        Self { lines: gone.into_iter().map(|line| (Sign::Removed, line)).collect(), drawn: Some(drawn) }
    }

    /// How many lines go and come.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len() + self.drawn.as_ref().map_or(0, Drawn::len)
    }

    /// The bases of the lines that come.
    ///
    /// # Errors
    /// A line is none.
    pub fn bases(&self) -> Result<BTreeSet<String>, ListError> {
        let mut bases: BTreeSet<String> = self.drawn.iter().flat_map(Drawn::bases).map(String::from).collect();
        for (_, line) in self.lines.iter().filter(|(sign, _)| *sign == Sign::Added) {
            bases.insert(String::from_utf8_lossy(fields(line)?.basis).into_owned());
        }
        Ok(bases)
    }

    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, one after the other.
    ///
    /// # Errors
    /// Passes on those of `visit`, and of a line that is none.
    pub fn each(&self, mut visit: impl FnMut(Sign, &[u8])) -> Result<(), ListError> {
        let mut walk = Walk::of(self)?;
        while let Some(change) = &walk.next {
            visit(change.sign, &change.line);
            walk.advance()?;
        }
        Ok(())
    }
}

/// A change, and its place.
#[derive(Default)]
pub(crate) struct Change {
    pub sign: Sign,
    pub line: Vec<u8>,
    pub place: Vec<u8>,
}

/// Goes through changes, wherever they come from.
pub(crate) struct Walk<'s> {
    /// The next change, if there is one.
    pub next: Option<Change>,
    source: Source<'s>,
}

enum Source<'s> {
    Memory {
        lines: std::slice::Iter<'s, (Sign, Vec<u8>)>,
        /// The first of the lines that are left.
        ahead: Option<Change>,
        /// What was drawn, and which number of it is `other`; `None` behind the last.
        drawn: Option<(&'s Drawn, usize)>,
        other: Change,
    },
    File(Lines),
}

impl<'s> Walk<'s> {
    pub fn of(steps: &'s Steps) -> Result<Self, ListError> {
        let mut lines = steps.lines.iter();
        let ahead = explicit(&mut lines)?;
        let mut other = Change::default();
        let drawn = match &steps.drawn {
            Some(drawn) if drawn.change(0, &mut other)? => Some((drawn, 0)),
            _ => None,
        };
        Self { next: Some(Change::default()), source: Source::Memory { lines, ahead, drawn, other } }.begun()
    }

    /// Of a delta file of at most `size` octets uncompressed.
    pub fn read(path: &Path, size: u64) -> Result<Self, ListError> {
        Self { next: Some(Change::default()), source: Source::File(Lines::open(path, size, false)?) }.begun()
    }

    fn begun(mut self) -> Result<Self, ListError> {
        self.advance()?;
        Ok(self)
    }

    /// Goes on to the next change.
    pub fn advance(&mut self) -> Result<(), ListError> {
        let Some(change) = &mut self.next else { return Ok(()) };
        match &mut self.source {
            Source::Memory { lines, ahead, drawn, other } => {
                let first = ahead
                    .as_ref()
                    .is_some_and(|ahead| drawn.is_none() || (&ahead.place, ahead.sign) <= (&other.place, other.sign));
                if first {
                    self.next = std::mem::replace(ahead, explicit(lines)?);
                } else if let Some((from, at)) = drawn {
                    std::mem::swap(change, other);
                    *at += 1;
                    if !from.change(*at, other)? {
                        *drawn = None;
                    }
                } else {
                    self.next = None;
                }
            }
            Source::File(lines) => {
                let Some((number, line)) = lines.next()? else {
                    self.next = None;
                    return Ok(());
                };
                let sign = line.first().copied().and_then(Sign::parse);
                change.sign =
                    sign.ok_or_else(|| ListError::at(number, "delta", "neither a line that goes nor one that comes"))?;
                change.line.clear();
                change.line.extend_from_slice(&line[1..]);
                change.line.push(b'\n');
                place_of(&change.line, &mut change.place)?;
            }
        }
        Ok(())
    }
}

/// The next of some lines.
fn explicit(lines: &mut std::slice::Iter<'_, (Sign, Vec<u8>)>) -> Result<Option<Change>, ListError> {
    let Some((sign, line)) = lines.next() else { return Ok(None) };
    let mut change = Change { sign: *sign, line: line.clone(), place: Vec::new() };
    place_of(line, &mut change.place)?;
    Ok(Some(change))
}

/// What a canonical line says of its place, and its basis, without judging the rest.
pub(crate) struct Fields<'l> {
    pub basis: &'l [u8],
    pub matching: &'l [u8],
    /// Of a sealed list: the digest.
    pub name: &'l [u8],
    pub reference: &'l [u8],
}

/// The fields of a canonical line, with or without its line feed.
pub(crate) fn fields(line: &[u8]) -> Result<Fields<'_>, ListError> {
    let found = if line.len() > MAX_LINE { None } else { found(line) };
    found.ok_or_else(|| ListError::new("malformed", "not a canonical line"))
}

fn found(line: &[u8]) -> Option<Fields<'_>> {
    let basis = until_quote(line.strip_prefix(BEFORE_BASIS)?)?;
    // in a text a quote would be escaped, so that this can only be the key
    let rest = after(line, b"\"match\":\"")?;
    let matching = until_quote(rest)?;
    let rest = &rest[matching.len()..];
    let (name, rest) = match rest.strip_prefix(b"\",\"name\":\"") {
        Some(rest) => (until_quote(rest)?, after(rest, b"\",\"reference\":\"")?),
        None => (until_quote(after(line, b"\"digest\":\"")?)?, rest.strip_prefix(b"\",\"reference\":\"")?),
    };
    Some(Fields { basis, matching, name, reference: until_quote(rest)? })
}

/// What comes after the first `part`, which begins with a quotation mark.
fn after<'l>(line: &'l [u8], part: &[u8]) -> Option<&'l [u8]> {
    let mut rest = line;
    loop {
        rest = &rest[rest.iter().position(|&byte| byte == b'"')?..];
        match rest.strip_prefix(part) {
            Some(after) => return Some(after),
            None => rest = &rest[1..],
        }
    }
}

fn until_quote(text: &[u8]) -> Option<&[u8]> {
    text.iter().position(|&byte| byte == b'"').map(|end| &text[..end])
}

/// Makes `place` the place of a line.
pub(crate) fn place_of(line: &[u8], place: &mut Vec<u8>) -> Result<(), ListError> {
    let Fields { matching, name, reference, .. } = fields(line)?;
    place.clear();
    key::from_name(name, place);
    end_place(place, matching, reference);
    Ok(())
}

/// Adds match and reference to the key of a name.
pub(crate) fn end_place(place: &mut Vec<u8>, matching: &[u8], reference: &[u8]) {
    place.push(END);
    place.extend_from_slice(matching);
    place.push(END);
    place.extend_from_slice(reference);
}
