//! How many entries a name has, where a step changes them.
//!
//! Enters: the lines next to the changes of a step, and the changes, in their order, each by the key of its name. Leaves:
//! nothing; or `crowded`, where a name that changes comes to more than [`MAX_PER_NAME`]. No other name is judged.

use super::change::{Sign, name_of, place_of};
use super::document::{MAX_PER_NAME, crowded};
use super::key;
use super::types::ListError;

/// The name that is looked at.
#[derive(Default)]
pub(crate) struct Crowd {
    key: Vec<u8>,
    entries: usize,
    changed: bool,
    /// Memory for the place of a line.
    place: Vec<u8>,
}

impl Crowd {
    /// Goes on to this name.
    pub fn look_at(&mut self, key: &[u8]) {
        if self.key != key {
            self.key.clear();
            self.key.extend_from_slice(key);
            (self.entries, self.changed) = (0, false);
        }
    }

    /// Whether it is this name.
    pub fn is_at(&self, key: &[u8]) -> bool {
        self.key == key
    }

    /// Whether the name changes.
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// A line of this name stays.
    pub fn stays(&mut self, key: &[u8]) -> Result<(), ListError> {
        self.look_at(key);
        self.entries += 1;
        self.judge()
    }

    /// Of these lines those of the name stay, up to the first that is of another.
    pub fn pass<'l>(&mut self, lines: impl Iterator<Item = &'l [u8]>) -> Result<(), ListError> {
        let same = |line: &&[u8]| place_of(line, &mut self.place).is_ok() && name_of(&self.place) == self.key;
        self.entries += lines.take(MAX_PER_NAME + 1).take_while(same).count();
        self.judge()
    }

    /// A line of this name goes or comes.
    pub fn changes(&mut self, key: &[u8], sign: Sign) -> Result<(), ListError> {
        self.look_at(key);
        self.entries += usize::from(sign == Sign::Added);
        self.changed = true;
        self.judge()
    }

    fn judge(&self) -> Result<(), ListError> {
        if self.changed && self.entries > MAX_PER_NAME { Err(crowded(0, &key::to_name(&self.key))) } else { Ok(()) }
    }
}
