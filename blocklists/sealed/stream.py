"""The payload of a sealed file: chunks of 64 KiB, each encrypted and authenticated in its place, as age's payload is.

    16 octets of nonce, then chunk after chunk: ChaCha20-Poly1305 of 65,536 octets (the last one may have fewer)

Enters: a file key and octets. Leaves: octets; or `SealError` (`seal-broken`).

Rules (age-encryption.org/v1, "Payload")
- The payload's key is HKDF-SHA-256 of the file key, the nonce as its salt, `payload` as its info. So two files under
  one file key (a document and the step to it) share no key.
- A chunk's nonce is its number (11 octets, from the left) and one octet that is 1 in the last chunk. Chunks that are
  missing, repeated, in another order, or cut off cannot be opened.
- The last chunk is empty only where the payload is.
- It streams. A caller believes nothing before the last chunk came: what came until then may be cut off.
"""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from blocklists.sealed.errors import SealError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NONCE = 16
CHUNK = 1 << 16
TAG = 16


def sealed_size(size: int) -> int:
    """Octets of a sealed file, for `size` octets in it."""
    chunks = max(1, -(-size // CHUNK))
    return NONCE + size + chunks * TAG


def seal(file_key: bytes, blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The sealed file of these octets."""
    nonce = os.urandom(NONCE)
    yield nonce
    cipher, waiting, number = _cipher(file_key, nonce), bytearray(), 0
    for block in blocks:
        waiting += block
        # a full chunk waits too: it is the last one unless something follows
        while len(waiting) > CHUNK:
            yield cipher.encrypt(_place(number, last=False), bytes(waiting[:CHUNK]), None)
            del waiting[:CHUNK]
            number += 1
    yield cipher.encrypt(_place(number, last=True), bytes(waiting), None)


def opened(file_key: bytes, file: IO[bytes]) -> Iterator[bytes]:
    """The octets of a sealed file, a chunk at a time. Raises SealError."""
    nonce = file.read(NONCE)
    if len(nonce) < NONCE:
        raise SealError("seal-broken", "the sealed file breaks off before its first chunk")
    cipher, number = _cipher(file_key, nonce), 0
    chunk = file.read(CHUNK + TAG)
    while True:
        following = file.read(CHUNK + TAG)
        last = not following
        try:
            octets = cipher.decrypt(_place(number, last=last), chunk, None)
        except InvalidTag:
            where = "the last one" if last else f"chunk {number + 1}"
            raise SealError(
                "seal-broken", f"the sealed file was cut off or changed, or its key is another: {where} does not open"
            ) from None
        if last and number and not octets:
            raise SealError("seal-broken", "the sealed file ends in an empty chunk, which nobody writes")
        yield octets
        if last:
            return
        chunk, number = following, number + 1


def _cipher(file_key: bytes, nonce: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(HKDF(SHA256(), 32, nonce, b"payload").derive(file_key))


def _place(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])
