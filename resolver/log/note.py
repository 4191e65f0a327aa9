"""Signed notes, as in c2sp.org/signed-note: text that ends in a newline, a blank line, and one line for each signature.

Enters: a note as bytes and the verifier keys that the reader trusts. Leaves: the text and who signed it, or an error.
Rules: the text is worth nothing before a trusted signature was checked; unknown keys are ignored; a known key whose
signature is wrong condemns the whole note. Ed25519 (type 1) and timestamped cosignatures (c2sp.org/tlog-cosignature;
type 4 by Ed25519, type 6 by ML-DSA-44) are understood, no others.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from resolver.log.errors import MalformedError, UntrueError

if TYPE_CHECKING:
    from collections.abc import Iterable

ED25519 = 1
COSIGNATURE = 4
ML_DSA_44 = 6
COSIGNATURES = (COSIGNATURE, ML_DSA_44)
"""What a witness signs with."""
PUBLIC_SIZES = {ED25519: 32, COSIGNATURE: 32, ML_DSA_44: 1312}
SIGNATURE_SIZES = {COSIGNATURE: 8 + 64, ML_DSA_44: 8 + 2420}
_HEAD = re.compile(r"([^\n]+)\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n(?:[^\n]+\n)*").fullmatch
MAX_NOTE = 1 << 20
MAX_SIGNATURES = 100  # the specification asks for at least 16


@dataclass(frozen=True)
class Signature:
    """One signature line: the key's name, its id, and what follows the id."""

    name: str
    key_id: bytes
    value: bytes

    def line(self) -> str:
        return f"— {self.name} {base64.b64encode(self.key_id + self.value).decode()}\n"


@dataclass(frozen=True)
class Note:
    """Text and signature lines, none of them checked yet."""

    text: str
    signatures: tuple[Signature, ...]

    def encode(self) -> bytes:
        return (self.text + "\n" + "".join(signature.line() for signature in self.signatures)).encode()


@dataclass(frozen=True)
class Signed:
    """Who signed a note: the key, and the time for a cosignature (POSIX seconds; 0 for a plain signature)."""

    verifier: Verifier
    signature: Signature
    timestamp: int

    @property
    def time(self) -> int | None:
        """When it was signed, as far as the signature says: only a cosignature does."""
        return self.timestamp or None if self.verifier.kind in COSIGNATURES else None


@dataclass(frozen=True)
class Verifier:
    """A public key under its name; `str()` is the vkey that people hand each other."""

    name: str
    kind: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        return sha256(f"{self.name}\n".encode() + bytes([self.kind]) + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(bytes([self.kind]) + self.public).decode()}"

    def check(self, text: str, signature: Signature) -> Signed:
        """Raises `UntrueError` unless the signature is this key's on the text."""
        timestamp, message, value = 0, text.encode(), signature.value
        if self.kind in COSIGNATURES:
            if len(value) != SIGNATURE_SIZES[self.kind]:
                wanted = SIGNATURE_SIZES[self.kind]
                raise UntrueError(f"the cosignature by {self.name} has {len(value)} bytes in place of {wanted}")
            timestamp, value = int.from_bytes(value[:8], "big"), value[8:]
            if timestamp >= 1 << 63:
                raise UntrueError(f"the cosignature by {self.name} has a time beyond all bounds")
            message = cosigned_message(self.kind, self.name, timestamp, text)
        try:
            if self.kind == ML_DSA_44:
                MLDSA44PublicKey.from_public_bytes(self.public).verify(value, message)
            else:
                Ed25519PublicKey.from_public_bytes(self.public).verify(value, message)
        except InvalidSignature:
            raise UntrueError(f"the signature by {self.name} ({self.key_id.hex()}) is not valid") from None
        return Signed(self, signature, timestamp)


@dataclass(frozen=True)
class Signer:
    """A private key under its name; `secret()` is the form in which it is kept (that of Go's sumdb/note)."""

    name: str
    kind: int
    seed: bytes

    @property
    def verifier(self) -> Verifier:
        return Verifier(self.name, self.kind, self._private().public_key().public_bytes_raw())

    def secret(self) -> str:
        key = base64.b64encode(bytes([self.kind]) + self.seed).decode()
        return f"PRIVATE+KEY+{self.name}+{self.verifier.key_id.hex()}+{key}"

    def sign(self, text: str, timestamp: int = 0) -> Signature:
        """Signs a note's text; a cosignature carries the time (POSIX seconds)."""
        if self.kind in COSIGNATURES:
            message = cosigned_message(self.kind, self.name, timestamp, text)
            value = timestamp.to_bytes(8, "big") + self._private().sign(message)
        else:
            value = self._private().sign(text.encode())
        return Signature(self.name, self.verifier.key_id, value)

    def _private(self) -> Ed25519PrivateKey | MLDSA44PrivateKey:
        if self.kind == ML_DSA_44:
            return MLDSA44PrivateKey.from_seed_bytes(self.seed)
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    def __repr__(self) -> str:
        return f"Signer({self.verifier})"


def cosigned_message(kind: int, name: str, timestamp: int, text: str) -> bytes:
    """What a witness signs of a checkpoint's text. ML-DSA-44 signs its three first lines, and the witness's name."""
    if kind == COSIGNATURE:
        return f"cosignature/v1\ntime {timestamp}\n{text}".encode()
    head = _HEAD(text)
    if head is None or int(head[2]) >= 1 << 63:
        raise MalformedError("only a checkpoint can be cosigned, and this note is none")
    return b"".join((
        b"subtree/v1\n\0", _short(name), timestamp.to_bytes(8, "big"), _short(head[1]),
        bytes(8), int(head[2]).to_bytes(8, "big"), decode_base64(head[3], "a hash"),
    ))  # fmt: skip


def _short(text: str) -> bytes:
    """A string behind its length, which takes one octet."""
    data = text.encode()
    if len(data) > 255:
        raise MalformedError(f"a name of {len(data)} octets cannot be cosigned by ML-DSA-44: {text[:80]!r}")
    return bytes([len(data)]) + data


def parse_note(data: bytes) -> Note:
    """A note's text and signature lines; raises `MalformedError`. Nothing is verified."""
    if len(data) > MAX_NOTE:
        raise MalformedError("the note is longer than 1 MiB")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedError("the note is not UTF-8") from None
    if any(character < " " and character != "\n" for character in whole):
        raise MalformedError("the note has a control character")
    text, blank, block = whole.rpartition("\n\n")
    if not blank or not block.endswith("\n"):
        raise MalformedError("the note has no signatures after a blank line")
    lines = block[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise MalformedError(f"the note has more than {MAX_SIGNATURES} signatures")
    return Note(text + "\n", tuple(parse_signature(line) for line in lines))


def parse_signature(line: str) -> Signature:
    """One signature line, without its newline."""
    dash, name, encoded = (*line.split(" "), "", "", "")[:3]
    if dash != "—" or line.count(" ") != 2 or not good_name(name):
        raise MalformedError(f"not a signature line: {line[:80]!r}")
    value = decode_base64(encoded, "a signature")
    if len(value) < 5:
        raise MalformedError(f"the signature by {name} is too short")
    return Signature(name, value[:4], value[4:])


def open_note(data: bytes, verifiers: Iterable[Verifier]) -> tuple[str, tuple[Signed, ...]]:
    """The text and the trusted signatures on it. Raises `MalformedError`, or `UntrueError` where a trusted key's
    signature is wrong or there is none."""
    note = parse_note(data)
    known: dict[tuple[str, bytes], Verifier] = {}
    for verifier in verifiers:
        if known.setdefault((verifier.name, verifier.key_id), verifier) != verifier:
            raise MalformedError(f"two keys are called {verifier.name}+{verifier.key_id.hex()}")
    signed: dict[tuple[str, bytes], Signed] = {}
    for signature in note.signatures:
        name = (signature.name, signature.key_id)
        if name in known and name not in signed:
            signed[name] = known[name].check(note.text, signature)
    if not signed:
        raise UntrueError(
            "no trusted key signed this note",
            hint="it is signed by " + ", ".join(f"{s.name} ({s.key_id.hex()})" for s in note.signatures),
        )
    return note.text, tuple(signed.values())


def parse_vkey(text: str) -> Verifier:
    """A verifier key `name+id+base64`; raises `MalformedError`."""
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    if not good_name(name) or not encoded:
        raise MalformedError(f"not a verifier key: {text[:100]!r}", hint="it reads name+keyid+base64, as in log.vkey")
    key = decode_base64(encoded, "a verifier key")
    if len(key) != 1 + PUBLIC_SIZES.get(key[0] if key else 0, -1):
        raise MalformedError(f"the verifier key of {name} is neither an Ed25519 key (type 1, 4) nor ML-DSA-44 (type 6)")
    verifier = Verifier(name, key[0], key[1:])
    if verifier.key_id.hex() != key_id:
        raise MalformedError(f"the key id of {name} should be {verifier.key_id.hex()}, the key says {key_id[:16]!r}")
    return verifier


def parse_secret(text: str) -> Signer:
    """A signing key `PRIVATE+KEY+name+id+base64`; raises `MalformedError` without repeating the key."""
    parts = text.split("+", 4)
    if len(parts) != 5 or parts[:2] != ["PRIVATE", "KEY"] or not good_name(parts[2]):
        raise MalformedError("not a signing key (PRIVATE+KEY+name+keyid+base64)")
    key = decode_base64(parts[4], "a signing key")
    if len(key) != 33 or key[0] not in PUBLIC_SIZES:
        raise MalformedError(f"the signing key of {parts[2]} is of none of the types 1, 4 and 6")
    signer = Signer(parts[2], key[0], key[1:])
    if signer.verifier.key_id.hex() != parts[3]:
        raise MalformedError(f"the key id of the signing key of {parts[2]} does not fit the key")
    return signer


def good_name(name: str) -> bool:
    """Non-empty, no Unicode space, no plus, no control character."""
    return bool(name) and not any(c.isspace() or c == "+" or c < " " for c in name)


def decode_base64(encoded: str, what: str) -> bytes:
    """Standard base64, in its one canonical spelling only."""
    try:
        value = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedError(f"{what} is not base64") from None
    if base64.b64encode(value).decode() != encoded:
        raise MalformedError(f"{what} is not canonical base64")
    return value
