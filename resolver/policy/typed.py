"""What a person typed or pasted: the name in it, or the reference of an entry.

Enters: any text, for example a browser's address line, or a reference read out on the telephone. Leaves: a name in the
form of lists, or a reference. Rule: nothing is guessed but what Crockford's alphabet allows.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import idna

from blocklists.entry import is_name

MAX_TYPED = 2048
_REFERENCE = re.compile(r"[0-9A-HJKMNP-TV-Z]{16}")
_CONFUSED = str.maketrans("ILOU", "110V")  # Crockford: I and L are read as 1, O as 0; U is not used


def reference_in(text: str) -> str:
    """A reference as somebody copied or typed it: in lower case, with blanks or hyphens, with O for 0."""
    return re.sub(r"[\s-]+", "", text[:64]).upper().translate(_CONFUSED)[:16]


def is_reference(text: str) -> bool:
    return _REFERENCE.fullmatch(text) is not None


def only_reference(typed: str) -> str | None:
    """The reference, where nothing else was typed."""
    reference = reference_in(typed)
    alone = "." not in typed and sum(letter.isalnum() for letter in typed) == len(reference)
    return reference if alone and is_reference(reference) else None


def name_in(typed: str) -> str | None:
    """The name in what was typed: a name in any script, or an address copied from a browser. None: there is none."""
    text = typed[:MAX_TYPED].strip().strip("<>\"'()")
    if "//" in text or "/" in text:
        try:
            text = urlsplit(text if "//" in text else "//" + text).hostname or ""
        except ValueError:
            return None
    host, _, port = text.partition(":")
    text = (host if port.isdigit() or not port else text).removesuffix(".")
    if not text.isascii():
        try:
            text = idna.encode(text, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            return None
    text = text.lower()
    return text if is_name(text) else None
