//! What a client of DNS over HTTPS sends under the seal: `cargo +nightly fuzz run https` in `core/fuzz`.
#![no_main]

#[path = "../../dnscore/tests/invariants/mod.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|data: &[u8]| invariants::https(data));
