//! The values that a compiled list speaks in: what an entry says ([`Rule`]), what is known about it ([`Record`]), and why
//! something is refused ([`ListError`]).

use std::path::Path;
use std::{fmt, io};

use crate::sys::in_words;

/// Names in one batch; the plane receives as many datagrams at a time.
pub const BATCH: usize = 64;

/// Which names an entry stops, seen from the entry's own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Matching {
    /// Everything below the name, not the name itself.
    Below = 0,
    /// The name alone.
    Exact = 1,
    /// The name and everything below it.
    Subtree = 2,
}

impl Matching {
    /// Does an entry of this kind stop a name that lies `distance` labels below the entry's own name?
    #[must_use]
    pub const fn covers(self, distance: u8) -> bool {
        match self {
            Self::Below => distance > 0,
            Self::Exact => distance == 0,
            Self::Subtree => true,
        }
    }

    /// The distance by which an entry covers a name that has so many service labels: what browsers ask at
    /// `_8443._https.host` is about the host, and stopped as the host is.
    #[inline]
    #[must_use]
    pub const fn distance(distance: u8, service_labels: u8) -> u8 {
        if distance < service_labels { distance } else { distance - service_labels }
    }

    /// The word used in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Below => "below",
            Self::Exact => "exact",
            Self::Subtree => "subtree",
        }
    }

    /// The kind of that word, if there is one.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Below, Self::Exact, Self::Subtree].into_iter().find(|matching| matching.as_str() == word)
    }

    pub(crate) const fn from_u8(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::Below),
            1 => Some(Self::Exact),
            2 => Some(Self::Subtree),
            _ => None,
        }
    }
}

/// What a provider does with a match; set for a whole list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Action {
    /// The address of the stop page.
    StopPage = 0,
    /// "No such name".
    Nxdomain = 1,
    /// "No such data".
    Nodata = 2,
    /// REFUSED.
    Refused = 3,
    /// Count and let pass.
    Monitor = 4,
}

impl Action {
    /// The word used in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StopPage => "stop-page",
            Self::Nxdomain => "nxdomain",
            Self::Nodata => "nodata",
            Self::Refused => "refused",
            Self::Monitor => "monitor",
        }
    }

    /// The action of that word, if there is one.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::StopPage, Self::Nxdomain, Self::Nodata, Self::Refused, Self::Monitor]
            .into_iter()
            .find(|action| action.as_str() == word)
    }

    pub(crate) const fn from_u8(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::StopPage),
            1 => Some(Self::Nxdomain),
            2 => Some(Self::Nodata),
            3 => Some(Self::Refused),
            4 => Some(Self::Monitor),
            _ => None,
        }
    }
}

/// What becomes of an answer for another name in which there are records of a listed one; set for a whole list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Aliases {
    /// The records of the listed name are left out.
    #[default]
    Trim = 0,
    /// It passes as it is.
    Relay = 1,
    /// It is answered as if the listed name had been asked for.
    Stop = 2,
}

impl Aliases {
    /// The word used in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trim => "trim",
            Self::Relay => "relay",
            Self::Stop => "stop",
        }
    }

    /// The one of that word, if there is one.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Trim, Self::Relay, Self::Stop].into_iter().find(|aliases| aliases.as_str() == word)
    }

    pub(crate) const fn from_u8(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::Trim),
            1 => Some(Self::Relay),
            2 => Some(Self::Stop),
            _ => None,
        }
    }
}

/// What one entry says about its name. A row has one rule an entry, in the order of the lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rule {
    /// Index of the list in the provider's configuration.
    pub list: u8,
    /// Which names are meant.
    pub matching: Matching,
    /// What happens to them.
    pub action: Action,
    /// What happens to answers for other names that lead to them.
    pub aliases: Aliases,
    /// INFO-CODE of the Extended DNS Error (RFC 8914); 0: none.
    pub ede: u16,
    /// First second (Unix time) at which the entry no longer holds.
    pub expires: u32,
}

/// How two versions of a list are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// Both have names.
    ByName,
    /// Both are sealed under one key.
    ByDigest,
    /// Both are sealed, each under another key.
    ByReference,
}

/// What one entry at or above a name does to it, exceptions for names aside. The first reason not to act counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its kind of match does not cover the name.
    Uncovered,
    /// It has expired.
    Expired,
    /// Its list does not hold for the client.
    OtherView,
    /// Its list is bypassed.
    Bypassed,
    /// It is counted.
    Monitors,
    /// It stops the name, unless another entry comes first.
    Stops,
}

impl Standing {
    /// The word for people's programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uncovered => "uncovered",
            Self::Expired => "expired",
            Self::OtherView => "other-view",
            Self::Bypassed => "bypassed",
            Self::Monitors => "monitors",
            Self::Stops => "stops",
        }
    }
}

impl Rule {
    /// Whether the rule speaks, at `now` (Unix time), of a name `distance` labels below its own.
    #[inline]
    #[must_use]
    pub const fn applies(&self, distance: u8, now: u32) -> bool {
        now < self.expires && self.matching.covers(distance)
    }

    /// What the rule does at `now` (Unix time) to a name `distance` labels below its own. Bit `n` of `view`: list `n`
    /// holds for the client; of `bypassed`: it is bypassed. A list that no mask can name is in no view.
    #[inline]
    #[must_use]
    pub fn standing(&self, distance: u8, view: u64, bypassed: u64, now: u32) -> Standing {
        let list = 1u64.checked_shl(u32::from(self.list)).unwrap_or(0);
        if !self.matching.covers(distance) {
            Standing::Uncovered
        } else if now >= self.expires {
            Standing::Expired
        } else if view & list == 0 {
            Standing::OtherView
        } else if bypassed & list != 0 {
            Standing::Bypassed
        } else if self.action == Action::Monitor {
            Standing::Monitors
        } else {
            Standing::Stops
        }
    }

    /// Whether the rule comes before what was found of names at most as far away: only an earlier list does.
    #[inline]
    #[must_use]
    pub fn comes_before(&self, found: Option<u8>) -> bool {
        found.is_none_or(|list| self.list < list)
    }
}

/// What is kept about an entry beside its rule: read when a person asks, and for the text in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The public reference: 16 characters of Crockford base32.
    pub reference: [u8; 16],
    /// Unix time at which the entry was issued.
    pub issued: u32,
    /// Key into the document's table of legal bases.
    pub basis: &'a str,
    /// The issuer's category.
    pub category: &'a str,
}

/// Why a document, a line or a compiled list is refused.
#[derive(Debug)]
pub struct ListError {
    /// Short code for programs and logs, e.g. `order`, `reference-twice`, `too-large`, `damaged`.
    pub kind: &'static str,
    /// Line of the document, from 1; 0 where no line is to blame.
    pub line: u64,
    /// The sentence for people.
    pub reason: String,
}

impl ListError {
    /// An error that no line is to blame for.
    pub fn new(kind: &'static str, reason: impl Into<String>) -> Self {
        Self { kind, line: 0, reason: reason.into() }
    }

    /// The same, at a line.
    pub(crate) fn at(line: u64, kind: &'static str, reason: impl Into<String>) -> Self {
        Self { kind, line, reason: reason.into() }
    }

    /// The file system's refusal: the file and the system's words, without its number.
    pub(crate) fn of_file(kind: &'static str, path: &Path, error: &io::Error) -> Self {
        Self::new(kind, format!("{}: {}", path.display(), in_words(error)))
    }
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: {} ({})", self.line, self.reason, self.kind)
        } else {
            write!(f, "{} ({})", self.reason, self.kind)
        }
    }
}

impl std::error::Error for ListError {}
