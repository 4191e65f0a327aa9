"""A desk from the web host alone: what was published holds all that a desk needs but its own keys.

Enters: a copy of `published/`, and the root that providers pin. Leaves: a desk with its grounds, its ledger (so that
somebody who did not sign an entry can decide on appeals against it) and no keys of its own; or `RestoreError`.

Rules
- Nothing in the copy is believed: it is verified as a provider verifies it, from the pinned root, though it may have
  expired while the desk was away; each version of the targets role counts only under a root of that chain.
- The next step is `keys change --online`: two signers give the desk new keys of its own.
- The names of a sealed list are in no published file: who keeps its ledger elsewhere copies the files *.sealed back.
- Appeals of providers are not among it: they were sealed for a key that is gone. Providers send them again, or they are
  decided as appeals that nobody received.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from blocklists import verify
from blocklists.errors import BlocklistError, VerifyError
from blocklists.fetch import Deadline, Directory
from blocklists.head import Issuer
from blocklists.issuer import history
from blocklists.issuer.desk import Desk
from blocklists.issuer.known import LONG_AGO

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

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
        heads = [head for name in desk.lists() if (head := desk.head(name)) is not None]
        issuer = issuer or (heads[-1].issuer if heads else None)
        if issuer is None:
            raise RestoreError("no list says who issues it", hint="say so: --name, --contact, --appeals")
        Desk.describe(part, issuer)
        for head in heads:
            desk.set_bases(head.list, head.bases)
        history.rebuild(desk)
    return Desk.open(folder)


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
