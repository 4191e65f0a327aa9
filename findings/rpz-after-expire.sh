#!/usr/bin/env bash
# Guess: a secondary stops using a response policy zone when the `expire` of its SOA is over and the primary is dead (RFC 1035, 3.3.13;
# RFC 1034, 4.3.5).
# Behaviour (Debian 12, 2026-11-28; `expire` of 20 s, 60 s after the primary's end):
#   - BIND 9.18.49 ends the zone: the listed name passes;
#   - Unbound 1.17.1 and PowerDNS Recursor 4.8.8 go on with it: they answer with the zone's address for as long as they run.
# What it means for DNS blocking: a dead primary cannot withdraw a block, and only BIND's blocks end by themselves. After `expire`, two
# resolvers of one provider may answer differently. Somebody has to take the zone out of the others by hand.
# Needs Debian 12 with bind9, unbound, pdns-recursor and dnsutils installed. Exits 0 while it is so, 1 when it has changed.
set -euo pipefail
work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait; rm -rf "$work"' EXIT
for pinned in bind9=1:9.18.49-1~deb12u3 unbound=1.17.1-2+deb12u4 pdns-recursor=4.8.8-1+deb12u1; do
  found=$(dpkg-query --show --showformat='${Version}' "${pinned%%=*}")
  echo "${pinned%%=*} $found"
  [[ $found == "${pinned#*=}" ]] || { echo "another version than ${pinned#*=}: look again"; exit 1; }
done
chmod 755 "$work"
read -r primary bind unbound recursor outside < <(python3 - <<'PY'
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
print(*(free() for _ in range(5)))
PY
)
cat >"$work/zone" <<'ZONE'
$TTL 5
@ SOA localhost. hostmaster.localhost. 1 5 2 20 5
@ NS localhost.
listed.bet A 192.0.2.66
ZONE
cat >"$work/outside.py" <<'PY'
"""The world outside: every name has the address 198.51.100.7, for a second."""
import socket, sys
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.bind(("127.0.0.1", int(sys.argv[1])))
while True:
    data, client = one.recvfrom(4096)
    end = 12
    while data[end]:
        end += 1 + data[end]
    is_a = data[end + 1 : end + 3] == b"\0\1"
    head = data[:2] + b"\x85\x80\0\1" + (b"\0\1" if is_a else b"\0\0") + b"\0\0\0\0" + data[12 : end + 5]
    one.sendto(head + (b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\xc6\x33\x64\x07" if is_a else b""), client)
PY
python3 "$work/outside.py" "$outside" & pids+=($!)

named_conf() { # named_conf NAME PORT LINES
  mkdir "$work/$1"
  cat >"$work/$1/named.conf" <<CONF
options {
  directory "$work/$1"; pid-file none; session-keyfile none; listen-on port $2 { 127.0.0.1; }; listen-on-v6 { none; };
  dnssec-validation no; empty-zones-enable no; forward only; forwarders { 127.0.0.1 port $outside; };
  ${4:-}
};
controls { };
$3
CONF
}
named_conf primary "$primary" "zone rpz.finding { type primary; file \"$work/zone\"; allow-transfer { any; }; };"
named_conf bind "$bind" "zone rpz.finding { type secondary; file \"rpz\"; primaries { 127.0.0.1 port $primary; }; min-refresh-time 5; min-retry-time 2; };" \
  'response-policy { zone rpz.finding; } min-update-interval 0;'
named -g -c "$work/primary/named.conf" 2>"$work/primary/log" & serves=$!; pids+=($serves)
named -g -c "$work/bind/named.conf" 2>"$work/bind/log" & pids+=($!)
cat >"$work/unbound.conf" <<CONF
server:
  interface: 127.0.0.1@$unbound
  do-not-query-localhost: no
  chroot: ""
  username: ""
  directory: "$work"
  pidfile: ""
  use-syslog: no
  module-config: "respip iterator"
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@$outside
rpz:
  name: rpz.finding.
  primary: 127.0.0.1@$primary
CONF
unbound -d -c "$work/unbound.conf" 2>"$work/unbound.log" & pids+=($!)
mkdir "$work/recursor"
echo "rpzMaster('127.0.0.1:$primary', 'rpz.finding', {refresh = 5})" >"$work/recursor/rpz.lua"
pdns_recursor --config-dir="$work/recursor" --socket-dir="$work/recursor" --local-address=127.0.0.1 --local-port="$recursor" --daemon=no \
  --forward-zones-recurse=.=127.0.0.1:"$outside" --lua-config-file="$work/recursor/rpz.lua" --dont-query= --dnssec=off --hint-file=no \
  --webserver=no >"$work/recursor/log" 2>&1 & pids+=($!)

answer() { dig +short +tries=1 +time=2 @127.0.0.1 -p "$1" "$2" A 2>/dev/null | head -1; }
for port in "$bind" "$unbound" "$recursor"; do
  for ((tried = 0; ; tried++)); do
    [[ $(answer "$port" listed.bet) == 192.0.2.66 && $(answer "$port" other.bet) == 198.51.100.7 ]] && break
    ((tried < 60)) || { echo "port $port never applied the zone"; tail -5 "$work"/*/log "$work/unbound.log"; exit 1; }
    sleep 1
  done
done
echo "all three answer listed.bet from the zone; the primary ends now"
kill "$serves"
wait "$serves" || true
sleep 60
declare -A after
for who in bind unbound recursor; do
  after[$who]=$(answer "${!who}" listed.bet)
  echo "$who, 40 s after the end of the zone: ${after[$who]:-no address}"
done
[[ ${after[bind]} == 198.51.100.7 && ${after[unbound]} == 192.0.2.66 && ${after[recursor]} == 192.0.2.66 ]] || { echo "it has changed"; exit 1; }
