"""Appeals on their way from a provider to the issuer: one file that any courier may carry.

    {"format": 1, "kind": "stopsign-appeals", "to": "<id of the issuer's key>", "sealed": ["<base64>", …]}

Enters: appeals, the provider's signing key, the issuer's reading key. Leaves: the file, to be sent by e-mail or HTTPS;
at the other end a frozen `Bundle`, or `BundleError`.

Rules
- Signed, then sealed. The signature is DSSE (securesystemslib) with Ed25519 over the payload and its type; the seal is
  HPKE (RFC 9180) in base mode with X25519, HKDF-SHA-256 and ChaCha20-Poly1305. Nobody on the way reads it, or learns
  which provider sent it.
- The signed payload names its recipient: a reader cannot pass it on under the provider's signature to somebody else.
- The issuer stores the keys of its providers; a bundle that another key signed is refused.
- Sizes are bounded before parsing; an author's words are text, and stay text.
- A key is one line of ASCII: `stopsign-provider:<base64>` (Ed25519) or `stopsign-appeals:<base64>` (X25519).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import Error as SigningError
from securesystemslib.signer import CryptoSigner, SSlibKey

from blocklists.errors import BlocklistError
from blocklists.sealed import appeal as sealed_appeal
from blocklists.sealed.appeal import MAX_NAME, MAX_REASON, MAX_SEALED
from blocklists.sealed.errors import SealError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FORMAT, KIND = 1, "stopsign-appeals"
TYPE = "application/vnd.stopsign.appeals+json"
MAX_BUNDLE = 64 << 20
MAX_APPEALS = 50_000

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_INFO = b"stopsign appeals 1"
_SENDER, _READER = "stopsign-provider", "stopsign-appeals"
_LENGTHS = {"appeal": 32, "list": 64, "reference": 16, "name": 253, "role": 16, "ground": 16, "language": 8,
            "received": 20, "due": 20, "reason": 16_000, "contact": 254, "sealed": 4 * MAX_SEALED // 3}  # fmt: skip
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


class BundleError(BlocklistError):
    """A bundle cannot be made, read or believed."""


@dataclass(frozen=True, slots=True)
class Appeal:
    """One appeal as the issuer gets it. `contact` is empty unless its author wants the issuer to have it."""

    appeal: str
    list: str
    reference: str
    name: str
    role: str
    ground: str
    language: str
    received: str
    due: str
    reason: str
    contact: str
    sealed: str = ""
    """Against a sealed entry: what its author wrote (`sealed.appeal`), in base64; name and reason are empty."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """What was in the file: who sent it, when it was made, and the appeals."""

    provider: str
    portal: str
    sender: str
    """Id of the provider's key."""
    made: str
    appeals: tuple[Appeal, ...]


def new_sender_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def new_reader_key() -> X25519PrivateKey:
    return X25519PrivateKey.generate()


def public_line(key: Ed25519PrivateKey | X25519PrivateKey) -> str:
    """The public half, as the other side keeps it."""
    kind = _SENDER if isinstance(key, Ed25519PrivateKey) else _READER
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return f"{kind}:{base64.b64encode(raw).decode()}"


def key_id(line: str) -> str:
    """What a key is called: 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(line.strip().encode()).hexdigest()[:16]


def reader_line(octets: bytes) -> str:
    """The line of an issuer's public key, from its 32 octets."""
    return f"{_READER}:{base64.b64encode(octets).decode()}"


def read(appeal: Appeal, reader: X25519PrivateKey) -> Appeal:
    """With what its author wrote, where that came encrypted; where it does not open, the reason says so."""
    if not appeal.sealed:
        return appeal
    try:
        written = sealed_appeal.opened(base64.b64decode(appeal.sealed, validate=True), appeal.reference, reader)
        name, reason = _text("name", written.name, MAX_NAME), _text("reason", written.reason, MAX_REASON)
    except (SealError, BundleError, ValueError):
        return replace(appeal, reason="(What its author wrote cannot be read here: it was encrypted for another key.)")
    return replace(appeal, name=name, reason=reason, sealed="")


def check_sender(line: str) -> None:
    """Raise BundleError unless this is a provider's public key."""
    _raw(line, _SENDER)


def seal(
    appeals: Iterable[Appeal], *, provider: str, portal: str, made: str, sender: Ed25519PrivateKey, reader: str
) -> bytes:
    """The file for the owner of the key `reader`."""
    payload = {
        "format": FORMAT,
        "to": key_id(reader),
        "provider": provider,
        "portal": portal,
        "made": made,
        "appeals": [_fields(appeal) for appeal in appeals],
    }
    envelope = Envelope(json.dumps(payload, sort_keys=True).encode(), TYPE, {})
    envelope.sign(CryptoSigner(sender, _sslib(public_line(sender))))
    signed = json.dumps(envelope.to_dict()).encode()
    sealed = base64.b64encode(_SUITE.encrypt(signed, _reader(reader), _INFO)).decode()
    lines = [sealed[at : at + 76] for at in range(0, len(sealed), 76)]
    document = {"format": FORMAT, "kind": KIND, "to": key_id(reader), "sealed": lines}
    return json.dumps(document, indent=0).encode() + b"\n"


def unseal(data: bytes, reader: X25519PrivateKey, providers: Sequence[str]) -> Bundle:
    """What is in the file, signed by one of `providers` (their public lines). Raises BundleError."""
    if len(data) > MAX_BUNDLE:
        raise BundleError(f"the bundle is larger than {MAX_BUNDLE} bytes")
    try:
        document = json.loads(data)
        if document["kind"] != KIND or document["format"] != FORMAT:
            raise BundleError("this is not a bundle of appeals of a version that is known here")
        ours = public_line(reader)
        if document["to"] != key_id(ours):
            raise BundleError(f"the bundle is for the key {str(document['to'])[:40]!r}, not for {key_id(ours)}")
        signed = _SUITE.decrypt(base64.b64decode("".join(document["sealed"]), validate=True), reader, _INFO)
        envelope = Envelope.from_dict(json.loads(signed))
    except InvalidTag:
        raise BundleError("the bundle was changed on its way, or was sealed for another key") from None
    except (ValueError, KeyError, TypeError, RecursionError, SigningError) as error:
        raise BundleError(f"this is not a bundle of appeals ({type(error).__name__})") from error
    sender = _signed_by(envelope, providers)
    return _payload(envelope, key_id(ours), sender)


def _signed_by(envelope: Envelope, providers: Sequence[str]) -> str:
    if envelope.payload_type != TYPE:
        raise BundleError("what is signed in the bundle is something else than appeals")
    for line in providers:
        try:
            envelope.verify([_sslib(line)], 1)
        except SigningError:
            continue
        return key_id(line)
    raise BundleError(
        "the bundle is not signed by a provider that is known here",
        hint="compare its key by telephone, then: stopsign issuer appeals trust NAME KEY --dir DIR",
    )


def _payload(envelope: Envelope, to: str, sender: str) -> Bundle:
    try:
        payload = json.loads(envelope.payload)
        if payload["to"] != to:
            raise BundleError("the provider signed this bundle for somebody else")
        if payload["format"] != FORMAT or len(payload["appeals"]) > MAX_APPEALS:
            raise BundleError("the bundle's content is not of a kind that is known here")
        return Bundle(
            _text("provider", payload["provider"], 200),
            _text("portal", payload["portal"], 400),
            sender,
            _text("made", payload["made"], 20),
            tuple(_appeal(fields) for fields in payload["appeals"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError(f"the bundle's content is malformed ({type(error).__name__})") from error


def _fields(appeal: Appeal) -> dict[str, str]:
    """As they travel: a desk that does not know of sealed appeals reads all others."""
    return {name: text for name, text in asdict(appeal).items() if text or name != "sealed"}


def _appeal(fields: Any) -> Appeal:
    fields = {"sealed": "", **fields}
    if fields.keys() != _LENGTHS.keys():
        raise BundleError("an appeal in the bundle has other fields than an appeal has")
    return Appeal(**{name: _text(name, fields[name], longest) for name, longest in _LENGTHS.items()})


def _text(name: str, value: Any, longest: int) -> str:
    if not isinstance(value, str) or len(value) > longest or _UNSEEN.search(value):
        raise BundleError(f"{name} in the bundle is not a text of at most {longest} visible characters")
    return value


def _reader(line: str) -> X25519PublicKey:
    return X25519PublicKey.from_public_bytes(_raw(line, _READER))


def _sslib(line: str) -> SSlibKey:
    return SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(_raw(line, _SENDER)))


def _raw(line: str, kind: str) -> bytes:
    name, _, text = line.strip().partition(":")
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        raw = b""
    if name != kind or len(raw) != 32:
        raise BundleError(f"{line.strip()[:60]!r} is not a key of the kind {kind}")
    return raw
