//! The lines in which two documents differ.
//!
//! Enters: an old document and a new one. Leaves: each line that goes and each that comes, in their common order. Lines that
//! both have next, letter by letter, are passed over at once, and no line is judged: one that is not canonical stands before
//! all others. Memory: a few chunks.

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
    let (mut before, mut after) = (Side::open(old)?, Side::open(new)?);
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
    lines: Lines,
    line: Vec<u8>,
    /// Of the line; 0 after the last.
    number: u64,
    /// Where it stands, as far as that was asked for.
    place: Option<Vec<u8>>,
}

impl Side {
    fn open((path, size): (&Path, u64)) -> Result<Self, ListError> {
        let mut side = Self { lines: Lines::open(path, size, false)?, line: Vec::new(), number: 0, place: None };
        side.advance()?;
        Ok(side)
    }

    fn advance(&mut self) -> Result<(), ListError> {
        (self.number, self.place) = (0, None);
        self.line.clear();
        if let Some((number, line)) = self.lines.next()? {
            self.number = number;
            self.line.extend_from_slice(line);
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
