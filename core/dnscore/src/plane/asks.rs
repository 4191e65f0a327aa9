//! How questions leave: as datagrams ([`Lane`]), or over TCP, whose connections Python owns ([`TcpAsk`]).

use std::net::SocketAddr;

use crate::sys::{Picked, Sender};
use crate::wire::{Expected, HEADER};

/// What waits to be sent to one upstream: a batch leaves by one socket, picked for it.
pub(super) struct Lane {
    pub sender: Sender,
    pub picked: Option<Picked>,
}

impl Lane {
    pub fn new(joins: bool) -> Lane {
        Lane { sender: Sender::new(joins), picked: None }
    }

    pub fn clear(&mut self) {
        self.sender.clear();
        self.picked = None;
    }
}

/// A question for one upstream over TCP.
#[derive(Debug)]
pub struct TcpAsk {
    /// Tells it from all others.
    pub number: u64,
    /// The question that it asks; the same each time that one is asked.
    pub question: u64,
    /// Whom.
    pub upstream: SocketAddr,
    /// The message.
    pub message: Vec<u8>,
    /// The PROXY header at the beginning of its connection; empty: none.
    pub header: Vec<u8>,
    pub(super) question_end: usize,
    pub(super) slot: u32,
    pub(super) generation: u32,
}

impl TcpAsk {
    pub(super) fn expected(&self) -> Expected<'_> {
        let id = u16::from_be_bytes([self.message[0], self.message[1]]);
        Expected { id, question: &self.message[HEADER..self.question_end] }
    }
}
