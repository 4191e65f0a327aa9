"""The seal in a list's head: for whom it is, and how each of them comes to the file key and the names' key.

    "sealed": 1
    "recipients": [{"provider", "keyid", "share", "wrapped"}, …]     one for each key that can open the version
    "name_key": base64 of the names' key, encrypted under the file key
    "name_key_number": how many names' keys the list has had

Enters: a head's fields, a private key. Leaves: a frozen `Seal`, the two keys; or `SealError`.

Rules
- A version's file key is 32 random octets. Each stanza wraps it by HPKE (RFC 9180) in base mode with DHKEM(X25519,
  HKDF-SHA256), HKDF-SHA256 and ChaCha20Poly1305; `share` is the encapsulated key, `wrapped` the ciphertext. Its info
  holds the state hash: a stanza of another version opens nothing.
- The names' key is encrypted by ChaCha20-Poly1305 under HKDF-SHA-256 of the file key. The nonce is zero: each such key
  encrypts one message.
- Both halves of a number or a key that do not fit are refused before anything is opened.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blocklists.sealed.errors import SealError
from blocklists.text import is_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
    from cryptography.hazmat.primitives.hpke import Suite

    from blocklists.sealed.keys import Card

FORMAT = 1
KEYS = frozenset({"recipients", "name_key", "name_key_number", "appeals_key"})
"""What a sealed head has beside every other head's keys."""
MAX_RECIPIENTS = 2000
FILE_KEY, NAME_KEY, PUBLIC_KEY = 32, 16, 32
_TAG = 16
_INFO = b"stopsign sealed list 1 "
_NAME_INFO = b"stopsign sealed name key"
_KEYID = re.compile(r"[0-9a-f]{16}\Z").match


@dataclass(frozen=True, slots=True)
class Stanza:
    """The file key of one version, for one key of one provider."""

    provider: str
    keyid: str
    share: bytes
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class Seal:
    """What a sealed head says beside the rest."""

    recipients: tuple[Stanza, ...]
    name_key: bytes
    """Encrypted under the file key."""
    name_key_number: int
    """Counts up with each new names' key: under another key, every digest is another."""
    appeals_key: bytes
    """The issuer's X25519 key: what is written in an appeal is encrypted to it as it arrives (`sealed.appeal`)."""

    def fields(self) -> dict[str, Any]:
        """As they stand in the head."""
        stanzas = [
            {"provider": one.provider, "keyid": one.keyid, "share": _text(one.share), "wrapped": _text(one.wrapped)}
            for one in self.recipients
        ]
        return {
            "recipients": stanzas, "name_key": _text(self.name_key), "name_key_number": self.name_key_number,
            "appeals_key": _text(self.appeals_key),
        }  # fmt: skip

    def stanza(self, key: X25519PrivateKey) -> Stanza:
        """The one for this key. Raises SealError."""
        from blocklists.sealed.keys import card_of  # every head is read here; few are opened

        keyid = card_of(key, "this").keyid
        for one in self.recipients:
            if one.keyid == keyid:
                return one
        raise SealError(
            "not-a-recipient", f"the list is sealed for {len(self.recipients)} key(s), none of them {keyid}",
            hint="the issuer adds a provider by its card: stopsign sealed card, stopsign issuer subscribe add",
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Keys:
    """What opens one version: the document by the file key, a name's digest by the names' key."""

    file: bytes
    name: bytes


def read(fields: Mapping[str, Any]) -> Seal:
    """The seal of a head's fields (`KEYS`). Raises SealError."""
    stanzas = fields["recipients"]
    if not isinstance(stanzas, list) or len(stanzas) > MAX_RECIPIENTS:
        raise _malformed(f"recipients: not a list of at most {MAX_RECIPIENTS}")
    recipients = tuple(_stanza(at, one) for at, one in enumerate(stanzas))
    if len({one.keyid for one in recipients}) != len(recipients):
        raise _malformed("recipients: one key stands twice")
    number = fields["name_key_number"]
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= 1 << 32:
        raise _malformed("name_key_number: not a whole number from 1 on")
    return Seal(
        recipients, _octets("name_key", fields["name_key"], NAME_KEY + _TAG), number,
        _octets("appeals_key", fields["appeals_key"], PUBLIC_KEY),
    )  # fmt: skip


def make(cards: Iterable[Card], keys: Keys, number: int, state: str, appeals_key: bytes) -> Seal:
    """The seal of a version whose digest lines come to `state`; `appeals_key` is the issuer's."""
    from blocklists.sealed.keys import public_key

    sealing, stanzas = suite(), []
    for card in sorted(cards, key=lambda card: (card.provider, card.keyid)):
        sealed = sealing.encrypt(keys.file, public_key(card), _INFO + state.encode())
        stanzas.append(Stanza(card.provider, card.keyid, sealed[:32], sealed[32:]))
    if len(stanzas) > MAX_RECIPIENTS:
        raise SealError("seal-key", f"{len(stanzas):,} subscribers; a list has at most {MAX_RECIPIENTS:,}")
    return Seal(tuple(stanzas), _name_cipher(keys.file).encrypt(bytes(12), keys.name, None), number, appeals_key)


def unwrap(stanza: Stanza, key: X25519PrivateKey, state: str) -> bytes:
    """The file key of a stanza. Raises SealError."""
    from cryptography.exceptions import InvalidTag

    try:
        return suite().decrypt(stanza.share + stanza.wrapped, key, _INFO + state.encode())
    except InvalidTag:
        raise SealError("seal-broken", f"the stanza for {stanza.keyid} was changed, or is of another version") from None


def open_name_key(name_key: bytes, file_key: bytes) -> bytes:
    """The names' key of a head, 16 octets. Raises SealError."""
    from cryptography.exceptions import InvalidTag

    try:
        return _name_cipher(file_key).decrypt(bytes(12), name_key, None)
    except InvalidTag:
        raise SealError(
            "seal-broken", "the names' key in the head does not open: the head's parts are of two versions"
        ) from None


def keys_of(seal: Seal, state: str, key: X25519PrivateKey) -> Keys:
    """Both keys of a version, from the provider's own. Raises SealError."""
    file_key = unwrap(seal.stanza(key), key, state)
    return Keys(file_key, open_name_key(seal.name_key, file_key))


def suite() -> Suite:
    """The HPKE suite of all that is sealed: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305."""
    from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

    return Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


def _name_cipher(file_key: bytes) -> ChaCha20Poly1305:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return ChaCha20Poly1305(HKDF(SHA256(), 32, None, _NAME_INFO).derive(file_key))


def _stanza(at: int, fields: Any) -> Stanza:
    place = f"recipients: {at}"
    if not isinstance(fields, dict) or fields.keys() != {"provider", "keyid", "share", "wrapped"}:
        raise _malformed(f"{place}: not provider, keyid, share and wrapped")
    provider, keyid = fields["provider"], fields["keyid"]
    if not isinstance(provider, str) or not 0 < len(provider) <= 100 or not is_text(provider):
        raise _malformed(f"{place}: provider: not a printable text")
    if not isinstance(keyid, str) or not _KEYID(keyid):
        raise _malformed(f"{place}: keyid: not 16 hexadecimal digits")
    return Stanza(
        provider, keyid, _octets(f"{place}: share", fields["share"], 32),
        _octets(f"{place}: wrapped", fields["wrapped"], FILE_KEY + _TAG),
    )  # fmt: skip


def _octets(place: str, value: Any, length: int) -> bytes:
    try:
        octets = base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except ValueError:
        octets = b""
    if len(octets) != length:
        raise _malformed(f"{place}: not {length} octets in base64")
    return octets


def _malformed(message: str) -> SealError:
    return SealError("malformed", message)


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode()
