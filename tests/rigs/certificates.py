"""Certificates for tests: a root of its own, and certificates that it signs."""

from __future__ import annotations

import contextlib
import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

NAME = "dns.isp.example"


@dataclass(frozen=True)
class Files:
    certificate: Path
    key: Path
    root: Path


def _named(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _general(name: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(name))
    return x509.DNSName(name)


def pem(key: Any, passphrase: bytes | None = None) -> bytes:
    encryption: Any = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase)
    return bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))


def made(folder: Path, *names: str, days: float = 90, begins: float = -1, key: Any = None) -> Files:
    """Files of a certificate for these names and addresses (none: `NAME`), of its key, and of the root's."""
    now = datetime.now(UTC)
    root_key = ec.generate_private_key(ec.SECP256R1())
    key = key or ec.generate_private_key(ec.SECP256R1())

    def signed(subject: str, public: Any, extension: x509.ExtensionType, start: float, end: float) -> x509.Certificate:
        builder = x509.CertificateBuilder().subject_name(_named(subject)).issuer_name(_named("root"))
        builder = builder.public_key(public).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now + timedelta(days=start)).not_valid_after(now + timedelta(days=end))
        return builder.add_extension(extension, critical=False).sign(root_key, hashes.SHA256())

    alternative = x509.SubjectAlternativeName([_general(name) for name in names or (NAME,)])
    root = signed("root", root_key.public_key(), x509.BasicConstraints(ca=True, path_length=None), -2, 900)
    leaf = signed("leaf", key.public_key(), alternative, begins, days)
    folder.mkdir(parents=True, exist_ok=True)
    files = Files(folder / "dns.pem", folder / "dns.key", folder / "root.pem")
    files.certificate.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(pem(key))
    files.key.chmod(0o600)
    files.root.write_bytes(root.public_bytes(serialization.Encoding.PEM))
    return files
