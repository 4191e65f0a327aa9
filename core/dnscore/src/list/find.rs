//! Lines of a document, by the frames that can hold them.
//!
//! Enters: a document, and which of its frames are wanted, by the keys of their first lines. Leaves: each line of these
//! frames, or those that have a name or a reference. A frame that is not wanted is not read.

use std::collections::HashSet;
use std::path::Path;

use super::change::{Fields, fields, last_reference, place_of};
use super::entry::MAX_LINE;
use super::few::Few;
use super::frames::{Frames, MANY, Piece};
use super::key;
use super::lines::{lines_of, whole_lines};
use super::types::ListError;

/// The lines of a document of at most `size` octets that have one of these names or references. Only the frames that can
/// hold one are looked at: all of them, where a reference is among what is wanted.
///
/// # Errors
/// The document cannot be read, or holds what is no canonical line.
pub fn find(path: &Path, size: u64, names: &[String], references: &[String]) -> Result<Vec<Vec<u8>>, ListError> {
    let mut frames = Frames::open(path, size)?;
    let mut search = Search {
        names: names.iter().map(String::as_bytes).collect(),
        references: references.iter().map(String::as_bytes).collect(),
        found: Vec::new(),
    };
    let mut keys: Vec<Vec<u8>> = names.iter().map(|name| key_of(name.as_bytes())).collect();
    keys.sort_unstable();
    let holds = |first: &[u8], next: Option<&[u8]>| {
        let at = keys.partition_point(|key| key.as_slice() < first);
        !references.is_empty() || keys.get(at).is_some_and(|key| next.is_none_or(|next| key.as_slice() <= next))
    };
    let few = Few::of(names.iter().chain(references));
    let may = |lines: &[u8]| few.as_ref().is_none_or(|few| few.stands_in(lines));
    each_line(&mut frames, holds, may, |line| search.line(line))?;
    Ok(search.found)
}

/// Visit the lines of those frames that `holds` says of, by the keys of a frame's first line and of the next frame's; but not
/// of whole lines of which `may` says no.
pub(crate) fn each_line(
    frames: &mut Frames,
    holds: impl Fn(&[u8], Option<&[u8]>) -> bool,
    may: impl Fn(&[u8]) -> bool,
    mut visit: impl FnMut(&[u8]) -> Result<(), ListError>,
) -> Result<(), ListError> {
    let mut places = frames.places()?;
    let firsts = first_keys(frames, &places)?;
    let whole = firsts.len() < places.len();
    if whole {
        // all frames are read, one after the other
        places.truncate(1);
    }
    let (mut rest, mut piece) = (Vec::new(), Piece::new());
    for (at, place) in places.into_iter().enumerate() {
        if !whole && !holds(&firsts[at], firsts.get(at + 1).map(Vec::as_slice)) {
            continue;
        }
        frames.seek(place)?;
        while frames.next(&mut piece)? {
            let ends = piece.ends && !whole;
            let mut text = piece.text();
            if !rest.is_empty() {
                // the line that the last piece ended in
                let end = text.iter().position(|&byte| byte == b'\n').map_or(text.len(), |at| at + 1);
                rest.extend_from_slice(&text[..end]);
                text = &text[end..];
                if rest.ends_with(b"\n") {
                    visit(&rest[..rest.len() - 1])?;
                    rest.clear();
                }
            }
            let (lines, begun) = text.split_at(whole_lines(text).len());
            if may(lines) {
                lines_of(lines).try_for_each(&mut visit)?;
            }
            rest.extend_from_slice(begun);
            if rest.len() >= MAX_LINE {
                return Err(too_long());
            }
            if ends {
                break;
            }
        }
    }
    if rest.is_empty() { Ok(()) } else { Err(cut_short()) }
}

/// The keys of the first lines of these frames, up to one that begins in the middle of a line; none, where they are many.
fn first_keys(frames: &mut Frames, places: &[u64]) -> Result<Vec<Vec<u8>>, ListError> {
    let (mut keys, mut beginning) = (Vec::new(), Vec::new());
    for &place in places.iter().filter(|_| places.len() <= MANY) {
        frames.beginning(place, &mut beginning)?;
        let Some(first) = lines_of(&beginning).next().and_then(|line| fields(line).ok()) else { break };
        keys.push(key_of(first.name));
    }
    Ok(keys)
}

/// Makes `place` the place of the first line of the frame that begins at this octet of the file; false where none is at
/// hand. `beginning` is memory that is used again.
pub(crate) fn first_place(
    frames: &mut Frames,
    at: u64,
    beginning: &mut Vec<u8>,
    place: &mut Vec<u8>,
) -> Result<bool, ListError> {
    frames.beginning(at, beginning)?;
    match lines_of(beginning).next() {
        Some(line) => place_of(line, place).map(|()| true),
        None => Ok(false),
    }
}

pub(crate) fn cut_short() -> ListError {
    ListError::new("malformed", "ends without a line feed: the file is cut short")
}

/// A line goes on for longer than any may be.
pub(crate) fn too_long() -> ListError {
    ListError::new("malformed", format!("a line is longer than {MAX_LINE} octets"))
}

fn key_of(name: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len());
    key::from_name(name, &mut key);
    key
}

/// What is looked for, and what was found.
struct Search<'w> {
    names: HashSet<&'w [u8]>,
    references: HashSet<&'w [u8]>,
    found: Vec<Vec<u8>>,
}

impl Search<'_> {
    fn line(&mut self, line: &[u8]) -> Result<(), ListError> {
        if self.names.is_empty() && last_reference(line).is_some_and(|reference| !self.references.contains(reference)) {
            return Ok(());
        }
        let Fields { name, reference, .. } = fields(line)?;
        if self.names.contains(name) || self.references.contains(reference) {
            self.found.push([line, b"\n"].concat());
        }
        Ok(())
    }
}
