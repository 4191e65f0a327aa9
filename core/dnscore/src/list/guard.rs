//! The guards that compare an addition with names: protected ones, public suffixes, popular ones.
//!
//! Enters: an entry's name and kind of match. Leaves: at most one objection a guard, with the name it looks after.
//!
//! Protected names are guarded both ways: an entry may neither stop one nor lie at or below one. A public suffix (a rule
//! of publicsuffix.org, with `*.` and `!`; a top-level domain in any case) may not be stopped with what lies below it,
//! nor may anything above it. A popular name may not be stopped.
//!
//! Of a sealed list guards see digests. So the names that they look after, and all above those, are hashed under the list's
//! key and compared with its digests. What an entry has below a protected name, or below a rule with `*.`, cannot be
//! seen; and what an objection is about is not said, because it would say what the list holds.

use std::collections::HashMap;

use super::digest::{Digest, KEY, digest_of, sealed_digest};
use super::key;
use super::types::Matching;
use crate::wire::Name;

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
    /// The same for a sealed list: what stands for a name, and which guards it concerns.
    blind: Option<HashMap<Digest, Concerns>>,
}

/// Which guards a digest concerns: bit `n` for [`Guard`] `n`.
#[derive(Clone, Copy, Debug, Default)]
struct Concerns {
    /// They look after the very name.
    itself: u8,
    /// They look after a name below it.
    below: u8,
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
            blind: None,
        }
    }

    /// The same guards over the digests of a sealed list with this key.
    #[must_use]
    pub fn blind(mut self, key: &[u8; KEY]) -> Self {
        let mut all: HashMap<Digest, Concerns> = HashMap::new();
        let suffixes = [&self.suffixes, &self.wildcards].into_iter().map(|names| (Guard::PublicSuffix, names));
        let others = [(Guard::Protected, &self.protected), (Guard::Popular, &self.popular)];
        for (guard, names) in suffixes.chain(others) {
            let bit = 1 << guard as u8;
            for name in names.iter().filter_map(|own| Name::from_text(&key::to_name(own))) {
                all.entry(sealed_digest(key, &name)).or_default().itself |= bit;
                for labels in 1..name.labels() {
                    let above = Name::read(name.without(labels), 0).map_or(Name::ROOT, |(above, _)| above);
                    let concerns = all.entry(sealed_digest(key, &above)).or_default();
                    concerns.below |= bit;
                }
                let top = Name::read(name.without(name.labels().saturating_sub(1)), 0).map_or(name, |(top, _)| top);
                // the rule `*`: every top-level domain
                all.entry(sealed_digest(key, &top)).or_default().itself |= 1 << Guard::PublicSuffix as u8;
            }
        }
        self.blind = Some(all);
        self
    }

    pub(crate) fn examine(&self, key: &[u8], matching: Matching, mut object: impl FnMut(Objection)) {
        if let Some(blind) = &self.blind {
            let concerns = digest_of(key).and_then(|digest| blind.get(&digest)).copied().unwrap_or_default();
            for guard in [Guard::Protected, Guard::PublicSuffix, Guard::Popular] {
                if concerns.object(guard, matching) {
                    object(Objection { guard, against: String::new() });
                }
            }
            return;
        }
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

impl Concerns {
    /// Does the guard object to an entry of this kind here?
    fn object(self, guard: Guard, matching: Matching) -> bool {
        let has = |bits: u8| bits >> guard as u8 & 1 != 0;
        let itself = match guard {
            Guard::Protected => true,
            Guard::PublicSuffix => matching != Matching::Exact,
            Guard::Popular => matching != Matching::Below,
        };
        has(self.itself) && itself || has(self.below) && matching != Matching::Exact
    }
}

/// Whether guards could look after a name: asked of keys in their order, which is why it costs a comparison or two.
pub(crate) struct Watch<'g> {
    guards: &'g Guards,
    /// All names that guards look after.
    names: Names,
    /// Index of the first of them that is not before the last key.
    at: usize,
    /// What stands above the last key.
    parent: Vec<u8>,
    /// Whether it makes all names below it be looked after.
    below: bool,
}

impl<'g> Watch<'g> {
    pub fn new(guards: &'g Guards) -> Self {
        let all = [&guards.protected, &guards.suffixes, &guards.wildcards, &guards.popular];
        let names = Names::of(all.into_iter().flat_map(Names::iter).map(<[u8]>::to_vec).collect());
        Self { guards, names, at: 0, parent: Vec::new(), below: false }
    }

    /// Whether a guard objects to an entry of this key, were it of the widest kind. No key is below the one before.
    pub fn meets(&mut self, key: &[u8]) -> bool {
        while self.names.get(self.at).is_some_and(|name| name < key) {
            self.at += 1;
        }
        if self.names.get(self.at).is_some_and(|name| name == key || key::is_at_or_above(key, name)) {
            return true;
        }
        let Some(end) = key.iter().rposition(|&byte| byte == key::SEPARATOR) else { return true };
        if self.parent != key[..end] {
            self.parent.clear();
            self.parent.extend_from_slice(&key[..end]);
            let Guards { protected, wildcards, .. } = self.guards;
            self.below = protected.at_or_above(&self.parent).is_some() || wildcards.contains(&self.parent);
        }
        self.below
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
        Self::of(keys)
    }

    fn of(mut keys: Vec<Vec<u8>>) -> Self {
        keys.sort_unstable();
        keys.dedup();
        let mut packed = Self::default();
        for key in keys {
            packed.keys.extend_from_slice(&key);
            packed.ends.push(u32::try_from(packed.keys.len()).unwrap_or(u32::MAX));
        }
        packed
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len()).filter_map(|index| self.get(index))
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

    #[test]
    fn a_watch_sees_what_guards_object_to_of_the_widest_kind() {
        let guards = Guards::new(
            ["stop.isp.example", "arpa"],
            ["uk", "co.uk", "github.io", "ck", "*.ck", "!www.ck", "*.compute.example"],
            ["google.com", "drive.google.com"],
        );
        let names = [
            "example.com",
            "stop.isp.example",
            "x.y.stop.isp.example",
            "isp.example",
            "z.isp.example",
            "in-addr.arpa",
            "com",
            "co.uk",
            "a.co.uk",
            "a.b.co.uk",
            "any.ck",
            "www.ck",
            "x.any.ck",
            "google.com",
            "mail.google.com",
            "drive.google.com",
            "compute.example",
            "x.compute.example",
            "a.x.compute.example",
            "zz",
            "github.io",
        ];
        let mut keys: Vec<Vec<u8>> = names
            .iter()
            .map(|name| {
                let mut key = Vec::new();
                key::from_name(name.as_bytes(), &mut key);
                key
            })
            .collect();
        keys.sort();
        let mut watch = Watch::new(&guards);
        for key in keys {
            let mut objects = false;
            guards.examine(&key, Matching::Subtree, |_| objects = true);
            // what `!` takes out of a rule may be looked at in vain
            assert_eq!(watch.meets(&key), objects || key == b"ck\x01www", "{}", key::to_name(&key));
        }
    }

    #[test]
    fn blind_guards_object_to_what_the_others_object_to_at_or_above_a_name() {
        let make =
            || Guards::new(["stop.isp.example", "arpa"], ["uk", "co.uk", "s3.amazonaws.com", "com"], ["a.co.uk"]);
        let (guards, secret) = (make(), [3; KEY]);
        let blind = make().blind(&secret);
        let names = [
            "stop.isp.example",
            "isp.example",
            "arpa",
            "uk",
            "co.uk",
            "amazonaws.com",
            "s3.amazonaws.com",
            "com",
            "a.co.uk",
            "b.co.uk",
            "example.com",
            "www.a.co.uk",
        ];
        for name in names {
            let digest = sealed_digest(&secret, &Name::from_text(name).expect("a name"));
            let hex: String = digest.iter().map(|octet| format!("{octet:02x}")).collect();
            for matching in [Matching::Below, Matching::Exact, Matching::Subtree] {
                let seen: Vec<String> = kinds(&blind, &hex, matching);
                let meant = kinds(&guards, name, matching);
                let meant: Vec<&str> = meant.iter().filter_map(|kind| kind.split(' ').next()).collect();
                let seen: Vec<&str> = seen.iter().map(|kind| kind.trim_end()).collect();
                assert_eq!(seen, meant, "{name} {}", matching.as_str());
            }
        }
    }
}
