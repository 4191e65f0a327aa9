"""The desk: the folder where an issuer's lists are prepared and published from. No key that adds a name is here.

    DIR/  desk.json      who issues
          bases/         <list>.json: the grounds on which its entries stand
          online/        the keys of snapshot and timestamp, which a timer signs with
          root.json      the first root: what a provider pins
          published/     metadata/ and targets/: what goes to the web host, as it is
          requests/      changes on their way to the signers and back
          drafts/        documents that requests refer to, by their hash
          marks/         what was hashed of documents, by their hash: worth nothing elsewhere (`delta.Before`)
          client/        what the desk's own client verified last
          ledger/        what each version changed, and who signed it (`history`)
          sealed/        <list>.json: who subscribes to a sealed list (`sealing`)

Enters: a folder. Leaves: the desk, and what it last published as `Current`.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from blocklists import durable, head
from blocklists.delta import Before
from blocklists.errors import BlocklistError, why
from blocklists.head import Head, HeadError, Issuer, Relief, head_path, lists_in, relief_path, spelt
from blocklists.issuer import names, vault
from blocklists.issuer.keys import DESK, Keyring
from blocklists.repository import ONLINE, RELIEF

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from blocklists.head import Basis
    from blocklists.issuer.names import Listing, Names

T = TypeVar("T", Root, Targets, Snapshot, Timestamp)


_MADE, _COMING = ".made-", ".coming"
"""Where a new desk is made, and the file there with the names of what is put in place."""
RESTORE = "copy it from the web host, or make a new desk of what is there: stopsign issuer restore"


class DeskError(BlocklistError):
    """The desk's folder is not in the state that a command needs."""


@dataclass(frozen=True, slots=True)
class Current:
    """What is published: the metadata of each role. Read without its expiry: an overdue desk must be able to renew."""

    root: Metadata[Root]
    timestamp: Metadata[Timestamp]
    snapshot: Metadata[Snapshot]
    targets: Metadata[Targets]
    relief: Metadata[Targets]


@dataclass(frozen=True, slots=True)
class Desk:
    """A desk's folder."""

    folder: Path
    issuer: Issuer
    ask: Callable[[], bytes] = vault.ask
    """Says the passphrase of the sealed lists."""

    @staticmethod
    def create(folder: Path, issuer: Issuer, *, online_passphrase: bytes | None = None) -> Desk:
        """Make a desk with fresh online keys. Raises DeskError where there is one."""
        if (folder / "desk.json").exists():
            raise DeskError(f"{folder} is a desk already")
        for name in ("bases", "requests", "drafts", "published/metadata", "published/targets"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        Keyring.create(folder / "online", DESK, online_passphrase, roles=ONLINE)
        Desk.describe(folder, issuer)
        return Desk(folder, issuer)

    @staticmethod
    def describe(folder: Path, issuer: Issuer) -> None:
        """Write who issues; the file makes a folder a desk."""
        text = json.dumps({"format": 1, "issuer": asdict(issuer)}, indent=1).encode() + b"\n"
        durable.replace(folder / "desk.json", text)

    @staticmethod
    @contextmanager
    def made(folder: Path, issuer: Issuer, *, online_passphrase: bytes | None = None) -> Iterator[Desk]:
        """A new desk that is there when the block ends without an error, and not at all before. Raises DeskError."""
        with Desk.placed(folder) as part:
            yield Desk.create(part, issuer, online_passphrase=online_passphrase)

    @staticmethod
    @contextmanager
    def placed(folder: Path) -> Iterator[Path]:
        """A folder that becomes a desk, as a whole, when the block ends without an error. Raises DeskError."""
        if (folder / "desk.json").exists():
            raise DeskError(f"{folder} is a desk already")
        folder.mkdir(parents=True, exist_ok=True)
        _take_back(folder)
        with tempfile.TemporaryDirectory(prefix=_MADE, dir=folder) as made:
            part = Path(made)
            yield part
            # desk.json last: with it the folder is a desk
            paths = sorted(part.iterdir(), key=lambda path: path.name == "desk.json")
            for path in paths:
                if (goal := folder / path.name).is_dir() and any(goal.iterdir()):
                    raise DeskError(f"{goal} is there already, and would be lost", hint="move it away")
            coming = [path.name for path in paths if not (folder / path.name).is_file()]
            durable.replace(part / _COMING, json.dumps(coming).encode())
            for path in paths:
                durable.rename(path, folder / path.name)

    @staticmethod
    def open(folder: Path) -> Desk:
        """The desk of a folder. Raises DeskError."""
        try:
            fields = json.loads((folder / "desk.json").read_bytes())
            return Desk(folder, Issuer(**fields["issuer"]))
        except OSError as error:
            raise DeskError(f"{folder} is no desk: {error.strerror}", hint="stopsign issuer init makes one") from None
        except (ValueError, KeyError, TypeError) as error:
            raise DeskError(f"{folder / 'desk.json'}: {error}") from None

    @property
    def published(self) -> Path:
        """What goes to the web host."""
        return self.folder / "published"

    @property
    def trusted_root(self) -> Path:
        """What a provider pins."""
        return self.folder / "root.json"

    def online(self) -> Keyring:
        """The keys that sign by machine."""
        return Keyring.open(self.folder / "online")

    def bases(self, name: str) -> Mapping[str, Basis]:
        """The grounds of a list, as they stand at the desk."""
        path = self.folder / "bases" / f"{head.check_list(name)}.json"
        if not path.exists():
            return {}
        try:
            return head.read_bases(path.read_bytes())
        except HeadError as error:
            raise DeskError(f"{path}: {error}") from None

    def set_bases(self, name: str, bases: Mapping[str, Basis]) -> None:
        """Replace a list's table of grounds; it is published with the list's next version."""
        text = json.dumps({key: asdict(basis) for key, basis in bases.items()}, indent=1).encode() + b"\n"
        head.read_bases(text)
        durable.replace(self.folder / "bases" / f"{head.check_list(name)}.json", text)

    def add_bases(self, name: str, bases: Mapping[str, Basis]) -> None:
        """Put grounds on a list's table, beside those that stand there now."""
        with self.locked():
            self.set_bases(name, {**self.bases(name), **bases})

    def current(self) -> Current | None:
        """What is published, None before the first time. Raises DeskError when it is damaged."""
        folder = self.published / "metadata"
        if not (folder / "timestamp.json").exists():
            return None
        try:
            timestamp = _load(folder / "timestamp.json", Timestamp)
            snapshot = _load(folder / f"{timestamp.signed.snapshot_meta.version}.snapshot.json", Snapshot)
            versions = snapshot.signed.meta
            return Current(
                _load(self.roots()[-1], Root), timestamp, snapshot,
                _load(folder / f"{versions['targets.json'].version}.targets.json", Targets),
                _load(folder / f"{versions[f'{RELIEF}.json'].version}.{RELIEF}.json", Targets),
            )  # fmt: skip
        except (OSError, LookupError, ValueError, RepositoryError) as error:
            raise DeskError(f"{folder} is damaged: {why(error)}", hint=RESTORE) from None

    def roots(self) -> list[Path]:
        """The files of the published roots, from the first on, as clients walk them: as far as none is missing."""
        paths = (self.published / "metadata" / f"{version}.root.json" for version in count(1))
        return list(takewhile(Path.exists, paths))

    def lists(self) -> list[str]:
        """The lists that are published."""
        current = self.current()
        return lists_in(current.targets.signed.targets if current else ())

    def head(self, name: str) -> Head | None:
        """The published head of a list, None before its first version."""
        current = self.current()
        path = current and self.target(current.targets.signed, head_path(name))
        return Head.from_bytes(path.read_bytes()) if path else None

    def document(self, published: Head) -> Path:
        """The path of the published document of a list. Raises DeskError."""
        current = self.current()
        path = current and self.target(current.targets.signed, published.full_path)
        if not path or not path.exists():
            raise DeskError(f"{published.full_path} is not in {self.published}", hint=RESTORE)
        return path

    def marks(self, sha256: str) -> Path:
        """Where the marks of a document of this desk are, by the hash of its file; maybe none."""
        return self.folder / "marks" / f"{sha256}.marks"

    def keep_marks(self, made: Path, sha256: str) -> None:
        """Keep the marks of a document by the hash of its file. Nothing needs them: where that cannot be, it is not."""
        with suppress(OSError):
            self.marks(sha256).parent.mkdir(exist_ok=True)
            made.replace(self.marks(sha256))

    def before(self, published: Head) -> Before:
        """The published document, for a step from it. Raises DeskError."""
        path = self.document(published)
        return Before(path, published.full_size, published.state, self.marks(path.name.partition(".")[0]))

    def listing(self, published: Head) -> Listing:
        """The document with its names: the published one, or of a sealed list that of the ledger. Raises DeskError,
        NamesError, VaultError."""
        if published.seal is None:
            return names.Listing(self.document(published), published.full_size)
        return self.names(published.list, published.version).listing()

    def names(self, name: str, version: int) -> Names:
        """The names of a version of a sealed list, from the ledger. Raises NamesError, VaultError."""
        path = self.folder / "ledger" / name / f"{version}.sealed"
        try:
            return names.opened(path.read_bytes(), self.ask())
        except FileNotFoundError:
            raise names.NamesError(
                f"the desk does not have the names of {name} version {version}",
                hint=f"they are in no published file: copy {path} from a backup of the ledger",
            ) from None

    def relief(self, name: str) -> Relief | None:
        """The published relief of a list, None before the first."""
        current = self.current()
        path = current and self.target(current.relief.signed, relief_path(name))
        return Relief.from_bytes(path.read_bytes()) if path else None

    def target(self, role: Targets, path: str) -> Path | None:
        """The path of a target of a role (consistent snapshot: its hash is in its name), None if the role has none."""
        there = spelt(role.targets, path)
        return None if there is None else self.published / "targets" / role.targets[there].get_prefixed_paths()[0]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One at a time: the timer's refresh and a person's publishing would both count versions up, two proposals
        would write into each other's drafts, and of two changes to one file one would be lost. It does not nest."""
        handle = os.open(self.folder / ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _take_back(folder: Path) -> None:
    """Remove what a try to make a desk put in place before it was cut off: what had come and is no longer in its own
    folder, where the desk.json still is."""
    for part in folder.glob(f"{_MADE}*"):
        if (part / _COMING).exists() and (part / "desk.json").exists():
            for name in json.loads((part / _COMING).read_bytes()):
                if not (part / name).exists():
                    goal = folder / name
                    shutil.rmtree(goal) if goal.is_dir() else goal.unlink(missing_ok=True)
            shutil.rmtree(part)


def _load(path: Path, kind: type[T]) -> Metadata[T]:
    loaded: Metadata[T] = Metadata.from_bytes(path.read_bytes())
    if isinstance(loaded.signed, kind):
        return loaded
    raise DeskError(f"{path} is {loaded.signed.type}")
