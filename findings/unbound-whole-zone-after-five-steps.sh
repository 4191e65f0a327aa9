#!/usr/bin/env bash
# Guess: a secondary that can take steps (IXFR, RFC 1995) goes on taking steps as long as the primary has them.
# Behaviour (2026-11-29): Unbound 1.26.2 (Debian 13) asks for the whole zone (AXFR) after every fifth IXFR of a response policy zone;
# Unbound 1.17.1 (Debian 12) took all 12 steps by IXFR.
# What it means for DNS blocking: a list of a million names that changes every few minutes is sent whole by every sixth change, to each
# such resolver. The primary must be able to send it at any time, and the network between them is sized for that.
# Needs Debian 12 with bind9, unbound and dnsutils installed, apt, root (a mount namespace and chroot). Exits 0 while it is so, 1 when it has
# changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
check() { [[ $2 == "$3" ]] || { echo "$1 is $2, not $3: look again"; exit 1; }; echo "$1 $2"; }
check bind9 "$(dpkg-query --show --showformat='${Version}' bind9)" 1:9.18.49-1~deb12u3
check unbound "$(dpkg-query --show --showformat='${Version}' unbound)" 1.17.1-2+deb12u4

mirror=$({ grep -rhoE '^(URIs: |deb .*)https?://[^ ]+/debian( |/|$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null || true; } | grep -oE 'https?://[^ ]+/debian' | sed -n 1p)
mkdir -p "$work"/{lists/partial,cache/archives/partial,state,tree}
: >"$work/state/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >"$work/sources.list"
apt=(-q -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State="$work/state"
  -o Dir::State::status="$work/state/status" -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache"
  -o Acquire::Languages=none -o APT::Install-Recommends=0 -o APT::Sandbox::User=root)
apt-get "${apt[@]}" update >/dev/null
apt-get "${apt[@]}" install --yes --download-only base-files coreutils unbound >/dev/null
for package in "$work"/cache/archives/*.deb; do dpkg-deb --fsys-tarfile "$package" | tar -x -C "$work/tree" --keep-directory-symlink; done
check "unbound of Debian 13" "$(basename "$work"/cache/archives/unbound_*.deb | cut -d_ -f2)" 1.26.2-0+deb13u1

chmod 755 "$work"
port() { python3 -c 'import random; print(random.randrange(10000, 32000))'; }
primary=$(port)
resolver=$(port)
zone() { # zone SERIAL: with so many names more than at first
  echo "\$TTL 60"
  echo "@ SOA localhost. hostmaster.localhost. $1 3600 600 604800 60"
  echo "@ NS localhost."
  for ((n = 0; n < 500 + $1; n++)); do echo "n$n.bet A 192.0.2.66"; done
}
named_conf() {
  cat <<CONF
options {
  directory "$work"; pid-file none; session-keyfile none; listen-on port $primary { 127.0.0.1; }; listen-on-v6 { none; };
  recursion no; ixfr-from-differences yes; notify explicit; also-notify { 127.0.0.1 port $resolver; }; notify-delay 0;
};
controls { };
zone rpz.finding { type primary; file "$work/zone"; allow-transfer { any; }; };
CONF
}
answer() { dig +short +tries=1 +time=1 @127.0.0.1 -p "$resolver" "$1" A 2>/dev/null | head -1; }
until_blocked() {
  for _ in {1..300}; do
    if [[ $(answer "$1") == 192.0.2.66 ]]; then return; fi
    sleep 0.1
  done
  echo "$1 is never answered from the zone"
  tail -3 "$work"/*.log
  exit 1
}
steps() { # steps FILE COMMAND...: how that Unbound, with its configuration in FILE, asks for 12 changes; one letter each
  # In a subshell of its own, which ends what it started.
  zone 1 >"$work/zone"
  rm -f "$work/zone.jnl"
  named -g -c "$work/named.conf" >"$work/named.log" 2>&1 & served=$!
  asks=$served
  trap 'kill "$served" "$asks" 2>/dev/null; wait' EXIT
  cat >"$1" <<CONF
server:
  interface: 127.0.0.1@$resolver
  do-not-query-localhost: no
  chroot: ""
  username: ""
  directory: "/"
  pidfile: ""
  use-syslog: no
  module-config: "respip iterator"
rpz:
  name: rpz.finding.
  primary: 127.0.0.1@$primary
CONF
  "${@:2}" >"$work/unbound.log" 2>&1 & asks=$!
  until_blocked n0.bet
  for ((change = 2; change <= 13; change++)); do
    zone "$change" >"$work/zone.new"
    mv "$work/zone.new" "$work/zone"
    kill -HUP "$served"
    until_blocked "n$((499 + change)).bet"
  done
  # The first one brings the zone.
  grep -oE "(AXFR|IXFR) started" "$work/named.log" | cut -c1 | tail -n +2 | tr -d '\n'
}
named_conf >"$work/named.conf"
mkdir -p "$work/tree/dev"
mknod --mode=666 "$work/tree/dev/urandom" c 1 9
mknod --mode=666 "$work/tree/dev/null" c 1 3
new=$(steps "$work/tree/unbound.conf" chroot "$work/tree" /usr/sbin/unbound -d -c /unbound.conf)
echo "Unbound 1.26.2, 12 changes (A: the whole zone, I: a step): $new"
old=$(steps "$work/unbound.conf" unbound -d -c "$work/unbound.conf")
echo "Unbound 1.17.1, the same: $old"
[[ $new == IIIIIAIIIIIA && $old == IIIIIIIIIIII ]] || { echo "it has changed"; exit 1; }
