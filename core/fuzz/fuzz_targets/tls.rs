//! What comes to the ports of DNS over TLS and over HTTPS: `cargo +nightly fuzz run tls` in `core/fuzz`.
#![no_main]

#[path = "../../dnscore/tests/invariants/mod.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|data: &[u8]| invariants::tls(data));
