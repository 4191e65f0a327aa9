"""How a server at the other end of TLS proves who it is, so that a question to it can be read by nobody else.

Enters: the name in its certificate, or pins of its key (RFC 7858, 4.2; RFC 8310). Leaves: a TLS context, and an error
where the proof fails. Rules:

- A name is proven by a certificate that ends at a root of the system, or of the file `ca`, and is valid now.
- A pin is the SHA-256 of the public key (SPKI) of the server's own certificate. With pins alone nothing else of the
  certificate counts, neither its names nor its end; with a name too, both must hold.
- Nothing is said to a server before it has proven itself.
"""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

if TYPE_CHECKING:
    import socket
    from pathlib import Path

PORT = 853
_DOT = "dot"  # the ALPN protocol (RFC 7858, registered by RFC 9461's list)


@dataclass(frozen=True)
class Proof:
    """What is demanded of the server. One of `name` and `pins` at least."""

    name: str | None = None
    ca: Path | None = None
    pins: frozenset[bytes] = frozenset()

    def context(self) -> ssl.SSLContext:
        """Raises `OSError` where the file of roots cannot be used."""
        if self.name is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        else:
            context = ssl.create_default_context(cafile=self.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols([_DOT])
        return context

    def check(self, connection: ssl.SSLObject | ssl.SSLSocket) -> None:
        """What the context did not prove. Raises `ssl.SSLCertVerificationError`."""
        der = connection.getpeercert(binary_form=True)
        if self.pins and (der is None or pin_of(der) not in self.pins):
            raise ssl.SSLCertVerificationError("its key is none of the pins")

    def wrapped(self, stream: socket.socket) -> ssl.SSLSocket:
        """The connected stream under TLS. Raises `OSError`, of which `ssl.SSLError` is one."""
        sealed = self.context().wrap_socket(stream, server_hostname=self.name)
        try:
            self.check(sealed)
        except ssl.SSLCertVerificationError:
            sealed.close()
            raise
        return sealed


def pin_of(der: bytes) -> bytes:
    """That of a certificate."""
    key = x509.load_der_x509_certificate(der).public_key()
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def reason(error: OSError) -> str:
    """Why the proof failed, in a few words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (error.verify_message if error.errno else "") or str(error.args[0])
    if isinstance(error, ssl.SSLError):
        return f"no TLS handshake, {str(error.reason or error).lower().replace('_', ' ')}"
    return error.strerror or str(error) or "it hung up"
