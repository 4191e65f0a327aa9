#!/usr/bin/env bash
# Guess: `local-data/rpz` of Knot Resolver 6 reads a response policy zone as BIND, Unbound, PowerDNS and version 5 do.
# Behaviour (knot-resolver6 6.5.0, Debian sid, 2026-11-28): of a zone that every other resolver accepts
#   - `*.NAME A` is skipped: NAME is answered from the zone, everything below it passes;
#   - `NAME CNAME .` also answers NXDOMAIN for everything below NAME;
#   - `rpz-passthru.` is skipped: a name that is let pass below a `*.NAME CNAME .` stays NXDOMAIN;
#   - loading succeeds and the exit status says nothing.
# What it means for DNS blocking: a list that is fed to version 6 as it is under-blocks (www.NAME) and over-blocks (below an
# exact name) at once. A zone for it needs `*.NAME CNAME TARGET.` with TARGET's addresses as local data.
# Needs Debian, apt, root (a mount namespace and chroot), dig and python3. Exits 0 while it is so, 1 when it has changed.
set -euo pipefail
pinned=6.5.0
work=$(mktemp -d); trap 'kill "${pids[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT
pids=()
mirror=$({ grep -rhoE '^(URIs: |deb .*)https?://[^ ]+/debian( |/|$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null || true; } | grep -oE 'https?://[^ ]+/debian' | sed -n 1p)
mkdir -p "$work"/{lists/partial,cache/archives/partial,state,tree}; : >"$work/state/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" >"$work/sources.list"
apt=(-q -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State="$work/state"
  -o Dir::State::status="$work/state/status" -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache"
  -o Acquire::Languages=none -o APT::Install-Recommends=0 -o APT::Sandbox::User=root)
apt-get "${apt[@]}" update >/dev/null
apt-get "${apt[@]}" install --yes --download-only base-files coreutils knot-resolver6 >/dev/null
for package in "$work"/cache/archives/*.deb; do dpkg-deb --fsys-tarfile "$package" | tar -x -C "$work/tree" --keep-directory-symlink; done
version=$(basename "$work"/cache/archives/knot-resolver6_*.deb | cut -d_ -f2)
echo "knot-resolver6 $version"
[[ $version == "$pinned"-* ]] || { echo "another version than $pinned: look again"; exit 1; }

mkdir -p "$work/tree/finding"
cat >"$work/tree/finding/zone" <<'ZONE'
$ORIGIN rpz.finding.
$TTL 60
@ SOA localhost. hostmaster.rpz.finding. 1 60 15 604800 60
@ NS localhost.
page.bet A 192.0.2.66
*.page.bet A 192.0.2.66
exact.bet CNAME .
gone.bet CNAME .
*.gone.bet CNAME .
good.gone.bet CNAME rpz-passthru.
ZONE
cat >"$work/outside.py" <<'PY'
import socket, sys
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); one.bind(("127.0.0.1", 0)); print(one.getsockname()[1], flush=True)
while True:
    data, client = one.recvfrom(4096)
    end = 12
    while data[end]: end += 1 + data[end]
    end += 1
    is_a = data[end:end + 2] == b"\0\1"
    head = data[:2] + b"\x85\x80\0\1" + (b"\0\1" if is_a else b"\0\0") + b"\0\0\0\0" + data[12:end + 4]
    one.sendto(head + (b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\xc6\x33\x64\x07" if is_a else b""), client)
PY
python3 "$work/outside.py" >"$work/outside.port" & pids+=($!)
until [ -s "$work/outside.port" ]; do sleep 0.1; done
port=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])')
# As the manager makes it of `local-data: {rpz: [{file: …}]}` and `forward`.
cat >"$work/tree/finding/config" <<LUA
net.listen('127.0.0.1', $port, { kind = 'dns' })
trust_anchors.remove('.')
cache.size = 10 * MB
modules = { 'hints > iterate' }
local ffi = require('ffi')
local rrs = ffi.new('struct kr_rule_zonefile_config')
rrs.ttl, rrs.tags, rrs.nodata, rrs.is_rpz = 60, 0, true, true
rrs.filename = '/finding/zone'
rrs.opts = ffi.C.KR_RULE_OPTS_DEFAULT
rrs.opts.score = 9
assert(ffi.C.kr_rule_zonefile(rrs) == 0)
policy.rule_forward_add('.', {dnssec=false, auth=false}, {{'127.0.0.1@$(cat "$work/outside.port")'}})
LUA
mkdir -p "$work/tree/finding/run"
# shellcheck disable=SC2016
unshare --mount --propagation private sh -c 'for d in dev proc; do mkdir -p "$0/$d"; mount --rbind "/$d" "$0/$d"; done
  exec chroot "$0" kresd -n -c /finding/config /finding/run' "$work/tree" >"$work/log" 2>&1 & pids+=($!)
for _ in $(seq 100); do dig +time=1 +tries=1 @127.0.0.1 -p "$port" page.bet >/dev/null 2>&1 && break; sleep 0.2; done

changed=0
see() { # NAME WHAT-IT-DOES WHAT-RPZ-SAYS
  local answer; answer=$(dig +time=3 +tries=2 @127.0.0.1 -p "$port" "$1" A)
  local rcode; rcode=$(sed -n 's/.*status: \([A-Z]*\),.*/\1/p' <<<"$answer")
  local address; address=$(awk '$4 == "A" && !/^;/ {print $5}' <<<"$answer")
  echo "$1: $rcode ${address:--} (RPZ says: $3)"
  [ "$rcode ${address:--}" = "$2" ] || changed=1
}
see page.bet 'NOERROR 192.0.2.66' 192.0.2.66
see www.page.bet 'NOERROR 198.51.100.7' 192.0.2.66
see exact.bet 'NXDOMAIN -' NXDOMAIN
see www.exact.bet 'NXDOMAIN -' 'it passes, 198.51.100.7'
see good.gone.bet 'NXDOMAIN -' 'it passes, 198.51.100.7'
grep -E 'skip|not supported' "$work/log" || true
exit "$changed"
