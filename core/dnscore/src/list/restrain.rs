//! What stays of an old document while the additions of a new one wait.
//!
//! Enters: the old document and the new one. Leaves: a document at `output`, whole or not at all.
//!
//! `withdraw`, narrowing and shortening always apply at once: while the additions of a new document wait for a person,
//! what it no longer stops must be free. So of each old entry stays what the new document still covers, never longer
//! than the new document says; and nothing is stopped that the old one did not stop. What is withdrawn it did not stop.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;

use super::check::{counterpart, narrows};
use super::compile::references;
use super::document::{Document, Group, Trust};
use super::entry::Reference;
use super::output::{Output, unwritable};
use super::rekeyed;
use super::side_by_side::{Step, side_by_side};
use super::types::{Compared, ListError};

/// What stays on this machine: time counts more than a few megabytes.
const LEVEL: i32 = -3;

/// Write the old document less what the new one took away; how many entries are left. Without an old one: none.
///
/// # Errors
/// Either document is not what it should be, or `output` cannot be written.
pub fn restrain(
    old: Option<&Path>,
    new: &Path,
    compared: Compared,
    withdrawn: &[String],
    output: &Path,
) -> Result<u64, ListError> {
    let withdrawn = references(withdrawn)?;
    let mut out = Writer::create(output)?;
    let mut entries = 0;
    if let (Compared::ByReference, Some(old)) = (compared, old) {
        entries = rekeyed::restrained(old, new, |line| out.write(line))?;
        out.commit()?;
        return Ok(entries);
    }
    let new = Document::open(new, compared.into(), u64::MAX, Trust::Checked)?;
    side_by_side(old, new, |step| {
        match step {
            Step::Same(lines, number) => {
                out.write(lines)?;
                entries += number;
            }
            Step::Both(before, after) => {
                for (group, index) in still_stopped(before, after, &withdrawn) {
                    out.write(group.line(&group.items[index]))?;
                    entries += 1;
                }
            }
            Step::Old(_) | Step::New(_) => {}
        }
        Ok(())
    })?;
    out.commit()?;
    Ok(entries)
}

/// The entries of one name that hold while additions wait, in order.
fn still_stopped<'g>(before: &'g Group, after: &'g Group, withdrawn: &HashSet<Reference>) -> Vec<(&'g Group, usize)> {
    let mut stopped = Vec::new();
    for (index, item) in after.items.iter().enumerate() {
        match counterpart(before, item) {
            // prolonging waits as additions do: the old line stands
            Some(old) if item.expires > old.expires => {
                let at = before.items.iter().position(|other| other.reference == old.reference);
                stopped.extend(at.map(|at| (before, at)));
            }
            Some(_) => stopped.push((after, index)),
            None if narrows(before, item, withdrawn) => stopped.push((after, index)),
            None => {}
        }
    }
    stopped
}

/// A compressed document in the making.
struct Writer<'p> {
    encoder: zstd::stream::write::Encoder<'static, Output>,
    path: &'p Path,
}

impl<'p> Writer<'p> {
    fn create(path: &'p Path) -> Result<Self, ListError> {
        let output = Output::create(path)?;
        let encoder = zstd::stream::write::Encoder::new(output, LEVEL).map_err(|error| unwritable(path, &error))?;
        Ok(Self { encoder, path })
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), ListError> {
        self.encoder.write_all(lines).map_err(|error| unwritable(self.path, &error))
    }

    fn commit(self) -> Result<(), ListError> {
        self.encoder.finish().map_err(|error| unwritable(self.path, &error))?.commit()
    }
}
