//! The building of a compiled list, row by row in the order of keys.
//!
//! Enters: for each listed name its rules and records; after the names, list by list, the digests of sealed lists with
//! theirs. Leaves: the sections of the file. Memory: about 45 octets a row.

use std::collections::HashMap;

use super::digest::Digest;
use super::entry::Reference;
use super::file::{Section, Sections};
use super::names_builder::NamesBuilder;
use super::sealed;
use super::types::{ListError, Rule};
use crate::narrow::to_u32;

/// Everything about one entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed<'a> {
    pub rule: Rule,
    pub reference: Reference,
    pub issued: u32,
    pub basis: &'a [u8],
    pub category: &'a [u8],
}

/// Octets of one record in its section: reference, date of issue, kind.
pub(crate) const RECORD: usize = 18;
/// Octets of one rule in its section.
pub(crate) const RULE: usize = 12;
/// Octets that may be read beyond the last packed class.
pub(crate) const CLASS_PADDING: usize = 8;

#[derive(Default)]
pub(crate) struct Builder {
    names: NamesBuilder,
    classes: HashMap<Vec<Rule>, u32>,
    rule_ends: Vec<u32>,
    row_classes: Vec<u32>,
    kinds: HashMap<Vec<u8>, u32>,
    /// Basis and category of the last entry as `kinds` spells them, and their number.
    last_kind: (Vec<u8>, u32),
    rules: u32,
    rows: u32,
    records: u32,
    sections: Sections,
    scratch: Vec<Rule>,
    last_class: u32,
    last_rules: Vec<Rule>,
}

impl Builder {
    /// Add a name that comes after all others, with its entries in the order of the lists.
    pub fn row(&mut self, key: &[u8], entries: &[Listed<'_>]) -> Result<(), ListError> {
        self.names.push(key);
        self.sections.named += 1;
        self.entries(entries)
    }

    /// Begin a sealed list, after all that have names and the sealed ones before it; `check` is the digest of the root
    /// under its key.
    pub fn seal(&mut self, list: u8, check: &Digest) {
        sealed::begin(&mut self.sections, list, check);
    }

    /// Add a digest of the sealed list that was begun last, after all its others.
    pub fn digest(&mut self, digest: &Digest, entries: &[Listed<'_>]) -> Result<(), ListError> {
        sealed::push(&mut self.sections, digest);
        self.entries(entries)
    }

    fn entries(&mut self, entries: &[Listed<'_>]) -> Result<(), ListError> {
        if entries.len() > 1 {
            let several = self.sections.section(Section::Several);
            several.extend_from_slice(&self.rows.to_le_bytes());
            several.extend_from_slice(&(self.records + to_u32(entries.len()) - 1 - self.rows).to_le_bytes());
        }
        self.scratch.clear();
        self.scratch.extend(entries.iter().map(|entry| entry.rule));
        let class = self.class()?;
        self.row_classes.push(class);
        for entry in entries {
            let kind = self.kind(entry.basis, entry.category);
            let records = self.sections.section(Section::Records);
            records.extend_from_slice(&entry.reference);
            records.extend_from_slice(&entry.issued.to_le_bytes());
            records.extend_from_slice(&kind.to_le_bytes());
        }
        self.records += u32::try_from(entries.len()).unwrap_or(u32::MAX);
        self.rows = self.rows.checked_add(1).ok_or_else(too_many)?;
        Ok(())
    }

    /// The sections of the file.
    pub fn finish(mut self, meta: &[u8]) -> Result<Sections, ListError> {
        self.names.finish(&mut self.sections)?;
        sealed::finish(&mut self.sections);
        self.sections.rows = self.rows;
        self.sections.records = self.records;
        let width =
            u32::BITS - u32::try_from(self.rule_ends.len().saturating_sub(1)).unwrap_or(u32::MAX).leading_zeros();
        let packed = pack(&self.row_classes, width);
        let classes = self.sections.section(Section::Classes);
        classes.extend_from_slice(&width.to_le_bytes());
        classes.extend_from_slice(&packed);
        let mut ends = to_u32(self.rule_ends.len()).to_le_bytes().to_vec();
        ends.extend(self.rule_ends.iter().flat_map(|end| end.to_le_bytes()));
        ends.append(self.sections.section(Section::Rules));
        *self.sections.section(Section::Rules) = ends;
        self.sections.section(Section::Meta).extend_from_slice(meta);
        Ok(self.sections)
    }

    fn class(&mut self) -> Result<u32, ListError> {
        if self.scratch == self.last_rules && self.rows > 0 {
            return Ok(self.last_class);
        }
        let class = match self.classes.get(&self.scratch) {
            Some(&class) => class,
            None => {
                let class = u32::try_from(self.classes.len()).map_err(|_| too_many())?;
                self.rules = self.rules.checked_add(to_u32(self.scratch.len())).ok_or_else(too_many)?;
                self.rule_ends.push(self.rules);
                let rules = self.sections.section(Section::Rules);
                for rule in &self.scratch {
                    rules.extend_from_slice(&[rule.list, rule.matching as u8, rule.action as u8, rule.aliases as u8]);
                    rules.extend_from_slice(&rule.expires.to_le_bytes());
                    rules.extend_from_slice(&u32::from(rule.ede).to_le_bytes());
                }
                self.classes.insert(self.scratch.clone(), class);
                class
            }
        };
        self.last_class = class;
        std::mem::swap(&mut self.last_rules, &mut self.scratch);
        Ok(class)
    }

    fn kind(&mut self, basis: &[u8], category: &[u8]) -> u32 {
        let (last, number) = &self.last_kind;
        if last.strip_prefix(basis).and_then(|rest| rest.strip_prefix(b"\n")) == Some(category) {
            return *number;
        }
        // neither holds a line feed: both are words
        let kind = [basis, b"\n", category].concat();
        let number = self.kinds.get(&kind).copied().unwrap_or_else(|| {
            let text = self.sections.section(Section::Kinds);
            text.extend_from_slice(&kind);
            text.push(b'\n');
            let number = to_u32(self.kinds.len());
            self.kinds.insert(kind.clone(), number);
            number
        });
        self.last_kind = (kind, number);
        number
    }
}

fn too_many() -> ListError {
    ListError::new("too-large", "more rows than a compiled list can hold")
}

/// Numbers of `width` bits each, the first in the lowest bits.
fn pack(numbers: &[u32], width: u32) -> Vec<u8> {
    let mut packed = Vec::with_capacity(numbers.len() * width as usize / 8 + CLASS_PADDING + 1);
    let (mut pending, mut bits) = (0u64, 0);
    for &number in numbers {
        pending |= u64::from(number) << bits;
        bits += width;
        while bits >= 8 {
            packed.push((pending & 0xff) as u8);
            pending >>= 8;
            bits -= 8;
        }
    }
    packed.push((pending & 0xff) as u8);
    packed.resize(packed.len() + CLASS_PADDING, 0);
    packed
}

/// The `index`th of numbers packed by the builder; 0 beyond the end.
pub(crate) fn unpack(packed: &[u8], width: u32, index: u32) -> u32 {
    let bit = u64::from(index) * u64::from(width);
    let Some(eight) = usize::try_from(bit / 8).ok().and_then(|at| packed.get(at..at + 8)) else { return 0 };
    let word = u64::from_le_bytes(eight.try_into().unwrap_or_default());
    ((word >> (bit % 8)) & ((1u64 << width) - 1) & 0xffff_ffff) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_numbers_come_back() {
        for width in [0, 1, 3, 8, 13, 31, 32] {
            let mask = (((1u64 << width) - 1) & 0xffff_ffff) as u32;
            let numbers: Vec<u32> = (0..100u32).map(|n| n.wrapping_mul(0x9E37_79B1) & mask).collect();
            let packed = pack(&numbers, width);
            for (index, &number) in (0..).zip(&numbers) {
                assert_eq!(unpack(&packed, width, index), number, "{width}");
            }
        }
    }
}
