//! A few texts, looked for in many lines at once: where none of them stands, no line need be read.
//!
//! Enters: names and references. Leaves: whether one of them stands in a text, as whatever it stands there.

use memchr::memmem::Finder;

/// More of them than this, and reading the lines costs less than looking for each.
const MOST: usize = 8;

/// A few texts.
#[derive(Debug)]
pub(crate) struct Few {
    finders: Vec<Finder<'static>>,
}

impl Few {
    /// These; `None` where they are too many.
    pub fn of<T: AsRef<[u8]>>(texts: impl Iterator<Item = T>) -> Option<Self> {
        let finders: Vec<_> = texts.take(MOST + 1).map(|text| Finder::new(text.as_ref()).into_owned()).collect();
        (finders.len() <= MOST).then_some(Self { finders })
    }

    /// Whether one of them stands there.
    pub fn stands_in(&self, lines: &[u8]) -> bool {
        self.finders.iter().any(|finder| finder.find(lines).is_some())
    }
}
