//! A query on a stream, and an answer that gets its connection's options: `cargo +nightly fuzz run stream_options` in `core/fuzz`.
#![no_main]

#[path = "../../dnscore/tests/invariants/mod.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|data: &[u8]| invariants::stream_options(data));
