"""What the lists that a list was adopted from have withdrawn since: their own relief, proven from their own root.

Enters: a verified head that says where its document comes from (`Head.adopted`), that document, a folder of this list.
Leaves: the suspensions of every source, and what is in the way of newer ones; no error: what was proven before stays.

Rules
- A source's root is in the adopted head, which two people signed: nothing else is believed of a source, and its
  document is not looked at again. Its state hash is the head's own.
- What a source withdraws is withdrawn here, whatever the list that adopted it does: sources are asked also where that
  list is away or refused, by its last verified head. Nothing of a source adds a name.
- One key of a source signs its relief. It follows the one before as a list's own does (`relief`): references that are
  no entries of the document are dropped, so there are never more of them than entries.
- A source is asked no other way than the list itself: a list from the web names no file of this machine, one by https
  no source by http.
- A source that cannot be reached, or that says something that cannot be applied, changes nothing; it is said. So is a
  file that is damaged here, which is fetched again.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from blocklists import durable
from blocklists import relief as relief_rules
from blocklists.client import Client, translated
from blocklists.errors import BlocklistError, VerifyError, why
from blocklists.fetch import Deadline, place
from blocklists.head import MAX_RELIEF, Relief, Suspension

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from blocklists.head import Adopted, Head


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What the sources have withdrawn, by reference."""

    suspended: Mapping[str, Suspension] = field(default_factory=dict)
    trouble: str | None = None
    """Why something newer may be missing."""


def refresh(
    head: Head, lines: Path, repository: str, state: Path, *, deadline: float, min_threshold: int = 2, now: datetime
) -> Withdrawn:
    """Ask each source of a list that comes from `repository`. `lines`: its document. `state`: the folder of this list
    alone."""
    trouble = None
    for source in head.adopted:
        try:
            _check_way(repository, source.repository)
            newest = _newest(source, _folder(state, source), deadline, min_threshold, now)
            if newest is not None:
                _keep(source, newest, head, lines, _folder(state, source))
        except (VerifyError, relief_rules.ReliefError) as error:
            trouble = _unseen(source, error)
    known = stored(head, state)
    return Withdrawn(known.suspended, trouble or known.trouble)


def stored(head: Head, state: Path) -> Withdrawn:
    """What was proven last, from disk alone."""
    suspended: dict[str, Suspension] = {}
    trouble = None
    for source in head.adopted:
        try:
            relief = _known(_folder(state, source))
        except VerifyError as error:
            relief, trouble = None, _unseen(source, error)
        for reference, item in (relief.suspended if relief else {}).items():
            suspended.setdefault(reference, Suspension(item.since, f"{source.issuer.name}: {item.reason}"))
    return Withdrawn(suspended, trouble)


def _unseen(source: Adopted, error: BlocklistError) -> str:
    return f"what {source.issuer.name} has withdrawn of {source.list} cannot be seen: {error}"


def _check_way(own: str, source: str) -> None:
    trust = {"https": 2, "http": 1}
    kinds = [trust.get(urlsplit(where).scheme, 0) if "://" in where else 0 for where in (own, source)]
    if kinds[0] > 0 and kinds[1] < kinds[0]:
        raise VerifyError("malformed", f"a list from {urlsplit(own).scheme} does not lead to {source!r}")


def _newest(
    source: Adopted, folder: Path, deadline: float, min_threshold: int, now: datetime
) -> Relief | None:  # fmt: skip
    """The relief that a source publishes, proven; None where it publishes none."""
    with translated(source.list), closing(place(source.repository, Deadline(deadline))) as where:
        (folder / "tuf").mkdir(parents=True, exist_ok=True)
        client = Client(where, source.root, folder / "tuf", min_threshold, now)
        client.refresh()
        info = client.relieved(source.list)
        return None if info is None else Relief.from_bytes(client.load(info, folder, "relief", MAX_RELIEF))


def _keep(source: Adopted, newest: Relief, head: Head, lines: Path, folder: Path) -> None:
    with translated(source.list):
        try:
            known = _known(folder)
        except VerifyError:
            known = None  # damaged: the newest takes its place
        relief_rules.check(newest, source.list, known, rotated=False)
        kept = relief_rules.applied(replace(newest, decisions=()), known, lines, head.full_size)
        if kept is not None and kept != known:
            durable.replace(folder / "relief.json", kept.to_bytes())


def _known(folder: Path) -> Relief | None:
    try:
        return Relief.from_bytes((folder / "relief.json").read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, BlocklistError) as error:
        raise VerifyError("storage", f"{folder / 'relief.json'} is damaged: {why(error)}") from error


def folder_name(source: Adopted) -> str:
    """What the folder of a source is called: by its list and its root, which are another source where they change."""
    return f"{source.list}-{hashlib.sha256(source.root).hexdigest()[:16]}"


def _folder(state: Path, source: Adopted) -> Path:
    return state / "sources" / folder_name(source)
