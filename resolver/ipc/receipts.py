"""A receipt's secret and what is kept of it.

Enters: the secret in the link of a receipt (16 octets). Leaves: its hash, which the web process stores and hands to the
steward with the appeal. Rules: who shows the secret is the appeal's author; nothing else proves that.
"""

from __future__ import annotations

from hashlib import sha256

SIZE = 16  # octets of a secret


def hash_of(secret: bytes) -> bytes:
    """32 octets."""
    return sha256(b"stopsign receipt\0" + secret).digest()
