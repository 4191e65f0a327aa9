"""A receipt's secret, and the hash of it that is stored.

Enters: the secret in the link of a receipt (16 octets). Leaves: its hash, which the web process stores and sends to the
steward with the appeal. Rule: the secret alone proves the author of an appeal.
"""

from __future__ import annotations

from hashlib import sha256

SIZE = 16  # octets of a secret


def hash_of(secret: bytes) -> bytes:
    """32 octets."""
    return sha256(b"stopsign receipt\0" + secret).digest()
