//! What a reference is bound to: one name, one match and one basis, for ever.
//!
//! Enters: lines that go and lines that come, or two documents of one list. Leaves: nothing; or `reference-reuse`, where a
//! reference comes back with something else. Lines that stand in both are not judged. Memory: some thirty octets for each
//! line that goes, and of two documents for each that comes.
//!
//! Rules
//! - A line that comes is canonical ([`Coming`]). One that goes need not be: what is no canonical line was bound to
//!   nothing, so that an old document that is wrong never keeps a right one out.
//! - Under another names' key the digests of a sealed list say nothing of each other. There match and basis are compared
//!   alone.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use super::change::{Fields, fields, place_of};
use super::entry::{Form, Reader, Reference, decode_reference, encode_reference};
use super::find::find;
use super::lines::{Lines, whole_lines};
use super::marks::count;
use super::side_by_side::common;
use super::types::ListError;

/// What references were bound to that go.
#[derive(Default)]
pub(crate) struct Bonds {
    gone: HashMap<Reference, u64>,
    /// Nobody knows its key: no two bonds can be made to have one hash.
    hash: RandomState,
    /// The names' key is another one.
    rekeyed: bool,
}

impl Bonds {
    /// A line goes.
    pub fn goes(&mut self, line: &[u8]) {
        self.gone.extend(self.bond(line));
    }

    /// A line comes; all that go are known.
    pub fn comes(&self, line: &[u8]) -> Result<(), ListError> {
        match if self.gone.is_empty() { None } else { self.bond(line) } {
            Some((reference, bond)) if self.breaks(&reference, bond) => Err(rebound(&reference, line)),
            _ => Ok(()),
        }
    }

    fn breaks(&self, reference: &Reference, bond: u64) -> bool {
        self.gone.get(reference).is_some_and(|was| *was != bond)
    }

    fn bond(&self, line: &[u8]) -> Option<(Reference, u64)> {
        let Fields { basis, matching, name, reference, .. } = fields(line).ok()?;
        let name = if self.rekeyed { b"" } else { name };
        Some((decode_reference(reference)?, self.hash.hash_one((basis, matching, name))))
    }
}

/// Judges lines that come, readable and sealed ones.
pub(crate) struct Coming {
    named: Reader,
    sealed: Reader,
}

impl Coming {
    pub fn new() -> Self {
        Self { named: Reader::of(Form::Named), sealed: Reader::of(Form::Sealed) }
    }

    /// The line is canonical; it has this number.
    pub fn read(&mut self, number: u64, line: &[u8]) -> Result<(), ListError> {
        let is_sealed = fields(line).is_ok_and(|fields| fields.sealed);
        let reader = if is_sealed { &mut self.sealed } else { &mut self.named };
        reader.read(line).map(|_| ()).map_err(|(kind, reason)| ListError::at(number, kind, reason))
    }
}

/// Look for a reference that stands for another entry in the new document than in the old one (the file of each, octets
/// uncompressed).
///
/// # Errors
/// There is one; a line of the new document that the old one does not have is not canonical; a file cannot be read.
pub fn check_bonds(old: (&Path, u64), new: (&Path, u64), rekeyed: bool) -> Result<(), ListError> {
    let mut bonds = Bonds { rekeyed, ..Bonds::default() };
    let (mut come, mut coming) = (Vec::new(), Coming::new());
    let (mut before, mut after) = (Side::open(old)?, Side::open(new)?);
    while before.number > 0 || after.number > 0 {
        match before.order(&mut after)? {
            Ordering::Equal => {
                pass(&mut before.lines, &mut after.lines);
                before.advance()?;
                after.advance()?;
            }
            Ordering::Less => {
                bonds.goes(&before.line);
                before.advance()?;
            }
            Ordering::Greater => {
                coming.read(after.number, &after.line)?;
                come.extend(bonds.bond(&after.line));
                after.advance()?;
            }
        }
    }
    let Some((reference, _)) = come.iter().find(|(reference, bond)| bonds.breaks(reference, *bond)) else {
        return Ok(());
    };
    let shown = String::from_utf8_lossy(&encode_reference(reference)).into_owned();
    Err(rebound(reference, find(new.0, new.1, &[], &[shown])?.first().map_or(b"", Vec::as_slice)))
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

    /// Which of both lines stands first; equal where they are the same. A line that is not canonical stands before all.
    fn order(&mut self, after: &mut Self) -> Result<Ordering, ListError> {
        match (self.number, after.number) {
            (_, 0) => Ok(Ordering::Less),
            (0, _) => Ok(Ordering::Greater),
            _ if self.line == after.line => Ok(Ordering::Equal),
            // of equal places one goes, then one comes
            _ => Ok(if self.place() <= after.place() { Ordering::Less } else { Ordering::Greater }),
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

pub(crate) fn reused(reference: &Reference) -> ListError {
    let reference = String::from_utf8_lossy(&encode_reference(reference)).into_owned();
    ListError::new("reference-reuse", format!("reference {reference} stood for another entry"))
}

/// The same, with the line that it comes back with; what a sealed one says nobody can read.
fn rebound(reference: &Reference, line: &[u8]) -> ListError {
    let mut error = reused(reference);
    if let Ok(Fields { basis, matching, name, sealed: false, .. }) = fields(line) {
        let [name, matching, basis] = [name, matching, basis].map(String::from_utf8_lossy);
        error.reason.push_str(&format!(" than {name} ({matching}) on {basis}"));
    }
    error
}
