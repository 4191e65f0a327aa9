#!/usr/bin/env bash
# The block list of Hickory DNS, asked for HTTPS, MX, TXT or NS of a listed name.
#
# Guess: "no such data": a listed name has the sinkhole's address for A and AAAA ("returned when a blocklist entry is matched for an A
#        query"), and nothing of another type, as with a policy zone that has addresses alone.
# Seen:  hickory-server 0.26.3 answers every type but AAAA with the A record of the sinkhole, in the answer section, NOERROR. A forwarder
#        between makes different things of that: BIND 9.18.49 takes it for a format error and answers SERVFAIL, Unbound 1.17.1
#        drops the record and answers "no such data".
# For DNS blocking: browsers ask for HTTPS beside each A. Behind BIND each visit of a listed name is a resolver failure that is kept
#        for a second alone and asked again, and monitoring counts it as an outage; a mail server gets SERVFAIL for MX, and holds its mail
#        for days instead of giving it back. Who blocks with addresses has to answer all other types with NODATA and a SOA.
# Date:  2026-11-29. Needs BIND 9.18.49 and Unbound 1.17.1 (Debian 12: bind9, bind9-dnsutils, unbound), cargo with a C compiler (some minutes).
set -euo pipefail
PATH=$PATH:/usr/sbin
named -v | grep -q '^BIND 9\.18\.49' && unbound -V | grep -q '^Version 1\.17\.1' || { echo "needs BIND 9.18.49 and Unbound 1.17.1" >&2; exit 2; }
folder=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
cargo init --quiet --vcs none --name seen .
printf '%s\n' 'hickory-server = { version = "=0.26.3", default-features = false, features = ["blocklist"] }' \
  'tokio = { version = "=1.54.1", features = ["rt", "macros", "net"] }' '[profile.dev]' 'debug = 0' >>Cargo.toml
cat >src/main.rs <<'RUST'
//! Answers for the names of `list` as hickory-dns does with a store of type "blocklist"; prints its port.
use hickory_server::{
    proto::rr::Name,
    store::blocklist::{BlocklistConfig, BlocklistZoneHandler},
    zone_handler::{Catalog, ZoneHandler},
    Server,
};
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let config = BlocklistConfig {
        lists: vec!["list".into()],
        sinkhole_ipv4: Some([192, 0, 2, 66].into()),
        sinkhole_ipv6: Some("2001:db8::66".parse().unwrap()),
        ttl: 60,
        ..Default::default()
    };
    let handler = BlocklistZoneHandler::try_from_config(Name::root(), config, None).unwrap();
    let mut catalog = Catalog::new();
    catalog.upsert(Name::root().into(), vec![Arc::new(handler) as Arc<dyn ZoneHandler>]);
    let mut server = Server::new(catalog);
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    println!("{}", socket.local_addr().unwrap().port());
    server.register_socket(socket);
    server.block_until_done().await.unwrap();
}
RUST
CARGO_TARGET_DIR=$folder/target nice -n 15 cargo build --quiet
echo bet.example >list
target/debug/seen >port &
pids+=($!)
for _ in $(seq 50); do [ -s port ] && break; sleep 0.1; done
hickory=$(cat port)
bind=$((10000 + RANDOM % 10000))
unbound=$((20000 + RANDOM % 10000))
cat >named.conf <<CONF
options { directory "$folder"; pid-file none; session-keyfile "$folder/session"; listen-on port $bind { 127.0.0.1; }; listen-on-v6 { none; };
  forward only; forwarders { 127.0.0.1 port $hickory; }; dnssec-validation no; };
controls { };
CONF
cat >unbound.conf <<CONF
server:
  interface: 127.0.0.1@$unbound
  do-not-query-localhost: no
  directory: "$folder"
  pidfile: ""
  username: ""
  chroot: ""
  use-syslog: no
  module-config: "iterator"
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@$hickory
CONF
named -g -n 1 -c named.conf >named.log 2>&1 &
pids+=($!)
unbound -d -c unbound.conf >unbound.log 2>&1 &
pids+=($!)
ask() { # PORT TYPE: the response code and what stands in the answer section
  dig +tries=1 +time=5 @127.0.0.1 -p "$1" bet.example "$2" >said || { echo "no answer"; return; }
  echo "$(grep -oE 'status: [A-Z]+' said | cut -d' ' -f2)$(awk '/^bet\.example\./ { printf " %s %s", $4, $5 }' said)"
}
for port in "$bind" "$unbound"; do
  for _ in $(seq 50); do [[ $(ask "$port" A) == NOERROR* ]] && break; sleep 0.2; done
done
status=0
saw() { # NAME PORT TYPE SEEN
  found=$(ask "$2" "$3")
  echo "$1, $3: $found"
  [ "$found" = "$4" ] || { echo "this has changed: it was $4" >&2; status=1; }
}
for server in "Hickory $hickory" "BIND $bind" "Unbound $unbound"; do
  read -r name port <<<"$server"
  saw "$name" "$port" A "NOERROR A 192.0.2.66"
  saw "$name" "$port" AAAA "NOERROR AAAA 2001:db8::66"
  for type in HTTPS MX TXT NS; do
    case $name in Hickory) seen="NOERROR A 192.0.2.66" ;; BIND) seen=SERVFAIL ;; *) seen=NOERROR ;; esac
    saw "$name" "$port" "$type" "$seen"
  done
done
exit "$status"
