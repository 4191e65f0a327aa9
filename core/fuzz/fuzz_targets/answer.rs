//! Any message from an upstream, checked, rebuilt, cached: `cargo +nightly fuzz run answer` in `core/fuzz`.
#![no_main]

#[path = "../../dnscore/tests/invariants/mod.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|data: &[u8]| invariants::answer(data));
