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
from typing import TYPE_CHECKING, TypeVar

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Targets

from blocklists import delta, document, durable
from blocklists.delta import ADDED, REMOVED
from blocklists.document import MAX_SIZE
from blocklists.entry import as_text
from blocklists.errors import BlocklistError
from blocklists.head import Head, head_path, lists_in, spelt
from blocklists.repository import LIFETIMES, TARGETS
from blocklists.sealed import lines as sealed_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from blocklists.issuer.desk import Desk


T = TypeVar("T", Root, Targets)


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
    place.mkdir(parents=True, exist_ok=True)
    if not isinstance(steps, bytes):
        path = place / f"{head.version}.zst"
        if not isinstance(steps, Path):
            delta.write(path, steps)
        elif head.delta is not None:
            shutil.copyfile(steps, path)
        else:
            delta.write_first(path, steps, head.full_size)
    elif steps:
        durable.replace(place / f"{head.version}.sealed", steps)  # what is published holds no name to make it from
    about = {"state": head.state, "signed_by": sorted(signed_by), "published": published}
    (place / f"{head.version}.json").write_text(json.dumps(about))


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
    """Key ids that signed the version in which an entry came. Raises HistoryError."""
    versions = sorted((int(path.stem) for path in (desk.folder / "ledger" / name).glob("*.json")), reverse=True)
    for version in versions:
        if any(sign == ADDED and delta.reference(line) == reference for sign, line in _steps(desk, name, version)):
            about = json.loads((desk.folder / "ledger" / name / f"{version}.json").read_bytes())
            return set(about["signed_by"])
    raise HistoryError(f"no version of {name} brought {reference}")


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


def rebuild(desk: Desk) -> None:
    """The ledger, from what is published: every version whose targets role a root of the chain proves. Raises
    HistoryError."""
    metadata = desk.published / "metadata"
    roots = [root.signed for root in _numbered(metadata, "root", Root)]
    seen: set[tuple[str, int]] = set()
    for targets in _numbered(metadata, TARGETS, Targets):
        results = [root.get_verification_result(TARGETS, targets.signed_bytes, targets.signatures) for root in roots]
        signed = [set(result.signed) for result in results if result]
        if not signed:
            raise HistoryError(f"version {targets.signed.version} of the targets role is not signed by enough people")
        when = as_text(targets.signed.expires - LIFETIMES[TARGETS])
        for name in lists_in(targets.signed.targets):
            head = Head.from_bytes(_published(desk, targets.signed, head_path(name)))
            if (name, head.version) in seen:
                continue
            seen.add((name, head.version))
            if head.seal is not None:  # its names are in no published file
                record(desk.folder / "ledger", head, b"", signed[-1], when)
                continue
            path = head.delta.path if head.delta else head.full_path
            part = desk.folder / "step.zst"
            part.write_bytes(_published(desk, targets.signed, path))
            record(desk.folder / "ledger", head, part, signed[-1], when)
            part.unlink()


def _numbered(folder: Path, role: str, kind: type[T]) -> Iterator[Metadata[T]]:
    """Every version of a role that is published, in order."""
    for path in sorted(folder.glob(f"*.{role}.json"), key=lambda path: int(path.name.partition(".")[0])):
        loaded: Metadata[T] = Metadata.from_bytes(path.read_bytes())
        if not isinstance(loaded.signed, kind):
            raise HistoryError(f"{path} is {loaded.signed.type}")
        yield loaded


def _published(desk: Desk, role: Targets, path: str) -> bytes:
    """A target as it was signed. Raises HistoryError."""
    file = desk.target(role, path)
    try:
        if file is None:
            raise HistoryError(f"{path} is named by a head, but not signed")
        data = file.read_bytes()
        role.targets[spelt(role.targets, path) or path].verify_length_and_hashes(data)
        return data
    except (OSError, RepositoryError) as error:
        raise HistoryError(f"{path}: {error}", hint="copy all that the web host has") from None


def _steps(desk: Desk, name: str, version: int) -> Iterable[tuple[bytes, bytes]]:
    path = desk.folder / "ledger" / name / f"{version}.zst"
    if path.with_suffix(".sealed").exists():
        return desk.names(name, version).steps()
    if not path.exists():
        raise HistoryError(f"the desk has no record of {name} version {version}")
    return delta.read(path, size=MAX_SIZE)
