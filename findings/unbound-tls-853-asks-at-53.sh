#!/usr/bin/env bash
# A policy zone that Unbound is to take over TLS, from the port that is meant for it.
#
# Guess: with `primary: ADDRESS@853#NAME` Unbound talks to port 853 of the primary and to no other. Its manual says that it asks for the
#        serial by UDP, so a primary that answers this and TLS at 853 has all that is needed.
# Seen:  Unbound 1.17.1 asks for the serial at port 53 of the primary, in clear, and takes no zone while nobody there knows it: closed,
#        REFUSED and NXDOMAIN come to the same. Only where the port is its own `tls-port` (853) it does so: at 8853 the same primary is
#        asked at 8853 alone, and the zone comes over TLS. (1.26.2 of Debian 13: the same.)
# For DNS blocking: with 853 a resolver of a dedicated host for policy zones blocks nothing, and logs nothing about it. At port 53 of a
#        primary there is often a resolver: it hears the zone's name, says NXDOMAIN, and the list stays away or stays old. Give the
#        zones another port than 853, or let what answers at 53 know the serial.
# Date:  2026-11-29. Needs Debian 12 with unbound, nsd, dnsutils and openssl, Python 3, root (a network namespace).
set -euo pipefail
PATH=$PATH:/usr/sbin
if [[ ${1:-} != inside ]]; then exec unshare --net "$BASH" "$0" inside; fi # port 53 and 853 are free in there
for pinned in unbound=1.17.1-2+deb12u4 nsd=4.6.1-1; do
  found=$(dpkg-query --show --showformat='${Version}' "${pinned%%=*}")
  echo "${pinned%%=*} $found"
  [[ $found == "${pinned#*=}" ]] || { echo "another version than ${pinned#*=}: look again"; exit 1; }
done
ip link set lo up
folder=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out certificate -days 2 -subj /CN=rpz.example \
  -addext subjectAltName=DNS:rpz.example 2>/dev/null
printf '$TTL 60\n@ SOA localhost. root.localhost. 1 3600 600 86400 60\n@ NS localhost.\nlisted.bet A 192.0.2.66\n' >zone
cat >at53.py <<'PY'
"""Whatever is at port 53 of the primary: it says that it knows nothing (NXDOMAIN), and notes what it was asked."""
import socket
one = socket.socket(type=socket.SOCK_DGRAM)
one.bind(("127.0.0.1", 53))
while True:
    data, client = one.recvfrom(4096)
    if data[12:] == b"\x03rpz\x07finding\0\0\x06\0\x01":
        print("rpz.finding SOA", flush=True)
    one.sendto(data[:2] + b"\x80\x83" + data[4:6] + bytes(6) + data[12:], client)
PY
python3 at53.py >asked & pids+=($!)

zone_at() { # zone_at PORT UNBOUND-PORT: a primary at that port, by UDP and TLS, and an Unbound that is to take the zone from there
  cat >"nsd$1.conf" <<CONF
server:
  ip-address: 127.0.0.1@$1
  tls-port: $1
  tls-service-key: "$folder/key"
  tls-service-pem: "$folder/certificate"
  server-count: 1
  username: ""
  chroot: ""
  database: ""
  zonesdir: "$folder"
  zonelistfile: "$folder/list$1"
  xfrdfile: "$folder/xfrd$1"
  xfrdir: "$folder"
  pidfile: ""
remote-control:
  control-enable: no
zone:
  name: rpz.finding
  zonefile: zone
  provide-xfr: 127.0.0.1 NOKEY
CONF
  nsd -d -c "nsd$1.conf" >"nsd$1.log" 2>&1 & pids+=($!)
  for _ in {1..50}; do
    serial=$(dig +short +tries=1 +time=1 @127.0.0.1 -p "$1" rpz.finding SOA 2>/dev/null) || true
    [[ $serial == *" 1 3600 "* ]] && break
    sleep 0.2
  done
  [[ $serial == *" 1 3600 "* ]] || { echo "NSD does not answer at $1"; cat "nsd$1.log"; exit 2; }
  cat >"unbound$1.conf" <<CONF
server:
  interface: 127.0.0.1@$2
  do-not-query-localhost: no
  chroot: ""
  username: ""
  directory: "$folder"
  pidfile: ""
  use-syslog: no
  tls-cert-bundle: "$folder/certificate"
  module-config: "respip iterator"
rpz:
  name: rpz.finding.
  primary: 127.0.0.1@$1#rpz.example
CONF
  unbound -d -c "unbound$1.conf" 2>"unbound$1.log" & pids+=($!)
  came[$1]=no
  for _ in {1..20}; do
    if [[ $(dig +short +tries=1 +time=1 @127.0.0.1 -p "$2" listed.bet A 2>/dev/null) == 192.0.2.66 ]]; then came[$1]=yes; break; fi
    sleep 1
  done
  at53[$1]=$(wc -l <asked)
  echo "primary: 127.0.0.1@$1#rpz.example: the zone came: ${came[$1]}; asked at port 53 for the serial so far: ${at53[$1]} times"
}
declare -A came at53
zone_at 8853 20001
zone_at 853 20002
cat unbound853.log
[[ ${came[8853]} == yes && ${at53[8853]} == 0 && ${came[853]} == no && ${at53[853]} -gt 0 ]] || { echo "it has changed"; exit 1; }
