"""What becomes of a list, as a pure decision: no disk, no log, no clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from blocklists.errors import VerifyError
from resolver.lists.admit import Admission
from resolver.lists.decide import (
    Alarm,
    Append,
    ApprovalError,
    Approved,
    Count,
    Effect,
    Evaluated,
    ListState,
    Note,
    Offered,
    Refused,
    Relieved,
    Remember,
    Say,
    Settle,
    Started,
    Store,
    Turned,
    decide,
    judged_at,
    needs_judgement,
    outcome,
    still,
    watch,
)
from resolver.lists.fetch import Candidate
from resolver.lists.ledger import Event as Leaf
from resolver.lists.stages import Verdict
from resolver.lists.state import Applied, Fetching, Held, Reason, Refusal, Suspension
from resolver.policy.description import Issuer

NOW = 1795348800.0  # 2026-11-22T12:00:00Z
SHADOW = 3600.0
SINCE = "2026-11-22T11:00:00Z"


def candidate(version: int = 2, **more: Any) -> Candidate:
    usual = {"name": "l", "state": f"sha256:{version:064}", "entries": 3, "size": 9, "suspended": {}}
    return Candidate(**{**usual, "version": version, "lines": Path("/none"), **more})


def applied(version: int = 1, **more: Any) -> Applied:
    usual = {"state": f"sha256:{version:064}", "entries": 2, "issuer": Issuer(), "bases": {}, "size": 8}
    return Applied(**{**usual, "version": version, "document": f"{version}.zst", **more})


def held(version: int = 2, kind: str = "popular", *, approvable: bool = True, **more: Any) -> Held:
    reasons = (Reason(kind=kind, text=f"{kind} it is", approvable=approvable),)
    return Held(version=version, state=f"sha256:{version:064}", added=1, since=SINCE, reasons=reasons, **more)


def lists(**more: Any) -> ListState:
    known = {key: more.pop(key) for key in tuple(more) if key in Fetching.model_fields}
    return ListState("l", SHADOW, **{"applied": applied(), "known": Fetching(**known), **more})


def kinds(effects: list[Effect]) -> list[str]:
    """All but the alarms that end."""
    return [type(effect).__name__ for effect in effects if not (isinstance(effect, Alarm) and effect.text is None)]


def leaves(effects: list[Effect]) -> list[str]:
    return [leaf.type for effect in effects if isinstance(effect, Note) for leaf in effect.leaves]


HELD_LEAF = Leaf("list-held", "l/2", {})
REFUSAL = Refusal(code="expired", text="old", since=SINCE, times=3)


@pytest.mark.parametrize(
    ("state", "offer", "asked"),
    [
        (lists(), Offered(candidate()), True),
        (lists(judged=candidate().mark), Offered(candidate()), False),
        (lists(judged=candidate().mark), Offered(candidate(relief=1)), True),
        (lists(judged=candidate().mark), Offered(candidate(), by="root"), True),
        (lists(judged=candidate().mark), Offered(candidate(), seen=True), True),
        (lists(held=held(kind="stage"), judged=candidate().mark), Offered(candidate()), False),
        (lists(held=held(kind="stage"), judged=candidate().mark), Offered(candidate(), reached=True), True),
        (lists(held=held(kind="traffic"), judged=candidate().mark), Offered(candidate()), False),
        (lists(held=held(kind="traffic")), Offered(candidate(3)), True),
        (lists(held=held(kind="traffic")), Offered(candidate(), by="root"), True),
        (lists(held=held(kind="popular")), Offered(candidate()), True),
    ],
)
def test_the_guards_are_asked_once_about_each_candidate(state: ListState, offer: Offered, asked: bool) -> None:
    assert needs_judgement(state, offer) == asked


@pytest.mark.parametrize(
    ("kind", "offer", "stays"),
    [
        ("stage", Offered(candidate()), True),
        ("traffic", Offered(candidate(relief=1)), True),
        ("traffic", Offered(candidate(), by="root"), False),
        ("stage", Offered(candidate(), reached=True), False),
        ("popular", Offered(candidate()), False),
        ("stage", Offered(candidate(3)), False),
    ],
)
def test_what_no_guard_knows_holds_the_same_candidate_on(kind: str, offer: Offered, stays: bool) -> None:
    reason = still(lists(held=held(kind=kind)), offer)
    assert (reason is not None and reason.kind == kind) == stays


def verdict(kind: str, text: str = "c (canary): too much") -> Turned:
    return Turned(Verdict(kind, text, "c"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "event", "effects", "said"),
    [
        ("waits for canary", verdict("waits", "c has run it for 3 s"), [], "waits for canary"),
        ("waits for canary", verdict("stopped"), ["Remember", "Note"], "stopped by c (canary): too much"),
        ("stopped by c (canary): too much", verdict("stopped"), [], "stopped by c (canary): too much"),
        ("stopped by b (canary): less", verdict("stopped"), ["Remember", "Note"], "stopped by c (canary): too much"),
        (
            "stopped by c (canary): too much", verdict("waits", "c has run it for 3 s"), ["Remember", "Note"],
            "waits again for the hosts before it",
        ),
        ("waits for canary", verdict("reached"), ["Append", "Say", "Remember"], "let through: c (canary): too much"),
        ("let through: b (canary): less", verdict("reached"), [], "let through: b (canary): less"),
        (
            "let through: b (canary): less", verdict("waits", "c has run it for 3 s"), ["Remember", "Note"],
            "waits again for the hosts before it",
        ),
        (
            "let through: b (canary): less", verdict("stopped"), ["Remember", "Note"],
            "stopped by c (canary): too much",
        ),
    ],
)  # fmt: skip
def test_a_wave_leaves_a_leaf_where_something_changes(text: str, event: Turned, effects: list[str], said: str) -> None:
    waiting = held(kind="stage").model_copy(update={"reasons": (Reason(kind="stage", text=text, approvable=True),)})
    after, done = decide(lists(held=waiting), event, NOW)
    assert (kinds(done), after.known.held.reasons[0].text) == (effects, said)  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["stage", "popular", "watched"])
def test_the_newest_version_waits_since_the_first_that_did_and_is_judged_as_of_when_it_came(kind: str) -> None:
    newest = held(3, "stage", judged=NOW).model_copy(update={"since": "2026-11-22T12:00:00Z"})
    offer = Offered(candidate(3), admission=Admission(applied(), newest, ()))
    after, _ = decide(lists(held=held(kind=kind)), offer, NOW)
    assert after.known.held is not None
    assert after.known.held.since == SINCE
    assert judged_at(after, Offered(candidate(3)), NOW + 60) == NOW


def test_additions_that_a_guard_holds_hear_nothing_of_waves() -> None:
    before = lists(held=held())
    assert decide(before, verdict("reached"), NOW) == (before, [])


def test_what_is_held_is_judged_by_the_time_since_when_it_is_held_unless_somebody_approves_it() -> None:
    state = lists(held=held())
    assert judged_at(state, Offered(candidate()), NOW) == NOW - 3600
    assert judged_at(state, Offered(candidate(), by="root"), NOW) == NOW
    assert judged_at(state, Offered(candidate(3)), NOW) == NOW


def test_what_is_admitted_is_stored_before_it_is_remembered_and_made_live() -> None:
    new = applied(2)
    after, effects = decide(lists(), Offered(candidate(), admission=Admission(new, None, ())), NOW)
    assert (after.applied, after.judged, after.known.fresh) == (new, candidate().mark, NOW)
    assert kinds(effects) == ["Store", "Remember", "Settle"]
    assert outcome(lists(), after).kind == "active"


def test_what_was_judged_already_is_confirmed_and_nothing_else() -> None:
    before = lists(judged=candidate().mark, fresh=NOW - 300)
    after, effects = decide(before, Offered(candidate()), NOW)
    assert (after.known.fresh, after.applied) == (NOW, before.applied)
    assert Alarm("relief l", None) in effects
    assert kinds(effects) == ["Remember", "Settle"]
    assert outcome(before, after).kind == "unchanged"


def test_what_is_held_is_said_once_and_keeps_its_time() -> None:
    admission = Admission(None, held(), (HELD_LEAF,))
    first, effects = decide(lists(), Offered(candidate(), admission=admission), NOW)
    assert kinds(effects) == ["Note", "Count", "Say", "Remember", "Settle"]
    later = Admission(None, held().model_copy(update={"since": "2026-11-22T12:00:00Z"}), (HELD_LEAF,))
    again, effects = decide(first, Offered(candidate(), admission=later), NOW + 60)
    assert kinds(effects) == ["Remember", "Settle"]
    assert again.known.held is not None
    assert again.known.held.since == SINCE
    told = outcome(lists(), again)
    assert (told.kind, told.reason, told.version) == ("held", "popular", 2)


def test_the_journal_says_of_a_first_load_that_the_list_stops_nothing() -> None:
    _, effects = decide(lists(applied=None), Offered(candidate(), admission=Admission(None, held(), ())), NOW)
    (said,) = [effect.text for effect in effects if isinstance(effect, Say)]
    assert said.startswith("list l stops nothing: its first load, 1 entry of version 2, waits for approval since ")


def test_shadow_evaluation_begins_again_when_the_steward_starts() -> None:
    before = lists(held=held(kind="watched", until=NOW + 5, document="watched.zst"))
    started, effects = decide(before, Started(), NOW + 600)
    evaluated = started.known.held
    assert evaluated is not None
    assert (evaluated.watched, evaluated.until, effects) == (NOW + 600, NOW + 600 + SHADOW, [])
    assert evaluated.reasons[0].text == "watched against live queries until 2026-11-22T13:10:00Z"
    waiting = lists(held=held())
    assert decide(waiting, Started(), NOW) == (waiting, [])


@pytest.mark.parametrize(
    ("minutes", "version", "ends"),
    [(0, 2, 60), (0, 3, 60), (30, 2, 60), (30, 3, 90), (60, 3, 120), (90, 3, 120), (119, 4, 120)],
)
def test_each_version_is_watched_for_the_whole_time_but_no_list_for_longer_than_twice_that(
    minutes: int, version: int, ends: int
) -> None:
    assert watch(lists(), Offered(candidate()), NOW) == (NOW, NOW + SHADOW)
    state = lists(held=held(kind="watched", watched=NOW, until=NOW + SHADOW))
    assert watch(state, Offered(candidate(version)), NOW + 60 * minutes) == (NOW, NOW + 60 * ends)
    assert watch(state, Offered(candidate(version), seen=True), NOW) is None


def test_additions_that_would_stop_too_much_wait_for_a_person() -> None:
    before = lists(held=held(kind="watched", watched=NOW - SHADOW, until=NOW, document="watched.zst"))
    after, effects = decide(before, Evaluated("half of all clients"), NOW)
    assert after.known.held is not None
    assert (after.known.held.until, after.known.held.watched, after.known.held.document) == (None, None, None)
    assert [(reason.kind, reason.approvable) for reason in after.known.held.reasons] == [("traffic", True)]
    assert (kinds(effects), leaves(effects)) == (["Count", "Remember", "Note", "Settle"], ["list-held"])


@pytest.mark.parametrize(
    ("code", "before", "logged", "times"),
    [
        ("state-hash", None, True, 1),
        ("state-hash", REFUSAL, True, 1),
        ("expired", REFUSAL, False, 4),
        ("unreachable", None, False, 1),
        ("unreachable", REFUSAL, False, 1),
    ],
)
def test_a_refusal_is_one_leaf_and_one_line_for_as_long_as_its_reason_is_the_same(
    code: str, before: Refusal | None, logged: bool, times: int
) -> None:
    after, effects = decide(lists(refusal=before), Refused(code, "why"), NOW)
    assert after.known.refusal is not None
    assert (after.known.refusal.times, after.known.refusal.text) == (times, "why")
    assert leaves(effects) == (["list-refused"] if logged else [])
    assert ("Say" in kinds(effects)) == (times == 1)
    assert effects[0] == Count("refused", (code,))
    assert effects[-1] == Remember()


def test_a_list_that_is_good_again_says_so_and_a_bridged_one_that_is_only_held_does_not() -> None:
    good, effects = decide(lists(refusal=REFUSAL), Offered(candidate()), NOW)
    assert (good.known.refusal, effects[0]) == (
        None,
        Say("list l is good again, after expired since 2026-11-22T11:00:00Z", {"list": "l"}),
    )
    trouble = VerifyError("missing", "no such file")
    kept, effects = decide(lists(fresh=5.0), Offered(candidate(trouble=trouble, lapses=9.0)), NOW)
    assert kept.known.refusal is not None
    assert (kept.known.refusal.code, kept.known.fresh, kept.known.lapses) == ("missing", 5.0, 9.0)
    assert kinds(effects).count("Remember") == 1


def test_suspensions_beside_a_refused_version_hold_before_they_are_stored() -> None:
    event = Relieved(4, {"R": Suspension(since=SINCE, reason="appeal granted")})
    after, effects = decide(lists(), event, NOW)
    assert after.applied is not None
    assert (list(after.applied.suspended), after.applied.relief) == (["R"], 4)
    assert effects == [Remember(), Settle(), Store(is_needed=False)]
    assert decide(after, event, NOW) == (after, [])
    empty = lists(applied=None)
    assert decide(empty, event, NOW) == (empty, [])


def test_an_approval_waits_for_its_leaf_and_names_the_person_in_the_journal_alone() -> None:
    before = lists(held=held())
    after, effects = decide(before, Approved(2, "0" * 8, "alice"), NOW)
    assert after.known.held is not None
    assert (after.known.held.reasons, effects[2:]) == (held().reasons, [Remember()])
    first, second = effects[:2]
    assert isinstance(first, Append)
    assert isinstance(second, Say)
    assert (first.leaf.type, first.leaf.reference) == ("list-approved", "l/2")
    assert "alice" not in str(first.leaf)
    assert "alice" in second.text


@pytest.mark.parametrize(("by", "now", "again"), [("alice", False, []), ("alice", True, ["Append", "Say", "Remember"]),
                                                  ("bob", False, ["Append", "Say", "Remember"])])  # fmt: skip
def test_an_approval_that_is_tried_again_has_one_leaf(by: str, now: bool, again: list[str]) -> None:
    before, _ = decide(lists(held=held()), Approved(2, "0" * 8, "alice"), NOW)
    after, effects = decide(before, Approved(2, "0" * 8, by, now), NOW)
    assert kinds(effects) == again
    assert (after == before) is (not again)


@pytest.mark.parametrize(
    ("state", "event", "wrong"),
    [
        (lists(), Approved(2, "0" * 8, "root"), "nothing of list l is held"),
        (lists(held=held()), Approved(3, "0" * 8, "root"), "what is held of list l is version 2"),
        (lists(held=held()), Approved(2, "0" * 7, "root"), "what is held of list l is version 2"),
        (lists(held=held()), Approved(2, "1" * 8, "root"), "what is held of list l is version 2"),
        (lists(held=held(approvable=False)), Approved(2, "0" * 8, "root"), "nobody can approve this: popular it is"),
    ],
)
def test_nothing_else_than_what_is_held_can_be_approved(state: ListState, event: Approved, wrong: str) -> None:
    with pytest.raises(ApprovalError, match=wrong):
        decide(state, event, NOW)
