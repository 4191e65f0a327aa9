//! `cargo bench -p dnscore --bench wire`: nanoseconds per packet of each pure step, the best of several rounds.
//!
//! Names come in batches of 64, as the plane takes them, from a set too large for the processor's first caches.

use std::hint::black_box;
use std::time::{Duration, Instant};

use dnscore::answer::{self, StopPage};
use dnscore::cache::{Cache, Key, STALE_FOR};
use dnscore::list::{Action, Aliases};
use dnscore::verdict::Stop;
use dnscore::wire::{Expected, Parsed, Query, check_answer, parse, parse_into};

const BATCH: usize = 64;
const ROUNDS: usize = 9;

fn packet(number: usize, edns: bool) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)];
    for label in ["wWw", &format!("host{number}"), "exaMple", "com"] {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.extend_from_slice(&[0, 0, 1, 0, 1]);
    if edns {
        bytes.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    }
    bytes
}

fn response(query: &[u8], question_end: usize, records: u16) -> Vec<u8> {
    let mut bytes = query[..question_end].to_ascii_lowercase();
    bytes[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, records as u8, 0, 0, 0, 1]);
    for record in 0..records {
        bytes.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 192, 0, 2, record as u8]);
    }
    bytes.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    bytes
}

fn measure(what: &str, packets: usize, mut run: impl FnMut()) {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / packets as f64);
    }
    println!("{what:<52} {best:>8.1} ns");
}

fn parsed(packet: &[u8]) -> Query {
    match parse(packet) {
        Parsed::Query(query) => query,
        other => unreachable!("{other:?}"),
    }
}

fn main() {
    let mut out = [[0u8; 1232]; BATCH];
    decided(&mut out);
    for (records, names, bytes) in
        [(1, 640, 1 << 20), (1, 10_000, 16 << 20), (1, 1_000_000, 256 << 20), (8, 10_000, 16 << 20)]
    {
        relayed(records, names, bytes, &mut out);
    }
}

/// What happens to a query that is not relayed.
fn decided(out: &mut [[u8; 1232]; BATCH]) {
    let stop = Stop {
        row: 0,
        rule: 0,
        distance: 1,
        list: 0,
        action: Action::StopPage,
        aliases: Aliases::Trim,
        ede: 16,
        expires: u32::MAX,
    };
    let page = StopPage { ipv4: Some([192, 0, 2, 66]), ipv6: None, portal: b"https://stop.isp.example".to_vec() };
    for edns in [false, true] {
        let with = if edns { "with EDNS" } else { "without EDNS" };
        let packets: Vec<Vec<u8>> = (0..8192).map(|number| packet(number, edns)).collect();
        let queries: Vec<Query> = packets.iter().map(|packet| parsed(packet)).collect();
        measure(&format!("parse, {with}"), packets.len(), || {
            let mut batch = [Query::BLANK; BATCH];
            for chunk in packets.chunks(BATCH) {
                for (packet, place) in chunk.iter().zip(&mut batch) {
                    black_box(parse_into(packet, place).is_ok());
                }
                black_box(&batch);
            }
        });
        measure(&format!("parse by value, {with}"), packets.len(), || {
            for packet in &packets {
                black_box(parse(packet));
            }
        });
        measure(&format!("blocked answer, {with}"), packets.len(), || {
            for (packets, queries) in packets.chunks(BATCH).zip(queries.chunks(BATCH)) {
                for ((packet, query), out) in packets.iter().zip(queries).zip(&mut *out) {
                    let limit = query.udp_limit();
                    black_box(answer::blocked(packet, query, &stop, b"7ZK3M9Q2XW4T8RBC", None, &page, 1, limit, out));
                }
            }
        });
        measure(&format!("query for the upstream, {with}"), packets.len(), || {
            for queries in queries.chunks(BATCH) {
                for (query, out) in queries.iter().zip(&mut *out) {
                    black_box(answer::upstream_query(query, 7, None, out));
                }
            }
        });
    }
}

/// What happens to an answer of so many records, and to hits among so many names.
fn relayed(records: u16, names: usize, bytes: usize, out: &mut [[u8; 1232]; BATCH]) {
    let order = |i: usize| i * 7919 % names; // a walk without pattern through all names
    let packets: Vec<Vec<u8>> = (0..names).map(|i| packet(order(i), true)).collect();
    let mut cache = Cache::new(bytes, [3, 5], STALE_FOR).expect("memory");
    for i in 0..names {
        let packet = packet(i, true);
        let query = parsed(&packet);
        let answer = response(&packet, usize::from(query.question_end), records);
        let question = answer[12..usize::from(query.question_end)].to_vec();
        let Ok(checked) = check_answer(&answer, &Expected { id: 0x1234, question: &question }) else { continue };
        let Some(key) = cache.key(&query, 0) else { continue };
        cache.put(&key, &query, &answer, &checked, 0);
    }
    let answers: Vec<Vec<u8>> =
        packets[..BATCH].iter().map(|packet| response(packet, packet.len() - 11, records)).collect();
    measure(&format!("answer checked, {records} records"), 100 * BATCH, || {
        for _ in 0..100 {
            for answer in &answers {
                let question = &answer[12..packets[0].len().min(answer.len()) - 11];
                black_box(check_answer(answer, &Expected { id: 0x1234, question }).is_ok());
            }
        }
    });
    let mut hits = 0;
    let mut batch = [Query::BLANK; BATCH];
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        hits = 0;
        let mut spent = Duration::ZERO;
        for packets in packets.chunks_exact(BATCH) {
            // The queries have just been parsed, as in the plane.
            for (packet, place) in packets.iter().zip(&mut batch) {
                black_box(parse_into(packet, place).is_ok());
            }
            let start = Instant::now();
            let mut keys = [Key::default(); BATCH];
            for (key, query) in keys.iter_mut().zip(&batch) {
                *key = cache.key(query, 0).unwrap_or_default();
            }
            cache.touch(&keys);
            for (((packet, query), key), out) in packets.iter().zip(&batch).zip(&keys).zip(&mut *out) {
                hits += usize::from(cache.get(key, query, packet, 9_000, 1232, out).is_some());
            }
            spent += start.elapsed();
        }
        best = best.min(spent.as_secs_f64() * 1e9 / (names / BATCH * BATCH) as f64);
    }
    println!("{:<52} {best:>8.1} ns", format!("cache hit, {records} records, {names} names"));
    println!("{:<52} {:>8}", "  of these found", hits);
}
