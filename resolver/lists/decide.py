"""What becomes of one list when something happens to it: decided here, done by `register`.

Enters: a list's state, an event, the time. Leaves: the new state, and effects in the order in which they are carried
out. No I/O. Rules:

- Additions that `admit` holds go on waiting for a person, or for the issuer's next version; the same candidate is
  judged once. Since when they are held goes on from version to version: else nobody would hear that a list with a
  version an hour never gets through.
- Shadow evaluation goes on likewise. Each version's additions are watched for the whole time, but no evaluation takes
  more than twice that, however often versions come: what comes late in it is watched for less.
- What lets held additions go on, an approval or an earlier wave, waits until its leaf is in the log (`Append`). Every
  other leaf of this module is written when the log can take it, and delays nothing (`Note`). That additions wait for
  the leaf of their activation is the rule of `activate`.
- A refusal is one leaf and one line of the journal for as long as its reason stays the same. Where nothing came,
  nothing was refused: an alarm, but no leaf each time a mirror is away.
- Suspensions that came beside a refused version are applied at once, with a full disk too.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from blocklists.counted import counted
from resolver.base.errors import ResolverError
from resolver.base.timestamps import as_text, as_time
from resolver.lists import report
from resolver.lists.ledger import Event as Leaf
from resolver.lists.state import STAGE, Fetching, Held, Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resolver.lists.admit import Admission, Watch
    from resolver.lists.fetch import Candidate
    from resolver.lists.stages import Verdict
    from resolver.lists.state import Applied, Suspension

NOT_REFUSALS = frozenset({"unreachable", "missing", "deadline", "storage"})
TRAFFIC = "traffic"
NOT_WATCHED = {"until": None, "watched": None, "document": None}
LEAF, STOPPED, REACHED = "list-stage", "stopped by ", "let through: "


class ApprovalError(ResolverError):
    """What a person wanted to let through is not what is held, or cannot be let through."""


@dataclass(frozen=True, slots=True)
class ListState:
    """One list. `shadow`: seconds for which its additions are evaluated in shadow."""

    name: str
    shadow: float = 0.0
    applied: Applied | None = None
    known: Fetching = field(default_factory=Fetching)
    judged: str = ""
    """The mark of the candidate that was judged last."""

    def waiting(self, candidate: Candidate) -> Held | None:
        """What is held of this very candidate."""
        held = self.known.held
        return held if held is not None and held.state == candidate.state else None


# -- events


@dataclass(frozen=True, slots=True)
class Started:
    """The steward started. What was seen in shadow evaluation lay in memory: it begins again."""


@dataclass(frozen=True, slots=True)
class Offered:
    """A proven list, and what the guards say of it where `needs_judgement` says that they are to be asked. `by`: who
    approved it. `seen`: its additions have been through shadow evaluation. `reached`: they wait for no wave."""

    candidate: Candidate
    by: str | None = None
    seen: bool = False
    reached: bool = False
    admission: Admission | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A refresh brought nothing that can be trusted: the last good list goes on."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Relieved:
    """Suspensions that are proven, whatever became of the version beside them."""

    relief: int
    suspended: Mapping[str, Suspension]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Shadow evaluation is over, and some additions would stop too much: `text` says which."""

    text: str


@dataclass(frozen=True, slots=True)
class Turned:
    """What hosts of earlier waves say of additions that wait for them."""

    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Approved:
    """A person lets held additions through: those that they saw, by version and the beginning of the hash. `now`: also
    past the waves."""

    version: int
    state: str
    by: str
    now: bool = False


Event = Started | Offered | Refused | Relieved | Evaluated | Turned | Approved


# -- effects


@dataclass(frozen=True, slots=True)
class Say:
    """A line in the journal, with the person or reason that it is about."""

    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm under this name; None ends it."""

    about: str
    text: str | None


@dataclass(frozen=True, slots=True)
class Note:
    """Leaves about what adds nothing: a log that is out of order is an alarm and stops nothing."""

    leaves: tuple[Leaf, ...]


@dataclass(frozen=True, slots=True)
class Append:
    """A leaf without which nothing that comes after it happens."""

    leaf: Leaf


@dataclass(frozen=True, slots=True)
class Count:
    """For the metrics: `of` is `guarded` or `refused`."""

    of: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Store:
    """Write `applied/head.json`. `is_needed`: what comes after it does not happen without it."""

    is_needed: bool = True


@dataclass(frozen=True, slots=True)
class Remember:
    """The new state holds."""


@dataclass(frozen=True, slots=True)
class Settle:
    """Make live what should be live now."""


Effect = Say | Alarm | Note | Append | Count | Store | Remember | Settle


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a refresh came to: `active`, `unchanged`, `held` or `refused`; `held` may have applied removals."""

    name: str
    kind: str
    reason: str = ""
    text: str = ""
    version: int | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "list": self.name, "outcome": self.kind, "reason": self.reason, "text": self.text, "version": self.version,
        }  # fmt: skip


def outcome(before: ListState, after: ListState) -> Outcome:
    """Of an offered list."""
    held = after.known.held
    if held is not None:
        return Outcome(after.name, "held", held.reasons[0].kind, _sentences(held), held.version)
    kind = "active" if after.applied != before.applied else "unchanged"
    return Outcome(after.name, kind, version=after.applied.version if after.applied else None)


# -- decisions


def decide(state: ListState, event: Event, now: float) -> tuple[ListState, list[Effect]]:
    """The list after the event, and what is to be done. Raises `ApprovalError`."""
    match event:
        case Started():
            return _started(state, now), []
        case Offered():
            return _offered(state, event, now)
        case Refused():
            after, effects = _refusal(state, event, now)
            return after, [*effects, Remember()]
        case Relieved():
            return _relieved(state, event)
        case Evaluated():
            return _evaluated(state, event)
        case Turned():
            return _turned(state, event.verdict)
        case Approved():
            return _approved(state, event)


def needs_judgement(state: ListState, offer: Offered) -> bool:
    """Whether the guards are to be asked: not about what they judged already."""
    return offer.by is not None or offer.seen or offer.reached or state.judged != offer.candidate.mark


def still(state: ListState, offer: Offered) -> Reason | None:
    """Why this very candidate stays held, whatever the guards say of it once more: what shadow evaluation found, or
    that it waits for a wave."""
    waiting = state.waiting(offer.candidate)
    if waiting is None or offer.by is not None or offer.seen or offer.reached:
        return None
    return next((reason for reason in waiting.reasons if reason.kind in (TRAFFIC, STAGE)), None)


def judged_at(state: ListState, offer: Offered, now: float) -> float:
    """The time by which the caps count: what is held waits for a person, not for a rolling window to pass."""
    waiting = state.waiting(offer.candidate)
    if waiting is None or offer.by:
        return now
    return as_time(waiting.since) if waiting.judged is None else waiting.judged


def watch(state: ListState, offer: Offered, now: float) -> Watch | None:
    """When the additions are evaluated in shadow, if nothing speaks against them; None: they are not."""
    if offer.seen or not state.shadow or still(state, offer) is not None:
        return None
    held = state.known.held
    if held is None or held.watched is None or held.until is None:
        return now, now + state.shadow
    if state.waiting(offer.candidate) is not None:
        return held.watched, held.until
    return held.watched, min(now, held.watched + state.shadow) + state.shadow


def _started(state: ListState, now: float) -> ListState:
    held = state.known.held
    if held is None or held.until is None:
        return state
    return _with(state, held=held.evaluated(now, now + state.shadow))


def _offered(state: ListState, offer: Offered, now: float) -> tuple[ListState, list[Effect]]:
    candidate, waiting = offer.candidate, state.waiting(offer.candidate)
    after, effects = _heard_of(state, offer, now)
    after = _with(after, lapses=candidate.lapses)
    effects.append(Alarm(f"relief {state.name}", _unapplied(state.name, candidate.relief_refused)))
    effects.append(Alarm(f"left out {state.name}", _left_out(state.name, candidate.left_out)))
    if (admission := offer.admission) is None:
        return after, [*effects, Remember(), Settle()]
    held = admission.held
    is_new = waiting is None or offer.seen or (held is not None and _kinds(held) != _kinds(waiting))
    if admission.events and is_new:
        effects.append(Note(admission.events))
    if admission.applied is not None and admission.applied != state.applied:
        after = replace(after, applied=admission.applied)
        effects += [Store(), Alarm(f"applied {state.name}", None)]
    if held is not None and is_new:
        effects += [Count("guarded", tuple(reason.kind for reason in held.reasons)), _held_said(after, held)]
    if held is not None and (was := state.known.held) is not None:
        judged = held.judged if waiting is None else waiting.judged
        held = held.model_copy(update={"since": was.since, "judged": judged})
    return replace(_with(after, held=held), judged=candidate.mark), [*effects, Remember(), Settle()]


def _heard_of(state: ListState, offer: Offered, now: float) -> tuple[ListState, list[Effect]]:
    """What it says about the list that something was offered: it is good, or what is offered is the last good one."""
    if (trouble := offer.candidate.trouble) is not None:
        return _refusal(state, Refused(trouble.reason, str(trouble)), now)
    if offer.by is not None:
        return state, []
    before, effects = state.known.refusal, list[Effect]()
    if before is not None:
        text = f"list {state.name} is good again, after {before.code} since {before.since}"
        effects.append(Say(text, {"list": state.name}))
    return _with(state, fresh=now, refusal=None), effects


def _unapplied(name: str, why: str | None) -> str | None:
    return why and f"the newest withdrawals of list {name} are not applied: {why}"


def _left_out(name: str, what: str | None) -> str | None:
    return what and f"of the file of list {name} nobody can approve, so left out: {what}"


def _held_said(state: ListState, held: Held) -> Say:
    additions = f"{counted(held.added, 'addition')} of version {held.version} of list {state.name}"
    what = f"{additions} {'is' if held.added == 1 else 'are'} held: {_sentences(held)}"
    first = None if state.applied is not None else report.nothing_yet(state.name, held)
    return Say(first or what, {"list": state.name, "version": held.version})


def _refusal(state: ListState, event: Refused, now: float) -> tuple[ListState, list[Effect]]:
    effects: list[Effect] = [Count("refused", (event.code,))]
    before = state.known.refusal
    if before is not None and before.code == event.code:
        refusal = before.model_copy(update={"text": event.text, "times": before.times + 1})
    else:
        refusal = Refusal(code=event.code, text=event.text, since=as_text(now))
        said = f"list {state.name} is refused: {event.code}: {event.text}"
        effects.append(Say(said, {"list": state.name, "reason": event.code}, is_error=True))
        if event.code not in NOT_REFUSALS:
            detail = {"list": state.name, "reason": event.code, "text": event.text}
            effects.append(Note((Leaf("list-refused", state.name, detail),)))
    return _with(state, refusal=refusal), effects


def _relieved(state: ListState, event: Relieved) -> tuple[ListState, list[Effect]]:
    applied = state.applied
    if applied is None or event.suspended.keys() <= applied.suspended.keys():
        return state, []
    update = {"suspended": {**applied.suspended, **event.suspended}, "relief": event.relief}
    return replace(state, applied=applied.model_copy(update=update)), [Remember(), Settle(), Store(is_needed=False)]


def _evaluated(state: ListState, event: Evaluated) -> tuple[ListState, list[Effect]]:
    held = state.known.held
    if held is None:
        return state, []
    reason = Reason(kind=TRAFFIC, text=event.text, approvable=True)
    after = _with(state, held=held.model_copy(update={**NOT_WATCHED, "reasons": (reason,)}))
    leaf = Leaf("list-held", f"{state.name}/{held.version}", {"list": state.name, "reasons": [event.text]})
    return after, [Count("guarded", (TRAFFIC,)), Remember(), Note((leaf,)), Settle()]


def _turned(state: ListState, verdict: Verdict) -> tuple[ListState, list[Effect]]:
    """A leaf where a wave lets additions go on, stops them, or stops them no more. How long they wait is no news, nor
    that what was let go on is not active yet."""
    held = state.known.held
    if held is None or not held.waits_for_wave:
        return state, []
    about = f"{state.name}/{held.version}"
    detail = {"list": state.name, "version": held.version, "state": held.state, "event": verdict.kind}
    before, effects = held.reasons[0].text, list[Effect]()
    if verdict.kind == "reached" and not before.startswith(REACHED):
        text = f"{REACHED}{verdict.text}"
        said = f"version {held.version} of list {state.name} is active from now on: {verdict.text}"
        effects += [Append(Leaf(LEAF, about, {**detail, "by": verdict.host, "text": verdict.text}))]
        effects += [Say(said, {"list": state.name, "version": held.version}), Remember()]
    elif verdict.kind == "stopped" and before != (text := f"{STOPPED}{verdict.text}"):
        effects += [Remember(), Note((Leaf(LEAF, about, {**detail, "by": verdict.host, "text": verdict.text}),))]
    elif verdict.kind == "waits" and before.startswith((STOPPED, REACHED)):
        text = "waits again for the hosts before it"
        effects += [Remember(), Note((Leaf(LEAF, about, {**detail, "text": text}),))]
    else:
        return state, []
    reason = Reason(kind=STAGE, text=text, approvable=True)
    return _with(state, held=held.model_copy(update={"reasons": (reason,)})), effects


def _approved(state: ListState, event: Approved) -> tuple[ListState, list[Effect]]:
    """A leaf, but not each time that the same person's word is tried again because it could not be done."""
    name, held = state.name, state.known.held
    if held is None:
        raise ApprovalError(f"nothing of list {name} is held", hint="stopsign lists status")
    given = event.state.removeprefix("sha256:")
    if held.version != event.version or len(given) < 8 or not held.state.removeprefix("sha256:").startswith(given):
        what = f"version {held.version}, {held.state}"
        raise ApprovalError(f"what is held of list {name} is {what}, not version {event.version}, {event.state}")
    if not held.approvable:
        reasons = "; ".join(reason.text for reason in held.reasons if not reason.approvable)
        raise ApprovalError(f"nobody can approve this: {reasons}", hint="the issuer has to publish another version")
    approved = event.by, event.now
    if held.approved == approved:
        return state, []
    detail = {
        "list": name, "version": held.version, "state": held.state, "added": held.added,
        "reasons": [reason.kind for reason in held.reasons],
    }  # fmt: skip
    if event.now:
        detail["now"] = True
    return _with(state, held=held.model_copy(update={"approved": approved})), [
        Append(Leaf("list-approved", f"{name}/{held.version}", detail)),
        Say(
            f"version {held.version} of list {name} is approved by {event.by}",
            {"list": name, "version": held.version, "person": event.by},
        ),
        Remember(),
    ]


def _with(state: ListState, **known: Any) -> ListState:
    return replace(state, known=state.known.model_copy(update=known))


def _kinds(held: Held | None) -> list[str]:
    return [] if held is None else [reason.kind for reason in held.reasons]


def _sentences(held: Held) -> str:
    return "; ".join(reason.text for reason in held.reasons)
