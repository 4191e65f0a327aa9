#!/usr/bin/env bash
# A stateless reset of quinn-proto may be longer than any datagram that the server is set to send.
#
# Software:  quinn-proto 0.11.19 (crates.io), which the DoQ servers and clients in Rust stand on
# Guess:     no datagram is longer than `initial_mtu` (1200 octets) where path MTU discovery is off, and a stateless reset, of
#            which its reader needs the last sixteen octets alone, is a few dozen octets.
# Behaviour: its length is drawn at random each time, up to one octet below that of the datagram which it answers: of 400 answers to
#            1472 octets some are above 1400. `initial_mtu` and MTU discovery are a connection's, and a reset has none.
# Seen:      2026-11-29
# For DNS blocking: after a resolver's process died, its successor tells the clients of DNS over QUIC by such resets that their
#            connections are gone. Where the way back is narrower than the way there, as behind a tunnel, the long ones are lost, and
#            the client waits for its idle time. A server can leave out what stands between the first octet and the token.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cargo init --quiet --vcs none --name seen .
cargo add --quiet quinn-proto@=0.11.19 --no-default-features --features rustls-ring
cargo add --quiet ring@0.17
cat > src/main.rs <<'RUST'
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn_proto::{DatagramEvent, Endpoint, EndpointConfig};

fn main() {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &[7; 64]);
    let mut config = EndpointConfig::new(Arc::new(key));
    config.cid_generator(|| Box::new(quinn_proto::RandomConnectionIdGenerator::new(8)));
    let (mut endpoint, mut now) = (Endpoint::new(Arc::new(config), None, false, None), Instant::now());
    // a packet of a connection that the endpoint does not know, as after a restart
    let mut packet = vec![0; 1472];
    packet[0] = 0x40;
    let (client, mut lengths) = ("192.0.2.1:4000".parse().unwrap(), Vec::new());
    for _ in 0..400 {
        now += Duration::from_secs(1);
        let mut answer = Vec::new();
        if let Some(DatagramEvent::Response(sent)) =
            endpoint.handle(now, client, None, None, packet.as_slice().into(), &mut answer)
        {
            lengths.push(sent.size);
        }
    }
    let (shortest, longest) = (lengths.iter().min().unwrap(), lengths.iter().max().unwrap());
    println!("{} resets for 1472 octets each: from {shortest} to {longest} octets", lengths.len());
    std::process::exit(i32::from(lengths.len() != 400 || *longest <= 1400 || *longest >= 1472));
}
RUST
cargo run --quiet || { echo "this has changed" >&2; exit 1; }
