//! One client's connection: octets in, whole messages out; answers in, octets out.
//!
//! Enters: what its socket has, answers. Leaves: messages, each after its two octets of length (RFC 1035, 4.2.2), and what
//! is written. Rules: see [`super`].

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};

use super::Limits;
use super::frames::{Frames, PREFIX};
use super::http;
use super::options::{self, Wanted};
use super::tls::{Came, Session};
use crate::wire::proxy::{self, Ends, Header};

/// Octets of a PROXY header; the specification wants 232 to be enough, values included.
pub const LONGEST_HEADER: usize = 2048;
/// Octets that wait to be written beyond which no more queries are decided.
const MANY: usize = 1 << 16;
/// Octets that an idle connection's buffer of answers may keep.
const KEPT: usize = 512;

/// What a read brought.
pub(super) enum Taken {
    /// So many octets.
    Octets(usize),
    /// Nothing, now or ever.
    Nothing,
}

/// What lies between the socket and messages.
pub(super) struct Layers {
    /// The seal.
    pub session: Option<Box<Session>>,
    /// HTTP under it; without, each message comes after its length.
    pub http: Option<Box<http::Session>>,
}

/// See the module.
pub(super) struct Connection {
    /// With tag 0.
    pub number: u64,
    /// The client, and the address that it asked.
    pub ends: Ends,
    /// Queries that wait for answers.
    pub in_flight: usize,
    /// When it last completed a query or was given an answer.
    pub active: u64,
    /// Since when what waits cannot be written.
    pub stalled_since: Option<u64>,
    /// It is noted among those that something was done to.
    pub is_touched: bool,
    /// It counts against its client's limit.
    pub is_counted: bool,
    /// It has asked nothing yet.
    pub is_fresh: bool,
    /// When it is read no more, where the worker drains.
    pub leaves_at: Option<u64>,
    /// What the poll watches it for: to be read, to be written.
    pub watched: (bool, bool),
    socket: TcpStream,
    layers: Layers,
    introduced: bool,
    /// It is read no more: the client closed its half, or we are about to close ours.
    ended: bool,
    /// Its client said that nothing comes after what has come.
    closes: bool,
    /// Ours said so.
    closed: bool,
    aborted: bool,
    input: Frames,
    output: Vec<u8>,
    written: usize,
    /// Where in the output a record ends: each answer over HTTPS has its own, since there are clients (dnsperf 2.10) that
    /// take one answer of a record.
    cuts: VecDeque<usize>,
}

impl Connection {
    pub fn new(number: u64, socket: TcpStream, layers: Layers, ends: Ends, introduced: bool, now: u64) -> Connection {
        Connection {
            number,
            ends,
            in_flight: 0,
            active: now,
            stalled_since: None,
            is_touched: false,
            is_counted: false,
            is_fresh: true,
            leaves_at: None,
            watched: (true, false),
            socket,
            layers,
            introduced,
            ended: false,
            closes: false,
            closed: false,
            aborted: false,
            input: Frames::default(),
            output: Vec::new(),
            written: 0,
            cuts: VecDeque::new(),
        }
    }

    pub fn raw(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Its client is known: no PROXY header is to come.
    #[inline]
    pub fn is_introduced(&self) -> bool {
        self.introduced
    }

    /// The poll watches it for octets.
    pub fn is_reading(&self) -> bool {
        self.watched.0
    }

    pub fn has_unwritten(&self) -> bool {
        self.written < self.output.len() || self.layers.session.as_ref().is_some_and(|session| session.has_unwritten())
    }

    /// A limit says that none of its queries is decided before some are answered, or answers read.
    #[inline]
    pub fn is_held(&self, limits: &Limits) -> bool {
        self.in_flight >= limits.in_flight || self.output.len() - self.written > MANY || self.stalled_since.is_some()
    }

    /// Nothing is to come and nothing is to be sent.
    pub fn is_over(&self) -> bool {
        self.aborted || (self.ended && self.in_flight == 0 && !self.has_unwritten())
    }

    /// What the poll should watch it for.
    pub fn wants(&self, limits: &Limits) -> (bool, bool) {
        (!self.ended && !self.is_held(limits), self.has_unwritten())
    }

    /// No answer is due to the message of that tag.
    pub fn refuse(&mut self, tag: u16) {
        match &mut self.layers.http {
            Some(http) => http.refuse(tag),
            None => self.finish(),
        }
    }

    /// No more queries: it is closed as soon as what is in flight is answered.
    pub fn finish(&mut self) {
        (self.ended, self.leaves_at) = (true, None);
        self.input.clear();
        if let Some(http) = &mut self.layers.http {
            http.finish();
        }
    }

    /// It is closed at once.
    pub fn abort(&mut self) {
        self.aborted = true;
        self.finish();
    }

    /// Reads once into `scratch`.
    pub fn read(&mut self, scratch: &mut [u8]) -> Taken {
        if self.ended {
            return Taken::Nothing;
        }
        match self.socket.read(scratch) {
            Ok(0) => self.finish(),
            Ok(count) => return Taken::Octets(count),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => self.abort(),
        }
        Taken::Nothing
    }

    /// Reads what has come and is of no use any more: closed over it, the kernel would reset the connection, and the
    /// client might lose its last answers.
    pub fn discard(&mut self, scratch: &mut [u8]) {
        if !self.aborted {
            // What comes of it changes nothing.
            let _ = self.socket.read(scratch);
        }
    }

    /// Octets as they came.
    pub fn receive(&mut self, octets: &[u8]) {
        if self.introduced {
            return self.open(octets);
        }
        self.input.push(octets);
        self.introduce();
        if self.introduced {
            let octets = self.input.waiting().to_vec();
            self.input.clear();
            self.open(&octets);
        }
    }

    /// Takes the seal off, where there is one.
    fn open(&mut self, octets: &[u8]) {
        let Layers { session, http } = &mut self.layers;
        let Some(session) = session else { return self.input.push(octets) };
        let came = session.receive(octets, self.input.end());
        if let Some(http) = http {
            http.receive(self.input.waiting());
            self.input.skip(usize::MAX);
        }
        match came {
            Came::Open => {}
            Came::Closed => self.closes = true,
            Came::Broken => self.finish(),
        }
    }

    /// The balancer's header, if it has come whole and is believed: from now on this is its client's connection.
    fn introduce(&mut self) {
        let waiting = self.input.waiting();
        match proxy::read(&waiting[..waiting.len().min(LONGEST_HEADER)]) {
            proxy::Read::Header(Header { length, ends }) => {
                self.input.skip(length);
                self.introduced = true;
                self.ends = ends.unwrap_or(self.ends);
            }
            proxy::Read::Begun if waiting.len() < LONGEST_HEADER => {}
            proxy::Read::Begun | proxy::Read::Refused => self.abort(),
        }
    }

    /// The next whole message, appended to `out`; its tag. `None`: none is there, or a limit says wait.
    pub fn next(&mut self, out: &mut Vec<u8>, limits: &Limits) -> Option<u16> {
        if self.ended || !self.introduced || self.is_held(limits) {
            return None;
        }
        if let Some(http) = &mut self.layers.http {
            let Some((tag, message)) = http.next_question() else {
                if http.is_over() || self.closes {
                    self.finish();
                }
                return None;
            };
            out.extend_from_slice(&message);
            return Some(tag);
        }
        let Some(message) = self.input.take() else {
            if self.closes {
                self.finish();
            }
            return None;
        };
        let tag = Wanted::by(message, self.layers.session.is_some()).tag();
        out.extend_from_slice(message);
        Some(tag)
    }

    /// Puts an answer with those that wait to be written.
    pub fn answer(&mut self, tag: u16, message: &[u8], now: u64, limits: &Limits, is_draining: bool) {
        if self.aborted {
            return;
        }
        if self.output.len() - self.written > MANY && self.stalled_since.is_none() {
            self.write(now);
        }
        if self.output.len() - self.written > limits.unwritten {
            return self.abort();
        }
        if let Some(http) = &mut self.layers.http {
            let wanted = http.wanted(tag);
            if wanted.anything() {
                let mut message = message.to_vec();
                options::add(&mut message, 0, wanted, limits.idle);
                http.answer(tag, &message);
            } else {
                http.answer(tag, message);
            }
            http.flush(&mut self.output);
            return self.cuts.push_back(self.output.len());
        }
        let start = self.output.len();
        self.output.extend_from_slice(&[0; PREFIX]);
        self.output.extend_from_slice(message);
        let wanted = Wanted::of_tag(tag);
        if wanted.anything() {
            let idle = if is_draining { 0 } else { limits.idle };
            options::add(&mut self.output, start + PREFIX, wanted, idle);
        }
        let length = (self.output.len() - start - PREFIX) as u16;
        self.output[start..start + PREFIX].copy_from_slice(&length.to_be_bytes());
    }

    /// Writes what waits, as far as the client reads it.
    pub fn write(&mut self, now: u64) {
        if let Some(http) = &mut self.layers.http
            && self.stalled_since.is_none()
        {
            http.flush(&mut self.output);
        }
        while !self.aborted {
            let done = match &mut self.layers.session {
                None if self.written == self.output.len() => break,
                None => self.socket.write(&self.output[self.written..]).map(|count| self.written += count),
                Some(session) => {
                    if !session.has_unwritten() {
                        let end = self.output.len().min(self.written + MANY);
                        while self.written < end {
                            let cut = self.cuts.front().map_or(end, |cut| end.min(*cut));
                            self.written += session.seal(&self.output[self.written..cut]);
                            if self.cuts.front().is_some_and(|cut| *cut <= self.written) {
                                self.cuts.pop_front();
                            }
                        }
                    }
                    if !session.has_unwritten() {
                        break;
                    }
                    session.write(&mut self.socket).map(drop)
                }
            };
            match done {
                Ok(()) => self.stalled_since = None,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stalled_since.get_or_insert(now);
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.abort(),
            }
        }
        if self.written == self.output.len() {
            self.written = 0;
            self.output.clear();
            self.cuts = VecDeque::new();
            if self.output.capacity() > KEPT {
                self.output = Vec::new();
            }
        } else if self.written > MANY {
            self.output.drain(..self.written);
            self.cuts.iter_mut().for_each(|cut| *cut -= self.written);
            self.written = 0;
        }
        if !self.has_unwritten() {
            self.stalled_since = None;
            self.say_closed(now);
        }
    }

    /// Over TLS the client hears that the end is meant, before the connection ends (RFC 8446, 6.1).
    fn say_closed(&mut self, now: u64) {
        if self.ended
            && self.in_flight == 0
            && !self.aborted
            && !std::mem::replace(&mut self.closed, true)
            && let Some(session) = &mut self.layers.session
        {
            session.close();
            self.write(now);
        }
    }
}
