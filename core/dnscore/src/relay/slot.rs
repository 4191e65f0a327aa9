//! A question in flight, and the clients that wait for its answer.

use std::net::SocketAddr;

use crate::narrow::to_u16;
use crate::sys::{Endpoint, Local};
use crate::wire::{Edns, Query};

/// Header and the longest question: 12 + 255 + 4.
pub const HEAD: usize = 271;

/// Upstreams asked for one question, probes included.
pub const MAX_ASKS: usize = 6;

/// Where an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The client.
    pub source: Endpoint,
    /// The address of ours that it asked.
    pub local: Local,
    /// Which of our sockets it came in on.
    pub listener: u16,
}

/// How a client's answer leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyTo {
    /// As a datagram.
    Datagram(Peer),
    /// On the stream of that number. Python owns it.
    Stream(u64),
}

/// A client that waits: what its answer must repeat, and where it goes.
#[derive(Clone, Copy)]
pub struct Waiter {
    /// Where the answer goes.
    pub to: ReplyTo,
    /// Its OPT.
    pub edns: Option<Edns>,
    /// Its hash, for the cap on clients.
    pub client: u64,
    /// Its own address, also behind a balancer.
    pub source: SocketAddr,
    /// The lists that hold for it.
    pub view: u64,
    pub(super) next: u32,
    length: u16,
    head: [u8; HEAD],
}

impl Waiter {
    /// From the client's packet.
    #[inline]
    pub fn new(packet: &[u8], query: &Query, to: ReplyTo, client: u64, source: SocketAddr, view: u64) -> Waiter {
        let end = usize::from(query.question_end).min(packet.len()).min(HEAD);
        let mut head = [0; HEAD];
        head[..end].copy_from_slice(&packet[..end]);
        Waiter { to, edns: query.edns, client, source, view, next: NONE, length: to_u16(end), head }
    }

    /// The client's header and question, as they came.
    #[inline]
    pub fn head(&self) -> &[u8] {
        &self.head[..usize::from(self.length)]
    }

    /// The same client with the same question's id: a retransmit. A stream loses nothing, so nothing on it is one.
    #[inline]
    pub fn is_repeated_by(&self, other: &Waiter) -> bool {
        match (&self.to, &other.to) {
            (ReplyTo::Datagram(one), ReplyTo::Datagram(two)) => {
                one.source == two.source && self.head[..2] == other.head[..2]
            }
            _ => false,
        }
    }

    /// It waits on a stream.
    #[inline]
    pub fn is_stream(&self) -> bool {
        matches!(self.to, ReplyTo::Stream(_))
    }
}

/// No waiter, no slot.
pub const NONE: u32 = u32::MAX;

/// Marks the keys of questions that were asked over TCP.
const TCP: u64 = 1 << 63;

/// One question as sent to one upstream.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// Of a datagram the socket's serial number and the id: what the answer must come on and carry. Over TCP a number that
    /// is never used twice.
    pub key: u64,
    /// Whom.
    pub upstream: u32,
    /// When, in microseconds.
    pub at: u64,
    /// No answer to it has come.
    pub open: bool,
}

impl Ask {
    /// The key of question `number` over TCP.
    pub fn tcp_key(number: u64) -> u64 {
        TCP | number
    }

    /// It was asked over TCP.
    #[inline]
    pub fn is_tcp(&self) -> bool {
        self.key & TCP != 0
    }

    /// The number of one that was asked over TCP.
    pub fn tcp_number(&self) -> Option<u64> {
        self.is_tcp().then_some(self.key & !TCP)
    }

    /// The serial number of the socket, of one that was asked by datagram.
    pub fn serial(&self) -> u32 {
        (self.key >> 16 & 0xffff_ffff) as u32
    }
}

/// What a slot is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waits for an upstream's answer.
    Asking,
    /// Its clients have been answered; what still comes tells of an upstream's health, and fills the cache if nothing
    /// else has.
    Late,
}

/// A question in flight.
pub struct Slot {
    /// Counts the slot's uses, so that a stale reference to it is noticed.
    pub generation: u32,
    /// What it is doing.
    pub phase: Phase,
    /// The question; that of the first client.
    pub query: Query,
    /// Hash of the cache key.
    pub hash: u64,
    /// Hash of the parent zone; 0: not counted.
    pub zone: u64,
    /// It may be joined by others (RD=1).
    pub shared: bool,
    /// An upstream's answer has been given to the clients.
    pub settled: bool,
    /// The worker's own question: no client's.
    pub own: bool,
    /// From now on it is asked over TCP: its answer is too long for a datagram, or none can be trusted.
    pub over_tcp: bool,
    /// From now on it is asked without an OPT: an upstream does not speak EDNS.
    pub plain: bool,
    /// When it came, in microseconds.
    pub born: u64,
    /// When the clients are given a stale answer, if there is one.
    pub stale_at: u64,
    /// When the clients get the answer that nobody answered.
    pub patience: u64,
    /// When the next upstream is asked.
    pub retry_at: u64,
    /// When it is forgotten.
    pub dies: u64,
    /// Datagrams that came for it and did not fit.
    pub mismatches: u8,
    /// The fault seen last, for the EDE.
    pub fault_ede: u16,
    /// What an upstream said that another one may say better (SERVFAIL, REFUSED, NOTIMP, FORMERR).
    pub fallback: Option<Box<[u8]>>,
    /// First of the waiting clients.
    pub(super) first: u32,
    /// How many wait.
    pub(super) waiting: u8,
    /// How many of them wait on streams.
    pub(super) streams: u8,
    asks: [Ask; MAX_ASKS],
    asked: u8,
    question: [u8; HEAD - 12],
    question_length: u16,
}

impl Slot {
    pub(super) fn new(query: Query) -> Slot {
        Slot {
            generation: 0,
            phase: Phase::Late,
            query,
            hash: 0,
            zone: 0,
            shared: false,
            settled: false,
            own: false,
            over_tcp: false,
            plain: false,
            born: 0,
            stale_at: 0,
            patience: 0,
            retry_at: 0,
            dies: 0,
            mismatches: 0,
            fault_ede: 0,
            fallback: None,
            first: NONE,
            waiting: 0,
            streams: 0,
            asks: [Ask { key: 0, upstream: 0, at: 0, open: false }; MAX_ASKS],
            asked: 0,
            question: [0; HEAD - 12],
            question_length: 0,
        }
    }

    /// The question section as it was sent, letter case and all.
    #[inline]
    pub fn question(&self) -> &[u8] {
        &self.question[..usize::from(self.question_length)]
    }

    /// Keeps the question section of the message that goes out.
    #[inline]
    pub fn keep_question(&mut self, question: &[u8]) {
        let length = question.len().min(HEAD - 12);
        self.question[..length].copy_from_slice(&question[..length]);
        self.question_length = to_u16(length);
    }

    /// Whom it was put to, in order.
    #[inline]
    pub fn asks(&self) -> &[Ask] {
        &self.asks[..usize::from(self.asked)]
    }

    /// No further upstream can be asked.
    #[inline]
    pub fn is_asked_out(&self) -> bool {
        usize::from(self.asked) == MAX_ASKS
    }

    /// Takes the answer to the question asked under that key; `None` if it was answered before.
    #[inline]
    pub(super) fn close(&mut self, key: u64) -> Option<Ask> {
        let asks = &mut self.asks[..usize::from(self.asked)];
        let ask = asks.iter_mut().find(|ask| ask.key == key && ask.open)?;
        ask.open = false;
        Some(*ask)
    }

    #[inline]
    pub(super) fn note(&mut self, ask: Ask) {
        if let Some(place) = self.asks.get_mut(usize::from(self.asked)) {
            *place = ask;
            self.asked += 1;
        }
    }

    /// No datagram counts as its answer any more.
    pub(super) fn close_datagrams(&mut self) {
        let asks = &mut self.asks[..usize::from(self.asked)];
        asks.iter_mut().filter(|ask| !ask.is_tcp()).for_each(|ask| ask.open = false);
    }

    pub(super) fn forget_asks(&mut self) {
        self.asked = 0;
        self.question_length = 0;
    }

    /// The next moment at which something is to be done about it.
    #[inline]
    pub fn due(&self) -> u64 {
        match self.phase {
            Phase::Asking => self.retry_at.min(self.stale_at).min(self.patience).min(self.dies),
            Phase::Late => self.dies,
        }
    }
}
