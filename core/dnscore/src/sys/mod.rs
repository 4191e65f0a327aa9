//! The system calls: batches of datagrams in and out, sockets and their options, one epoll descriptor, the clock, turns.
//!
//! Enters: descriptors and buffers. Leaves: datagrams with where they came from, and what became of those sent.
//! This is the one module of the plane with `unsafe` in it; each block says why it is sound. Nothing here knows DNS.

#![allow(unsafe_code)]

mod address;
mod buffer;
mod clock;
mod links;
mod locked;
mod memory;
mod poll;
mod receive;
mod send;
mod socket;
mod tick;
mod timer;
mod turn;
mod words;

pub use address::{Endpoint, Local};
pub use clock::{fill_random, monotonic, since_boot, unix_time};
pub use links::{LINK, Links, Picked};
pub use locked::{Locked, wipe, wipe_stack};
pub use memory::prefer_huge_pages;
pub use poll::{Poll, Ready};
pub use receive::Receiver;
pub use send::{Sender, Sent};
pub use socket::{Listener, connect, is_out_of_descriptors, send_at_once, with_borrowed};
pub use tick::tick_when_busy;
pub use timer::Timer;
pub use turn::{set_background, set_latency_sensitive};
pub use words::in_words;

/// Datagrams in one system call.
pub const BATCH: usize = 64;

/// No answer and no query that leaves is longer (DNS flag day 2020: no fragments).
pub const LARGEST_SENT: usize = 1232;
