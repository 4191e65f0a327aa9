//! What a document must promise before anything is done with it, and what changed since the one before.
//!
//! Enters: the new document with its announced size and state, the old one (checked when it came), the names that
//! guards look after. Leaves: how many entries, what changed, which additions a guard objects to; or the first line
//! that is wrong. One pass over both, side by side, whatever is asked: a line that is not in its place in the old document
//! is checked whole, one that is by itself (see [`Document::pass`]).
//!
//! What counts as what, name by name: an entry whose reference stands in both is *prolonged* or *shortened* by its
//! expiry, or *altered* elsewhere; one that is new is *narrowed* if an old entry of the very name covered all of it at
//! least as long, *widened* if the name had another entry, else *added*; one that is gone is *removed*, unless what
//! stands in its place counts as narrowed or widened. Widening counts as adding and meets the guards; so does an entry
//! that moved to another name or match under its old reference. An entry that is withdrawn (its reference is suspended) is
//! not in force: it counts as neither there before nor coming, and only the rule on references still applies to it.

use std::collections::HashSet;
use std::path::Path;

use super::compile::references;
use super::document::{Document, Group, Item, Trust};
use super::entry::{Form, Reference, encode_reference};
use super::guard::{Guards, Objection};
use super::key;
use super::rekeyed;
use super::side_by_side::{Step, side_by_side};
use super::types::{Compared, ListError, Matching};

/// How a document changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Entries in the new document.
    pub entries: u64,
    /// Entries that stand in both, letter by letter.
    pub unchanged: u64,
    /// New entries at names that the old document did not have, or had for another entry that stays.
    pub added: u64,
    /// Entries that are gone.
    pub removed: u64,
    /// Entries that stop more than the entries of the same name did.
    pub widened: u64,
    /// Entries that stop less than the entries of the same name did.
    pub narrowed: u64,
    /// The same reference, a later end.
    pub prolonged: u64,
    /// The same reference, an earlier end.
    pub shortened: u64,
    /// The same reference and end, another basis, category, date of issue or note.
    pub altered: u64,
    /// The first of them, in the order of the documents, up to the limit that was asked for.
    pub listed: Vec<Change>,
}

/// One entry that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `added`, `removed`, `widened`, `narrowed`, `prolonged`, `shortened` or `altered`.
    pub kind: &'static str,
    /// The entry's name; empty where the list is sealed.
    pub name: String,
    /// Its kind of match.
    pub matching: Matching,
    /// Its public reference.
    pub reference: String,
}

/// An addition that a guard objects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// `protected`, `public-suffix` or `popular`.
    pub kind: &'static str,
    /// The entry's name.
    pub name: String,
    /// Its kind of match.
    pub matching: Matching,
    /// Its public reference.
    pub reference: String,
    /// The name that the guard looks after; empty where the list is sealed.
    pub against: String,
}

/// What a new document comes to beside the old one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examination {
    /// What changed.
    pub changes: Changes,
    /// Objections in all, by guard: protected, public suffix, popular.
    pub objections: [u64; 3],
    /// The first of them, up to the limit.
    pub findings: Vec<Finding>,
    /// References that stood for another name or match in the old document: each is bound to one for ever.
    pub reused: Vec<String>,
    compares: bool,
    form: Form,
    gone: HashSet<Reference>,
    come: Vec<Reference>,
}

/// What was announced about a document.
#[derive(Clone, Copy, Debug)]
pub struct Announced<'a> {
    /// Octets uncompressed, at most.
    pub size: u64,
    /// `sha256:` and 64 digits.
    pub state: &'a str,
    /// Keys of the legal bases that entries may name.
    pub bases: &'a [String],
}

/// Compare two documents, less the `withdrawn` references, and let the guards look at what was added. With `announced` the new one is checked against it
/// in the same pass; without, it counts as checked before. At most `limit` changes and findings are listed.
///
/// # Errors
/// The first thing that is wrong with the new document, with the line, whatever the old one is; or the old one is not
/// what it should be.
pub fn examine(
    old: Option<&Path>,
    new: &Path,
    announced: Option<Announced<'_>>,
    guards: &Guards,
    compared: Compared,
    withdrawn: &[String],
    limit: usize,
) -> Result<Examination, ListError> {
    let asked = Asked { guards, compared, withdrawn: references(withdrawn)?, limit };
    compare(old, new, announced, &asked).or_else(|error| match announced {
        // what was passed over beside the old document is not looked at in order: what comes first is said by a full check
        Some(announced) if old.is_some() => check(new, compared.into(), announced).and(Err(error)),
        _ => Err(error),
    })
}

/// What is to be found out.
struct Asked<'a> {
    guards: &'a Guards,
    compared: Compared,
    withdrawn: HashSet<Reference>,
    limit: usize,
}

impl Asked<'_> {
    fn in_force(&self, item: &Item) -> bool {
        !self.withdrawn.contains(&item.reference)
    }
}

/// Check a document against what was announced, line by line.
fn check(path: &Path, form: Form, announced: Announced<'_>) -> Result<(), ListError> {
    let mut document = Document::open(path, form, announced.size, Trust::Nothing { bases: Some(announced.bases) })?;
    let mut group = Group::default();
    while document.next(&mut group)? {}
    check_state(document, announced.state)
}

fn compare(
    old: Option<&Path>,
    new: &Path,
    announced: Option<Announced<'_>>,
    asked: &Asked<'_>,
) -> Result<Examination, ListError> {
    let mut result = Examination { compares: old.is_some(), form: asked.compared.into(), ..Examination::default() };
    let trust = announced.map_or(Trust::Checked, |announced| Trust::Nothing { bases: Some(announced.bases) });
    let size = announced.map_or(u64::MAX, |announced| announced.size);
    let new = Document::open(new, result.form, size, trust)?;
    let new = match old {
        Some(old) if asked.compared == Compared::ByReference => result.by_reference(old, new, asked)?,
        _ => side_by_side(old, new, |step| {
            result.step(&step, asked);
            Ok(())
        })?,
    };
    if let Some(announced) = announced {
        check_state(new, announced.state)?;
    }
    let gone = std::mem::take(&mut result.gone);
    let reused = std::mem::take(&mut result.come).into_iter().filter(|reference| gone.contains(reference));
    result.reused = reused.take(asked.limit).map(|reference| shown(&reference)).collect();
    Ok(result)
}

fn check_state(document: Document<'_>, announced: &str) -> Result<(), ListError> {
    let state = document.finish()?.map_or_else(String::new, |marks| marks.summary().state);
    if state != announced {
        return Err(ListError::new("state-hash", format!("the lines have the state {state}, not {announced}")));
    }
    Ok(())
}

impl Examination {
    fn by_reference<'d>(
        &mut self,
        old: &Path,
        mut new: Document<'d>,
        asked: &Asked<'_>,
    ) -> Result<Document<'d>, ListError> {
        let (entries, moved) = rekeyed::compare(old, &mut new, &asked.withdrawn, |kind, group, item| {
            if kind != "removed" {
                self.object(group, item, asked);
            }
            match kind {
                "unchanged" => self.changes.unchanged += 1,
                _ => self.note(kind, group, item, asked.limit),
            }
        })?;
        self.changes.entries = entries;
        self.gone.extend(moved.iter().copied());
        self.come = moved;
        Ok(new)
    }

    fn step(&mut self, step: &Step<'_>, asked: &Asked<'_>) {
        match step {
            &Step::Same(_, entries) => {
                self.changes.entries += entries;
                self.changes.unchanged += entries;
            }
            Step::Old(before) => {
                self.gone.extend(before.items.iter().map(|item| item.reference));
                let gone = before.items.iter().filter(|item| asked.in_force(item));
                gone.for_each(|item| self.note("removed", before, item, asked.limit));
            }
            Step::New(after) => {
                self.changes.entries += after.items.len() as u64;
                for item in &after.items {
                    self.comes(item);
                    if asked.in_force(item) {
                        self.note("added", after, item, asked.limit);
                        self.object(after, item, asked);
                    }
                }
            }
            Step::Both(before, after) => self.changed(before, after, asked),
        }
    }

    fn changed(&mut self, before: &Group, after: &Group, asked: &Asked<'_>) {
        self.changes.entries += after.items.len() as u64;
        let gone = || before.items.iter().filter(|old| counterpart(after, old).is_none());
        let mut replaced = 0;
        for item in &after.items {
            let old = counterpart(before, item);
            if old.is_none() {
                self.comes(item);
            }
            if !asked.in_force(item) {
                continue;
            }
            let kind = match old {
                Some(old) if before.line(old) == after.line(item) => {
                    self.changes.unchanged += 1;
                    continue;
                }
                Some(old) if item.expires > old.expires => "prolonged",
                Some(old) if item.expires < old.expires => "shortened",
                Some(_) => "altered",
                None if narrows(before, item, &asked.withdrawn) => "narrowed",
                None if gone().any(|old| asked.in_force(old)) => "widened",
                None => "added",
            };
            if matches!(kind, "narrowed" | "widened") {
                replaced += 1;
            }
            self.note(kind, after, item, asked.limit);
            if matches!(kind, "added" | "widened") {
                self.object(after, item, asked);
            }
        }
        // each entry that stands in another's place accounts for one that is gone
        self.gone.extend(gone().map(|item| item.reference));
        let left = gone().filter(|item| asked.in_force(item)).skip(replaced);
        left.for_each(|item| self.note("removed", before, item, asked.limit));
    }

    /// A reference that the old document did not have at this name and match.
    fn comes(&mut self, item: &Item) {
        if self.compares {
            self.come.push(item.reference);
        }
    }

    fn note(&mut self, kind: &'static str, group: &Group, item: &Item, limit: usize) {
        let changes = &mut self.changes;
        let count = match kind {
            "added" => &mut changes.added,
            "removed" => &mut changes.removed,
            "widened" => &mut changes.widened,
            "narrowed" => &mut changes.narrowed,
            "prolonged" => &mut changes.prolonged,
            "shortened" => &mut changes.shortened,
            _ => &mut changes.altered,
        };
        *count += 1;
        if changes.listed.len() < limit {
            let (name, matching, reference) = describe(self.form, group, item);
            changes.listed.push(Change { kind, name, matching, reference });
        }
    }

    fn object(&mut self, group: &Group, item: &Item, asked: &Asked<'_>) {
        asked.guards.examine(&group.key, item.matching, |Objection { guard, against }| {
            self.objections[guard as usize] += 1;
            if self.findings.len() < asked.limit {
                let (name, matching, reference) = describe(self.form, group, item);
                self.findings.push(Finding { kind: guard.as_str(), name, matching, reference, against });
            }
        });
    }
}

/// The entry of the other document with the same name, match and reference.
pub(crate) fn counterpart<'g>(group: &'g Group, item: &Item) -> Option<&'g Item> {
    group.items.iter().find(|other| other.matching == item.matching && other.reference == item.reference)
}

/// Did the old entries of the name that are in force stop all that this one stops, at least as long?
pub(crate) fn narrows(before: &Group, item: &Item, withdrawn: &HashSet<Reference>) -> bool {
    before.holds_until(item.matching, withdrawn).is_some_and(|until| item.expires <= until)
}

/// What people see of an entry; of a sealed one its reference alone.
fn describe(form: Form, group: &Group, item: &Item) -> (String, Matching, String) {
    let name = if form == Form::Sealed { String::new() } else { key::to_name(&group.key) };
    (name, item.matching, shown(&item.reference))
}

fn shown(reference: &Reference) -> String {
    String::from_utf8_lossy(&encode_reference(reference)).into_owned()
}
