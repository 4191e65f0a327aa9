"""TSIG (RFC 8945): the keys, who signed a request, and the signing of what is answered. dnspython does the mathematics.

Enters: key files (`blocklists/tsig.py`), messages in wire form. Leaves: a verified request, signed messages. Rule:
every message of a transfer is signed, in one chain (RFC 8945, 5.3.1).
"""

from __future__ import annotations

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

from blocklists import tsig
from resolver.rpz.zone import RpzError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any


FUDGE = 300
BADSIG, BADKEY, BADTIME = 16, 17, 18


def read(path: Path) -> dns.tsig.Key:
    """The key in a file. `RpzError` says what is wrong with it, never what stands in it."""
    try:
        return tsig.read(path)
    except tsig.TsigKeyError as error:
        raise RpzError(str(error), hint=error.hint) from error


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
        raise _malformed(error) from error
    if message.keyname is None:
        return Request(message, None, Signer())
    key = keys[message.keyname]
    return Request(message, key.name.to_text(), Signer(key, message.mac or b""))


def _malformed(error: Exception) -> RpzError:
    return RpzError(f"not a DNS message ({type(error).__name__})")


def _not_authentic(data: bytes, error: int, keys: Mapping[dns.name.Name, dns.tsig.Key] | None = None) -> bytes:
    """NOTAUTH with the error in the TSIG record, which is signed where the clocks alone are wrong. Raises `RpzError`
    for what is malformed behind that record: nobody has read so far."""
    try:
        asked = dns.message.from_wire(data, keyring=False)
    except (dns.exception.DNSException, ValueError) as wrong:
        raise _malformed(wrong) from wrong
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
