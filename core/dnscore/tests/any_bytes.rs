//! Whatever comes in: the fuzzers' corpora, and messages made, bent and cut at random.
#![allow(clippy::unwrap_used)]

mod invariants;
mod message;

use std::fs;
use std::path::Path;

use dnscore::list::{CompiledList, Hits};
use dnscore::wire::Name;
use message::{A, Message, OPT, QR, RA, RD, SOA, TXT, ede, option, soa};
use proptest::prelude::*;
use proptest::sample::{Index, select};

fn corpus(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut files = 0;
    for file in fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        run(&fs::read(&path).unwrap());
        files += 1;
    }
    assert!(files > 0, "{} is empty", folder.display());
}

#[test]
fn the_packet_fuzzer_s_corpus_breaks_nothing() {
    corpus("packet", invariants::packet);
}

#[test]
fn the_answer_fuzzer_s_corpus_breaks_nothing() {
    corpus("answer", invariants::answer);
}

#[test]
fn the_https_fuzzer_s_corpus_breaks_nothing() {
    corpus("https", invariants::https);
}

#[test]
fn the_stream_options_fuzzer_s_corpus_breaks_nothing() {
    corpus("stream_options", invariants::stream_options);
}

#[test]
fn the_tcp_fuzzer_s_corpus_breaks_nothing() {
    corpus("tcp", invariants::tcp);
}

#[test]
fn the_tls_fuzzer_s_corpus_breaks_nothing() {
    corpus("tls", invariants::tls);
}

#[test]
fn the_quic_fuzzers_corpora_break_nothing() {
    corpus("quic", invariants::quic);
    corpus("quic_stream", invariants::quic_stream);
}

#[test]
fn a_stateless_reset_is_short_whatever_it_answers() {
    // the id of a connection that is gone, under the secret that stands there
    const ID: [u8; 8] = [0x99, 0x21, 0x75, 0x05, 0x21, 0xEA, 0xD8, 0xD4];
    let datagram = [&1472_u16.to_be_bytes()[..], &[0x48], &ID, &[0; 1463]].concat();
    assert!(invariants::sent_over_quic(&datagram.repeat(60)) > 60 * 21, "each is answered");
}

#[test]
fn the_list_fuzzer_s_corpus_breaks_nothing() {
    corpus("list", |file| {
        CompiledList::from_bytes(file).expect("of this version: write the corpus again");
        invariants::list(file);
    });
}

#[test]
fn the_list_fuzzer_s_corpus_has_sealed_lists_that_its_key_opens() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/list");
    let names = invariants::SEALED.map(|name| Name::from_text(name).unwrap());
    let mut hits = Hits::new();
    for (file, lists, found) in [("sealed", &[0][..], 3), ("sealed-beside", &[1, 2], 9)] {
        let list = CompiledList::open(&folder.join(file)).unwrap();
        list.look_up(&names.each_ref(), &mut hits);
        assert!(hits.all().is_empty(), "nothing is found without the key");
        lists.iter().for_each(|&number| list.unseal(number, &invariants::KEY).unwrap());
        list.look_up(&names.each_ref(), &mut hits);
        assert_eq!(hits.all().len(), found, "{file}");
    }
}

fn label() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[a-zA-Z0-9-]{1,12}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 1..=63),
    ]
}

/// A name in wire form, as a rule a legal one.
fn wire_name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::collection::vec(label(), 0..6).prop_map(|labels| {
            let mut wire: Vec<u8> =
                labels.iter().flat_map(|label| [&[label.len() as u8][..], label].concat()).collect();
            wire.push(0);
            wire
        }),
        1 => (1..=127usize).prop_map(|n| [[1, b'X'].repeat(n), vec![0]].concat()),
        1 => prop::collection::vec(any::<u8>(), 1..20),
    ]
}

fn qtype() -> impl Strategy<Value = u16> {
    prop_oneof![select(vec![A, TXT, SOA, 28, 65, 255, OPT, 250, 251, 252]), any::<u16>()]
}

fn class() -> impl Strategy<Value = u16> {
    prop_oneof![9 => Just(1), 1 => any::<u16>()]
}

/// A message with some records, now and then many, and perhaps an OPT behind them or among the additional ones.
fn dns_message(flags: u16) -> impl Strategy<Value = Message> {
    let owner =
        prop_oneof![Just(vec![0xc0, 12]), wire_name(), (0..300u16).prop_map(|at| (0xc000 | at).to_be_bytes().to_vec())];
    let data =
        prop_oneof![Just(vec![192, 0, 2, 1]), (0..90u32).prop_map(soa), prop::collection::vec(any::<u8>(), 0..40)];
    let ttl = prop_oneof![0..100u32, any::<u32>()];
    let record = (1..=3usize, owner, qtype(), ttl, data);
    let records = prop_oneof![
        9 => prop::collection::vec(record, 0..5),
        1 => prop::collection::vec((1..=3usize, Just(vec![0xc0, 12]), select(vec![A, 2, 28, 46]), 1..9u32, Just(vec![0; 16])), 9..60),
    ];
    let options = vec![
        vec![],
        ede(22, "why"),
        option(10, &[7; 8]),
        vec![0, 15, 0],
        [option(15, &[0]), option(15, &[0, 3, 0xff]), ede(3, "")].concat(),
    ];
    let opt = (any::<u16>(), any::<u32>(), select(options));
    let opt = prop_oneof![(any::<u16>(), select(vec![0u32, 0x8000]), Just(vec![])).boxed(), opt.boxed(),];
    let opt = prop::option::of((opt, any::<Index>()));
    let bits = prop_oneof![9 => any::<u16>().prop_map(|bits| bits & 0x87bf), 1 => any::<u16>()];
    (any::<u16>(), bits, wire_name(), qtype(), class(), records, opt, 0..10u8).prop_map(
        move |(id, bits, qname, qtype, class, mut records, opt, odd)| {
            let mut message = Message { id, flags: flags | bits & !QR, counts: [0; 4], body: vec![] };
            message = message.question(&qname, qtype, class);
            records.sort_by_key(|record| record.0);
            if flags & QR == 0 && odd > 0 {
                records.retain(|record| record.0 == 3);
            }
            // As a rule it is the last.
            let first = records.iter().filter(|record| record.0 < 3).count();
            let place = opt
                .as_ref()
                .map(|(_, at)| if odd < 8 { records.len() } else { first + at.index(records.len() + 1 - first) });
            for number in 0..=records.len() {
                if let Some(((size, ttl, options), _)) = opt.as_ref().filter(|_| place == Some(number)) {
                    message = message.opt(*size, *ttl, options);
                }
                if let Some((section, owner, rtype, ttl, data)) = records.get(number) {
                    message = message.record(*section, owner, *rtype, 1, *ttl, data);
                }
            }
            message
        },
    )
}

/// The same message, with some octets changed and the end cut.
fn bent(message: impl Strategy<Value = Message>) -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<Index>(), any::<u8>()), 0..4);
    (message, changes, prop::option::weighted(0.3, any::<Index>())).prop_map(|(message, changes, cut)| {
        let mut bytes = message.bytes();
        for (at, octet) in changes {
            let at = at.index(bytes.len());
            bytes[at] = octet;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_messages_on_a_stream_over_tcp(
        head in any::<[u8; 2]>(),
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..6),
        rest in prop::collection::vec(any::<u8>(), 0..5),
    ) {
        let framed = messages.iter().flat_map(|one| [&(one.len() as u16).to_be_bytes(), &one[..]].concat());
        invariants::tcp(&head.into_iter().chain(framed).chain(rest).collect::<Vec<u8>>());
    }

    #[test]
    fn any_octets_on_a_stream_of_quic(cut in any::<u8>(), length in 0..40u16, data in prop::collection::vec(any::<u8>(), 0..40)) {
        invariants::quic_stream(&[&[cut][..], &length.to_be_bytes(), &data].concat());
    }

    #[test]
    fn any_octets_as_a_query(data in prop::collection::vec(any::<u8>(), 0..600)) {
        invariants::packet(&data);
    }

    #[test]
    fn a_query_whole_or_bent(data in bent(dns_message(RD))) {
        invariants::packet(&data);
    }

    #[test]
    fn any_octets_as_an_answer(data in prop::collection::vec(any::<u8>(), 0..600)) {
        invariants::answer(&data);
    }

    #[test]
    fn an_answer_whole_or_bent(asked in any::<u8>(), data in bent(dns_message(QR | RD | RA))) {
        invariants::answer(&[&[asked][..], &data].concat());
    }
}
