"""A desk from the web host alone: what was published holds all that a desk needs but its own keys.

Enters: a copy of `published/`, and the root that providers pin. Leaves: a desk with its grounds, its ledger (so that
somebody who did not sign an entry can decide on appeals against it) and no keys of its own; or `RestoreError`.

Rules
- Nothing in the copy is believed: it is verified as a provider verifies it, from the pinned root, though it may have
  expired while the desk was away. The pinned root is the first; a root that it does not lead to is refused. Each
  version of the targets role counts only under the root of its time: keys that have left prove nothing later.
- The next step is `keys change --online`: two signers give the desk new keys of its own.
- The names of a sealed list are in no published file: who keeps its ledger elsewhere copies the files *.sealed back.
- Appeals of providers are not among it: they were sealed for a key that is gone. Providers send them again, or they are
  decided as appeals that nobody received.
"""

from __future__ import annotations

import shutil
from itertools import pairwise
from typing import TYPE_CHECKING

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata

from blocklists import verify
from blocklists.errors import BlocklistError, VerifyError
from blocklists.fetch import Deadline, Directory
from blocklists.head import Issuer
from blocklists.issuer import history
from blocklists.issuer.desk import Desk
from blocklists.issuer.known import LONG_AGO
from blocklists.repository import ROOT

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from tuf.api.metadata import Root

_CHECK_SECONDS = 600.0


class RestoreError(BlocklistError):
    """No desk can be made of this."""


def restore(
    folder: Path, published: Path, trusted_root: Path, *, issuer: Issuer | None = None, now: datetime,
    min_threshold: int = 2,
) -> Desk:  # fmt: skip
    """Make a desk in `folder`. `issuer`: who issues the lists, where no list says so yet. Raises RestoreError,
    VerifyError, DeskError."""
    if not (published / "metadata" / "timestamp.json").exists():
        raise RestoreError(f"{published} is not what a desk publishes: it has no metadata/timestamp.json")
    with Desk.placed(folder) as part:
        for name in ("bases", "requests", "drafts"):
            (part / name).mkdir()
        shutil.copytree(published, part / "published")
        shutil.copyfile(trusted_root, part / "root.json")
        desk = Desk(part, issuer or Issuer("", "", ""))
        _verify(desk, now, min_threshold)
        roots = _proven(desk)
        heads = [head for name in desk.lists() if (head := desk.head(name)) is not None]
        issuer = issuer or (heads[-1].issuer if heads else None)
        if issuer is None:
            raise RestoreError("no list says who issues it", hint="say so: --name, --contact, --appeals")
        Desk.describe(part, issuer)
        for head in heads:
            desk.set_bases(head.list, head.bases)
        history.rebuild(desk, roots)
    return Desk.open(folder)


def _proven(desk: Desk) -> list[Root]:
    """The chain of roots, from the pinned one, which is the first. Raises RestoreError for a root that it does not
    lead to."""
    pinned: Metadata[Root] = Metadata.from_bytes(desk.trusted_root.read_bytes())
    files = desk.roots()
    chain: list[Metadata[Root]] = [Metadata.from_bytes(path.read_bytes()) for path in files]
    if chain[0].signed_bytes != pinned.signed_bytes:
        raise RestoreError(
            "the first root in the copy is not the pinned one", hint="pin the first: the desk's root.json"
        )
    try:
        for before, after in pairwise(chain):
            for root in (before.signed, after.signed):
                root.verify_delegate(ROOT, after.signed_bytes, after.signatures)
    except RepositoryError as error:
        raise RestoreError(f"the pinned root does not lead to all roots in the copy: {error}") from None
    if stray := set((desk.published / "metadata").glob("*.root.json")) - set(files):
        missing = f"{len(chain) + 1}.root.json"
        raise RestoreError(
            f"the pinned root does not lead to {min(path.name for path in stray)}: {missing} is missing",
            hint="copy all that the web host has; if it has no more, that root is not the issuer's: delete it",
        )
    return [root.signed for root in chain]


def _verify(desk: Desk, now: datetime, min_threshold: int) -> None:
    """Bring the desk's own client to what is published, as of now, or as of when it had not expired."""
    where, folder = Directory([desk.published], Deadline(_CHECK_SECONDS)), desk.folder / "client"
    try:
        verify.roles(where, desk.trusted_root, folder / "tuf", min_threshold=min_threshold, now=now)
    except VerifyError as error:
        if error.reason != "expired":
            raise
        now = LONG_AGO
        verify.roles(where, desk.trusted_root, folder / "tuf", min_threshold=min_threshold, now=now)
    for name in desk.lists():
        state = folder / "lists" / name
        verify.refresh_from(
            where, desk.trusted_root, state, name, min_threshold=min_threshold, now=now, opener=verify.head_alone
        )
