#!/usr/bin/env bash
# A listed name whose stop page has an IPv4 address alone, asked for by a client that has IPv6 alone (DNS64, RFC 6147).
#
# Guess: the resolver makes an IPv6 address out of the policy zone's, as it does for any other name without one: so do BIND 9.18 and
#        PowerDNS Recursor 4.8, and the client reaches the page through NAT64.
# Seen:  Unbound 1.17.1 answers AAAA with no data, whatever the order of `respip` and `dns64` in `module-config`: what its policy zones
#        say of a name never passes the DNS64 module. (1.26.2 of Debian 13: the same.) BIND makes the address, but its
#        `max-policy-ttl` of 5 s holds for the A record alone: the AAAA has the zone's TTL or its SOA's minimum, whichever is less.
# For DNS blocking: in a mobile network without IPv4 the subscribers of an Unbound see "no such address" and not the page that explains
#        the block; a test from a desk with both kinds of addresses does not show it. Give the stop page an IPv6 address (where it has none,
#        the one of the NAT64 prefix) in the zone itself. With BIND, a lifted block goes on there for as long as the zone's TTLs say.
# Date:  2026-11-29. Needs Debian 12 with bind9, unbound, pdns-recursor and dnsutils, Python 3.
set -euo pipefail
PATH=$PATH:/usr/sbin
for pinned in bind9=1:9.18.49-1~deb12u3 unbound=1.17.1-2+deb12u4 pdns-recursor=4.8.8-1+deb12u1; do
  found=$(dpkg-query --show --showformat='${Version}' "${pinned%%=*}")
  echo "${pinned%%=*} $found"
  [[ $found == "${pinned#*=}" ]] || { echo "another version than ${pinned#*=}: look again"; exit 1; }
done
folder=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
read -r bind before behind recursor outside < <(python3 - <<'PY'
import random, socket
tried, ports = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(5)], random.sample(range(10000, 32000), 5)
for one, port in zip(tried, ports):
    one.bind(("127.0.0.1", port))
print(*ports)
PY
)
cat >outside.py <<'PY'
"""The world outside: every name has the address 198.51.100.7 and no IPv6 address."""
import socket, sys
one = socket.socket(type=socket.SOCK_DGRAM)
one.bind(("127.0.0.1", int(sys.argv[1])))
soa = b"\0\0\6\0\1\0\0\0\5\0\x16\0\0" + bytes([0, 0, 0, 1] * 5)
while True:
    data, client = one.recvfrom(4096)
    end = data.index(b"\0", 12) + 5
    if data[end - 4:end - 2] == b"\0\1":
        counts, record = b"\0\1\0\0\0\0", b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4\xc6\x33\x64\x07"
    else:
        counts, record = b"\0\0\0\1\0\0", soa
    one.sendto(data[:2] + b"\x85\x80\0\1" + counts + data[12:end] + record, client)
PY
python3 outside.py "$outside" & pids+=($!)
printf '$TTL 300\n@ SOA localhost. root.localhost. 1 3600 600 86400 60\n@ NS localhost.\nlisted.bet A 192.0.2.66\n' >zone
cat >named.conf <<CONF
options { directory "$folder"; pid-file none; session-keyfile none; listen-on port $bind { 127.0.0.1; }; listen-on-v6 { none; };
  dnssec-validation no; empty-zones-enable no; forward only; forwarders { 127.0.0.1 port $outside; };
  dns64 64:ff9b::/96 { }; response-policy { zone rpz.finding; } qname-wait-recurse no; };
controls { };
zone rpz.finding { type primary; file "zone"; check-names ignore; };
CONF
named -g -n 1 -c named.conf 2>named.log & pids+=($!)
with_unbound() { # with_unbound PORT MODULES
  cat >"unbound$1.conf" <<CONF
server:
  interface: 127.0.0.1@$1
  do-not-query-localhost: no
  chroot: ""
  username: ""
  directory: "$folder"
  pidfile: ""
  use-syslog: no
  module-config: "$2"
  dns64-prefix: 64:ff9b::/96
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@$outside
rpz:
  name: rpz.finding.
  zonefile: zone
CONF
  unbound -d -c "unbound$1.conf" 2>"unbound$1.log" & pids+=($!)
}
with_unbound "$before" 'respip dns64 iterator'
with_unbound "$behind" 'dns64 respip iterator'
mkdir recursor
echo "rpzFile('$folder/zone', {policyName = 'rpz.finding'})" >recursor/rpz.lua
pdns_recursor --config-dir="$folder/recursor" --socket-dir="$folder/recursor" --local-address=127.0.0.1 --local-port="$recursor" --daemon=no \
  --forward-zones-recurse=.=127.0.0.1:"$outside" --lua-config-file="$folder/recursor/rpz.lua" --dont-query= --dnssec=off --hint-file=no \
  --dns64-prefix=64:ff9b::/96 --webserver=no >recursor.log 2>&1 & pids+=($!)

answer() { # answer PORT NAME TYPE: address/TTL
  dig +noall +answer +tries=1 +time=2 @127.0.0.1 -p "$1" "$2" "$3" 2>/dev/null | awk '{print $5 "/" $2}'
}
changed=0
see() { # see WHO PORT A-OF-LISTED AAAA-OF-LISTED
  local a aaaa other
  for _ in {1..60}; do [[ $(answer "$2" listed.bet A) == 192.0.2.66/* && $(answer "$outside" x.shop A) != '' ]] && break; sleep 0.2; done
  a=$(answer "$2" listed.bet A)
  aaaa=$(answer "$2" listed.bet AAAA)
  other=$(answer "$2" other.shop AAAA)
  echo "$1: listed.bet A ${a:-none}, AAAA ${aaaa:-none}; other.shop AAAA ${other:-none}"
  # shellcheck disable=SC2053
  [[ $a == $3 && $aaaa == $4 && $other == 64:ff9b::c633:6407/* ]] || changed=1
}
see BIND "$bind" 192.0.2.66/5 64:ff9b::c000:242/60
see Recursor "$recursor" '192.0.2.66/*' '64:ff9b::c000:242/*'
see 'Unbound, respip before dns64' "$before" '192.0.2.66/*' ''
see 'Unbound, dns64 before respip' "$behind" '192.0.2.66/*' ''
[[ $changed == 0 ]] || { echo "it has changed"; exit 1; }
