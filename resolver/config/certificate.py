"""The certificate and key of encrypted DNS, as they stand in their files.

Enters: two PEM files and the name that clients connect to. Leaves: one frozen `Certificate`, or `CertificateError`
that says which file is wrong, and how. Rules: the key has no passphrase and belongs to the first certificate of the
file, which must say the name (RFC 9525: as a DNS name among its alternative names, or by a wildcard for its first
label) and be valid now. Both files are read before anything is decided: an ACME client may replace one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from resolver.base.errors import ResolverError

if TYPE_CHECKING:
    from pathlib import Path

    from resolver.config.schema_dns import Encrypted

LAST_DAYS = 14  # before its end, while there is an alarm
_KEYS = "RSA of 2048 bits or more, ECDSA on P-256 or P-384, or Ed25519 would be right"
_CURVES = (ec.SECP256R1, ec.SECP384R1)


class CertificateError(ResolverError):
    """One of the two files cannot be used. `of`: which."""

    def __init__(self, of: Literal["certificate", "key"], what: str, *, denied: bool = False) -> None:
        super().__init__(what)
        self.of, self.denied = of, denied


@dataclass(frozen=True, slots=True)
class Certificate:
    """`chain` and `key`: the files' octets. `ends`: when the first certificate does."""

    chain: bytes
    key: bytes
    ends: datetime

    def days_left(self, now: datetime) -> float:
        return (self.ends - now).total_seconds() / 86400


def certificate_of(encrypted: Encrypted, now: datetime | None = None) -> Certificate:
    """What stands in the two files. Raises `CertificateError`."""
    now = now or datetime.now(UTC)
    chain, key = _octets("certificate", encrypted.certificate), _octets("key", encrypted.key)
    try:
        first, *others = x509.load_pem_x509_certificates(chain)
    except ValueError as wrong:
        raise CertificateError("certificate", f"{encrypted.certificate} holds no certificate in PEM") from wrong
    _belongs(encrypted, first, others, key)
    _says(encrypted, first)
    ends = first.not_valid_after_utc
    if ends < now:
        raise CertificateError("certificate", f"{encrypted.certificate} ended on {ends:%Y-%m-%d %H:%M} UTC")
    if first.not_valid_before_utc > now:
        begins = first.not_valid_before_utc
        raise CertificateError("certificate", f"{encrypted.certificate} begins on {begins:%Y-%m-%d %H:%M} UTC")
    return Certificate(chain, key, ends)


def _octets(of: Literal["certificate", "key"], path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        denied = isinstance(error, PermissionError)
        raise CertificateError(of, f"{path} cannot be read ({error.strerror})", denied=denied) from error


def _belongs(encrypted: Encrypted, first: x509.Certificate, others: list[x509.Certificate], octets: bytes) -> None:
    try:
        key = load_pem_private_key(octets, None)
    except TypeError as wrong:
        raise CertificateError("key", f"{encrypted.key} has a passphrase; a key without would be right") from wrong
    except (ValueError, UnsupportedAlgorithm) as wrong:
        raise CertificateError("key", f"{encrypted.key} holds no private key in PEM") from wrong
    usable = (
        (isinstance(key, rsa.RSAPrivateKey) and key.key_size >= 2048)
        or (isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, _CURVES))
        or isinstance(key, ed25519.Ed25519PrivateKey)
    )
    if not usable:
        raise CertificateError("key", f"{encrypted.key} is of another kind; {_KEYS}")
    if key.public_key() != first.public_key():
        if key.public_key() in [_public_key(one) for one in others]:
            begins = f"{encrypted.certificate} begins with another certificate than that for the server"
            raise CertificateError("certificate", f"{begins}; that of {encrypted.key} first would be right")
        raise CertificateError("key", f"{encrypted.key} is not the key of {encrypted.certificate}")


def _public_key(certificate: x509.Certificate) -> object:
    """None where it is of a kind that is not known here."""
    try:
        return certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None


def _says(encrypted: Encrypted, first: x509.Certificate) -> None:
    try:
        names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        said = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    except x509.ExtensionNotFound:
        said = []
    if encrypted.name not in said and f"*.{encrypted.name.partition('.')[2]}" not in said:
        there = ", ".join(said) or "none"
        raise CertificateError(
            "certificate", f"{encrypted.certificate} is not for {encrypted.name} (its names: {there})"
        )
