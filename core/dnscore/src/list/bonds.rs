//! What a reference is bound to: one name, one match and one basis, for ever.
//!
//! Enters: lines that go and lines that come, or two documents of one list. Leaves: nothing; or `reference-reuse`, where a
//! reference comes back with something else. Lines that stand in both are not looked at. Memory: some thirty octets for
//! each line that goes, and of two documents for each that comes.
//!
//! Rule: under another names' key the digests of a sealed list say nothing of each other. There match and basis are
//! compared alone.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use super::change::{Fields, Sign, fields};
use super::document::{Document, Group, Item, Trust};
use super::entry::{Form, Reference, decode_reference, encode_reference};
use super::side_by_side::{Step, side_by_side};
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
    pub fn goes(&mut self, line: &[u8]) -> Result<(), ListError> {
        let (reference, bond) = self.bond(line)?;
        self.gone.insert(reference, bond);
        Ok(())
    }

    /// A line comes; all that go are known.
    pub fn comes(&self, line: &[u8]) -> Result<(), ListError> {
        if self.gone.is_empty() {
            return Ok(());
        }
        let (reference, bond) = self.bond(line)?;
        self.check(&reference, bond)
    }

    fn check(&self, reference: &Reference, bond: u64) -> Result<(), ListError> {
        if self.gone.get(reference).is_some_and(|was| *was != bond) { Err(reused(reference)) } else { Ok(()) }
    }

    fn bond(&self, line: &[u8]) -> Result<(Reference, u64), ListError> {
        let Fields { basis, matching, name, reference } = fields(line)?;
        let unknown = || ListError::new("malformed", "not a canonical line");
        let reference = decode_reference(reference).ok_or_else(unknown)?;
        Ok((reference, self.hash.hash_one((basis, matching, if self.rekeyed { b"" } else { name }))))
    }
}

/// Look for a reference that stands for another entry in the new document (its file, octets uncompressed) than in the old
/// one, which was checked when it came.
///
/// # Errors
/// There is one, or a file cannot be read.
pub fn check_bonds(old: &Path, new: (&Path, u64), sealed: bool, rekeyed: bool) -> Result<(), ListError> {
    let mut bonds = Bonds { rekeyed, ..Bonds::default() };
    let mut come = Vec::new();
    let document = Document::open(new.0, Form::of(sealed), new.1, Trust::Checked)?;
    side_by_side(Some(old), document, |step| {
        let mut differ = |sign: Sign, group: &Group, other: Option<&Group>| {
            let same = |item: &&Item| other.is_some_and(|o| o.items.iter().any(|i| o.line(i) == group.line(item)));
            group.items.iter().filter(|item| !same(item)).try_for_each(|item| {
                let line = group.line(item);
                if sign == Sign::Removed { bonds.goes(line) } else { bonds.bond(line).map(|bond| come.push(bond)) }
            })
        };
        match step {
            Step::Same(..) => Ok(()),
            Step::Old(before) => differ(Sign::Removed, before, None),
            Step::New(after) => differ(Sign::Added, after, None),
            Step::Both(before, after) => {
                differ(Sign::Removed, before, Some(after))?;
                differ(Sign::Added, after, Some(before))
            }
        }
    })?;
    come.iter().try_for_each(|(reference, bond)| bonds.check(reference, *bond))
}

pub(crate) fn reused(reference: &Reference) -> ListError {
    let reference = String::from_utf8_lossy(&encode_reference(reference)).into_owned();
    ListError::new("reference-reuse", format!("reference {reference} stood for another entry"))
}
