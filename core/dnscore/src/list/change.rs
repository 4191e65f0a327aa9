//! A line that goes or comes, and its place among the lines of a document.
//!
//! The place of a line is one text: the labels from the right (of a sealed list the digest), the match, the reference. It
//! is read without judging the rest of the line; where a document is signed or fetched, all of each line is checked.

use super::entry::{BEFORE_BASIS, MAX_LINE};
use super::key;
use super::types::ListError;

/// Ends the labels, and the match, of a place: below all that they hold.
const END: u8 = 0;

/// What becomes of a line. One that goes stands before one of the same place that comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sign {
    /// It goes.
    Removed,
    /// It comes.
    #[default]
    Added,
}

impl Sign {
    /// The octet before a line in a delta file.
    #[must_use]
    pub const fn octet(self) -> u8 {
        match self {
            Self::Removed => b'-',
            Self::Added => b'+',
        }
    }

    /// The sign of this octet.
    #[must_use]
    pub fn parse(octet: u8) -> Option<Self> {
        [Self::Removed, Self::Added].into_iter().find(|sign| sign.octet() == octet)
    }
}

/// A change, and its place.
#[derive(Default)]
pub(crate) struct Change {
    pub sign: Sign,
    pub line: Vec<u8>,
    pub place: Vec<u8>,
}

/// What a canonical line says of its place, and its basis, without judging the rest.
pub(crate) struct Fields<'l> {
    pub basis: &'l [u8],
    pub matching: &'l [u8],
    /// Of a sealed list: the digest.
    pub name: &'l [u8],
    pub reference: &'l [u8],
}

/// The fields of a canonical line, with or without its line feed.
pub(crate) fn fields(line: &[u8]) -> Result<Fields<'_>, ListError> {
    let found = if line.len() > MAX_LINE { None } else { found(line) };
    found.ok_or_else(|| ListError::new("malformed", "not a canonical line"))
}

fn found(line: &[u8]) -> Option<Fields<'_>> {
    let basis = until_quote(line.strip_prefix(BEFORE_BASIS)?)?;
    // in a text a quote would be escaped, so that this can only be the key
    let rest = after(line, b"\"match\":\"")?;
    let matching = until_quote(rest)?;
    let rest = &rest[matching.len()..];
    let (name, rest) = match rest.strip_prefix(b"\",\"name\":\"") {
        Some(rest) => (until_quote(rest)?, after(rest, b"\",\"reference\":\"")?),
        None => (until_quote(after(line, b"\"digest\":\"")?)?, rest.strip_prefix(b"\",\"reference\":\"")?),
    };
    Some(Fields { basis, matching, name, reference: until_quote(rest)? })
}

/// The reference of a line in which nothing comes after it: seen from its end, and not judged otherwise.
pub(crate) fn last_reference(line: &[u8]) -> Option<&[u8]> {
    // inside a text the quotes would be escaped
    let (rest, reference) = line.strip_suffix(b"\"}")?.split_last_chunk::<16>()?;
    rest.ends_with(b"\"reference\":\"").then_some(reference)
}

/// What comes after the first `part`, which begins with a quotation mark.
fn after<'l>(line: &'l [u8], part: &[u8]) -> Option<&'l [u8]> {
    let mut rest = line;
    loop {
        rest = &rest[rest.iter().position(|&byte| byte == b'"')?..];
        match rest.strip_prefix(part) {
            Some(after) => return Some(after),
            None => rest = &rest[1..],
        }
    }
}

fn until_quote(text: &[u8]) -> Option<&[u8]> {
    until(text, b'"')
}

fn until(text: &[u8], octet: u8) -> Option<&[u8]> {
    text.iter().position(|&byte| byte == octet).map(|end| &text[..end])
}

/// Makes `place` the place of a line.
pub(crate) fn place_of(line: &[u8], place: &mut Vec<u8>) -> Result<(), ListError> {
    let Fields { matching, name, reference, .. } = fields(line)?;
    place.clear();
    key::from_name(name, place);
    end_place(place, matching, reference);
    Ok(())
}

/// The key of the name in a place.
pub(crate) fn name_of(place: &[u8]) -> &[u8] {
    until(place, END).unwrap_or(place)
}

/// Adds match and reference to the key of a name.
pub(crate) fn end_place(place: &mut Vec<u8>, matching: &[u8], reference: &[u8]) {
    place.push(END);
    place.extend_from_slice(matching);
    place.push(END);
    place.extend_from_slice(reference);
}
