"""Lists as their issuers published them, read line by line: what a probe asks from and a report counts.

Enters: a `.zst` of canonical lines. Leaves: each line with the entry on it. Rules: nothing is trusted but that it is
bounded; whoever needs to know that it is the list the log speaks of hashes the lines (the state hash).
"""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import zstandard

from resolver.audit.errors import AuditError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_LINE = 1 << 20
NEEDED = ("name", "match", "reference", "issued", "expires", "basis", "category")


def read_document(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Each line of a document and the entry that it is. Raises `AuditError`."""
    try:
        with path.open("rb") as file:
            stream = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(file)
            for line in io.BufferedReader(stream):
                if len(line) > MAX_LINE:
                    raise AuditError(f"{path}: a line is longer than {MAX_LINE} bytes")
                entry = json.loads(line)
                if not all(isinstance(entry[key], str) for key in NEEDED):
                    raise ValueError("an entry is not one")
                yield line, entry
    except (zstandard.ZstdError, ValueError, KeyError, TypeError) as wrong:
        raise AuditError(f"{path} is not a list document: {wrong}") from wrong
    except OSError as wrong:
        raise AuditError(f"{path}: {wrong.strerror}") from wrong


def find_documents(lists: Path) -> list[Path]:
    """The documents that this provider applies."""
    return sorted(lists.glob("*/applied/*.zst"))
