//! What goes to an upstream, which answers count, and what the client is told of them.
#![allow(clippy::unwrap_used)]

mod message;

use dnscore::answer::{client_answer, upstream_query};
use dnscore::wire::upstream::Kind;
use dnscore::wire::{Checked, Expected, Mismatch, check_answer};
use message::{A, AA, AAAA, AD, CD, CNAME, Message, NS, OPT, QR, RA, RD, SOA, TC, TXT, ede, name, option, parsed, soa};

fn asked(query: &Message, id: u16, case: Option<u64>) -> Vec<u8> {
    let packet = query.bytes();
    let mut out = [0xee; 512];
    let length = upstream_query(&parsed(&packet), id, case, &mut out);
    out[..length].to_vec()
}

fn check(answer: &[u8], question: &Message) -> Result<Checked, Mismatch> {
    let bytes = question.bytes();
    check_answer(answer, &Expected { id: question.id, question: &bytes[12..bytes.len()] })
}

/// What a client that sent `query` gets of `answer`, which is the answer to that name in lower case.
fn told(query: &Message, answer: &Message) -> Vec<u8> {
    told_within(query, answer, None)
}

fn told_within(query: &Message, answer: &Message, limit: Option<usize>) -> Vec<u8> {
    let (packet, answer) = (query.bytes(), answer.bytes());
    let parsed = parsed(&packet);
    let question = answer[12..usize::from(parsed.question_end)].to_vec();
    let id = u16::from_be_bytes([answer[0], answer[1]]);
    let checked = check_answer(&answer, &Expected { id, question: &question }).unwrap();
    let mut out = vec![0xee; 65535];
    let limit = limit.unwrap_or_else(|| parsed.udp_limit());
    let length = client_answer(&packet, &parsed, &answer, &checked, limit, &mut out);
    out[..length].to_vec()
}

#[test]
fn the_upstream_is_asked_anew_with_our_own_opt() {
    let plain = |flags| Message::query("www.example.com", TXT).id(0xabcd).flags(flags);
    let query = || Message::query("wWw.Example.COM", TXT);
    let rows = [
        (query(), plain(RD | AD).opt(1232, 0, &[])),
        (query().flags(0), plain(AD).opt(1232, 0, &[])),
        (query().flags(RD | CD | TC | AA), plain(RD | CD | AD).opt(1232, 0, &[])),
        (query().opt(4096, 0x8000, &option(8, &[0, 1, 24, 0, 192, 0, 2])), plain(RD | AD).opt(1232, 0x8000, &[])),
        (query().opt(512, 0x7fff, &option(10, &[1; 8])), plain(RD | AD).opt(1232, 0, &[])),
        (query().rr(3, A, 1, &[1, 2, 3, 4]).raw(&[7; 9]), plain(RD | AD).opt(1232, 0, &[])),
    ];
    for (query, expected) in rows {
        assert_eq!(asked(&query, 0xabcd, None), expected.bytes(), "{query:?}");
    }
}

#[test]
fn random_case_is_in_letters_only_and_follows_the_bits() {
    let query = Message::query("abc.d-3f.example", A);
    assert_eq!(asked(&query, 1, Some(0)), asked(&query, 1, None));
    let upper = Message::query("ABC.D-3F.EXAMPLE", A).id(1).flags(RD | AD).opt(1232, 0, &[]).bytes();
    assert_eq!(asked(&query, 1, Some(u64::MAX)), upper);
    let first = Message::query("Abc.d-3f.example", A).id(1).flags(RD | AD).opt(1232, 0, &[]).bytes();
    assert_eq!(asked(&query, 1, Some(0b10)), first);
}

#[test]
fn only_the_exact_answer_counts() {
    let question = Message::query("wWw.example.com", A);
    let answer = || Message::answer("wWw.example.com", A).rr(1, A, 60, &[192, 0, 2, 1]);
    assert!(check(&answer().bytes(), &question).is_ok());
    let two = Message { counts: [2, 1, 0, 0], ..answer() };
    let none = Message { counts: [0, 1, 0, 0], ..answer() };
    let rows = [
        ("another id", answer().id(0x1235).bytes(), Mismatch::Id),
        ("a query", answer().flags(RD).bytes(), Mismatch::NotAResponse),
        ("another opcode", answer().flags(QR | 0x2000 | RD).bytes(), Mismatch::Opcode),
        ("another case", Message::answer("www.example.com", A).bytes(), Mismatch::Question),
        ("another name", Message::answer("wWw.example.net", A).bytes(), Mismatch::Question),
        ("a longer name", Message::answer("wWw.example.com.a", A).bytes(), Mismatch::Question),
        ("another type", Message::answer("wWw.example.com", AAAA).bytes(), Mismatch::Question),
        ("two questions", two.bytes(), Mismatch::Question),
        ("no question", none.bytes(), Mismatch::Question),
        ("a header alone", Message { counts: [0; 4], body: vec![], ..answer() }.bytes(), Mismatch::Question),
    ];
    for (row, bytes, mismatch) in rows {
        assert_eq!(check(&bytes, &question).err(), Some(mismatch), "{row}");
    }
    let bytes = answer().bytes();
    for end in 0..12 {
        assert_eq!(check(&bytes[..end], &question).err(), Some(Mismatch::Short));
    }
    let class = Message { body: [&name("wWw.example.com")[..], &[0, 1, 0, 3]].concat(), ..answer() };
    assert_eq!(check(&class.bytes(), &question).err(), Some(Mismatch::Question), "another class");
}

#[test]
fn an_answer_whose_lengths_lie_is_malformed_and_empty_where_it_came_truncated() {
    let question = Message::query("example.com", A);
    let answer = || Message::answer("example.com", A);
    let whole = answer().rr(1, A, 60, &[192, 0, 2, 1]).rr(2, NS, 60, &[0xc0, 12]).opt(1232, 0, &ede(22, "x"));
    let start = question.bytes().len();
    let bytes = whole.bytes();
    for end in start..bytes.len() {
        assert_eq!(check(&bytes[..end], &question).err(), Some(Mismatch::Malformed), "cut at {end}");
    }
    let cut = whole.clone().flags(QR | RD | RA | TC).bytes();
    for end in start..cut.len() {
        let checked = check(&cut[..end], &question).unwrap();
        assert!(checked.truncated());
        assert_eq!((checked.answers, checked.authorities, checked.additionals, checked.ttls().len()), (0, 0, 0, 0));
        assert_eq!((checked.body_end, checked.lifetime), (checked.question_end, 0));
    }
    let rows = [
        ("two OPTs", answer().opt(1232, 0, &[]).opt(1232, 0, &[])),
        ("an OPT among the answers", answer().record(1, &[0], OPT, 1232, 0, &[])),
        ("an OPT with an owner", answer().record(3, &name("a"), OPT, 1232, 0, &[])),
        ("an option that lies", answer().opt(1232, 0, &[0, 15, 0, 9, 0])),
        ("an owner that points at itself", answer().record(1, &[0xc0, start as u8], A, 1, 60, &[1, 2, 3, 4])),
        ("an owner that points ahead", answer().record(1, &[0xc1, 0], A, 1, 60, &[1, 2, 3, 4])),
        ("a SOA without numbers", answer().rr(2, SOA, 60, &[0xc0, 12, 0xc0, 12, 0, 0])),
    ];
    for (row, message) in rows {
        assert_eq!(check(&message.bytes(), &question).err(), Some(Mismatch::Malformed), "{row}");
    }
}

#[test]
fn how_long_an_answer_may_be_kept() {
    use Kind::{Failure, Negative, Positive};
    let ok = || Message::answer("example.com", A);
    let nx = || ok().flags(QR | RD | RA | 3);
    let address = [192, 0, 2, 1];
    let tc = QR | RD | RA | TC;
    let many = |n: usize| (0..n).fold(ok(), |message, _| message.rr(1, A, 60, &address));
    let rows: Vec<(&str, Message, Kind, u32)> = vec![
        ("the smallest TTL of all", ok().rr(1, A, 300, &address).rr(1, A, 200, &address), Positive, 200),
        ("authority too", ok().rr(1, A, 300, &address).rr(2, NS, 100, &[0xc0, 12]), Positive, 100),
        ("additional too", ok().rr(1, A, 300, &address).rr(3, A, 90, &address), Positive, 90),
        ("but not the OPT", ok().rr(1, A, 300, &address).opt(1232, 0x8000, &[]), Positive, 300),
        ("TTL 0", ok().rr(1, A, 0, &address).rr(1, A, 300, &address), Positive, 0),
        ("a TTL beyond 31 bits is 0 (RFC 2181)", ok().rr(1, A, 0x8000_0001, &address), Positive, 0),
        ("the largest TTL", ok().rr(1, A, 0x7fff_ffff, &address), Positive, 0x7fff_ffff),
        ("truncated", ok().flags(tc).rr(1, A, 300, &address), Positive, 0),
        ("128 records", many(128), Positive, 60),
        ("129 records", many(129), Positive, 0),
        ("NODATA with SOA: its TTL", ok().rr(2, SOA, 20, &soa(50)), Negative, 20),
        ("NODATA with SOA: its MINIMUM", ok().rr(2, SOA, 70, &soa(50)), Negative, 50),
        ("NODATA with SOA: an hour", ok().rr(2, SOA, 86400, &soa(86400)), Negative, 3600),
        ("NODATA with SOA: MINIMUM 0", ok().rr(2, SOA, 70, &soa(0)), Negative, 0),
        ("NODATA without SOA", ok(), Negative, 0),
        ("a referral", ok().rr(2, NS, 300, &[0xc0, 12]), Negative, 0),
        ("NXDOMAIN with SOA", nx().rr(2, SOA, 70, &soa(50)), Negative, 50),
        ("NXDOMAIN without SOA", nx(), Negative, 0),
        ("an alias to nothing with SOA", ok().rr(1, CNAME, 30, &[0xc0, 12]).rr(2, SOA, 70, &soa(50)), Negative, 30),
        ("an alias to nothing without", ok().rr(1, CNAME, 30, &[0xc0, 12]), Negative, 0),
        ("NXDOMAIN at an alias's end", nx().rr(1, CNAME, 90, &[0xc0, 12]).rr(2, SOA, 70, &soa(50)), Negative, 50),
        ("SERVFAIL", ok().flags(QR | RD | RA | 2), Failure, 0),
        ("REFUSED", ok().flags(QR | RD | RA | 5), Failure, 0),
        ("an extended rcode", ok().opt(1232, 1 << 24, &[]), Failure, 0),
    ];
    for (row, message, kind, lifetime) in rows {
        let checked = check(&message.bytes(), &Message::query("example.com", A)).unwrap();
        assert_eq!((checked.kind, checked.lifetime), (kind, lifetime), "{row}");
    }
    let alias = Message::answer("example.com", CNAME).rr(1, CNAME, 30, &[0xc0, 12]);
    let checked = check(&alias.bytes(), &Message::query("example.com", CNAME)).unwrap();
    assert_eq!((checked.kind, checked.lifetime), (Positive, 30));
}

#[test]
fn the_client_sees_its_own_id_case_and_bits_and_the_upstream_s_records() {
    let records = |message: Message| message.rr(1, A, 300, &[192, 0, 2, 1]).rr(2, NS, 200, &[0xc0, 12]);
    let up = |flags| records(Message::answer("www.example.com", A).id(0x9999).flags(QR | flags));
    let query = |flags| Message::query("wWw.exAmple.com", A).flags(flags);
    let rows = [
        (RD, RD | RA | AD | AA, RD | RA | AA),
        (RD | AD, RD | RA | AD, RD | RA | AD),
        (RD | AD, RD | RA, RD | RA),
        (RD | CD, RD | RA, RD | RA | CD),
        (0, RD | RA | CD, RA),
        (RD, RD, RD),
        (RD, RD | RA | TC, RD | RA | TC),
        (RD, RD | RA | 3, RD | RA | 3),
    ];
    for (asked, answered, shown) in rows {
        let expected = records(query(asked).flags(QR | shown)).bytes();
        assert_eq!(told(&query(asked), &up(answered)), expected, "{asked:#06x} answered {answered:#06x}");
    }
    // DO speaks for AD too.
    let expected = records(query(QR | RD | RA | AD)).opt(1232, 0x8000, &[]).bytes();
    assert_eq!(told(&query(RD).opt(1232, 0x8000, &[]), &up(RD | RA | AD)), expected);
}

#[test]
fn the_opt_is_hop_by_hop_and_only_extended_errors_and_rcodes_pass() {
    let up = |ttl, options: &[u8]| {
        let answer = Message::answer("example.com", A).rr(1, A, 300, &[192, 0, 2, 1]).rr(3, TXT, 10, &[0]);
        answer.opt(4096, ttl, options)
    };
    let shown =
        |flags| Message::answer("example.com", A).flags(flags).rr(1, A, 300, &[192, 0, 2, 1]).rr(3, TXT, 10, &[0]);
    let query = || Message::query("example.com", A);
    let mixed = [option(10, &[1; 16]), ede(3, "old"), option(12, &[0; 40]), ede(22, ""), option(8, &[0; 4])].concat();
    let kept = [ede(3, "old"), ede(22, "")].concat();
    assert_eq!(told(&query(), &up(0, &mixed)), shown(QR | RD | RA).bytes(), "no OPT for one who sent none");
    let expected = shown(QR | RD | RA).opt(1232, 0, &kept).bytes();
    assert_eq!(told(&query().opt(512, 0, &[]), &up(0x8000, &mixed)), expected);
    let expected = shown(QR | RD | RA).opt(1232, 1 << 24 | 0x8000, &[]).bytes();
    assert_eq!(told(&query().opt(512, 0x8000, &[]), &up(1 << 24, &[])), expected, "BADVERS passes");
    assert_eq!(told(&query(), &up(1 << 24, &[])), shown(QR | RD | RA | 2).bytes(), "or is SERVFAIL");
    // An OPT before other records: what follows it is left out, so that no pointer moves.
    let early = Message::answer("example.com", A).rr(1, A, 300, &[192, 0, 2, 1]).rr(3, TXT, 10, &[0]);
    let early = early.opt(4096, 0, &[]).rr(3, TXT, 10, &[0]);
    assert_eq!(told(&query().opt(512, 0, &[]), &early), shown(QR | RD | RA).opt(1232, 0, &[]).bytes());
    // No OPT from upstream: still one for the client.
    let bare = Message::answer("example.com", A).rr(1, A, 300, &[192, 0, 2, 1]);
    assert_eq!(told(&query().opt(512, 0, &[]), &bare), bare.clone().opt(1232, 0, &[]).bytes());
    // Octets after the last record are nobody's.
    assert_eq!(told(&query(), &bare.clone().raw(&[9; 30])), bare.bytes());
}

#[test]
fn what_is_too_long_is_an_empty_answer_with_tc() {
    let text = [&[200u8][..], &[b'x'; 200]].concat();
    let long = (0..5).fold(Message::answer("example.com", TXT).flags(QR | RD | RA | AD), |m, _| m.rr(1, TXT, 9, &text));
    let length = long.bytes().len(); // 29 + 5 * 213 = 1094
    assert_eq!(length, 1094);
    let query = || Message::query("example.com", TXT);
    let empty = query().flags(QR | RD | RA | TC);
    assert_eq!(told(&query(), &long), empty.bytes());
    assert_eq!(told(&query().opt(1232, 0, &[]), &long)[..2], [0x12, 0x34]);
    assert_eq!(told(&query().opt(1232, 0, &[]), &long).len(), length + 11);
    assert_eq!(told(&query().opt(1105, 0, &[]), &long).len(), length + 11);
    assert_eq!(told(&query().opt(1104, 0x8000, &[]), &long), empty.clone().opt(1232, 0x8000, &[]).bytes());
    assert_eq!(told_within(&query(), &long, Some(65535)), long.clone().flags(QR | RD | RA).bytes(), "over TCP");
    // The extended error goes before the records do.
    let explained = long.clone().opt(1232, 0, &ede(3, "served stale"));
    let query = |size| query().opt(size, 0, &[]);
    assert_eq!(told(&query(1123), &explained).len(), 1105 + 18);
    assert_eq!(told(&query(1122), &explained), long.flags(QR | RD | RA).opt(1232, 0, &[]).bytes());
}
