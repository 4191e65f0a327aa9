"""What a publisher puts beside its file: a checksum, or a detached signature (minisign, signify, GPG).

Enters: the file, what was beside it, and the operator's own key. Leaves: nothing, or `VerifyError`: the file is not
what was published. Rules: minisign and signify are Ed25519 (RFC 8032) with a key number that must be the key's; of
minisign the trusted comment is verified too; GPG is the system's `gpgv` with a keyring of the operator's, no more.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import subprocess
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from blocklists.errors import VerifyError

if TYPE_CHECKING:
    from pathlib import Path

_DIGEST = re.compile(rb"(?<![0-9a-fA-F])(?:[0-9a-fA-F]{128}|[0-9a-fA-F]{64})(?![0-9a-fA-F])")
_PLAIN, _HASHED = b"Ed", b"ED"


def check_checksum(path: Path, beside: bytes, name: str) -> None:
    """Raise VerifyError unless `beside` has the file's SHA-256 or SHA-512 in hexadecimal. `name`: the publisher's.

    Where it has several, as `sha256sum` of a folder writes them, those on a line with the file's name count. Where no
    line has it, one SHA-256 and one SHA-512 are taken for the file's own; of two of a kind nobody knows which is.
    """
    found = [(_DIGEST.findall(line)[0].lower(), line) for line in beside.splitlines() if _DIGEST.search(line)]
    if not found:
        raise VerifyError("malformed", "the checksum beside the file is no SHA-256 and no SHA-512")
    named = re.compile(rb"(?<![^\s(*/\\])" + re.escape(name.encode()) + rb"(?![^\s)])").search
    told = {digest for digest, line in found if name and named(line)}
    if not told:
        told = {digest for digest, _ in found}
        if len(told) > len({len(digest) for digest in told}):
            raise VerifyError("hash-mismatch", f"beside the file are {len(told)} checksums, and none says {name!r}")
    with path.open("rb") as file:
        ours = {
            hashlib.file_digest(file, "sha256").hexdigest().encode(),
            (file.seek(0), hashlib.file_digest(file, "sha512").hexdigest().encode())[1],
        }
    if not ours & told:
        raise VerifyError("hash-mismatch", "the file has not the checksum that was published beside it")


def check_signature(path: Path, beside: Path, kind: str, key: Path) -> None:
    """Raise VerifyError unless `beside` is a signature of the file by this key. `kind`: minisign, signify or gpg."""
    try:
        if kind == "gpg":
            _gpg(path, beside, key)
        else:
            _ed25519(path.read_bytes(), beside.read_bytes(), key.read_bytes(), minisign=kind == "minisign")
    except OSError as error:
        raise VerifyError("storage", f"{error.filename or path}: {error.strerror}") from error


def _ed25519(data: bytes, beside: bytes, key: bytes, *, minisign: bool) -> None:
    lines, public = beside.splitlines(), _decoded(_second(key), 42, "key")
    signature = _decoded(_second(beside), 74, "signature")
    if public[:2] != _PLAIN or signature[:2] not in ((_PLAIN, _HASHED) if minisign else (_PLAIN,)):
        raise VerifyError("key-type", "the signature or the key is of another algorithm")
    if signature[2:10] != public[2:10]:
        raise VerifyError("signature-threshold", "the file is signed by another key")
    verifier = Ed25519PublicKey.from_public_bytes(public[10:])
    signed = hashlib.blake2b(data).digest() if signature[:2] == _HASHED else data
    try:
        verifier.verify(signature[10:], signed)
        if minisign:
            comment = lines[2].removeprefix(b"trusted comment: ") if len(lines) > 3 else b""
            verifier.verify(_decoded(lines[3] if len(lines) > 3 else b"", 64, "signature"), signature[10:] + comment)
    except InvalidSignature:
        raise VerifyError("signature-threshold", "the signature beside the file is not valid") from None


def _second(text: bytes) -> bytes:
    """The line after the comment, or the only one."""
    lines = text.splitlines()
    return lines[1] if len(lines) > 1 and lines[0].startswith(b"untrusted comment:") else (lines or [b""])[0]


def _decoded(text: bytes, length: int, what: str) -> bytes:
    try:
        found = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        found = b""
    if len(found) != length:
        raise VerifyError("malformed", f"no {what} of minisign or signify")
    return found


def _gpg(path: Path, beside: Path, keyring: Path) -> None:
    if keyring.read_bytes().lstrip().startswith(b"-----BEGIN"):
        # gpgv would say no more than that it has no key
        raise VerifyError("storage", f"{keyring} is armored text, no keyring", hint=f"gpg --dearmor {keyring}")
    try:
        done = subprocess.run(
            ["gpgv", "--quiet", "--keyring", keyring.resolve(), "--", beside.resolve(), path.resolve()],
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise VerifyError("storage", "gpgv is not installed", hint="apt-get install gpgv") from None
    except subprocess.TimeoutExpired:
        raise VerifyError("deadline", "gpgv did not end within 60 s") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason"]
        raise VerifyError("signature-threshold", f"gpgv refuses the signature: {said[-1]}")
