//! What is left of a batch after a panic in it: nothing.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::streams::Kind;

use super::stages::Step;
use super::*;

/// A query of that type (ANY is answered here, without an upstream) for `example.com`.
fn query(id: u8, qtype: u8) -> Vec<u8> {
    let header = [0, id, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    [&header[..], b"\x07example\x03com\0\0", &[qtype, 0, 1]].concat()
}

fn sockets() -> (UdpSocket, UdpSocket) {
    let listening = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    let client = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    client.connect(listening.local_addr().expect("bound")).expect("loopback");
    client.set_nonblocking(true).expect("a socket");
    (listening, client)
}

#[test]
fn after_a_panic_in_a_batch_the_next_one_is_answered_right_and_nothing_of_the_first() {
    let allowed = Clients::new(&[Prefix::parse("127.0.0.0/8").expect("a prefix")], &[]);
    let (listening, client) = sockets();
    let mut plane = Plane::new(Settings::new(allowed)).expect("a plane");
    plane.listen(listening.as_fd()).expect("a socket");

    // a batch, as far as the cache: one query is answered and waits to be sent, the other is open
    client.send(&query(1, 255)).expect("sent");
    client.send(&query(2, 1)).expect("sent");
    let broken = catch_unwind(AssertUnwindSafe(|| {
        let fd = plane.relaying.replies.doors[0].listener.raw();
        let count = plane.queries.receive(fd, false).expect("both have come");
        let mut line = plane.line(0, listening.local_addr().expect("bound"), count);
        chain::pass!(line, source, own, proxy, client, parse, rate);
        line.look_up();
        line.prefetch_cache();
        chain::pass!(line, any, cache);
        panic!("a bug, for the test");
    }));
    assert!(broken.is_err());
    assert_eq!(
        (plane.batch.open.len(), plane.batch.keys.len(), plane.relaying.replies.doors[0].sender.len()),
        (1, 2, 1)
    );

    plane.recover();
    assert_eq!(
        (plane.batch.open.len(), plane.batch.keys.len(), plane.relaying.replies.doors[0].sender.len()),
        (0, 0, 0)
    );
    let panics = counters_of(&plane, "panics");
    assert_eq!(panics, 1);

    client.send(&query(3, 255)).expect("sent");
    plane.pump();
    let mut answer = [0; 512];
    let length = client.recv(&mut answer).expect("an answer on loopback is there when it was sent");
    assert_eq!((answer[1], answer[2] & 0x80, answer[3] & 15), (3, 0x80, 0), "{:?}", &answer[..length]);
    assert!(client.recv(&mut answer).is_err(), "one query, one answer");
}

#[test]
fn after_a_panic_a_connection_whose_message_is_lost_ends() {
    let allowed = Clients::new(&[Prefix::parse("127.0.0.0/8").expect("a prefix")], &[]);
    let listening = TcpListener::bind("127.0.0.1:0").expect("loopback");
    listening.set_nonblocking(true).expect("a socket");
    let mut plane = Plane::new(Settings::new(allowed)).expect("a plane");
    plane.listen_stream(listening.as_fd(), Kind::Tcp).expect("a socket");
    let mut client = TcpStream::connect(listening.local_addr().expect("bound")).expect("loopback");
    client.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
    while plane.streams() == 0 {
        plane.pump();
    }
    let message = query(1, 1);
    client.write_all(&[&[0, message.len() as u8][..], &message].concat()).expect("loopback");
    let mut ready = Vec::new();
    while plane.messages.numbers().count() == 0 {
        plane.poll.ready(&mut ready).expect("a descriptor");
        for at in &ready {
            plane.attend(at);
        }
    }
    assert!(plane.streams_busy());

    plane.recover();
    assert_eq!(plane.messages.numbers().count(), 0);
    plane.carry_on();
    assert_eq!(client.read(&mut [0; 512]).expect("it ends"), 0);
    assert!(!plane.streams_busy());
}

fn counters_of(plane: &Plane, name: &str) -> u64 {
    let at = crate::counters::names().iter().position(|known| *known == name).expect("a counter");
    plane.counters().values()[at]
}

#[test]
fn a_number_that_is_no_descriptor_is_an_error() {
    for number in [-1, i32::MAX] {
        let error = sys::with_borrowed(number, |_| Ok(())).expect_err("nothing is open");
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    }
}
