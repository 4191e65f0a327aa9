//! The text of an extended error for clients that read JSON (structured DNS errors).
//!
//! Enters: for each list that explains itself so, the parts of its objects, made by who knows the provider and the list's
//! legal bases; an entry's basis, category and reference. Leaves: the object, and the same without what the draft lets go
//! first ("omitting the 'j' and 'o' fields before omitting the EXTRA-TEXT entirely"). The parts are whole JSON members;
//! a reference needs no escape.

use std::collections::HashMap;

use crate::list::{Action, CompiledList, reference_text};
use crate::verdict::Stop;

/// The parts of one list.
#[derive(Clone, Debug, Default)]
pub struct Explanation {
    /// What such a client gets instead of the stop page.
    pub action: Option<Action>,
    /// By key of the legal basis, the beginning of the object: whole, and without `j`, `o` and `l`.
    pub bases: HashMap<String, [Vec<u8>; 2]>,
    /// By category, the member `s`; of a category that is not here [`Explanation::otherwise`].
    pub categories: HashMap<String, Vec<u8>>,
    /// The member `s` of all other categories; empty: none.
    pub otherwise: Vec<u8>,
    /// What stands before and behind the reference.
    pub around: [Vec<u8>; 2],
}

/// The texts for one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The object.
    pub long: Vec<u8>,
    /// The same without justification and organization.
    pub short: Vec<u8>,
}

impl Explanation {
    /// The texts about the entry that stops; `None` where the list has no such basis.
    pub fn of(&self, list: &CompiledList, stop: &Stop) -> Option<Explained> {
        let record = list.record(stop.row, usize::from(stop.rule))?;
        let sub_error = self.categories.get(record.category).unwrap_or(&self.otherwise);
        let reference = reference_text(&list.reference(list.number(stop.row, stop.rule))?);
        let [long, short] = self.bases.get(record.basis)?.each_ref().map(|beginning| {
            let parts: [&[u8]; 5] = [beginning, sub_error, &self.around[0], &reference, &self.around[1]];
            parts.concat()
        });
        Some(Explained { long, short })
    }
}
