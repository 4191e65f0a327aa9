//! The packet cache: each rule of its module's head.
#![allow(clippy::unwrap_used)]

mod message;

use dnscore::cache::{Cache, STALE_FOR};
use dnscore::wire::{Expected, Query, check_answer};
use message::{A, AAAA, AD, CD, CNAME, Message, NS, QR, RA, RD, SOA, TC, TXT, ede, name, option, parsed, soa};

const MIB: usize = 1 << 20;
const ADDRESS: [u8; 4] = [192, 0, 2, 1];

/// A cache with a clock, spoken to in messages.
struct Desk {
    cache: Cache,
    now_ms: u64,
}

impl Desk {
    fn new(bytes: usize) -> Desk {
        Desk { cache: Cache::new(bytes, [1, 2], STALE_FOR).unwrap(), now_ms: 5_000_000 }
    }

    fn after(&mut self, seconds: u64) -> &mut Desk {
        self.now_ms += seconds * 1000;
        self
    }

    /// Keeps the answer to a query; whether it was kept.
    fn put(&mut self, query: &Message, answer: &Message) -> bool {
        let query = parsed(&query.bytes());
        let answer = answer.bytes();
        let question = answer[12..usize::from(query.question_end)].to_vec();
        let id = u16::from_be_bytes([answer[0], answer[1]]);
        let checked = check_answer(&answer, &Expected { id, question: &question }).unwrap();
        let Some(key) = self.cache.key(&query, 0) else { return false };
        self.cache.put(&key, &query, &answer, &checked, self.now_ms)
    }

    fn get(&mut self, query: &Message) -> Option<Vec<u8>> {
        self.ask(query, false)
    }

    fn stale(&mut self, query: &Message) -> Option<Vec<u8>> {
        self.ask(query, true)
    }

    fn fail(&mut self, query: &Message, code: u16) {
        let query = parsed(&query.bytes());
        let key = self.cache.key(&query, 0).unwrap();
        self.cache.fail(&key, &query, code, self.now_ms);
    }

    /// What a client gets that came by TCP.
    fn get_on_stream(&mut self, query: &Message) -> Option<Vec<u8>> {
        let packet = query.bytes();
        let query: Query = parsed(&packet);
        let key = self.cache.key(&query, 0)?;
        let mut out = vec![0xee; 65535];
        let length = self.cache.get(&key, &query, &packet, self.now_ms, 65535, &mut out)?.length;
        Some(out[..length].to_vec())
    }

    fn ask(&mut self, query: &Message, stale: bool) -> Option<Vec<u8>> {
        let packet = query.bytes();
        let query: Query = parsed(&packet);
        let key = self.cache.key(&query, 0)?;
        let mut out = [0xee; 1232];
        self.cache.touch(&[key]);
        let limit = query.udp_limit();
        let length = if stale {
            self.cache.stale(&key, &query, &packet, self.now_ms, limit, &mut out)?.length
        } else {
            self.cache.get(&key, &query, &packet, self.now_ms, limit, &mut out)?.length
        };
        Some(out[..length].to_vec())
    }
}

fn query(qname: &str) -> Message {
    Message::query(qname, A)
}

fn answer(qname: &str, ttl: u32) -> Message {
    Message::answer(qname, A).id(0x7777).rr(1, A, ttl, &ADDRESS)
}

#[test]
fn a_hit_is_the_answer_with_the_client_s_id_case_and_bits_and_aged_ttls() {
    let mut desk = Desk::new(MIB);
    let mixed = |first: u32, second: u32, third: u32| {
        move |message: Message| {
            let message = message.rr(1, CNAME, first, &[0xc0, 12]).rr(1, A, first + 5, &ADDRESS);
            message.rr(2, NS, second, &[0xc0, 12]).rr(3, AAAA, third, &[1; 16])
        }
    };
    let up = mixed(300, 3600, 600)(Message::answer("www.example.com", A).id(0x7777).flags(QR | RD | RA | AD));
    assert!(desk.put(&query("www.example.com"), &up.opt(4096, 0, &[])));
    let asked = query("wWw.eXample.COM").id(0x4242);
    let shown = || Message::answer("wWw.eXample.COM", A).id(0x4242);
    assert_eq!(desk.get(&asked), Some(mixed(300, 3600, 600)(shown()).bytes()));
    desk.after(299);
    assert_eq!(desk.get(&asked), Some(mixed(1, 3301, 301)(shown()).bytes()));
    let with_ad = mixed(1, 3301, 301)(shown().flags(QR | RD | RA | AD)).bytes();
    assert_eq!(desk.get(&asked.clone().flags(RD | AD)), Some(with_ad));
    let with_opt = mixed(1, 3301, 301)(shown()).opt(1232, 0, &[]).bytes();
    assert_eq!(desk.get(&asked.clone().opt(4096, 0, &option(10, &[1; 8]))), Some(with_opt));
    desk.after(1);
    assert_eq!(desk.get(&asked), None);
}

#[test]
fn name_type_do_cd_and_view_are_the_key() {
    let mut desk = Desk::new(MIB);
    assert!(desk.put(&query("example.com"), &answer("example.com", 60)));
    assert!(desk.get(&query("EXAMPLE.com")).is_some());
    assert!(desk.get(&query("example.com").flags(RD | AD)).is_some());
    assert!(desk.get(&query("example.com").opt(1232, 0, &[])).is_some());
    for other in [
        query("example.org"),
        query("www.example.com"),
        query("com"),
        query(""),
        Message::query("example.com", AAAA),
        Message::query("example.com", A | 0x0100),
        query("example.com").flags(RD | CD),
        query("example.com").opt(1232, 0x8000, &[]),
    ] {
        assert_eq!(desk.get(&other), None, "{other:?}");
        assert_eq!(desk.stale(&other), None, "{other:?}");
    }
    let parsed = parsed(&query("example.com").bytes());
    let key = desk.cache.key(&parsed, 1).unwrap();
    let mut out = [0; 512];
    assert_eq!(desk.cache.get(&key, &parsed, &query("example.com").bytes(), desk.now_ms, 512, &mut out), None);
}

#[test]
fn a_query_without_rd_passes_by() {
    let mut desk = Desk::new(MIB);
    assert!(!desk.put(&query("example.com").flags(0), &answer("example.com", 60)));
    assert!(desk.put(&query("example.com"), &answer("example.com", 60)));
    assert_eq!(desk.get(&query("example.com").flags(0)), None);
}

#[test]
fn what_must_not_be_kept_is_not() {
    let ok = || Message::answer("example.com", A);
    let rows = [
        ("TC of a failure", answer("example.com", 60).flags(QR | RD | RA | TC | 2)),
        ("TTL 0", answer("example.com", 0)),
        ("TTL 0 beside others", answer("example.com", 60).rr(3, A, 0, &ADDRESS)),
        ("NODATA without SOA", ok()),
        ("NXDOMAIN without SOA", ok().flags(QR | RD | RA | 3)),
        ("a referral", ok().rr(2, NS, 60, &[0xc0, 12])),
        ("MINIMUM 0", ok().rr(2, SOA, 60, &soa(0))),
        ("more than 5 KiB in a small cache", (0..20).fold(ok(), |m, _| m.rr(1, A, 60, &[7; 250]))),
    ];
    for (row, message) in rows {
        let mut desk = Desk::new(MIB);
        assert!(!desk.put(&query("example.com"), &message), "{row}");
        assert_eq!(desk.get(&query("example.com")), None, "{row}");
        assert_eq!(desk.cache.entries(), 0);
    }
}

#[test]
fn a_negative_answer_lives_by_its_soa_and_shows_no_more() {
    let no = |rcode, ttl, minimum| {
        let message = Message::answer("example.com", A).flags(QR | RD | RA | rcode);
        message.rr(2, SOA, ttl, &soa(minimum)).rr(2, 46, ttl, &[5; 20])
    };
    for (rcode, ttl, minimum, lifetime) in [(3, 900, 60, 60), (0, 60, 900, 60), (3, 86400, 86400, 3600)] {
        let mut desk = Desk::new(MIB);
        assert!(desk.put(&query("example.com"), &no(rcode, ttl, minimum)));
        desk.after(u64::from(lifetime) - 1);
        let rest = ttl + 1 - lifetime;
        let expected = Message::answer("example.com", A).flags(QR | RD | RA | rcode).id(0x1234);
        let expected = expected.rr(2, SOA, 1, &soa(minimum)).rr(2, 46, rest, &[5; 20]);
        assert_eq!(desk.get(&query("example.com")), Some(expected.bytes()));
        assert_eq!(desk.after(1).get(&query("example.com")), None);
    }
}

#[test]
fn nothing_is_fresh_for_more_than_a_day() {
    let mut desk = Desk::new(MIB);
    assert!(desk.put(&query("example.com"), &answer("example.com", 0x7fff_ffff)));
    desk.after(86399);
    assert_eq!(desk.get(&query("example.com")), Some(answer("example.com", 0x7fff_ffff - 86399).id(0x1234).bytes()));
    assert_eq!(desk.after(1).get(&query("example.com")), None);
}

#[test]
fn a_failure_is_kept_for_a_second_and_longer_when_it_goes_on() {
    let mut desk = Desk::new(MIB);
    let servfail = Message::answer("example.com", A).flags(QR | RD | RA | 2).opt(1232, 0, &ede(9, "no key"));
    let shown = || Message::answer("example.com", A).flags(QR | RD | RA | 2);
    for lifetime in [1, 2, 4, 5, 5, 5] {
        assert!(desk.put(&query("example.com"), &servfail));
        desk.after(lifetime - 1);
        assert_eq!(desk.get(&query("example.com")), Some(shown().bytes()), "{lifetime} s");
        let explained = shown().opt(1232, 0, &ede(9, "no key")).bytes();
        assert_eq!(desk.get(&query("example.com").opt(1232, 0, &[])), Some(explained));
        assert_eq!(desk.after(1).get(&query("example.com")), None, "{lifetime} s");
        assert_eq!(desk.stale(&query("example.com")), None, "a failure is never given as stale");
    }
    // After a quiet time, or an answer, the count starts again.
    desk.after(15);
    assert!(desk.put(&query("example.com"), &servfail));
    assert_eq!(desk.after(1).get(&query("example.com")), None);
    assert!(desk.put(&query("example.com"), &servfail));
    assert!(desk.put(&query("example.com"), &answer("example.com", 1)));
    assert!(!desk.after(1).put(&query("example.com"), &servfail), "the old answer stays, for a second");
    assert!(desk.get(&query("example.com")).is_some());
    assert_eq!(desk.after(1).get(&query("example.com")), None);
}

#[test]
fn silence_is_remembered_as_a_failure_with_its_reason() {
    let mut desk = Desk::new(MIB);
    let shown = || Message::answer("example.com", A).flags(QR | RD | RA | 2);
    for (lifetime, code) in [(1, 22), (2, 23), (4, 22), (5, 22), (5, 22)] {
        desk.fail(&query("example.com"), code);
        assert_eq!(desk.get(&query("example.com")), Some(shown().bytes()));
        desk.after(lifetime - 1);
        let explained = shown().opt(1232, 0, &ede(code, "")).bytes();
        assert_eq!(desk.get(&query("example.com").opt(1232, 0, &[])), Some(explained));
        assert_eq!(desk.after(1).get(&query("example.com")), None);
    }
}

#[test]
fn an_old_answer_is_given_only_where_upstreams_failed_and_says_so() {
    let stale = |message: Message, code| message.opt(1232, 0, &ede(code, "")).bytes();
    let asked = query("example.com").opt(1232, 0, &[]);
    let old = || answer("example.com", 30).id(0x1234);
    let mut desk = Desk::new(MIB);
    assert!(desk.put(&query("example.com"), &answer("example.com", 60)));
    assert_eq!(desk.stale(&asked), Some(old_with(60)), "what is fresh is not stale");
    desk.after(60);
    assert_eq!(desk.get(&asked), None);
    assert_eq!(desk.stale(&asked), Some(stale(old(), 3)));
    assert_eq!(desk.stale(&query("example.com")), Some(old().bytes()), "without EDNS nothing is said");
    // From a failure on, for its time, without asking upstream again.
    for lifetime in [1, 2, 4, 5, 5] {
        desk.fail(&query("example.com"), 22);
        assert_eq!(desk.get(&asked), Some(stale(old(), 3)));
        desk.after(lifetime - 1);
        assert_eq!(desk.get(&asked), Some(stale(old(), 3)));
        assert_eq!(desk.after(1).get(&asked), None);
    }
    // So does what is no refreshing, and takes no answer's place.
    desk.after(20);
    let servfail = Message::answer("example.com", A).id(0x7777).flags(QR | RD | RA | 2);
    assert!(!desk.put(&query("example.com"), &servfail));
    assert_eq!(desk.get(&asked), Some(stale(old(), 3)));
    assert_eq!(desk.after(1).get(&asked), None);
    assert_eq!(desk.stale(&asked), Some(stale(old(), 3)));
    // A new answer ends it.
    assert!(desk.put(&query("example.com"), &answer("example.com", 60)));
    assert_eq!(desk.get(&asked), Some(old_with(60)));
    // A day after its time it is gone.
    assert!(desk.after(60 + 86399).stale(&asked).is_some());
    assert_eq!(desk.after(1).stale(&asked), None);
    desk.fail(&query("example.com"), 22);
    assert_ne!(desk.get(&asked), Some(stale(old(), 3)));

    let gone = || Message::answer("example.com", A).flags(QR | RD | RA | 3);
    let mut desk = Desk::new(MIB);
    assert!(desk.put(&query("example.com"), &gone().rr(2, SOA, 60, &soa(60))));
    assert_eq!(desk.after(60).stale(&asked), Some(stale(gone().rr(2, SOA, 30, &soa(60)), 19)));

    fn old_with(ttl: u32) -> Vec<u8> {
        answer("example.com", ttl).id(0x1234).opt(1232, 0, &[]).bytes()
    }
}

#[test]
fn a_stale_answer_keeps_the_upstream_s_own_errors_too() {
    let mut desk = Desk::new(MIB);
    let up = answer("example.com", 60).opt(1232, 0, &[ede(4, "forged"), option(10, &[1; 16])].concat());
    assert!(desk.put(&query("example.com"), &up));
    let asked = query("example.com").opt(1232, 0, &[]);
    let shown = |ttl, options: &[u8]| Some(answer("example.com", ttl).id(0x1234).opt(1232, 0, options).bytes());
    assert_eq!(desk.get(&asked), shown(60, &ede(4, "forged")));
    assert_eq!(desk.after(60).stale(&asked), shown(30, &[ede(3, ""), ede(4, "forged")].concat()));
}

#[test]
fn a_hit_that_is_too_long_for_this_client_is_empty_with_tc() {
    let mut desk = Desk::new(MIB);
    let text = [&[200u8][..], &[b'x'; 200]].concat();
    let long = |m: Message| (0..3).fold(m, |m, _| m.rr(1, TXT, 60, &text));
    let asked = Message::query("example.com", TXT);
    assert!(desk.put(&asked, &long(Message::answer("example.com", TXT))));
    assert_eq!(desk.get(&asked), Some(asked.clone().flags(QR | RD | RA | TC).bytes()));
    let expected = long(Message::answer("example.com", TXT)).opt(1232, 0, &[]).bytes();
    assert_eq!(desk.get(&asked.opt(1232, 0, &[])), Some(expected));
}

#[test]
fn that_an_answer_is_too_long_for_a_datagram_is_kept_for_5_seconds_and_not_for_streams() {
    let asked = Message::query("example.com", TXT);
    let long = |ttl| (0..8).fold(Message::answer("example.com", TXT), |m, _| m.rr(1, TXT, ttl, &[7; 250]));
    let empty = || asked.clone().flags(QR | RD | RA | TC);
    let up = long(60).flags(QR | RD | RA | TC | AD).opt(4096, 0, &ede(3, "x"));
    let mut desk = Desk::new(MIB);
    assert!(desk.put(&asked, &up));
    assert_eq!(desk.get(&asked), Some(empty().bytes()));
    assert_eq!(desk.get(&asked.clone().flags(RD | AD)), Some(empty().bytes()), "nothing in it is authentic");
    assert_eq!(desk.get(&asked.clone().opt(1232, 0, &[])), Some(empty().opt(1232, 0, &[]).bytes()));
    assert_eq!(desk.get_on_stream(&asked), None);
    assert_eq!(desk.stale(&asked), None);
    desk.after(4);
    assert_eq!(desk.get(&asked), Some(empty().bytes()));
    assert_eq!(desk.after(1).get(&asked), None);
    assert_eq!(desk.stale(&asked), None);

    // What came by TCP takes its place, and serves both: until its time is over, and then as stale.
    assert!(desk.put(&asked, &up));
    assert!(desk.put(&asked, &long(60)));
    assert_eq!(desk.get(&asked), Some(empty().bytes()));
    assert_eq!(desk.get_on_stream(&asked), Some(long(60).bytes()));
    assert!(!desk.put(&asked, &up), "that there is a long answer is known");
    assert_eq!(desk.get_on_stream(&asked), Some(long(60).bytes()));
    desk.after(61);
    assert!(!desk.put(&asked, &up), "and it may still be of use");
    assert_eq!((desk.get(&asked), desk.get_on_stream(&asked)), (None, None));
    assert_eq!(desk.stale(&asked), Some(empty().bytes()));

    // A failure takes its place, and the other way round.
    let mut desk = Desk::new(MIB);
    assert!(desk.put(&asked, &up));
    desk.fail(&asked, 22);
    assert_eq!(desk.get(&asked), Some(asked.clone().flags(QR | RD | RA | 2).bytes()));
    assert!(desk.put(&asked, &up));
    assert_eq!(desk.get(&asked), Some(empty().bytes()));
}

#[test]
fn a_long_answer_is_kept_where_it_takes_a_256th_of_the_cache_at_most() {
    let asked = Message::query("example.com", TXT);
    let long = |records: usize, ttl: u32, octets: usize| {
        (0..records).fold(Message::answer("example.com", TXT), |m, _| m.rr(1, TXT, ttl, &vec![7; octets]))
    };
    for (mib, records, octets, kept) in [
        (1, 300, 1, true),    // 3,900 octets, and 600 of places
        (1, 20, 220, true),   // 4,640
        (1, 22, 220, false),  // 5,104, and what belongs to them
        (2, 30, 220, true),   // 6,960: a 256th of 2 MiB is 8,192
        (2, 36, 220, false),  // 8,352
        (32, 4000, 4, true),  // 64,000, and 8,000
        (32, 250, 248, true), // 65,000
    ] {
        let mut desk = Desk::new(mib * MIB);
        assert_eq!(desk.put(&asked, &long(records, 100, octets)), kept, "{records} records of {octets} in {mib} MiB");
        desk.after(40);
        assert_eq!(desk.get_on_stream(&asked), kept.then(|| long(records, 60, octets).bytes()));
        assert_eq!(desk.get(&asked), kept.then(|| asked.clone().flags(QR | RD | RA | TC).bytes()));
    }
    // Long ones make room for others, and the other way round.
    let mut desk = Desk::new(18 * MIB);
    for i in 0..2000 {
        let qname = format!("n{i}.example");
        let asked = Message::query(&qname, TXT);
        let up = (0..250).fold(Message::answer(&qname, TXT), |m, _| m.rr(1, TXT, 100, &[i as u8; 240]));
        assert!(desk.put(&asked, &up));
        assert_eq!(desk.get_on_stream(&asked), Some(up.bytes()));
        assert!(desk.put(&query(&qname), &answer(&qname, 60)));
        assert!(desk.get(&query(&qname)).is_some());
    }
}

#[test]
fn a_hit_that_is_shortened_ages_what_is_left_and_nothing_else() {
    let asked = Message::query("example.com", A);
    let hosts = |ttl, hosts: u8| {
        let answer = Message::answer("example.com", A).rr(1, A, ttl, &ADDRESS);
        (0..hosts).fold(answer, |m, n| m.record(3, &[1, n, 0xc0, 12], A, 1, ttl, &ADDRESS))
    };
    let fit = |room: usize| (0..40).rev().map(|n| hosts(200, n)).find(|m| m.bytes().len() <= room).unwrap();
    let mut desk = Desk::new(MIB);
    assert!(desk.put(&asked, &hosts(300, 40).opt(1232, 0, &ede(3, ""))));
    desk.after(100);
    assert_eq!(desk.get(&asked), Some(fit(512).bytes()));
    for size in 512..600 {
        let told = fit(usize::from(size) - 11).opt(1232, 0, &[]).bytes();
        let explained = fit(usize::from(size) - 11).opt(1232, 0, &ede(3, "")).bytes();
        let expected = if explained.len() <= usize::from(size) { explained } else { told };
        assert_eq!(desk.get(&asked.clone().opt(size, 0, &[])), Some(expected), "{size}");
    }
    assert_eq!(desk.get_on_stream(&asked), Some(hosts(200, 40).bytes()));
}

#[test]
fn a_newer_answer_takes_the_place_of_the_older_longer_or_shorter() {
    let mut desk = Desk::new(MIB);
    let text = |n: usize| [&[n as u8][..], &vec![b'x'; n]].concat();
    let asked = Message::query("example.com", TXT).opt(1232, 0, &[]);
    for length in [10, 200, 12, 11, 90, 10, 250, 249, 1] {
        let shown = |id| Message::answer("example.com", TXT).id(id).rr(1, TXT, 60, &text(length));
        assert!(desk.put(&asked, &shown(0x7777)));
        assert_eq!(desk.get(&asked), Some(shown(0x1234).opt(1232, 0, &[]).bytes()));
        assert_eq!(desk.cache.entries(), 1);
    }
}

#[test]
fn the_longest_names_and_any_octets_are_kept_apart() {
    let mut desk = Desk::new(MIB);
    let question = |wire: &[u8]| Message { id: 0x1234, flags: RD, counts: [0; 4], body: vec![] }.question(wire, A, 1);
    let deepest: Vec<u8> = [[1, b'z'].repeat(127), vec![0]].concat();
    let longest = [&[63][..], &[0; 63], &[63], &[255; 63], &[63], &[b'.'; 63], &[61], &[0xc0; 61], &[0]].concat();
    let names = [deepest, longest, vec![1, 0, 0], vec![1, 1, 0], vec![2, 0, 0, 0], vec![0], name("a"), name("a.a")];
    for (i, wire) in names.iter().enumerate() {
        let up = question(wire).flags(QR | RD | RA).rr(1, A, 60, &[10, 0, 0, i as u8]);
        assert!(desk.put(&question(wire), &up));
    }
    for (i, wire) in names.iter().enumerate() {
        let expected = question(wire).flags(QR | RD | RA).rr(1, A, 60, &[10, 0, 0, i as u8]);
        assert_eq!(desk.get(&question(wire)), Some(expected.bytes()));
    }
}

#[test]
fn memory_is_bounded_and_what_is_used_survives_a_scan_of_names_asked_once() {
    let mut desk = Desk::new(2 * MIB);
    let popular: Vec<String> = (0..1000).map(|i| format!("popular{i}.example.com")).collect();
    for round in 0..2 {
        for qname in &popular {
            let hit = desk.get(&query(qname)).is_some();
            assert_eq!(hit, round > 0);
            if !hit {
                assert!(desk.put(&query(qname), &answer(qname, 80_000)));
            }
        }
    }
    let mut held = 0;
    for i in 0..100_000 {
        let qname = format!("scan{i}.example.net");
        if desk.get(&query(&qname)).is_none() {
            assert!(desk.put(&query(&qname), &answer(&qname, 80_000)));
        }
        if i % 50 == 0 {
            // The popular ones go on being asked, each once in 50,000 queries.
            desk.get(&query(&popular[i / 50 % popular.len()]));
        }
        held = held.max(desk.cache.entries());
    }
    let kept = popular.iter().filter(|qname| desk.get(&query(qname)).is_some()).count();
    assert!(kept >= 990, "{kept} of 1,000 kept");
    assert!(held < 2 * MIB / 96, "{held} entries in 2 MiB");
}

#[test]
fn answers_of_every_size_come_and_go_and_none_is_ever_wrong() {
    let mut desk = Desk::new(300 << 10);
    let mut state = 7u64;
    let mut hits = 0;
    for step in 0..60_000u32 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let number = (state >> 33) % 3000;
        let qname = format!("n{number}.{}", "x".repeat((number % 60) as usize + 1));
        let size = |n: u64| (n * 37 % 250 + 1) as usize;
        let shown = |m: Message| m.rr(1, TXT, 1000, &[number as u8].repeat(size(number)));
        let asked = Message::query(&qname, TXT).opt(1232, 0, &[]);
        match desk.get(&asked) {
            Some(bytes) => {
                hits += 1;
                let expected = shown(Message::answer(&qname, TXT)).opt(1232, 0, &[]).bytes();
                assert_eq!(bytes, expected, "step {step}");
            }
            None => assert!(desk.put(&asked, &shown(Message::answer(&qname, TXT)))),
        }
    }
    assert!(hits > 5_000, "{hits} hits");
}

#[test]
fn flushed_or_too_small_it_holds_nothing() {
    let mut desk = Desk::new(MIB);
    assert!(desk.put(&query("example.com"), &answer("example.com", 60)));
    desk.cache.flush();
    assert_eq!((desk.get(&query("example.com")), desk.cache.entries()), (None, 0));
    assert!(desk.put(&query("example.com"), &answer("example.com", 60)));
    assert!(desk.get(&query("example.com")).is_some());

    let mut none = Desk::new(0);
    assert!(!none.put(&query("example.com"), &answer("example.com", 60)));
    assert_eq!(none.get(&query("example.com")), None);
}

#[test]
fn a_clock_that_steps_back_breaks_nothing() {
    let mut desk = Desk::new(MIB);
    assert!(desk.put(&query("example.com"), &answer("example.com", 60)));
    desk.now_ms -= 1_000_000;
    assert_eq!(desk.get(&query("example.com")), Some(answer("example.com", 60).id(0x1234).bytes()));
}

#[test]
fn how_long_a_stale_answer_is_given_is_said_and_nought_means_never() {
    for (stale_for, given) in [(0, [false, false, false]), (60, [true, false, false]), (STALE_FOR, [true, true, false])]
    {
        let mut desk = Desk { cache: Cache::new(MIB, [1, 2], stale_for).unwrap(), now_ms: 5_000_000 };
        assert!(desk.put(&query("example.com"), &answer("example.com", 60)));
        assert!(desk.after(59).stale(&query("example.com")).is_some(), "what holds is given whatever is said");
        let found = [1, 60, u64::from(STALE_FOR)].map(|after| desk.after(after).stale(&query("example.com")).is_some());
        assert_eq!(found, given, "{stale_for} s");
    }
}
