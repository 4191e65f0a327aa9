//! How answers leave: as datagrams by the socket that was asked ([`Door`]), or on streams ([`Outlet`]).

use crate::counters::{Counter, Counters};
use crate::relay::slot::ReplyTo;
use crate::sys::{Endpoint, Listener, Local, Sender};

/// The longest message.
pub(super) const LONGEST: usize = u16::MAX as usize;

/// A socket that clients send to, and the answers that wait to leave by it.
pub(super) struct Door {
    pub listener: Listener,
    pub sender: Sender,
    /// Queries are still taken.
    pub open: bool,
}

impl Door {
    /// Sends what waits.
    pub fn flush(&mut self, counters: &mut Counters) {
        if self.sender.is_empty() {
            return;
        }
        let sent = self.sender.send(self.listener.raw(), false);
        counters.add(Counter::SendDropped, u64::from(sent.dropped));
        counters.add(Counter::SendFailed, u64::from(sent.failed));
    }

    /// Room for one more answer.
    #[inline]
    pub fn room(&mut self, counters: &mut Counters) -> &mut [u8] {
        if self.sender.is_full() {
            self.flush(counters);
        }
        self.sender.room()
    }

    /// The first `length` octets of the room go to that client, from the address of ours that it asked.
    #[inline]
    pub fn answer(&mut self, counters: &mut Counters, to: &Endpoint, from: Local, length: usize) {
        counters.answer(&self.sender.room()[..length]);
        self.sender.push(length, Some(to), from);
    }
}

/// Octets of answers that the outlet's buffer keeps.
const KEPT: usize = 1 << 18;

/// Answers for streams, until their connections have them.
pub(super) struct Outlet {
    room: Box<[u8]>,
    octets: Vec<u8>,
    answers: Vec<(u64, usize)>,
}

impl Outlet {
    fn new() -> Outlet {
        let room = vec![0; LONGEST].into_boxed_slice();
        Outlet { room, octets: Vec::new(), answers: Vec::new() }
    }

    /// Room for an answer.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.room
    }

    /// The first `length` octets of the room are the answer to that message of a stream.
    pub fn answer(&mut self, counters: &mut Counters, number: u64, length: usize) {
        let message = &self.room[..length];
        counters.answer(message);
        self.octets.extend_from_slice(message);
        self.answers.push((number, length));
    }

    /// The answers that wait, each with the number of its message.
    pub fn waiting(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let mut rest = &self.octets[..];
        self.answers.iter().map(move |(number, length)| {
            let (message, after) = rest.split_at(*length);
            rest = after;
            (*number, message)
        })
    }

    /// None waits.
    pub fn clear(&mut self) {
        self.answers.clear();
        self.octets.clear();
        self.octets.shrink_to(KEPT);
    }
}

/// All ways out.
pub(super) struct Replies {
    pub doors: Vec<Door>,
    pub outlet: Outlet,
}

impl Replies {
    pub fn new() -> Replies {
        Replies { doors: Vec::new(), outlet: Outlet::new() }
    }

    /// Room for one answer that leaves so. `None`: there is no such door.
    #[inline]
    pub fn room(&mut self, counters: &mut Counters, to: &ReplyTo) -> Option<&mut [u8]> {
        match to {
            ReplyTo::Datagram(peer) => Some(self.doors.get_mut(usize::from(peer.listener))?.room(counters)),
            ReplyTo::Stream(_) => Some(self.outlet.room()),
        }
    }

    /// The first `length` octets of that room are the answer.
    #[inline]
    pub fn answer(&mut self, counters: &mut Counters, to: &ReplyTo, length: usize) {
        match to {
            ReplyTo::Datagram(peer) => {
                if let Some(door) = self.doors.get_mut(usize::from(peer.listener)) {
                    door.answer(counters, &peer.source, peer.local, length);
                }
            }
            ReplyTo::Stream(stream) => self.outlet.answer(counters, *stream, length),
        }
    }

    /// Sends what waits at the doors.
    pub fn flush(&mut self, counters: &mut Counters) {
        self.doors.iter_mut().for_each(|door| door.flush(counters));
    }
}
