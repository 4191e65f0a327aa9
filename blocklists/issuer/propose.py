"""Proposing: a wished-for change becomes a request that signers can judge.

Enters: the desk, and what is to change. Leaves: a `Request` without signatures. Nothing is published by it.

Rules
- A change is made of lines that go and lines that come (`delta`), so that a million entries are never rebuilt for one.
- An entry that stays keeps its reference; one that changes name, match or basis gets a new one.
- What is withdrawn is not listed (`force`): a name that is proposed again comes as a new entry, and the old line goes.
- Where nothing changes there is no request: `ProposeError`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuf.api.metadata import Metadata, Root, TargetFile, Targets

from blocklists import delta, durable
from blocklists.counted import counted
from blocklists.delta import ADDED, REMOVED
from blocklists.entry import Entry, EntryError, as_text, check_key
from blocklists.errors import BlocklistError
from blocklists.force import withdrawn
from blocklists.head import Delta, Head, delta_path, full_path, head_path, is_of
from blocklists.importers.intake import Intake, gathered
from blocklists.importers.source import Rejection
from blocklists.issuer import sealing as seals
from blocklists.issuer.request import About, Request
from blocklists.repository import (
    LIFETIMES,
    OFFLINE,
    RELIEF,
    ROOT,
    TARGETS,
    check_delegations,
    check_root,
    delegate_relief,
    relief_keys,
)
from blocklists.sealed.lines import STAND_IN
from resolver._core import Steps, wanted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from blocklists.entry import Match, Random
    from blocklists.importers.intake import Candidate, Kind
    from blocklists.issuer.desk import Current, Desk
    from blocklists.issuer.keys import Card


class ProposeError(BlocklistError):
    """The wished-for change is none, or cannot be."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What new entries have in common; a candidate's own word goes before it."""

    basis: str
    category: str
    issued: str
    expires: str
    removal_requested: str | None = None
    impact: str | None = None


def setup(desk: Desk, cards: Sequence[Card], *, threshold: int = 2, now: datetime, author: str = "the desk") -> Request:
    """The first root, with the public keys on the cards, and empty lists. Raises ProposeError."""
    if desk.current() is not None:
        raise ProposeError(f"{desk.folder} is set up already", hint="stopsign issuer keys changes its keys")
    signers = [card for card in cards if set(OFFLINE) <= card.keys.keys()]
    for card in cards:
        if card not in signers and set(OFFLINE) & card.keys.keys():
            raise ProposeError(f"the card of {card.name} has a key for one of root and targets, and not for the other")
        if card not in signers and RELIEF not in card.keys:
            raise ProposeError(f"the card of {card.name} has no key that a desk needs")
    if len(signers) < threshold:
        raise ProposeError(
            f"{len(signers)} card(s) of signers for a threshold of {threshold}",
            hint="each signer hands in a card with keys for root and targets; one for relief alone signs no entry",
        )
    root = Root(version=1, expires=_expires(ROOT, now), consistent_snapshot=True)
    for role in OFFLINE:
        for card in signers:
            root.add_key(card.keys[role], role)
        root.roles[role].threshold = threshold
    for role, key in desk.online().card.keys.items():
        root.add_key(key, role)
    delegations = delegate_relief(
        {card.keys[RELIEF].keyid: card.keys[RELIEF] for card in cards if RELIEF in card.keys}, ()
    )
    check_root(root, 1)
    check_delegations(root, delegations)
    about = About(
        "setup", None, author, as_text(now), f"{desk.issuer.name}: {len(signers)} signers, {threshold} decide"
    )
    return Request(
        about, root=Metadata(root),
        targets=Metadata(Targets(version=1, expires=_expires(TARGETS, now), delegations=delegations)),
        relief=Metadata(Targets(version=1, expires=_expires(RELIEF, now))),
    )  # fmt: skip


def from_candidates(
    desk: Desk,
    name: str,
    candidates: Intake | Iterable[Candidate],
    terms: Terms,
    *,
    replace: bool = False,
    random: Random,
    rejected: list[Rejection] | None = None,
) -> Steps:
    """The changes that bring these names onto a list. `replace`: and take off what is not among them.

    What is in force already under the same name, match and basis stays as it is. A candidate whose own fields do not
    fit the terms (an end that has passed) is added to `rejected`; without it ProposeError is raised.
    """
    check_key(terms.basis or None, terms.category or None)
    names, kinds = candidates.gathered() if isinstance(candidates, Intake) else gathered(candidates)
    forms = [_form(kind, terms) for kind in kinds]
    published = desk.head(name)
    refuse_adopted(published)
    listing = desk.listing(published) if published is not None else None
    steps, unfit = wanted(
        names, [(kind.match, kind.basis or terms.basis, form) for kind, form in zip(kinds, forms, strict=True)],
        document=(listing.path, listing.size) if listing else None, withdrawn=[*withdrawn(desk.relief(name))],
        replace=replace, random=random,
    )  # fmt: skip
    for row in unfit:
        line, listed, number = names[row]
        reason = _misfit(kinds[number], terms, listed)
        if rejected is None:
            raise ProposeError(f"line {line}: {listed}: {reason}")
        rejected.append(Rejection(line, listed, reason))
    return steps


def _form(kind: Kind, terms: Terms) -> tuple[str, str] | None:
    """What stands before the name and after the reference in the lines of all entries of a kind; None where they are no
    entries."""
    try:
        entry = _entry(kind, terms, STAND_IN)
    except EntryError:
        return None
    before, _, after = entry.line().decode("ascii").partition(f'"name":"{entry.name}","reference":"{entry.reference}"')
    return before, after


def _misfit(kind: Kind, terms: Terms, listed: str) -> str:
    try:
        _entry(kind, terms, listed)
    except EntryError as error:
        return str(error)
    return "is no entry"


def _entry(kind: Kind, terms: Terms, listed: str) -> Entry:
    return Entry(
        name=listed, match=kind.match, basis=kind.basis or terms.basis, category=kind.category or terms.category,
        issued=min(kind.issued or terms.issued, terms.issued),
        expires=min(filter(None, (kind.expires or terms.expires, kind.withdrawn))),
        reference="0" * 16, removal_requested=terms.removal_requested, impact=terms.impact,
    )  # fmt: skip


def by_hand(
    desk: Desk, name: str, *, add: Collection[str] = (), remove: Collection[str] = (), match: Match = "subtree",
    terms: Terms, random: Random = os.urandom,
) -> list[tuple[bytes, bytes]]:  # fmt: skip
    """The changes for a few names. An added name that is listed on the same basis with another match is exchanged.

    Raises ProposeError where a name is none, or what is to go is not there.
    """
    intake, published = Intake(match), desk.head(name)
    for number, text in enumerate(add, 1):
        intake.take(number, text, match=match)
    if intake.rejected:
        raise ProposeError(f"{intake.rejected[0].text}: {intake.rejected[0].reason}")
    if intake.notices:
        raise ProposeError(f"{intake.notices[0].text}: {intake.notices[0].notice}")
    refuse_adopted(published)
    coming = {candidate.name for candidate in intake.candidates}
    missing, gone = set(remove), set[bytes]()
    for line in desk.listing(published).find({*coming, *remove}) if published else ():
        basis, listed_match, listed, reference = (field.decode("ascii") for field in delta.fields(line))
        if listed in remove or reference in remove:
            missing -= {listed, reference}
            gone.add(line)
        elif listed in coming and basis == terms.basis and listed_match != match:
            gone.add(line)
    if missing:
        raise ProposeError(f"not on {name}: {', '.join(sorted(missing))}")
    come = from_candidates(desk, name, intake, terms, random=random) if add else ()
    return sorted({*((REMOVED, line) for line in gone), *come}, key=place)


def refuse_adopted(published: Head | None) -> None:
    """Raises ProposeError for a list that was adopted: its source alone adds and removes entries."""
    if published is not None and published.adopted:
        raise ProposeError(
            f"{published.list} is adopted from {published.adopted[0].issuer.name}: nothing is proposed on it",
            hint="stopsign issuer adopt takes what is published there now; withdraw takes single entries off",
        )


def changes(gone: Iterable[bytes], come: Iterable[Entry]) -> list[tuple[bytes, bytes]]:
    """Changes in the order of the document."""
    return sorted(
        [*((REMOVED, line) for line in gone), *((ADDED, entry.line()) for entry in come)],
        key=place,
    )


def place(change: tuple[bytes, bytes]) -> tuple[tuple[bytes, bytes, bytes], bool]:
    """What changes are sorted by: the document's order; what goes before what comes."""
    return delta.order(change[1]), change[0] == ADDED


def require_bases(name: str, bases: Collection[str], steps: Steps) -> None:
    """Raises ProposeError where something is added on a basis that the list's table does not have."""
    unknown = set(steps.bases()).difference(bases)
    if unknown:
        known = ", ".join(bases) or "none yet"
        raise ProposeError(
            f"{name} knows no basis {min(unknown)!r}", hint=f"it has: {known}; stopsign issuer basis adds one"
        )


def remove_basis(desk: Desk, name: str, key: str) -> None:
    """Take a ground off a list's table. Raises ProposeError where it is not there, or an entry stands on it."""
    with desk.locked():
        bases = dict(desk.bases(name))
        if bases.pop(key, None) is None:
            raise ProposeError(f"{name} knows no basis {key!r}", hint=f"it has: {', '.join(bases) or 'none yet'}")
        published = desk.head(name)
        lines = desk.listing(published).lines() if published else iter(())
        standing = sum(delta.basis(line) == key for line in lines)
        if standing:
            raise ProposeError(
                f"{counted(standing, 'entry')} of {name} {'stands' if standing == 1 else 'stand'} on {key}",
                hint="publish a version without them first (import --replace, or propose --remove)",
            )
        desk.set_bases(name, bases)


def propose(
    desk: Desk, name: str, steps: Steps | Sequence[tuple[bytes, bytes]], *, now: datetime, author: str, note: str
) -> Request:
    """The request for a list's next version; the changes are in the order of the document. Raises ProposeError,
    DocumentError."""
    steps = steps if isinstance(steps, Steps) else Steps(steps)
    with desk.locked():
        current = desk.current()
        if current is None:
            raise ProposeError(
                f"{desk.folder} has published no root yet", hint="sign and publish the setup request first"
            )
        before, bases = desk.head(name), desk.bases(name)
        refuse_adopted(before)
        sealing = seals.sealing(desk, name)
        if before is not None and before.seal is not None and sealing is None:
            raise ProposeError(
                f"{name} is published sealed, and the desk does not know who subscribes to it",
                hint=f"copy sealed/{name}.json back from a backup of the desk",
            )
        same = before is not None and before.bases == bases and before.issuer == desk.issuer
        if same and not steps and (sealing is None or not seals.changed(sealing, before)):
            raise ProposeError(f"nothing would change in {name}")
        require_bases(name, bases, steps)
        version = before.version + 1 if before else 1
        about = About("list", name, author, as_text(now), note)
        if sealing is not None:
            made = seals.parts(desk, name, sealing, before, steps)
            step = Delta(delta_path(name, version), made.delta_size, version - 1) if made.delta is not None else None
            head = Head(
                list=name, version=version, entries=made.summary.entries, state=made.summary.state, issuer=desk.issuer,
                bases=bases, full_path=full_path(name, version), full_size=made.summary.size, delta=step,
                seal=made.seal,
            )  # fmt: skip
            files = _files(head, _signed(head.full_path, made.full), made.delta)
            return Request(
                about, targets=_next_targets(current, name, files, now), relief=_next_relief(current, now),
                head=head.to_bytes(), full=made.full, delta=made.delta, names=made.names,
            )  # fmt: skip
        draft, delta_bytes = desk.folder / "drafts" / f"{name}-{version}.zst", None
        part = draft.with_name(f"{draft.stem}.delta.zst")
        old, marks = desk.before(before) if before else None, draft.with_suffix(".marks")
        try:
            with durable.replaced(draft) as new:
                written = delta.stepped(old, steps, new, delta=part if before else None, marks=marks)
            del steps  # the names of an import go before their document is read
            if before is not None:
                delta_bytes = part.read_bytes()
        finally:
            part.unlink(missing_ok=True)
        summary, delta_size, sha256 = written
        step = Delta(delta_path(name, version), delta_size, version - 1) if before else None
        desk.keep_marks(marks, sha256)
        draft = draft.replace(draft.with_name(f"{sha256}.zst"))
        head = Head(
            list=name, version=version, entries=summary.entries, state=summary.state, issuer=desk.issuer, bases=bases,
            full_path=full_path(name, version), full_size=summary.size, delta=step,
        )  # fmt: skip
        files = _files(head, TargetFile(draft.stat().st_size, {"sha256": sha256}, head.full_path), delta_bytes)
        return Request(
            about, targets=_next_targets(current, name, files, now), relief=_next_relief(current, now),
            head=head.to_bytes(), full=None if step else draft.read_bytes(), delta=delta_bytes,
        )  # fmt: skip


def whole(current: Current, about: About, head: Head, full: bytes, now: datetime) -> Request:
    """The request for a version that comes whole, as it is."""
    files = _files(head, _signed(head.full_path, full), None)
    return Request(
        about, targets=_next_targets(current, head.list, files, now), relief=_next_relief(current, now),
        head=head.to_bytes(), full=full,
    )  # fmt: skip


def _files(head: Head, full: TargetFile, delta: bytes | None) -> list[TargetFile]:
    """A version's files, as they are signed."""
    files = [_signed(head_path(head.list), head.to_bytes()), full]
    return [*files, _signed(head.delta.path, delta)] if head.delta and delta is not None else files


def _signed(path: str, data: bytes) -> TargetFile:
    return TargetFile.from_data(path, data, ["sha256"])


def _next_targets(current: Current, name: str, files: Iterable[TargetFile], now: datetime) -> Metadata[Targets]:
    """The targets role with one list's files exchanged; every other list's stay as they are."""
    before = current.targets.signed
    delegations = delegate_relief(relief_keys(before.delegations), current.relief.signed.targets)
    after = Targets(before.version + 1, expires=_expires(TARGETS, now), delegations=delegations)
    after.targets = {path: info for path, info in before.targets.items() if not is_of(path, name)}
    after.targets |= {file.path: file for file in sorted(files, key=lambda file: file.path)}
    return Metadata(after)


def _next_relief(current: Current, now: datetime) -> Metadata[Targets] | None:
    """The relief role with a new end, where the old one is in its second half; the signers of the list renew it too."""
    before = current.relief.signed
    if before.expires > now + LIFETIMES[RELIEF] / 2:
        return None
    return Metadata(Targets(before.version + 1, expires=_expires(RELIEF, now), targets=before.targets))


def _expires(role: str, now: datetime) -> datetime:
    return (now + LIFETIMES[role]).replace(microsecond=0)
