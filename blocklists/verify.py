"""The client that both halves share: fetches a list and trusts it only once everything about it is verified.

Enters: a repository somewhere, a pinned root, a state directory. Leaves: `Verified`, or `VerifyError` with a reason.

The order; each step needs the ones above it
1. Root by root from the pinned one: TUF's own checks, then the rules on keys (`repository`).
2. Timestamp, snapshot, targets: TUF. Only the top-level targets role speaks for lists; no delegation can name one.
3. `<list>.relief.json` from the delegated role, by the rules of `relief`. It is stored at once, so that a withdrawal
   arrives (by `stored`) even where the version beside it is refused. A relief that cannot be applied, for a reason that
   a key of the role can cause alone, refuses nothing: `relief_refused` says why, and list and earlier relief stay.
4. `<list>.head.json`: signed length and hash; its form; the list asked for; no lower version than before, and no other
   content under the same version.
5. The document: the step from the version before where there is one and it leads to the state hash, else the full
   file: signed length and hash; decompressed within the head's size; the state hash; no reference that had another
   name, match or basis in the version before. A first version that this machine has reviewed is not fetched again, and
   one that is damaged here is.
   A sealed document is decrypted by the file key that the head holds for the provider's own key; what is stored is the
   document of digests, and neither key. A list never turns from readable to sealed, or back.
6. All of it reaches the disk, the head last; a crash before that leaves the last verified version in place. Each of
   our small files stands twice: where one is damaged, the versions and suspensions that were seen go on counting.

One deadline spans all of it. The clock is an argument. python-tuf keeps its files in `tuf/`, we in `verified/`.
"""

from __future__ import annotations

import json
import shutil
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from tuf.api import exceptions as tuf_errors
from tuf.api.metadata import Root, Targets
from tuf.api.serialization import DeserializationError

from blocklists import document, durable, repository
from blocklists import relief as relief_rules
from blocklists.client import Client, translated
from blocklists.delta import Before, Made, apply
from blocklists.document import DocumentError, Summary
from blocklists.entry import as_text, as_time
from blocklists.errors import BlocklistError, VerifyError, why
from blocklists.fetch import Deadline, place
from blocklists.head import (
    MAX_HEAD,
    MAX_RELIEF,
    Head,
    HeadError,
    Relief,
    check_list,
    head_path,
    lists_in,
)
from blocklists.sealed import seal as seals
from blocklists.sealed.errors import SealError
from blocklists.sealed.stream import opened, sealed_size
from resolver._core import check_bonds, marked

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from tuf.api.metadata import TargetFile

    from blocklists.fetch import Place

    Opener = Callable[[Head], bytes]
    """The file key of a sealed head. Raises SealError."""

REVIEWED = "reviewed.zst"
"""In a list's folder: a first version that was checked here before it was published."""

_MADE = ".marks.made"
"""Marks of a document that is not proven yet."""
_COPY = ".copy"
AGAIN = "the next refresh fetches it again"
RESTORE = "restore it from a backup; docs/alarms.md says what to do without one"

Read = TypeVar("Read")

__all__ = [
    "Seen", "Verified", "VerifyError", "head_seen", "refresh", "refresh_from", "relief_seen", "relieved_by", "roles",
    "seen", "stored",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verified:
    """A list whose every octet is proven, as the state directory has it."""

    head: Head
    lines: Path
    """The document as canonical lines, zstd-compressed; size and state hash are those of the head. Its marks are beside
    it (`marks_beside`)."""
    relief: Relief | None
    """With every suspension that was ever seen for an entry of this list."""
    signed_by: tuple[str, ...]
    """Key ids whose signatures over the list role are valid, sorted."""
    holders: Mapping[str, str]
    """Who holds them, by key id, as far as the root says."""
    threshold: int
    """How many of them the role asks for."""
    timestamp_expires: datetime
    versions: tuple[int, int, int, int]
    """Of root, timestamp, snapshot, targets."""
    changed: bool
    """Whether head or relief differ from what was verified before."""
    relief_keys: tuple[str, ...] = ()
    """Ids of the keys that could sign relief when this one was signed, sorted."""
    relief_refused: str | None = None
    """Why the newest relief is not applied, the one before is; None where it is."""
    compared: bool = field(default=False, compare=False)
    """The document was written, or compared with its marks, in this very call."""
    relieved_by: Mapping[str, str] = field(default_factory=dict)
    """Who signed the relief in which a reference first came, for people; of those that this client saw come."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was verified before, as far as later versions are held to it."""

    head: Head
    lines: Path
    relief: Relief | None
    relief_keys: tuple[str, ...]
    """As `Verified.relief_keys`; empty where that is not known, and then no relief may fall behind `relief`."""
    relieved_by: Mapping[str, str]


def refresh(
    repository: str,
    trusted_root: Path,
    state: Path,
    name: str,
    *,
    deadline: float,
    min_threshold: int = 2,
    now: datetime,
    opener: Opener | None = None,
    every_entry: bool = False,
) -> Verified:
    """Fetch and verify the newest version of list `name`; raise VerifyError and leave the last verified one in place.

    `repository`: a directory's path, or an http(s) URL. `trusted_root`: the pinned root metadata (a file). `state`: a
    directory of this list alone: `tuf/` and `verified/` in it are this module's (created as needed). `deadline`:
    seconds for all of it together. `now`: aware. `opener`: how a sealed list is opened (`with_key`); without one it is
    refused. `every_entry`: check each line too, of a document that was there before as well.
    """
    clock = Deadline(deadline)
    with translated(name), closing(place(repository, clock)) as where:
        return refresh_from(
            where, trusted_root, state, name, min_threshold=min_threshold, now=now, opener=opener,
            every_entry=every_entry,
        )  # fmt: skip


def with_key(key: Callable[[], X25519PrivateKey]) -> Opener:
    """Opens what is sealed for this key, which is loaded where a sealed document comes."""

    def opener(head: Head) -> bytes:
        if head.seal is None:
            raise SealError("sealing", "the list is readable")
        return seals.keys_of(head.seal, head.state, key()).file

    return opener


def head_alone(_: Head) -> bytes:
    """As an opener: of a sealed list its head is enough, and `Verified.lines` may not be there."""
    raise SealError("seal-key", "the document is not opened here")


def refresh_from(
    where: Place, trusted_root: Path, state: Path, name: str, *, min_threshold: int = 2, now: datetime,
    opener: Opener | None = None, every_entry: bool = False, near: Collection[str] = (), made: Made | None = None,
) -> Verified:  # fmt: skip
    """As `refresh`, from a place that carries its own deadline. `near`: names that a new relief is about, if they are
    known; `made`: the new document, where this machine has made it."""
    with translated(name):
        before = seen(state)
    with translated(name), _proving(before):
        client = _client(where, trusted_root, state, name, min_threshold, now)
        newest, arrived = _newest_relief(client, state, name, before), None
        there = before is not None and before.lines.exists()
        if before is not None and there:
            arrived = newest.applied_before(before, near)
            if arrived is not None and arrived != before.relief:
                _keep_relief(state, arrived, newest.by)
        head, head_bytes = _fetch_head(client, state, name, before)
        lines = state / "verified" / f"full-{head.version}.zst"
        alone = head.seal is not None and opener is head_alone
        kept = alone or (before is not None and before.head == head and lines.exists())
        if not kept and (before is not None or every_entry or not _take(state / REVIEWED, head, lines)):
            checked = _fetch_document(client, state, head, before, lines, opener, every_entry, made)
            every_entry = every_entry and not checked
        if every_entry and not alone:
            _check_entries(lines, head)
        relief = arrived if kept and not alone else newest.applied(before, None if alone else lines, head.full_size)
        for path in sorted((state / "tuf").iterdir()):
            durable.sync(path)
        verified = Verified(
            head=head, lines=lines, relief=relief, signed_by=client.signed_by(), holders=client.holders(),
            threshold=client.threshold(), timestamp_expires=client.trusted.timestamp.expires,
            versions=client.versions(), changed=before is None or before.head != head or before.relief != relief,
            relief_keys=newest.keys, relief_refused=newest.refused, compared=not kept, relieved_by=newest.by,
        )  # fmt: skip
        _keep(state, verified, head_bytes)
        return verified


def relief_from(
    where: Place, trusted_root: Path, state: Path, name: str, *, min_threshold: int = 2, now: datetime
) -> Relief | None:
    """The relief of a list, without the list: as `refresh_from` would apply it, but for references that are no entries.
    For the person who signs the next one; nothing is kept of it but TUF's metadata. Raises VerifyError."""
    with translated(name):
        before = seen(state)
        client = _client(where, trusted_root, state, name, min_threshold, now)
        return _newest_relief(client, state, name, before).applied(before, None, 0)


def _client(
    where: Place, trusted_root: Path, state: Path, name: str, min_threshold: int, now: datetime
) -> Client:  # fmt: skip
    """A list's client, with verified metadata."""
    check_list(name)
    (state / "tuf").mkdir(parents=True, exist_ok=True)
    (state / "verified").mkdir(exist_ok=True)
    client = Client(where, trusted_root.read_bytes(), state / "tuf", min_threshold, now)
    client.refresh()
    return client


@dataclass(frozen=True, slots=True)
class Roles:
    """What a repository's offline roles say, proven: for those who sign its next version."""

    root: Root
    targets: Targets
    relief: Targets | None
    timestamp_expires: datetime


def roles(where: Place, trusted_root: Path, folder: Path, *, min_threshold: int = 2, now: datetime) -> Roles:
    """The roles alone, without any list; `folder` is python-tuf's. Raises VerifyError."""
    with translated("metadata"):
        folder.mkdir(parents=True, exist_ok=True)
        client = Client(where, trusted_root.read_bytes(), folder, min_threshold, now)
        client.refresh()
        client.relieved("")  # loads the role
        relief = client.trusted.get(repository.RELIEF)
        return Roles(
            client.trusted.root, client.trusted.targets, relief if isinstance(relief, Targets) else None,
            client.trusted.timestamp.expires,
        )  # fmt: skip


def stored(state: Path) -> Verified | None:
    """What `refresh` last verified, from disk alone and proven again; None before the first time.

    Raises VerifyError `storage` when it is damaged; the next `refresh` then fetches the document again.
    """
    before = seen(state)
    if before is None:
        return None
    folder = state / "verified"
    about = _read(folder / "about.json", _about, AGAIN)
    if about is None:
        raise VerifyError("storage", f"{folder / 'about.json'} is gone", hint=AGAIN)
    verified = Verified(
        head=before.head, lines=before.lines, relief=before.relief, relieved_by=before.relieved_by,
        changed=False, **about,
    )  # fmt: skip
    _prove(verified)
    return verified


@contextmanager
def _proving(before: Seen | None) -> Iterator[None]:
    """Where a document is refused within, the one that is kept here is proven: what is damaged here must keep no later
    version out, nor a withdrawal."""
    try:
        yield
    except DocumentError:
        if before is not None and before.lines.exists():
            _prove(before)
        raise


def _prove(verified: Verified | Seen) -> None:
    """Raise VerifyError `storage` where a document is gone or damaged that is kept here: then it goes, and is fetched
    again. One that cannot be read for now stays."""
    if not verified.lines.exists():
        raise VerifyError("storage", f"{verified.lines} is gone", hint=AGAIN)
    try:
        document.check_state(verified.lines, expected=verified.head.summary())
    except DocumentError as error:
        verified.lines.unlink(missing_ok=True)
        raise VerifyError("storage", f"{verified.lines}: {why(error, verified.lines)}", hint=AGAIN) from None


def marks_beside(lines: Path) -> Path:
    """Where the marks of a document are kept, for this machine alone."""
    return lines.with_suffix(".marks")


def _take(reviewed: Path, head: Head, lines: Path) -> bool:
    """Whether a document that this machine has reviewed is the one of the head, which its marks say; it is in place."""
    if head.seal is not None or not _comes_to(head, reviewed, marks_beside(reviewed)):
        return False
    durable.sync(reviewed)
    durable.rename(reviewed, lines)
    _keep_marks(marks_beside(reviewed), lines)
    return True


def _comes_to(head: Head, lines: Path, marks: Path) -> bool:
    """Whether a document is the one of the head, by marks that this machine has of it."""
    found = marked(lines, marks)
    return found is not None and Summary(*found) == head.summary()


def _keep_marks(made: Path, lines: Path) -> None:
    """Keep the marks of a document beside it, where there are some: nothing needs them."""
    with suppress(FileNotFoundError):
        made.replace(marks_beside(lines))


def _check_entries(lines: Path, head: Head, marks: Path | None = None) -> None:
    document.check(lines, expected=head.summary(), bases=head.bases, sealed=head.seal is not None, marks=marks)


_RELIEF_FAULTS = (
    tuf_errors.UnsignedMetadataError, tuf_errors.ExpiredMetadataError, tuf_errors.BadVersionNumberError,
    DeserializationError, HeadError, relief_rules.ReliefError, VerifyError,
)  # fmt: skip
"""What a key of role relief can bring about alone. A file that is missing, or not what the snapshot names, is not among
it: that is the mirror's doing, and would withhold a withdrawal."""


def _fetch_head(client: Client, state: Path, name: str, before: Seen | None) -> tuple[Head, bytes]:
    info = client.listed(head_path(name))
    if info is None:
        there = lists_in(client.trusted.targets.targets)
        raise VerifyError(
            "missing", f"the repository has no list {name!r}", hint=f"it has: {', '.join(there) or 'none'}"
        )
    data = client.load(info, state / "verified", "head", MAX_HEAD)
    head = Head.from_bytes(data)
    if head.list != name:
        raise VerifyError("wrong-list", f"asked for {name!r}, the head is of {head.list!r}")
    if before is not None:
        if head.version < before.head.version:
            raise VerifyError("rollback", f"version {head.version} after version {before.head.version}")
        if head.version == before.head.version and data != before.head.to_bytes():
            raise VerifyError("rollback", f"version {head.version} has another content than when it was first seen")
        if (head.seal is None) != (before.head.seal is None):
            was, now = ("readable", "sealed") if before.head.seal is None else ("sealed", "readable")
            raise VerifyError(
                "sealing", f"the list was {was}, and comes {now}",
                hint="a list stays what it is; the issuer makes another one, and you configure that",
            )  # fmt: skip
    return head, data


def _fetch_document(
    client: Client, state: Path, head: Head, before: Seen | None, lines: Path, opener: Opener | None,
    every_entry: bool, made: Made | None,
) -> bool:  # fmt: skip
    """Whether each line was checked, which is done to a full file where `every_entry` asks for it."""
    folder, file_key, rekeyed = state / "verified", None, False
    if head.seal is not None:
        if opener is None:
            raise SealError(
                "seal-key", "the list is sealed, and there is no key to open it", hint="sealed: key; docs/sealed.md"
            )
        file_key = opener(head)
        seals.open_name_key(head.seal.name_key, file_key)
        earlier = before.head.seal if before else None
        rekeyed = earlier is not None and earlier.name_key_number != head.seal.name_key_number
    step = before is not None and before.lines.exists() and not rekeyed
    if step and before is not None and _by_delta(client, folder, head, before, lines, file_key, made):
        return False
    info = client.listed(head.full_path)
    if info is None:
        raise VerifyError("missing", f"{head.full_path} is named by the head, but not signed")
    with durable.replaced(lines) as part:
        _save(client, info, part, head.full_path, head.full_size, file_key)
        if every_entry:
            _check_entries(part, head, folder / _MADE)
        elif made is not None and _comes_to(head, part, made.marks):
            (folder / _MADE).unlink(missing_ok=True)
            with suppress(OSError):  # nothing needs them
                shutil.copyfile(made.marks, folder / _MADE)
        else:
            document.check_state(part, expected=head.summary(), marks=folder / _MADE)
        if before is not None and before.lines.exists():
            _prove(before)
            with document.translated():
                check_bonds(
                    (before.lines, before.head.full_size), (part, head.full_size), sealed=head.seal is not None,
                    rekeyed=rekeyed,
                )  # fmt: skip
    _keep_marks(folder / _MADE, lines)
    return every_entry


def _by_delta(
    client: Client, folder: Path, head: Head, before: Seen, lines: Path, file_key: bytes | None, made: Made | None
) -> bool:
    """Whether the step from the version before led to the new state. One that does not is no failure: the full does."""
    if head.delta is None or head.delta.base != before.head.version:
        return False
    if head.delta.size > sum(one.full_size + one.entries for one in (before.head, head)):
        return False  # each line of either document once, and a sign before it
    info = client.listed(head.delta.path)
    if info is None or info.length > _limit(head.delta.size, file_key):
        return False
    part = folder / ".delta.fetched"
    try:
        _save(client, info, part, head.delta.path, head.delta.size, file_key)
        with durable.replaced(lines) as new:
            was = Before(before.lines, before.head.full_size, before.head.state, marks_beside(before.lines))
            apply(
                was, part, head.delta.size, new, head.summary(), marks=folder / _MADE, same_as=made,
                sealed=head.seal is not None,
            )  # fmt: skip
        _keep_marks(folder / _MADE, lines)
    except (DocumentError, SealError, tuf_errors.RepositoryError, tuf_errors.DownloadError):
        return False
    except VerifyError as error:
        if error.reason != "reference-reuse":
            raise
        return False  # the step says so; whether it is so, the document will
    finally:
        part.unlink(missing_ok=True)
    return True


@dataclass(frozen=True, slots=True)
class _Newest:
    """The relief that is published, or why it cannot be applied."""

    relief: Relief | None
    keys: tuple[str, ...]
    by: Mapping[str, str]
    refused: str | None = None

    def applied(
        self, before: Seen | None, lines: Path | None, size: int, *, same: bool = False, near: Collection[str] = ()
    ) -> Relief | None:  # fmt: skip
        known = before.relief if before else None
        return relief_rules.applied(self.relief, known, lines, size, same=same, near=near)

    def applied_before(self, before: Seen, near: Collection[str]) -> Relief | None:
        """To the document that is kept here. One that was signed as it is and has no lines keeps out neither a
        withdrawal nor a later version: every reference counts there."""
        try:
            return self.applied(before, before.lines, before.head.full_size, same=True, near=near)
        except DocumentError:
            _prove(before)
            return self.applied(before, None, 0)


def _newest_relief(client: Client, state: Path, name: str, before: Seen | None) -> _Newest:
    known, since = (before.relief, set(before.relief_keys)) if before else (None, set())
    by = before.relieved_by if before else {}
    keys = tuple(sorted(repository.relief_keys(client.trusted.targets.delegations)))
    try:
        info = client.relieved(name)
        if info is None:
            return _Newest(None, tuple(sorted(since)) or keys, by)
        newest = Relief.from_bytes(client.load(info, state / "verified", "relief", MAX_RELIEF))
        relief_rules.check(newest, name, known, rotated=bool(since - set(keys)))
    except _RELIEF_FAULTS as error:
        if isinstance(error, VerifyError) and error.reason not in {"malformed", "too-large"}:
            raise
        return _Newest(None, tuple(sorted(since)) or keys, by, str(error))
    fresh = newest.since(known).suspended
    if fresh and newest.version == (known.version if known else 0) + 1:  # else somebody may have signed one in between
        by = {**by, **dict.fromkeys(fresh, client.relief_signers())}
    if known is not None and newest.version == known.version and since:
        keys = tuple(sorted(since))  # the keys of its time: one that has left since lets the next relief count again
    return _Newest(newest, keys, by)


def _keep(state: Path, verified: Verified, head_bytes: bytes) -> None:
    folder = state / "verified"
    if verified.relief is not None:
        _keep_relief(state, verified.relief, verified.relieved_by)
    about = {
        "signed_by": verified.signed_by, "holders": dict(verified.holders), "threshold": verified.threshold,
        "versions": verified.versions, "timestamp_expires": as_text(verified.timestamp_expires),
        "relief_keys": verified.relief_keys, "relief_refused": verified.relief_refused,
    }  # fmt: skip
    _store(folder / "about.json", json.dumps(about).encode())
    _store(folder / "head.json", head_bytes)
    for old in folder.glob("full-*"):
        if old not in {verified.lines, marks_beside(verified.lines)}:
            old.unlink()
    for old in (state / REVIEWED, marks_beside(state / REVIEWED)):
        old.unlink(missing_ok=True)


def _keep_relief(state: Path, relief: Relief, by: Mapping[str, str]) -> None:
    """The names first: a relief that is there is not new any more."""
    groups: dict[str, list[str]] = {}
    for reference in sorted(by.keys() & relief.suspended.keys()):
        groups.setdefault(by[reference], []).append(reference)
    durable.replace(state / "verified" / "relieved_by.json", json.dumps(groups).encode())
    _store(state / "verified" / "relief.json", relief.to_bytes())


def relieved_by(state: Path) -> Mapping[str, str]:
    """Who signed the relief in which a reference first came. It is for people alone: nothing where it is damaged."""
    try:
        groups = json.loads((state / "verified" / "relieved_by.json").read_bytes())
        return {str(reference): str(who) for who, references in groups.items() for reference in references}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def seen(state: Path) -> Seen | None:
    """What `refresh` last verified, as the disk has it: the document is not proven again. Raises as `stored`."""
    folder, head = state / "verified", head_seen(state)
    if head is None:
        return None
    try:
        about = _read(folder / "about.json", _about) or {}
    except VerifyError:
        about = {}  # nothing of it holds a later version back
    return Seen(
        head, folder / f"full-{head.version}.zst", relief_seen(state), about.get("relief_keys", ()), relieved_by(state)
    )


def head_seen(state: Path) -> Head | None:
    """The head that was verified last. Raises as `stored`."""
    return _read(state / "verified" / "head.json", Head.from_bytes)


def relief_seen(state: Path) -> Relief | None:
    """The relief that was verified last, whatever became of the version beside it. Raises as `stored`."""
    return _read(state / "verified" / "relief.json", Relief.from_bytes)


def _about(data: bytes) -> dict[str, Any]:
    about: dict[str, Any] = json.loads(data)
    root, timestamp, snapshot, targets = about["versions"]
    return {
        "signed_by": tuple(about["signed_by"]), "holders": dict(about.get("holders", {})),
        "threshold": int(about["threshold"]), "timestamp_expires": as_time(about["timestamp_expires"]),
        "versions": (root, timestamp, snapshot, targets), "relief_keys": tuple(about.get("relief_keys", ())),
        "relief_refused": about.get("relief_refused"),
    }  # fmt: skip


def _store(path: Path, data: bytes) -> None:
    """Twice; the copy first, so that it is never the older one."""
    durable.replace_all([(_copy(path), data), (path, data)])


def _read(path: Path, parse: Callable[[bytes], Read], hint: str = RESTORE) -> Read | None:
    """What `_store` wrote, or its copy where the file is damaged or gone; None where there is neither."""
    wrong: Exception | None = None
    for one in (path, _copy(path)):
        try:
            return parse(one.read_bytes())
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError, BlocklistError) as error:
            wrong = wrong or error
    if wrong is not None:
        why = f"cannot be read ({wrong.strerror})" if isinstance(wrong, OSError) else f"is damaged: {wrong}"
        raise VerifyError("storage", f"{path} {why}", hint=hint) from None
    return None


def _copy(path: Path) -> Path:
    return path.with_name(path.name + _COPY)


def _save(client: Client, info: TargetFile, path: Path, what: str, size: int, file_key: bytes | None) -> None:
    """Fetch a compressed file of `size` octets to `path`; a sealed one is decrypted on the way there."""
    if file_key is None:
        client.save(info, path, what, _limit(size, file_key))
        return
    sealed = path.with_name(".sealed.fetched")
    try:
        client.save(info, sealed, what, _limit(size, file_key))
        with sealed.open("rb") as source, path.open("wb") as out:
            for chunk in opened(file_key, source):
                out.write(chunk)
    finally:
        sealed.unlink(missing_ok=True)


def largest(head: Head) -> int:
    """Octets that the encrypted document of a sealed head has at most."""
    return _limit(head.full_size, b"")


def _limit(size: int, file_key: bytes | None) -> int:
    """No compressor makes `size` octets longer than this; more of them are padding at our expense."""
    compressed = size + size // 100 + 1024
    return compressed if file_key is None else sealed_size(compressed)
