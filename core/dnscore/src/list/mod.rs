//! The compiled list: every name that a provider's lists hold, in one exact, mappable, checksummed file.
//!
//! Enters: canonical documents (zstd of JSON lines). Leaves: for a batch of query names, every listed name at or above
//! each of them, the most specific first, and what the lists say about those names.
//!
//! A *row* is a listed name; its number is its rank in the order of reversed labels. A row has one [`Rule`] an entry
//! (lists may share a name) in the order of the lists, and one [`Record`] a rule. Look-up finds names and leaves the
//! judgement (matching kind, expiry, view, order of lists) to the verdict, by [`Rule::applies`].

#![deny(clippy::cast_possible_truncation)]

mod alphabet;
mod apply;
mod beside;
mod bonds;
mod bucket;
mod build;
mod change;
mod check;
mod code;
mod compile;
mod compiled;
mod crowd;
mod differ;
mod digest;
mod document;
mod drawn;
mod entry;
mod few;
mod file;
mod filter;
mod find;
mod follow;
mod frames;
mod gather;
mod guard;
mod hits;
mod key;
mod lines;
mod marks;
mod names;
mod names_builder;
mod output;
mod pages;
mod policy;
mod rekeyed;
mod restrain;
mod review;
mod sealed;
mod side_by_side;
mod steps;
mod suffixes;
mod tally;
#[cfg(test)]
mod tests;
mod text;
mod train;
mod tree;
mod types;
mod vector;
mod wanted;
mod written;

pub use apply::{Known, Made, Origin, Signed, Written, apply, first_step, summary};
pub use bonds::check_bonds;
pub use change::Sign;
pub use check::{Announced, Change, Changes, Examination, Finding, examine};
pub use compile::{CompileSummary, MAX_LISTS, Source, compile};
pub use compiled::{CompiledList, reference_text};
pub use digest::{DIGEST, Digest, KEY, key_of, sealed_digest};
pub use document::MAX_PER_NAME;
pub use drawn::Kind as WantedKind;
#[doc(hidden)]
pub use file::with_right_checksum;
pub use find::find;
pub use follow::{Followed, Following, follow};
pub use gather::{Names, Plain, Writing};
pub use guard::{Guard, Guards};
pub use hits::{Hit, Hits};
pub use marks::{Summary, count as lines_in, marked};
pub use policy::{Policies, PolicyChange, Terms, policy_changes};
pub use restrain::restrain;
pub use review::{
    Content, KINDS, Kind as ReviewKind, Pair, Review, Told, check_document, review_difference, review_step,
};
pub use steps::Steps;
pub use tally::{Kind, tally};
pub use types::{Action, Aliases, BATCH, Compared, ListError, Matching, Record, Rule, Standing};
pub(crate) use vector::prefetch;
pub use wanted::Wanted;
