//! The datagrams of `tests/vectors`, which the Python tests send over real sockets.
#![allow(clippy::unwrap_used)]

use dnscore::answer;
use dnscore::wire::{Parsed, parse, rtype};

fn octets(hexadecimal: &str) -> Vec<u8> {
    (0..hexadecimal.len()).step_by(2).map(|at| u8::from_str_radix(&hexadecimal[at..at + 2], 16).unwrap()).collect()
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn reply(packet: &[u8]) -> String {
    let mut out = [0; 1232];
    let length = match parse(packet) {
        Parsed::Drop(_) => return "nothing".into(),
        Parsed::Query(query) if query.qtype != rtype::ANY => return "passes".into(),
        Parsed::Query(query) => answer::hinfo(packet, &query, &mut out),
        Parsed::Refuse(refusal) => answer::error(packet, refusal.echo, refusal.rcode, None, &mut out),
    };
    hexadecimal(&out[..length])
}

#[test]
fn each_datagram_gets_the_answer_that_stands_beside_it() {
    let text = include_str!("../../../tests/vectors/datagrams.txt");
    let mut rows = 0;
    for row in text.split("\n= ").skip(1) {
        let mut lines = row.lines();
        let what = lines.next().unwrap();
        let packet = octets(lines.next().unwrap().strip_prefix("> ").unwrap());
        assert_eq!(reply(&packet), lines.next().unwrap().strip_prefix("< ").unwrap(), "{what}");
        rows += 1;
    }
    assert!(rows > 50);
}
