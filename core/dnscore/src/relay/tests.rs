//! The rules of the relay, with the time and the randomness of the test's choosing.

use std::net::SocketAddr;

use super::hash::Key;
use super::random::Random;
use super::slot::{Peer, ReplyTo, Waiter};
use super::*;
use crate::answer::upstream_query;
use crate::sys::{Endpoint, Local};
use crate::wire::{HEADER, Name};

const LIMITS: Limits =
    Limits { patience: 4_000_000, upstream_timeout: 1_000_000, in_flight: 100, per_client: 50, per_zone: 20 };
const SOCKET: u32 = 7;

fn question(name: &str, id: u16) -> (Vec<u8>, Query) {
    let qname = Name::from_text(name).expect("a test's literal");
    let mut packet = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    packet[..2].copy_from_slice(&id.to_be_bytes());
    packet.extend_from_slice(qname.wire());
    packet.extend_from_slice(&[0, 1, 0, 1]);
    let query = Query { id, flags: 0x0100, qname, qtype: 1, question_end: packet.len() as u16, edns: None };
    (packet, query)
}

fn waiter(packet: &[u8], query: &Query, port: u16) -> Waiter {
    let source = Endpoint::from(SocketAddr::from(([192, 0, 2, 1], port)));
    let peer = Peer { source, local: Local::Bound, listener: 0 };
    let to = ReplyTo::Datagram(peer);
    Waiter::new(packet, query, to, u64::from(port), SocketAddr::from(&source), u64::MAX)
}

fn admit(relay: &mut Relay, name: &str, port: u16, now: u64) -> Admission {
    let (packet, query) = question(name, port);
    relay.admit(&query, waiter(&packet, &query, port), now)
}

/// Admits a question and puts it to upstream 1; returns the slot and the message that went out.
fn ask(relay: &mut Relay, name: &str, now: u64) -> (u32, Vec<u8>) {
    let Admission::Ask(slot) = admit(relay, name, 1000, now) else { panic!("{name} was not to be asked") };
    let mut out = vec![0; 512];
    let id = relay.draw_id(SOCKET, &mut Random::seeded(now));
    let query = relay.slot(slot).query;
    let length = upstream_query(&query, id, Some(0x5555), &mut out);
    relay.slot_mut(slot).keep_question(&out[HEADER..usize::from(query.question_end)]);
    relay.asked(slot, 1, SOCKET, id, now);
    out.truncate(length);
    (slot, out)
}

/// The answer to a message: QR set, nothing in it.
fn reply(message: &[u8]) -> Vec<u8> {
    let mut reply = message.to_vec();
    reply[2] |= 0x80;
    reply
}

fn due(relay: &mut Relay, now: u64) -> Vec<Due> {
    let mut out = Vec::new();
    relay.due(now, &mut out);
    out
}

fn relay() -> Relay {
    Relay::new(LIMITS, Key(11, 13))
}

#[test]
fn an_answer_counts_on_its_own_socket_alone() {
    let mut relay = relay();
    let (slot, message) = ask(&mut relay, "example.com", 0);
    assert!(matches!(relay.receive(SOCKET + 1, &reply(&message), 5), Reception::Stray));
    match relay.receive(SOCKET, &reply(&message), 5) {
        Reception::Answer { slot: answered, upstream: 1, rtt: 5, .. } => assert_eq!(answered, slot),
        _ => panic!("the answer was not taken"),
    }
}

#[test]
fn the_same_answer_counts_once() {
    let mut relay = relay();
    let (_, message) = ask(&mut relay, "example.com", 0);
    assert!(matches!(relay.receive(SOCKET, &reply(&message), 5), Reception::Answer { .. }));
    assert!(matches!(relay.receive(SOCKET, &reply(&message), 6), Reception::Stray));
}

#[test]
fn seven_mismatches_change_nothing_and_the_eighth_sends_the_question_over_tcp() {
    let mut relay = relay();
    let (slot, message) = ask(&mut relay, "example.com", 0);
    let mut forged = reply(&message);
    forged[HEADER + 1] ^= 0x20;
    for n in 1..=12 {
        let expected = (n == 8).then_some(slot);
        match relay.receive(SOCKET, &forged, n) {
            Reception::Mismatch { over_tcp, .. } => assert_eq!(over_tcp, expected, "{n}"),
            Reception::Stray => assert!(n > 8, "{n}"),
            Reception::Answer { .. } => panic!("a forgery was taken"),
        }
    }
    assert!(relay.slot(slot).over_tcp);
    assert!(!relay.was_asked(slot, 1), "not over TCP");
    assert!(matches!(relay.receive(SOCKET, &reply(&message), 20), Reception::Stray));
    assert_eq!(due(&mut relay, LIMITS.upstream_timeout), [Due::Retry(slot)], "as by datagram");
    assert_eq!(due(&mut relay, LIMITS.patience), [Due::GiveUp(slot)]);
}

#[test]
fn over_tcp_a_question_counts_once_and_not_once_it_is_forgotten() {
    let mut relay = relay();
    let (slot, _) = ask(&mut relay, "example.com", 0);
    relay.leave_datagrams(slot);
    let generation = relay.slot(slot).generation;
    let (first, second) = (relay.asked_over_tcp(slot, 1, 5), relay.asked_over_tcp(slot, 2, 6));
    assert!(relay.was_asked(slot, 1));
    assert_eq!(relay.close_tcp(slot, generation, first).map(|ask| ask.upstream), Some(1));
    assert!(relay.close_tcp(slot, generation, first).is_none());
    relay.release(slot);
    assert!(relay.close_tcp(slot, generation, second).is_none());
}

#[test]
fn clients_on_streams_wait_beside_those_for_datagrams_and_stay_when_these_are_answered() {
    let mut relay = relay();
    let (packet, query) = question("example.com", 7);
    let client = SocketAddr::from(([192, 0, 2, 1], 99));
    let on_stream = |stream| Waiter::new(&packet, &query, ReplyTo::Stream(stream), 99, client, u64::MAX);
    assert!(matches!(relay.admit(&query, on_stream(1), 0), Admission::Ask(0)));
    assert_eq!(admit(&mut relay, "example.com", 1, 0), Admission::Joined);
    assert_eq!(relay.admit(&query, on_stream(1), 0), Admission::Joined, "the same id on the same stream");
    assert_eq!(admit(&mut relay, "example.com", 2, 0), Admission::Joined);
    assert!(relay.has_streams(0));
    let datagrams = std::iter::from_fn(|| relay.take_datagram_waiting(0).map(|waiter| waiter.to)).count();
    assert_eq!((datagrams, relay.slot(0).waiting), (2, 2));
    assert_eq!(admit(&mut relay, "example.com", 3, 0), Admission::Joined);
    let streams = std::iter::from_fn(|| relay.take_waiting(0).map(Waiter::is_stream)).filter(|is| *is).count();
    assert_eq!((streams, relay.slot(0).waiting), (2, 0));
    assert!(!relay.has_streams(0));
    for _ in 0..LIMITS.per_client {
        assert!(!relay.clients.is_reached(99), "none was counted twice, none is counted any more");
        relay.clients.add(99);
    }
}

#[test]
fn a_question_is_due_for_the_next_upstream_then_for_a_stale_answer_then_for_giving_up_then_forgotten() {
    let mut relay = relay();
    let (slot, message) = ask(&mut relay, "example.com", 0);
    assert_eq!(due(&mut relay, LIMITS.upstream_timeout - 1), []);
    assert_eq!(due(&mut relay, LIMITS.upstream_timeout), [Due::Retry(slot)]);
    relay.reschedule(slot, 2 * LIMITS.upstream_timeout);
    assert_eq!(due(&mut relay, CLIENT_RESPONSE - 1), []);
    assert_eq!(due(&mut relay, CLIENT_RESPONSE), [Due::Stale(slot)]);
    assert_eq!(due(&mut relay, 2 * LIMITS.upstream_timeout - 1), [], "once");
    assert_eq!(due(&mut relay, LIMITS.patience), [Due::GiveUp(slot)]);
    while relay.take_waiting(slot).is_some() {}
    relay.give_up(slot);
    assert_eq!(due(&mut relay, LIFE - 1), []);
    assert_eq!(relay.in_flight(), 1);
    assert!(matches!(relay.receive(SOCKET, &reply(&message), LIFE - 1), Reception::Answer { .. }));
    assert_eq!(due(&mut relay, LIFE), []);
    assert_eq!(relay.in_flight(), 0);
}

#[test]
fn a_question_given_up_is_asked_anew_by_the_next_client() {
    let mut relay = relay();
    let (slot, _) = ask(&mut relay, "example.com", 0);
    relay.give_up(slot);
    assert!(matches!(admit(&mut relay, "example.com", 2000, 1), Admission::Ask(other) if other != slot));
}

#[test]
fn a_slot_that_another_upstream_may_still_answer_stays_for_its_health() {
    let mut relay = relay();
    let (slot, message) = ask(&mut relay, "example.com", 0);
    relay.asked(slot, 2, SOCKET + 1, 99, 500);
    assert!(matches!(relay.receive(SOCKET, &reply(&message), 600), Reception::Answer { .. }));
    relay.settled(slot);
    assert_eq!(relay.in_flight(), 1);
    assert!(matches!(admit(&mut relay, "example.com", 1001, 601), Admission::Ask(_)));
    let mut late = reply(&message);
    late[..2].copy_from_slice(&99u16.to_be_bytes());
    match relay.receive(SOCKET + 1, &late, 700) {
        Reception::Answer { upstream: 2, rtt: 200, .. } => relay.settled(slot),
        _ => panic!("the other upstream's answer was not taken"),
    }
    assert_eq!(relay.in_flight(), 1);
}

#[test]
fn caps_count_down_again_whatever_way_a_slot_ends() {
    let mut relay = relay();
    for round in 0..50 {
        for n in 0..20 {
            assert!(matches!(admit(&mut relay, &format!("n{n}.victim.example"), 1, round), Admission::Ask(_)));
        }
        assert_eq!(admit(&mut relay, "more.victim.example", 1, round), Admission::Over(Cap::Zone));
        let slots: Vec<u32> = (0..20).collect();
        for slot in slots {
            match (slot + round as u32) % 3 {
                0 => relay.release(slot),
                1 => {
                    relay.give_up(slot);
                    relay.release(slot);
                }
                _ => relay.settled(slot),
            }
        }
        assert_eq!(relay.in_flight(), 0);
    }
    for n in 0..50 {
        assert!(matches!(admit(&mut relay, &format!("host.zone{n}.example"), 1, 99), Admission::Ask(_)));
    }
    assert_eq!(admit(&mut relay, "host.more.example", 1, 99), Admission::Over(Cap::Client));
    assert!(matches!(admit(&mut relay, "host.more.example", 2, 99), Admission::Ask(_)));
}

#[test]
fn a_stale_reference_to_a_slot_is_noticed() {
    let mut relay = relay();
    let (slot, _) = ask(&mut relay, "example.com", 0);
    let generation = relay.slot(slot).generation;
    assert!(relay.living(slot, generation).is_some());
    relay.release(slot);
    assert!(relay.living(slot, generation).is_none());
    let (again, _) = ask(&mut relay, "example.org", 1);
    assert_eq!(again, slot);
    assert!(relay.living(slot, generation).is_none());
}
