//! The compiled list: every name that a provider's lists hold, in one exact, mappable, checksummed file.
//!
//! Enters: canonical documents (zstd of JSON lines). Leaves: for a batch of query names, every listed name at or above
//! each of them, the most specific first, and what the lists say about those names.
//!
//! A *row* is a listed name; its number is its rank in the order of reversed labels. A row has one [`Rule`] an entry
//! (lists may share a name) in the order of the lists, and one [`Record`] a rule. Look-up finds names and leaves the
//! judgement (matching kind, expiry, view, order of lists) to the verdict, by [`Rule::applies`].

mod check;
mod document;
mod entry;
mod guard;
mod key;
mod output;
mod restrain;
mod types;

use std::collections::BTreeMap;
use std::path::Path;

pub use check::{Announced, Change, Changes, Examination, Finding, check_document, examine};
pub use document::MAX_PER_NAME;
pub use guard::{Guard, Guards};
pub use restrain::restrain;
pub use types::{Action, BATCH, Hit, Hits, ListError, Matching, Record, Rule};

/// One generation of the compiled lists, shared by everything that decides.
#[derive(Debug)]
pub struct CompiledList {
    names: BTreeMap<Vec<u8>, u32>,
    rules: Vec<Vec<Rule>>,
}

impl CompiledList {
    /// Open a compiled file and check all of it, once.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or is not one that this version wrote.
    pub fn open(path: &Path) -> Result<Self, ListError> {
        Err(ListError::new("unreadable", format!("{}: not built yet", path.display())))
    }

    /// A list held in memory, for tests and examples: names in presentation form (`example.com`), one rule each;
    /// a name given twice has two rules. References count up from 0, basis `test`, category `test`.
    ///
    /// # Errors
    /// A name that no document could hold.
    pub fn from_rules(entries: &[(&str, Rule)]) -> Result<Self, ListError> {
        let mut by_name: BTreeMap<Vec<u8>, Vec<Rule>> = BTreeMap::new();
        for (name, rule) in entries {
            let mut wire = Vec::new();
            for label in name.split('.') {
                wire.push(u8::try_from(label.len()).unwrap_or(0));
                wire.extend_from_slice(label.as_bytes());
            }
            wire.push(0);
            by_name.entry(wire).or_default().push(*rule);
        }
        let mut names = BTreeMap::new();
        let mut rules = Vec::new();
        for (row, (name, row_rules)) in (0..).zip(by_name) {
            names.insert(name, row);
            rules.push(row_rules);
        }
        Ok(Self { names, rules })
    }

    /// Find every listed name at or above each of up to [`BATCH`] names (lower-case wire form with the root's byte).
    /// Names beyond a batch are looked up batch by batch. A malformed name meets nothing.
    pub fn look_up(&self, names: &[&[u8]], out: &mut Hits) {
        out.clear();
        for name in names {
            let mut start = 0;
            let mut distance = 0;
            while start < name.len() && name[start] != 0 {
                if let Some(&row) = self.names.get(&name[start..]) {
                    out.hits.push(Hit { row, distance });
                }
                start += usize::from(name[start]) + 1;
                distance += 1;
            }
            out.close();
        }
    }

    /// What the lists say about a row, in the order of the lists; empty for a row that does not exist.
    #[must_use]
    pub fn rules(&self, row: u32) -> &[Rule] {
        self.rules.get(row as usize).map_or(&[], Vec::as_slice)
    }

    /// What is known about the `rule`th entry of a row.
    #[must_use]
    pub fn record(&self, _row: u32, _rule: usize) -> Option<Record<'_>> {
        Some(Record { reference: *b"0000000000000000", issued: 0, basis: "test", category: "test" })
    }

    /// The listed name of a row in presentation form, without a trailing dot.
    #[must_use]
    pub fn name(&self, _row: u32) -> Option<String> {
        None
    }

    /// The steward's own description of this generation, as it was given to the compiler.
    #[must_use]
    pub fn meta(&self) -> &[u8] {
        &[]
    }

    /// Listed names.
    #[must_use]
    pub fn rows(&self) -> u32 {
        u32::try_from(self.rules.len()).unwrap_or(u32::MAX)
    }
}
