"""Whether clients believe the certificate of encrypted DNS, and whether its key is kept.

Enters: a configuration without mistakes. Leaves: findings. What the workers cannot use is an error; what they can use
and clients refuse is a warning, since a client may have been given what it needs.
"""

from __future__ import annotations

import contextlib
import ssl
import stat
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID

from blocklists.text import shown
from resolver.config.certificate import LAST_DAYS, CertificateError, certificate_of
from resolver.config.discovery import addresses
from resolver.config.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from resolver.config.schema import Config

_KEY = "dns.encrypted.certificate"


def certificate(config: Config) -> Iterator[Finding]:
    """What is wrong with the certificate and the keys."""
    for key, path in (
        ("dns.encrypted.key", None if (dns := config.dns) is None or dns.encrypted is None else dns.encrypted.key),
        ("rpz.private_key", config.rpz.private_key),
    ):
        if path is not None:
            yield from _read_by_others(key, path)
    encrypted = None if config.dns is None else config.dns.encrypted
    if encrypted is None:
        return
    if not addresses(encrypted):
        wrong = "is empty while every address is listened on: designations have no address, and none is looked for"
        right = "the addresses at which clients reach this host would be right"
        yield Finding("dns.encrypted.addresses", f"{wrong} in the certificate; {right}", fatal=False)
    now = datetime.now(UTC)
    try:
        found = certificate_of(encrypted, now)
    except CertificateError as wrong:
        yield Finding(f"dns.encrypted.{wrong.of}", str(wrong), denied=wrong.denied)
        return
    if (days := found.days_left(now)) < LAST_DAYS:
        yield Finding(_KEY, f"{encrypted.certificate} ends in {days:.1f} days", fatal=False)
    for why in _disbelieved(x509.load_pem_x509_certificates(found.chain)):
        yield Finding(_KEY, f"{encrypted.certificate} {why}", fatal=False)


def _read_by_others(key: str, path: Path) -> Iterator[Finding]:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return  # that it cannot be read is said elsewhere
    if mode & stat.S_IROTH:
        wrong = f"{path} may be read by every user of this machine (mode {mode:o})"
        yield Finding(key, f"{wrong}; mode 640 with the group of its process would be right", fatal=False)


def _disbelieved(chain: list[x509.Certificate]) -> Iterator[str]:
    """Why clients refuse the first certificate."""
    first = chain[0]
    issuer = shown(first.issuer.rfc4514_string()) or "without a name"
    if _issued(first, [first]):
        yield "is self-signed: only clients that were given it believe it"
    elif not _issued(first, chain[1:]) and not _issued(first, _roots()):
        harm = "clients that do not know it refuse"
        yield f"lacks the certificate of its issuer, {issuer}: {harm}; ACME's fullchain.pem has it"
    with contextlib.suppress(x509.ExtensionNotFound, ValueError):
        usage = first.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        if ExtendedKeyUsageOID.SERVER_AUTH not in usage:
            yield "is not for servers: its extendedKeyUsage lacks serverAuth, and clients refuse it"


def _issued(certificate: x509.Certificate, by: Iterable[x509.Certificate]) -> bool:
    """Whether one of these has issued it."""
    for one in by:
        with contextlib.suppress(ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            certificate.verify_directly_issued_by(one)
            return True
    return False


def _roots() -> list[x509.Certificate]:
    """Those of the system: in one file, or in a folder with a file for each."""
    paths = ssl.get_default_verify_paths()
    files = [Path(paths.cafile)] if paths.cafile else sorted(Path(paths.capath or "/etc/ssl/certs").glob("*.0"))
    found: list[x509.Certificate] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)  # an old root's serial number is zero
        for file in files:
            with contextlib.suppress(OSError, ValueError):
                found += x509.load_pem_x509_certificates(file.read_bytes())
    return found
