#!/usr/bin/env bash
# "No such data" and "no such name", each with a SOA that allows a minute, in the cache of c-ares.
#
# Guess: both are kept for the minute (RFC 2308, 5: the lesser of the SOA's TTL and its MINIMUM). The manual says that answers are kept "based
#        on the returned TTL".
# Seen:  c-ares 1.34.9 in pycares 5.2.1 keeps NXDOMAIN for the minute and NODATA for an hour, its own upper limit (qcache_max_ttl): the SOA is
#        looked at for NXDOMAIN alone. The cache is on unless a program turns it off; the project knows of it (c-ares issue 1293).
# For DNS blocking: where a block is answered by NODATA, programs with c-ares (aiohttp takes it wherever aiodns is installed) go on
#        stopping the name for up to an hour after it was withdrawn, whatever TTL the list or the zone has. NXDOMAIN or an address ends in time.
# Date:  2026-11-29. Needs apt (Debian 12), Python 3.10 or later with venv and pip. The clock is libfaketime's, for this process alone.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download --quiet=2 -o APT::Sandbox::User=root libfaketime=0.9.10-2.1
dpkg -x libfaketime_*.deb .
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check aiodns==4.0.4 pycares==5.2.1
cat >ask.py <<'PYTHON'
import asyncio, pathlib, socket, struct, sys, threading

import aiodns, pycares

print("c-ares", pycares.ARES_VERSION)
NXDOMAIN = "nx.bet.example"
NODATA = "nodata.bet.example"
SOA = b"\3bet\7example\0" + struct.pack("!HHIH", 6, 1, 60, 22) + b"\0\0" + struct.pack("!5I", 1, 3600, 600, 86400, 60)
asked = []


def serve(server: socket.socket) -> None:
    while True:
        message, client = server.recvfrom(4096)
        end = message.index(b"\0", 12) + 5
        question = message[12:end]
        asked.append(question)
        rcode = 3 if question.lower().startswith(b"\2nx") else 0
        server.sendto(message[:2] + struct.pack("!5H", 0x8180 | rcode, 1, 0, 1, 0) + question + SOA, client)


async def questions(resolver: aiodns.DNSResolver, name: str) -> int:
    """How many of the resolver's questions it takes to answer the program's one."""
    before = len(asked)
    try:
        await resolver.query_dns(name, "A")
    except aiodns.error.DNSError as error:
        expected = aiodns.error.ARES_ENOTFOUND if name == NXDOMAIN else aiodns.error.ARES_ENODATA
        assert error.args[0] == expected, error
        return len(asked) - before
    sys.exit(f"{name} has an address")


async def main() -> int:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    threading.Thread(target=serve, args=(server,), daemon=True).start()
    resolver = aiodns.DNSResolver(nameservers=["127.0.0.1"], udp_port=server.getsockname()[1], timeout=5, tries=1)
    changed = 0
    for minute, seen in ((0, (1, 1)), (0.5, (0, 0)), (2, (1, 0)), (30, (1, 0)), (59, (1, 0)), (61, (1, 1))):
        pathlib.Path("clock").write_text(f"+{minute * 60}\n")
        found = await questions(resolver, NXDOMAIN), await questions(resolver, NODATA)
        said = ["asked again" if one else "from the cache" for one in found]
        print(f"minute {minute}: NXDOMAIN {said[0]}, NODATA {said[1]}" + ("" if found == seen else f" (was {seen})"), flush=True)
        changed |= found != seen
    return changed


sys.exit(asyncio.run(main()))
PYTHON
echo +0 >clock
FAKETIME_TIMESTAMP_FILE=$folder/clock FAKETIME_NO_CACHE=1 LD_PRELOAD=$(echo "$folder"/usr/lib/*/faketime/libfaketime.so.1) env/bin/python ask.py
