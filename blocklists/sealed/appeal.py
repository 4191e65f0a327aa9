"""What somebody writes in an appeal against an entry of a sealed list: encrypted to the issuer as it arrives.

Enters: what was written, the entry's reference, the issuer's key from the list's head; at the desk, the file and the
private key. Leaves: octets; or `Written`; or `SealError`.

Rules
- HPKE in base mode, as for stanzas (`seal.suite`). Its info holds the reference: moved to another appeal, it opens
  nothing.
- Padded to a multiple of 512 octets: its length says little of a name.
- What opens was written by anybody: text of bounded length, and text alone.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from blocklists.sealed.errors import SealError
from blocklists.sealed.seal import suite

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

MAX_NAME, MAX_REASON = 253, 8000
MAX_SEALED = 48 << 10
"""Octets of what is encrypted: the longest reason, all of it outside ASCII, and all around it."""
_BLOCK = 512
_INFO = b"stopsign sealed appeal 1 "


@dataclass(frozen=True, slots=True)
class Written:
    """What the author says: which name it is about, and why."""

    name: str
    reason: str


def seal(written: Written, reference: str, appeals_key: bytes) -> bytes:
    """For the issuer alone. Raises SealError for what is no key."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    text = json.dumps(asdict(written), ensure_ascii=False).encode()
    try:
        key = X25519PublicKey.from_public_bytes(appeals_key)
        return suite().encrypt(text.ljust(-(-len(text) // _BLOCK) * _BLOCK), key, _info(reference))
    except ValueError:
        raise SealError("seal-key", "the issuer's key for appeals is no X25519 key") from None


def opened(sealed: bytes, reference: str, key: X25519PrivateKey) -> Written:
    """What was written. Raises SealError."""
    from cryptography.exceptions import InvalidTag

    try:
        fields: Any = json.loads(suite().decrypt(sealed, key, _info(reference)))
    except (InvalidTag, ValueError, RecursionError):
        raise SealError("seal-broken", "encrypted for another key, or changed on the way") from None
    names = {"name": MAX_NAME, "reason": MAX_REASON}
    if not isinstance(fields, dict) or fields.keys() != names.keys():
        raise SealError("malformed", "not a name and reasons")
    for name, longest in names.items():
        if not isinstance(fields[name], str) or len(fields[name]) > longest:
            raise SealError("malformed", f"{name}: not a text of at most {longest} characters")
    return Written(**fields)


def _info(reference: str) -> bytes:
    return _INFO + reference.encode()
