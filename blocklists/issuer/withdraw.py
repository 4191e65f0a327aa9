"""Withdrawing: one person takes entries off, at once, by the role `relief`; and decisions on appeals, by the same role.

Enters: the desk, references or names, a reason. Leaves: a `Request` of kind `relief` that one signature completes.

Rules
- Relief only takes away. A suspension stays for ever: who wants the block back proposes a new entry, with a new
  reference, that two people sign. A relief that leaves out what the published one says is neither signed nor published.
- A decision has a person's reasons, and is not made by one whose key is among those that signed the entry or its
  renewal. That is asked when it is proposed, and again of its signatures before it is published.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tuf.api.metadata import Metadata, TargetFile, Targets

from blocklists import delta
from blocklists.entry import as_text, is_reference
from blocklists.errors import BlocklistError
from blocklists.head import MAX_JUMP, Decision, Relief, Suspension, formerly, relief_path, spelt
from blocklists.issuer import history
from blocklists.issuer.request import About, Request
from blocklists.issuer.rotate import holders, known_keys
from blocklists.repository import LIFETIMES, RELIEF, TARGETS, public_form
from blocklists.text import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from blocklists.issuer.desk import Desk
    from blocklists.issuer.keys import Card

OVERTAKEN = "something else was published meanwhile: have the change proposed again"


class WithdrawError(BlocklistError):
    """There is no such entry, or this person may not decide."""


def suspend(desk: Desk, name: str, wanted: Collection[str], *, reason: str, now: datetime, author: str) -> Request:
    """The relief that takes these entries (references or names) off. Raises WithdrawError."""
    if not reason.strip():
        raise WithdrawError("no reason", hint="--reason; the person concerned will read it")
    listed, relief = find(desk, name, wanted), _relief(desk, name)
    fresh = {reference: Suspension(as_text(now), reason) for reference in listed if reference not in relief.suspended}
    if not fresh:
        raise WithdrawError(f"{', '.join(wanted)}: suspended already")
    suspended, published = {**relief.suspended, **fresh}, desk.head(name)
    told = listed if published is not None and published.seal is not None else wanted  # the request is a file
    return _request(desk, replace(relief, suspended=suspended), now, author, f"withdraw {', '.join(told)}: {reason}")


def decide(
    desk: Desk, name: str, *, appeal: str, reference: str, outcome: str, reasons: str, officer: Card, now: datetime
) -> Request:
    """The relief that carries a decision; `granted` suspends the entry too. Raises WithdrawError."""
    if outcome not in {"upheld", "granted"} or not reasons.strip():
        raise WithdrawError("a decision is upheld or granted, and has reasons")
    # What has left the list since is decided on all the same: somebody waits for the answer.
    listed, relief, signed_by = (
        _listed(desk, name, [reference]),
        _relief(desk, name),
        history.signers(desk, name, reference),
    )
    own, keys = officer.keys.get(TARGETS), known_keys(desk)
    if own is not None and public_form(own) in {public_form(keys[keyid]) for keyid in signed_by & keys.keys()}:
        raise WithdrawError(
            f"{officer.name} signed {reference}: somebody else decides on the appeal against it",
            hint="an officer for appeals needs keys for relief alone: stopsign issuer keys new --role relief",
        )
    decision = Decision(appeal, reference, as_text(now), outcome, reasons, officer.name)
    suspended = dict(relief.suspended)
    if outcome == "granted" and reference in listed:
        suspended.setdefault(reference, Suspension(as_text(now), f"appeal {appeal} granted"))
    wanted = replace(relief, suspended=suspended, decisions=(*relief.decisions, decision))
    return _request(desk, wanted, now, officer.name, f"appeal {appeal} against {reference}: {outcome}")


def check_relief(desk: Desk, request: Request) -> None:
    """Before it is published: a relief is the step after the published one, keeps what that says, and suspends entries
    alone. One that a list's version or a change of keys only renews may be overtaken. Raises WithdrawError."""
    current = desk.current()
    if request.relief is None or current is None:
        return
    version, before = request.relief.signed.version, current.relief.signed.version
    overtaken = version <= before and not version <= MAX_JUMP < before
    if overtaken and request.targets is not None and request.relief_list is None:
        return
    if overtaken or version > before + 1:
        raise WithdrawError(
            f"the request makes relief version {version}; version {before} is published", hint=OVERTAKEN
        )
    relief = Relief.from_bytes(request.relief_list) if request.relief_list is not None else None
    check_others(request.relief.signed, current.relief.signed, relief)
    if relief is None:
        return
    known = _relief(desk, relief.list)
    wanted = known.version + 1 if known.version < MAX_JUMP else 1
    if relief.version != wanted:
        raise WithdrawError(f"the request makes version {relief.version} of the relief of {relief.list}, not {wanted}")
    published, applied = desk.head(relief.list), desk.relief(relief.list)
    if applied is not None:
        check_kept(relief, applied)
    if published is None or published.seal is not None:  # what the desk's client sees of one that is readable is enough
        check_entries(desk, relief, _listed(desk, relief.list, relief.since(known).suspended.keys()))


def check_others(role: Targets, before: Targets | None, relief: Relief | None) -> None:
    """A role changes no relief but the one that travels with it. Raises WithdrawError."""
    after, old = dict(role.targets), dict(before.targets) if before else {}
    if relief is not None:
        path = relief_path(relief.list)
        after.pop(spelt(after, path) or path, None)
        for spelling in (path, formerly(path)):
            old.pop(spelling, None)
    if after != old:
        raise WithdrawError("the request also changes the relief of another list")


def check_kept(relief: Relief, before: Relief) -> None:
    """A relief says what the one before says, in the same words: one person cannot bring a block back, or take a
    decision away. Raises WithdrawError."""
    hint = "have it proposed again, and ask who changed the request on its way"
    for reference, item in before.suspended.items():
        if relief.suspended.get(reference) != item:
            raise WithdrawError(f"the request takes back, or changes, the suspension of {reference}", hint=hint)
    if lost := before.since(relief).decisions:
        raise WithdrawError(
            f"the request takes back, or changes, the decision on appeal {shown(lost[0].appeal)}", hint=hint
        )


def check_entries(desk: Desk, relief: Relief, entries: Collection[str]) -> None:
    """Before it is published: all that a relief newly suspends is among the list's entries. Raises WithdrawError."""
    if stray := relief.since(_relief(desk, relief.list)).suspended.keys() - set(entries):
        raise WithdrawError(f"the request suspends {min(stray)}, which is no entry of {relief.list}")


def check_deciders(desk: Desk, request: Request) -> None:
    """Before it is published, and with signatures that hold: each decision that is new in the request is signed by the
    person whom it names, and that person signed no version in which the entry came. Raises WithdrawError."""
    if request.relief is None or request.relief_list is None:
        return
    relief = Relief.from_bytes(request.relief_list)
    fresh = relief.since(desk.relief(relief.list)).decisions
    if not fresh:
        return
    names = holders(desk)
    deciders = {names.get(keyid, "") for keyid in request.relief.signatures}
    for decision in fresh:
        if decision.by not in deciders:
            raise WithdrawError(
                f"the decision on appeal {decision.appeal} is not signed by {decision.by}",
                hint="who decides signs, with a key for relief whose card the desk has",
            )
        if decision.by in {names.get(keyid) for keyid in history.signers(desk, relief.list, decision.reference)}:
            raise WithdrawError(f"{decision.by} signed {decision.reference}: somebody else decides on the appeal")


def find(desk: Desk, name: str, wanted: Collection[str]) -> Mapping[str, str]:
    """References and their names, by either. Raises WithdrawError where one is not listed."""
    found = _listed(desk, name, wanted)
    if missing := set(wanted) - found.keys() - set(found.values()):
        raise WithdrawError(f"not on {name}: {', '.join(sorted(missing))}")
    return found


def reference_of(desk: Desk, name: str, wanted: str) -> str:
    """The reference of an entry, by that or by its name. Raises WithdrawError where the name has not just one."""
    if is_reference(wanted):
        return wanted
    found = list(find(desk, name, [wanted]))
    if len(found) != 1:
        raise WithdrawError(f"{wanted} stands {len(found)} times on {name}", hint=f"say which: {', '.join(found)}")
    return found[0]


def _listed(desk: Desk, name: str, wanted: Collection[str]) -> Mapping[str, str]:
    published = desk.head(name)
    if published is None:
        raise WithdrawError(f"there is no list {name!r}", hint=f"there are: {', '.join(desk.lists()) or 'none'}")
    if published.adopted and published.seal is not None:
        return {one: one for one in wanted if is_reference(one)}  # its names are read by nobody here
    found: dict[str, str] = {}
    for line in desk.listing(published).find(wanted):
        _, _, listed, reference = (field.decode("ascii") for field in delta.fields(line))
        found[reference] = listed
    return found


def _relief(desk: Desk, name: str) -> Relief:
    """What is published, with what the desk's own client carries on of earlier reliefs."""
    relief, kept = (
        desk.relief(name) or Relief(name, 0),
        desk.folder / "client" / "lists" / name / "verified/relief.json",
    )
    carried = Relief.from_bytes(kept.read_bytes()).suspended if kept.exists() else {}
    return replace(relief, suspended={**carried, **relief.suspended})


def _request(desk: Desk, relief: Relief, now: datetime, author: str, note: str) -> Request:
    current = desk.current()
    if current is None:
        raise WithdrawError(f"{desk.folder} has published nothing yet")
    # A count that somebody drove up starts again: clients take that once a key has left the role
    relief = replace(relief, version=relief.version + 1 if relief.version < MAX_JUMP else 1)
    data, before, path = relief.to_bytes(), current.relief.signed, relief_path(relief.list)
    role = Targets(before.version + 1, expires=(now + LIFETIMES[RELIEF]).replace(microsecond=0))
    role.targets = {there: info for there, info in before.targets.items() if there not in {path, formerly(path)}}
    delegations = current.targets.signed.delegations
    delegated = delegations.roles[RELIEF] if delegations and delegations.roles else None
    if delegated is not None and not delegated.is_delegated_path(path):
        path = formerly(path)  # until the signers' next version of the targets role delegates the flat names
    role.targets[path] = TargetFile.from_data(path, data, ["sha256"])
    about = About("relief", relief.list, author, as_text(now), note)
    return Request(about, relief=Metadata(role), relief_list=data)
