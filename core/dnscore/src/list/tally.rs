//! How many entries of a document share a basis, a category, a day of issue and a day of expiry: for reports.
//!
//! Enters: a document and a bound on its size. Leaves: a count for each combination. The form and the order of all lines
//! are checked; what a head promises of them is not.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::document::{Document, Group, Trust};
use super::entry::Form;
use super::types::ListError;

const DAY: u32 = 86_400;

/// What entries have in common: basis, category, the days of issue and of expiry (since 1970-01-01, UTC).
pub type Kind = (String, String, u32, u32);

/// Count the entries of a document of at most `size` octets uncompressed, by kind. `sealed`: its lines hold digests.
///
/// # Errors
/// The document cannot be read, or a line is not canonical or not in its place.
pub fn tally(path: &Path, sealed: bool, size: u64) -> Result<BTreeMap<Kind, u64>, ListError> {
    let mut document = Document::open(path, Form::of(sealed), size, Trust::Checked)?;
    let mut group = Group::default();
    let mut key = Vec::new();
    // By octets that are there anyway: an entry of a kind that was met before allocates nothing.
    let mut counts: HashMap<Vec<u8>, (Kind, u64)> = HashMap::new();
    while document.next(&mut group)? {
        for item in &group.items {
            let (basis, category) = group.words(item);
            let (issued, expires) = (item.issued / DAY, item.expires / DAY);
            key.clear();
            for part in [basis, b"\"", category, b"\"", &issued.to_le_bytes(), &expires.to_le_bytes()] {
                key.extend_from_slice(part);
            }
            if let Some((_, count)) = counts.get_mut(&key) {
                *count += 1;
            } else {
                let text = |word| String::from_utf8_lossy(word).into_owned();
                counts.insert(key.clone(), ((text(basis), text(category), issued, expires), 1));
            }
        }
    }
    document.finish()?;
    Ok(counts.into_values().collect())
}
