"""Adopting: a list of another authority becomes one of this desk's, under its own ground and two signatures.

Enters: the desk, the source's repository and root, a ground of one's own. Leaves: a `Request` for the signers; or
`AdoptError`. At a signer's machine: what the source says now (`seen`), compared with the request.

Rules
- What is signed is the source's state hash and document as they are. A sealed one is not opened: its stanzas and its
  file go over unchanged, so those who subscribe to the source open it. Appeals are encrypted to the adopter's key.
- Each key of a ground in the document gets the adopter's ground, with the source's beside it: the stop page names both.
- Each signer's machine asks the source itself. A signature is not given on another machine's word. What it is asked
  by, the source's root, is the request's own: the signer compares its fingerprint, and sees where it is another one.
- A list that was adopted is changed by adopting again, and by withdrawing; nothing is proposed on it.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from blocklists import document, verify
from blocklists.adopted import folder_name
from blocklists.client import Client, translated
from blocklists.counted import counted
from blocklists.entry import as_text
from blocklists.errors import BlocklistError
from blocklists.fetch import Deadline, place
from blocklists.head import Adopted, Basis, Head, full_path
from blocklists.issuer.reader import appeals_key, encrypted_to
from blocklists.issuer.request import About
from blocklists.repository import fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from blocklists.issuer.desk import Desk
    from blocklists.issuer.request import Request
    from blocklists.sealed.seal import Seal
    from blocklists.verify import Verified

SECONDS = 300.0


class AdoptError(BlocklistError):
    """The source's list cannot become one of this desk's."""


def adopt(
    desk: Desk, name: str, repository: str, source_list: str, root: bytes, ground: str, *, now: datetime, author: str,
    min_threshold: int = 2,
) -> Request:  # fmt: skip
    """The request for the version that adopts what the source publishes now. Raises AdoptError, VerifyError."""
    from blocklists.issuer.propose import whole  # with all that reads names, which no signer of an adopted list needs

    current, before = desk.current(), desk.head(name)
    if current is None:
        raise AdoptError(f"{desk.folder} has published no root yet", hint="sign and publish the setup request first")
    if before is not None and not before.adopted:
        raise AdoptError(f"{name} is a list of this desk's own", hint="adopt under another name")
    own = desk.bases(name).get(ground)
    if own is None:
        raise AdoptError(f"{name} knows no ground {ground!r}", hint="stopsign issuer basis adds one")
    source = Adopted(source_list, 1, desk.issuer, {}, repository, root)
    folder = state_of(desk.folder / "adopted", name, source)
    found = seen(source, folder, now=now, min_threshold=min_threshold)
    if before is not None and before.state == found.head.state and before.adopted[0].version == found.head.version:
        raise AdoptError(f"{name} is what the source publishes already")
    data = _document(source, found, folder, now, min_threshold)
    head = Head(
        list=name, version=before.version + 1 if before else 1, entries=found.head.entries, state=found.head.state,
        issuer=desk.issuer, bases={key: _both(own, theirs) for key, theirs in found.head.bases.items()},
        full_path=full_path(name, before.version + 1 if before else 1), full_size=found.head.full_size,
        seal=found.head.seal and replace(found.head.seal, appeals_key=appeals_key(desk)),
        adopted=(
            replace(source, version=found.head.version, issuer=found.head.issuer, bases=found.head.bases),
            *found.head.adopted,
        ),
    )  # fmt: skip
    note = f"adopts {source_list} version {found.head.version} of {found.head.issuer.name}"
    return whole(current, About("list", name, author, as_text(now), note), head, data, now)


def state_of(above: Path, name: str, source: Adopted) -> Path:
    """The folder with what this machine saw of a source for the list `name`. What it saw by another root, or of another
    list, is of another source: one that was founded again begins again."""
    folder, former = above / f"{name}.{folder_name(source)}", above / name  # formerly one for all sources
    root = former / "root.json"
    if not folder.exists() and root.exists() and root.read_bytes() == source.root:
        before = verify.head_seen(former)
        if before is None or before.list == source.list:
            former.rename(folder)
    return folder


def seen(source: Adopted, folder: Path, *, now: datetime, min_threshold: int = 2) -> Verified:
    """What a source publishes now, verified from its own root; of a sealed list its head. Raises VerifyError."""
    folder.mkdir(parents=True, exist_ok=True)
    root = folder / "root.json"
    root.write_bytes(source.root)
    return verify.refresh(
        source.repository, root, folder, source.list, deadline=SECONDS, min_threshold=min_threshold, now=now,
        opener=verify.head_alone,
    )  # fmt: skip


def compared(head: Head, found: Verified, before: Head | None) -> list[str]:
    """What a signer has to know of an adopted version, in sentences; `before`: the version that was signed last. Raises
    AdoptError where the source says something else than the request."""
    source, theirs = head.adopted[0], found.head
    same = (
        head.state == theirs.state, head.entries == theirs.entries, head.full_size == theirs.full_size,
        head.seal == _answered_here(head, theirs), source.version == theirs.version, source.issuer == theirs.issuer,
        source.bases == theirs.bases, head.adopted[1:] == theirs.adopted, head.bases.keys() == theirs.bases.keys(),
        head.delta is None,
    )  # fmt: skip
    if not all(same):
        raise AdoptError(
            f"the source publishes version {theirs.version} of {source.list}, and the request adopts something else",
            hint="if something newer was published there meanwhile, adopt again",
        )
    what = "sealed: its names are read by nobody here" if head.seal is not None else "readable"
    chain = "".join(f", who adopted it from {one.issuer.name}" for one in head.adopted[1:])
    return [
        f"adopts {source.list} version {source.version} of {source.issuer.name} at {source.repository}{chain}",
        f"the source's root has the SHA-256 {fingerprint(source.root)}: compare it by telephone",
        *(_moved(source, before.adopted[0]) if before else ()),
        f"{counted(head.entries, 'entry')}, {what}; {head.state}",
        "what is withdrawn there is withdrawn here",
        *([encrypted_to(head.seal.appeals_key)] if head.seal else []),
    ]


def _moved(source: Adopted, before: Adopted) -> Iterator[str]:
    """Where a source is not the one of the version before."""
    if source.root != before.root:
        yield f"another root than before: that of {before.issuer.name} had the SHA-256 {fingerprint(before.root)}"
    if source.repository != before.repository:
        yield f"another address than before: {before.repository}"
    if source.list != before.list:
        yield f"another list than before: {before.list}"


def _answered_here(head: Head, theirs: Head) -> Seal | None:
    """The source's seal, with the adopter's key for appeals."""
    if head.seal is None or theirs.seal is None:
        return theirs.seal
    return replace(theirs.seal, appeals_key=head.seal.appeals_key)


def _document(source: Adopted, found: Verified, folder: Path, now: datetime, min_threshold: int) -> bytes:
    """The source's document as a file: the encrypted one as it was signed, a readable one by its lines."""
    if found.head.seal is None:
        document.check(found.lines, expected=found.head.summary(), bases=found.head.bases)
        return found.lines.read_bytes()
    with translated(source.list), closing(place(source.repository, Deadline(SECONDS))) as where:
        client = Client(where, source.root, folder / "tuf", min_threshold, now)
        client.refresh()
        info = client.listed(found.head.full_path)
        if info is None:
            raise AdoptError(f"{found.head.full_path} is named by the head, but not signed")
        return client.load(info, folder, "document", verify.largest(found.head))


def _both(own: Basis, theirs: Basis) -> Basis:
    """One's own ground, with the source's beside it, as the stop page shows it."""
    return replace(
        own, law=f"{own.law} / {theirs.law}", authority=f"{own.authority} / {theirs.authority}",
        order=f"{own.order} / {theirs.order}",
    )  # fmt: skip
