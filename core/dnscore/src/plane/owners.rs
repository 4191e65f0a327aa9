//! What judging the owners of an answer's records needs, from answer to answer.

use crate::list::Hits;
use crate::verdict::Stop;
use crate::wire::Name;

/// What judging the owners of an answer's records needs.
pub(super) struct Owners {
    pub found: Vec<Name>,
    pub met: Hits,
    /// Which list is live, counted; never 0 or [`crate::cache::UNJUDGED`].
    pub generation: u32,
    /// The entry that stopped the last answer, with the entry's own name, until it is recorded.
    pub stopped: Option<Box<(Stop, Name)>>,
}

impl Owners {
    pub fn new() -> Owners {
        Owners { found: Vec::new(), met: Hits::new(), generation: FIRST, stopped: None }
    }

    /// The last answer is not to be recorded.
    pub fn forget(&mut self) {
        self.found.clear();
        self.met.clear();
        self.stopped = None;
    }

    /// Another list is live: nothing is known of its names.
    pub fn new_list(&mut self) {
        self.generation = self.generation.checked_add(1).unwrap_or(FIRST);
    }
}

const FIRST: u32 = crate::cache::UNJUDGED + 1;
