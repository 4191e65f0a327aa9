"""What of one version of a sealed list its signers alone may see: the names, and the keys.

    a ZIP archive in a file of the vault
      keys.json     {"file", "name", "number", "base_name", "subscribers": [cards]}
      document.zst  the canonical lines with names
      step.zst      the step to them from the version before; of a first version all of it

Enters: a request's part or a file of the ledger, and the passphrase. Leaves: a frozen `Names`, or `NamesError`. It is
held in memory alone: a `Listing` gives it to what reads files.
"""

from __future__ import annotations

import base64
import io
import json
import os
import weakref
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blocklists import delta, document
from blocklists.entry import is_reference
from blocklists.errors import BlocklistError
from blocklists.issuer import vault
from blocklists.sealed.keys import Card
from blocklists.sealed.seal import FILE_KEY, NAME_KEY, Keys
from resolver._core import find

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from blocklists.document import Summary

PARTS = ("keys.json", "document.zst", "step.zst")


class NamesError(BlocklistError):
    """The names of a version are not there, or are not its names."""


@dataclass(frozen=True)
class Listing:
    """A document with names as a file: on the disk, or of a sealed list in memory for as long as this value lives."""

    path: Path
    size: int
    """Octets, uncompressed."""
    memory: _Memory | None = None

    def lines(self) -> Iterator[bytes]:
        """Its canonical lines. Raises DocumentError."""
        yield from document.read_lines(self.path, size=self.size)

    def blocks(self) -> Iterator[bytes]:
        """The same in blocks of any size."""
        yield from document.read_blocks(self.path, size=self.size)

    def find(self, wanted: Collection[str]) -> list[bytes]:
        """The lines with these names or references. Raises DocumentError."""
        references = [one for one in wanted if is_reference(one)]
        with document.translated():
            return find(self.path, size=self.size, names=[*wanted], references=references)


class _Memory:
    """A file in memory, which goes with the last value that refers to it."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("stopsign-names", os.MFD_CLOEXEC)
        weakref.finalize(self, os.close, self.descriptor)


def in_memory(data: bytes = b"") -> Listing:
    """A file in memory alone, which programs open as any other."""
    memory = _Memory()
    path = Path(f"/proc/self/fd/{memory.descriptor}")
    path.write_bytes(data)
    return Listing(path, document.MAX_SIZE, memory)


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one version."""

    keys: Keys
    number: int
    """Of the names' key."""
    base: bytes | None
    """The names' key of the version before; None of a first version."""
    subscribers: tuple[Card, ...]
    document: bytes
    step: bytes

    def listing(self) -> Listing:
        """The document."""
        return in_memory(self.document)

    def steps(self) -> list[tuple[bytes, bytes]]:
        """The changes from the version before. Raises DocumentError."""
        listing = in_memory(self.step)
        return list(delta.read(listing.path, size=listing.size))

    def seal(self, header: str, passphrase: bytes) -> bytes:
        """The file of the vault."""
        keys = {
            "file": _text(self.keys.file), "name": _text(self.keys.name), "number": self.number,
            "base_name": self.base and _text(self.base),
            "subscribers": [card.to_bytes().decode() for card in self.subscribers],
        }  # fmt: skip
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, data in zip(PARTS, (json.dumps(keys).encode(), self.document, self.step), strict=True):
                archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
        return vault.seal(header, passphrase, [file.getvalue()])


def opened(data: bytes, passphrase: bytes) -> Names:
    """The names of a file of the vault. Raises NamesError, VaultError, SealError."""
    inside = vault.opened(data, passphrase)
    try:
        with zipfile.ZipFile(io.BytesIO(inside)) as archive:
            if tuple(archive.namelist()) != PARTS:
                raise ValueError("its parts are others")
            fields, lines, step = (archive.read(name) for name in PARTS)
        keys: Any = json.loads(fields)
        base = keys["base_name"]
        return Names(
            Keys(_octets(keys["file"], FILE_KEY), _octets(keys["name"], NAME_KEY)), int(keys["number"]),
            None if base is None else _octets(base, NAME_KEY),
            tuple(Card.from_bytes(card.encode()) for card in keys["subscribers"]), lines, step,
        )  # fmt: skip
    except (zipfile.BadZipFile, RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NamesError(f"not the names of a version: {error}") from None


def packed(lines: Iterator[bytes], *, level: int = document.LEVEL) -> tuple[bytes, Summary]:
    """Lines as a compressed document in memory, and what they come to."""
    listing = in_memory()
    summary = document.write_lines(listing.path, lines, level=level)
    return listing.path.read_bytes(), summary


def _octets(text: str, length: int) -> bytes:
    octets = base64.b64decode(text, validate=True)
    if len(octets) != length:
        raise ValueError("a key of another length")
    return octets


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode()
