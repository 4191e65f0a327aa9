"""What the desk keeps of sealed lists: files that a passphrase opens.

    one line of JSON: the vault's header {"format", "kdf", "n", "r", "p", "salt", "key"}; then a sealed payload
    (`sealed.stream`) under the vault's key

Enters: octets and a passphrase. Leaves: a file; or its octets, or `VaultError`.

Rules
- The vault's key is 32 random octets, encrypted (ChaCha20-Poly1305) under scrypt of the passphrase. Every file carries
  the header: it opens alone, on another signer's machine too, with the passphrase that was told separately.
- A header from outside cannot ask for more than this machine gives: `n` is bounded.
- The passphrase comes from the file that STOPSIGN_SEALED_PASSPHRASE_FILE names, or from the terminal; it is asked for
  once a process.
"""

from __future__ import annotations

import base64
import getpass
import io
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from blocklists.errors import BlocklistError
from blocklists.issuer.keys import read_passphrase
from blocklists.issuer.progress import asking
from blocklists.sealed import stream
from blocklists.sealed.seal import FILE_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Ask = Callable[[], bytes]
    """Says the passphrase."""

ENVIRONMENT = "STOPSIGN_SEALED_PASSPHRASE_FILE"
N, MAX_N = 1 << 16, 1 << 20
"""scrypt's cost: 64 MiB and about 0.2 s; what is read from outside may ask for 1 GiB at most."""
R, P = 8, 1
SHORTEST = 10
"""Characters of a passphrase."""
_HEADER = 1 << 12


class VaultError(BlocklistError):
    """A file of the vault cannot be made or opened."""


class PassphraseError(VaultError):
    """Another passphrase opens it."""


@lru_cache(maxsize=1)
def ask() -> bytes:
    """The passphrase of sealed lists. Raises VaultError, KeyFileError."""
    if path := os.environ.get(ENVIRONMENT):
        return read_passphrase(Path(path))
    try:
        with asking():
            return getpass.getpass("Passphrase of the sealed lists: ").encode()
    except (OSError, EOFError):
        raise VaultError(
            "nobody is there to say the passphrase of the sealed lists", hint=f"{ENVIRONMENT} names a file that has it"
        ) from None


def create(passphrase: bytes) -> str:
    """A new vault's header. Raises VaultError for a short passphrase."""
    if len(passphrase) < SHORTEST:
        raise VaultError(f"a passphrase of fewer than {SHORTEST} characters protects nothing")
    return _header(os.urandom(FILE_KEY), passphrase)


def opens(header: str, passphrase: bytes) -> bool:
    """Whether this is the passphrase. Raises VaultError for what is no header."""
    try:
        _key(header, passphrase)
    except PassphraseError:
        return False
    return True


def seal(header: str, passphrase: bytes, blocks: Iterable[bytes]) -> bytes:
    """A file of the vault. Raises VaultError for another passphrase."""
    return b"".join((header.encode(), b"\n", *stream.seal(_key(header, passphrase), blocks)))


def opened(data: bytes, passphrase: bytes) -> bytes:
    """What is in a file of a vault. Raises VaultError, SealError."""
    header, _, payload = data.partition(b"\n")
    return b"".join(stream.opened(_key(header.decode("ascii", "replace"), passphrase), io.BytesIO(payload)))


def header_of(data: bytes) -> str:
    """The header of a file of a vault."""
    return data.partition(b"\n")[0].decode("ascii", "replace")


def _header(key: bytes, passphrase: bytes) -> str:
    salt = os.urandom(16)
    wrapped = ChaCha20Poly1305(_derived(passphrase, salt, N, R, P)).encrypt(bytes(12), key, None)
    fields = {"format": 1, "kdf": "scrypt", "n": N, "r": R, "p": P, "salt": _text(salt), "key": _text(wrapped)}
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))


@lru_cache(maxsize=8)
def _key(header: str, passphrase: bytes) -> bytes:
    try:
        if len(header) > _HEADER:
            raise ValueError("too long")
        fields = json.loads(header)
        n, r, p = fields["n"], fields["r"], fields["p"]
        known = fields["format"] == 1 and fields["kdf"] == "scrypt" and isinstance(n, int)
        if not known or not N >> 8 <= n <= MAX_N or n & (n - 1) or (r, p) != (R, P):
            raise ValueError("its form is not known here")
        salt, wrapped = (base64.b64decode(fields[name], validate=True) for name in ("salt", "key"))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise VaultError(f"not a file that a passphrase opens: {error}") from None
    try:
        return ChaCha20Poly1305(_derived(passphrase, salt, n, r, p)).decrypt(bytes(12), wrapped, None)
    except InvalidTag:
        raise PassphraseError("the passphrase of the sealed lists is wrong") from None


def _derived(passphrase: bytes, salt: bytes, n: int, r: int, p: int) -> bytes:
    return Scrypt(salt, 32, n, r, p).derive(passphrase)


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode()
