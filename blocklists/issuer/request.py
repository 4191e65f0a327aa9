"""A request: one change as one file that travels to the signers and back, by e-mail, git or USB stick.

    a ZIP archive, nothing in it compressed a second time
      request.json     what it is: list, base, who proposes it, why
      root.json        a new root, where keys change: TUF metadata with the signatures gathered so far
      targets.json     a new targets role, where lists change; the same
      relief.json      a new relief role; the same
      head.json        the list's new head
      full.zst         the new document; or, after the first version,
      delta.zst        the step from the base to it
      relief-list.json the list's new relief
      names.sealed     of a sealed list: names and keys, for those who have its passphrase; full.zst and delta.zst
                       are then as they will be published

Enters: bytes from anywhere. Leaves: a frozen `Request`, or `RequestError`. What it *means* is `review`'s to say:
nothing in here is believed.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict, dataclass, replace
from typing import IO, TYPE_CHECKING, Any, TypeVar

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Targets

from blocklists import durable
from blocklists.errors import BlocklistError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

T = TypeVar("T", Root, Targets)
ROLES = ("root", "targets", "relief")
_BLOBS = {"head.json": "head", "full.zst": "full", "delta.zst": "delta", "relief-list.json": "relief_list",
          "names.sealed": "names"}  # fmt: skip
_LIMITS = {"request.json": 1 << 16, "root.json": 512_000, "targets.json": 5_000_000, "relief.json": 5_000_000,
           "head.json": 1 << 20, "relief-list.json": 1 << 25, "full.zst": 1 << 31, "delta.zst": 1 << 31,
           "names.sealed": 1 << 31}  # fmt: skip


class RequestError(BlocklistError):
    """A file is no request, or its parts do not belong together."""


@dataclass(frozen=True, slots=True)
class About:
    """What a request says of itself. Shown to signers as its author's words, used for nothing else."""

    kind: str
    """`setup`, `list`, `keys`, `renew` or `relief`."""
    list: str | None
    author: str
    created: str
    note: str


@dataclass(frozen=True, slots=True)
class Request:
    """One change on its way."""

    about: About
    root: Metadata[Root] | None = None
    targets: Metadata[Targets] | None = None
    relief: Metadata[Targets] | None = None
    head: bytes | None = None
    full: bytes | None = None
    delta: bytes | None = None
    relief_list: bytes | None = None
    names: bytes | None = None

    def to_bytes(self) -> bytes:
        """The file."""
        file = io.BytesIO()
        self._write(file)
        return file.getvalue()

    def _write(self, file: IO[bytes]) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_member("request.json"), json.dumps(asdict(self.about), indent=1).encode() + b"\n")
            for role in ROLES:
                if (metadata := getattr(self, role)) is not None:
                    archive.writestr(_member(f"{role}.json"), metadata.to_bytes())
            for name, field in _BLOBS.items():
                if (blob := getattr(self, field)) is not None:
                    archive.writestr(_member(name), blob)

    @staticmethod
    def from_bytes(data: bytes) -> Request:
        """The request of a file. Raises RequestError."""
        return Request._read(io.BytesIO(data))

    @staticmethod
    def _read(file: IO[bytes]) -> Request:
        try:
            with zipfile.ZipFile(file) as archive:
                parts = {info.filename: _part(archive, info) for info in archive.infolist()}
            about = About(**json.loads(parts.pop("request.json")))
            fields: dict[str, Any] = {}
            for role, kind in (("root", Root), ("targets", Targets), ("relief", Targets)):
                if (metadata := parts.pop(f"{role}.json", None)) is not None:
                    fields[role] = Metadata.from_bytes(metadata)
                    if not isinstance(fields[role].signed, kind):
                        raise RequestError(f"{role}.json is {fields[role].signed.type}")
            fields |= {_BLOBS[name]: blob for name, blob in parts.items()}
            return Request(about, **fields)
        # RuntimeError is zipfile's for what is encrypted, NotImplementedError (one of them) for what it does not know
        except (zipfile.BadZipFile, RepositoryError, RuntimeError, ValueError, KeyError, TypeError, EOFError) as error:
            raise RequestError(f"not a request: {error}") from None

    def save(self, path: Path) -> None:
        """Write the file durably."""
        with durable.replaced(path) as new, new.open("wb") as file:
            self._write(file)

    @staticmethod
    def load(path: Path) -> Request:
        """Read a file. Raises RequestError."""
        try:
            with path.open("rb") as file:
                return Request._read(file)
        except OSError as error:
            raise RequestError(f"{path}: {error.strerror}") from None
        except RequestError as error:
            raise RequestError(f"{path}: {error}") from None

    def signatures(self, role: str) -> tuple[str, ...]:
        """Key ids that signed a role so far, valid or not, sorted."""
        metadata: Metadata[Any] | None = getattr(self, role)
        return tuple(sorted(metadata.signatures)) if metadata is not None else ()


def merge(requests: Iterable[Request]) -> Request:
    """One request with the signatures of all, and each other part as the first copy has it that has one. Raises
    RequestError where they are not the same change."""
    first, *others = requests
    merged = replace(first, root=_copy(first.root), targets=_copy(first.targets), relief=_copy(first.relief))
    for other in others:
        missing = [field for field in _BLOBS.values() if getattr(merged, field) is None]
        merged = replace(merged, **{field: getattr(other, field) for field in missing})
        for role in ROLES:
            mine, theirs = getattr(merged, role), getattr(other, role)
            if (mine is None) != (theirs is None) or (mine is not None and mine.signed_bytes != theirs.signed_bytes):
                raise RequestError(f"the requests differ in {role}: they are not one change signed by several")
            if mine is not None:
                mine.signatures.update(theirs.signatures)
    return merged


def _copy(metadata: Metadata[T] | None) -> Metadata[T] | None:
    return None if metadata is None else Metadata.from_bytes(metadata.to_bytes())


def _member(name: str) -> zipfile.ZipInfo:
    # A fixed date: the same request is the same file
    return zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))


def _part(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.filename not in _LIMITS:
        raise RequestError(f"not a request: it has a part {info.filename[:80]!r}")
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > _LIMITS[info.filename]:
        raise RequestError(f"not a request: {info.filename} is compressed or too large")
    return archive.read(info)
