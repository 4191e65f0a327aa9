//! The compiled list against a plain dictionary, and against damage.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::compiled::Path;
use super::*;
use crate::narrow::{to_u8, to_u16};
use crate::wire::Name;

fn rule(list: u8, matching: Matching) -> Rule {
    Rule {
        list,
        matching,
        action: Action::StopPage,
        aliases: Aliases::Trim,
        ede: 16,
        expires: 2_000_000_000 + u32::from(list),
    }
}

fn name(text: &str) -> Name {
    Name::from_text(text).expect("a name")
}

/// Each name's row, as any dictionary would have it: the rank of its labels from the right.
fn dictionary<'n>(names: &[&'n str]) -> BTreeMap<Vec<&'n str>, u32> {
    let sorted: std::collections::BTreeSet<Vec<&str>> = names.iter().map(|name| name.rsplit('.').collect()).collect();
    sorted.into_iter().zip(0..).collect()
}

fn expected(dictionary: &BTreeMap<Vec<&str>, u32>, query: &str) -> Vec<Hit> {
    let labels: Vec<&str> = query.rsplit('.').filter(|label| !label.is_empty()).collect();
    let ancestors = (1..=labels.len()).rev().map(|count| (labels.len() - count, &labels[..count]));
    let rows = ancestors.filter_map(|(distance, name)| Some((u8::try_from(distance).ok()?, *dictionary.get(name)?)));
    rows.map(|(distance, row)| Hit { row, distance }).collect()
}

/// Look `queries` up in the list of `names`, both ways, and compare with the dictionary.
fn compare(names: &[&str], queries: &[String]) {
    let entries: Vec<(&str, Rule)> = names.iter().map(|&name| (name, rule(0, Matching::Subtree))).collect();
    let list = CompiledList::from_rules(&entries).expect("names");
    let dictionary = dictionary(names);
    assert_eq!(list.rows() as usize, dictionary.len());
    for (labels, &row) in &dictionary {
        let name: Vec<&str> = labels.iter().rev().copied().collect();
        assert_eq!(list.name(row), Some(name.join(".")));
    }
    let mut hits = Hits::new();
    for path in Path::all() {
        let list = list.with_path(path);
        let asked: Vec<Name> = queries.iter().map(|query| name(query)).collect();
        for (texts, batch) in queries.chunks(150).zip(asked.chunks(150)) {
            let batch: Vec<&Name> = batch.iter().collect();
            list.look_up(&batch, &mut hits);
            assert_eq!(hits.len(), batch.len());
            for (index, query) in texts.iter().enumerate() {
                assert_eq!(hits.of(index), expected(&dictionary, query), "{query} by {path:?}");
            }
        }
    }
}

/// Names that crowd together: few letters, few labels, prefixes of each other.
fn crowded() -> impl Strategy<Value = String> {
    let label = prop_oneof!["[ab]{1,3}", "[a-c]{1,2}", "aaaaaaaaaaaaaaaaaaaaaa[ab]{0,3}", "[a-z0-9_]{1,12}", "x[-]y"];
    (prop::collection::vec(label, 0..6), "[a-c]{1,2}").prop_map(|(mut labels, top)| {
        labels.push(top);
        labels.join(".")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn finds_what_a_dictionary_finds(
        names in prop::collection::vec(crowded(), 0..200),
        others in prop::collection::vec(crowded(), 0..50),
    ) {
        let listed: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut queries: Vec<String> = names.clone();
        queries.extend(names.iter().map(|name| format!("www.{name}")));
        queries.extend(names.iter().map(|name| format!("{name}a")));
        queries.extend(names.iter().map(|name| format!("a{name}")));
        queries.extend(names.iter().filter_map(|name| name.split_once('.').map(|(_, parent)| parent.to_owned())));
        queries.extend(others);
        compare(&listed, &queries);
    }
}

#[test]
fn an_empty_list_meets_nothing() {
    compare(&[], &["example.com".into(), String::new()]);
}

#[test]
fn one_name_is_found_and_nothing_else() {
    compare(
        &["example.com"],
        &["example.com".into(), "a.example.com".into(), "com".into(), "xexample.com".into(), String::new()],
    );
}

#[test]
fn names_of_every_length_and_depth_are_found() {
    let mut names = vec!["com".to_owned()];
    for depth in 1..=120 {
        names.push(format!("{}com", "a.".repeat(depth)));
    }
    let label = "b".repeat(63);
    for last in 1..=61 {
        names.push(format!("{}.{label}.{label}.{label}", "c".repeat(last)));
    }
    // what no code makes short, so that a node's buckets lie far apart
    let mut state = 1u64;
    for _ in 0..3000 {
        let mut name = String::new();
        for at in 0..253 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let letter = b"abcdefghijklmnopqrstuvwxyz0123456789_"[(state >> 33) as usize % 37];
            name.push(if at % 60 == 59 { '.' } else { char::from(letter) });
        }
        names.push(name);
    }
    let listed: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut queries = names.clone();
    queries.push(format!("{}com", "a.".repeat(125)));
    queries.push(format!("x{}", &names[1500][1..]));
    queries.extend(names.iter().map(|name| name[..name.len() - 1].to_owned()).filter(|name| !name.ends_with('.')));
    compare(&listed, &queries);
}

#[test]
fn strange_labels_meet_what_is_above_them() {
    let list = CompiledList::from_rules(&[
        ("example.com", rule(0, Matching::Subtree)),
        ("a.example.com", rule(0, Matching::Exact)),
    ])
    .expect("names");
    let mut hits = Hits::new();
    for path in Path::all() {
        let list = list.with_path(path);
        for (query, distances) in [
            (b"\x01\x01\x07example\x03com\0".as_slice(), vec![1]),
            (b"\x01\x00\x01a\x07example\x03com\0", vec![1, 2]),
            (b"\x02\x01a\x07example\x03com\0", vec![1]),
            (b"\x09a\x01example\x03com\0", vec![]),
            (b"\x0dexample\x01a\x00\x00\x00\x00\x03com\0", vec![]),
            (b"\x07EXAMPLE\x03com\0", vec![0]),
            (b"\0", vec![]),
        ] {
            let (name, _) = Name::read(query, 0).expect("a name on the wire");
            list.look_up(&[&name], &mut hits);
            let found: Vec<u8> = hits.of(0).iter().map(|hit| hit.distance).collect();
            assert_eq!(found, distances, "{}", query.escape_ascii());
        }
    }
}

#[test]
fn a_name_of_several_lists_has_their_rules_in_order() {
    let entries = [
        ("b.example", rule(2, Matching::Below)),
        ("a.example", rule(1, Matching::Exact)),
        ("b.example", rule(0, Matching::Exact)),
        ("c.example", rule(0, Matching::Exact)),
    ];
    let list = CompiledList::from_rules(&entries).expect("names");
    let rules: Vec<Vec<u8>> = (0..4).map(|row| list.rules(row).iter().map(|rule| rule.list).collect()).collect();
    assert_eq!(rules, [vec![1], vec![0, 2], vec![0], vec![]]);
    let references: Vec<u8> = [(0, 0), (1, 0), (1, 1), (2, 0)]
        .iter()
        .map(|&(row, rule)| list.record(row, rule).expect("a record").reference[15])
        .collect();
    assert_eq!(references, b"1203");
    assert_eq!(list.record(1, 2), None);
    assert_eq!(list.record(3, 0), None);
    for (number, place) in (0..).zip([(0, 0), (1, 0), (1, 1), (2, 0)]) {
        assert_eq!((list.number(place.0, place.1), list.place(number)), (number, Some(place)));
    }
    assert_eq!(list.place(4), None);
}

#[test]
fn every_entry_has_one_number_however_many_its_name_has() {
    let names: Vec<String> = (0..40).map(|n| format!("{n}.example")).collect();
    let several = |n: usize| [1, 1, 3, 2, 1, 1, 1, 5][n % 8];
    let entries: Vec<(&str, Rule)> = (0..40)
        .flat_map(|n| (0..several(n)).map(move |list| (n, list)))
        .map(|(n, list)| (names[n].as_str(), rule(to_u8(list), Matching::Exact)))
        .collect();
    let list = CompiledList::from_rules(&entries).expect("names");
    let places: Vec<(u32, u16)> =
        (0..list.rows()).flat_map(|row| (0..to_u16(list.rules(row).len())).map(move |rule| (row, rule))).collect();
    assert_eq!(places.len(), entries.len());
    for (number, &(row, rule)) in (0..).zip(&places) {
        assert_eq!((list.number(row, rule), list.place(number)), (number, Some((row, rule))));
        let record = list.record(row, usize::from(rule)).expect("a record");
        assert_eq!(list.reference(number).map(|stored| reference_text(&stored)), Some(record.reference));
    }
    assert_eq!((list.place(list.entries()), list.reference(list.entries())), (None, None));
}

fn sample_file() -> Vec<u8> {
    let names: Vec<String> =
        (0..200).map(|n| format!("{}.{}casino{n}.example", ["www", "a.b", "x"][n % 3], n % 7)).collect();
    let mut entries: Vec<(&str, Rule)> = names.iter().map(|name| (name.as_str(), rule(0, Matching::Subtree))).collect();
    entries.push(("0casino0.example", rule(1, Matching::Below)));
    entries.push(("0casino0.example", rule(2, Matching::Exact)));
    CompiledList::bytes_from_rules(&entries).expect("names")
}

/// Small files of every shape, by name.
fn shapes() -> Vec<(&'static str, Vec<u8>)> {
    let of = |names: &[String]| {
        let entries: Vec<(&str, Rule)> = names.iter().map(|name| (name.as_str(), rule(0, Matching::Subtree))).collect();
        CompiledList::bytes_from_rules(&entries).expect("names")
    };
    let texts = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let mut crowd: Vec<String> = (0..70).map(|n| format!("n{}.longer-than-eight.example", n * 37 % 71)).collect();
    crowd.extend(texts(&["example", "longer-than-eight.example"]));
    let start = |n: usize| if n.is_multiple_of(2) { "" } else { "abcdefghijklmnopqrstuvwxyz0123456789-_" };
    let long: Vec<String> = (0..40).map(|n| format!("{}{n}.{}.test", start(n), "q".repeat(n % 60 + 1))).collect();
    let several = [
        ("a.test", rule(0, Matching::Below)),
        ("a.test", rule(1, Matching::Exact)),
        ("b.test", rule(2, Matching::Subtree)),
    ];
    vec![
        ("none", of(&[])),
        ("one", of(&texts(&["example.com"]))),
        ("top", of(&texts(&["zz", "a.zz"]))),
        ("chains", of(&crowd)),
        ("long", of(&long)),
        ("several", CompiledList::bytes_from_rules(&several).expect("names")),
    ]
}

/// A new form of the file needs a new corpus: run this test with `WRITE_CORPUS=1`.
#[test]
fn the_fuzzer_s_corpus_is_of_this_version() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/list");
    for (name, file) in shapes() {
        let path = folder.join(name);
        if std::env::var_os("WRITE_CORPUS").is_some() {
            std::fs::write(&path, &file).expect("a writable tree");
        }
        assert!(std::fs::read(&path).is_ok_and(|found| found == file), "{}", path.display());
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let file = sample_file();
    assert!(CompiledList::from_bytes(&file).is_ok());
    for at in 0..file.len() {
        let mut damaged = file.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(CompiledList::from_bytes(&damaged).is_err(), "octet {at}");
    }
    for length in 0..file.len() {
        assert!(CompiledList::from_bytes(&file[..length]).is_err(), "cut at {length}");
    }
}

#[test]
fn a_forged_file_is_refused_or_harmless() {
    let file = sample_file();
    let queries = ["www.0casino0.example", "x.0casino0.example", "www.3casino3.example", "example", "zz", "0"];
    let asked = queries.map(name);
    let batch = asked.each_ref();
    let (mut refused, mut hits) = (0, Hits::new());
    for at in (0..file.len()).filter(|at| at % 11 == 0 || *at < 128) {
        for change in [0x01, 0xFF] {
            let mut forged = file.clone();
            forged[at] ^= change;
            let forged = with_right_checksum(forged);
            match CompiledList::from_bytes(&forged) {
                Err(_) => refused += 1,
                // what is left says other things about the same names: records, rules, meta
                Ok(list) => {
                    for path in Path::all() {
                        list.with_path(path).look_up(&batch, &mut hits);
                        assert_eq!(hits.of(0).len(), 2);
                    }
                    for row in 0..list.rows() + 2 {
                        assert_eq!(list.name(row).is_some(), row < list.rows());
                        let rules = list.rules(row).len();
                        assert!((0..rules).all(|rule| list.record(row, rule).is_some()));
                    }
                }
            }
        }
    }
    assert!(refused > file.len() / 11, "{refused}");
}
