//! DNS over QUIC (RFC 9250): the sockets, and one timer for all connections.
//!
//! Enters: bound UDP sockets, what their readiness brings, answers. Leaves: questions with their numbers; datagrams, in
//! batches. QUIC itself is `quinn-proto`'s, which does no I/O; [`server`] drives it, [`connection`] is DNS on one
//! connection, [`message`] on one stream. Rules:
//!
//! * the limits of the other connections hold here too, counted by themselves: in total, for each client, questions in
//!   flight, time, octets;
//! * whether a client is served is looked at before anything else, for each datagram;
//! * a connection is one process's: no two read the same socket. [`Quic::listen`] claims it, which fails while the
//!   predecessor, which drains, has it. What comes meanwhile waits in the kernel's queue;
//! * the kernel gives a socket the clients of its share by their addresses. A client whose port changes is followed if
//!   the new one is of the same socket's share; else it hears nothing, and connects again; see [`server`];
//! * there is no PROXY header for QUIC: a connection is whose address it comes from.

mod ask;
mod connection;
mod keys;
pub mod message;
pub mod server;
mod unproven;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use quinn_proto::ServerConfig;

use crate::clients::Clients;
use crate::streams::tickets::SECRET;
use crate::streams::tls::Identity;
use crate::streams::{Limits, Message};
use crate::sys::{BATCH, Endpoint, Listener, Local, Poll, Receiver, Sender, Timer};

pub use ask::ask;
pub(super) use keys::server as server_config;

use connection::Question;
use server::{NUMBER_BITS, Out, Server};

/// Marks the numbers of these questions; beside it, the socket's index.
pub(super) const MARK: u64 = 1 << 62;
const DOORS: usize = 1 << (62 - NUMBER_BITS);
/// The token of the timer; those of sockets are smaller.
const TIMER: u64 = DOORS as u64;
/// Octets of a datagram: clients learn to send at most 1472. An odd number of cache lines.
const ROOM: usize = 25 * 64;

struct Door {
    listener: Listener,
    sender: Sender,
    socket: u64,
    /// There is none before there is an identity.
    server: Option<Server>,
}

/// See the module.
pub(super) struct Quic {
    limits: Limits,
    receiver: Receiver,
    doors: Vec<Door>,
    timer: Timer,
    due: Option<u64>,
    config: Option<(Arc<ServerConfig>, [u8; SECRET])>,
    /// Datagrams that could not be sent.
    pub lost: u64,
    ready: VecDeque<Question>,
}

/// Sends by a socket.
struct ByDoor<'d> {
    listener: &'d Listener,
    sender: &'d mut Sender,
    lost: &'d mut u64,
}

impl ByDoor<'_> {
    fn flush(&mut self) {
        if !self.sender.is_empty() {
            let sent = self.sender.send(self.listener.raw(), false);
            *self.lost += u64::from(sent.dropped) + u64::from(sent.failed);
        }
    }
}

impl Out for ByDoor<'_> {
    fn send(&mut self, to: SocketAddr, from: Option<IpAddr>, octets: &[u8]) {
        if self.sender.is_full() {
            self.flush();
        }
        let from = match from.filter(|_| self.listener.is_wildcard()) {
            Some(IpAddr::V4(ours)) => Local::V4(ours.octets()),
            Some(IpAddr::V6(ours)) => Local::V6(ours.octets(), 0),
            None => Local::Bound,
        };
        match self.sender.room().get_mut(..octets.len()) {
            Some(room) => {
                room.copy_from_slice(octets);
                self.sender.push(octets.len(), Some(&Endpoint::from(to)), from);
            }
            None => *self.lost += 1,
        }
    }
}

impl Quic {
    pub fn new(limits: Limits, poll: &Poll, token: u64) -> io::Result<Quic> {
        let timer = Timer::new()?;
        poll.add(timer.raw(), token | TIMER)?;
        Ok(Quic {
            limits,
            receiver: Receiver::new(ROOM),
            doors: Vec::new(),
            timer,
            due: None,
            config: None,
            lost: 0,
            ready: VecDeque::new(),
        })
    }

    /// Serves a bound UDP socket, which its owner keeps open. `token`: with the socket's index, that of its readiness.
    /// False: another process has it.
    pub fn listen(&mut self, socket: BorrowedFd<'_>, poll: &Poll, token: u64, now: u64) -> io::Result<bool> {
        if self.doors.len() == DOORS {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many sockets"));
        }
        let listener = Listener::adopt(socket)?;
        let Some(socket) = listener.claim()? else { return Ok(false) };
        poll.add(listener.raw(), token | self.doors.len() as u64)?;
        // Packets of a connection that overtake each other are taken for lost, so none are joined and ordered.
        self.doors.push(Door { listener, sender: Sender::new(false), socket, server: None });
        self.furnish(now);
        Ok(true)
    }

    /// New connections are of this identity.
    pub fn set_identity(&mut self, identity: &Identity, now: u64) -> Result<(), String> {
        self.config = Some((identity.quic(&self.limits)?, *identity.secret_of_quic()));
        self.furnish(now);
        Ok(())
    }

    /// Gives each socket its server, and that the identity.
    fn furnish(&mut self, now: u64) {
        let Some((config, secret)) = &self.config else { return };
        for Door { listener, socket, server, .. } in &mut self.doors {
            server
                .get_or_insert_with(|| Server::new(secret, *socket, listener.address(), self.limits, now))
                .set_config(Arc::clone(config));
        }
    }

    fn servers(&mut self) -> impl Iterator<Item = &mut Server> {
        self.doors.iter_mut().filter_map(|door| door.server.as_mut())
    }

    /// Connections.
    pub fn connected(&self) -> usize {
        self.doors.iter().filter_map(|door| door.server.as_ref()).map(Server::connected).sum()
    }

    /// Connections that found no place.
    pub fn refused(&self) -> u64 {
        self.doors.iter().filter_map(|door| door.server.as_ref()).map(|server| server.refused).sum()
    }

    /// A client waits for an answer.
    pub fn is_busy(&mut self) -> bool {
        self.servers().any(Server::is_busy)
    }

    /// What readiness brings; true: there may be more.
    pub fn attend(&mut self, token: u64, clients: &Clients, now: u64) -> bool {
        if token == TIMER {
            self.timer.clear();
            self.due = None;
            self.servers().for_each(|server| server.time(now));
            return false;
        }
        let Some(Door { listener, sender, server, .. }) = self.doors.get_mut(token as usize) else { return false };
        let wildcard = listener.is_wildcard();
        let Ok(count) = self.receiver.receive(listener.raw(), wildcard) else { return false };
        let Some(server) = server else { return count == BATCH };
        let mut out = ByDoor { listener, sender, lost: &mut self.lost };
        for index in 0..count {
            let from = self.receiver.source(index);
            if from.port() == 0 || self.receiver.truncated(index) || clients.view(from.ip()).is_none() {
                continue;
            }
            let to = match self.receiver.local(index) {
                Local::Bound => None,
                Local::V4(ours) => Some(IpAddr::from(ours)),
                Local::V6(ours, _) => Some(IpAddr::from(ours)),
            };
            server.receive(self.receiver.datagram(index), SocketAddr::from(from), to, now, &mut out);
        }
        count == BATCH
    }

    /// The next question, appended to `out`.
    pub fn next(&mut self, out: &mut Vec<u8>) -> Option<Message> {
        let Question { number, ends, message } = self.ready.pop_front()?;
        out.extend_from_slice(&message);
        Some(Message { number, ends })
    }

    /// The answer to the question of that number; `None`: none is due.
    pub fn answer(&mut self, number: u64, message: Option<&[u8]>, now: u64) {
        let number = number & !MARK;
        let server = self.doors.get_mut((number >> NUMBER_BITS) as usize).and_then(|door| door.server.as_mut());
        if let Some(server) = server {
            server.answer(number & ((1 << NUMBER_BITS) - 1), message, now);
        }
    }

    /// Sends what there is to send, and sets the timer. True: there are questions.
    pub fn flush(&mut self, now: u64) -> bool {
        let mut due = None;
        for (index, Door { listener, sender, server, .. }) in self.doors.iter_mut().enumerate() {
            let Some(server) = server else { continue };
            let mut out = ByDoor { listener, sender, lost: &mut self.lost };
            server.flush(now, &mut out);
            out.flush();
            let mark = MARK | (index as u64) << NUMBER_BITS;
            self.ready.extend(server.questions().map(|one| Question { number: one.number | mark, ..one }));
            due = [due, server.due()].into_iter().flatten().min();
        }
        if due != self.due {
            self.due = due;
            self.timer.set(due);
        }
        !self.ready.is_empty()
    }

    /// Ends what takes too long.
    pub fn sweep(&mut self, now: u64) {
        self.servers().for_each(|server| server.sweep(now));
    }

    /// Takes no more connections and questions, closes what waits for nothing.
    pub fn drain(&mut self, now: u64) {
        self.servers().for_each(|server| server.drain(now));
    }
}
