//! The step from one document to the next: lines that go and lines that come, in the order of the document.
//!
//! Enters: lines with a sign before each, in memory or as a delta file; or names that were drawn ([`super::drawn`]), whose
//! lines are made one after the other. Leaves: the changes, each with its place among the lines of the document.

use std::collections::BTreeSet;
use std::path::Path;

use super::change::{Change, Sign, fields, place_of};
use super::drawn::Drawn;
use super::lines::Lines;
use super::types::ListError;

/// Changes in the order of the document.
#[derive(Debug, Default)]
pub struct Steps {
    lines: Vec<(Sign, Vec<u8>)>,
    drawn: Option<Drawn>,
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

    /// The lines that go.
    pub(crate) fn gone(&self) -> impl Iterator<Item = &[u8]> {
        self.lines.iter().filter(|(sign, _)| *sign == Sign::Removed).map(|(_, line)| line.as_slice())
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
        /// What was drawn, and which number of it is `other`; `None` after the last.
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
                change.sign = sign.ok_or_else(|| no_change(number))?;
                change.line.clear();
                change.line.extend_from_slice(&line[1..]);
                change.line.push(b'\n');
                place_of(&change.line, &mut change.place)?;
            }
        }
        Ok(())
    }
}

/// A line of a delta file without a sign.
pub(crate) fn no_change(number: u64) -> ListError {
    ListError::at(number, "delta", "neither a line that goes nor one that comes")
}

/// A line of a step that the document does not have.
pub(crate) fn missing() -> ListError {
    ListError::new("delta", "a line that is to go is not there")
}

/// The next of some lines.
fn explicit(lines: &mut std::slice::Iter<'_, (Sign, Vec<u8>)>) -> Result<Option<Change>, ListError> {
    let Some((sign, line)) = lines.next() else { return Ok(None) };
    let mut change = Change { sign: *sign, line: line.clone(), place: Vec::new() };
    place_of(line, &mut change.place)?;
    Ok(Some(change))
}
