//! Clients' connections: DNS over TCP (RFC 7766), over TLS (RFC 7858) and over HTTPS (RFC 8484).
//!
//! Enters: listening sockets, what their readiness brings, answers. Leaves: whole messages with the number of their
//! connection, one at a time; answers, each when it is ready and in whatever order (RFC 7766, 6.2.1.1). What is decided
//! about a message is [`crate::plane`]'s; nothing here waits, and nothing runs beside the plane's own thread.
//!
//! What a client can cost is bounded on each side:
//! * connections: `total` a worker and `per_client` an address; at the total the connection that has been idle longest
//!   gives way, and where none is idle the new one is closed;
//! * time: a connection that completes no query for `idle` ends, and a message that comes octet by octet does not prolong
//!   it; one that does not read its answers for `stalled` is cut off;
//! * memory: while answers cannot be written, or `in_flight` queries of a connection wait for answers, it is not read;
//!   what waits to be written never exceeds `unwritten` octets, and an idle connection keeps no buffer;
//! * a connection from a balancer begins with a PROXY header, before which nothing is decided; from then on its client is
//!   the one that the header names. Until then it counts against `total` alone;
//! * a client that closes its half, or sends a message that gets no answer (one of length zero, say), gets the answers to
//!   what it asked before, then the connection is closed. If a client disconnects, its queries still finish.

mod connection;
mod doors;
pub mod frames;
pub mod http;
pub mod options;
pub mod quic;
mod requests;
mod table;
mod tickets;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::rc::Rc;

use crate::clients::Clients;
use crate::sys::{Poll, Ready};
use crate::tap::Transport;
use crate::wire::proxy::Ends;

use connection::{Connection, Layers, Taken};
use doors::{Accepted, Doors};
use quic::Quic;
use table::Table;

pub use connection::LONGEST_HEADER;
pub use doors::Kind;
pub use tickets::{SECRET, Secrets, later_secret};
pub use tls::{Came, Identity};

/// Marks the poll's tokens of connections; the rest is the number without its tag.
const CONNECTION: u64 = 1 << 62;
/// Marks those of listening sockets; the rest is the index.
const DOOR: u64 = 1 << 61;
/// Marks those of QUIC; the rest is its own.
const QUIC: u64 = 1 << 60;
/// The index that means questions over QUIC, of all connections.
const OF_QUIC: u32 = u32::MAX;
/// Connections that are accepted from one socket before the others have their turn.
const ACCEPTED_AT_ONCE: usize = 64;
/// Microseconds between two looks at what is idle or stalled.
const SWEEP: u64 = 500_000;
/// Microseconds after which the answers that a connection waits for cannot come any more: longer than any question lives.
const NEVER: u64 = 60_000_000;
/// Microseconds for a client's first question, handshake and all; and for what it has sent, where the worker drains.
const FIRST_QUESTION: u64 = 1_000_000;
const LAST_QUESTION: u64 = 40_000;
/// Octets that are read at once.
const SCRATCH: usize = 1 << 16;

/// Counts, microseconds and octets; see the module's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections.
    pub total: usize,
    /// Connections of one address.
    pub per_client: usize,
    /// Queries of one connection that wait for answers.
    pub in_flight: usize,
    /// For how long a connection may complete no query.
    pub idle: u64,
    /// For how long it may not read its answers.
    pub stalled: u64,
    /// Octets of one connection that wait to be written.
    pub unwritten: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { total: 4096, per_client: 128, in_flight: 64, idle: 10_000_000, stalled: 5_000_000, unwritten: 1 << 20 }
    }
}

/// A message that came whole.
#[derive(Debug)]
pub struct Message {
    /// Of its connection, and which message of that it is: what [`Streams::answer`] wants to hear again.
    pub number: u64,
    /// The client, and the address that it asked.
    pub ends: Ends,
}

/// How the message of that number came.
#[inline]
pub fn transport(number: u64) -> Transport {
    if number & quic::MARK != 0 { Transport::Quic } else { table::transport(number) }
}

/// All connections of one worker.
pub struct Streams {
    limits: Limits,
    balancers: Clients,
    doors: Doors,
    table: Table,
    /// Where it is configured.
    quic: Option<Box<Quic>>,
    secrets: Secrets,
    identity: Option<Identity>,
    /// Where DNS over HTTPS is asked for.
    https_path: Rc<str>,
    /// Connections that something was done to: to be written, closed, or watched otherwise.
    touched: Vec<u32>,
    /// Connections that no limit holds back any longer.
    resumed: Vec<u32>,
    scratch: Box<[u8]>,
    draining: bool,
    swept: u64,
    refused: u64,
}

impl Streams {
    /// No connections. What comes from `balancers` begins with a PROXY header.
    pub fn new(limits: Limits, balancers: Clients, https_path: &str) -> Streams {
        Streams {
            limits,
            balancers,
            doors: Doors::default(),
            table: Table::default(),
            quic: None,
            secrets: Secrets::random(),
            identity: None,
            https_path: https_path.into(),
            touched: Vec::new(),
            resumed: Vec::new(),
            scratch: vec![0; SCRATCH].into_boxed_slice(),
            draining: false,
            swept: 0,
            refused: 0,
        }
    }

    /// Accepts connections on a bound and listening socket, which its owner keeps open.
    pub fn listen(&mut self, socket: std::os::fd::BorrowedFd<'_>, kind: Kind, poll: &Poll) -> io::Result<()> {
        let index = self.doors.adopt(socket, kind)?;
        poll.add(self.doors.raw(index), DOOR | index as u64)
    }

    /// Serves DNS over QUIC at a bound UDP socket, which its owner keeps open. False: another process does, for now.
    pub fn listen_quic(&mut self, socket: std::os::fd::BorrowedFd<'_>, poll: &Poll, now: u64) -> io::Result<bool> {
        let quic = match &mut self.quic {
            Some(quic) => quic,
            None => self.quic.insert(Box::new(Quic::new(self.limits, poll, QUIC)?)),
        };
        if let Some(identity) = &self.identity {
            quic.set_identity(identity, now).map_err(io::Error::other)?;
        }
        quic.listen(socket, poll, QUIC, now)
    }

    /// What the next identities share with those of other workers; until then, nothing.
    pub fn share(&mut self, secrets: Secrets) {
        self.secrets = secrets;
    }

    /// New connections over TLS are of this chain and key, in PEM; while there is none, they are closed. The error says
    /// what is wrong with them, or for QUIC; then the one before stays.
    pub fn set_identity(&mut self, chain: &[u8], key: &[u8], now: u64) -> Result<(), String> {
        let identity = Identity::new(chain, key, &self.secrets)?;
        if let Some(quic) = &mut self.quic {
            quic.set_identity(&identity, now)?;
        }
        self.identity = Some(identity);
        Ok(())
    }

    /// Whether a token of the poll is of this module.
    #[inline]
    pub fn is_theirs(token: u64) -> bool {
        token & (CONNECTION | DOOR | QUIC) != 0
    }

    /// Connections.
    pub fn connected(&self) -> usize {
        self.table.connected() + self.quic.as_ref().map_or(0, |quic| quic.connected())
    }

    /// Connections that found no place.
    pub fn refused(&self) -> u64 {
        self.refused + self.quic.as_ref().map_or(0, |quic| quic.refused())
    }

    /// A connection waits for answers, or answers wait to be written, or a client may still ask.
    pub fn is_busy(&mut self) -> bool {
        self.quic.as_mut().is_some_and(|quic| quic.is_busy())
            || self.table.iter().any(|connection| {
                connection.in_flight > 0 || connection.has_unwritten() || connection.leaves_at.is_some()
            })
    }

    /// Accepts no more, and closes what waits for nothing, once what clients have asked before they could know is taken.
    pub fn drain(&mut self, poll: &Poll, now: u64) {
        if let Some(quic) = &mut self.quic {
            quic.drain(now);
        }
        for index in 0..self.doors.len() {
            // One that is not watched any more is no error: it was drained before.
            let _ = poll.remove(self.doors.raw(index));
        }
        self.doors.close();
        self.draining = true;
        for index in self.table.indices() {
            if let Some(connection) = self.table.get_mut(index) {
                let known = if connection.is_fresh { connection.active + FIRST_QUESTION } else { 0 };
                connection.leaves_at = Some(known.max(now + LAST_QUESTION));
            }
        }
    }

    /// Ends the connections whose time to ask is over, where the worker drains. False: it does not.
    pub fn leave(&mut self, now: u64) -> bool {
        if !self.draining {
            return false;
        }
        for index in self.table.indices() {
            if let Some(connection) = self.table.get_mut(index)
                && connection
                    .leaves_at
                    .is_some_and(|at| at <= now || (!connection.is_fresh && at > now + LAST_QUESTION))
            {
                connection.finish();
                touch(&mut self.touched, connection, index);
            }
        }
        true
    }

    /// What a token's readiness brings, as far as it comes from `clients`. The index of a connection whose messages are to
    /// be taken; and true where the token may have more.
    pub fn attend(&mut self, at: &Ready, clients: &Clients, poll: &Poll, now: u64) -> (Option<u32>, bool) {
        if at.token & (CONNECTION | DOOR) == 0 {
            let Some(quic) = &mut self.quic else { return (None, false) };
            let more = quic.attend(at.token & !QUIC, clients, now);
            return (quic.flush(now).then_some(OF_QUIC), more);
        }
        if at.token & CONNECTION == 0 {
            return (None, self.accept((at.token & !DOOR) as usize, poll, now));
        }
        let Some(index) = self.table.find((at.token & !CONNECTION) << table::TAG_BITS) else { return (None, false) };
        let Some(connection) = self.table.get_mut(index) else { return (None, false) };
        touch(&mut self.touched, connection, index);
        if at.gone && !connection.is_reading() {
            connection.abort();
            return (None, false);
        }
        if !(at.readable || at.gone || at.error) || connection.is_held(&self.limits) {
            return (None, false); // it can be written, or what it asks has to wait
        }
        match connection.read(&mut self.scratch) {
            Taken::Octets(count) => {
                let octets = &self.scratch[..count];
                let known = connection.is_introduced();
                connection.receive(octets);
                if !known && connection.is_introduced() && !self.introduce(index) {
                    return (None, false);
                }
                (Some(index), count == SCRATCH)
            }
            Taken::Nothing => (None, false),
        }
    }

    /// A header has said whose connection it is: its client's limit holds from now on. False: it found no place.
    fn introduce(&mut self, index: u32) -> bool {
        let Some(connection) = self.table.get_mut(index) else { return false };
        let client = connection.ends.source.ip();
        if self.table.of_client(client) >= self.limits.per_client {
            self.refused += 1;
            if let Some(connection) = self.table.get_mut(index) {
                connection.abort();
            }
            return false;
        }
        self.table.count_client(index);
        true
    }

    /// The next whole message of a connection, appended to `out`; `None`: none is there, or a limit says wait.
    pub fn next(&mut self, index: u32, out: &mut Vec<u8>, now: u64) -> Option<Message> {
        if index == OF_QUIC {
            return self.quic.as_mut()?.next(out);
        }
        let connection = self.table.get_mut(index)?;
        let tag = connection.next(out, &self.limits)?;
        connection.in_flight += 1;
        connection.is_fresh = false;
        let message = Message { number: connection.number | u64::from(tag), ends: connection.ends };
        self.table.active(index, now);
        Some(message)
    }

    /// No answer is due to that message: over HTTP it is refused, else the connection ends as soon as the ones before it
    /// are answered.
    pub fn close(&mut self, number: u64, now: u64) {
        if number & quic::MARK != 0 {
            return self.quic.iter_mut().for_each(|quic| quic.answer(number, None, now));
        }
        let Some(index) = self.table.find(number) else { return };
        if let Some(connection) = self.table.get_mut(index) {
            connection.in_flight = connection.in_flight.saturating_sub(1);
            connection.refuse(number as u16);
            touch(&mut self.touched, connection, index);
        }
    }

    /// The answer to that message, if its connection is still there.
    pub fn answer(&mut self, number: u64, message: &[u8], now: u64) {
        if number & quic::MARK != 0 {
            return self.quic.iter_mut().for_each(|quic| quic.answer(number, Some(message), now));
        }
        let Some(index) = self.table.find(number) else { return };
        self.table.active(index, now);
        let Some(connection) = self.table.get_mut(index) else { return };
        let was_held = connection.is_held(&self.limits);
        connection.in_flight = connection.in_flight.saturating_sub(1);
        connection.answer(number as u16, message, now, &self.limits, self.draining);
        touch(&mut self.touched, connection, index);
        if was_held && !connection.is_held(&self.limits) {
            self.resumed.push(index);
        }
    }

    /// Its further messages are to be taken later.
    pub fn resume(&mut self, index: u32) {
        self.resumed.push(index);
    }

    /// A connection whose further messages are to be taken.
    pub fn resumed(&mut self) -> Option<u32> {
        self.resumed.pop()
    }

    /// Writes what waits, closes what has ended, watches what is to be watched.
    pub fn flush(&mut self, poll: &Poll, now: u64) {
        if self.quic.as_mut().is_some_and(|quic| quic.flush(now)) {
            self.resumed.push(OF_QUIC);
        }
        while let Some(index) = self.touched.pop() {
            let Some(connection) = self.table.get_mut(index) else { continue };
            connection.is_touched = false;
            let was_held = connection.is_held(&self.limits);
            connection.write(now);
            if connection.is_over() {
                connection.discard(&mut self.scratch);
                self.table.remove(index);
                continue;
            }
            if was_held && !connection.is_held(&self.limits) {
                self.resumed.push(index);
            }
            let wanted = connection.wants(&self.limits);
            let token = CONNECTION | connection.number >> table::TAG_BITS;
            if wanted != connection.watched && poll.watch(connection.raw(), token, wanted.0, wanted.1).is_ok() {
                connection.watched = wanted;
            }
        }
    }

    /// Ends what has been idle or stalled for too long.
    pub fn sweep(&mut self, now: u64) {
        if now < self.swept + SWEEP {
            return;
        }
        self.swept = now;
        self.quic.iter_mut().for_each(|quic| quic.sweep(now));
        for index in self.table.indices() {
            let Some(connection) = self.table.get_mut(index) else { continue };
            if connection.stalled_since.is_some_and(|since| since + self.limits.stalled < now) {
                connection.abort();
            } else if connection.active + self.limits.idle < now
                && (connection.in_flight == 0 || connection.active + self.limits.idle + NEVER < now)
            {
                connection.in_flight = 0;
                connection.finish();
            } else {
                continue;
            }
            touch(&mut self.touched, connection, index);
        }
    }

    /// Accepts what waits at a listening socket. True if there may be more.
    fn accept(&mut self, door: usize, poll: &Poll, now: u64) -> bool {
        for _ in 0..ACCEPTED_AT_ONCE {
            let Some(accepted) = self.doors.accept(door) else { return false };
            if !self.admit(accepted, poll, now) {
                self.refused += 1;
            }
        }
        true
    }

    /// Finds a place for a new connection; makes one where a place is held idly. False: there is none.
    fn admit(&mut self, accepted: Accepted, poll: &Poll, now: u64) -> bool {
        let Accepted { socket, kind, peer, asked } = accepted;
        let client = peer.ip().to_canonical();
        let is_introduced = self.balancers.view(client).is_none();
        if is_introduced && self.table.of_client(client) >= self.limits.per_client {
            return false;
        }
        let session = self.identity.as_ref().and_then(|identity| identity.session(kind));
        if kind != Kind::Tcp && session.is_none() {
            return false;
        }
        if self.table.connected() >= self.limits.total && !self.table.remove_idle() {
            return false;
        }
        let ends = Ends {
            source: SocketAddr::new(client, peer.port()),
            destination: SocketAddr::new(asked.ip().to_canonical(), asked.port()),
        };
        let fd = socket.as_raw_fd();
        let http = (kind == Kind::Https)
            .then(|| Box::new(http::Session::new(Rc::clone(&self.https_path), self.limits.in_flight)));
        let layers = Layers { session, http };
        let index = self.table.insert(kind, |number| Connection::new(number, socket, layers, ends, is_introduced, now));
        let Some(index) = index else { return false };
        let number = self.table.get_mut(index).map_or(0, |connection| connection.number);
        let is_watched = poll.add(fd, CONNECTION | number >> table::TAG_BITS).is_ok();
        if !is_watched {
            self.table.remove(index);
        }
        is_watched
    }
}

/// Notes that something was done to it.
#[inline]
fn touch(touched: &mut Vec<u32>, connection: &mut Connection, index: u32) {
    if !std::mem::replace(&mut connection.is_touched, true) {
        touched.push(index);
    }
}
