//! The parse table, row by row: octets in, octets out.

#![allow(clippy::unwrap_used)]

mod message;

use dnscore::answer;
use dnscore::wire::{DropReason, Parsed, parse};
use message::{A, AD, CD, Message, NS, OPT, QR, RA, RD, SIG, SOA, TC, TSIG, name, option, parsed, soa};

const FORMERR: u16 = 1;
const NOTIMP: u16 = 4;
const REFUSED: u16 = 5;

/// What a client gets back where the datagram alone decides.
fn reply(packet: &[u8]) -> Option<Vec<u8>> {
    let mut out = [0xee; 1232];
    match parse(packet) {
        Parsed::Query(query) => panic!("passed as {query:?}"),
        Parsed::Drop(_) => None,
        Parsed::Refuse(refusal) => {
            let length = answer::error(packet, refusal.echo, refusal.rcode, None, &mut out);
            Some(out[..length].to_vec())
        }
    }
}

fn bare(flags: u16) -> Message {
    Message { id: 0x1234, flags, counts: [0; 4], body: Vec::new() }
}

#[test]
fn what_is_too_short_or_an_answer_itself_gets_nothing() {
    let query = Message::query("example.com", A).bytes();
    for length in 0..12 {
        assert_eq!(parse(&query[..length]), Parsed::Drop(DropReason::Short), "{length} octets");
    }
    assert_eq!(parse(&Message::answer("example.com", A).bytes()), Parsed::Drop(DropReason::Response));
    assert_eq!(parse(&[0xff; 12]), Parsed::Drop(DropReason::Response));
}

#[test]
fn every_other_opcode_is_not_implemented_and_comes_back_in_a_bare_header() {
    for opcode in 1..16u16 {
        let packet = Message::query("example.com", A).flags(opcode << 11 | RD | CD | AD | TC).bytes();
        assert_eq!(reply(&packet), Some(bare(QR | opcode << 11 | RD | RA | CD | NOTIMP).bytes()), "opcode {opcode}");
    }
}

#[test]
fn a_question_that_cannot_be_read_is_a_format_error_with_a_bare_header() {
    let query = |wire: &[u8]| bare(RD).question(wire, A, 1);
    let mut two = query(&name("example.com")).question(&name("example.org"), A, 1);
    let none = bare(RD).bytes();
    let label = |length: usize| [&[length as u8][..], &vec![b'a'; length]].concat();
    let name_of = |lengths: &[usize]| [lengths.iter().flat_map(|l| label(*l)).collect::<Vec<u8>>(), vec![0]].concat();
    let cut = query(&name("example.com")).bytes();
    let mut rows: Vec<(String, Vec<u8>)> = vec![
        ("no question".into(), none),
        ("two questions".into(), two.bytes()),
        ("a pointer to itself".into(), query(&[0xc0, 12]).bytes()),
        ("a pointer into the header".into(), query(&[0xc0, 0]).bytes()),
        ("a pointer after a label".into(), query(&[3, b'w', b'w', b'w', 0xc0, 12]).bytes()),
        ("a pointer ahead".into(), query(&[0xc0, 40]).bytes()),
        ("label type 01".into(), query(&[0x41, b'a', 0]).bytes()),
        ("label type 10".into(), query(&[0x80, b'a', 0]).bytes()),
        ("256 octets".into(), query(&name_of(&[63, 63, 63, 62])).bytes()),
        ("128 labels".into(), query(&name_of(&[1; 128])).bytes()),
        ("a label of 64".into(), query(&name_of(&[64])).bytes()),
        ("a label past the end".into(), bare(RD).raw(&[63, b'a']).bytes()),
    ];
    rows.last_mut().unwrap().1[5] = 1;
    for end in 12..cut.len() {
        rows.push((format!("cut at {end}"), cut[..end].to_vec()));
    }
    two.counts[0] = 65535;
    rows.push(("65535 questions".into(), two.bytes()));
    for (row, packet) in rows {
        assert_eq!(reply(&packet), Some(bare(QR | RD | RA | FORMERR).bytes()), "{row}");
    }
}

#[test]
fn a_message_that_is_wrong_after_its_question_is_a_format_error_that_repeats_it() {
    let query = || Message::query("exAmple.com", A);
    let plain = query().flags(QR | RD | RA | FORMERR).bytes();
    let with_opt = query().flags(QR | RD | RA | FORMERR).opt(1232, 0, &[]).bytes();
    let claims = |section: usize, count: u16| {
        let mut message = query();
        message.counts[section] = count;
        message
    };
    let rows: Vec<(&str, Message)> = vec![
        ("an answer", query().rr(1, A, 60, &[1, 2, 3, 4])),
        ("an authority", query().rr(2, NS, 60, &[0xc0, 12])),
        ("an answer that is not there", claims(1, 1)),
        ("an authority that is not there", claims(2, 9)),
        ("an additional that is not there", claims(3, 1)),
        ("65535 additionals", claims(3, 65535)),
        ("an OPT that is not at the root", query().record(3, &name("a"), OPT, 1232, 0, &[])),
        ("an OPT at a pointer", query().record(3, &[0xc0, 12], OPT, 1232, 0, &[])),
        ("an additional whose name loops", query().record(3, &[0xc0, 29], A, 1, 0, &[])),
        ("an additional whose name points into the header", query().record(3, &[0xc0, 4], A, 1, 0, &[])),
        ("an additional with a reserved label", query().record(3, &[0x40, 0], A, 1, 0, &[])),
        ("an additional of 256 octets", query().record(3, &[[63; 64]; 4].concat(), A, 1, 0, &[])),
    ];
    for (row, message) in rows {
        assert_eq!(reply(&message.bytes()), Some(plain.clone()), "{row}");
    }
    let opt = query().opt(1232, 0, &option(10, &[1; 8])).bytes();
    for end in query().bytes().len()..opt.len() {
        // Once its fixed part is there it is an OPT, and gets one.
        let expected = if end < query().bytes().len() + 11 { plain.clone() } else { with_opt.clone() };
        assert_eq!(reply(&opt[..end]), Some(expected), "an OPT cut at {end}");
    }
    let asked_for_opt = Message::query("exAmple.com", OPT);
    assert_eq!(reply(&asked_for_opt.bytes()), Some(asked_for_opt.flags(QR | RD | RA | FORMERR).bytes()));
}

#[test]
fn every_answer_to_a_request_with_an_opt_carries_one_whatever_is_wrong_with_it() {
    let query = |qtype| Message::query("example.com", qtype);
    let opt = |message: Message| message.opt(4096, 0x8000, &option(10, &[1; 8]));
    let none = |flags| bare(QR | RA | flags).opt(1232, 0x8000, &[]).bytes();
    let asked = |qtype, rcode| query(qtype).flags(QR | RD | RA | rcode).opt(1232, 0x8000, &[]).bytes();
    let mut rows = vec![
        ("QTYPE OPT".to_owned(), opt(query(OPT)), asked(OPT, FORMERR)),
        ("no question".to_owned(), opt(bare(RD)), none(RD | FORMERR)),
        ("two questions".to_owned(), opt(query(A).question(&name("b"), A, 1)), none(RD | FORMERR)),
        ("a second one by a pointer".to_owned(), opt(query(A).question(&[0xc0, 12], A, 1)), none(RD | FORMERR)),
        ("an answer".to_owned(), opt(query(A).rr(1, A, 60, &[1, 2, 3, 4])), asked(A, FORMERR)),
        ("an authority".to_owned(), opt(query(A).rr(2, NS, 60, &[0xc0, 12])), asked(A, FORMERR)),
        ("IXFR with its SOA".to_owned(), opt(query(251).rr(2, SOA, 0, &soa(0))), asked(251, REFUSED)),
        ("AXFR".to_owned(), opt(query(252)), asked(252, REFUSED)),
        ("two OPTs".to_owned(), opt(opt(query(A))), asked(A, FORMERR)),
        ("an option past the OPT".to_owned(), query(A).opt(9, 0x8000, &[0, 10, 0, 9, 1]), asked(A, FORMERR)),
        ("an option without its length".to_owned(), query(A).opt(9, 0x8000, &[0, 10, 0]), asked(A, FORMERR)),
        (
            "a record after it that is none".to_owned(),
            opt(query(A)).record(3, &[0x40], A, 1, 0, &[]),
            asked(A, FORMERR),
        ),
    ];
    for opcode in 1..16u16 {
        let message = |message: Message| opt(message.flags(opcode << 11 | RD));
        rows.push((format!("opcode {opcode}"), message(query(SOA)), none(opcode << 11 | RD | NOTIMP)));
        let update = query(SOA).rr(1, A, 0, &[]).rr(2, A, 60, &[1, 2, 3, 4]);
        rows.push((format!("opcode {opcode}, all sections"), message(update), none(opcode << 11 | RD | NOTIMP)));
        rows.push((format!("opcode {opcode}, no section"), message(bare(0)), none(opcode << 11 | RD | NOTIMP)));
    }
    for (row, message, expected) in rows {
        assert_eq!(reply(&message.bytes()), Some(expected), "{row}");
    }
}

#[test]
fn another_version_of_edns_is_said_to_be_one_whatever_the_opcode_and_the_sections() {
    let version1 = |message: Message| message.opt(4096, 1 << 16, &option(10, &[1; 8]));
    let badvers = |flags| bare(QR | RA | flags).opt(1232, 1 << 24, &[]).bytes();
    for opcode in 1..16u16 {
        let message = version1(Message::query("example.com", SOA).flags(opcode << 11 | RD));
        assert_eq!(reply(&message.bytes()), Some(badvers(opcode << 11 | RD)), "opcode {opcode}");
    }
    assert_eq!(reply(&version1(bare(RD)).bytes()), Some(badvers(RD)), "no question");
}

#[test]
fn a_long_query_is_read_whole_and_one_that_was_cut_is_a_format_error_without_tc() {
    let query = || Message::query("example.com", A);
    let padded = query().opt(1232, 0x8000, &option(12, &[0; 4030])).bytes();
    assert!(padded.len() > 4000);
    assert_eq!(parsed(&padded), parsed(&query().opt(1232, 0x8000, &[]).bytes()));
    let expected = query().flags(QR | RD | RA | FORMERR).opt(1232, 0x8000, &[]).bytes();
    assert_eq!(reply(&padded[..4000]), Some(expected));
}

#[test]
fn an_edns_version_above_zero_is_answered_with_ours() {
    for version in [1u32, 2, 255] {
        // Options of another version need not look like ours; the DO bit comes back.
        let packet = Message::query("example.com", A).opt(512, version << 16 | 0x8000, &[9, 9, 9]).bytes();
        let expected = Message::query("example.com", A).flags(QR | RD | RA).opt(1232, 1 << 24 | 0x8000, &[]).bytes();
        assert_eq!(reply(&packet), Some(expected), "version {version}");
    }
}

#[test]
fn transfers_signatures_and_other_classes_are_refused() {
    let refused = |query: Message| query.flags(QR | RD | RA | REFUSED).bytes();
    for qtype in [249, 250, 251, 252] {
        let query = Message::query("example.com", qtype);
        assert_eq!(reply(&query.bytes()), Some(refused(query)), "type {qtype}");
    }
    // An IXFR carries the SOA it starts from (RFC 1995).
    let ixfr = Message::query("example.com", 251);
    assert_eq!(reply(&ixfr.clone().rr(2, SOA, 0, &soa(0)).bytes()), Some(refused(ixfr)));
    for class in [0, 2, 3, 4, 254, 255, 0x8001] {
        let query = bare(RD).question(&name("example.com"), A, class);
        assert_eq!(reply(&query.bytes()), Some(refused(query)), "class {class}");
    }
    let query = || Message::query("example.com", A);
    let tsig = query().record(3, &name("key"), TSIG, 255, 0, &[0; 16]);
    assert_eq!(reply(&tsig.bytes()), Some(refused(query())));
    let sig0 = query().record(3, &[0], SIG, 255, 0, &[0; 18]);
    assert_eq!(reply(&sig0.bytes()), Some(refused(query())));
    let both = query().opt(1232, 0, &[]).record(3, &name("key"), TSIG, 255, 0, &[0; 16]);
    let expected = query().flags(QR | RD | RA | REFUSED).opt(1232, 0, &[]).bytes();
    assert_eq!(reply(&both.bytes()), Some(expected));
}

#[test]
fn other_additional_records_and_bytes_after_the_end_are_passed_over() {
    let query = || Message::query("example.com", A);
    let plain = parsed(&query().bytes());
    assert_eq!(parsed(&query().raw(&[0xff; 40]).bytes()), plain);
    assert_eq!(parsed(&query().rr(3, A, 60, &[1, 2, 3, 4]).bytes()), plain);
    assert_eq!(parsed(&query().rr(3, SIG, 60, &[0, 1, 0, 0]).bytes()), plain, "a SIG that covers a type");
    assert_eq!(parsed(&query().rr(3, SIG, 60, &[]).raw(&[0, 0]).bytes()), plain, "an empty SIG");
    let opt = parsed(&query().opt(1232, 0, &[]).bytes());
    assert_eq!(parsed(&query().rr(3, A, 60, &[1, 2, 3, 4]).opt(1232, 0, &[]).raw(&[1]).bytes()), opt);
    assert_eq!(parsed(&query().opt(1232, 0, &option(8, &[0, 1, 24, 0, 192, 0, 2])).bytes()), opt, "a client subnet");
    assert_eq!(parsed(&query().opt(1232, 0, &option(65535, &[])).bytes()), opt, "an unknown option");
}

#[test]
fn a_query_is_what_it_says() {
    let packet = Message::query("wWw.ExAmPle.COM", 65280).id(0xfffe).flags(RD | CD | AD).opt(700, 0x8000, &[]).bytes();
    let query = parsed(&packet);
    assert_eq!((query.id, query.qtype), (0xfffe, 65280));
    assert_eq!((query.rd(), query.cd(), query.wants_ad(), query.dnssec_ok()), (true, true, true, true));
    assert_eq!(query.qname.wire(), name("www.example.com"));
    assert_eq!(query.qname.labels(), 3);
    assert_eq!(format!("{:?}", query.qname), "www.example.com.");
    assert_eq!(usize::from(query.question_end), 12 + 17 + 4);
    assert_eq!(query.edns.map(|edns| edns.size), Some(700));
    let plain = parsed(&Message::query("", A).flags(0).bytes());
    assert_eq!((plain.rd(), plain.cd(), plain.wants_ad(), plain.dnssec_ok()), (false, false, false, false));
    assert_eq!((plain.qname.wire(), plain.qname.labels()), (&[0][..], 0));
    assert_eq!(format!("{:?}", plain.qname), ".");
}

#[test]
fn names_reach_their_limits_and_hold_any_octet() {
    let longest = [&[63][..], &[b'A'; 63], &[63], &[b'b'; 63], &[63], &[b'C'; 63], &[61], &[b'd'; 61], &[0]].concat();
    assert_eq!(longest.len(), 255);
    let query = parsed(&bare(RD).question(&longest, A, 1).bytes());
    assert_eq!(query.qname.wire(), longest.to_ascii_lowercase());
    assert_eq!((query.qname.len(), query.qname.labels()), (255, 4));

    let deepest: Vec<u8> = [[1, b'Z'].repeat(127), vec![0]].concat();
    let query = parsed(&bare(RD).question(&deepest, A, 1).bytes());
    assert_eq!(query.qname.wire(), deepest.to_ascii_lowercase());
    assert_eq!((query.qname.len(), query.qname.labels()), (255, 127));
    assert_eq!((query.qname.ancestor(0), query.qname.ancestor(126), query.qname.ancestor(127)), (0, 252, 254));
    assert_eq!(query.qname.ancestor(255), 254);

    // Every octet but those of 'A' to 'Z' is left alone, dots, zeros and what looks like a pointer among them.
    for octet in 0..=255u8 {
        let wire = [2, octet, b'.', 3, 0xc0, 12, octet, 0];
        let query = parsed(&bare(RD).question(&wire, A, 1).bytes());
        let low = if octet.is_ascii_uppercase() { octet + 32 } else { octet };
        assert_eq!(query.qname.wire(), [2, low, b'.', 3, 0xc0, 12, low, 0]);
    }
}

#[test]
fn the_answer_s_limit_follows_the_client_within_512_and_1232() {
    assert_eq!(parsed(&Message::query("a", A).bytes()).udp_limit(), 512);
    for (size, limit) in [(0, 512), (511, 512), (512, 512), (900, 900), (1232, 1232), (1233, 1232), (65535, 1232)] {
        let query = parsed(&Message::query("a", A).opt(size, 0, &[]).bytes());
        assert_eq!(query.udp_limit(), limit, "a client that takes {size}");
    }
}

#[test]
fn every_rcode_that_needs_an_opt_says_servfail_without() {
    let packet = Message::query("example.com", A).bytes();
    let mut out = [0; 512];
    let length = answer::error(&packet, parsed(&packet).echo(), 16, Some((22, "unsaid")), &mut out);
    assert_eq!(out[..length], Message::query("example.com", A).flags(QR | RD | RA | 2).bytes());
}

#[test]
fn a_client_says_by_either_option_that_it_reads_structured_errors() {
    for (options, structured) in [
        (&[][..], false),
        (&[0, 26, 0, 0], true),
        (&[0, 26, 0, 2, 1, 2], true),
        (&[0, 15, 0, 2, 0, 0], true),
        (&[0, 15, 0, 2, 0, 16], false),
        (&[0, 15, 0, 0], false),
        (&[0, 15, 0, 3, 0, 0, 0], false),
        (&[0, 10, 0, 2, 0, 0, 0, 26, 0, 0], true),
    ] {
        let query = parsed(&Message::query("a", A).opt(1232, 0, options).bytes());
        assert_eq!(query.edns.map(|edns| edns.structured), Some(structured), "{options:?}");
    }
    assert_eq!(parsed(&Message::query("a", A).bytes()).edns, None);
}
