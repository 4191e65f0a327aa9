//! Two versions of a sealed list under two keys: compared by reference, since no digest of one is in the other.
//!
//! Enters: the old document, checked when it came, and the new one. Leaves: what [`super::examine`] and [`super::restrain`]
//! leave of others. A reference keeps its match; that its name is the same nobody can see here. So the guards look at every
//! entry of the new document, not at the added ones alone.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::document::{Document, Group, Item, Trust};
use super::entry::{Form, Reference};
use super::types::{ListError, Matching};

/// What a reference stands for in one document.
struct Stood {
    matching: Matching,
    expires: u32,
    /// The expiry as the line says it.
    until: [u8; 20],
    rest: (u32, Vec<u8>),
}

const EXPIRES: &[u8] = b"\",\"expires\":\"";

/// Every reference of a document that was checked before.
fn references_of(path: &Path) -> Result<HashMap<Reference, Stood>, ListError> {
    let mut document = Document::open(path, Form::Sealed, u64::MAX, Trust::Checked)?;
    let (mut group, mut all) = (Group::default(), HashMap::new());
    while document.next(&mut group)? {
        all.extend(group.items.iter().map(|item| (item.reference, stood(&group, item))));
    }
    Ok(all)
}

fn stood(group: &Group, item: &Item) -> Stood {
    let (basis, category) = group.words(item);
    let until =
        expiry(group.line(item)).map_or([0; 20], |at| group.line(item)[at..at + 20].try_into().unwrap_or([0; 20]));
    let rest = (item.issued, [basis, b"\n", category].concat());
    Stood { matching: item.matching, expires: item.expires, until, rest }
}

/// Where the expiry stands in a canonical line.
fn expiry(line: &[u8]) -> Option<usize> {
    line.windows(EXPIRES.len()).position(|window| window == EXPIRES).map(|at| at + EXPIRES.len())
}

/// Call `visit` with each entry in force of either document and what became of it (`unchanged` too); how many the new one
/// has, and the references that stand for another match in it.
pub(super) fn compare(
    old: &Path,
    new: &mut Document<'_>,
    withdrawn: &HashSet<Reference>,
    mut visit: impl FnMut(&'static str, &Group, &Item),
) -> Result<(u64, Vec<Reference>), ListError> {
    let mut before = references_of(old)?;
    let (mut group, mut entries, mut moved) = (Group::default(), 0, Vec::new());
    while new.next(&mut group)? {
        for item in &group.items {
            entries += 1;
            let was = before.remove(&item.reference);
            if was.as_ref().is_some_and(|was| was.matching != item.matching) {
                moved.push(item.reference);
            }
            if !withdrawn.contains(&item.reference) {
                visit(kind(was.as_ref(), &stood(&group, item)), &group, item);
            }
        }
    }
    let mut document = Document::open(old, Form::Sealed, u64::MAX, Trust::Checked)?;
    while document.next(&mut group)? {
        let gone = group.items.iter().filter(|item| before.contains_key(&item.reference));
        gone.filter(|item| !withdrawn.contains(&item.reference)).for_each(|item| visit("removed", &group, item));
    }
    Ok((entries, moved))
}

fn kind(was: Option<&Stood>, now: &Stood) -> &'static str {
    match was {
        None => "added",
        Some(was) if now.expires > was.expires => "prolonged",
        Some(was) if now.expires < was.expires => "shortened",
        Some(was) if now.rest != was.rest => "altered",
        Some(_) => "unchanged",
    }
}

/// The lines of the old document whose references the new one still has, none longer than that one says; how many.
pub(super) fn restrained(
    old: &Path,
    new: &Path,
    mut write: impl FnMut(&[u8]) -> Result<(), ListError>,
) -> Result<u64, ListError> {
    let after = references_of(new)?;
    let mut document = Document::open(old, Form::Sealed, u64::MAX, Trust::Checked)?;
    let (mut group, mut entries) = (Group::default(), 0);
    while document.next(&mut group)? {
        for item in &group.items {
            let Some(now) = after.get(&item.reference).filter(|now| now.matching == item.matching) else { continue };
            let mut line = group.line(item).to_vec();
            if now.expires < item.expires
                && let Some(at) = expiry(&line)
            {
                line[at..at + 20].copy_from_slice(&now.until);
            }
            write(&line)?;
            entries += 1;
        }
    }
    Ok(entries)
}
