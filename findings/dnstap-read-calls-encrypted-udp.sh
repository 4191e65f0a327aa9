#!/usr/bin/env bash
# Answers over DoT, DoH and DoQ in a dnstap file, read by BIND's own reader.
#
# Guess: dnstap-read prints DOT, DOH and DOQ, or at worst a number or nothing: the protocol is a field of each message.
# Seen:  dnstap-read 9.18.49 prints "UDP" for all that is not TCP, also where it shows the message's own fields (-y); its copy of
#        dnstap.proto has no other protocol. The command dnstap 0.4.0 reads DOT and DOH in the same file, and 7 for DoQ; dnstap-ldns
#        0.2.1 says "?".
# For DNS blocking: who counts blocked answers by how they were asked (did the encrypted resolver stop this name too?) sees plain DNS
#        alone, and takes a working DoH for one that nobody uses. Count by another reader, or by the port of the answer.
# Date:  2026-11-29. Needs apt (Debian 12), BIND 9.18.49 (Debian bind9-dnsutils), Python 3.
set -euo pipefail
needed=1:9.18.49-1~deb12u3
[ "$(dpkg-query -W -f '${Version}' bind9-dnsutils)" = "$needed" ] || { echo "bind9-dnsutils $needed is not installed" >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download --quiet=2 -o APT::Sandbox::User=root golang-github-dnstap-golang-dnstap-cli=0.4.0-4+b4 dnstap-ldns=0.2.1-1 libfstrm0 \
  libprotobuf-c1 libldns3
for package in ./*.deb; do dpkg -x "$package" .; done
python3 - <<'PYTHON'
"""Writes five answers, as UDP, TCP, DOT, DOH, DOQ (dnstap.proto, SocketProtocol), in a file of Frame Streams."""
import struct


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def control(kind: int, *content_type: bytes) -> bytes:
    body = struct.pack("!I", kind) + b"".join(struct.pack("!II", 1, len(one)) + one for one in content_type)
    return struct.pack("!II", 0, len(body)) + body


answer = b"\x12\x34\x81\x83\0\1\0\0\0\0\0\0" b"\3bet\7example\0\0\1\0\1"
data = control(2, b"protobuf:dnstap.Dnstap")
for protocol, port in ((1, 53), (2, 53), (3, 853), (4, 443), (7, 853)):
    message = field(1, 6) + field(2, 1) + field(3, protocol) + field(4, bytes([192, 0, 2, 1])) + field(5, bytes([198, 51, 100, 53]))
    message += field(6, 40000) + field(7, port) + field(12, 1795900000) + varint(13 << 3 | 5) + bytes(4) + field(14, answer)
    frame = field(14, message) + field(15, 1)
    data += struct.pack("!I", len(frame)) + frame
with open("tap", "wb") as file:
    file.write(data + control(3))
PYTHON
LD_LIBRARY_PATH=$(echo "$folder"/usr/lib/*-linux-gnu):${LD_LIBRARY_PATH:-}
export LD_LIBRARY_PATH
status=0
printed() { # READER SEEN FOUND
  echo "$1: $3"
  [ "$2" = "$3" ] || { echo "this has changed: it was $2" >&2; status=1; }
}
echo "written: UDP TCP DOT DOH DOQ"
printed "dnstap-read" "UDP TCP UDP UDP UDP" "$(LD_LIBRARY_PATH='' dnstap-read tap | awk '{ print $7 }' | xargs)"
printed "dnstap-read -y" "UDP TCP UDP UDP UDP" "$(LD_LIBRARY_PATH='' dnstap-read -y tap | awk '/socket_protocol/ { print $2 }' | xargs)"
printed "dnstap" "UDP TCP DOT DOH 7" "$(usr/bin/dnstap -y -r tap -w - 2>/dev/null | awk '/socket_protocol/ { print $2 }' | xargs)"
printed "dnstap-ldns" "UDP TCP ? ? ?" "$(usr/bin/dnstap-ldns -r tap | awk '{ print $5 }' | xargs)"
exit "$status"
