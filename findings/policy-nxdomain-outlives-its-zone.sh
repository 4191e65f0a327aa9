#!/usr/bin/env bash
# A block by NXDOMAIN that is taken back.
#
# Guess: it ends as an address of the same policy zone does: the zone's TTL and its SOA say 5 s, so after some seconds nobody has it.
# Seen:  Knot Resolver 5.6 puts an SOA of its own into the answer, which lets every client and forwarder keep NXDOMAIN for 10,800 s
#        (RFC 2308, 5); NODATA it makes for 1 s. A forwarder behind it still says NXDOMAIN when the rule is gone. (5.7.5 of Debian 13: the same.)
#        PowerDNS Recursor 4.8 puts no SOA in, and keeps the answer itself (NODATA too) for the 60 s of `packetcache-servfail-ttl`. What
#        was an address is gone in both after 5 s.
# For DNS blocking: a harmless site that was blocked by mistake stays away for three hours after the list let it go, from those of Knot's
#        subscribers who tried it (for one hour behind an Unbound, which keeps no denial longer). Nothing in the zone shortens that. An
#        address of a stop page can be taken back in seconds.
# Date:  2026-11-29. Needs Debian 12 with bind9, knot-resolver, pdns-recursor, unbound and dnsutils, Python 3.
set -euo pipefail
PATH=$PATH:/usr/sbin
for pinned in bind9=1:9.18.49-1~deb12u3 knot-resolver=5.6.0-1+deb12u1 pdns-recursor=4.8.8-1+deb12u1 unbound=1.17.1-2+deb12u4; do
  found=$(dpkg-query --show --showformat='${Version}' "${pinned%%=*}")
  echo "${pinned%%=*} $found"
  [[ $found == "${pinned#*=}" ]] || { echo "another version than ${pinned#*=}: look again"; exit 1; }
done
folder=$(mktemp -d)
pids=()
knot_pid=
trap 'kill "${pids[@]}" $knot_pid 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
read -r primary recursor knot behind outside < <(python3 - <<'PY'
import random, socket
tried, ports = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(5)], random.sample(range(10000, 32000), 5)
for one, port in zip(tried, ports):
    one.bind(("127.0.0.1", port))
print(*ports)
PY
)
cat >outside.py <<'PY'
"""The world outside: every name has the address 198.51.100.7, for a second."""
import socket, sys
one = socket.socket(type=socket.SOCK_DGRAM)
one.bind(("127.0.0.1", int(sys.argv[1])))
while True:
    data, client = one.recvfrom(4096)
    end = data.index(b"\0", 12) + 5
    one.sendto(data[:2] + b"\x85\x80\0\1\0\1" + bytes(4) + data[12:end] + b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\xc6\x33\x64\x07", client)
PY
python3 outside.py "$outside" & pids+=($!)
zone() { # zone SERIAL RULE...
  printf '%s\n' '$TTL 5' "@ SOA localhost. root.localhost. $1 3600 600 86400 5" '@ NS localhost.' "${@:2}" >zone.new
  mv zone.new zone
}
start_knot() { kresd -n -c "$folder/kresd.conf" "$folder/knot" >knot.log 2>&1 & knot_pid=$!; }
zone 1 'gone.bet CNAME .' 'page.bet A 192.0.2.66' '*.ready.bet A 192.0.2.66'
cat >named.conf <<CONF
options { directory "$folder"; pid-file none; session-keyfile none; listen-on port $primary { 127.0.0.1; }; listen-on-v6 { none; }; notify no; };
controls { };
zone rpz.finding { type primary; file "zone"; allow-transfer { any; }; check-names ignore; };
CONF
named -g -n 1 -c named.conf 2>named.log & serves=$!; pids+=("$serves")
mkdir run knot
echo "rpzPrimary('127.0.0.1:$primary', 'rpz.finding', {refresh = 1})" >run/rpz.lua
pdns_recursor --config-dir="$folder/run" --socket-dir="$folder/run" --local-address=127.0.0.1 --local-port="$recursor" --daemon=no \
  --forward-zones-recurse=.=127.0.0.1:"$outside" --lua-config-file="$folder/run/rpz.lua" --dont-query= --dnssec=off --hint-file=no \
  --webserver=no >recursor.log 2>&1 & pids+=($!)
cat >kresd.conf <<LUA
net.listen('127.0.0.1', $knot, { kind = 'dns' })
trust_anchors.remove('.')
cache.size = 10 * MB
modules.load('policy')
policy.add(policy.rpz(policy.DENY, '$folder/zone', false))
policy.add(policy.all(policy.STUB('127.0.0.1@$outside')))
LUA
start_knot
cat >unbound.conf <<CONF
server:
  interface: 127.0.0.1@$behind
  do-not-query-localhost: no
  chroot: ""
  username: ""
  directory: "$folder"
  pidfile: ""
  use-syslog: no
  module-config: "iterator"
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@$knot
CONF
unbound -d -c unbound.conf 2>unbound.log & pids+=($!)
answer() { # answer PORT NAME: the address, or NXDOMAIN and the TTL of its SOA
  dig +noall +comments +answer +authority +tries=1 +time=2 @127.0.0.1 -p "$1" "$2" A 2>/dev/null |
    awk '/status: NXDOMAIN/ {printf "NXDOMAIN"} $4 == "A" {printf $5} $4 == "SOA" {printf "/" $2}'
}
changed=0
see() { # see PORT NAME PATTERN WHO
  local got
  got=$(answer "$1" "$2")
  echo "$4: $2 $got"
  # shellcheck disable=SC2053
  [[ $got == $3 ]] || changed=1
}
for port in "$recursor" "$knot"; do
  for n in {1..100}; do [[ $(answer "$port" "$n.ready.bet") == 192.0.2.66 ]] && break; sleep 0.2; done # a name once: failures are kept
done
see "$recursor" gone.bet NXDOMAIN Recursor
see "$recursor" page.bet 192.0.2.66 Recursor
see "$knot" gone.bet NXDOMAIN/10800 Knot
see "$behind" gone.bet NXDOMAIN/* 'a forwarder behind Knot'
see "$behind" page.bet 192.0.2.66 'a forwarder behind Knot'
zone 2 'other.bet CNAME .'
kill -HUP "$serves"
kill "$knot_pid"; wait "$knot_pid" || true
start_knot
echo "the zone has neither name any more; 12 s later:"
sleep 12
see "$recursor" gone.bet NXDOMAIN Recursor
see "$recursor" page.bet 198.51.100.7 Recursor
see "$knot" gone.bet 198.51.100.7 Knot
see "$behind" gone.bet NXDOMAIN/* 'a forwarder behind Knot'
see "$behind" page.bet 198.51.100.7 'a forwarder behind Knot'
echo "again 52 s later:"
sleep 52
see "$recursor" gone.bet 198.51.100.7 Recursor
see "$behind" gone.bet NXDOMAIN/* 'a forwarder behind Knot'
[[ $changed == 0 ]] || { echo "it has changed"; exit 1; }
