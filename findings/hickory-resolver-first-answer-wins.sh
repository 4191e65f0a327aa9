#!/usr/bin/env bash
# Two resolvers of one provider, of which one is in trouble and answers SERVFAIL, and a client with hickory-resolver.
#
# Guess: the client goes on to the other resolver, as glibc, musl, Go and c-ares do. Its manual says of NXDOMAIN that it is not tried at
#        other name servers, and: "On a response with any other error response code, the query will still be retried".
# Seen:  hickory-resolver 0.26.3 asks both at the same time and believes who answers first, be it SERVFAIL or REFUSED. It repeats the
#        question twice, to both again, and then fails, with the other's good answer on its way. Set to ask one at a time, it asks the
#        one in trouble three times and the other never. Silence is borne: the other's answer counts.
# For DNS blocking: the second resolver does not help such clients (and forwarders built on it) while the first fails fast, as one does
#        that lost its upstream and is nearer; a host that is taken out of service has to fall silent. Where two resolvers block different
#        lists, such a client sees one or the other by chance. And REFUSED, which other clients take to the next resolver, looks like a
#        block that works when it is tried with hickory.
# Date:  2026-11-29. Needs Python 3, and cargo with a C compiler (some minutes).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cargo init --quiet --vcs none --name seen .
printf '%s\n' 'hickory-resolver = { version = "=0.26.3", default-features = false, features = ["tokio"] }' \
  'tokio = { version = "=1.54.1", features = ["rt", "macros"] }' '[profile.dev]' 'debug = 0' >>Cargo.toml
cat >src/main.rs <<'RUST'
//! ADDRESS ADDRESS CONCURRENT: asks these resolvers for bet.example, all else as the library has it; says how it ended.
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ServerOrderingStrategy};
use hickory_resolver::{net::runtime::TokioRuntimeProvider, proto::rr::RecordType, Resolver};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let server = |address: &String| {
        let address: std::net::SocketAddr = address.parse().unwrap();
        let mut udp = ConnectionConfig::udp();
        udp.port = address.port();
        NameServerConfig::new(address.ip(), true, vec![udp])
    };
    let config = ResolverConfig::from_parts(None, vec![], vec![server(&given[0]), server(&given[1])]);
    let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
    if given[2] == "1" {
        builder.options_mut().num_concurrent_reqs = 1;
        builder.options_mut().server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
    }
    match builder.build().unwrap().lookup("bet.example.", RecordType::A).await {
        Ok(_) => println!("the address"),
        Err(error) => println!("{error}"),
    }
}
RUST
CARGO_TARGET_DIR=$folder/target nice -n 15 cargo build --quiet
python3 - <<'PYTHON' || { echo "this has changed" >&2; exit 1; }
import socket, struct, subprocess, sys, threading, time

SERVFAIL, REFUSED, SILENT = 2, 5, None
LATE = 0.2  # seconds
asked = [0, 0]


def answer(server: socket.socket, which: int, message: bytes, client: tuple) -> None:
    asked[which] += 1
    question = message[12 : message.index(b"\0", 12) + 5]
    rcode, records, late = (trouble, b"", late_one == 0) if which == 0 else (0, RECORD, late_one == 1)
    if rcode is SILENT:
        return
    time.sleep(LATE if late else 0)
    server.sendto(message[:2] + struct.pack("!5H", 0x8180 | rcode, 1, bool(records), 0, 0) + question + records, client)


def serve(server: socket.socket, which: int) -> None:
    while True:
        message, client = server.recvfrom(4096)
        threading.Thread(target=answer, args=(server, which, message, client), daemon=True).start()


RECORD = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + bytes([192, 0, 2, 1])
addresses = []
for which, host in enumerate(("127.0.0.1", "127.0.0.2")):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((host, 0))
    addresses.append(f"{host}:{server.getsockname()[1]}")
    threading.Thread(target=serve, args=(server, which), daemon=True).start()
ADDRESS, FAILED, REFUSES = "the address", "DNS error: error response: Server Failure", "DNS error: error response: Query Refused"
same = True
for what, trouble, late_one, concurrent, seen in (  # seen: how it ended, how often each was asked
    ("the one in trouble says SERVFAIL first", SERVFAIL, 1, "default", (FAILED, [3, 3])),
    ("the good one answers first", SERVFAIL, 0, "default", (ADDRESS, [1, 1])),
    ("the one in trouble says REFUSED first", REFUSED, 1, "default", (REFUSES, [3, 3])),
    ("the one in trouble is silent", SILENT, 1, "default", (ADDRESS, [1, 1])),
    ("one at a time, SERVFAIL", SERVFAIL, 1, "1", (FAILED, [3, 0])),
):
    asked[:] = 0, 0
    said = subprocess.check_output(["target/debug/seen", *addresses, concurrent], text=True, timeout=60).strip()
    time.sleep(2 * LATE)
    print(f"{what}: {said}; the one in trouble was asked {asked[0]} times, the other {asked[1]} times")
    same &= (said, asked) == seen
sys.exit(not same)
PYTHON
