"""What a signer's machine knows: its own client of the repository, pinned to the root that its owner signed.

Enters: a keyring, a request, a repository (a directory, a USB stick, a URL). Leaves: `Known`, brought up to date.

Rules
- The first root is pinned by its content: the one that this person reviewed and signed, whoever else signed it.
- Expired metadata does not keep a signer from renewing it; it is said in the review.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root

from blocklists import durable, verify
from blocklists.errors import VerifyError
from blocklists.fetch import Deadline, Fetcher, place
from blocklists.head import head_path, spelt
from blocklists.issuer.review import Known

if TYPE_CHECKING:
    from pathlib import Path

    from blocklists.fetch import Place
    from blocklists.issuer.desk import Desk
    from blocklists.issuer.keys import Keyring
    from blocklists.issuer.request import Request


_LONG_AGO = datetime.fromtimestamp(0, UTC)
"""A time at which nothing has expired yet."""


def look_up(
    keyring: Keyring,
    request: Request,
    repository: str | None,
    *,
    now: datetime,
    deadline: float = 60.0,
    min_threshold: int = 2,
) -> Known:
    """What this machine knows about what the request changes. Raises VerifyError.

    Without a repository the machine knows nothing, which is right for a first root alone.
    """
    if request.root is not None and request.root.signed.version == 1:
        return Known(None, None)
    if repository is None:
        raise VerifyError("unreachable", "no repository to compare with", hint="name it with --repository")
    with closing(place(repository, Deadline(deadline))) as where:
        return _look_up(keyring.folder / "known", request.about.list, where, now, min_threshold)


def _look_up(folder: Path, name: str | None, where: Place, now: datetime, min_threshold: int) -> Known:
    root = _pinned(folder, where)
    overdue = False
    try:
        roles = verify.roles(where, root, folder / "tuf", min_threshold=min_threshold, now=now)
    except VerifyError as error:
        if error.reason != "expired":
            raise
        overdue, now = True, _LONG_AGO
        roles = verify.roles(where, root, folder / "tuf", min_threshold=min_threshold, now=now)
    listed = None
    if name is not None and spelt(roles.targets.targets, head_path(name)):
        state = folder / "lists" / name
        listed = verify.refresh_from(where, root, state, name, min_threshold=min_threshold, now=now)
    return Known(roles, listed, overdue)


def at_desk(desk: Desk, keyring: Keyring, request: Request, *, now: datetime) -> Known:
    """What is known where the keys are used at the desk itself, on its own published files and its own first root."""
    folder = keyring.folder / "known"
    if not (folder / "root.json").exists() and not (folder / "root.sha256").exists():
        durable.write(folder / "root.json", desk.trusted_root.read_bytes())
    return look_up(keyring, request, str(desk.published), now=now)


def pin(keyring: Keyring, request: Request) -> None:
    """Remember the first root that this person signs."""
    if request.root is not None and request.root.signed.version == 1:
        digest = hashlib.sha256(request.root.signed_bytes).hexdigest()
        durable.write(keyring.folder / "known" / "root.sha256", digest.encode() + b"\n")


def _pinned(folder: Path, where: Place) -> Path:
    path, pinned = folder / "root.json", folder / "root.sha256"
    if path.exists():
        return path
    data = Fetcher(where).download_bytes("metadata/1.root.json", 512_000)
    try:
        root: Metadata[Root] = Metadata.from_bytes(data)
    except RepositoryError as error:
        raise VerifyError("malformed", f"the first root: {error}") from None
    if not pinned.exists():
        raise VerifyError(
            "storage", f"{folder} has no root pinned", hint="sign the setup request here, or pin one by --trusted-root"
        )
    if hashlib.sha256(root.signed_bytes).hexdigest() != pinned.read_text().strip():
        raise VerifyError("hash-mismatch", "the repository's first root is not the one that was signed on this machine")
    durable.write(path, data)
    return path
