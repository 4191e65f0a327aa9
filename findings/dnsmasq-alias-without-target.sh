#!/usr/bin/env bash
# A forwarder that gets an alias without its target's records, and no SOA.
#
# Guess: dnsmasq keeps nothing for the target ("negative responses without SOA records SHOULD NOT be cached", RFC 2308, 5),
#        so a client that asks for the target next makes dnsmasq ask its upstream.
# Seen:  dnsmasq 2.90 passes the CNAME on, and answers the target with "no such data" from its cache for the CNAME's TTL; the
#        upstream, which has an address for it, is not asked.
# For DNS blocking: who leaves the records of a blocked name out of an answer for its alias makes the blocked name vanish in
#        dnsmasq for that long, instead of leading to the page that explains the block. A short TTL on what is left bounds it.
# Date:  2026-11-28. Needs apt (Debian 12) and Python 3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download --quiet=2 -o APT::Sandbox::User=root dnsmasq-base=2.90-4~deb12u2 libnetfilter-conntrack3 libnftables1 libnfnetlink0 \
  libnftnl11 libmnl0 libjansson4
for package in ./*.deb; do dpkg -x "$package" .; done
LD_LIBRARY_PATH=$(echo usr/lib/*-linux-gnu):${LD_LIBRARY_PATH:-}
export LD_LIBRARY_PATH
python3 - usr/sbin/dnsmasq <<'PYTHON'
import socket, struct, subprocess, sys, threading, time

def wire(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"

def record(owner, kind, ttl, data):
    return wire(owner) + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data

RECORDS = {"alias.example": record("alias.example", 5, 60, wire("target.example")),
           "target.example": record("target.example", 1, 60, bytes([192, 0, 2, 66]))}
asked = []

def name_of(message):
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1 : at + 1 + message[at]].decode().lower())
        at += 1 + message[at]
    return ".".join(labels), at + 5

def serve(upstream):
    while True:
        message, client = upstream.recvfrom(4096)
        name, end = name_of(message)
        asked.append(name)
        found = RECORDS.get(name, b"")
        head = message[:2] + b"\x81\x80\0\1" + bytes([0, 1 if found else 0]) + b"\0\0\0\0"
        upstream.sendto(head + message[12:end] + found, client)

def answers(port, name):
    """Records in the answer, once there is one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(1)
        one.connect(("127.0.0.1", port))
        for _ in range(50):
            try:
                one.send(b"\0\1\1\0\0\1\0\0\0\0\0\0" + wire(name) + b"\0\1\0\1")
                return int.from_bytes(one.recv(4096)[6:8], "big")
            except OSError:
                time.sleep(0.2)
    raise SystemExit("dnsmasq does not answer")

upstream, spare = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
upstream.bind(("127.0.0.1", 0))
spare.bind(("127.0.0.1", 0))
port = spare.getsockname()[1]
spare.close()
threading.Thread(target=serve, args=(upstream,), daemon=True).start()
command = [sys.argv[1], "-k", "-C", "/dev/null", "-p", str(port), "-a", "127.0.0.1", "-z", "--no-resolv", "--no-hosts",
           "-S", f"127.0.0.1#{upstream.getsockname()[1]}", "-u", "root", "-x", ""]
process = subprocess.Popen(command)
try:
    answers(port, "first.example")
    alias = answers(port, "alias.example")
    target = answers(port, "target.example")
finally:
    process.terminate()
    process.wait()
print(f"alias.example: {alias} record; target.example after it: {target} records; upstream asked for the target: "
      f"{asked.count('target.example')} times")
sys.exit(0 if (alias, target, asked.count("target.example")) == (1, 0, 0) else 1)
PYTHON
