"""What a signer's machine knows: its own client of the repository, pinned to the root that its owner signed.

Enters: a keyring, a request, a repository (a directory, a USB stick, a URL). Leaves: `Known`, brought up to date.

Rules: which root a machine begins with, the first that there is of
- the one that it has taken before; another one is never taken silently, nor another first root signed;
- the file that its owner names (`--trusted-root`);
- the first root, where the owner has signed it (`pin`): by its content, with any other signers;
- the published one, where its chain proves that the owner's own key is to sign, or leads to the request's root
  that says so. That proves no more than that somebody knows the owner's card: its fingerprint is compared by
  telephone (`agree`).
- Expired metadata does not keep a signer from renewing it; it is said in the review.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root

from blocklists import durable, verify
from blocklists.client import Fetcher, translated
from blocklists.errors import VerifyError
from blocklists.fetch import Deadline, place
from blocklists.head import Head, HeadError, head_path, spelt
from blocklists.issuer import adopt
from blocklists.issuer.review import Known
from blocklists.repository import ROOT, fingerprint, public_form, relief_keys

if TYPE_CHECKING:
    from blocklists.fetch import Place
    from blocklists.issuer.desk import Desk
    from blocklists.issuer.keys import Keyring
    from blocklists.issuer.request import Request


Agree = Callable[[str], bool]
"""Asks the person whether a fingerprint is right."""
LONG_AGO = datetime.fromtimestamp(0, UTC)
"""A time at which nothing has expired yet."""


def look_up(
    keyring: Keyring,
    request: Request,
    repository: str | None,
    *,
    now: datetime,
    trusted_root: Path | None = None,
    agree: Agree = lambda _: False,
    deadline: float = 60.0,
    min_threshold: int = 2,
) -> Known:
    """What this machine knows about what the request changes. Raises VerifyError.

    Without a repository the machine knows nothing, which is right for a first root alone.
    """
    if request.root is not None and request.root.signed.version == 1:
        _refuse_second(keyring, request.root)
        return Known(None, None)
    if repository is None:
        raise VerifyError("unreachable", "no repository to compare with", hint="name it with --repository")
    folder = keyring.folder / "known"
    with closing(place(repository, Deadline(deadline))) as where:
        if trusted_root is not None:
            pinned = _take_file(folder, trusted_root)
        elif not (folder / "root.json").exists():
            pinned = _take_published(keyring, request, where, agree, now, min_threshold)
        else:
            pinned = None
        found = replace(_look_up(folder, request, where, now, min_threshold), pinned=pinned)
    try:
        head = Head.from_bytes(request.head) if request.head is not None else None
    except HeadError:
        return found  # the review says what is wrong with it
    if head is None or not head.adopted:
        return found
    # A signature is not given on another machine's word of what the source publishes
    state = adopt.state_of(folder / "adopted", head.list, head.adopted[0])
    source = adopt.seen(head.adopted[0], state, now=now, min_threshold=min_threshold)
    return replace(found, source=source)


def _look_up(folder: Path, request: Request, where: Place, now: datetime, min_threshold: int) -> Known:
    name, overdue, root = request.about.list, False, folder / "root.json"
    try:
        roles = verify.roles(where, root, folder / "tuf", min_threshold=min_threshold, now=now)
    except VerifyError as error:
        if error.reason == "rollback":
            hint = "what is there is older than what this machine has seen: copy `published` again"
            raise VerifyError("rollback", str(error), hint=hint) from None
        if error.reason != "expired":
            raise
        overdue, now = True, LONG_AGO
        roles = verify.roles(where, root, folder / "tuf", min_threshold=min_threshold, now=now)
    lists = folder / "lists"
    if name is None or not spelt(roles.targets.targets, head_path(name)):
        return Known(roles, None, overdue=overdue, lists=lists)
    if request.head is None:
        relief = verify.relief_from(where, root, lists / name, name, min_threshold=min_threshold, now=now)
        return Known(roles, None, relief, overdue, lists=lists)
    listed = verify.refresh_from(
        where, root, lists / name, name, min_threshold=min_threshold, now=now, opener=verify.head_alone
    )
    return Known(roles, listed, listed.relief, overdue, lists=lists)


def at_desk(desk: Desk, keyring: Keyring, request: Request, *, now: datetime) -> Known:
    """What is known where the keys are used at the desk itself, on its own published files and its own first root."""
    folder = keyring.folder / "known"
    if not (folder / "root.json").exists() and not (folder / "root.sha256").exists():
        durable.replace(folder / "root.json", desk.trusted_root.read_bytes())
    return look_up(keyring, request, str(desk.published), now=now)


def pin(keyring: Keyring, request: Request) -> None:
    """Remember the first root that this person signs. Raises VerifyError where this machine knows another one."""
    if request.root is not None and request.root.signed.version == 1:
        _refuse_second(keyring, request.root)
        durable.replace(keyring.folder / "known" / "root.sha256", _digest(request.root).encode() + b"\n")


def _refuse_second(keyring: Keyring, first: Metadata[Root]) -> None:
    """Raise VerifyError where this machine has signed or taken another first root: what it has is never replaced."""
    folder = keyring.folder / "known"
    signed, taken = folder / "root.sha256", folder / "root.json"
    known = {signed.read_text().strip()} if signed.exists() else set[str]()
    if taken.exists():
        known.add(_digest(_root(taken.read_bytes(), str(taken))))
    if known - {_digest(first)}:
        raise VerifyError(
            "hash-mismatch", "the request brings a first root, and this machine knows another one already",
            hint=f"another authority's desk asks for keys of its own: stopsign issuer keys new; if the known root was "
            f"given up before it was published, move {folder} away",
        )  # fmt: skip


def _digest(root: Metadata[Root]) -> str:
    """A root by its content, with any signatures."""
    return hashlib.sha256(root.signed_bytes).hexdigest()


def _take_file(folder: Path, path: Path) -> str | None:
    """Begin with the root in a file; its fingerprint, or None where this machine has begun with it before."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise VerifyError("storage", f"{path}: {error.strerror}") from None
    root = _root(data, str(path))
    known = folder / "root.json"
    if known.exists():
        if _root(known.read_bytes(), str(known)).signed_bytes == root.signed_bytes:
            return None
        raise VerifyError(
            "hash-mismatch", f"this machine has taken another root than {path}, whose SHA-256 is {fingerprint(data)}",
            hint=f"if that one was wrong, move {folder} away and begin again",
        )  # fmt: skip
    durable.replace(known, data)
    return fingerprint(data)


def _take_published(
    keyring: Keyring, request: Request, where: Place, agree: Agree, now: datetime, min_threshold: int
) -> str | None:
    """Begin with the published first root, where this person signed it or agrees to it; its fingerprint, if new."""
    with translated("the first root"):
        data = Fetcher(where).download_bytes("metadata/1.root.json", 512_000)
    root, folder = _root(data, "the first root"), keyring.folder / "known"
    signed = folder / "root.sha256"
    if signed.exists():
        if _digest(root) != signed.read_text().strip():
            raise VerifyError(
                "hash-mismatch", "the repository's first root is not the one that was signed on this machine"
            )
        durable.replace(folder / "root.json", data)
        return None
    hint = "pin one by --trusted-root FILE: another signer has the file, or the desk (root.json)"
    if not _names(keyring, request, where, data, now, min_threshold):
        raise VerifyError("storage", f"{folder} has no root pinned, and the published one does not name you", hint=hint)
    if not agree(f"This machine knows no root yet. The published one has the SHA-256\n  {fingerprint(data)}"):
        raise VerifyError("storage", f"{folder} has no root pinned", hint=hint)
    durable.replace(folder / "root.json", data)
    return fingerprint(data)


def _names(keyring: Keyring, request: Request, where: Place, first: bytes, now: datetime, min_threshold: int) -> bool:
    """Whether the chain from a first root, or the request's own root that the chain proves, lets this person sign."""
    with tempfile.TemporaryDirectory(prefix="stopsign-root-") as scratch:
        path = Path(scratch) / "root.json"
        path.write_bytes(first)
        try:
            roles = verify.roles(where, path, Path(scratch) / "tuf", min_threshold=min_threshold, now=now)
        except VerifyError as error:
            if error.reason != "expired":
                raise
            roles = verify.roles(where, path, Path(scratch) / "tuf", min_threshold=min_threshold, now=LONG_AGO)
    keys = [*roles.root.keys.values(), *relief_keys(roles.targets.delegations).values()]
    if request.root is not None:
        with suppress(RepositoryError):
            roles.root.verify_delegate(ROOT, request.root.signed_bytes, request.root.signatures)
            keys += request.root.signed.keys.values()
            keys += relief_keys(request.targets.signed.delegations).values() if request.targets else ()
    publics = {public_form(key) for key in keys}
    return any(public_form(key) in publics for key in keyring.card.keys.values())


def _root(data: bytes, what: str) -> Metadata[Root]:
    try:
        root: Metadata[Root] = Metadata.from_bytes(data)
    except RepositoryError as error:
        raise VerifyError("malformed", f"{what}: {error}") from None
    if not isinstance(root.signed, Root):
        raise VerifyError("malformed", f"{what} is {root.signed.type} metadata, not a root")
    return root
