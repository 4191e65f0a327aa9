//! Datagrams from anyone at the socket of DNS over QUIC: `cargo +nightly fuzz run quic` in `core/fuzz`.
#![no_main]

#[path = "../../dnscore/tests/invariants/mod.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|data: &[u8]| invariants::quic(data));
