"""TSIG keys (RFC 8945) in files as BIND's tsig-keygen writes them.

Enters: a path. Leaves: the key, or `TsigKeyError`, which says what is wrong with the file and never what stands in it.
Rules: hmac-sha256 and stronger, secrets of at least 128 bits; a key's file is not for everybody to read.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

import dns.name
import dns.tsig

from blocklists.errors import BlocklistError, why

if TYPE_CHECKING:
    from pathlib import Path

ALGORITHMS = {
    "hmac-sha256": dns.tsig.HMAC_SHA256,
    "hmac-sha384": dns.tsig.HMAC_SHA384,
    "hmac-sha512": dns.tsig.HMAC_SHA512,
}
SHORTEST = 16  # octets of a secret
_COMMENT = re.compile(r"^\s*(//|#).*$", re.MULTILINE)  # on lines of its own: a secret may hold two slashes
_KEY = re.compile(
    r'\s*key\s+"?([A-Za-z0-9._-]+)"?\s*\{\s*algorithm\s+"?([A-Za-z0-9-]+)"?\s*;\s*secret\s+"?([A-Za-z0-9+/=]+)"?\s*;\s*\}\s*;\s*'
)


class TsigKeyError(BlocklistError):
    """A file holds no TSIG key that may be used."""


def read(path: Path) -> dns.tsig.Key:
    """The key in a file. Raises TsigKeyError."""
    try:
        status, text = path.stat(), path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise TsigKeyError(f"the TSIG key {path} cannot be read ({why(error, path)})") from error
    if status.st_mode & 0o007:
        raise TsigKeyError(f"the TSIG key {path} can be read by everybody", hint=f"chmod o= {path}")
    found = _KEY.fullmatch(_COMMENT.sub("", text))
    if found is None:
        raise TsigKeyError(f"{path} is not a TSIG key", hint="`stopsign rpz key NAME` and tsig-keygen make one")
    name, algorithm, secret = found.groups()
    if algorithm.lower() not in ALGORITHMS:
        raise TsigKeyError(f"{path}: {algorithm} is too weak or unknown", hint=f"one of {', '.join(ALGORITHMS)}")
    try:
        octets = base64.b64decode(secret, validate=True)
    except binascii.Error as error:
        raise TsigKeyError(f"{path}: the secret is not base64") from error
    if len(octets) < SHORTEST:
        raise TsigKeyError(f"{path}: the secret is shorter than {8 * SHORTEST} bits")
    return dns.tsig.Key(dns.name.from_text(name), octets, ALGORITHMS[algorithm.lower()])
