//! The rules of the relay, with the time and the randomness of the test's choosing.

use std::net::SocketAddr;

use super::forwarder::{Action, Forwarder, Heard};
use super::hash::Key;
use super::random::Random;
use super::slot::{Peer, ReplyTo, Waiter};
use super::*;
use crate::answer::upstream_query;
use crate::counters::Counters;
use crate::narrow::to_u16;
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
    let query = Query { id, flags: 0x0100, qname, qtype: 1, question_end: to_u16(packet.len()), edns: None };
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
            match (slot + (round % 3) as u32) % 3 {
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

fn forwarder(upstreams: u8) -> Forwarder {
    let mut forwarder = Forwarder::new(Relay::new(LIMITS, Key(1, 2)));
    let addresses: Vec<_> = (1..=upstreams).map(|n| SocketAddr::from(([192, 0, 2, n], 53))).collect();
    let mut uid = 0;
    forwarder.set_upstreams(&addresses, |address| {
        uid += 1;
        health::Upstream::new(uid, address)
    });
    forwarder
}

/// What is to be done when upstream 1 answers a question with that rcode, `edns`: in a message with an OPT.
fn answered(forwarder: &mut Forwarder, slot: u32, asked: &[u8], rcode: u8, edns: bool) -> Action {
    let mut message = reply(asked);
    message[3] |= rcode;
    if !edns {
        message.truncate(usize::from(forwarder.relay.slot(slot).query.question_end));
        message[11] = 0;
    }
    let Reception::Answer { upstream, rtt, checked, .. } = forwarder.relay.receive(SOCKET, &message, 10) else {
        panic!("not an answer")
    };
    let heard = Heard { upstream, rtt, over_tcp: false };
    forwarder.answered(&mut Counters::new(), slot, heard, &message, &checked, 10)
}

#[test]
fn where_one_fails_the_next_is_asked_and_what_it_said_is_given_when_none_says_better() {
    for rcode in [2, 4, 5] {
        let mut alone = forwarder(1);
        let (slot, out) = ask(&mut alone.relay, "a.test", 0);
        assert_eq!(answered(&mut alone, slot, &out, rcode, true), Action::Give);

        let mut two = forwarder(2);
        let (slot, out) = ask(&mut two.relay, "a.test", 0);
        assert_eq!(answered(&mut two, slot, &out, rcode, true), Action::AskNext);
        assert_eq!(two.next(slot), Some(1));
        two.relay.asked(slot, 2, SOCKET, 77, 10);
        let overdue = two.overdue(&mut Counters::new(), Due::Retry(slot), 2 * health::SECOND);
        assert_eq!(overdue, (slot, None, Action::GiveKept));
        assert_eq!(two.upstreams[1].timeouts, 1);
    }
}

#[test]
fn one_without_edns_is_asked_once_more_without_an_opt() {
    let mut forwarder = forwarder(2);
    let (slot, out) = ask(&mut forwarder.relay, "a.test", 0);
    assert_eq!(answered(&mut forwarder, slot, &out, 1, false), Action::AskPlainly(0));
    assert!(forwarder.relay.slot(slot).plain);
    forwarder.relay.asked(slot, 1, SOCKET, u16::from_be_bytes([out[0], out[1]]), 10);
    assert_eq!(answered(&mut forwarder, slot, &out, 0, false), Action::Give);
}

#[test]
fn silence_leads_to_the_next_upstream_then_to_stale_answers_then_to_none() {
    let mut forwarder = forwarder(2);
    let (slot, _) = ask(&mut forwarder.relay, "a.test", 0);
    let mut overdue = |event| forwarder.overdue(&mut Counters::new(), event, health::SECOND).2;
    assert_eq!(overdue(Due::Retry(slot)), Action::AskNext);
    assert_eq!(overdue(Due::Stale(slot)), Action::GiveStale);
    assert_eq!(overdue(Due::GiveUp(slot)), Action::GiveUp);
}

#[test]
fn over_tcp_a_failure_leads_to_the_next_upstream_and_to_an_error_only_where_tcp_is_closed() {
    let mut two = forwarder(2);
    let (slot, _) = ask(&mut two.relay, "a.test", 0);
    two.relay.leave_datagrams(slot);
    assert_eq!(two.tcp_failed(slot, 1, 1), Action::AskNext);
    for uid in 1..=2 {
        two.relay.asked_over_tcp(slot, uid, 2);
    }
    assert_eq!(two.tcp_failed(slot, 2, 3), Action::Wait, "it is asked again when its time is over");
    for upstream in &mut two.upstreams {
        upstream.answered(1000, health::SECOND);
        (0..3).for_each(|now| upstream.failed_over_tcp(now));
    }
    assert_eq!(two.tcp_failed(slot, 2, 3), Action::Wait, "the other may yet answer");
    let generation = two.relay.slot(slot).generation;
    for number in 1..=2 {
        two.relay.close_tcp(slot, generation, number);
    }
    assert_eq!(two.tcp_failed(slot, 2, 4), Action::GiveUp);
}
