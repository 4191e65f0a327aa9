//! What a new document comes to beside the old one: with most of it passed over as with none, name by name as at once.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use dnscore::list::{Announced, Changes, Compared, Examination, Guards, ListError, examine, restrain};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

const LIMIT: usize = 10_000;

/// A folder that goes with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new(of: &str) -> Self {
        let path = std::env::temp_dir().join(format!("documents-{of}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn write(&self, name: &str, lines: &[String]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, zstd::encode_all(lines.concat().as_bytes(), 1).expect("compressed")).expect("written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn state(lines: &[String]) -> String {
    let digest = Sha256::digest(lines.concat());
    digest.iter().fold(String::from("sha256:"), |text, byte| format!("{text}{byte:02x}"))
}

fn guards() -> Guards {
    Guards::new(["b.example"], ["co.example"], ["a.b.c.example", "d.example"])
}

fn examined(old: Option<&Path>, new: &Path, lines: &[String]) -> Result<Examination, ListError> {
    let bases = ["order-1".to_owned(), "order-2".to_owned()];
    let announced = Announced { size: 1 << 24, state: &state(lines), bases: &bases };
    examine(old, new, Some(announced), &guards(), Compared::ByName, &[], LIMIT)
}

/// An entry as documents are sorted: labels from the right, match, reference; then its line.
type Sorted = (String, String, String, String);

fn entry(name: &str, matching: &str, number: usize, words: (usize, usize, usize)) -> Sorted {
    let (basis, expires, more) = words;
    let reference = format!("{number:016}");
    let impact = if more & 1 == 1 { r#","impact":"more \"names\" \u00e4""# } else { "" };
    let removal = if more & 2 == 2 { r#","removal_requested":"2026-01-01T00:00:00Z""# } else { "" };
    let line = format!(
        "{{\"basis\":\"order-{basis}\",\"category\":\"fraud\",\"expires\":\"20{}-11-22T00:00:00Z\"{impact},\
         \"issued\":\"2026-11-22T00:00:00Z\",\"match\":\"{matching}\",\"name\":\"{name}\",\
         \"reference\":\"{reference}\"{removal}}}\n",
        27 + expires,
    );
    let labels: Vec<&str> = name.rsplit('.').collect();
    (labels.join("\u{1}"), matching.to_owned(), reference, line)
}

fn some_entry() -> impl Strategy<Value = Sorted> {
    let name = prop::sample::select(vec![
        "a.example",
        "b.example",
        "c.example",
        "b.c.example",
        "a.b.c.example",
        "co.example",
        "d.example",
        "e.net",
        "ee.net",
        "f.net",
        "x.f.net",
        "g.org",
    ]);
    let matching = prop::sample::select(vec!["below", "exact", "subtree"]);
    (name, matching, 0..60usize, (1..3usize, 0..3usize, 0..8usize))
        .prop_map(|(name, matching, number, words)| entry(name, matching, number, words))
}

/// In order, each reference once.
fn document(entries: Vec<Sorted>) -> Vec<Sorted> {
    let mut seen = HashSet::new();
    let entries: BTreeSet<Sorted> = entries.into_iter().filter(|entry| seen.insert(entry.2.clone())).collect();
    entries.into_iter().collect()
}

fn lines(entries: &[Sorted]) -> Vec<String> {
    entries.iter().map(|entry| entry.3.clone()).collect()
}

/// What both documents come to, one name after the other.
fn name_by_name(folder: &Folder, old: &[Sorted], new: &[Sorted]) -> Examination {
    let mut names: BTreeMap<&str, (Vec<String>, Vec<String>)> = BTreeMap::new();
    old.iter().for_each(|entry| names.entry(&entry.0).or_default().0.push(entry.3.clone()));
    new.iter().for_each(|entry| names.entry(&entry.0).or_default().1.push(entry.3.clone()));
    let mut all = Changes::default();
    let mut found = Examination::default();
    for (old, new) in names.values() {
        let one = examined(Some(&folder.write("old-1", old)), &folder.write("new-1", new), new).expect("one name");
        all.entries += one.changes.entries;
        all.unchanged += one.changes.unchanged;
        all.added += one.changes.added;
        all.removed += one.changes.removed;
        all.widened += one.changes.widened;
        all.narrowed += one.changes.narrowed;
        all.prolonged += one.changes.prolonged;
        all.shortened += one.changes.shortened;
        all.altered += one.changes.altered;
        all.listed.extend(one.changes.listed);
        (0..3).for_each(|guard| found.objections[guard] += one.objections[guard]);
        found.findings.extend(one.findings);
    }
    let at = |entry: &Sorted| (entry.0.clone(), entry.1.clone());
    let before: BTreeMap<&str, (String, String)> = old.iter().map(|entry| (entry.2.as_str(), at(entry))).collect();
    let moved = new.iter().filter(|entry| before.get(entry.2.as_str()).is_some_and(|place| *place != at(entry)));
    found.reused = moved.map(|entry| entry.2.clone()).collect();
    found.changes = all;
    found
}

fn assert_same(found: &Examination, expected: &Examination) {
    assert_eq!(found.changes, expected.changes);
    assert_eq!((found.objections, &found.findings), (expected.objections, &expected.findings));
    assert_eq!(found.reused, expected.reused);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn documents_come_to_what_their_names_come_to(
        old in prop::collection::vec(some_entry(), 0..50),
        gone in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        come in prop::collection::vec(some_entry(), 0..4),
    ) {
        let folder = Folder::new("names");
        let old = document(old);
        let mut new = old.clone();
        for at in gone.iter().filter(|_| !old.is_empty()) {
            new.retain(|entry| *entry != old[at.index(old.len())]);
        }
        new.retain(|entry| come.iter().all(|other| other.2 != entry.2));
        let new = document([come, new].concat());
        let (before, after) = (folder.write("old", &lines(&old)), folder.write("new", &lines(&new)));
        let found = examined(Some(&before), &after, &lines(&new)).expect("both are documents");
        assert_same(&found, &name_by_name(&folder, &old, &new));
    }

    #[test]
    fn whatever_is_wrong_is_said_as_without_an_old_document(
        old in prop::collection::vec(some_entry(), 0..50),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..6usize, some_entry()), 1..4),
        bytes in prop::collection::vec((any::<prop::sample::Index>(), "[a-z\",}0-9. \\\\]"), 0..2),
    ) {
        let folder = Folder::new("wrong");
        let old = document(old);
        let mut new = lines(&old);
        for (at, kind, other) in edits {
            let at = at.index(new.len() + 1);
            match kind {
                0 => new.insert(at, other.3),
                1 if at < new.len() => new.insert(at, new[at].clone()),
                2 if at + 1 < new.len() => new.swap(at, at + 1),
                3 if at < new.len() => new[at] = new[at].replace("order-1", "order-9"),
                // a reference of another line
                4 if at < new.len() => new[at] = new[at].replace(r#"reference":"00000000000000"#, r#"reference":"00000000000001"#),
                5 if at < new.len() => drop(new.remove(at)),
                _ => {}
            }
        }
        for (at, text) in bytes {
            if new.is_empty() {
                break;
            }
            let line = at.index(new.len());
            let at = at.index(new[line].len());
            if new[line].is_char_boundary(at) && new[line].is_char_boundary(at + 1) {
                new[line].replace_range(at..=at, &text);
            }
        }
        let (before, after) = (folder.write("old", &lines(&old)), folder.write("new", &new));
        let beside = examined(Some(&before), &after, &new);
        let alone = examined(None, &after, &new);
        let said = |outcome: Result<Examination, ListError>| {
            outcome.map(|found| found.changes.entries).map_err(|error| (error.kind, error.line, error.reason))
        };
        prop_assert_eq!(said(beside), said(alone));
    }
}

#[test]
fn long_documents_come_to_what_their_names_come_to_wherever_they_differ() {
    let folder = Folder::new("long");
    let name = |number: usize| format!("{:04x}.example", number * 7919 % 65_536);
    let entry = |number: usize| entry(&name(number), "subtree", number, (1, number % 3, number % 4));
    let old = document((0..2500).map(entry).collect());
    let mut state = 1usize;
    let mut random = |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    for differences in [0, 2, 30] {
        let mut new = old.clone();
        for _ in 0..differences {
            new.remove(random(new.len()));
            new.push(entry(2500 + random(3000)));
        }
        let new = document(new);
        let (before, after) = (folder.write("old", &lines(&old)), folder.write("new", &lines(&new)));
        let found = examined(Some(&before), &after, &lines(&new)).expect("both are documents");
        assert_same(&found, &name_by_name(&folder, &old, &new));
        let left = folder.0.join("left");
        let kept: Vec<String> = lines(&old).into_iter().filter(|line| lines(&new).contains(line)).collect();
        assert_eq!(restrain(Some(&before), &after, Compared::ByName, &[], &left).expect("written"), kept.len() as u64);
        let text = zstd::decode_all(std::fs::read(left).expect("read").as_slice()).expect("decompressed");
        assert!(text == kept.concat().into_bytes());
    }
}

#[test]
fn a_reference_that_stands_far_away_already_is_found() {
    let folder = Folder::new("twice");
    let name = |number: usize| format!("{number:04}.example");
    let old: Vec<Sorted> = (0..6000).map(|number| entry(&name(number), "exact", number, (1, 0, 0))).collect();
    for (line, like) in [(0, 5999), (5999, 0), (3000, 10), (3000, 2999), (10, 3000)] {
        let mut new = old.clone();
        new[line] = entry(&name(line), "exact", like, (1, 0, 0));
        let (before, after) = (folder.write("old", &lines(&old)), folder.write("new", &lines(&new)));
        let refusal = examined(Some(&before), &after, &lines(&new)).expect_err("twice");
        assert_eq!((refusal.kind, refusal.line), ("reference-twice", line.max(like) as u64 + 1));
    }
}
