//! The guards that compare an addition with names: protected ones, public suffixes, popular ones.
//!
//! Enters: an entry's name and kind of match. Leaves: at most one objection a guard, with the name it looks after.
//!
//! Protected names are guarded both ways: an entry may neither stop one nor lie at or below one. A public suffix (a rule
//! of publicsuffix.org, with `*.` and `!`; a top-level domain in any case) may not be stopped with what lies below it,
//! nor may anything above it. A popular name may not be stopped.

use super::key;
use super::types::Matching;

/// Which guard objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Guard {
    /// Names that must never be stopped: the provider's own, infrastructure, special use.
    Protected = 0,
    /// Names under which anyone registers.
    PublicSuffix = 1,
    /// Names that many people ask for.
    Popular = 2,
}

impl Guard {
    /// The word used in findings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Protected => "protected",
            Self::PublicSuffix => "public-suffix",
            Self::Popular => "popular",
        }
    }
}

pub(crate) struct Objection {
    pub guard: Guard,
    pub against: String,
}

/// The names that guards look after.
#[derive(Debug, Default)]
pub struct Guards {
    protected: Names,
    suffixes: Names,
    wildcards: Names,
    exceptions: Names,
    popular: Names,
}

impl Guards {
    /// Guards over these names, in presentation form in any case of letters, a dot at the end or none. `suffixes` are
    /// rules of the public suffix list, in A-labels.
    #[must_use]
    pub fn new<'a>(
        protected: impl IntoIterator<Item = &'a str>,
        suffixes: impl IntoIterator<Item = &'a str>,
        popular: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let (mut plain, mut wildcards, mut exceptions) = (Vec::new(), Vec::new(), Vec::new());
        for rule in suffixes {
            if let Some(parent) = rule.strip_prefix("*.") {
                wildcards.push(parent);
            } else if let Some(name) = rule.strip_prefix('!') {
                exceptions.push(name);
            } else {
                plain.push(rule);
            }
        }
        Self {
            protected: Names::new(protected),
            suffixes: Names::new(plain),
            wildcards: Names::new(wildcards),
            exceptions: Names::new(exceptions),
            popular: Names::new(popular),
        }
    }

    pub(crate) fn examine(&self, key: &[u8], matching: Matching, mut object: impl FnMut(Objection)) {
        let mut found = |guard, against: Option<&[u8]>| {
            if let Some(against) = against {
                object(Objection { guard, against: key::to_name(against) });
            }
        };
        found(Guard::Protected, self.protected.at_or_above(key).or_else(|| self.protected.covered(key, matching)));
        if matching != Matching::Exact {
            found(Guard::PublicSuffix, self.suffix(key));
        }
        found(Guard::Popular, self.popular.covered(key, matching));
    }

    /// The public suffix that the key is, or lies above.
    fn suffix<'k>(&'k self, key: &'k [u8]) -> Option<&'k [u8]> {
        if !key.contains(&key::SEPARATOR) {
            return Some(key); // the rule `*`: every top-level domain
        }
        if let Some(suffix) = self.suffixes.covered(key, Matching::Subtree) {
            return Some(suffix);
        }
        if let Some(parent) = self.wildcards.covered(key, Matching::Subtree) {
            return Some(parent);
        }
        let parent = key.iter().rposition(|&byte| byte == key::SEPARATOR).map(|at| &key[..at]);
        let by_wildcard = parent.is_some_and(|parent| self.wildcards.contains(parent));
        (by_wildcard && !self.exceptions.contains(key)).then_some(key)
    }
}

/// Names, sorted by key, in one piece of memory.
#[derive(Debug, Default)]
struct Names {
    keys: Vec<u8>,
    ends: Vec<u32>,
}

impl Names {
    fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut keys = Vec::new();
        for name in names {
            let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
            if !name.is_empty() && name.len() <= key::MAX_KEY {
                let mut key = Vec::with_capacity(name.len());
                key::from_name(name.as_bytes(), &mut key);
                keys.push(key);
            }
        }
        keys.sort_unstable();
        keys.dedup();
        let mut packed = Self::default();
        for key in keys {
            packed.keys.extend_from_slice(&key);
            packed.ends.push(u32::try_from(packed.keys.len()).unwrap_or(u32::MAX));
        }
        packed
    }

    fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        self.keys.get(start as usize..end as usize)
    }

    /// Index of the first name that is not before the key.
    fn position(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.get(middle).is_some_and(|name| name < key) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn contains(&self, key: &[u8]) -> bool {
        self.get(self.position(key)) == Some(key)
    }

    /// The topmost name that is the key's or lies above it.
    fn at_or_above<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        if self.ends.is_empty() {
            return None;
        }
        let ends = (0..=key.len()).filter(|&at| at == key.len() || key[at] == key::SEPARATOR);
        ends.map(|end| &key[..end]).find(|ancestor| self.contains(ancestor))
    }

    /// A name that an entry at `key` stops.
    fn covered(&self, key: &[u8], matching: Matching) -> Option<&[u8]> {
        let first = self.position(key);
        let name = self.get(first)?;
        if name == key {
            if matching != Matching::Below {
                return Some(name);
            }
            return self.get(first + 1).filter(|name| key::is_at_or_above(key, name));
        }
        (matching != Matching::Exact && key::is_at_or_above(key, name)).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(guards: &Guards, name: &str, matching: Matching) -> Vec<String> {
        let (mut key, mut found) = (Vec::new(), Vec::new());
        key::from_name(name.as_bytes(), &mut key);
        guards.examine(&key, matching, |objection| {
            found.push(format!("{} {}", objection.guard.as_str(), objection.against));
        });
        found
    }

    #[test]
    fn each_guard_objects_to_what_it_looks_after() {
        let guards = Guards::new(
            ["stop.isp.example", "arpa"],
            ["uk", "co.uk", "github.io", "s3.amazonaws.com", "ck", "*.ck", "!www.ck"],
            ["google.com", "drive.google.com", "dns.google."],
        );
        for (name, matching, expected) in [
            ("example.com", Matching::Subtree, vec![]),
            ("stop.isp.example", Matching::Exact, vec!["protected stop.isp.example"]),
            ("x.stop.isp.example", Matching::Exact, vec!["protected stop.isp.example"]),
            ("isp.example", Matching::Exact, vec![]),
            ("isp.example", Matching::Below, vec!["protected stop.isp.example"]),
            ("1.in-addr.arpa", Matching::Exact, vec!["protected arpa"]),
            ("com", Matching::Subtree, vec!["public-suffix com", "popular google.com"]),
            ("com", Matching::Exact, vec![]),
            ("co.uk", Matching::Below, vec!["public-suffix co.uk"]),
            ("a.co.uk", Matching::Subtree, vec![]),
            ("uk", Matching::Subtree, vec!["public-suffix uk"]),
            ("amazonaws.com", Matching::Subtree, vec!["public-suffix s3.amazonaws.com"]),
            ("any.ck", Matching::Subtree, vec!["public-suffix any.ck"]),
            ("www.ck", Matching::Subtree, vec![]),
            ("x.any.ck", Matching::Subtree, vec![]),
            ("google.com", Matching::Exact, vec!["popular google.com"]),
            ("google.com", Matching::Below, vec!["popular drive.google.com"]),
            ("drive.google.com", Matching::Below, vec![]),
            ("google", Matching::Below, vec!["public-suffix google", "popular dns.google"]),
        ] {
            let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
            assert_eq!(kinds(&guards, name, matching), expected, "{name} {}", matching.as_str());
        }
    }
}
