//! The names of a list: sorted keys and a binary search.
use super::file::{Content, Section, Sections, damaged};
use super::key;
use super::types::ListError;

#[derive(Default)]
pub(crate) struct NamesBuilder {
    keys: Vec<u8>,
    ends: Vec<u32>,
}

impl NamesBuilder {
    pub fn push(&mut self, key: &[u8]) {
        self.keys.extend_from_slice(key);
        self.ends.push(self.keys.len() as u32);
    }

    pub fn finish(self, sections: &mut Sections) {
        sections.rows = self.ends.len() as u32;
        for end in &self.ends {
            sections.section(Section::Tree).extend_from_slice(&end.to_le_bytes());
        }
        *sections.section(Section::Buckets) = self.keys;
    }
}

#[derive(Debug)]
pub(crate) struct Names;

impl Names {
    pub fn open(content: &Content) -> Result<Self, ListError> {
        if content.get(Section::Tree).len() != 4 * content.rows as usize {
            return Err(damaged("names"));
        }
        let mut last: &[u8] = b"";
        for row in 0..content.rows {
            match Self::get(content, row) {
                Some(key) if key > last && key.len() <= key::MAX_KEY => last = key,
                _ => return Err(damaged("names")),
            }
        }
        Ok(Self)
    }

    fn get(content: &Content, row: u32) -> Option<&[u8]> {
        let ends = content.get(Section::Tree);
        let end = |row: usize| {
            ends.get(4 * row..4 * row + 4).map(|e| u32::from_le_bytes(e.try_into().unwrap_or_default()) as usize)
        };
        let row = row as usize;
        let start = if row == 0 { 0 } else { end(row - 1)? };
        content.get(Section::Buckets).get(start..end(row)?)
    }

    pub fn key(&self, content: &Content, row: u32) -> Option<Vec<u8>> {
        Self::get(content, row).map(<[u8]>::to_vec)
    }

    pub fn find(&self, content: &Content, key: &[u8]) -> Option<u32> {
        let (mut low, mut high) = (0, content.rows);
        while low < high {
            let middle = u32::midpoint(low, high);
            if Self::get(content, middle)? < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        (Self::get(content, low)? == key).then_some(low)
    }
}
