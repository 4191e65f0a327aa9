//! Names that come onto a list, with the references that were drawn for them.
//!
//! Enters: gathered names, what each kind of them says, and random octets. Leaves: the lines in the order of the document,
//! each made when it is asked for: of a name there are its place in that order and ten octets, no line.

use std::sync::Arc;

use super::change::{Change, Sign, end_place};
use super::entry::{MAX_LINE, Reference, encode_reference};
use super::gather::{AHEAD, Names};
use super::key;
use super::types::ListError;
use super::vector::prefetch;

/// What the names of a kind come with.
#[derive(Clone, Debug)]
pub struct Kind {
    /// `below`, `exact` or `subtree`.
    pub matching: String,
    /// The ground's key.
    pub basis: String,
    /// What a line says before the name and after the reference; `None`: it is no entry.
    pub form: Option<(String, String)>,
}

/// Names with their references, in the order of a document.
#[derive(Debug)]
pub(crate) struct Drawn {
    names: Arc<Names>,
    kinds: Vec<Kind>,
    order: Vec<u32>,
    /// By row: which ten octets.
    ranks: Vec<u32>,
    octets: Vec<u8>,
}

impl Drawn {
    /// Of these rows, in the order of their keys; `ranks`: by row, which ten of the octets make its reference.
    pub fn new(names: Arc<Names>, kinds: Vec<Kind>, order: Vec<u32>, ranks: Vec<u32>, octets: Vec<u8>) -> Self {
        let mut drawn = Self { names, kinds, order, ranks, octets };
        drawn.sort_groups();
        drawn
    }

    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Makes `change` the one at this place; false after the last.
    pub fn change(&self, at: usize, change: &mut Change) -> Result<bool, ListError> {
        let Some(&row) = self.order.get(at) else { return Ok(false) };
        self.ask_for(at);
        let (key, reference) = (self.names.key(row as usize), self.reference(row));
        let kind = &self.kinds[self.names.kind(row as usize)];
        let Some((before, after)) = &kind.form else { return Ok(false) };
        change.sign = Sign::Added;
        change.line.clear();
        change.line.extend_from_slice(before.as_bytes());
        change.line.extend_from_slice(b"\"name\":\"");
        key::reverse(key, key::SEPARATOR, b'.', &mut change.line);
        for part in [b"\",\"reference\":\"", reference.as_slice(), b"\"", after.as_bytes()] {
            change.line.extend_from_slice(part);
        }
        if change.line.len() > MAX_LINE {
            let reason = format!("{}: the line is longer than {MAX_LINE} octets", key::to_name(key));
            return Err(ListError::new("malformed", reason));
        }
        change.place.clear();
        change.place.extend_from_slice(key);
        end_place(&mut change.place, kind.matching.as_bytes(), &reference);
        Ok(true)
    }

    /// The bases of all that comes.
    pub fn bases(&self) -> impl Iterator<Item = &str> {
        let mut used = vec![false; self.kinds.len()];
        self.order.iter().for_each(|&row| used[self.names.kind(row as usize)] = true);
        self.kinds.iter().zip(used).filter(|(_, used)| *used).map(|(kind, _)| kind.basis.as_str())
    }

    fn ask_for(&self, at: usize) {
        self.names.ask_for(&self.order, at);
        if let Some(&row) = self.order.get(at + 2 * AHEAD) {
            prefetch(&self.ranks, row as usize);
        }
        if let Some(&row) = self.order.get(at + AHEAD) {
            prefetch(&self.octets, 10 * self.ranks[row as usize] as usize);
        }
    }

    fn reference(&self, row: u32) -> [u8; 16] {
        let at = 10 * self.ranks[row as usize] as usize;
        let mut reference = Reference::default();
        reference.copy_from_slice(&self.octets[at..at + 10]);
        encode_reference(&reference)
    }

    /// Rows of one name stand in the order of match and reference.
    fn sort_groups(&mut self) {
        let mut at = 0;
        let mut order = std::mem::take(&mut self.order);
        while at < order.len() {
            self.names.ask_for(&order, at);
            let key = self.names.key(order[at] as usize);
            let same = order[at + 1..].iter().take_while(|&&row| self.names.key(row as usize) == key).count();
            let matching = |row: u32| self.kinds[self.names.kind(row as usize)].matching.as_str();
            order[at..=at + same].sort_by_key(|&row| (matching(row), self.reference(row)));
            at += 1 + same;
        }
        self.order = order;
    }
}
