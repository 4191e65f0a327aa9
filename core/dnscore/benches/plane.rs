//! `cargo bench -p dnscore --bench plane [-- FILE]`: what a query costs in the plane, beside the bare loop that only
//! receives a batch and sends it back (or on, and back). FILE holds the names to block, one a line; without it made-up ones.
//!
//! Client, plane and upstream take turns on one thread, and only the plane's turns are timed: so no other processor's
//! waking is in the figures, and the least of many short rounds is what is reported, whatever else the machine does.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use dnscore::clients::{Clients, Prefix};
use dnscore::list::{Action, Aliases, CompiledList, Matching, Rule};
use dnscore::plane::{Plane, Settings};
use dnscore::sys::{self, BATCH, Endpoint, Local, Receiver, Sender};

const ROUNDS: usize = 1500;
const BATCHES: usize = 10;

fn main() {
    let file = std::env::args().nth(1).filter(|name| !name.starts_with('-'));
    let names: Vec<String> = match file {
        Some(path) => std::fs::read_to_string(path).expect("a readable file").lines().map(str::to_owned).collect(),
        None => (0..170_000u64)
            .map(|n| format!("n{:x}.example{}.com", n.wrapping_mul(0x9e37_79b9) & 0xffff_ffff, n % 977))
            .collect(),
    };
    println!("{} names; {ROUNDS} rounds of {} queries; ns a query", names.len(), BATCHES * BATCH);
    let mut bench = Bench::new();
    let echo = bench.rounds("bare loop", |bench, batch| bench.echo(batch), &|n| question("www.example.com", n as u16));
    let relay =
        bench.rounds("bare relay", |bench, batch| bench.relay(batch), &|n| question("www.example.com", n as u16));
    let mut rng = 1u64;
    let shuffled: Vec<&str> = (0..1 << 20).map(|_| names[next(&mut rng) as usize % names.len()].as_str()).collect();
    let list = compiled(&names);
    bench.plane.set_list(Some(std::sync::Arc::new(list)), &[], &[]);
    let popular: Vec<String> = (0..2000).map(|n| format!("popular{n}.test")).collect();
    let compare = |name: &str, ns: (f64, f64), limit: (f64, f64)| {
        println!("{name:10} of limit: {:.2} (least), {:.2} (median)", limit.0 / ns.0, limit.1 / ns.1);
    };
    let ns = bench.rounds("blocked", |b, batch| b.pumped(batch), &|n| question(shuffled[n % shuffled.len()], n as u16));
    compare("blocked", ns, echo);
    bench.rounds("(filling)", |b, batch| b.relayed(batch), &|n| question(&popular[n % popular.len()], n as u16));
    let ns = bench.rounds("cached", |b, batch| b.pumped(batch), &|n| question(&popular[n % popular.len()], n as u16));
    compare("cached", ns, echo);
    // The same for names that are aliases of others, of which none is listed.
    let aliases: Vec<String> = (0..2000).map(|n| format!("alias{n}.test")).collect();
    bench.rounds("(filling)", |b, batch| b.relayed(batch), &|n| question(&aliases[n % aliases.len()], n as u16));
    let ns =
        bench.rounds("cached alias", |b, batch| b.pumped(batch), &|n| question(&aliases[n % aliases.len()], n as u16));
    compare("cached alias", ns, echo);
    let ns =
        bench.rounds("miss alias", |b, batch| b.relayed(batch), &|n| question(&format!("alias-{n}.test"), n as u16));
    compare("miss alias", ns, relay);
    let ns =
        bench.rounds("miss", |b, batch| b.relayed(batch), &|n| question(&format!("h{n}.asked.once.test"), n as u16));
    compare("miss", ns, relay);
}

fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 29)
}

fn compiled(names: &[String]) -> CompiledList {
    let rule = Rule {
        list: 0,
        matching: Matching::Subtree,
        action: Action::StopPage,
        aliases: Aliases::Trim,
        ede: 16,
        expires: u32::MAX,
    };
    let rules: Vec<(&str, Rule)> = names.iter().map(|name| (name.as_str(), rule)).collect();
    CompiledList::from_rules(&rules).expect("names")
}

/// A query for an A record with an OPT.
fn question(name: &str, id: u16) -> Vec<u8> {
    let mut packet = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    packet[..2].copy_from_slice(&id.to_be_bytes());
    for label in name.split('.') {
        packet.push(label.len() as u8);
        packet.extend_from_slice(label.as_bytes());
    }
    packet.extend_from_slice(&[0, 0, 1, 0, 1, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    packet
}

struct Bench {
    plane: Plane,
    listening: UdpSocket,
    client: UdpSocket,
    upstream: UdpSocket,
    link: UdpSocket,
    sender: Sender,
    receiver: Receiver,
    theirs: Sender,
    heard: Receiver,
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    socket.set_nonblocking(true).expect("a socket");
    socket
}

impl Bench {
    fn new() -> Bench {
        let all = Clients::new(&[Prefix::parse("127.0.0.0/8").expect("a prefix")], &[]);
        let mut settings = Settings::new(all);
        settings.cache_bytes = 256 << 20;
        settings.page.ipv4 = Some([192, 0, 2, 66]);
        settings.page.portal = b"https://stop.example/".to_vec();
        let (listening, client, upstream) = (socket(), socket(), socket());
        client.connect(listening.local_addr().expect("bound")).expect("loopback");
        let mut plane = Plane::new(settings).expect("a plane");
        plane.listen(listening.as_fd()).expect("a socket");
        let address = upstream.local_addr().expect("bound");
        plane.set_upstreams(&[address]);
        let link = sys::connect(address).expect("loopback");
        let (sender, receiver) = (Sender::new(false), Receiver::new(1344));
        Bench {
            plane,
            listening,
            client,
            upstream,
            link,
            sender,
            receiver,
            theirs: Sender::new(false),
            heard: Receiver::new(1344),
        }
    }

    /// The least and the median of the rounds.
    fn rounds(
        &mut self,
        name: &str,
        turn: impl Fn(&mut Bench, &[Vec<u8>]) -> Duration,
        question: &dyn Fn(usize) -> Vec<u8>,
    ) -> (f64, f64) {
        let mut asked = 0;
        let mut figures: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let mut spent = Duration::ZERO;
                for _ in 0..BATCHES {
                    let batch: Vec<Vec<u8>> = (asked..asked + BATCH).map(question).collect();
                    asked += BATCH;
                    spent += turn(self, &batch);
                }
                self.plane.tick();
                spent.as_nanos() as f64 / (BATCHES * BATCH) as f64
            })
            .collect();
        figures.sort_by(f64::total_cmp);
        let (least, median) = (figures[0], figures[ROUNDS / 2]);
        println!("{name:10} {least:7.0} least {median:7.0} median");
        (least, median)
    }

    fn ask(&mut self, batch: &[Vec<u8>]) {
        for message in batch {
            self.theirs.room()[..message.len()].copy_from_slice(message);
            self.theirs.push(message.len(), None, Local::Bound);
        }
        assert_eq!(self.theirs.send(self.client.as_raw_fd(), true).sent as usize, batch.len());
    }

    fn collect(&mut self, expected: usize) {
        assert_eq!(self.heard.receive(self.client.as_raw_fd(), false).expect("answers"), expected);
        assert!((0..expected).all(|i| self.heard.datagram(i)[2] & 0x80 != 0));
    }

    fn pumped(&mut self, batch: &[Vec<u8>]) -> Duration {
        self.ask(batch);
        let start = Instant::now();
        self.plane.pump();
        let spent = start.elapsed();
        self.collect(batch.len());
        spent
    }

    fn relayed(&mut self, batch: &[Vec<u8>]) -> Duration {
        self.ask(batch);
        let start = Instant::now();
        self.plane.pump();
        let spent = start.elapsed();
        self.answer_upstream();
        let start = Instant::now();
        self.plane.pump();
        let spent = spent + start.elapsed();
        self.collect(batch.len());
        spent
    }

    /// Plays the upstream: every question is answered with one address; `alias….test` is an alias of `cdn.….test`.
    fn answer_upstream(&mut self) {
        let Ok(count) = self.heard.receive(self.upstream.as_raw_fd(), false) else { return };
        for i in 0..count {
            let message = self.heard.datagram(i);
            let end = message.len() - 11;
            let out = self.theirs.room();
            out[..end].copy_from_slice(&message[..end]);
            if message[13..].starts_with(b"alias") {
                // Data of 6 octets: a label of three, and a pointer to the question's name.
                out[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0]);
                out[end..end + 18].copy_from_slice(b"\xc0\x0c\0\x05\0\x01\0\0\x0e\x10\0\x06\x03cdn\xc0\x0c");
                let owner = (0xc000 | (end + 12) as u16).to_be_bytes();
                out[end + 18..end + 20].copy_from_slice(&owner);
                out[end + 20..end + 34].copy_from_slice(&[0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 198, 51, 100, 7]);
                let to = *self.heard.source(i);
                self.theirs.push(end + 34, Some(&to), Local::Bound);
                continue;
            }
            out[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
            out[end..end + 16].copy_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 198, 51, 100, 7]);
            let to = *self.heard.source(i);
            self.theirs.push(end + 16, Some(&to), Local::Bound);
        }
        self.theirs.send(self.upstream.as_raw_fd(), false);
    }

    fn echo(&mut self, batch: &[Vec<u8>]) -> Duration {
        self.ask(batch);
        let start = Instant::now();
        let count = self.receiver.receive(self.listening.as_raw_fd(), false).expect("queries");
        self.send_back(count, self.listening.as_raw_fd(), true);
        let spent = start.elapsed();
        self.collect(batch.len());
        spent
    }

    fn send_back(&mut self, count: usize, fd: i32, answer: bool) {
        let client = Endpoint::from(self.client.local_addr().unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0))));
        for i in 0..count {
            let message = self.receiver.datagram(i);
            let out = self.sender.room();
            out[..message.len()].copy_from_slice(message);
            if answer {
                out[2] |= 0x80;
            }
            self.sender.push(message.len(), answer.then_some(&client), Local::Bound);
        }
        self.sender.send(fd, !answer);
    }

    fn relay(&mut self, batch: &[Vec<u8>]) -> Duration {
        self.ask(batch);
        let start = Instant::now();
        let count = self.receiver.receive(self.listening.as_raw_fd(), false).expect("queries");
        self.send_back(count, self.link.as_raw_fd(), false);
        let spent = start.elapsed();
        self.answer_upstream();
        let start = Instant::now();
        let count = self.receiver.receive(self.link.as_raw_fd(), false).expect("answers");
        self.send_back(count, self.listening.as_raw_fd(), true);
        let spent = spent + start.elapsed();
        self.collect(batch.len());
        spent
    }
}
