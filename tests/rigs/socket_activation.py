"""A program started with sockets, as systemd starts it."""

from __future__ import annotations

# What systemd does between fork and exec: descriptors from 3 on, and whose they are (sd_listen_fds(3)).
LAUNCH = """
import os, sys
held = [int(number) for number in sys.argv[1].split(",")]
for at, one in enumerate(held):
    os.dup2(one, 100 + at)
for at in range(len(held)):
    os.dup2(100 + at, 3 + at)
os.closerange(3 + len(held), 200)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""
