"""What each version of a list changed, and who signed it: kept at the desk, one file a version. All of it is also in
what is published, where steps, heads and roles stay for ever: `rebuild` makes it from there.

    ledger/<list>/<version>.zst    the step, as in `delta`; the first version's is all of it
    ledger/<list>/<version>.sealed of a sealed list in its place: the step and the whole document, with names (`names`)
    ledger/<list>/<version>.json   {"state": ..., "signed_by": [key ids], "published": when}

Enters: the desk. Leaves: steps between two versions, and the signers of an entry; or `HistoryError`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Targets

from blocklists import delta, document, durable
from blocklists.delta import ADDED, REMOVED
from blocklists.document import MAX_SIZE
from blocklists.entry import as_text
from blocklists.errors import BlocklistError, why
from blocklists.head import Head, head_path, lists_in, spelt
from blocklists.repository import LIFETIMES, ROOT, TARGETS
from blocklists.sealed import lines as sealed_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tuf.api.metadata import Root

    from blocklists.issuer.desk import Desk


class HistoryError(BlocklistError):
    """The desk has no record of a version."""


def record(
    folder: Path, head: Head, steps: Iterable[tuple[bytes, bytes]] | Path | bytes, signed_by: Iterable[str],
    published: str,
) -> None:  # fmt: skip
    """Write a version's record into `folder` (a stage). `steps`: as they are, or the file that was published of them
    (the delta, of a first version the document); of a sealed list the file of the vault, empty where that is not
    there."""
    place = folder / head.list
    if not isinstance(steps, bytes):
        with durable.replaced(place / f"{head.version}.zst") as path:
            if not isinstance(steps, Path):
                delta.write(path, steps)
            elif head.delta is not None:
                shutil.copyfile(steps, path)
            else:
                delta.write_first(path, steps, head.full_size)
    elif steps:
        durable.replace(place / f"{head.version}.sealed", steps)  # what is published holds no name to make it from
    about = {"state": head.state, "signed_by": sorted(signed_by), "published": published}
    durable.replace(place / f"{head.version}.json", json.dumps(about).encode())


def between(desk: Desk, name: str, first: int, last: int) -> list[tuple[bytes, bytes]]:
    """The net change of what was in force from version `first` (0: nothing) to `last`. Raises HistoryError."""
    gone: dict[bytes, None] = {}
    come: dict[bytes, None] = {}
    for version in range(first + 1, last + 1):
        for sign, line in _steps(desk, name, version):
            one, other = (come, gone) if sign == REMOVED else (gone, come)
            if line in one:
                del one[line]
            else:
                other[line] = None
    before, after = _off(desk, name, first), _off(desk, name, last)
    touched = {delta.reference(line) for line in (*gone, *come)}
    withdrawn = [line for line in _lines(desk, name, first, after - before) if delta.reference(line) not in touched]
    both = [(REMOVED, line) for line in (*gone, *withdrawn) if delta.reference(line) not in before]
    both += [(ADDED, line) for line in come if delta.reference(line) not in after]
    return sorted(both, key=lambda change: (delta.order(change[1]), change[0] == ADDED))


def _off(desk: Desk, name: str, version: int) -> set[str]:
    """References that were withdrawn while this version was the newest; for the published one, those that are."""
    relief, head = desk.relief(name), desk.head(name)
    if relief is None:
        return set()
    if head is not None and head.version == version:
        return set(relief.suspended)
    path = desk.folder / "ledger" / name / f"{version + 1}.json"
    until = json.loads(path.read_bytes()).get("published", "") if path.exists() else ""
    return {reference for reference, item in relief.suspended.items() if version and item.since < until}


def _lines(desk: Desk, name: str, version: int, references: set[str]) -> Iterable[bytes]:
    """The lines of these references in a version's document."""
    there: dict[bytes, None] = {}
    for number in range(1, version + 1) if references else ():
        for sign, line in _steps(desk, name, number):
            if sign == REMOVED:
                there.pop(line, None)
            elif delta.reference(line) in references:
                there[line] = None
    return there


def signers(desk: Desk, name: str, reference: str) -> set[str]:
    """Key ids that signed a version in which an entry came, or came again with a new end; of a list that was adopted
    sealed, whose entries nobody at the desk sees, those that signed any version. Raises HistoryError."""
    published, found = desk.head(name), set[str]()
    unseen = published is not None and bool(published.adopted) and published.seal is not None
    for path in (desk.folder / "ledger" / name).glob("*.json"):
        steps = () if unseen else _steps(desk, name, int(path.stem))
        if unseen or any(sign == ADDED and delta.reference(line) == reference for sign, line in steps):
            found |= set(json.loads(path.read_bytes())["signed_by"])
    if not found:
        raise HistoryError(f"no version of {name} brought {reference}")
    return found


def document_of(desk: Desk, name: str, version: int, path: Path) -> document.Summary:
    """Write the document of any version, made again from the steps, of a sealed list with digests; it comes to the
    state that was signed. Raises HistoryError, DocumentError."""
    if (desk.folder / "ledger" / name / f"{version}.sealed").exists():
        names = desk.names(name, version)
        summary = document.write_lines(path, sealed_lines.seal_all(names.listing().lines(), names.keys.name))
    else:
        lines: dict[bytes, None] = {}
        for number in range(1, version + 1):
            for sign, line in _steps(desk, name, number):
                if sign == REMOVED:
                    lines.pop(line, None)
                else:
                    lines[line] = None
        summary = document.write_lines(path, sorted(lines, key=delta.order))
    about = json.loads((desk.folder / "ledger" / name / f"{version}.json").read_bytes())
    if summary.state != about["state"]:
        raise HistoryError(f"the steps to {name} version {version} do not lead to the state that was signed")
    return summary


def rebuild(desk: Desk, roots: Sequence[Root]) -> None:
    """The ledger, from what is published: every version of the targets role, each proven by the root of its time.
    `roots`: the proven chain, from the first. Raises HistoryError."""
    current, at = desk.current(), 0
    before: dict[str, tuple[Head, Path]] = {}
    for version in range(1, current.targets.signed.version + 1 if current else 1):
        targets = _targets(desk, version)
        at = _root_of(roots, targets.signed, at)
        result = roots[at].get_verification_result(TARGETS, targets.signed_bytes, targets.signatures)
        if not result:
            raise HistoryError(
                f"version {version} of the targets role is not signed by enough people of root {roots[at].version}",
                hint="what was copied is not what was published: copy it from another mirror",
            )
        when = as_text(targets.signed.expires - LIFETIMES[TARGETS])
        for name in lists_in(targets.signed.targets):
            path = _published(desk, targets.signed, head_path(name))
            head, known = Head.from_bytes(path.read_bytes()), before.get(name)
            if known is not None and known[0].version == head.version:
                continue
            steps: Iterable[tuple[bytes, bytes]] | Path | bytes = b""
            if head.seal is None:  # else its names are in no published file
                path = _published(desk, targets.signed, head.delta.path if head.delta else head.full_path)
                steps = _changes(head, path, known)
            record(desk.folder / "ledger", head, steps, result.signed, when)
            before[name] = head, path


def _changes(head: Head, path: Path, before: tuple[Head, Path] | None) -> Iterable[tuple[bytes, bytes]] | Path:
    """What a version changes. `path`: the step to it, else its document; `before`: the version before, which of an
    adopted list came as a document too."""
    if head.delta is not None or before is None:
        return path
    old = document.read_lines(before[1], size=before[0].full_size)
    return delta.difference(old, document.read_lines(path, size=head.full_size))


def _targets(desk: Desk, version: int) -> Metadata[Targets]:
    path = desk.published / "metadata" / f"{version}.{TARGETS}.json"
    try:
        loaded: Metadata[Targets] = Metadata.from_bytes(path.read_bytes())
    except (OSError, RepositoryError) as error:
        raise HistoryError(f"{path.name}: {why(error, path)}", hint="copy all that the web host has") from None
    if not isinstance(loaded.signed, Targets) or loaded.signed.version != version:
        raise HistoryError(f"{path.name} is {loaded.signed.type}, version {loaded.signed.version}")
    return loaded


def _root_of(roots: Sequence[Root], targets: Targets, at: int) -> int:
    """The place of the root that was in force when a version was proposed, which is no earlier than `at`, that of the
    version before: a key that has left proves nothing from then on."""
    proposed = targets.expires - LIFETIMES[TARGETS]
    return max(at, sum(root.expires - LIFETIMES[ROOT] <= proposed for root in roots) - 1)


def _published(desk: Desk, role: Targets, path: str) -> Path:
    """The file of a target, as it was signed. Raises HistoryError."""
    file = desk.target(role, path)
    if file is None:
        raise HistoryError(f"{path} is named by a head, but not signed")
    try:
        with file.open("rb") as data:
            role.targets[spelt(role.targets, path) or path].verify_length_and_hashes(data)
    except (OSError, RepositoryError) as error:
        raise HistoryError(f"{path}: {why(error, path)}", hint="copy all that the web host has") from None
    return file


def _steps(desk: Desk, name: str, version: int) -> Iterable[tuple[bytes, bytes]]:
    path = desk.folder / "ledger" / name / f"{version}.zst"
    if path.with_suffix(".sealed").exists():
        return desk.names(name, version).steps()
    if not path.exists():
        raise HistoryError(f"the desk has no record of {name} version {version}")
    return delta.read(path, size=MAX_SIZE)
