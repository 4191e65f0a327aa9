"""Between verified and active: what a correctly signed update may do by itself.

Enters: the facts about an update (counted and matched by the core), the list's settings, what was added lately. Leaves:
a `Judgement`: may the additions act, and if not, each reason in a sentence. `admit` decides what follows from it: what
is applied and what is held.

Rules
- Only additions are judged, and making a match wider counts as an addition; a removal is never held.
- Additions act all or none: half an order is nobody's order.
- Protected names (both directions) and public suffixes cannot be approved away. Denmark 2012: one officer's wrong
  folder, 8,000 sites, delivered correctly. mooo.com 2011: one name, 84,000 sites below it.
- The issuer's scope is a matter of configuration, not of approval.
- The rolling caps count what was really added: ten updates of a tenth are one of the whole.
- A first load always has a reason to be held; whether the configuration approves it is asked in `admit`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blocklists.counted import counted
from resolver.lists.state import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from resolver.config.schema_lists import Caps, ListSource, Scope
    from resolver.lists.protected import ProtectedNames

DAY = 86400.0
SHOWN = 8  # names in one sentence; `lists diff` shows all


@dataclass(frozen=True, slots=True)
class Finding:
    """An addition that meets a protected name: `protected`, `public-suffix`, `popular`. Of a sealed list the names are
    empty: the issuer can be asked about the reference."""

    kind: str
    name: str
    match: str
    against: str
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """The size of an update, compared with the applied version."""

    first: bool
    entries: int
    added: int
    """With everything widened."""
    removed: int
    """With everything narrowed."""
    found: Sequence[Finding] = ()
    reused: Sequence[str] = ()
    """References that stood for another name, match or basis."""
    outside: Sequence[str] = ()
    """Additions beyond the issuer's scope, each in a few words."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """`reasons` empty: everything acts. Otherwise only the removals do."""

    reasons: tuple[Reason, ...] = ()

    @property
    def adds(self) -> bool:
        return not self.reasons

    @property
    def approvable(self) -> bool:
        return all(reason.approvable for reason in self.reasons)


def judge(
    facts: Facts,
    source: ListSource,
    names: ProtectedNames,
    *,
    active: int,
    additions: Iterable[tuple[float, int]],
    now: float,
) -> Judgement:
    """What this update may do before a person is asked. `active`: entries applied before it."""
    if not facts.added:
        return Judgement()
    reasons = [*_found(facts, names), *_reused(facts), *_outside(facts, source.scope)]
    if facts.first:
        reasons.append(
            Reason(kind="first-load", text=f"the first load of {counted(facts.added, 'entry')}", approvable=True)
        )
    else:
        reasons += _caps(facts.added, source.caps, active, list(additions), now)
    return Judgement(tuple(reasons))


def _found(facts: Facts, names: ProtectedNames) -> list[Reason]:
    texts: dict[str, list[str]] = {}
    for finding in facts.found:
        kind = finding.kind
        what = f"{finding.name} ({finding.match})"
        if not finding.name:  # of a sealed list: what it meets would say what it is
            what = f"the entry {finding.reference} ({finding.match})"
        elif kind == "protected":
            what += f" meets {finding.against}, {names.protected.get(finding.against, 'protected')}"
        elif kind == "public-suffix":
            what += f" would stop everyone below {finding.against}"
        elif finding.against in names.shared:
            kind = "shared-host"
            what += f" would stop {finding.against}, which serves very many people"
        elif finding.against != finding.name:
            what += f" would stop {finding.against}"
        texts.setdefault(kind, []).append(what)
    words = {
        "protected": "protected names",
        "public-suffix": "public suffixes",
        "shared-host": "shared hosts",
        "popular": "popular names",
    }
    return [
        Reason(kind=kind, text=f"{words[kind]}: {some(texts[kind])}", approvable=kind in {"shared-host", "popular"})
        for kind in words
        if kind in texts
    ]


def _reused(facts: Facts) -> list[Reason]:
    """A reference is bound for ever to one name, match and basis: people keep it, courts cite it."""
    if not facts.reused:
        return []
    text = f"references that stood for something else before: {some(list(facts.reused))}"
    return [Reason(kind="reference-reuse", text=text, approvable=False)]


def _outside(facts: Facts, scope: Scope) -> list[Reason]:
    reasons = []
    if facts.outside:
        text = f"outside this issuer's scope: {some(list(facts.outside))}"
        reasons.append(Reason(kind="scope", text=text, approvable=False))
    if scope.entries is not None and facts.entries > scope.entries:
        text = f"outside this issuer's scope: {counted(facts.entries, 'entry')} where {scope.entries:,} are allowed"
        reasons.append(Reason(kind="scope-entries", text=text, approvable=False))
    return reasons


def _caps(added: int, caps: Caps, active: int, additions: list[tuple[float, int]], now: float) -> list[Reason]:
    """By number and by share, in this update and over rolling windows. A window's share is a share of the entries
    that were active before the window opened."""
    reasons = []
    for kind, cap, seconds, words in (
        ("cap-update", caps.update, 0.0, "in one update"),
        ("cap-day", caps.day, DAY, "within 24 hours"),
        ("cap-week", caps.week, 7 * DAY, "within 7 days"),
    ):
        before = sum(number for when, number in additions if now - when < seconds)
        total, base = added + before, max(active - before, 0)
        if total > cap.number:
            text = f"{total:,} additions {words}, above {cap.number:,}"
            reasons.append(Reason(kind=kind, text=text, approvable=True))
        elif total > caps.always and total > cap.share * base:
            text = f"{total:,} additions {words}, above {cap.share:.0%} of the {base:,} active before"
            reasons.append(Reason(kind=kind, text=text, approvable=True))
    return reasons


def some(texts: list[str]) -> str:
    """The first few of them, and how many more there are."""
    shown = "; ".join(texts[:SHOWN])
    return shown if len(texts) <= SHOWN else f"{shown}; and {len(texts) - SHOWN:,} more"


def outside_scope(scope: Scope, entries: Iterable[tuple[str, str, str, str]], limit: int = 100) -> Iterable[str]:
    """Additions `(name, match, category, territory)` that this issuer may not ask for, by what is wrong with them."""
    wrong: Counter[str] = Counter()
    first: dict[str, str] = {}
    for name, match, category, territory in entries:
        for problem in problems(scope, name, match, category, territory):
            wrong[problem] += 1
            if len(first) < limit:
                first.setdefault(problem, name)
    return [
        f"{problem} ({first.get(problem, '…')}{f' and {number - 1:,} more' if number > 1 else ''})"
        for problem, number in wrong.most_common(limit)
    ]


def problems(scope: Scope, name: str, match: str, category: str, territory: str) -> Iterable[str]:
    """What of an addition is outside the issuer's scope."""
    if scope.matches and match not in scope.matches:
        yield f"match {match}"
    if scope.categories and category not in scope.categories:
        yield f"category {category}"
    if scope.territories and not any(territory == t or territory.startswith(f"{t}-") for t in scope.territories):
        yield f"territory {territory or 'unknown'}"
    if scope.below and not any(name == top or name.endswith(f".{top}") for top in scope.below):
        yield f"names not below {', '.join(scope.below)}"
