"""What of a secret stays in this process's memory: as little as Python lets.

A `bytes` that was used stays in memory until something else takes its place. `wipe` overwrites one that nobody uses any
more. What the interpreter or a library copied meanwhile it does not reach; tests/policy/test_sealed_memory.py looks.
"""

from __future__ import annotations

_HEADER = bytes.__basicsize__ - 1
"""Octets of a `bytes` before its content (CPython)."""


def wipe(*secrets: bytes) -> None:
    """Overwrite octets that only the caller holds."""
    import ctypes  # 1 ms, and the desk of a readable list has nothing to wipe

    for secret in secrets:
        if len(secret) > 1:  # shorter ones are shared by the interpreter
            ctypes.memset(id(secret) + _HEADER, 0, len(secret))


def moved(secret: bytes) -> bytearray:
    """The octets where they can be overwritten; `secret` is wiped."""
    copy = bytearray(secret)
    wipe(secret)
    return copy
