//! What goes to an upstream, which answers count, and what the client gets.
#![allow(clippy::unwrap_used)]

mod message;

use dnscore::answer::{client_answer, upstream_query};
use dnscore::wire::upstream::Kind;
use dnscore::wire::{Checked, Expected, Mismatch, check_answer};
use message::{
    A, AA, AAAA, AD, CD, CNAME, MX, Message, NS, NSEC, OPT, QR, RA, RD, RRSIG, SIG, SOA, TC, TSIG, TXT, ede, name,
    option, parsed, soa,
};

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
fn an_error_without_the_question_counts_and_nothing_else_does() {
    let question = Message::query("wWw.example.com", A);
    let bare = |rcode| Message { counts: [0; 4], body: vec![], ..Message::answer("", A).flags(QR | RD | RA | rcode) };
    for rcode in 0..16 {
        let counts = [1, 2, 4, 5].contains(&rcode);
        for message in [bare(rcode), bare(rcode).opt(1232, 0, &ede(18, "not here"))] {
            let checked = check(&message.bytes(), &question);
            assert_eq!(checked.is_ok(), counts, "{rcode}");
            if let Ok(checked) = checked {
                assert_eq!((checked.kind, checked.rcode, checked.records()), (Kind::Failure, rcode, 0));
            }
            assert_eq!(check(&message.id(7).bytes(), &question).err(), Some(Mismatch::Id));
        }
        let with_record = bare(rcode).record(1, &[0], A, 1, 60, &[1, 2, 3, 4]);
        assert_eq!(check(&with_record.bytes(), &question).err(), Some(Mismatch::Question));
        let another = Message::answer("other.example", A).flags(QR | RD | RA | rcode);
        assert_eq!(check(&another.bytes(), &question).err(), Some(Mismatch::Question));
    }
    let query = || Message::query("wWw.example.com", A);
    let refused = bare(5).opt(1232, 0, &ede(18, "not here")).bytes();
    let packet = query().opt(1232, 0, &[]).bytes();
    let checked = check(&refused, &query()).unwrap();
    let mut out = [0; 512];
    let length = client_answer(&packet, &parsed(&packet), &refused, &checked, 512, &mut out);
    let expected = query().flags(QR | RD | RA | 5).opt(1232, 0, &ede(18, "not here"));
    assert_eq!(out[..length], expected.bytes(), "the client's question comes back");
    // A record of a foreign message's beginning would have its pointers moved.
    let odd = bare(5).record(3, &[0], A, 1, 60, &[1, 2, 3, 4]).bytes();
    assert_eq!(check(&odd, &query()).unwrap().records(), 0);
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
        ("an owner that leads into itself", answer().record(1, &[1, b'a', 0xc0, start as u8], A, 1, 60, &[1, 2, 3, 4])),
        (
            "an owner that leads into its own pointer",
            answer().record(1, &[1, b'a', 0xc0, start as u8 + 2], A, 1, 60, &[]),
        ),
        (
            "two owners, each in the other",
            answer().rr(1, A, 60, &[3, 0, 0, 0]).record(1, &[0xc0, start as u8 + 12], A, 1, 60, &[]),
        ),
        ("an owner of 256 octets by a pointer", {
            let long =
                [[63].as_slice(), &[b'a'; 63], &[63], &[b'a'; 63], &[63], &[b'a'; 63], &[50], &[b'a'; 50]].concat();
            answer().record(1, &[long, vec![0xc0, 12]].concat(), A, 1, 60, &[1, 2, 3, 4])
        }),
        ("a TSIG before the end", answer().record(3, &[0], TSIG, 255, 0, &[0; 16]).opt(1232, 0, &[])),
        ("a SIG(0) before the end", answer().record(3, &[0], SIG, 255, 0, &[0; 18]).rr(3, A, 60, &[1, 2, 3, 4])),
        ("a TSIG among the answers", answer().record(1, &[0], TSIG, 255, 0, &[0; 16])),
        ("behind the OPT a name that points into it", {
            answer().opt(1232, 0, &[0, 3, 0, 1, 0]).record(3, &[0xc0, start as u8 + 15], A, 1, 60, &[1, 2, 3, 4])
        }),
        ("behind the OPT a name with a label before it that reaches into it", {
            let nsid = [&[0, 3, 0, 12][..], &[0; 12]].concat();
            let to_last_octet = [0xc0, start as u8 + 15];
            answer().rr(1, A, 60, &[192, 0, 2, 20]).opt(1232, 0, &nsid).record(
                3,
                &to_last_octet,
                A,
                1,
                60,
                &[1, 2, 3, 4],
            )
        }),
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
        ("any number of records", many(1290), Positive, 60),
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
    // No OPT from upstream: still one for the client.
    let bare = Message::answer("example.com", A).rr(1, A, 300, &[192, 0, 2, 1]);
    assert_eq!(told(&query().opt(512, 0, &[]), &bare), bare.clone().opt(1232, 0, &[]).bytes());
    // Octets after the last record are nobody's.
    assert_eq!(told(&query(), &bare.clone().raw(&[9; 30])), bare.bytes());
}

#[test]
fn an_extended_error_that_is_none_does_not_reach_the_client() {
    let up = |options: &[u8]| Message::answer("example.com", A).rr(1, A, 300, &[192, 0, 2, 1]).opt(4096, 0, options);
    let shown = |options: &[u8]| Message::answer("example.com", A).rr(1, A, 300, &[192, 0, 2, 1]).opt(1232, 0, options);
    let query = Message::query("example.com", A).opt(1232, 0, &[]);
    let sound = [ede(3, "g\u{fc}ltig"), ede(0, ""), ede(65535, "\0")].concat();
    assert_eq!(told(&query, &up(&sound)), shown(&sound).bytes());
    for bad in [&[][..], &[0], &[0, 3, 0xff], &[0, 3, b'a', 0xc3], &[0, 3, 0xed, 0xa0, 0x80], &[0, 3, 0xc0, 0x80]] {
        let options = [ede(3, "before"), option(15, bad), ede(22, "behind")].concat();
        let kept = [ede(3, "before"), ede(22, "behind")].concat();
        assert_eq!(told(&query, &up(&options)), shown(&kept).bytes(), "{bad:?}");
    }
}

#[test]
fn records_behind_the_opt_move_to_its_place_and_signatures_of_the_message_are_left_out() {
    let query = || Message::query("example.com", MX);
    let answer = || Message::answer("example.com", MX);
    let host = |label: u8| [1, label, 0xc0, 12];
    let mx = |m: Message| m.rr(1, MX, 60, &[&[0, 5], &host(b'a')[..]].concat());
    let start = mx(answer()).bytes().len();
    // Behind it an owner written out, one that points to it, and data that does.
    let tail = |m: Message, at: usize| {
        let there = (0xc000 | at as u16).to_be_bytes();
        let m = m.record(3, &host(b'b'), A, 1, 60, &[192, 0, 2, 2]).record(3, &there, AAAA, 1, 61, &[2; 16]);
        let m = m.rr(3, MX, 62, &[&[0, 9], &there[..]].concat()).rr(3, NS, 63, &there).rr(3, TXT, 64, &[1, 0xc0]);
        let m =
            m.rr(3, SOA, 65, &[&there[..], &there, &[0; 20]].concat()).record(3, &[0xc0, 12], NSEC, 1, 66, &[0xc0, 80]);
        m.rr(3, NS, 67, &[3, 0xc0])
    };
    let opt = [ede(3, "old"), option(10, &[7; 8])].concat();
    let moved = start + 11 + opt.len();
    let early = |m: Message| tail(mx(m).opt(4096, 0, &opt), moved);
    let expected = tail(mx(answer()), start);
    assert_eq!(told(&query(), &early(answer())), expected.bytes());
    let with_opt = expected.clone().opt(1232, 0, &ede(3, "old")).bytes();
    assert_eq!(told(&query().opt(512, 0, &[]), &early(answer())), with_opt);
    let signed = early(answer()).record(3, &name("key"), TSIG, 255, 0, &[0; 16]);
    assert_eq!(told(&query().opt(512, 0, &[]), &signed), with_opt);
    let checked = check(&signed.bytes(), &query()).unwrap();
    assert_eq!((checked.records(), checked.ttls().len(), checked.lifetime), (9, 9, 60));
    for (at, ttl) in checked.ttls().iter().zip([60, 60, 61, 62, 63, 64, 65, 66, 67]) {
        let bytes = expected.bytes();
        assert_eq!(bytes[usize::from(*at)..][..4], u32::to_be_bytes(ttl));
    }
    // The same without an OPT, and of SIG(0); one that covers a type is the answer's.
    for (rtype, data, kept) in [(TSIG, &[0; 18], false), (SIG, &[0; 18], false), (SIG, &[1; 18], true)] {
        let signed = mx(answer()).record(3, &[0], rtype, 255, 0, data);
        let expected = if kept { signed.clone() } else { mx(answer()) };
        assert_eq!(told(&query(), &signed), expected.bytes());
        assert_eq!(told(&query().opt(512, 0, &[]), &signed), expected.opt(1232, 0, &[]).bytes());
    }
}

/// Where a record's section is followed by nothing that fits.
fn shortened_to(long: &Message, dnssec_ok: bool, limit: usize) -> (u16, [u16; 3]) {
    let flags = if dnssec_ok { 0x8000 } else { 0 };
    let told = told_within(&Message::query("example.com", MX).opt(1232, flags, &[]), long, Some(limit));
    assert!(told.len() <= limit);
    let word = |at: usize| u16::from_be_bytes([told[at], told[at + 1]]);
    let counts = [word(6), word(8), word(10) - 1];
    // What is there is the beginning of what there was, and our OPT.
    let (start, end) = (told.len() - 11, long.bytes());
    assert_eq!(told[12..start], end[12..start]);
    (word(2) & TC, counts)
}

#[test]
fn what_the_client_can_do_without_is_left_out_in_whole_record_sets_before_tc_is_said() {
    let mx = |m: Message, n: u8| m.rr(1, MX, 60, &[0, 5, 3, b'm', b'x', n, 0xc0, 12]);
    let answer = (b'0'..b'8').fold(Message::answer("example.com", MX), mx);
    let owner = |n: u8| [3, b'm', b'x', n, 0xc0, 12];
    // Two addresses of each family a host, and their signatures.
    let hosts = |from: &Message| {
        (b'0'..b'8').fold(from.clone(), |m, n| {
            let m = m.record(3, &owner(n), A, 1, 60, &[192, 0, 2, n]).record(3, &owner(n), A, 1, 60, &[192, 0, 3, n]);
            let m = m.record(3, &owner(n), RRSIG, 1, 60, &[0, 1, 9, 9, 9]);
            m.record(3, &owner(n), AAAA, 1, 60, &[n; 16]).record(3, &owner(n), RRSIG, 1, 60, &[0, 28, 9, 9, 9])
        })
    };
    let needs = |message: &Message| message.bytes().len() + 11;
    let all = hosts(&answer);
    let (first, last) = (needs(&answer), needs(&all));
    assert!(first < 512 && last > 1024, "{first} {last}");
    assert_eq!(shortened_to(&all, false, last), (0, [8, 0, 40]));
    let mut seen = std::collections::BTreeSet::new();
    for limit in first..last {
        let (tc, [answers, authorities, additionals]) = shortened_to(&all, true, limit);
        assert_eq!((tc, answers, authorities), (0, 8, 0), "{limit}");
        assert!([0, 3].contains(&(additionals % 5)), "a set in part: {additionals} within {limit}");
        seen.insert(additionals);
    }
    assert_eq!(seen.len(), 16, "each set that fits is there");
    assert_eq!(shortened_to(&all, false, first - 1), (TC, [0, 0, 0]), "a part of the answer is no answer");

    // Name servers go as addresses do; what proves something does not.
    let servers =
        |m: Message| m.rr(2, NS, 60, &[3, b'n', b's', b'1', 0xc0, 12]).rr(2, NS, 60, &[3, b'n', b's', b'2', 0xc0, 12]);
    let with_servers = hosts(&servers(answer.clone()));
    let both = needs(&servers(answer.clone()));
    assert_eq!(shortened_to(&with_servers, true, both), (0, [8, 2, 0]));
    assert_eq!(shortened_to(&with_servers, true, both - 1), (0, [8, 0, 0]));
    assert_eq!(shortened_to(&with_servers, true, first), (0, [8, 0, 0]));
    let proof = |m: Message| m.rr(2, NSEC, 60, &[0; 20]).rr(2, RRSIG, 60, &[0, 47, 9, 9]);
    let proven = hosts(&servers(proof(servers(answer.clone()))));
    let with_proof = needs(&proof(servers(answer.clone())));
    assert_eq!(shortened_to(&proven, true, with_proof), (0, [8, 4, 0]));
    assert_eq!(shortened_to(&proven, true, with_proof - 1), (TC, [0, 0, 0]));
    assert_eq!(shortened_to(&proven, false, with_proof - 1), (0, [8, 2, 0]));

    // "No" is nothing without its SOA, nor a referral without the servers and their addresses.
    let no = Message::answer("example.com", MX).rr(2, SOA, 60, &soa(60));
    assert_eq!(shortened_to(&hosts(&no), false, needs(&no)), (0, [0, 1, 0]));
    assert_eq!(shortened_to(&hosts(&no), false, needs(&no) - 1), (TC, [0, 0, 0]));
    let referral = servers(Message::answer("example.com", MX));
    assert_eq!(shortened_to(&hosts(&referral), false, needs(&referral) + 100), (TC, [0, 0, 0]));
    // Nor an answer without the alias's end; and an error needs nothing.
    let failed = Message::answer("example.com", MX).flags(QR | RD | RA | 2);
    assert_eq!(shortened_to(&hosts(&failed), false, needs(&failed)), (0, [0, 0, 0]));
}

#[test]
fn a_set_that_the_opt_stood_in_is_left_out_whole_too() {
    let host = |m: Message, n: u8| m.record(3, &[1, b'a', 0xc0, 12], A, 1, 60, &[192, 0, 2, n]);
    let start = host(Message::answer("example.com", MX).rr(1, MX, 60, &[0, 5, 0]), 0);
    let split = (1..9).fold(start.clone().opt(4096, 0, &[]), host);
    let limit = start.bytes().len() + 30;
    assert_eq!(shortened_to(&split, false, limit), (0, [1, 0, 0]));
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
