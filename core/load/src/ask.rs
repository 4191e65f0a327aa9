//! The client: keeps a window of queries open (or a rate), matches answers by id, measures.

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use dnscore::sys::{Local, Poll, Receiver, Sender, connect, monotonic};

use crate::message::{Outcome, Queries, judge};

/// A query that was not answered for so long (microseconds) is lost.
const LOST: u64 = 1_000_000;
/// Latencies are kept to the microsecond up to here.
const LONGEST: usize = 1_000_000;

/// How to ask.
pub struct Plan {
    /// Whom.
    pub server: SocketAddr,
    /// For how long.
    pub seconds: f64,
    /// Queries in flight, over all sockets.
    pub window: usize,
    /// From how many ports.
    pub sockets: usize,
    /// At most so many a second; None: as fast as the window allows.
    pub rate: Option<f64>,
    /// With an OPT record.
    pub edns: bool,
    /// The address that every answer must hold.
    pub expect: Option<[u8; 4]>,
    /// With which query to begin.
    pub skip: usize,
}

impl Plan {
    /// Three seconds, 256 in flight from eight ports.
    pub fn usual(server: SocketAddr) -> Plan {
        Plan { server, seconds: 3.0, window: 256, sockets: 8, rate: None, edns: false, expect: None, skip: 0 }
    }
}

/// What came of it; shown as JSON.
pub struct Report {
    /// Questions.
    pub sent: u64,
    /// Answers.
    pub answered: u64,
    /// Questions that nobody answered.
    pub lost: u64,
    wrong: u64,
    servfail: u64,
    /// How long it took.
    pub seconds: f64,
    latencies: Vec<u32>,
}

impl Report {
    /// Of nothing yet.
    pub fn new() -> Report {
        Report { sent: 0, answered: 0, lost: 0, wrong: 0, servfail: 0, seconds: 0.0, latencies: vec![0; LONGEST + 1] }
    }

    /// An answer to that query, whose question ends there, after so many microseconds.
    pub fn take(&mut self, answer: &[u8], query: &[u8], question: usize, expect: Option<[u8; 4]>, latency: u64) {
        self.latencies[(latency as usize).min(LONGEST)] += 1;
        self.answered += 1;
        match judge(answer, query, question, expect) {
            Outcome::Good => {}
            Outcome::Servfail => self.servfail += 1,
            Outcome::Wrong => self.wrong += 1,
        }
    }

    /// The latency in microseconds that `share` of the answers did not exceed.
    fn percentile(&self, share: f64) -> usize {
        let wanted = (self.answered as f64 * share) as u64;
        let mut seen = 0;
        self.latencies
            .iter()
            .position(|&n| {
                seen += u64::from(n);
                seen > wanted
            })
            .unwrap_or(0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{{\"sent\": {}, \"answered\": {}, \"lost\": {}, \"wrong\": {}, \"servfail\": {}, \"seconds\": {:.3}, \
             \"qps\": {:.0}, \"p50_us\": {}, \"p99_us\": {}, \"p999_us\": {}}}",
            self.sent,
            self.answered,
            self.lost,
            self.wrong,
            self.servfail,
            self.seconds,
            self.answered as f64 / self.seconds.max(1e-9),
            self.percentile(0.5),
            self.percentile(0.99),
            self.percentile(0.999),
        )
    }
}

/// One port: ids are given out in order, so the oldest is always known.
struct Port {
    socket: UdpSocket,
    /// When each id was sent (0: it is free), and which query it carries.
    slots: Vec<(u64, u32)>,
    next: u16,
    oldest: u16,
    open: usize,
}

impl Port {
    fn new(server: SocketAddr) -> io::Result<Port> {
        Ok(Port { socket: connect(server)?, slots: vec![(0, 0); 1 << 16], next: 0, oldest: 0, open: 0 })
    }

    /// Gives up what is older than `LOST`; how many that was.
    fn expire(&mut self, now: u64) -> u64 {
        let mut lost = 0;
        while self.oldest != self.next {
            let slot = &mut self.slots[usize::from(self.oldest)];
            if slot.0 != 0 {
                if slot.0 + LOST > now {
                    break;
                }
                slot.0 = 0;
                self.open -= 1;
                lost += 1;
            }
            self.oldest = self.oldest.wrapping_add(1);
        }
        lost
    }

    fn has_room(&self) -> bool {
        self.slots[usize::from(self.next)].0 == 0 && self.next.wrapping_add(1) != self.oldest
    }
}

/// Asks by the plan.
pub fn ask(plan: &Plan, queries: &Queries) -> io::Result<Report> {
    let mut ports = (0..plan.sockets).map(|_| Port::new(plan.server)).collect::<io::Result<Vec<Port>>>()?;
    let mut poll = Poll::new()?;
    for (token, port) in ports.iter().enumerate() {
        poll.add(port.socket.as_raw_fd(), token as u64)?;
    }
    let (mut receiver, mut sender, mut ready) = (Receiver::new(4096), Sender::new(false), Vec::new());
    let mut report = Report::new();
    let each = plan.window.div_ceil(plan.sockets);
    let mut upcoming = plan.skip % queries.len();
    let start = monotonic();
    let end = start + (plan.seconds * 1e6) as u64;
    loop {
        let now = monotonic();
        let asking = now < end;
        let mut busy = false;
        // By turns: at a rate the first port would take all that is due, and one of the server's workers with it.
        ports.rotate_left(1);
        for port in &mut ports {
            busy |= take(port, &mut receiver, queries, plan, &mut report)?;
            report.lost += port.expire(now);
            let due = plan.rate.map_or(u64::MAX, |rate| ((now - start) as f64 / 1e6 * rate) as u64);
            while asking && port.open < each && report.sent < due && port.has_room() {
                fill(port, &mut sender, queries, &mut upcoming, each, due - report.sent, now);
                let full = sender.len() as u64;
                if full == 0 {
                    break;
                }
                let sent = sender.send(port.socket.as_raw_fd(), true);
                report.sent += full;
                busy = true;
                if sent.dropped + sent.failed > 0 {
                    break; // counted as lost when their time is up
                }
            }
        }
        if !asking && (ports.iter().all(|port| port.open == 0) || now > end + LOST) {
            report.lost += ports.iter().map(|port| port.open as u64).sum::<u64>();
            report.seconds = plan.seconds;
            return Ok(report);
        }
        if !busy {
            poll.wait(&mut ready, 1)?;
        }
    }
}

fn fill(
    port: &mut Port,
    sender: &mut Sender,
    queries: &Queries,
    upcoming: &mut usize,
    each: usize,
    allowed: u64,
    now: u64,
) {
    while port.open < each && !sender.is_full() && (sender.len() as u64) < allowed && port.has_room() {
        let (query, _) = queries.get(*upcoming);
        let room = sender.room();
        room[..query.len()].copy_from_slice(query);
        room[..2].copy_from_slice(&port.next.to_be_bytes());
        sender.push(query.len(), None, Local::Bound);
        port.slots[usize::from(port.next)] = (now, *upcoming as u32);
        port.next = port.next.wrapping_add(1);
        port.open += 1;
        *upcoming = (*upcoming + 1) % queries.len();
    }
}

/// Takes every answer that waits; whether there was one.
fn take(
    port: &mut Port,
    receiver: &mut Receiver,
    queries: &Queries,
    plan: &Plan,
    report: &mut Report,
) -> io::Result<bool> {
    let mut any = false;
    loop {
        let count = match receiver.receive(port.socket.as_raw_fd(), false) {
            Ok(count) => count,
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => return Ok(any),
            Err(why) if why.kind() == io::ErrorKind::ConnectionRefused => return Ok(any),
            Err(why) => return Err(why),
        };
        any = true;
        let now = monotonic();
        for i in 0..count {
            let answer = receiver.datagram(i);
            let Some(&[high, low]) = answer.get(..2).and_then(|id| id.first_chunk::<2>()) else { continue };
            let slot = &mut port.slots[usize::from(u16::from_be_bytes([high, low]))];
            if slot.0 == 0 {
                continue; // late, or a stranger's
            }
            let latency = now - std::mem::take(&mut slot.0);
            port.open -= 1;
            let (query, question) = queries.get(slot.1 as usize);
            report.take(answer, query, question, plan.expect, latency);
        }
    }
}
