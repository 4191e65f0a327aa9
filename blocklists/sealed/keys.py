"""The provider's key for sealed lists, and the card of it that travels to issuers.

Enters: a file. Leaves: an X25519 key, or `SealError` (`seal-key`); a frozen `Card`.

Rules
- The key is an X25519 private key in PEM (PKCS #8), not encrypted: systemd hands it over decrypted
  (`LoadCredentialEncrypted=`), and then it is in no file of a disk.
- A key that somebody else than its reader can read is refused, by name. systemd gives a credential to its service by an
  access control list, which shows as the mode 0440 though no group can read it: the list is read, not the mode alone.
- A card is public. It carries no signature: the issuer compares its id by telephone, as with every key of this house.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from blocklists import durable
from blocklists.sealed.errors import SealError
from blocklists.sealed.memory import wipe
from blocklists.text import is_text

if TYPE_CHECKING:
    from pathlib import Path

FORMAT, KIND = 1, "stopsign-sealed-card"
LARGEST = 1 << 14
"""Octets of a key or a card at most."""
_RAW = serialization.Encoding.Raw, serialization.PublicFormat.Raw
_ACL = "system.posix_acl_access"
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 1, 2, 4, 8, 16, 32


@dataclass(frozen=True, slots=True)
class Card:
    """The public half of a provider's key, under the name that the list's head shows for it."""

    provider: str
    public: bytes
    """The X25519 key, 32 octets."""

    def __post_init__(self) -> None:
        if not 0 < len(self.provider) <= 100 or not is_text(self.provider):
            raise SealError("seal-key", "a provider's name on a card is one line of at most 100 characters")
        if len(self.public) != 32:
            raise SealError("seal-key", "the key on a card is not one of X25519")

    @property
    def keyid(self) -> str:
        """16 hexadecimal digits of the key's SHA-256."""
        return keyid_of(self.public)

    def to_bytes(self) -> bytes:
        """The file that travels to the issuer."""
        fields = {"format": FORMAT, "kind": KIND, "provider": self.provider, "key": _base64(self.public)}
        return json.dumps(fields, indent=1, sort_keys=True).encode() + b"\n"

    @staticmethod
    def from_bytes(data: bytes) -> Card:
        """The card of a file. Raises SealError."""
        try:
            fields = json.loads(data[: LARGEST + 1])
            if (
                fields["kind"] != KIND
                or fields["format"] != FORMAT
                or fields.keys() - {"format", "kind", "provider", "key"}
            ):
                raise SealError("seal-key", "not a card for sealed lists that is known here")
            return Card(fields["provider"], base64.b64decode(fields["key"], validate=True))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise SealError("seal-key", f"not a card for sealed lists ({type(error).__name__})") from None

    @staticmethod
    def load(path: Path) -> Card:
        """The card in a file. Raises SealError."""
        try:
            return Card.from_bytes(path.read_bytes())
        except OSError as error:
            raise SealError("seal-key", f"{path}: {error.strerror}") from None


def keyid_of(public: bytes) -> str:
    """What a public key is called."""
    return hashlib.sha256(public).hexdigest()[:16]


def card_of(key: X25519PrivateKey, provider: str) -> Card:
    """The card of a key."""
    return Card(provider, key.public_key().public_bytes(*_RAW))


def public_key(card: Card) -> X25519PublicKey:
    """What a stanza is wrapped for."""
    return X25519PublicKey.from_public_bytes(card.public)


def create(path: Path) -> X25519PrivateKey:
    """Make a key; never over one that is there. Raises SealError."""
    if path.exists():
        raise SealError("seal-key", f"{path} is there already", hint="a key is made once; move the old one away")
    key = X25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    durable.replace(path, pem, mode=0o600)
    return key


def load(path: Path) -> X25519PrivateKey:
    """The key of a file that nobody else can read. Raises SealError."""
    try:
        # O_NONBLOCK: a pipe in its place would wait for ever
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            _check_private(path, handle)
            pem = os.read(handle, LARGEST)
        finally:
            os.close(handle)
    except OSError as error:
        raise SealError(
            "seal-key", f"{path}: {error.strerror}", hint="stopsign sealed key makes one; docs/sealed.md"
        ) from None
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        raise SealError("seal-key", f"{path} is no private key in PEM that needs no passphrase") from None
    finally:
        wipe(pem)
    if not isinstance(key, X25519PrivateKey):
        raise SealError("seal-key", f"{path} is not an X25519 key")
    return key


def _check_private(path: Path, handle: int) -> None:
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        raise SealError("seal-key", f"{path} is no file")
    mode = status.st_mode & 0o077
    if mode and not (mode & ~0o040 == 0 and _only_we_read(handle)):
        raise SealError(
            "seal-key", f"{path} can be read by others than its owner (mode {status.st_mode & 0o777:04o})",
            hint=f"chmod 600 {path}, or make it a systemd credential; if others may have read it, make a new one",
        )  # fmt: skip


def _only_we_read(handle: int) -> bool:
    """Whether an access control list, whose mask shows as the group's bits, lets this user alone read."""
    try:
        data = os.getxattr(handle, _ACL)
    except OSError:
        return False  # no list: the bits are the group's own
    allowed = 7
    entries = list(struct.iter_unpack("<HHI", data[4:]))
    for tag, rights, _ in entries:
        if tag == _MASK:
            allowed = rights
    return not any(
        rights & allowed and (tag in {_GROUP_OBJ, _GROUP, _OTHER} or (tag == _USER and user not in {os.geteuid(), 0}))
        for tag, rights, user in entries
    )


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()
