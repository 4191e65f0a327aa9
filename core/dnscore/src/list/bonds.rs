//! What a reference is bound to: one name, one match and one basis.
//!
//! Enters: lines that go and lines that come, or two versions of a document. Leaves: nothing; or `reference-reuse`, where a
//! reference comes back with something else. Lines that stand in both are not judged. Memory: some thirty octets for each
//! line that goes, and of two documents for the first [`KEPT`] that come.
//!
//! Rules
//! - A line that comes is canonical, and of the list's form: one that has a name after all is refused without it.
//! - A line that goes need not be: what nobody would take today was bound to nothing, nor was a reference that stood twice.
//!   An old document that is wrong never keeps a right one out; what comes in it after the end of its lines is bound to
//!   nothing either.
//! - Under another names' key the digests of a sealed list say nothing of each other. There match and basis are compared
//!   alone.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use super::change::{Fields, Sign, fields};
use super::differ::differ;
use super::entry::{Form, Reader, Reference, Refusal, encode_reference};
use super::types::ListError;

/// So many lines that come are remembered. Where more do, both documents are read again.
const KEPT: usize = if cfg!(test) { 4 } else { 1 << 20 };

/// What references were bound to that go.
pub(crate) struct Bonds {
    /// `None`: to several.
    gone: HashMap<Reference, Option<u64>>,
    reader: Reader,
    /// Nobody knows its key: no two bonds can be made to have one hash.
    hash: RandomState,
    /// The names' key is another one.
    rekeyed: bool,
}

type Bond = (Reference, u64);

impl Bonds {
    /// Of a list of this form.
    pub fn new(form: Form, rekeyed: bool) -> Self {
        Self { gone: HashMap::new(), reader: Reader::of(form), hash: RandomState::new(), rekeyed }
    }

    /// A line goes.
    pub fn goes(&mut self, line: &[u8]) {
        if let Ok((reference, bond)) = self.bond(line) {
            self.gone.entry(reference).and_modify(|was| *was = was.filter(|was| *was == bond)).or_insert(Some(bond));
        }
    }

    /// A line comes, which has this number.
    pub fn comes(&mut self, number: u64, line: &[u8]) -> Result<Bond, ListError> {
        self.bond(line).map_err(|(kind, reason)| ListError::at(number, kind, reason))
    }

    /// Whether nothing goes.
    pub fn is_empty(&self) -> bool {
        self.gone.is_empty()
    }

    /// A line that came is bound to what its reference was; all that go are known.
    pub fn check(&self, bond: &Bond, line: &[u8]) -> Result<(), ListError> {
        if !self.breaks(bond) {
            return Ok(());
        }
        let mut error = reused(&bond.0);
        if self.reader.form() == Form::Named
            && let Ok(Fields { basis, matching, name, .. }) = fields(line)
        {
            let [name, matching, basis] = [name, matching, basis].map(String::from_utf8_lossy);
            error.reason.push_str(&format!(" than {name} ({matching}) on {basis}"));
        }
        Err(error)
    }

    fn breaks(&self, (reference, bond): &Bond) -> bool {
        self.gone.get(reference).is_some_and(|was| was.is_some_and(|was| was != *bond))
    }

    fn bond(&mut self, line: &[u8]) -> Result<Bond, Refusal> {
        let entry = self.reader.read(line.strip_suffix(b"\n").unwrap_or(line))?;
        let name = if self.rekeyed { b"" } else { entry.name };
        Ok((entry.reference, self.hash.hash_one((entry.basis, entry.matching, name))))
    }
}

/// Look for a reference that stands for another entry in the new document than in the old one (the file of each, octets
/// uncompressed).
///
/// # Errors
/// There is one; a line of the new document that the old one does not have is not canonical; a file cannot be read.
pub fn check_bonds(old: (&Path, u64), new: (&Path, u64), sealed: bool, rekeyed: bool) -> Result<(), ListError> {
    let (mut bonds, mut come) = (Bonds::new(Form::of(sealed), rekeyed), Vec::new());
    differ(old, new, |sign, number, line| {
        match sign {
            Sign::Removed => bonds.goes(line),
            Sign::Added => {
                let bond = bonds.comes(number, line)?;
                if come.len() < KEPT {
                    come.push(bond);
                }
            }
        }
        Ok(())
    })?;
    let all = come.len() < KEPT || bonds.is_empty();
    if all && !come.iter().any(|bond| bonds.breaks(bond)) {
        return Ok(());
    }
    // once more, for what it says
    differ(old, new, |sign, number, line| match sign {
        Sign::Removed => Ok(()),
        Sign::Added => {
            let bond = bonds.comes(number, line)?;
            bonds.check(&bond, line)
        }
    })
}

pub(crate) fn reused(reference: &Reference) -> ListError {
    let reference = String::from_utf8_lossy(&encode_reference(reference)).into_owned();
    ListError::new("reference-reuse", format!("reference {reference} stood for another entry"))
}

pub(crate) fn twice(reference: &Reference) -> ListError {
    let reference = String::from_utf8_lossy(&encode_reference(reference)).into_owned();
    ListError::new("reference-twice", format!("reference {reference} stands twice"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: char, reference: u32) -> String {
        format!(
            "{{\"basis\":\"law\",\"category\":\"fraud\",\"expires\":\"2027-01-01T00:00:00Z\",\"issued\":\"2026-01-01T00:00:00Z\",\
             \"match\":\"subtree\",\"name\":\"{name}.example\",\"reference\":\"{reference:016}\"}}\n"
        )
    }

    fn checked(what: &str, old: &str, new: &str) -> Result<(), ListError> {
        let written = |version: &str, text: &str| {
            let path = std::env::temp_dir().join(format!("stopsign-bonds-{}-{what}-{version}", std::process::id()));
            std::fs::write(&path, zstd::encode_all(text.as_bytes(), 3).expect("a frame")).expect("a file");
            (path, text.len() as u64)
        };
        let (before, after) = (written("old", old), written("new", new));
        let found = check_bonds((&before.0, before.1), (&after.0, after.1), false, false);
        for (path, _) in [before, after] {
            std::fs::remove_file(path).expect("what was written");
        }
        found
    }

    #[test]
    fn a_reference_that_comes_after_those_that_are_remembered_is_seen_too() {
        let old = line('a', 1);
        let new: String = ('b'..='z').zip(2..).map(|(name, number)| line(name, number)).collect();
        assert!(checked("right", &old, &new).is_ok());
        for at in ['b', 'f', 'g', 'z'] {
            let wrong: String =
                ('b'..='z').zip(2..).map(|(name, n)| line(name, if name == at { 1 } else { n })).collect();
            assert_eq!(checked("wrong", &old, &wrong).map_err(|error| error.kind), Err("reference-reuse"), "{at}");
        }
    }
}
