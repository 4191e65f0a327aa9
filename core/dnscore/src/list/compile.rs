//! All lists of a provider, merged into one compiled file.
//!
//! Enters: the applied document of each list with what the provider does on it. Leaves: the file, whole or not at all.
//! One pass over all documents side by side; a name that several lists hold is one row with a rule for each entry.
//! Sealed lists follow, one after the other: what two of them hold for one name nobody can see.
//! Suspended references are left out, so that relief holds whatever the documents say. Expiry is not looked at here: an
//! entry may lapse between two compilations, so the verdict looks at it.

use std::collections::HashSet;
use std::path::Path;

use super::build::{Builder, Listed};
use super::digest::{Digest, digest_of};
use super::document::{Document, Group, Trust};
use super::entry::{self, Form, Reference};
use super::file::Sections;
use super::types::{Action, Aliases, ListError, Rule};

/// Lists that one compiled file may hold: the bits of a view.
pub const MAX_LISTS: usize = 64;

/// One list: its document, and what the provider does with a match.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// File of zstd-compressed canonical lines.
    pub document: &'a Path,
    /// What happens to a query that matches.
    pub action: Action,
    /// What happens to answers for other names in which there are records of a listed one.
    pub aliases: Aliases,
    /// INFO-CODE of the Extended DNS Error; 0: none.
    pub ede: u16,
    /// Keys of the bases that entries may name; empty: any.
    pub bases: &'a [String],
    /// References that are suspended, as 16 characters each.
    pub suspended: &'a [String],
    /// Of a sealed list, whose document holds digests: the digest of the root under its key.
    pub seal: Option<Digest>,
}

/// What was compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileSummary {
    /// Entries of all lists, without the suspended ones.
    pub entries: u32,
    /// Different names.
    pub names: u32,
    /// Octets of the file.
    pub bytes: u64,
    /// Octets of what queries touch.
    pub hot_bytes: u64,
    /// Entries left out because they are suspended.
    pub suspended: u32,
}

/// Compile lists in the order of the configuration into `output`, with `meta` kept beside them. No document may be
/// larger than `max_size` octets uncompressed.
///
/// # Errors
/// A document is not what it should be (the reason says which), or `output` cannot be written.
pub fn compile(sources: &[Source<'_>], output: &Path, meta: &[u8], max_size: u64) -> Result<CompileSummary, ListError> {
    let (sections, suspended) = merge(sources, meta, max_size)?;
    sections.write(output)?;
    Ok(CompileSummary {
        entries: sections.records,
        names: sections.rows,
        bytes: sections.length(),
        hot_bytes: sections.hot_bytes(),
        suspended,
    })
}

struct Merging<'a> {
    source: &'a Source<'a>,
    index: u8,
    suspended: HashSet<Reference>,
    document: Document<'a>,
    group: Group,
    more: bool,
}

impl<'a> Merging<'a> {
    fn open(index: u8, source: &'a Source<'a>, max_size: u64) -> Result<Self, ListError> {
        let bases = (!source.bases.is_empty()).then_some(source.bases);
        let form = Form::of(source.seal.is_some());
        let trust = Trust::Compiling { bases };
        let mut one = Self {
            source,
            index,
            suspended: references(source.suspended)?,
            document: Document::open(source.document, form, max_size, trust).map_err(named(source))?,
            group: Group::default(),
            more: false,
        };
        one.advance()?;
        Ok(one)
    }

    fn advance(&mut self) -> Result<(), ListError> {
        self.more = self.document.next(&mut self.group).map_err(named(self.source))?;
        Ok(())
    }

    /// Appends the entries of the name or digest that stands next; how many were left out.
    fn listed<'g>(&'g self, listed: &mut Vec<Listed<'g>>) -> u32 {
        let mut left_out = 0;
        for item in &self.group.items {
            if self.suspended.contains(&item.reference) {
                left_out += 1;
                continue;
            }
            let (basis, category) = self.group.words(item);
            listed.push(Listed {
                rule: Rule {
                    list: self.index,
                    matching: item.matching,
                    action: self.source.action,
                    aliases: self.source.aliases,
                    ede: self.source.ede,
                    expires: item.expires,
                },
                reference: item.reference,
                issued: item.issued,
                basis,
                category,
            });
        }
        left_out
    }
}

fn merge(sources: &[Source<'_>], meta: &[u8], max_size: u64) -> Result<(Sections, u32), ListError> {
    if sources.len() > MAX_LISTS {
        return Err(ListError::new("too-large", format!("more than {MAX_LISTS} lists")));
    }
    let mut builder = Builder::default();
    let (sealed, plain): (Vec<_>, Vec<_>) = (0u8..).zip(sources).partition(|(_, source)| source.seal.is_some());
    let mut left_out = merge_names(&plain, max_size, &mut builder)?;
    for (index, source) in sealed {
        let mut one = Merging::open(index, source, max_size)?;
        builder.seal(index, &source.seal.unwrap_or_default());
        while one.more {
            let mut listed = Vec::with_capacity(one.group.items.len());
            left_out += one.listed(&mut listed);
            if !listed.is_empty() {
                let digest = digest_of(&one.group.key).ok_or_else(|| ListError::new("digest", "not a digest"))?;
                builder.digest(&digest, &listed)?;
            }
            one.advance()?;
        }
    }
    Ok((builder.finish(meta)?, left_out))
}

/// All lists that have names, side by side.
fn merge_names(sources: &[(u8, &Source<'_>)], max_size: u64, builder: &mut Builder) -> Result<u32, ListError> {
    let opened = sources.iter().map(|&(index, source)| Merging::open(index, source, max_size));
    let mut merging = opened.collect::<Result<Vec<_>, _>>()?;
    let mut left_out = 0;
    let mut next: Vec<usize> = Vec::with_capacity(merging.len());
    loop {
        next.clear();
        for (index, one) in merging.iter().enumerate().filter(|(_, one)| one.more) {
            let order = next.first().map(|&first| one.group.key.cmp(&merging[first].group.key));
            if order.is_some_and(|order| order.is_lt()) {
                next.clear();
            }
            if order.is_none_or(|order| order.is_le()) {
                next.push(index);
            }
        }
        let Some(&first) = next.first() else { return Ok(left_out) };
        let mut listed = Vec::with_capacity(next.len());
        for &index in &next {
            left_out += merging[index].listed(&mut listed);
        }
        if !listed.is_empty() {
            builder.row(&merging[first].group.key, &listed)?;
        }
        for &index in &next {
            merging[index].advance()?;
        }
    }
}

fn named(source: &Source<'_>) -> impl Fn(ListError) -> ListError {
    |error| {
        let path = source.document.display().to_string();
        // what the file system refuses names its file
        let named = error.reason.starts_with(&path);
        ListError { reason: if named { error.reason } else { format!("{path}: {}", error.reason) }, ..error }
    }
}

pub(crate) fn references(texts: &[String]) -> Result<HashSet<Reference>, ListError> {
    let decode = |text: &String| {
        entry::decode_reference(text.as_bytes())
            .ok_or_else(|| ListError::new("reference", format!("{text:?} is not a reference")))
    };
    texts.iter().map(decode).collect()
}
