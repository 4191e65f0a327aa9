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

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use super::change::{Fields, Sign, fields};
use super::differ::differ;
use super::entry::{Form, Reader, Reference, decode_reference, encode_reference};
use super::find::find;
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
    differ(old, new, |sign, number, line| {
        match sign {
            Sign::Removed => bonds.goes(line),
            Sign::Added => {
                coming.read(number, line)?;
                come.extend(bonds.bond(line));
            }
        }
        Ok(())
    })?;
    let Some((reference, _)) = come.iter().find(|(reference, bond)| bonds.breaks(reference, *bond)) else {
        return Ok(());
    };
    let shown = String::from_utf8_lossy(&encode_reference(reference)).into_owned();
    Err(rebound(reference, find(new.0, new.1, &[], &[shown])?.first().map_or(b"", Vec::as_slice)))
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
