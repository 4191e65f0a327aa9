//! The octets of one stream of DNS over QUIC, in pieces: `cargo +nightly fuzz run quic_stream` in `core/fuzz`.
#![no_main]

#[path = "../../dnscore/tests/invariants/mod.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|data: &[u8]| invariants::quic_stream(data));
