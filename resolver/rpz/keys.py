"""TSIG (RFC 8945): the keys, who signed a request, and the signing of what is answered. dnspython does the mathematics.

Enters: key files as BIND's tsig-keygen writes them, messages in wire form. Leaves: a verified request, signed
messages. Rules: hmac-sha256 and stronger, secrets of at least 128 bits; a key's file is not for everybody to read;
every message of a transfer is signed, in one chain (RFC 8945, 5.3.1).
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import dns.exception
import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tsig
from dns.rdtypes.ANY.TSIG import TSIG

from resolver.rpz.zone import RpzError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any


ALGORITHMS = {
    "hmac-sha256": dns.tsig.HMAC_SHA256,
    "hmac-sha384": dns.tsig.HMAC_SHA384,
    "hmac-sha512": dns.tsig.HMAC_SHA512,
}
SHORTEST = 16  # octets of a secret
FUDGE = 300
BADSIG, BADKEY, BADTIME = 16, 17, 18
_COMMENT = re.compile(r"^\s*(//|#).*$", re.MULTILINE)  # on lines of its own: a secret may hold two slashes
_KEY = re.compile(
    r'\s*key\s+"?([A-Za-z0-9._-]+)"?\s*\{\s*algorithm\s+"?([A-Za-z0-9-]+)"?\s*;\s*secret\s+"?([A-Za-z0-9+/=]+)"?\s*;\s*\}\s*;\s*'
)


def read(path: Path) -> dns.tsig.Key:
    """The key in a file. `RpzError` says what is wrong with it, never what stands in it."""
    try:
        status, text = path.stat(), path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise RpzError(f"the TSIG key {path} cannot be read ({error})") from error
    if status.st_mode & 0o007:
        raise RpzError(f"the TSIG key {path} can be read by everybody", hint=f"chmod o= {path}")
    found = _KEY.fullmatch(_COMMENT.sub("", text))
    if found is None:
        raise RpzError(f"{path} is not a TSIG key", hint="`stopsign rpz key NAME` and tsig-keygen make one")
    name, algorithm, secret = found.groups()
    if algorithm.lower() not in ALGORITHMS:
        raise RpzError(f"{path}: {algorithm} is too weak or unknown", hint=f"one of {', '.join(ALGORITHMS)}")
    try:
        octets = base64.b64decode(secret, validate=True)
    except binascii.Error as error:
        raise RpzError(f"{path}: the secret is not base64") from error
    if len(octets) < SHORTEST:
        raise RpzError(f"{path}: the secret is shorter than {8 * SHORTEST} bits")
    return dns.tsig.Key(dns.name.from_text(name), octets, ALGORITHMS[algorithm.lower()])


@dataclass
class Signer:
    """Signs the messages of one answer in order; without a key it leaves them as they are."""

    key: dns.tsig.Key | None = None
    request_mac: bytes = b""
    error: int = 0
    other: bytes = b""
    _chain: Any = field(default=None, repr=False)

    def sign(self, message: bytes | bytearray) -> bytes:
        """The message with a TSIG record behind it."""
        if self.key is None:
            return bytes(message)
        number = int.from_bytes(message[:2], "big")
        blank = _record(self.key.algorithm, number, self.error, self.other)
        now = int(time.time())
        signed = dns.tsig.sign(  # type: ignore[no-untyped-call]
            bytes(message), self.key, blank, now, self.request_mac, self._chain, True
        )
        record, self._chain = signed
        return _with(message, self.key.name, record)


@dataclass(frozen=True)
class Request:
    """A message that was asked, and the key that signed it."""

    message: dns.message.Message
    key: str | None
    signer: Signer


class TsigError(RpzError):
    """A signature that proves nothing; `answer` says so (RFC 8945, 5.2)."""

    def __init__(self, why: str, answer: bytes) -> None:
        super().__init__(why)
        self.answer = answer


def verified(data: bytes, keys: Mapping[dns.name.Name, dns.tsig.Key]) -> Request:
    """The request in `data`. Raises `TsigError` where it is signed and the signature does not hold, `RpzError` where it
    is no DNS message."""
    try:
        message = dns.message.from_wire(data, keyring=dict(keys))
    except dns.message.UnknownTSIGKey as error:
        raise TsigError("unknown key", _not_authentic(data, BADKEY)) from error
    except dns.tsig.BadTime as error:
        raise TsigError("the clocks differ", _not_authentic(data, BADTIME, keys)) from error
    except (dns.tsig.BadSignature, dns.tsig.BadKey, dns.tsig.BadAlgorithm) as error:
        raise TsigError("wrong signature", _not_authentic(data, BADSIG)) from error
    except (dns.exception.DNSException, ValueError) as error:
        raise RpzError(f"not a DNS message ({type(error).__name__})") from error
    if message.keyname is None:
        return Request(message, None, Signer())
    key = keys[message.keyname]
    return Request(message, key.name.to_text(), Signer(key, message.mac or b""))


def _not_authentic(data: bytes, error: int, keys: Mapping[dns.name.Name, dns.tsig.Key] | None = None) -> bytes:
    """NOTAUTH with the error in the TSIG record, which is signed where the clocks alone are wrong."""
    asked = dns.message.from_wire(data, keyring=False)
    head = struct.pack("!6H", asked.id, 0x8000 | asked.flags & 0x7900 | 9, len(asked.question), 0, 0, 0)
    message = head + b"".join(question_wire(question) for question in asked.question)
    if keys is not None and asked.keyname is not None and asked.keyname in keys:
        other = int(time.time()).to_bytes(6, "big")
        return Signer(keys[asked.keyname], asked.mac or b"", error, other).sign(message)
    algorithm = asked.tsig[0].algorithm if asked.tsig is not None else dns.tsig.HMAC_SHA256
    return _with(message, asked.keyname or dns.name.root, _record(algorithm, asked.id, error, b""))


def _record(algorithm: dns.name.Name, number: int, error: int, other: bytes) -> TSIG:
    return TSIG(  # type: ignore[no-untyped-call]
        dns.rdataclass.ANY, dns.rdatatype.TSIG, algorithm, 0, FUDGE, b"", number, error, other
    )


def question_wire(question: dns.rrset.RRset) -> bytes:
    """A question as it stands in a message, without compression."""
    return _name(question.name) + struct.pack("!HH", question.rdtype, question.rdclass)


def _name(name: dns.name.Name) -> bytes:
    found = name.to_wire()
    assert found is not None  # noqa: S101 - None only where a file was given to write to
    return found


def _with(message: bytes | bytearray, name: dns.name.Name, record: TSIG) -> bytes:
    rdata = record.to_wire()
    assert rdata is not None  # noqa: S101 - None only where a file was given to write to
    (additional,) = struct.unpack_from("!H", message, 10)
    count = (additional + 1).to_bytes(2, "big")
    fixed = struct.pack("!HHIH", dns.rdatatype.TSIG, dns.rdataclass.ANY, 0, len(rdata))
    return b"".join((message[:10], count, message[12:], _name(name), fixed, rdata))
