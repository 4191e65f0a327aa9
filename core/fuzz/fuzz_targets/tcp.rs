//! Messages of a stream over TCP, each after its length: `cargo +nightly fuzz run tcp` in `core/fuzz`.
#![no_main]

#[path = "../../dnscore/tests/invariants/mod.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|data: &[u8]| invariants::tcp(data));
