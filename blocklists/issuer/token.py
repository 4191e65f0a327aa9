"""A key in a PKCS#11 token (a smart card, a YubiKey, an HSM): it signs there, and never leaves it.

Enters: a URI `hsm:<key id>?label=<token>`, and a PIN when the token asks for one. Leaves: the public key, a `Signer`;
or `TokenError`. Rules: ECDSA on P-256 or P-384, as securesystemslib's tokens know nothing else; the driver is the
shared library that the environment's PYKCS11LIB names; the PIN is asked for at each signature and kept nowhere.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from securesystemslib.exceptions import Error as SigningError
from securesystemslib.signer import HSMSigner, Signer

from blocklists.errors import BlocklistError, why
from blocklists.unloaded import load_pkcs11

if TYPE_CHECKING:
    from collections.abc import Iterator

    from securesystemslib.signer import Key, Signature

Pin = Callable[[], str]
HINT = "install stopsign[pkcs11], and set PYKCS11LIB to the token's driver (a .so file)"


class TokenError(BlocklistError):
    """A token is not there, has no such key, or does not take the PIN."""


def public_key(uri: str, pin: Pin) -> Key:
    """The public half of the token's key. Raises TokenError."""
    number, label = _parts(uri)
    with _translated(uri):
        load_pkcs11()
        _, key = HSMSigner.import_(number, label, lambda _: pin())
        return key


class TokenSigner(Signer):
    """Signs with the token's key; what goes wrong there is a TokenError."""

    def __init__(self, uri: str, key: Key, pin: Pin) -> None:
        self._uri = uri
        with _translated(uri):
            load_pkcs11()
            self._inner = HSMSigner.from_priv_key_uri(uri, key, lambda _: pin())

    @classmethod
    def from_priv_key_uri(cls, priv_key_uri: str, public_key: Key, secrets_handler: object = None) -> TokenSigner:
        """As securesystemslib has it, with a handler that takes what it asks for."""
        if not callable(secrets_handler):
            raise TokenError(f"{priv_key_uri}: no way to ask for the PIN")
        return cls(priv_key_uri, public_key, lambda: str(secrets_handler("pin")))

    @property
    def public_key(self) -> Key:
        return self._inner.public_key

    def sign(self, payload: bytes) -> Signature:
        with _translated(self._uri):
            return self._inner.sign(payload)


def _parts(uri: str) -> tuple[int, str | None]:
    parts = urlsplit(uri)
    if parts.scheme != HSMSigner.SCHEME or not parts.path.isdigit():
        raise TokenError(f"{uri!r} is not a key in a token; hsm:2?label=Alice would be right")
    return int(parts.path), parse_qs(parts.query).get("label", [None])[0]


@contextmanager
def _translated(uri: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError, RuntimeError, SigningError) as error:  # PKCS11Error is a RuntimeError
        raise TokenError(f"{uri}: {why(error)}", hint=HINT) from error
