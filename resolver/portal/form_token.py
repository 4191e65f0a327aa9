"""The token in a form: it was given out by this provider, not just now and not long ago.

Enters: a key of the day and the time. Leaves: a text for a hidden field; later the receipt's secret that belongs to
it. Rules: nothing is stored for a token and it names nobody; a form that is sent twice (a double click, a lost answer)
has the same receipt, so that it becomes one appeal and its author gets the link all the same.
"""

from __future__ import annotations

import base64
import hmac
import struct
from typing import TYPE_CHECKING

from resolver.base.errors import ResolverError
from resolver.ipc import receipts

if TYPE_CHECKING:
    from collections.abc import Mapping

YOUNGEST = 2  # seconds; nobody reads and fills in the form faster
OLDEST = 24 * 3600
_NONCE, _TAG = 16, 16
_SHAPE = struct.Struct(f">q{_NONCE}s{_TAG}s")


class TokenError(ResolverError):
    """The form has to be sent again; `soon`: it was sent faster than a person can."""

    def __init__(self, message: str, *, soon: bool = False) -> None:
        super().__init__(message)
        self.soon = soon


def day_of(moment: int) -> int:
    return moment // 86400


def issue(key: bytes, now: int, nonce: bytes) -> str:
    """A token made now, with 16 random bytes."""
    return _text(_SHAPE.pack(now, nonce, _tag(key, now, nonce)))


def check(keys: Mapping[int, bytes], token: str, now: int) -> bytes:
    """The secret of the receipt (128 bits) that this token leads to. `keys` by day. Raises TokenError."""
    try:
        issued, nonce, tag = _SHAPE.unpack(_bytes(token))
    except (ValueError, struct.error):
        raise TokenError("not a token") from None
    key = keys.get(day_of(issued))
    if key is None or not hmac.compare_digest(tag, _tag(key, issued, nonce)):
        raise TokenError("not a token of ours")
    if now - issued > OLDEST:
        raise TokenError("too old")
    if now - issued < YOUNGEST:
        raise TokenError("too young", soon=True)
    return hmac.digest(key, b"receipt" + nonce, "sha256")[:16]


def further(secret: bytes, number: int) -> bytes:
    """The secret of a further receipt of the same form: who has the first one's link has all."""
    return hmac.digest(secret, b"further" + struct.pack(">H", number), "sha256")[:16]


def receipt_code(secret: bytes) -> str:
    """The secret as it stands in the link: 22 characters."""
    return _text(secret)


def receipt_hash(code: str) -> bytes | None:
    """What is stored of a receipt; None for what has not its form."""
    try:
        secret = secret_in(code)
    except ValueError:
        return None
    return receipts.hash_of(secret) if len(secret) == receipts.SIZE else None


def secret_in(code: str) -> bytes:
    """The secret in a link. ValueError for what has not its form."""
    return _bytes(code)


def _tag(key: bytes, issued: int, nonce: bytes) -> bytes:
    return hmac.digest(key, b"form" + struct.pack(">q", issued) + nonce, "sha256")[:_TAG]


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    if not text.isascii() or len(text) > 100:
        raise ValueError("not base64url")
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
