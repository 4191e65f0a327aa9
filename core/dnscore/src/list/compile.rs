//! All lists of a provider, merged into one compiled file.
//!
//! Enters: the applied document of each list with what the provider does on it. Leaves: the file, whole or not at all.
//! One pass over all documents side by side; a name that several lists hold is one row with a rule for each entry.
//! Suspended references are left out, so that relief holds whatever the documents say. Expiry is not looked at here: an
//! entry may lapse between two compilations, so the verdict looks at it.

use std::collections::HashSet;
use std::path::Path;

use super::build::{Builder, Listed};
use super::document::{Document, Group, Trust};
use super::entry::{self, Reference};
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

fn merge(sources: &[Source<'_>], meta: &[u8], max_size: u64) -> Result<(Sections, u32), ListError> {
    if sources.len() > MAX_LISTS {
        return Err(ListError::new("too-large", format!("more than {MAX_LISTS} lists")));
    }
    let mut merging = Vec::with_capacity(sources.len());
    for (index, source) in (0u8..).zip(sources) {
        let bases = (!source.bases.is_empty()).then_some(source.bases);
        let mut one = Merging {
            source,
            index,
            suspended: references(source.suspended)?,
            document: Document::open(source.document, max_size, Trust::Compiling { bases }).map_err(named(source))?,
            group: Group::default(),
            more: false,
        };
        one.more = one.document.next(&mut one.group).map_err(named(source))?;
        merging.push(one);
    }
    let mut builder = Builder::default();
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
        let Some(&first) = next.first() else { break };
        let mut listed = Vec::with_capacity(next.len());
        for &index in &next {
            let one = &merging[index];
            for item in &one.group.items {
                if one.suspended.contains(&item.reference) {
                    left_out += 1;
                    continue;
                }
                let (basis, category) = one.group.words(item);
                listed.push(Listed {
                    rule: Rule {
                        list: one.index,
                        matching: item.matching,
                        action: one.source.action,
                        aliases: one.source.aliases,
                        ede: one.source.ede,
                        expires: item.expires,
                    },
                    reference: item.reference,
                    issued: item.issued,
                    basis,
                    category,
                });
            }
        }
        if !listed.is_empty() {
            builder.row(&merging[first].group.key, &listed)?;
        }
        for &index in &next {
            let one = &mut merging[index];
            one.more = one.document.next(&mut one.group).map_err(named(one.source))?;
        }
    }
    Ok((builder.finish(meta)?, left_out))
}

fn named(source: &Source<'_>) -> impl Fn(ListError) -> ListError {
    |error| ListError { reason: format!("{}: {}", source.document.display(), error.reason), ..error }
}

pub(crate) fn references(texts: &[String]) -> Result<HashSet<Reference>, ListError> {
    let decode = |text: &String| {
        entry::decode_reference(text.as_bytes())
            .ok_or_else(|| ListError::new("reference", format!("{text:?} is not a reference")))
    };
    texts.iter().map(decode).collect()
}
