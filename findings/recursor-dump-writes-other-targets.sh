#!/usr/bin/env bash
# A policy zone that PowerDNS Recursor writes to its `dumpFile` and reads again as its `seedFile`.
#
# Guess: the file says what the zone said: after a restart every rule answers as before, with the primary there or not.
# Seen:  a target with an asterisk (`NAME CNAME *.garden.example.`: the name that was asked for is put before it, to lead to a page that
#        can say which name it was) is written with the rule's owner in the zone in its place: `NAME.ZONE.garden.example.`. After a
#        restart 4.8.8 answers with that: for an exact name the zone's name is in the target, for `*.NAME` also NAME twice. The serial in
#        the file is the primary's, so no transfer mends it: it stays until the rule changes. (5.2.13 and 5.4.9: the same.)
# For DNS blocking: the page says after a restart that another name was blocked, or is not found where its zone knows the
#        right names alone, and the zone's own name, with which nobody outside should meet, is in the answers of subscribers. Where
#        targets have an asterisk, leave `seedFile` out, and let the start wait for the transfer.
# Date:  2026-11-29. Needs Debian 12 with pdns-recursor, bind9 and dnsutils, Python 3.
set -euo pipefail
PATH=$PATH:/usr/sbin
for pinned in bind9=1:9.18.49-1~deb12u3 pdns-recursor=4.8.8-1+deb12u1; do
  found=$(dpkg-query --show --showformat='${Version}' "${pinned%%=*}")
  echo "${pinned%%=*} $found"
  [[ $found == "${pinned#*=}" ]] || { echo "another version than ${pinned#*=}: look again"; exit 1; }
done
folder=$(mktemp -d)
pids=()
recursor=
trap 'kill "${pids[@]}" $recursor 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
read -r primary resolver outside < <(python3 - <<'PY'
import random, socket
def free():
    while True:
        port = random.randrange(10000, 32000)
        try:
            with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
                tcp.bind(("127.0.0.1", port)); udp.bind(("127.0.0.1", port))
                return port
        except OSError:
            pass
print(*(free() for _ in range(3)))
PY
)
cat >outside.py <<'PY'
"""The world outside: every name has the address 198.51.100.7."""
import socket, sys
one = socket.socket(type=socket.SOCK_DGRAM)
one.bind(("127.0.0.1", int(sys.argv[1])))
while True:
    data, client = one.recvfrom(4096)
    end = data.index(b"\0", 12) + 5
    one.sendto(data[:2] + b"\x85\x80\0\1\0\1" + bytes(4) + data[12:end] + b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\xc6\x33\x64\x07", client)
PY
python3 outside.py "$outside" & pids+=($!)
for _ in {1..50}; do [[ $(dig +short +tries=1 +time=1 @127.0.0.1 -p "$outside" x.shop A 2>/dev/null) == *198.51.100.7 ]] && break; sleep 0.1; done
cat >zone <<'ZONE'
$TTL 5
@ SOA localhost. root.localhost. 7 3600 600 86400 5
@ NS localhost.
exact.bet CNAME *.garden.example.
*.below.bet CNAME *.garden.example.
plain.bet CNAME stop.example.
address.bet A 192.0.2.66
ZONE
cat >named.conf <<CONF
options { directory "$folder"; pid-file none; session-keyfile none; listen-on port $primary { 127.0.0.1; }; listen-on-v6 { none; };
  recursion no; notify no; };
controls { };
zone rpz.finding { type primary; file "zone"; allow-transfer { any; }; check-names ignore; };
CONF
named -g -n 1 -c named.conf 2>named.log & pids+=($!)
for _ in {1..50}; do dig +short +tries=1 +time=1 @127.0.0.1 -p "$primary" rpz.finding SOA 2>/dev/null | grep -q ' 7 ' && break; sleep 0.2; done
mkdir run
cat >run/rpz.lua <<LUA
rpzPrimary('127.0.0.1:$primary', 'rpz.finding', {refresh = 1, dumpFile = '$folder/dump', seedFile = '$folder/dump'})
LUA
answer() { dig +noall +answer +tries=1 +time=2 @127.0.0.1 -p "$resolver" "$1" A 2>/dev/null | awk 'NR == 1 {print $NF}'; }
start() {
  pdns_recursor --config-dir="$folder/run" --socket-dir="$folder/run" --local-address=127.0.0.1 --local-port="$resolver" --daemon=no \
    --forward-zones-recurse=.=127.0.0.1:"$outside" --lua-config-file="$folder/run/rpz.lua" --dont-query= --dnssec=off --hint-file=no \
    --disable-packetcache --webserver=no >log 2>&1 & recursor=$!
  for _ in {1..100}; do
    if [[ $(answer address.bet) == 192.0.2.66 ]]; then return; fi
    sleep 0.2
  done
  echo "the zone was not loaded"
  tail -5 log
  exit 2
}
changed=0
see() { # see NAME EXPECTED
  local got
  got=$(answer "$1")
  echo "$1 -> $got"
  [[ $got == "$2" ]] || changed=1
}
echo "at first:"
start
see exact.bet exact.bet.garden.example.
see www.below.bet www.below.bet.garden.example.
see plain.bet stop.example.
for _ in {1..50}; do [[ -s dump ]] && break; sleep 0.2; done
kill "$recursor"
wait "$recursor" || true
grep garden dump
echo "after a restart, and some refreshes:"
start
for _ in {1..50}; do [[ $(grep -c 'Getting IXFR deltas' log) -gt 2 ]] && break; sleep 0.2; done
see exact.bet exact.bet.rpz.finding.garden.example.
see www.below.bet www.below.bet.below.bet.rpz.finding.garden.example.
see plain.bet stop.example.
echo "serial: primary $(dig +short @127.0.0.1 -p "$primary" rpz.finding SOA | cut -d' ' -f3), Recursor $(grep -o 'ourserial="[0-9]*"' log | tail -1)"
[[ $changed == 0 ]] || { echo "it has changed"; exit 1; }
