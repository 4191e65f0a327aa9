"""Lists as their issuers published them, line by line, for the probe and the report.

Enters: a `.zst` of canonical lines. Leaves: each line with its entry. Rule: sizes are bounded, and nothing else is
trusted. A caller that must know that it is the list in the log compares the state hash of the lines.
"""

from __future__ import annotations

import json
from datetime import date, timedelta
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from blocklists import compression
from blocklists.compression import CompressionError
from blocklists.document import MAX_SIZE
from blocklists.sealed import lines
from resolver import _core
from resolver.log.errors import AuditError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_LINE = 1 << 20
MAX_OBJECT = 64 << 20
EPOCH = date(1970, 1, 1)
NEEDED = ("name", "match", "reference", "issued", "expires", "basis", "category")


def read_document(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Each line of a document and the entry that it is. Raises `AuditError`."""
    try:
        for line in read_lines(path):
            entry = json.loads(line)
            if not all(isinstance(entry[key], str) for key in NEEDED):
                raise ValueError("an entry is not one")
            yield line, entry
    except (ValueError, KeyError, TypeError, RecursionError) as wrong:
        raise AuditError(f"{path} is not a list document: {wrong}") from wrong


def tally(path: Path) -> Mapping[tuple[str, str, date, date], int]:
    """How many entries share a basis, a category, a day of issue and a day of expiry (UTC). Raises `AuditError`."""
    try:
        counted = _core.tally(path, size=MAX_SIZE, sealed=is_sealed(path))
    except _core.ListError as wrong:
        raise AuditError(f"{path} is not a list document: {wrong}") from wrong
    return {
        (basis, category, EPOCH + timedelta(days=issued), EPOCH + timedelta(days=expires)): count
        for (basis, category, issued, expires), count in counted.items()
    }


def is_sealed(path: Path) -> bool:
    """Whether it is the document of a sealed list, whose lines hold digests. Raises `AuditError`."""
    return any(lines.is_sealed(line) for line in islice(read_lines(path), 1))


def state_of(path: Path) -> str:
    """A document's state hash. Raises `AuditError`."""
    whole = sha256()
    for line in read_lines(path):
        whole.update(line)
    return f"sha256:{whole.hexdigest()}"


def read_lines(path: Path) -> Iterator[bytes]:
    """Each line, whatever it is. Raises `AuditError`."""
    try:
        with path.open("rb") as file:
            yield from _lines(path, file)
    except CompressionError as wrong:
        raise AuditError(f"{path} is not a list document: {wrong}") from wrong
    except OSError as wrong:
        raise AuditError(f"{path}: {wrong.strerror}") from wrong


def _lines(path: Path, file: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    for block in compression.read_blocks(file, size=MAX_SIZE, only="zstd"):
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            yield line + b"\n"
        if len(rest) > MAX_LINE:
            raise AuditError(f"{path}: a line is longer than {MAX_LINE} bytes")
    if rest:
        raise AuditError(f"{path} ends within a line: it is not whole")


def find_documents(lists: Path) -> list[Path]:
    """The documents that this provider applies."""
    return sorted(lists.glob("*/applied/*.zst"))


def in_force(lists: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """The applied documents of a provider, each with its head."""
    for path in sorted(lists.glob("*/applied/head.json")):
        head = read_object(path)
        document = path.parent / Path(str(head.get("document", ""))).name
        if document.is_file():
            yield document, head


def head_beside(path: Path) -> Mapping[str, Any]:
    """The `head.json` that was published with a document, where it is beside it."""
    head = path.with_name("head.json")
    return read_object(head) if head.is_file() else {}


def read_object(path: Path) -> dict[str, Any]:
    """A small JSON file that holds an object. Raises `AuditError`."""
    try:
        with path.open("rb") as file:
            told = json.loads(file.read(MAX_OBJECT))
    except OSError as wrong:
        raise AuditError(f"{path}: {wrong.strerror}") from wrong
    except (ValueError, RecursionError) as wrong:
        raise AuditError(f"{path} is not JSON: {wrong}") from wrong
    if not isinstance(told, dict):
        raise AuditError(f"{path} is not a JSON object")
    return told
