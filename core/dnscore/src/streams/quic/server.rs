//! The server of DNS over QUIC at one socket, without the socket: datagrams in, questions and datagrams out.
//!
//! Enters: datagrams with where they came from, answers, the time. Leaves: questions; datagrams, each by [`Out`]. What a
//! stranger can cost is bounded before anything is kept of him:
//!
//! | datagram | outcome |
//! |---|---|
//! | of a client that is not served, or from port 0 | nothing, before it is looked at |
//! | garbage; a first packet in less than 1200 octets; a long header of no connection | nothing |
//! | of another version, in 1200 octets or more | a version negotiation |
//! | of no connection here, with an id of ours | a stateless reset, shorter than the datagram and no longer than 1200 octets |
//! | of a connection, from another address than its client's | nothing |
//! | a first packet while [`HALF_OPEN`] handshakes are under way | a Retry, of which nothing is kept |
//! | a first packet with no place left in total, or for this client | CONNECTION_REFUSED |
//! | a handshake without `doq` in its ALPN | the alert no_application_protocol |
//! | a handshake that is not over after the time for stalled clients | the connection ends |
//!
//! Until an address is proven, it is sent three times what came from it and no octet more (`unproven.rs`). A client is followed
//! to another port of its address, where that is another mapping of a NAT, and to no other address: the datagrams of 1200
//! octets that would prove it go wherever somebody says that he is now. A connection that is closed is forgotten at once:
//! what its client still sends is answered with a stateless reset.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn_proto::{ConnectionHandle, DatagramEvent, Endpoint, EndpointEvent, Incoming, ServerConfig, Transmit};

use super::connection::{Connection, Question, code};
use super::keys;
use crate::streams::Limits;
use crate::streams::tickets::SECRET;

/// Handshakes under way, of one socket, beyond which an address must be proven first.
pub const HALF_OPEN: usize = 64;

/// A number is `serial << 36 | index << 16 | tag`, as those of other connections; the bits above are the socket's.
const TAG_BITS: u32 = 16;
const INDEX_BITS: u32 = 20;
/// Bits of a whole number.
pub(super) const NUMBER_BITS: u32 = 56;
/// Serial numbers begin again after so many connections.
const SERIALS: u64 = 1 << (NUMBER_BITS - INDEX_BITS - TAG_BITS);

/// Sends a datagram: to, from which address of ours (`None`: the socket has one), octets.
pub trait Out {
    /// It may be lost.
    fn send(&mut self, to: SocketAddr, from: Option<IpAddr>, octets: &[u8]);
}

/// See the module.
pub struct Server {
    endpoint: Endpoint,
    limits: Limits,
    listening: SocketAddr,
    /// By handle.
    connections: Vec<Option<Box<Connection>>>,
    clients: HashMap<IpAddr, usize>,
    half_open: usize,
    serial: u64,
    touched: Vec<usize>,
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
    ready: Vec<Question>,
    scratch: Vec<u8>,
    draining: bool,
    /// Connections that found no place.
    pub refused: u64,
    /// An instant, and the same in microseconds.
    epoch: (Instant, u64),
}

impl Server {
    /// At the socket of that number, which listens there. `now`: microseconds.
    pub fn new(secret: &[u8; SECRET], socket: u64, listening: SocketAddr, limits: Limits, now: u64) -> Server {
        Server {
            endpoint: Endpoint::new(keys::endpoint(secret, socket), None, false, None),
            limits,
            listening,
            connections: Vec::new(),
            clients: HashMap::new(),
            half_open: 0,
            serial: 0,
            touched: Vec::new(),
            timers: BinaryHeap::new(),
            ready: Vec::new(),
            scratch: Vec::new(),
            draining: false,
            refused: 0,
            epoch: (Instant::now(), now),
        }
    }

    /// New connections are made with this; those that are open keep theirs.
    pub fn set_config(&mut self, config: Arc<ServerConfig>) {
        self.endpoint.set_server_config(Some(config));
    }

    /// Connections.
    pub fn connected(&self) -> usize {
        self.clients.values().sum()
    }

    /// Answers are still to come, or to arrive.
    pub fn is_busy(&mut self) -> bool {
        self.connections.iter_mut().flatten().any(|connection| connection.is_busy())
    }

    /// Takes a datagram; what it brings is had from [`Server::questions`] after [`Server::flush`].
    pub fn receive(&mut self, datagram: &[u8], from: SocketAddr, to: Option<IpAddr>, now: u64, out: &mut impl Out) {
        let at = self.at(now);
        self.scratch.clear();
        match self.endpoint.handle(at, from, to, None, datagram.into(), &mut self.scratch) {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                if let Some(Some(connection)) = self.connections.get_mut(handle.0)
                    && connection.inner.remote_address().ip() == from.ip()
                {
                    connection.receive(datagram.len(), event);
                    self.touch(handle.0);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => self.admit(incoming, datagram.len(), now, out),
            Some(DatagramEvent::Response(mut transmit)) => {
                shorten(&mut transmit, &mut self.scratch);
                pass(&transmit, &self.scratch, out);
            }
            None => {}
        }
    }

    /// A handshake begins, or not; see the table.
    fn admit(&mut self, incoming: Incoming, length: usize, now: u64, out: &mut impl Out) {
        let client = incoming.remote_address().ip().to_canonical();
        if self.draining {
            return self.endpoint.ignore(incoming); // its client sends it again, and then a successor reads it
        }
        if self.half_open >= HALF_OPEN && !incoming.remote_address_validated() {
            match self.endpoint.retry(incoming, &mut self.scratch) {
                Ok(transmit) => return pass(&transmit, &self.scratch, out),
                Err(error) => return self.endpoint.ignore(error.into_incoming()),
            }
        }
        let of_client = self.clients.get(&client).copied().unwrap_or_default();
        if of_client >= self.limits.per_client || (self.connected() >= self.limits.total && !self.end_idle(now, out)) {
            self.refused += 1;
            self.scratch.clear();
            let transmit = self.endpoint.refuse(incoming, &mut self.scratch);
            return pass(&transmit, &self.scratch, out);
        }
        self.scratch.clear();
        let unproven = (!incoming.remote_address_validated()).then_some(length);
        match self.endpoint.accept(incoming, self.at(now), &mut self.scratch, None) {
            Ok((handle, inner)) => self.insert(handle, inner, unproven, now),
            Err(error) => {
                if let Some(transmit) = error.response {
                    pass(&transmit, &self.scratch, out);
                }
            }
        }
    }

    fn insert(&mut self, handle: ConnectionHandle, inner: quinn_proto::Connection, unproven: Option<usize>, now: u64) {
        let index = handle.0;
        if self.connections.len() <= index {
            self.connections.resize_with(index + 1, || None);
        }
        self.serial = (self.serial + 1) % SERIALS;
        let number = self.serial << (INDEX_BITS + TAG_BITS) | (index as u64) << TAG_BITS;
        let connection = Connection::new(number, inner, unproven, self.listening, &self.limits, now);
        *self.clients.entry(connection.client).or_default() += 1;
        self.half_open += 1;
        self.connections[index] = Some(Box::new(connection));
        self.touch(index);
    }

    /// Closes the one that has been idle longest. False: none is idle.
    fn end_idle(&mut self, now: u64, out: &mut impl Out) -> bool {
        let at = self.at(now);
        let idle = self.connections.iter_mut().flatten().filter(|one| one.is_established && one.in_flight() == 0);
        let Some(oldest) = idle.min_by_key(|one| one.active) else { return false };
        oldest.close(at, code::EXCESSIVE_LOAD);
        let index = (oldest.number >> TAG_BITS) as usize & ((1 << INDEX_BITS) - 1);
        self.advance(index, now, out);
        true
    }

    /// The answer to the question of that number, if its connection is still there; `None`: none is due.
    pub fn answer(&mut self, number: u64, message: Option<&[u8]>, now: u64) {
        let index = (number >> TAG_BITS) as usize & ((1 << INDEX_BITS) - 1);
        let Some(Some(connection)) = self.connections.get_mut(index) else { return };
        if connection.number >> TAG_BITS != number >> TAG_BITS {
            return;
        }
        match message {
            Some(message) => connection.answer(number as u16, message, now),
            None => connection.refuse(number as u16),
        }
        self.touch(index);
    }

    /// Takes what happened to connections, and sends what there is to send.
    pub fn flush(&mut self, now: u64, out: &mut impl Out) {
        while let Some(index) = self.touched.pop() {
            self.advance(index, now, out);
        }
    }

    /// The questions that came whole.
    pub fn questions(&mut self) -> std::vec::Drain<'_, Question> {
        self.ready.drain(..)
    }

    /// When [`Server::time`] is due, in microseconds; `None`: never.
    pub fn due(&self) -> Option<u64> {
        let Reverse((at, _)) = self.timers.peek()?;
        // To the next microsecond: a time that has come is not due a moment later again.
        Some(self.epoch.1 + at.saturating_duration_since(self.epoch.0).as_nanos().div_ceil(1000) as u64)
    }

    /// Does what is due.
    pub fn time(&mut self, now: u64) {
        let at = self.at(now);
        while let Some(&Reverse((due, index))) = self.timers.peek()
            && due <= at
        {
            self.timers.pop();
            let Some(Some(connection)) = self.connections.get_mut(index) else { continue };
            if connection.armed != Some(due) {
                continue; // of one that had the place before, or noted again since
            }
            connection.armed = None;
            connection.inner.handle_timeout(at);
            self.touch(index);
        }
    }

    /// Ends what takes too long.
    pub fn sweep(&mut self, now: u64) {
        let at = self.at(now);
        for index in 0..self.connections.len() {
            if let Some(connection) = &mut self.connections[index] {
                connection.sweep(at, now, &self.limits);
                if connection.inner.is_closed() {
                    self.touch(index);
                }
            }
        }
    }

    /// Takes no more connections and questions; closes what waits for nothing.
    pub fn drain(&mut self, now: u64) {
        let at = self.at(now);
        self.draining = true;
        for index in 0..self.connections.len() {
            if let Some(connection) = &mut self.connections[index] {
                connection.finish(at);
                self.touch(index);
            }
        }
    }

    fn at(&self, now: u64) -> Instant {
        self.epoch.0 + Duration::from_micros(now.saturating_sub(self.epoch.1))
    }

    fn touch(&mut self, index: usize) {
        if let Some(Some(connection)) = self.connections.get_mut(index)
            && !std::mem::replace(&mut connection.is_touched, true)
        {
            self.touched.push(index);
        }
    }

    /// One connection's events, datagrams and times.
    fn advance(&mut self, index: usize, now: u64, out: &mut impl Out) {
        let at = self.at(now);
        let Some(Some(connection)) = self.connections.get_mut(index) else { return };
        connection.is_touched = false;
        let was_half_open = !connection.is_established;
        connection.attend(at, now, &self.limits, &mut self.ready);
        while let Some(event) = connection.inner.poll_endpoint_events() {
            if event.is_drained() {
                break; // it is closed, and forgotten below
            }
            if let Some(event) = self.endpoint.handle_event(ConnectionHandle(index), event) {
                connection.inner.handle_event(event);
            }
        }
        connection.send(at, &mut self.scratch, out);
        self.half_open -= usize::from(was_half_open && (connection.is_established || connection.inner.is_closed()));
        if connection.inner.is_closed() {
            return self.forget(index);
        }
        if let Some(due) = connection.inner.poll_timeout()
            && connection.armed.is_none_or(|armed| due < armed)
        {
            connection.armed = Some(due);
            self.timers.push(Reverse((due, index)));
        }
    }

    fn forget(&mut self, index: usize) {
        let Some(connection) = self.connections[index].take() else { return };
        self.endpoint.handle_event(ConnectionHandle(index), EndpointEvent::drained());
        if let Some(count) = self.clients.get_mut(&connection.client) {
            *count -= 1;
            if *count == 0 {
                self.clients.remove(&connection.client);
            }
        }
    }
}

/// Octets of a datagram that is cut nowhere on its way.
const MOST: usize = 1200;

/// Of a stateless reset, which `quinn-proto` makes of any length below the datagram's, the first octet and the last ones
/// (RFC 9000, 10.3); everything else that answers a datagram at once is shorter.
fn shorten(transmit: &mut Transmit, octets: &mut Vec<u8>) {
    if transmit.size > MOST {
        octets.drain(1..=transmit.size - MOST);
        transmit.size = MOST;
    }
}

/// Sends it.
pub(super) fn pass(transmit: &Transmit, octets: &[u8], out: &mut impl Out) {
    out.send(transmit.destination, transmit.src_ip, &octets[..transmit.size]);
}
