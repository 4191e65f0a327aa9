//! Blocked answers and the answer to ANY, octet by octet.
#![allow(clippy::unwrap_used)]

mod message;

use dnscore::answer::{self, StopPage};
use dnscore::list::{Action, Aliases};
use dnscore::verdict::Stop;
use message::{A, AAAA, AD, CD, HTTPS, Message, QR, RA, RD, SOA, TC, TXT, ede, name, parsed};

const NOW: u32 = 1_800_000_000;
const REFERENCE: &[u8] = b"7ZK3M9Q2XW4T8RBC";
const TEXT: &str = "7ZK3M9Q2XW4T8RBC https://stop.isp.example";

fn page() -> StopPage {
    StopPage {
        ipv4: Some([192, 0, 2, 66]),
        ipv6: Some([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x66]),
        portal: b"https://stop.isp.example".to_vec(),
    }
}

fn stop(action: Action) -> Stop {
    Stop { row: 0, rule: 0, distance: 0, list: 0, action, aliases: Aliases::Trim, ede: 16, expires: NOW + 86400 }
}

fn blocked(query: &Message, stop: &Stop, page: &StopPage) -> Vec<u8> {
    let packet = query.bytes();
    let parsed = parsed(&packet);
    let mut out = [0xee; 1232];
    let length = answer::blocked(&packet, &parsed, stop, REFERENCE, None, page, NOW, parsed.udp_limit(), &mut out);
    out[..length].to_vec()
}

/// The data of the SOA of an empty zone at this offset.
fn empty_zone(at: u8, ttl: u32) -> Vec<u8> {
    let mut data = vec![0xc0, at];
    data.extend_from_slice(&name("nobody.invalid"));
    for number in [1, 3600, 1200, 604_800, ttl] {
        data.extend_from_slice(&u32::to_be_bytes(number));
    }
    data
}

#[test]
fn an_address_question_is_led_to_the_stop_page_of_its_family() {
    for (qtype, data) in [(A, page().ipv4.unwrap().to_vec()), (AAAA, page().ipv6.unwrap().to_vec())] {
        let query = Message::query("Blocked.Example", qtype);
        let expected = query.clone().flags(QR | RD | RA).rr(1, qtype, 60, &data).bytes();
        assert_eq!(blocked(&query, &stop(Action::StopPage), &page()), expected);
    }
}

#[test]
fn everything_else_is_no_data_with_the_soa_of_the_entry_s_name() {
    let none = StopPage { ipv4: None, ipv6: None, ..page() };
    let rows = [
        (Action::StopPage, A, &none, 0),
        (Action::StopPage, AAAA, &none, 0),
        (Action::StopPage, HTTPS, &page(), 0),
        (Action::StopPage, 64, &page(), 0),
        (Action::StopPage, TXT, &page(), 0),
        (Action::StopPage, SOA, &page(), 0),
        (Action::StopPage, 255, &page(), 0),
        (Action::StopPage, 65280, &page(), 0),
        (Action::Nodata, A, &page(), 0),
        (Action::Nxdomain, A, &page(), 3),
        (Action::Nxdomain, HTTPS, &page(), 3),
    ];
    for (action, qtype, page, rcode) in rows {
        let query = Message::query("Blocked.Example", qtype);
        let expected = query.clone().flags(QR | RD | RA | rcode).rr(2, SOA, 60, &empty_zone(12, 60)).bytes();
        assert_eq!(blocked(&query, &stop(action), page), expected, "{action:?} for type {qtype}");
    }
    // Two labels below the entry: the zone is the entry's.
    let query = Message::query("a.bc.blocked.example", TXT);
    let expected = query.clone().flags(QR | RD | RA);
    let expected = expected.record(2, &[0xc0, 17], SOA, 1, 60, &empty_zone(17, 60)).bytes();
    assert_eq!(blocked(&query, &Stop { distance: 2, ..stop(Action::StopPage) }, &page()), expected);
}

#[test]
fn refused_is_bare() {
    let query = Message::query("blocked.example", A);
    assert_eq!(blocked(&query, &stop(Action::Refused), &page()), query.flags(QR | RD | RA | 5).bytes());
}

#[test]
fn no_answer_outlives_its_entry() {
    for (left, ttl) in [(1, 1), (59, 59), (60, 60), (61, 60), (u32::MAX - NOW, 60)] {
        let stop = Stop { expires: NOW + left, ..stop(Action::StopPage) };
        let query = Message::query("blocked.example", A);
        let expected = query.clone().flags(QR | RD | RA).rr(1, A, ttl, &[192, 0, 2, 66]).bytes();
        assert_eq!(blocked(&query, &stop, &page()), expected, "{left} s left");
        let query = Message::query("blocked.example", TXT);
        let expected = query.clone().flags(QR | RD | RA).rr(2, SOA, ttl, &empty_zone(12, ttl)).bytes();
        assert_eq!(blocked(&query, &stop, &page()), expected, "{left} s left");
    }
}

#[test]
fn rd_and_cd_come_back_and_ad_never_does() {
    for (asked, answered) in [(0, 0), (RD, RD), (CD, CD), (RD | CD, RD | CD), (RD | AD, RD), (AD | CD, CD), (TC, 0)] {
        let query = Message::query("blocked.example", A).flags(asked).opt(1232, 0x8000, &[]);
        let answer = blocked(&query, &stop(Action::StopPage), &page());
        assert_eq!(u16::from_be_bytes([answer[2], answer[3]]), QR | RA | answered, "asked with {asked:#06x}");
    }
}

#[test]
fn with_edns_the_extended_error_names_reference_and_portal_and_do_comes_back() {
    for code in [15, 16, 17] {
        for flags in [0, 0x8000] {
            let query = Message::query("blocked.example", A);
            let expected = query.clone().flags(QR | RD | RA).rr(1, A, 60, &[192, 0, 2, 66]);
            let expected = expected.opt(1232, flags, &ede(code, TEXT)).bytes();
            let stop = Stop { ede: code, ..stop(Action::StopPage) };
            assert_eq!(blocked(&query.opt(4096, flags, &[]), &stop, &page()), expected);
        }
    }
    // No code set: an OPT without one.
    let query = Message::query("blocked.example", A);
    let expected = query.clone().flags(QR | RD | RA).rr(1, A, 60, &[192, 0, 2, 66]).opt(1232, 0, &[]).bytes();
    let silent = Stop { ede: 0, ..stop(Action::StopPage) };
    assert_eq!(blocked(&query.opt(4096, 0, &[]), &silent, &page()), expected);
}

#[test]
fn the_text_is_left_out_first_and_the_answer_never() {
    // 12 + 17 + 4 question, 16 answer, 11 OPT, 6 code: 66 octets without the text, 41 with it more.
    let query = Message::query("blocked.example", A).opt(1232, 0, &[]);
    let packet = query.bytes();
    let parsed = parsed(&packet);
    let plain = Message::query("blocked.example", A).flags(QR | RD | RA).rr(1, A, 60, &[192, 0, 2, 66]);
    let rows = [(107, ede(16, TEXT)), (106, ede(16, "")), (66, ede(16, "")), (65, vec![]), (60, vec![])];
    for (limit, option) in rows {
        let mut out = [0; 512];
        let stop = stop(Action::StopPage);
        let length = answer::blocked(&packet, &parsed, &stop, REFERENCE, None, &page(), NOW, limit, &mut out);
        assert_eq!(out[..length], plain.clone().opt(1232, 0, &option).bytes(), "limit {limit}");
    }
}

#[test]
fn the_longest_name_s_answer_fits_512_octets() {
    let longest = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
    for (qtype, portal) in [(A, 24), (TXT, 24), (AAAA, 400), (HTTPS, 2000)] {
        let page = StopPage { portal: vec![b'p'; portal], ..page() };
        let query = Message::query(&longest, qtype).opt(512, 0, &[]);
        let answer = blocked(&query, &Stop { distance: 3, ..stop(Action::StopPage) }, &page);
        assert!(answer.len() <= 512);
        assert_eq!(u16::from_be_bytes([answer[2], answer[3]]), QR | RD | RA);
        assert_eq!(answer[11], 1, "its OPT");
    }
}

#[test]
fn any_that_is_not_blocked_meets_one_hinfo() {
    let query = Message::query("eXample.com", 255);
    let packet = query.bytes();
    let mut out = [0; 512];
    let length = answer::hinfo(&packet, &parsed(&packet), &mut out);
    let expected = query.flags(QR | RD | RA).rr(1, 13, 3600, b"\x07RFC8482\x00").bytes();
    assert_eq!(out[..length], expected);
}

#[test]
fn a_client_over_its_rate_is_told_to_come_by_tcp() {
    let query = Message::query("eXample.com", A);
    let packet = query.clone().opt(1400, 0x8000, &[]).bytes();
    let mut out = [0; 512];
    let length = answer::truncated(&packet, &parsed(&packet), &mut out);
    assert_eq!(out[..length], query.flags(QR | RD | RA | TC).opt(1232, 0x8000, &[]).bytes());
}

#[test]
fn an_error_says_why_to_a_client_with_edns_and_stays_within_its_limit() {
    let query = Message::query("eXample.com", A);
    let packet = query.clone().opt(512, 0, &[]).bytes();
    let mut out = [0; 1232];
    let echo = parsed(&packet).echo();
    let length = answer::error(&packet, echo, 2, Some((22, "no upstream answered")), &mut out);
    let expected = query.clone().flags(QR | RD | RA | 2).opt(1232, 0, &ede(22, "no upstream answered"));
    assert_eq!(out[..length], expected.bytes());
    let length = answer::error(&packet, echo, 2, Some((22, &"x".repeat(500))), &mut out);
    assert_eq!(out[..length], query.flags(QR | RD | RA | 2).opt(1232, 0, &ede(22, "")).bytes());
}
