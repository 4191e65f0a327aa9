//! Any compiled list from a disk, its checksum set right: `cargo +nightly fuzz run list` in `core/fuzz`.
#![no_main]

#[path = "../../dnscore/tests/invariants/mod.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|data: &[u8]| invariants::list(data));
