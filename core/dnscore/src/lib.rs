//! The core of Stopsign: everything that is done per UDP datagram, and the compiled list it is checked against.
//!
//! Enters: datagrams, canonical list documents. Leaves: answers, queries for the upstreams, compiled lists.
//! Rules that hold everywhere: nothing from the network is trusted before its bounds are; `unsafe` stands only in
//! the modules that make system calls or map files, each with the reason why it is sound.

pub mod answer;
pub mod cache;
pub mod clients;
pub mod counters;
pub mod list;
mod narrow;
pub mod plane;
pub mod relay;
pub mod sketch;
pub mod streams;
pub mod sys;
pub mod tap;
pub mod verdict;
pub mod wire;
