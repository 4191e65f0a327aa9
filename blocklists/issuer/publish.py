"""Publishing: a signed request becomes what the web host serves; or only the timestamp gets a new end.

Enters: the desk and requests with enough signatures. Leaves: the new versions in `published/`; or `PublishError`, and
what was published before stays.

The order, and what a `kill -9` leaves behind at each step
1. Everything new is built in `staged/`: target files, then targets and relief, then snapshot, then timestamp.
   Killed: an unfinished folder that nobody reads; the next run begins by removing it.
2. The desk's own client, which verified every version so far, fetches all lists from `staged/` laid over `published/`.
   What it refuses is not published.
3. The file `staged/ready` is written: from here on the publication counts as decided.
4. New files are moved into `published/`, each durably: targets, then metadata by their versions, the root last.
   Killed: files that nothing refers to yet; the next run goes on here, because of `staged/ready`.
5. `timestamp.json` is renamed into place. That is the flip: all other files have names of their own.
6. The client's state follows; `staged/` goes. Killed: the next run does this again.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from blocklists import delta, document, durable, verify
from blocklists.delta import Made
from blocklists.document import DocumentError
from blocklists.entry import as_text
from blocklists.errors import BlocklistError, VerifyError
from blocklists.fetch import Deadline, Directory
from blocklists.head import MAX_JUMP, Head, Relief, head_path, lists_in, relief_path, spelt
from blocklists.issuer import history, withdraw
from blocklists.issuer.keys import Card, Keyring
from blocklists.issuer.request import merge
from blocklists.repository import LIFETIMES, ONLINE, RELIEF, ROOT, SNAPSHOT, TARGETS, TIMESTAMP, public_form
from blocklists.sealed.errors import SealError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from blocklists.issuer.desk import Current, Desk
    from blocklists.issuer.keys import Passphrase
    from blocklists.issuer.request import Request
    from blocklists.verify import Opener

_CHECK_SECONDS = 600.0
"""For the desk's own client: a bound against a stalled disk, nothing more."""
_WHOLE = "name a copy that has it too: publish takes several copies of one request"

KEEP = 8
"""Snapshots back to which every document stays published whole, for clients in the middle of a fetch."""


class PublishError(BlocklistError):
    """Not published; what was published before stays."""


def publish(
    desk: Desk, requests: Sequence[Request], passphrase: Passphrase, *, now: datetime, min_threshold: int = 2,
    near: Collection[str] = (),
) -> None:  # fmt: skip
    """Publish one change, its signatures taken from all the copies that came back. `near`: the names that a relief is
    about, if they are known. Raises PublishError, VerifyError."""
    with desk.locked():
        recover(desk)
        current = desk.current()
        for copy in requests:
            _strip(copy, current)
        request = merge(requests)
        root = _check_signatures(desk, request, current)
        openers = _openers(desk, request)
        stage = desk.folder / "staged"
        made = _stage_targets(desk, request, stage)
        _stage_ledger(desk, request, stage, now)
        changed: dict[str, Metadata[Any]] = {}
        for role, metadata in ((TARGETS, request.targets), (RELIEF, request.relief)):
            if metadata is not None and _is_newer(role, metadata, current):
                changed[role] = metadata
                durable.replace(stage / "metadata" / f"{metadata.signed.version}.{role}.json", metadata.to_bytes())
        if request.root is not None:
            durable.replace(stage / "metadata" / f"{root.signed.version}.root.json", request.root.to_bytes())
        online = _online(desk, root.signed)
        _stage_online(online, stage, current, changed, passphrase, now)
        relieved = Relief.from_bytes(request.relief_list) if request.relief_list is not None else None
        _finish(desk, stage, now, min_threshold, openers, relieved=relieved, near=near, made=made)


def refresh_timestamp(desk: Desk, passphrase: Passphrase, *, now: datetime, min_threshold: int = 2) -> None:
    """Give the timestamp a new end, and the snapshot where its own is near: what a timer does. Raises PublishError."""
    with desk.locked():
        recover(desk)
        current = desk.current()
        if current is None:
            raise PublishError(f"{desk.folder} has published nothing yet")
        stage = desk.folder / "staged"
        _stage_online(_online(desk, current.root.signed), stage, current, {}, passphrase, now)
        _finish(desk, stage, now, min_threshold, {})


def recover(desk: Desk) -> bool:
    """Finish or forget a publication that was cut off; whether one was finished. Every publishing begins with it."""
    stage = desk.folder / "staged"
    if (stage / "ready").exists():
        _flip(desk, stage)
        return True
    shutil.rmtree(stage, ignore_errors=True)
    return False


def _check_signatures(desk: Desk, request: Request, current: Current | None) -> Metadata[Root]:
    """The root that decides; raises PublishError unless every role of the request has enough signatures under it."""
    root = _root(request, current)
    try:
        for role, signed, delegators in _delegated(request, current):
            for delegator in delegators:
                delegator.verify_delegate(role, signed.signed_bytes, signed.signatures)
        if request.relief is not None:
            withdraw.check_relief(desk, request)
            withdraw.check_deciders(desk, request)
    except (RepositoryError, ValueError) as error:
        raise PublishError(f"not enough signatures: {error}", hint="have it signed by those who are missing") from None
    for role, metadata in ((ROOT, request.root), (TARGETS, request.targets)):
        before = getattr(current, role).signed.version if current else 0
        if metadata is not None and metadata.signed.version != before + 1:
            raise PublishError(
                f"the request makes {role} version {metadata.signed.version}; version {before} is published",
                hint=withdraw.OVERTAKEN,
            )
    return root


def _strip(request: Request, current: Current | None) -> None:
    """Leave a copy the signatures that hold, so that none can take a valid one's place in another copy."""
    for role, metadata, delegators in _delegated(request, current):
        signed: set[str] = set()
        for delegator in delegators:
            with suppress(ValueError):  # it delegates no such role, which is said where signatures are counted
                found = delegator.get_verification_result(role, metadata.signed_bytes, metadata.signatures)
                signed |= found.signed.keys()
        for keyid in metadata.signatures.keys() - signed:
            del metadata.signatures[keyid]


def _delegated(request: Request, current: Current | None) -> Iterator[tuple[str, Metadata[Any], list[Root | Targets]]]:
    """Each role of the request, with what says who may sign it. Raises PublishError where nothing does."""
    root = _root(request, current)
    if request.root is not None:
        yield ROOT, request.root, [request.root.signed, *([current.root.signed] if current is not None else [])]
    if request.targets is not None:
        yield TARGETS, request.targets, [root.signed]
    if request.relief is not None:
        targets = request.targets or (current.targets if current else None)
        if targets is None:
            raise PublishError("a relief before any targets")
        yield RELIEF, request.relief, [targets.signed]


def _root(request: Request, current: Current | None) -> Metadata[Root]:
    root = request.root or (current.root if current else None)
    if root is None:
        raise PublishError("the desk has published no root, and the request brings none")
    return root


def _is_newer(role: str, metadata: Metadata[Targets], current: Current | None) -> bool:
    """Whether a role goes forward. A renewed relief that somebody's `withdraw` has overtaken stays behind; one that
    was counted up beyond all measure starts again."""
    before = getattr(current, role).signed.version if current else 0
    return bool(metadata.signed.version > before) or before > MAX_JUMP >= metadata.signed.version


def _openers(desk: Desk, request: Request) -> Mapping[str, Opener]:
    """What opens the sealed list of the request, whose names must be those that were signed. Raises PublishError."""
    if request.head is None:
        return {}
    head = Head.from_bytes(request.head)
    if request.names is None:
        if head.seal is not None and not head.adopted:  # nothing that is published holds them
            raise PublishError(f"the request does not bring the names of {head.list} {head.version}", hint=_WHOLE)
        return {}
    from blocklists.issuer import names, sealing  # most lists are readable

    inside = names.opened(request.names, desk.ask())
    try:
        for _ in sealing.checked(request, head, desk.head(head.list), inside):
            pass
    except (sealing.SealingError, SealError, DocumentError) as error:
        raise PublishError(f"the names that travel with the request are not those that were signed: {error}") from None
    return {head.list: lambda _: inside.keys.file}


def _stage_targets(desk: Desk, request: Request, stage: Path) -> Mapping[str, Made]:
    """By list: the new document, where it was made at this desk."""
    blobs: dict[str, bytes] = {}
    made: dict[str, Made] = {}
    if request.targets is not None and request.head is not None:
        head = Head.from_bytes(request.head)
        blobs[head_path(head.list)] = request.head
        if head.delta is not None:
            if request.delta is None:
                raise PublishError(f"the request does not bring {head.delta.path}, which was signed", hint=_WHOLE)
            blobs[head.delta.path] = request.delta
        info = request.targets.signed.targets.get(head.full_path)
        if info is None or "sha256" not in info.hashes:
            raise PublishError(f"{head.full_path} is not among the files that were signed")
        staged, sha256 = stage / "targets" / info.get_prefixed_paths()[0], info.hashes["sha256"]
        if request.full is not None:
            blobs[head.full_path] = request.full
        else:
            durable.copy(_draft(desk, info, request, head), staged)
        _stage_blobs(stage, request.targets.signed, blobs)
        if head.seal is None:
            made[head.list] = Made(staged, bytes.fromhex(sha256), desk.marks(sha256))
    if request.relief is not None and request.relief_list is not None:
        path = spelt(request.relief.signed.targets, relief_path(request.about.list or "")) or ""
        _stage_blobs(stage, request.relief.signed, {path: request.relief_list})
    return made


def _stage_blobs(stage: Path, role: Targets, blobs: dict[str, bytes]) -> None:
    for path, data in blobs.items():
        try:
            info = role.targets[path]
            info.verify_length_and_hashes(data)
        except (KeyError, RepositoryError) as error:
            raise PublishError(f"{path} is not the file that was signed: {error}") from None
        durable.replace(stage / "targets" / info.get_prefixed_paths()[0], data)


def _draft(desk: Desk, info: TargetFile, request: Request, head: Head) -> Path:
    """The new document, which is among the drafts of this desk, or made again from the published one and the step."""
    draft = desk.folder / "drafts" / f"{info.hashes['sha256']}.zst"
    if not draft.exists():
        before = desk.head(head.list)
        if before is None or request.delta is None or head.delta is None:
            raise PublishError(f"the document of {head.list} {head.version} is not here")
        step = draft.with_name("step.zst")
        try:
            step.write_bytes(request.delta)
            with durable.replaced(draft) as new:
                made = delta.stepped(
                    desk.before(before), (step, head.delta.size), new, marks=draft.with_suffix(".marks")
                )
        finally:
            step.unlink(missing_ok=True)
        desk.keep_marks(draft.with_suffix(".marks"), made.sha256)
    try:
        with draft.open("rb") as file:
            info.verify_length_and_hashes(file)
    except RepositoryError as error:
        draft.unlink()
        raise PublishError(
            f"this machine compresses the document to another file than the one that was signed: {error}",
            hint="publish at the desk where the change was proposed, or copy its drafts/ folder here",
        ) from None
    return draft


def _stage_online(
    online: Keyring,
    stage: Path,
    current: Current | None,
    changed: dict[str, Metadata[Any]],
    passphrase: Passphrase,
    now: datetime,
) -> None:
    """Snapshot and timestamp over what is staged, signed by the desk's own keys."""
    snapshot = current.snapshot if current else None
    if snapshot is None or changed or snapshot.signed.expires < now + LIFETIMES[SNAPSHOT] / 2:
        meta = dict(snapshot.signed.meta) if snapshot else {}
        for role, metadata in changed.items():
            meta[f"{role}.json"] = MetaFile.from_data(metadata.signed.version, metadata.to_bytes(), ["sha256"])
        version = snapshot.signed.version + 1 if snapshot else 1
        snapshot = Metadata(Snapshot(version, expires=_expires(SNAPSHOT, now), meta=meta))
        snapshot.sign(online.signer(SNAPSHOT, passphrase))
        durable.replace(stage / "metadata" / f"{version}.snapshot.json", snapshot.to_bytes())
    link = MetaFile.from_data(snapshot.signed.version, snapshot.to_bytes(), ["sha256"])
    version = current.timestamp.signed.version + 1 if current else 1
    timestamp = Metadata(Timestamp(version, expires=_expires(TIMESTAMP, now), snapshot_meta=link))
    timestamp.sign(online.signer(TIMESTAMP, passphrase))
    durable.replace(stage / "metadata" / "timestamp.json", timestamp.to_bytes())


def _online(desk: Desk, root: Root) -> Keyring:
    """The online keys that the root names, under its ids: after a change of keys those in `online.next/`, which then
    move up."""
    wanted = {public_form(root.keys[keyid]): root.keys[keyid] for role in ONLINE for keyid in root.roles[role].keyids}
    for folder in (desk.folder / "online.next", desk.folder / "online"):
        if not (folder / "card.json").exists():
            continue
        keyring = Keyring.open(folder)
        publics = {role: public_form(key) for role, key in keyring.card.keys.items()}
        if set(publics.values()) == wanted.keys():
            keys = {role: wanted[public] for role, public in publics.items()}
            return Keyring(folder, Card(keyring.card.name, keys))
    raise PublishError(
        "the desk's online keys are not those that the root names",
        hint="stopsign issuer keys change --online replaces them; two signers sign it",
    )


def _stage_ledger(desk: Desk, request: Request, stage: Path, now: datetime) -> None:
    """What this version changes and who signed it, for `diff` and for who may decide on an appeal. It is made of what
    is staged, which was signed."""
    if request.head is None or request.targets is None:
        return
    head = Head.from_bytes(request.head)
    info = request.targets.signed.targets[head.delta.path if head.delta else head.full_path]
    part = stage / "targets" / info.get_prefixed_paths()[0]
    steps = request.names if request.names is not None else _steps(desk, head, part)
    history.record(stage / "ledger", head, steps, request.targets.signatures, as_text(now))


def _steps(desk: Desk, head: Head, part: Path) -> Iterable[tuple[bytes, bytes]] | Path | bytes:
    """What a version changes; nothing that could be recorded of one that is sealed."""
    if head.seal is not None:
        return b""
    before = desk.head(head.list)
    if not head.adopted or before is None:
        return part
    new = document.read_lines(part, size=head.full_size)
    return delta.difference(desk.listing(before).lines(), new)


def _finish(
    desk: Desk,
    stage: Path,
    now: datetime,
    min_threshold: int,
    openers: Mapping[str, Opener],
    *,
    relieved: Relief | None = None,
    near: Collection[str] = (),
    made: Mapping[str, Made] = MappingProxyType({}),
) -> None:
    _check_as_client(desk, stage, now, min_threshold, openers, relieved, near, made)
    durable.replace(stage / "ready", b"")
    _flip(desk, stage)


def _check_as_client(
    desk: Desk, stage: Path, now: datetime, min_threshold: int, openers: Mapping[str, Opener], relieved: Relief | None,
    near: Collection[str], made: Mapping[str, Made],
) -> None:  # fmt: skip
    """Fetch every list as a provider would; a sealed one that is new by its opener. `relieved`: the relief that is new;
    `made`: documents that are new. Raises VerifyError, PublishError."""
    where = Directory([stage, desk.published], Deadline(_CHECK_SECONDS))
    if not desk.trusted_root.exists():
        durable.replace(desk.trusted_root, (stage / "metadata" / "1.root.json").read_bytes())
    if (desk.folder / "client").exists():
        # Links do: the client replaces its files, it never writes into them
        shutil.copytree(desk.folder / "client", stage / "client", symlinks=True, copy_function=os.link)
    folder = stage / "client"
    try:
        roles = verify.roles(where, desk.trusted_root, folder / "tuf", min_threshold=min_threshold, now=now)
    except VerifyError as error:
        if error.reason != "expired":
            raise
        hint = "stopsign issuer renew --roles makes the request that gives root, targets and relief a new end"
        raise VerifyError("expired", str(error), hint=hint) from None
    for name in lists_in(roles.targets.targets):
        state = folder / "lists" / name
        seen = verify.refresh_from(
            where, desk.trusted_root, state, name, min_threshold=min_threshold, now=now,
            opener=openers.get(name, verify.head_alone), near=near if relieved and name == relieved.list else (),
            made=made.get(name),
        )  # fmt: skip
        if relieved is None or name != relieved.list:
            continue
        if seen.relief_refused is not None:
            raise PublishError(f"providers would not apply the relief of {name}: {seen.relief_refused}")
        withdraw.check_entries(desk, relieved, seen.relief.suspended if seen.relief else ())


def _flip(desk: Desk, stage: Path) -> None:
    for part in ("targets", "metadata"):
        folder = stage / part
        files = [path for path in folder.rglob("*") if path.is_file() and path.name != "timestamp.json"]
        for path in sorted(files, key=lambda path: (path.name.endswith(".root.json"), path)):
            durable.rename(path, desk.published / part / path.relative_to(folder))
    if (stage / "metadata" / "timestamp.json").exists():
        durable.rename(stage / "metadata" / "timestamp.json", desk.published / "metadata" / "timestamp.json")
    _follow(desk, stage)
    (stage / "ready").unlink()
    shutil.rmtree(stage)
    drafts = desk.folder / "drafts"
    for draft in (*drafts.glob("*.zst"), *drafts.glob("*.marks")):
        draft.unlink()
    published = {path.name.partition(".")[0] for path in (desk.published / "targets").rglob("*.zst")}
    for marks in (desk.folder / "marks").glob("*.marks"):
        if marks.stem not in published:
            marks.unlink()
    _prune(desk)


def _follow(desk: Desk, stage: Path) -> None:
    """What the desk itself keeps moves on to what is published now."""
    for path in sorted((stage / "ledger").rglob("*.*")):
        durable.rename(path, desk.folder / "ledger" / path.relative_to(stage / "ledger"))
    current, coming = desk.current(), desk.folder / "online.next"
    if current is not None and coming.exists() and _online(desk, current.root.signed).folder == coming:
        # Card last: until it is there, `online.next/` is what the root names
        for path in sorted(coming.iterdir(), key=lambda path: path.name == "card.json"):
            durable.replace(desk.folder / "online" / path.name, path.read_bytes(), mode=0o600)
        shutil.rmtree(coming)
    if (stage / "client").exists():
        shutil.rmtree(desk.folder / "client", ignore_errors=True)
        (stage / "client").replace(desk.folder / "client")


def _prune(desk: Desk) -> None:
    """Drop what nobody needs: old snapshots, and whole documents that neither a client in the middle of a fetch can
    still be reading nor evidence begins with.

    What was signed stays for ever: roles, heads, reliefs, and for each list every step and the document of every
    version that has none (the first, each one of an adopted list), which lead to the document of any version.
    """
    metadata, targets = desk.published / "metadata", desk.published / "targets"
    snapshots = sorted(metadata.glob("*.snapshot.json"), key=lambda path: int(path.name.partition(".")[0]))
    kept: set[Path] = set()
    for path in snapshots[-KEEP:]:
        version = Metadata[Snapshot].from_bytes(path.read_bytes()).signed.meta[f"{TARGETS}.json"].version
        role = metadata / f"{version}.{TARGETS}.json"
        if role.exists():
            files = Metadata[Targets].from_bytes(role.read_bytes()).signed.targets.values()
            kept |= {targets / info.get_prefixed_paths()[0] for info in files}
    stepped = {_version_of(targets, path) for path in targets.rglob("*delta-*.zst")}
    for path in targets.rglob("*full-*.zst"):
        if path not in kept and _version_of(targets, path) in stepped:
            path.unlink()
    for path in snapshots[:-KEEP]:
        path.unlink()


def _version_of(targets: Path, path: Path) -> tuple[str, str]:
    """The list and the version of a document or a step."""
    # HASH.LIST.full-N.zst, and formerly LIST/HASH.full-N.zst
    name = path.name.split(".")[1] if path.parent == targets else path.parent.name
    return name, path.stem.rpartition("-")[2]


def _expires(role: str, now: datetime) -> datetime:
    return (now + LIFETIMES[role]).replace(microsecond=0)
