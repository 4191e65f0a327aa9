//! Answers in which listed names own records: what stays, octet by octet.
#![allow(clippy::unwrap_used)]

mod message;

use dnscore::answer::{MAX_OWNERS, Reason, owners, trim};
use dnscore::wire::{self, Name, Query};
use message::{A, AA, AD, CNAME, Message, NS, QR, RA, RD, SOA, ede, name, parsed, soa};

const DNAME: u16 = 39;
const RRSIG: u16 = 46;
const NSEC: u16 = 47;
const ADDRESS: [u8; 4] = [198, 51, 100, 7];

fn query(edns: bool) -> Message {
    let plain = Message::query("alias.bet", A);
    if edns { plain.opt(1232, 0x8000, &[]) } else { plain }
}

fn answer() -> Message {
    Message::answer("alias.bet", A)
}

/// A record of that name, spelt out.
fn owned(message: Message, section: usize, owner: &str, rtype: u16, ttl: u32, data: &[u8]) -> Message {
    message.record(section, &name(owner), rtype, 1, ttl, data)
}

/// A signature over that type.
fn signature(covered: u16) -> Vec<u8> {
    [&covered.to_be_bytes()[..], &[13, 2, 0, 0, 1, 44], &[0; 12], &name("bet"), &[7; 8]].concat()
}

/// What is left of an answer where these names are stopped, for one day or `expires_in` seconds.
fn left(asked: &Message, answer: &Message, stopped: &[&str], expires_in: u32) -> Vec<u8> {
    let query: Query = parsed(&asked.bytes());
    let mut out = [0xee; 4096];
    let bytes = answer.bytes();
    out[..bytes.len()].copy_from_slice(&bytes);
    let stopped: Vec<Name> = stopped.iter().map(|name| Name::from_text(name).unwrap()).collect();
    let reason = Reason {
        ede: 16,
        reference: b"7ZK3M9Q2XW4T8RBC",
        portal: b"https://stop.example",
        explained: None,
        expires_in,
    };
    let length = trim(&query, |name| stopped.contains(name), &reason, bytes.len(), 1232, &mut out);
    out[..length].to_vec()
}

fn chain() -> Message {
    let first = answer().rr(1, CNAME, 300, &name("slot.bet"));
    let second = owned(first, 1, "slot.bet", CNAME, 300, &name("cdn.example"));
    let address = owned(second, 1, "CDN.example", A, 30, &ADDRESS);
    owned(address, 2, "cdn.example", NS, 300, &name("ns.example"))
}

#[test]
fn from_the_first_record_of_a_stopped_name_on_everything_is_left_out() {
    let kept = answer().rr(1, CNAME, 60, &name("slot.bet"));
    assert_eq!(left(&query(false), &chain(), &["slot.bet"], 86_400), kept.bytes());
    let why = ede(16, "7ZK3M9Q2XW4T8RBC https://stop.example");
    assert_eq!(left(&query(true), &chain(), &["slot.bet"], 86_400), kept.clone().opt(1232, 0x8000, &why).bytes());
    // One name further on.
    let two = owned(kept, 1, "slot.bet", CNAME, 60, &name("cdn.example"));
    assert_eq!(left(&query(false), &chain(), &["cdn.example"], 86_400), two.bytes());
}

#[test]
fn what_is_left_is_a_success_that_nobody_signed_and_lasts_as_long_as_a_blocked_answer() {
    let gone = answer().flags(QR | AA | RD | RA | AD | 3).rr(1, CNAME, 300, &name("slot.bet"));
    let gone = owned(gone, 1, "slot.bet", CNAME, 300, &name("dead.example"));
    let gone = owned(gone, 2, "dead.example", SOA, 300, &soa(300));
    let kept = answer().rr(1, CNAME, 7, &name("slot.bet"));
    assert_eq!(left(&query(false), &gone, &["slot.bet"], 7), kept.bytes());
}

#[test]
fn in_whichever_order_the_records_come_nothing_of_a_stopped_name_or_behind_it_stays() {
    let alias = |message: Message| message.rr(1, CNAME, 60, &name("slot.bet"));
    let address = |message: Message| owned(message, 1, "slot.bet", A, 60, &ADDRESS);
    let behind = |message: Message| owned(message, 1, "cdn.example", A, 60, &ADDRESS);
    let led = |message: Message| owned(message, 1, "slot.bet", CNAME, 60, &name("cdn.example"));
    let (empty, only_alias) = (answer().bytes(), alias(answer()).bytes());
    for (what, said, expected) in [
        ("the address first", alias(address(answer())), &empty),
        ("the end of the chain first", led(alias(behind(answer()))), &empty),
        ("the alias first", behind(led(alias(answer()))), &only_alias),
        ("an address that nothing leads to", owned(alias(answer()), 1, "other.example", A, 60, &ADDRESS), &only_alias),
    ] {
        assert_eq!(&left(&query(false), &said, &["slot.bet"], 86_400), expected, "{what}");
    }
}

#[test]
fn a_dname_and_signatures_stay_beside_the_alias_and_so_do_proofs_that_it_came_from_a_wildcard() {
    let asked = Message::query("x.old.bet", A).opt(1232, 0x8000, &[]);
    let said = |ttl| {
        let dname = owned(Message::answer("x.old.bet", A), 1, "old.bet", DNAME, ttl, &name("slot.bet"));
        let signed = owned(dname, 1, "old.bet", RRSIG, ttl, &signature(DNAME));
        signed.rr(1, CNAME, ttl, &name("x.slot.bet")).rr(1, RRSIG, ttl, &signature(CNAME))
    };
    let whole = owned(said(300), 1, "x.slot.bet", A, 300, &ADDRESS);
    let whole = owned(whole, 1, "x.slot.bet", RRSIG, 300, &signature(A));
    let whole = owned(whole, 2, "a.old.bet", NSEC, 300, &name("z.old.bet"));
    let whole = owned(whole, 2, "a.old.bet", RRSIG, 300, &signature(NSEC));
    let whole = owned(whole, 2, "old.bet", NS, 300, &name("ns.example"));
    let proven = owned(said(60), 2, "a.old.bet", NSEC, 60, &name("z.old.bet"));
    let proven = owned(proven, 2, "a.old.bet", RRSIG, 60, &signature(NSEC));
    let expected = proven.opt(1232, 0x8000, &ede(16, "7ZK3M9Q2XW4T8RBC https://stop.example"));
    assert_eq!(left(&asked, &whole, &["x.slot.bet"], 86_400), expected.bytes());
}

#[test]
fn owners_are_the_names_beside_the_question_s_each_once_and_in_lower_case() {
    let mut found = vec![Name::ROOT];
    let asked = parsed(&query(false).bytes());
    assert!(owners(&chain().bytes(), &asked, &mut found));
    assert_eq!(found, ["slot.bet", "cdn.example"].map(|text| Name::from_text(text).unwrap()));
    assert!(owners(&answer().rr(1, A, 60, &ADDRESS).bytes(), &asked, &mut found));
    assert_eq!(found, []);
    // The question's name spelt out, and in other letters.
    assert!(owners(&owned(answer(), 1, "ALIAS.bet", A, 60, &ADDRESS).bytes(), &asked, &mut found));
    assert_eq!(found, []);
    let many = (0..=MAX_OWNERS).fold(answer(), |said, n| owned(said, 1, &format!("n{n}.example"), A, 60, &ADDRESS));
    assert!(!owners(&many.bytes(), &asked, &mut found));
    assert_eq!(found.len(), MAX_OWNERS);
}

#[test]
fn a_compressed_name_is_read_and_no_pointer_leads_round() {
    let body: &[&[u8]] = &[&[0; 12], b"\x03bet\x00", b"\x04sLot\xc0\x0c", b"\x01a\xc0\x11", b"\xc0\x1b", b"\xc0\x1d"];
    let message = body.concat();
    let read = |at| wire::message::name(&message, at).map(|name| format!("{name:?}"));
    assert_eq!(read(12), Some("bet.".into()));
    assert_eq!(read(17), Some("slot.bet.".into()));
    assert_eq!(read(24), Some("a.slot.bet.".into()));
    assert_eq!(read(28), None, "into the part before, which runs into this pointer");
    assert_eq!(read(30), None, "to itself");
    assert_eq!(read(99), None);
    let header = [&[0; 12][..], b"\xc0\x02"].concat();
    assert_eq!(wire::message::name(&header, 12), None, "into the header");
    let within = [&[0; 12][..], b"\x04x\x01y\xc0\x0c", &[b'z'; 12], &[0]].concat();
    assert_eq!(wire::message::name(&within, 14), None, "into a part that it is in itself");
    let long: Vec<u8> = [&[0; 12][..], &[&[63][..], &[b'x'; 63]].concat().repeat(4), &[0]].concat();
    assert_eq!(wire::message::name(&long, 12), None, "256 octets");
}
