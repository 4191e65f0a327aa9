//! The lines in which two documents differ.
//!
//! Enters: an old document and a new one. Leaves: each line that goes and each that comes, in their common order. Lines that
//! both have next, letter by letter, are passed over at once, and no line is judged: one that is not canonical stands before
//! all others. What is no line any more, because it is too long or has no end, ends the old document: from there on nothing of
//! it goes. Of the new one it is an error. Memory: a few chunks.

use std::cmp::Ordering;
use std::path::Path;

use super::change::{Sign, place_of};
use super::lines::{Lines, whole_lines};
use super::marks::count;
use super::side_by_side::common;
use super::types::ListError;

/// Visit the lines, without line feeds, in which two documents differ (the file of each, octets uncompressed), each with
/// its number.
pub(crate) fn differ(
    old: (&Path, u64),
    new: (&Path, u64),
    mut visit: impl FnMut(Sign, u64, &[u8]) -> Result<(), ListError>,
) -> Result<(), ListError> {
    let (mut before, mut after) = (Side::open(old, true)?, Side::open(new, false)?);
    while before.number > 0 || after.number > 0 {
        match before.order(&mut after) {
            Ordering::Equal => {
                pass(&mut before.lines, &mut after.lines);
                before.advance()?;
                after.advance()?;
            }
            Ordering::Less => {
                visit(Sign::Removed, before.number, &before.line)?;
                before.advance()?;
            }
            Ordering::Greater => {
                visit(Sign::Added, after.number, &after.line)?;
                after.advance()?;
            }
        }
    }
    Ok(())
}

/// A document while it is read.
struct Side {
    /// It is the old one.
    old: bool,
    lines: Lines,
    line: Vec<u8>,
    /// Of the line; 0 after the last.
    number: u64,
    /// Where it stands, as far as that was asked for.
    place: Option<Vec<u8>>,
}

impl Side {
    fn open((path, size): (&Path, u64), old: bool) -> Result<Self, ListError> {
        let mut side = Self { old, lines: Lines::open(path, size, false)?, line: Vec::new(), number: 0, place: None };
        side.advance()?;
        Ok(side)
    }

    fn advance(&mut self) -> Result<(), ListError> {
        (self.number, self.place) = (0, None);
        self.line.clear();
        match self.lines.next() {
            Ok(Some((number, line))) => {
                self.number = number;
                self.line.extend_from_slice(line);
            }
            Ok(None) => {}
            Err(error) if self.old && error.kind == "malformed" => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Which of both lines stands first; equal where they are the same.
    fn order(&mut self, after: &mut Self) -> Ordering {
        match (self.number, after.number) {
            (_, 0) => Ordering::Less,
            (0, _) => Ordering::Greater,
            _ if self.line == after.line => Ordering::Equal,
            // of equal places one goes, then one comes
            _ if self.place() <= after.place() => Ordering::Less,
            _ => Ordering::Greater,
        }
    }

    fn place(&mut self) -> &[u8] {
        self.place.get_or_insert_with(|| {
            let mut place = Vec::new();
            place_of(&self.line, &mut place).map_or_else(|_| Vec::new(), |()| place)
        })
    }
}

/// Pass over the lines that both have next.
fn pass(old: &mut Lines, new: &mut Lines) {
    let (one, other) = (old.at_hand(), new.at_hand());
    let same = whole_lines(&one[..common(one, other)]);
    let (octets, lines) = (same.len(), count(same));
    old.pass(octets, lines);
    new.pass(octets, lines);
}
