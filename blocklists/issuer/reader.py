"""The desk's key for appeals: it opens the bundles of providers, and what was written against entries of sealed lists.

Enters: the desk. Leaves: the key, made on first use; or `InboxError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from blocklists import durable
from blocklists.errors import BlocklistError, why

if TYPE_CHECKING:
    from blocklists.issuer.desk import Desk


class InboxError(BlocklistError):
    """The desk's folder of appeals is not in the state that a command needs."""


def reader_key(desk: Desk) -> X25519PrivateKey:
    """The key that opens bundles; made on first use."""
    path = desk.folder / "appeals" / "reader.pem"
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except FileNotFoundError:
        from blocklists import bundle  # 2 ms, for sealed lists and appeals alone

        key = bundle.new_reader_key()
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        durable.replace(path, pem, mode=0o600)
    except (OSError, ValueError) as error:
        raise InboxError(f"{path} cannot be read ({why(error, path)})") from error
    if not isinstance(key, X25519PrivateKey):
        raise InboxError(f"{path} is not an X25519 key")
    return key


def appeals_key(desk: Desk) -> bytes:
    """Its public half, as the head of a sealed list has it. Raises InboxError."""
    return reader_key(desk).public_key().public_bytes_raw()


def encrypted_to(octets: bytes) -> str:
    """What a signer reads of the key in the head of a sealed list."""
    from blocklists import bundle

    return f"what is written in appeals is encrypted to {bundle.reader_line(octets)}"
