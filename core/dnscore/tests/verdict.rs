//! The verdict: exceptions, order of lists, specificity, monitor, expiry, view.
#![allow(clippy::unwrap_used)]

use dnscore::list::{Action, Aliases, CompiledList, Hits, Matching, Rule};
use dnscore::verdict::{Exceptions, Judgement, verdict};
use dnscore::wire::Name;

const NOW: u32 = 1_800_000_000;
const ALL: u64 = u64::MAX;

fn rule(list: u8, matching: Matching, action: Action) -> Rule {
    Rule { list, matching, action, aliases: Aliases::Trim, ede: 16, expires: NOW + 1 }
}

fn judge_with(entries: &[(&str, Rule)], name: &str, exceptions: &Exceptions, view: u64, now: u32) -> Judgement {
    let list = CompiledList::from_rules(entries).unwrap();
    let qname = Name::from_text(name).unwrap();
    let mut hits = Hits::new();
    list.look_up(&[&qname], &mut hits);
    verdict(&list, hits.of(0), &qname, exceptions, view, now)
}

fn judge(entries: &[(&str, Rule)], name: &str) -> Judgement {
    judge_with(entries, name, &Exceptions::none(), ALL, NOW)
}

fn stopped_by(judgement: Judgement) -> Option<(u8, u8)> {
    judgement.stop.map(|stop| (stop.list, stop.distance))
}

use Action::{Monitor, Nodata, Nxdomain, StopPage};
use Matching::{Below, Exact, Subtree};

#[test]
fn an_entry_stops_the_names_its_match_means() {
    for (matching, own, child, grandchild) in
        [(Exact, true, false, false), (Subtree, true, true, true), (Below, false, true, true)]
    {
        let entries = [("b.example", rule(0, matching, StopPage))];
        for (name, stops) in [("b.example", own), ("c.b.example", child), ("d.c.b.example", grandchild)] {
            assert_eq!(judge(&entries, name).stop.is_some(), stops, "{matching:?} for {name}");
        }
        assert_eq!(judge(&entries, "xb.example"), Judgement::default());
        assert_eq!(judge(&entries, "example"), Judgement::default());
    }
}

#[test]
fn a_name_about_the_port_of_a_host_is_judged_as_the_host() {
    for (matching, own, child) in [(Exact, true, false), (Subtree, true, true), (Below, false, true)] {
        let entries = [("b.example", rule(0, matching, StopPage))];
        for (name, stops) in [("_8443._https.b.example", own), ("_8443._https.c.b.example", child)] {
            assert_eq!(judge(&entries, name).stop.is_some(), stops, "{matching:?} for {name}");
        }
    }
}

#[test]
fn the_list_that_stands_first_decides_and_within_it_the_most_specific_entry() {
    let entries = [
        ("example", rule(0, Subtree, StopPage)),
        ("b.example", rule(1, Subtree, Nxdomain)),
        ("c.b.example", rule(1, Exact, Nodata)),
    ];
    assert_eq!(stopped_by(judge(&entries, "c.b.example")), Some((0, 2)));
    let second = |name| stopped_by(judge_with(&entries, name, &Exceptions::none(), 0b10, NOW));
    assert_eq!(second("c.b.example"), Some((1, 0)));
    assert_eq!(second("d.c.b.example"), Some((1, 2)));
    assert_eq!(second("other.example"), None);
    // The same name on two lists, the later one's rule given first.
    let both = [("b.example", rule(3, Exact, Nodata)), ("b.example", rule(2, Subtree, StopPage))];
    assert_eq!(stopped_by(judge(&both, "b.example")), Some((2, 0)));
}

#[test]
fn a_list_that_only_counts_never_hides_a_block() {
    let monitor_first = [("b.example", rule(0, Exact, Monitor)), ("example", rule(1, Subtree, StopPage))];
    let judgement = judge(&monitor_first, "b.example");
    assert_eq!(stopped_by(judgement), Some((1, 1)));
    assert_eq!(judgement.monitored.unwrap().list, 0);
    let alone = judge(&monitor_first[..1], "b.example");
    assert_eq!((alone.stop, alone.monitored.unwrap().list, alone.excused), (None, 0, false));
    let two = [("b.example", rule(5, Exact, Monitor)), ("example", rule(4, Subtree, Monitor))];
    assert_eq!(judge(&two, "b.example").monitored.unwrap().list, 4);
}

#[test]
fn an_expired_entry_never_matches_and_uncovers_the_next() {
    let old = Rule { expires: NOW, ..rule(0, Exact, StopPage) };
    let entries = [("b.example", old), ("example", rule(0, Subtree, Nxdomain))];
    assert_eq!(stopped_by(judge(&entries, "b.example")), Some((0, 1)));
    assert_eq!(stopped_by(judge_with(&entries, "b.example", &Exceptions::none(), ALL, NOW - 1)), Some((0, 0)));
    assert_eq!(judge_with(&entries, "b.example", &Exceptions::none(), ALL, NOW + 1), Judgement::default());
}

#[test]
fn a_view_sees_its_lists_alone() {
    for list in [0u8, 1, 31, 32, 63] {
        let entries = [("b.example", rule(list, Exact, StopPage))];
        let seen = |view| judge_with(&entries, "b.example", &Exceptions::none(), view, NOW).stop.is_some();
        assert!(seen(1 << list), "list {list}");
        assert!(!seen(!(1 << list)), "list {list}");
    }
    // A list that no mask can name is in no view.
    assert_eq!(judge(&[("b.example", rule(64, Exact, StopPage))], "b.example"), Judgement::default());
    assert_eq!(judge(&[("b.example", rule(255, Exact, StopPage))], "b.example"), Judgement::default());
}

#[test]
fn an_operator_s_pass_comes_before_every_list() {
    let entries = [("example", rule(0, Subtree, StopPage)), ("b.example", rule(1, Subtree, Monitor))];
    let excused = Judgement { excused: true, ..Judgement::default() };
    for (pass, matching, passing, stopped) in [
        ("b.example", Exact, &["b.example"][..], &["c.b.example", "example", "a.example"][..]),
        ("b.example", Subtree, &["b.example", "c.b.example"], &["example", "a.example"]),
        ("b.example", Below, &["c.b.example"], &["b.example", "a.example"]),
        ("example", Subtree, &["example", "a.example", "d.c.b.example"], &[]),
        ("c.b.example", Exact, &["c.b.example"], &["b.example", "d.c.b.example"]),
    ] {
        let exceptions = Exceptions::new([(Name::from_text(pass).unwrap(), matching, NOW + 1)], false, 0);
        for name in passing {
            assert_eq!(judge_with(&entries, name, &exceptions, ALL, NOW), excused, "{name} by {matching:?} {pass}");
            assert!(judge_with(&entries, name, &exceptions, ALL, NOW + 1).stop.is_none());
        }
        for name in stopped {
            assert!(judge_with(&entries, name, &exceptions, ALL, NOW).stop.is_some(), "{name} by {matching:?} {pass}");
        }
        // Nothing to lift: nothing is counted as lifted.
        assert_eq!(judge_with(&[], "b.example", &exceptions, ALL, NOW), Judgement::default());
    }
}

#[test]
fn a_pass_ends_on_time_and_the_longer_of_two_counts() {
    let name = || Name::from_text("b.example").unwrap();
    let entry = Rule { expires: u32::MAX, ..rule(0, Exact, StopPage) };
    let exceptions =
        Exceptions::new([(name(), Exact, NOW + 20), (name(), Exact, NOW + 10), (name(), Below, NOW + 99)], false, 0);
    for (now, stops) in [(NOW, false), (NOW + 19, false), (NOW + 20, true), (NOW + 50, true)] {
        let judgement = judge_with(&[("b.example", entry)], "b.example", &exceptions, ALL, now);
        assert_eq!(judgement.stop.is_some(), stops, "{} s later", now - NOW);
    }
}

#[test]
fn bypass_switches_off_one_list_or_all() {
    let entries = [("b.example", rule(0, Exact, StopPage)), ("b.example", rule(1, Exact, Nxdomain))];
    let by = |all, lists| judge_with(&entries, "b.example", &Exceptions::new([], all, lists), ALL, NOW);
    assert_eq!(stopped_by(by(false, 0)), Some((0, 0)));
    assert_eq!(stopped_by(by(false, 0b01)), Some((1, 0)));
    assert_eq!(by(false, 0b11), Judgement::default());
    assert_eq!(by(true, 0), Judgement::default());
}

#[test]
fn the_https_records_of_a_port_are_judged_as_the_host_s() {
    // RFC 9460, 9.1: browsers ask at `_8443._https.b.example` about https://b.example:8443.
    for (matching, host, below) in [(Exact, true, false), (Subtree, true, true), (Below, false, true)] {
        let entries = [("b.example", rule(0, matching, StopPage))];
        for (name, stops) in [
            ("_8443._https.b.example", host),
            ("_8443._https.c.b.example", below),
            ("_https.b.example", matching != Exact),
            ("_8443._http.b.example", matching != Exact),
            ("_8443.https.b.example", matching != Exact),
            ("8443._https.b.example", matching != Exact),
        ] {
            assert_eq!(judge(&entries, name).stop.is_some(), stops, "{matching:?} of {name}");
        }
    }
    let entries = [("b.example", rule(0, Subtree, StopPage))];
    let pass = |matching| Exceptions::new([(Name::from_text("b.example").unwrap(), matching, NOW + 1)], false, 0);
    for (matching, excused) in [(Exact, true), (Below, false), (Subtree, true)] {
        let judgement = judge_with(&entries, "_8443._https.b.example", &pass(matching), ALL, NOW);
        assert_eq!(judgement.excused, excused, "a pass that is {matching:?}");
    }
    for (name, labels) in [
        ("_8443._https.b.example", 2),
        ("_1._2._https.b.example", 3),
        ("_1._https._2._https.b.example", 4),
        ("_https.b.example", 0),
        ("_1.b.example", 0),
        ("www.b.example", 0),
        ("", 0),
    ] {
        assert_eq!(Name::from_text(name).unwrap().service_labels(), labels, "{name}");
    }
}
