//! DNS on one QUIC connection: streams in, questions out; answers in, streams out.
//!
//! Enters: what happened to the connection, answers. Leaves: questions, each with its tag. Rules: see [`super`]; an answer
//! that the client's flow control holds back waits here, the others in `quinn-proto` until they are acknowledged.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

use quinn_proto::{ConnectionEvent, Dir, Event, ReadError, StreamEvent, StreamId, VarInt, WriteError};

use super::message::{Coming, PREFIX};
use super::server::{Out, pass};
use super::unproven::Unproven;
use crate::streams::options::{self, Wanted};
use crate::streams::{Limits, NEVER};
use crate::wire::proxy::Ends;

/// The error codes of RFC 9250, 4.3.
pub(super) mod code {
    use quinn_proto::VarInt;

    pub const NO_ERROR: VarInt = VarInt::from_u32(0);
    pub const PROTOCOL_ERROR: VarInt = VarInt::from_u32(2);
    pub const REQUEST_CANCELLED: VarInt = VarInt::from_u32(3);
    pub const EXCESSIVE_LOAD: VarInt = VarInt::from_u32(4);
    pub const UNSPECIFIED_ERROR: VarInt = VarInt::from_u32(5);
}

/// A question that came whole.
#[derive(Debug)]
pub struct Question {
    /// Of the connection, with the tag.
    pub number: u64,
    /// The client, and the address that it asked.
    pub ends: Ends,
    /// The message.
    pub message: Vec<u8>,
}

/// A question that is being answered.
struct Asked {
    stream: StreamId,
    wanted: Wanted,
}

/// An answer of which a part is written.
struct Leaving {
    stream: StreamId,
    octets: Vec<u8>,
    written: usize,
}

/// See the module.
pub(super) struct Connection {
    pub inner: quinn_proto::Connection,
    /// With tag 0.
    pub number: u64,
    /// When it last completed a question or was given an answer; before the first, when it began.
    pub active: u64,
    /// The handshake is over.
    pub is_established: bool,
    /// It is noted among those that something was done to.
    pub is_touched: bool,
    /// The earliest time that is noted for it.
    pub armed: Option<Instant>,
    /// The address that it counts for.
    pub client: std::net::IpAddr,
    unproven: Option<Box<Unproven>>,
    listening: SocketAddr,
    coming: HashMap<StreamId, Coming>,
    /// By tag.
    asked: Vec<Option<Asked>>,
    free: Vec<u16>,
    leaving: Vec<Leaving>,
    stalled_since: Option<u64>,
    draining: bool,
}

impl Connection {
    /// `unproven`: the length of what came from an address that has not proven to be the client's.
    pub fn new(
        number: u64,
        inner: quinn_proto::Connection,
        unproven: Option<usize>,
        listening: SocketAddr,
        limits: &Limits,
        now: u64,
    ) -> Connection {
        Connection {
            client: inner.remote_address().ip().to_canonical(),
            inner,
            number,
            active: now,
            is_established: false,
            is_touched: false,
            armed: None,
            unproven: unproven.map(|came| Box::new(Unproven::new(came))),
            listening,
            coming: HashMap::new(),
            asked: Vec::new(),
            free: (0..limits.in_flight.clamp(1, 1 << 15) as u16).rev().collect(),
            leaving: Vec::new(),
            stalled_since: None,
            draining: false,
        }
    }

    /// A datagram of that length came for it.
    pub fn receive(&mut self, length: usize, event: ConnectionEvent) {
        if let Some(unproven) = &mut self.unproven {
            unproven.receive(length);
        }
        self.inner.handle_event(event);
    }

    /// Sends what there is to send. `scratch`: room for a datagram.
    pub fn send(&mut self, at: Instant, scratch: &mut Vec<u8>, out: &mut impl Out) {
        if let Some(unproven) = &mut self.unproven {
            if self.is_established {
                unproven.send_held(out);
                self.unproven = None;
            } else {
                unproven.send_on(out);
            }
        }
        loop {
            scratch.clear();
            let Some(transmit) = self.inner.poll_transmit(at, 1, scratch) else { break };
            match &mut self.unproven {
                None => pass(&transmit, scratch, out),
                Some(unproven) => {
                    if unproven.send(transmit, scratch, out) {
                        self.unproven = None;
                    }
                }
            }
        }
    }

    /// Questions that wait for answers.
    pub fn in_flight(&self) -> usize {
        self.asked.iter().flatten().count()
    }

    /// Answers are still to come, or to arrive.
    pub fn is_busy(&mut self) -> bool {
        self.in_flight() > 0 || !self.leaving.is_empty() || self.inner.streams().send_streams() > self.coming.len()
    }

    /// Takes what happened; questions are appended to `ready`.
    pub fn attend(&mut self, at: Instant, now: u64, limits: &Limits, ready: &mut Vec<Question>) {
        while let Some(event) = self.inner.poll() {
            match event {
                Event::Connected => (self.is_established, self.active) = (true, now),
                // While it drains, what is opened is not taken: the close says so, and the client asks elsewhere.
                Event::Stream(StreamEvent::Opened { dir: Dir::Bi }) if !self.draining => {
                    while let Some(stream) = self.inner.streams().accept(Dir::Bi) {
                        self.read(stream, at, now, limits, ready);
                    }
                }
                Event::Stream(StreamEvent::Readable { id }) if !self.draining => self.read(id, at, now, limits, ready),
                Event::Stream(StreamEvent::Writable { .. }) => self.write_on(now),
                Event::Stream(StreamEvent::Stopped { id, .. }) => self.cancel(id),
                _ => {}
            }
        }
        let waiting: usize = self.leaving.iter().map(|answer| answer.octets.len() - answer.written).sum();
        let coming: usize = self.coming.values().map(Coming::len).sum();
        if waiting.max(coming) > limits.unwritten {
            self.close(at, code::EXCESSIVE_LOAD);
        }
        if self.draining && !self.is_busy() {
            self.close(at, code::NO_ERROR);
        }
    }

    fn read(&mut self, stream: StreamId, at: Instant, now: u64, limits: &Limits, ready: &mut Vec<Question>) {
        let mut receiving = self.inner.recv_stream(stream);
        // A stream whose end was read already: the library tells of what came last all the same.
        let Ok(mut chunks) = receiving.read(true) else { return };
        let coming = self.coming.entry(stream).or_default();
        let outcome = loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => {
                    if coming.push(&chunk.bytes).is_err() {
                        break Err(code::PROTOCOL_ERROR);
                    }
                }
                Ok(None) => break Ok(true),
                Err(ReadError::Blocked) => break Ok(false),
                Err(ReadError::Reset(_)) => break Err(code::REQUEST_CANCELLED),
            }
        };
        // What must be sent for it is sent with the next flush in any case.
        let _ = chunks.finalize();
        match outcome {
            Ok(false) => {}
            Ok(true) => {
                let Ok((message, wanted)) = self.coming.remove(&stream).unwrap_or_default().finish() else {
                    return self.close(at, code::PROTOCOL_ERROR);
                };
                self.ask(stream, message, wanted, now, limits, ready);
            }
            Err(code::REQUEST_CANCELLED) => {
                self.coming.remove(&stream);
                self.reset(stream, code::REQUEST_CANCELLED);
            }
            Err(why) => self.close(at, why),
        }
    }

    fn ask(
        &mut self,
        stream: StreamId,
        message: Vec<u8>,
        wanted: Wanted,
        now: u64,
        limits: &Limits,
        ready: &mut Vec<Question>,
    ) {
        // A client that resets streams and opens others has no more questions in flight than one that waits.
        let Some(tag) = self.free.pop() else { return self.reset(stream, code::EXCESSIVE_LOAD) };
        if self.asked.len() <= usize::from(tag) {
            self.asked.resize_with(usize::from(tag) + 1, || None);
        }
        self.asked[usize::from(tag)] = Some(Asked { stream, wanted });
        self.active = now;
        let source = self.inner.remote_address();
        let asked = self.inner.local_ip().unwrap_or(self.listening.ip());
        let ends = Ends {
            source: SocketAddr::new(source.ip().to_canonical(), source.port()),
            destination: SocketAddr::new(asked.to_canonical(), self.listening.port()),
        };
        debug_assert!(self.in_flight() <= limits.in_flight);
        ready.push(Question { number: self.number | u64::from(tag), ends, message });
    }

    /// The answer to the question of that tag.
    pub fn answer(&mut self, tag: u16, message: &[u8], now: u64) {
        let Some(Asked { stream, wanted }) = self.take(tag) else { return };
        self.active = now;
        let mut octets = vec![0; PREFIX];
        octets.extend_from_slice(message);
        if wanted.padding {
            options::add(&mut octets, PREFIX, Wanted { padding: true, ..Wanted::default() }, 0);
        }
        let length = (octets.len() - PREFIX) as u16;
        octets[..PREFIX].copy_from_slice(&length.to_be_bytes());
        self.leaving.push(Leaving { stream, octets, written: 0 });
        self.write_on(now);
    }

    /// No answer is due to the question of that tag.
    pub fn refuse(&mut self, tag: u16) {
        if let Some(Asked { stream, .. }) = self.take(tag) {
            self.reset(stream, code::UNSPECIFIED_ERROR);
        }
    }

    fn take(&mut self, tag: u16) -> Option<Asked> {
        let asked = self.asked.get_mut(usize::from(tag))?.take()?;
        self.free.push(tag);
        Some(asked)
    }

    /// Writes what waits, as far as flow control lets it.
    fn write_on(&mut self, now: u64) {
        let mut has_moved = false;
        let mut at = 0;
        while at < self.leaving.len() {
            let Leaving { stream, octets, written } = &mut self.leaving[at];
            let mut sending = self.inner.send_stream(*stream);
            let is_done = loop {
                match sending.write(&octets[*written..]) {
                    Ok(count) => {
                        (*written, has_moved) = (*written + count, true);
                        if *written == octets.len() {
                            // It fails where the client has stopped the stream: then nothing is due.
                            let _ = sending.finish();
                            break true;
                        }
                    }
                    Err(WriteError::Blocked) => break false,
                    // The client does not want it any more.
                    Err(WriteError::Stopped(_) | WriteError::ClosedStream) => break true,
                }
            };
            if is_done {
                self.leaving.swap_remove(at);
            } else {
                at += 1;
            }
        }
        if self.leaving.is_empty() || has_moved {
            self.stalled_since = None;
        }
        if !self.leaving.is_empty() {
            self.stalled_since.get_or_insert(now);
        }
    }

    /// The client wants no answer on that stream.
    fn cancel(&mut self, stream: StreamId) {
        self.leaving.retain(|answer| answer.stream != stream);
        self.reset(stream, code::REQUEST_CANCELLED);
    }

    fn reset(&mut self, stream: StreamId, why: VarInt) {
        // A stream that is closed needs no reset.
        let _ = self.inner.send_stream(stream).reset(why);
    }

    /// No more questions: it is closed as soon as what was asked is answered and has arrived.
    pub fn finish(&mut self, at: Instant) {
        self.draining = true;
        if !self.is_busy() {
            self.close(at, code::NO_ERROR);
        }
    }

    /// It is closed at once.
    pub fn close(&mut self, at: Instant, why: VarInt) {
        self.inner.close(at, why, bytes::Bytes::new());
    }

    /// Ends what takes too long, by the limits.
    pub fn sweep(&mut self, at: Instant, now: u64, limits: &Limits) {
        let is_stalled = self.stalled_since.is_some_and(|since| since + limits.stalled < now);
        if is_stalled || (!self.is_established && self.active + limits.stalled < now) {
            return self.close(at, code::EXCESSIVE_LOAD);
        }
        let idle = self.active + limits.idle;
        if idle < now && (self.in_flight() == 0 || idle + NEVER < now) {
            self.close(at, code::NO_ERROR);
        }
    }
}
