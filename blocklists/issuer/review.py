"""Reviewing: what a request means, recomputed on the signer's own machine from what it last verified there.

Enters: a request from anywhere, and what this machine knows (`Known`). Leaves: `Review`; or `ReviewError` where the
request contradicts itself or is no step from the last signed state. Signing takes a review, never a bare request.

Rules
- The request's own words (author, note) are shown as such. Everything else is computed here.
- The new document is the known one plus the request's changes, and must come to the head's count, size and state hash.
- The new targets role differs from the known one in this list's files alone; their hashes are those of the parts here.
- A relief says all that the known one says, and more; what it takes back is refused.
- An entry that is withdrawn (`force`) may come, go or change: that has no effect, and is shown as such. The same name
  under a new reference is an addition like any other.
- Every entry that comes is valid, has a known basis and a reference that is not in use; no basis in use disappears.
- The core looks at entries, once. Python sees those that people are shown or that there may be something to say of.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from tuf.api.exceptions import RepositoryError

import resolver._core as _core
from blocklists import document, impact, repository, verify
from blocklists.counted import counted
from blocklists.document import DocumentError, Summary
from blocklists.entry import Entry, EntryError, parse
from blocklists.errors import BlocklistError
from blocklists.force import withdrawn
from blocklists.head import MAX_JUMP, Head, HeadError, Relief, head_path, is_of, relief_path, spelt
from blocklists.issuer import adopt, changes, names, sealing, vault, withdraw
from blocklists.issuer.adopt import AdoptError
from blocklists.issuer.names import NamesError
from blocklists.issuer.sealing import SealingError
from blocklists.issuer.withdraw import WithdrawError
from blocklists.relief import CARRIED
from blocklists.repository import is_plain, relief_keys
from blocklists.sealed.errors import SealError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from securesystemslib.signer import Key
    from tuf.api.metadata import Root, TargetFile, Targets

    from blocklists.head import Decision, Suspension
    from blocklists.impact import Finding
    from blocklists.issuer.changes import GroundChange, KeyChange
    from blocklists.issuer.keys import Card
    from blocklists.issuer.names import Names
    from blocklists.issuer.request import Request
    from blocklists.verify import Roles, Verified
    from resolver._core import Attention, Reviewed

T = TypeVar("T")
SHOWN = 20
"""Entries of each kind that a person sees who does not ask for all."""


class ReviewError(BlocklistError):
    """The request is not what it says, or does not start from the last signed state: nothing to sign."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the signer's machine last verified: the roles, and the list that the request is about."""

    roles: Roles | None
    """None before the first root is published."""
    list: Verified | None
    """None before the list's first version, and where the request is about its relief alone."""
    relief: Relief | None = None
    """The list's, as it is published."""
    overdue: bool = False
    """The repository has expired; its signatures hold, but something newer may exist."""
    pinned: str | None = None
    """The fingerprint of the root that this machine takes from now on, where it took none before."""
    source: Verified | None = None
    """What the source of a list that is adopted publishes, as this machine has asked it."""
    lists: Path | None = None
    """The folder with what this machine keeps of each list: of one that it has reviewed too, until it is published."""


@dataclass(frozen=True, slots=True)
class Items(Generic[T]):
    """Changes of one kind: how many there are, and the first of them."""

    count: int = 0
    first: tuple[T, ...] = ()


Pair = tuple["Entry", "Entry"]
"""Before and after."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What changes in a list, kind by kind (`core/dnscore/src/list/review.rs` says which change is of which kind)."""

    added: Items[Entry] = Items()
    removed: Items[Entry] = Items()
    widened: Items[Pair] = Items()
    narrowed: Items[Pair] = Items()
    prolonged: Items[Pair] = Items()
    shortened: Items[Pair] = Items()
    reworded: Items[Pair] = Items()
    """Same reference and end; another category, note or time of issue."""
    withdrawn: Items[Entry] = Items()
    """Come, go or change without effect: relief has suspended them."""
    by_basis: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """For each basis: how many entries come, how many go."""

    @staticmethod
    def of(found: Reviewed) -> Meaning:
        """As the core found it. Raises EntryError on a line that is none."""
        kinds = {
            kind: Items(count, tuple((parse(one), parse(other)) if other else parse(one) for one, other in first))
            for kind, (count, first) in found.kinds.items()
        }
        return Meaning(**kinds, by_basis=found.by_basis)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Review:
    """A request together with what it means."""

    request: Request
    known: Known
    root: Root
    """The root whose keys decide: the request's own where it brings one."""
    head: Head | None = None
    meaning: Meaning = field(default_factory=Meaning)
    findings: tuple[Finding, ...] = ()
    remarks: tuple[str, ...] = ()
    """What else changes, in sentences: thresholds, the issuer's own data."""
    keys: tuple[KeyChange, ...] = ()
    """Who may sign what from now on, and who no longer."""
    grounds: tuple[GroundChange, ...] = ()
    suspended: Mapping[str, Suspension] = field(default_factory=dict)
    """References that the request newly suspends."""
    decided: tuple[Decision, ...] = ()
    """Decisions on appeals that the request newly carries."""


def review(
    request: Request, known: Known, *, popular: Collection[str] = (), own: Card | None = None, min_threshold: int = 2,
    ask: Callable[[], bytes] = vault.ask, limit: int | None = SHOWN,
) -> Review:  # fmt: skip
    """What the request means. `popular`: names that many people ask for; `own`: the card of the person who
    reads it, under whose name no other key may come; `ask`: the passphrase of sealed lists; `limit`: how many entries
    of each kind are listed, None: all. Raises ReviewError, VerifyError, VaultError."""
    try:
        return _review(request, known, popular, own, min_threshold, ask, limit)
    except (EntryError, DocumentError, HeadError, RepositoryError, SealError, SealingError, NamesError) as error:
        raise ReviewError(f"the request is damaged: {error}") from None
    except (AdoptError, WithdrawError) as error:
        raise ReviewError(str(error), hint=error.hint) from None


def _review(
    request: Request, known: Known, popular: Collection[str], own: Card | None, min_threshold: int,
    ask: Callable[[], bytes], limit: int | None,
) -> Review:  # fmt: skip
    remarks: list[str] = []
    keys: list[KeyChange] = []
    old_root = known.roles.root if known.roles else None
    old_targets = known.roles.targets if known.roles else None
    if known.overdue:
        remarks.append("the repository has expired: make sure that nothing newer was published")
    if request.root is not None:
        root = request.root.signed
        repository.check_root(root, min_threshold)
        _check_step("root", root.version, old_root.version if old_root else 0)
        keys += changes.of_root(old_root, root)
        remarks += changes.of_thresholds(old_root, root)
    elif known.roles is None:
        raise ReviewError("this machine knows no root yet, and the request brings none")
    else:
        root = known.roles.root
    if request.targets is not None:
        targets = request.targets.signed
        repository.check_delegations(root, targets.delegations)
        _check_step("targets", targets.version, old_targets.version if old_targets else 0)
        if not is_plain(targets.delegations):
            raise ReviewError("the request delegates more than relief, or in another way")
        keys += changes.of_relief(old_targets, targets)
        remarks += changes.of_relief_threshold(old_targets, targets)
        _check_other_lists(request, targets, old_targets)
    _check_ids(request, keys)
    if own is not None:
        _check_name(request, keys, own)
    suspended, decided, more = _check_relief(request, known)
    remarks += more
    if known.pinned is not None:
        remarks.append(f"this machine takes the root with SHA-256 {known.pinned} from now on: compare it by telephone")
    if request.head is None:
        return Review(
            request, known, root, remarks=tuple(remarks), keys=tuple(keys), suspended=suspended, decided=decided
        )
    head, off = Head.from_bytes(request.head), withdrawn(known.relief)
    attention = impact.attention(popular=popular, withdrawn=off, limit=limit)
    if head.adopted:
        found, more = _check_adopted(request, head, known, attention)
        remarks += more
    elif request.names is None:
        if head.seal is not None or (known.list is not None and known.list.head.seal is not None):
            raise ReviewError("the request brings no names, and the list is a sealed one")
        found = _check_list(request, head, known, off, attention)
    else:
        found, more = _check_sealed(request, head, known, off, attention, names.opened(request.names, ask()))
        remarks += more
    grounds = changes.of_grounds(known.list.head.bases if known.list else {}, head.bases, found.entries)
    remarks += _head_changes(known.list.head if known.list else None, head)
    # Of a renewal too: what became popular, or a suffix, since it was first signed
    findings = tuple(impact.preview(found.noted, popular=popular))
    return Review(
        request, known, root, head, found.meaning, findings, tuple(remarks), tuple(keys), tuple(grounds), suspended,
        decided,
    )  # fmt: skip


def _keys_of(request: Request) -> Mapping[str, Key]:
    """Every key that the request signs, by the id that it gives it."""
    of_root = request.root.signed.keys if request.root else {}
    return {**of_root, **(relief_keys(request.targets.signed.delegations) if request.targets else {})}


def _check_ids(request: Request, keys: Iterable[KeyChange]) -> None:
    """A key that comes has the id of its own fields and names its holder: people compare ids and names."""
    there = _keys_of(request)
    for change in keys:
        if change.change == "comes" and repository.final(there[change.keyid].to_dict()).keyid != change.keyid:
            raise ReviewError(
                f"the key of {change.holder or 'nobody whom it names'} that comes for {change.role} stands under the id"
                f" {change.keyid[:16]}, which is not its own",
                hint="have its card handed in again, and tell the other signers",
            )


def _check_name(request: Request, keys: Iterable[KeyChange], own: Card) -> None:
    there = _keys_of(request)
    publics = {repository.public_form(key) for key in own.keys.values()}
    for change in changes.posing(keys, own.name, publics, there):
        raise ReviewError(
            f"a key for {change.role} comes under the name {own.name}, {change.keyid[:16]}, which this machine has not",
            hint="somebody exchanged a key on your card: hand the card in again, and tell the other signers",
        )


@dataclass(frozen=True, slots=True)
class _Found:
    """What was found of a list."""

    meaning: Meaning = field(default_factory=Meaning)
    noted: tuple[Entry, ...] = ()
    """Entries that come, and of which there may be something to say."""
    entries: Mapping[str, int] | None = field(default_factory=dict)
    """How many of the new version are in force, by their ground; maybe nothing where no ground changes. None: they are
    sealed for others."""


def _found(reviewed: Reviewed | None, entries: Mapping[str, int]) -> _Found:
    if reviewed is None:
        return _Found(entries=entries)
    return _Found(Meaning.of(reviewed), tuple(map(parse, reviewed.noted)), entries)


def _check_step(role: str, version: int, before: int) -> None:
    if version == before + 1:
        return
    raise ReviewError(
        f"the request makes {role} version {version}; this machine knows version {before}",
        hint="what it was compared with is old: copy `published` again, or name another --repository"
        if version > before
        else "something else was published since: have the change proposed again; if the desk knows nothing of it,"
        " docs/issuer.md says what to do under `A relief key that turns hostile`",
    )


def _check_other_lists(request: Request, now: Targets, before: Targets | None) -> None:
    name = request.about.list or ""
    after = now.targets
    old: Mapping[str, TargetFile] = before.targets if before else {}
    if {path: info for path, info in after.items() if not is_of(path, name)} != {
        path: info for path, info in old.items() if not is_of(path, name)
    }:
        raise ReviewError("the request also changes files of another list")
    if request.head is None:
        if any(is_of(path, name) for path in after):
            raise ReviewError("the request signs files of a list that it does not bring")
        return
    head = Head.from_bytes(request.head)
    parts = {head_path(head.list): request.head, head.full_path: request.full}
    if head.delta:
        parts[head.delta.path] = request.delta
    if head.list != request.about.list or {path for path in after if is_of(path, name)} != set(parts):
        raise ReviewError(f"the request signs other files than those of {head.list} {head.version}")
    for path, data in parts.items():
        # The full file need not travel: no client takes it unless it comes to the head's state hash, which is checked
        if data is not None:
            after[path].verify_length_and_hashes(data)


def _check_list(
    request: Request, head: Head, known: Known, off: Collection[str], attention: Attention
) -> _Found:  # fmt: skip
    before = known.list
    _check_step(f"the list {head.list}", head.version, before.head.version if before else 0)
    with tempfile.TemporaryDirectory(prefix="stopsign-review-") as folder:
        part = Path(folder) / "part.zst"
        if before is None:
            if request.full is None:
                raise ReviewError("a first version without its document")
            part.write_bytes(request.full)
            first = document.check(
                part, expected=head.summary(), bases=head.bases, attention=attention, marks=verify.marks_beside(part)
            )
            if known.lists is not None:
                _keep(part, known.lists / head.list)
            return _found(first.review, first.bases)
        if request.delta is None or head.delta is None:
            raise ReviewError("a later version without the step to it")
        part.write_bytes(request.delta)
        old, step = (before.lines, before.head.full_size), (part, head.delta.size)
        with document.translated():
            reviewed = _core.review_step(*step, attention)
            after = _core.follow_step(
                old, step, reviewed, size=head.full_size, bases=list(head.bases), withdrawn=list(off),
                counted=before.head.bases != head.bases, marks=verify.marks_beside(before.lines),
                compared=before.compared,
            )  # fmt: skip
    if Summary(after.entries, after.size, after.state) != head.summary():
        raise ReviewError("the change does not lead to the state that would be signed")
    return _found(reviewed, after.bases)


def _keep(document: Path, folder: Path) -> None:
    """Keep a first version for the time when it is published: what was checked here need not be fetched. Where that
    cannot be, it is fetched."""
    kept = folder / verify.REVIEWED
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(document, kept)
        shutil.copyfile(verify.marks_beside(document), verify.marks_beside(kept))


def _check_adopted(
    request: Request, head: Head, known: Known, attention: Attention
) -> tuple[_Found, list[str]]:  # fmt: skip
    """As `_check_list`, of a list that is adopted as it is; of a sealed one no entry can be seen."""
    before, source = known.list, known.source
    _check_step(f"the list {head.list}", head.version, before.head.version if before else 0)
    if source is None or request.full is None or (before is not None and not before.head.adopted):
        raise ReviewError("the request adopts a list, and it was not compared with the source")
    remarks = adopt.compared(head, source, before.head if before else None)
    if head.seal is not None:
        return _Found(entries=None), remarks
    whole = document.check(
        source.lines, expected=head.summary(), bases=head.bases, attention=None if before else attention
    )
    if before is None:
        return _found(whole.review, whole.bases), remarks
    with document.translated():
        reviewed = _core.review_difference(before.lines, source.lines, head.full_size, attention)
    return _found(reviewed, whole.bases), remarks


def _check_sealed(
    request: Request, head: Head, known: Known, off: Collection[str], attention: Attention, inside: Names
) -> tuple[_Found, list[str]]:  # fmt: skip
    """As `_check_list`, of a sealed list; and what changes in its seal."""
    before = known.list
    _check_step(f"the list {head.list}", head.version, before.head.version if before else 0)
    remarks = list(sealing.checked(request, head, before.head if before else None, inside))
    step, whole = names.in_memory(inside.step), inside.listing()
    with document.translated():
        reviewed = _core.review_step(step.path, step.size, attention)
        after = _core.check_document(whole.path, size=whole.size, bases=list(head.bases), withdrawn=list(off))
    return _found(reviewed, after.bases), remarks


def _check_relief(
    request: Request, known: Known
) -> tuple[Mapping[str, Suspension], tuple[Decision, ...], list[str]]:  # fmt: skip
    """What the request newly suspends, and newly decides; and what else there is to say of its relief."""
    if request.relief is None:
        if request.relief_list is not None:
            raise ReviewError("a relief that nobody would sign")
        return {}, (), []
    before = known.roles.relief if known.roles else None
    version = before.version if before else 0
    restarts = request.root is not None and request.relief.signed.version == 1 and version > MAX_JUMP
    _check_step("relief", request.relief.signed.version, 0 if restarts else version)
    if request.relief_list is None:
        withdraw.check_others(request.relief.signed, before, None)
        return {}, (), []
    relief = Relief.from_bytes(request.relief_list)
    path = spelt(request.relief.signed.targets, relief_path(relief.list))
    if path is None or relief.list != request.about.list:
        raise ReviewError(f"the request brings a relief of {relief.list} and does not sign it")
    request.relief.signed.targets[path].verify_length_and_hashes(request.relief_list)
    withdraw.check_others(request.relief.signed, before, relief)
    fresh = relief.since(known.relief)
    return fresh.suspended, fresh.decisions, _check_kept(relief, known.relief)


def _check_kept(relief: Relief, known: Relief | None) -> list[str]:
    """What a relief that counts from the beginning no longer says, in sentences; any other one says all of it."""
    if known is None:
        return []
    # What this machine alone carries on, the published relief does not say
    said = {reference: item for reference, item in known.suspended.items() if item.reason != CARRIED}
    published = replace(known, suspended=said)
    if relief.version > 1:
        withdraw.check_kept(relief, published)
        return []
    lost = published.since(relief)
    gone = f"{counted(len(lost.suspended), 'suspension')} and {counted(len(lost.decisions), 'decision')}"
    return [f"the relief counts from the beginning, without {gone} of the one that this machine knows"]


def _head_changes(before: Head | None, after: Head) -> list[str]:
    if before is not None and before.issuer == after.issuer:
        return []
    was = f" (before: {before.issuer.name}, {before.issuer.contact}, {before.issuer.appeals})" if before else ""
    return [f"issuer: {after.issuer.name}, {after.issuer.contact}, appeals to {after.issuer.appeals}{was}"]
