#!/usr/bin/env bash
# Two hosts in PostgreSQL's URL, the first of which is switched off: it accepts or drops packets and says nothing.
#
# Guess: a client that connects with a timeout of 3 s gives the first host up and tries the second, as libpq does, whose `connect_timeout`
#        holds for each host by itself.
# Seen:  asyncpg 0.32.0 does not: its `timeout` is for all hosts together, so it ends with TimeoutError, and the second host never sees
#        a connection. psycopg 3.2.9 (libpq) tries the second.
# For DNS blocking: hosts that share a database for appeals and overrides, written in Python with asyncio, stay cut off after a fail-over
#        for as long as the old primary is silent, although the new one is named beside it. Connect to each host by itself.
# Date:  2026-11-29. Needs Python 3.9 or later with venv and pip.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check asyncpg==0.32.0 "psycopg[binary]==3.2.9"
env/bin/python - <<'PYTHON'
import asyncio, socket, sys, threading

import asyncpg, psycopg

silent = socket.create_server(("127.0.0.1", 0))
second = socket.create_server(("127.0.0.1", 0))
seen = 0


def count() -> None:
    global seen
    while True:
        one, _ = second.accept()
        seen += 1
        one.close()


threading.Thread(target=count, daemon=True).start()
ports = [one.getsockname()[1] for one in (silent, second)]
url = f"postgresql://me@127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}/appeals"
try:
    asyncio.run(asyncpg.connect(url, timeout=3))
except Exception as error:
    print(f"asyncpg {asyncpg.__version__}: {error!r}, connections to the second host: {seen}")
by_asyncpg, seen = seen, 0
try:
    psycopg.connect(url, connect_timeout=3)
except psycopg.OperationalError as error:
    print(f"psycopg {psycopg.__version__}: connections to the second host: {seen}")
sys.exit(0 if by_asyncpg == 0 and seen > 0 else 1)
PYTHON
