//! Two documents of one list, walked together.
//!
//! Enters: the old document, checked when it came, and the new one, of the same form. Leaves: step by step in their common order, what
//! stands in the old alone, in the new alone, in both under one name, or in both letter by letter.
//!
//! An update changes a thousand lines of a million. Where both documents stand before the same line, all lines that follow in
//! both are passed over at once, as far as they can be seen: up to the last name among them, which may go on
//! differently.

use std::path::Path;

use super::document::{Document, Group, Trust};
use super::entry::Reader;
use super::marks::count;
use super::types::ListError;

/// What is compared at once.
const BLOCK: usize = 4096;

/// What stands next.
pub(crate) enum Step<'g> {
    /// A name that only the old document has.
    Old(&'g Group),
    /// A name that only the new document has.
    New(&'g Group),
    /// A name of both.
    Both(&'g Group, &'g Group),
    /// Whole names of both, letter by letter: their lines, and how many.
    Same(&'g [u8], u64),
}

/// Walk both documents in their common order; gives back the new one, read to its end.
pub(crate) fn side_by_side<'d>(
    old: Option<&Path>,
    mut new: Document<'d>,
    mut visit: impl FnMut(Step<'_>) -> Result<(), ListError>,
) -> Result<Document<'d>, ListError> {
    let mut old = old.map(|path| Document::open(path, new.form(), u64::MAX, Trust::Checked)).transpose()?;
    let (mut before, mut after) = (Group::default(), Group::default());
    let next = |document: &mut Option<Document<'_>>, group: &mut Group| {
        document.as_mut().map_or(Ok(false), |document| document.next(group))
    };
    let (mut has_before, mut has_after) = (next(&mut old, &mut before)?, new.next(&mut after)?);
    let mut reader = Reader::of(new.form());
    loop {
        let order = match (has_before, has_after) {
            (false, false) => return Ok(new),
            (true, false) => std::cmp::Ordering::Less,
            (false, true) => std::cmp::Ordering::Greater,
            (true, true) => before.key.cmp(&after.key),
        };
        match order {
            std::cmp::Ordering::Less => visit(Step::Old(&before))?,
            std::cmp::Ordering::Greater => visit(Step::New(&after))?,
            std::cmp::Ordering::Equal if before.text == after.text => {
                visit(Step::Same(&after.text, after.items.len() as u64))?
            }
            std::cmp::Ordering::Equal => visit(Step::Both(&before, &after))?,
        }
        if order.is_eq()
            && let Some(old) = &mut old
        {
            pass(old, &mut new, &mut reader, &mut visit)?;
        }
        if order.is_le() {
            has_before = next(&mut old, &mut before)?;
        }
        if order.is_ge() {
            has_after = new.next(&mut after)?;
        }
    }
}

/// Pass over the names that both documents have next, letter by letter.
fn pass(
    old: &mut Document<'_>,
    new: &mut Document<'_>,
    reader: &mut Reader,
    visit: &mut impl FnMut(Step<'_>) -> Result<(), ListError>,
) -> Result<(), ListError> {
    let (first, rest) = new.coming();
    let (old_first, old_rest) = old.coming();
    if first.is_empty() || first != old_first {
        return Ok(());
    }
    let octets = whole_names(&rest[..common(rest, old_rest)], reader);
    if octets > 0 {
        let lines = count(&rest[..octets]);
        visit(Step::Same(first, 1))?;
        visit(Step::Same(&rest[..octets], lines))?;
        old.pass(octets, lines)?;
        new.pass(octets, lines)?;
    }
    Ok(())
}

/// Octets that two texts have in common at their start.
pub(super) fn common(one: &[u8], other: &[u8]) -> usize {
    let blocks = one.chunks_exact(BLOCK).zip(other.chunks_exact(BLOCK));
    let same = BLOCK * blocks.take_while(|(one, other)| one == other).count();
    same + super::key::common(&one[same..], &other[same..])
}

/// Octets before the first line of the last name in `text`, of which the last line may be cut short; 0 where a line is
/// not one: its reader will say why.
fn whole_names(text: &[u8], reader: &mut Reader) -> usize {
    let line_end = |text: &[u8]| text.iter().rposition(|&byte| byte == b'\n');
    let Some(mut end) = line_end(text) else { return 0 };
    let mut last: Option<&[u8]> = None;
    while let Some(before) = line_end(&text[..end]) {
        let Ok(entry) = reader.read(&text[before + 1..end]) else { return 0 };
        if last.is_some_and(|last| last != entry.name) {
            return end + 1;
        }
        last = Some(entry.name);
        end = before;
    }
    0
}
