"""`audit probe`: does the live resolver do what the log says?

Enters: a log, lists as their issuers published them, a resolver's address. Leaves: what was asked, and every answer
that is not what the log says. Rules: a document counts only if its state hash is one that the log speaks of, so nobody
can be blamed by a forged list; entries of what is active now must be stopped; those that it says are suspended, and
names that were active once and are no longer, must not be; what the log says is bypassed is not asked; the sample is
drawn with a seed, so that anybody can ask it again.
"""

from __future__ import annotations

import ipaddress
import random
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Protocol

from blocklists.counted import counted
from blocklists.text import shown
from resolver._core import covers
from resolver.base.dns_question import Answer, ask
from resolver.base.timestamps import as_text
from resolver.log.errors import AuditError
from resolver.log.reading import leaves
from resolver.stats.documents import is_sealed, read_document, state_of
from resolver.stats.timeline import SUSPENDING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from blocklists.entry import Match
    from resolver.log.leaf import Detail
    from resolver.log.source import Source

STOPPING = frozenset({15, 16, 17})  # RFC 8914: Blocked, Censored, Filtered


@dataclass(frozen=True)
class Entry:
    """The fields of an entry that a question needs."""

    name: str
    match: Match
    reference: str
    expires: str

    def names(self, chance: random.Random) -> Iterator[str]:
        """Names that this entry stops."""
        if self.match != "below":
            yield self.name
        if self.match != "exact":
            yield f"{chance.randrange(16**8):08x}.{self.name}"

    def covers(self, name: str) -> bool:
        return covers(self.name, self.match, name)


@dataclass(frozen=True)
class Active:
    """What the newest leaf says of one list."""

    list: str
    version: int
    state: str
    action: str
    whole: bool
    """False if additions are held: then some entries of the document may rightly not be stopped."""


@dataclass(frozen=True)
class Logged:
    """What the log says: `active` by list, `history` every state that ever was (to its list), overrides not lifted,
    and the references that are suspended, by list and type of leaf; None: more than the leaf names. `bypasses`: the
    details of the leaves by kind (`all`, `list`) and list; `bypassed_names`: how many, since no leaf says which."""

    active: dict[str, Active]
    history: dict[str, str]
    overrides: int
    off: dict[tuple[str, str], frozenset[str] | None]
    bypasses: dict[tuple[str, str], dict[str, Any]]
    bypassed_names: int

    def suspended(self, name: str) -> frozenset[str] | None:
        """What of a list is not in force; None where the log does not name it all."""
        parts = [self.off.get((name, kind), frozenset()) for kind in SUSPENDING]
        return None if None in parts else frozenset[str]().union(*(one for one in parts if one))

    def bypassed(self, name: str, clock: str) -> str | None:
        """Why the off switch lets all of a list pass at the time `clock`; None: it does not."""
        for key, what in ((("all", ""), "everything"), (("list", name), "it")):
            if (told := self.bypasses.get(key)) is None:
                continue
            until = told.get("until")
            if until is None or str(until) > clock:
                end = "until it is switched off" if until is None else f"until {shown(until)}"
                return f"{what} is bypassed since {shown(told.get('since'))}, {end}"
        return None


@dataclass
class Outcome:
    """What was asked and what came."""

    seed: int
    asked: int = 0
    stopped: int = 0
    passed: int = 0
    silent: int = 0
    wrong: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {
            "ok": not self.wrong,
            "seed": self.seed,
            "asked": self.asked,
            "stopped": self.stopped,
            "passed": self.passed,
            "silent": self.silent,
            "wrong": self.wrong,
            "remarks": self.remarks,
        }

    def lines(self) -> Iterator[str]:
        yield f"asked {counted(self.asked, 'question')} (seed {self.seed})"
        yield f"  {self.stopped} stopped as logged, {self.passed} not stopped as logged, {self.silent} not answered"
        for one in self.wrong:
            yield f"  WRONG {one['name']} over {one['transport']}: {one['expected']}, but {one['got']}"
        for remark in self.remarks:
            yield f"Remark: {remark}"


class Asking(Protocol):
    """Something that asks for the A record of a name."""

    def __call__(self, name: str, *, tcp: bool) -> Answer | None: ...


@dataclass(frozen=True)
class Asker:
    """Asks one resolver."""

    host: str
    port: int

    @classmethod
    def at(cls, address: str) -> Asker:
        """`ADDR:PORT`; a wildcard stands for the loopback."""
        host, _, port = address.rpartition(":")
        try:
            parsed = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
            number = int(port)
        except ValueError:
            raise AuditError(f"not an address with a port: {address!r}", hint="--resolver 192.0.2.1:53") from None
        if parsed.is_unspecified:
            parsed = ipaddress.ip_address("127.0.0.1" if parsed.version == 4 else "::1")
        return cls(str(parsed), number)

    def __call__(self, name: str, *, tcp: bool) -> Answer | None:
        return ask(self.host, self.port, name, tcp=tcp)


def probe(
    source: Source,
    details: Callable[[int], list[Detail]],
    documents: Iterable[Path],
    asking: Asking,
    *,
    sample: int,
    seed: int,
    now: float,
    progress: Callable[[int, int], None] = lambda _done, _size: None,
) -> Outcome:
    """Asks and compares."""
    outcome, chance = Outcome(seed), random.Random(seed)
    clock = as_text(now)
    known = logged(source, details)
    entries, gone = _samples(documents, known, sample, chance, outcome, clock)
    questions = [
        (name, entry.reference, action != "monitor")
        for entry, action in entries
        if entry.expires > clock
        for name in entry.names(chance)
    ] + [(entry.name, entry.reference, False) for entry in gone]
    for number, (name, reference, stop) in enumerate(questions):
        for tcp in (False, True) if number % 10 == 0 else (False,):
            _judge(outcome, name, reference, asking(name, tcp=tcp), stop=stop, tcp=tcp)
        progress(number + 1, len(questions))
    if outcome.wrong and known.overrides:
        outcome.remarks.append(
            f"{known.overrides} overrides were set and not lifted by the log: some names may pass by them"
        )
    if outcome.wrong and known.bypassed_names:
        outcome.remarks.append(
            f"by the log the off switch is on for {counted(known.bypassed_names, 'name')}: some names may pass by it"
        )
    return outcome


def logged(source: Source, details: Callable[[int], list[Detail]]) -> Logged:
    """The state by the newest leaves."""
    active: dict[str, Active] = {}
    history: dict[str, str] = {}
    off: dict[tuple[str, str], frozenset[str] | None] = {}
    bypasses: dict[tuple[str, str], dict[str, Any]] = {}
    overrides = names = 0
    for index, leaf, detail in leaves(source, details):
        overrides += (leaf.type == "override-set") - (leaf.type == "override-lifted")
        if detail is None or not isinstance(told := detail.value, dict):
            continue
        name = str(told.get("list"))
        if leaf.type in SUSPENDING:
            off[name, leaf.type] = _references(told)
        if leaf.type == "bypass":
            key, on = (str(told.get("kind")), str(told.get("of"))), told.get("act") == "on"
            bypasses.pop(key, None)
            if key[0] == "name":
                names += 1 if on else -1
            elif on:
                bypasses[key] = told
        if leaf.type != "list-activated":
            continue
        state = str(told.get("state", ""))
        if told.get("version"):
            action, whole = str(told.get("action", "stop-page")), not told.get("less")
            active[name] = Active(name, _version(told["version"], index), state, action, whole)
            history[state] = name
        else:
            active.pop(name, None)
    return Logged(active, history, max(overrides, 0), off, bypasses, max(names, 0))


def _references(told: dict[str, Any]) -> frozenset[str] | None:
    named = told.get("references", [] if told.get("suspended") == 0 else None)
    return frozenset(map(str, named)) if isinstance(named, list) else None


def _version(told: object, index: int) -> int:
    if not isinstance(told, int):
        raise AuditError(f"the detail of leaf {index} has no version: {told!r:.40}")
    return told


def _entries(path: Path) -> Iterator[tuple[bytes, Entry]]:
    for line, told in read_document(path):
        yield line, Entry(told["name"], told["match"], told["reference"], told["expires"])


def _samples(
    documents: Iterable[Path], known: Logged, sample: int, chance: random.Random, outcome: Outcome, clock: str
) -> tuple[list[tuple[Entry, str]], list[Entry]]:
    """Entries that must be stopped, each with its list's action, and entries that must not be."""
    entries: list[tuple[Entry, str]] = []
    former: list[Entry] = []
    current: list[tuple[Path, frozenset[str]]] = []
    missing, unreadable = dict(known.active), False
    for path in documents:
        sealed = is_sealed(path)
        state, drawn = (state_of(path), []) if sealed else _draw(path, sample, chance)
        now = next((one for one in known.active.values() if one.state == state), None)
        if now is not None:
            off = known.suspended(now.list)
            missing.pop(now.list, None)
            if sealed:
                unreadable = True
                outcome.remarks.append(f"list {now.list} is sealed: its names are not known here, so it was not asked")
                continue
            current.append((path, off or frozenset()))
            if (why := known.bypassed(now.list, clock)) is not None:
                outcome.remarks.append(f"list {now.list}: by the log {why}, so it was not asked")
            elif not now.whole:
                outcome.remarks.append(f"list {now.list}: some of version {now.version} is held, so it was not asked")
            elif off is None:
                outcome.remarks.append(f"list {now.list}: more is suspended than the log names, so it was not asked")
            else:
                entries += [(entry, now.action) for entry in drawn if entry.reference not in off]
                former += [entry for entry in drawn if entry.reference in off]
        elif state in known.history:
            former += drawn
        else:
            raise AuditError(f"{path} ({state}) is no list that this log speaks of")
    outcome.remarks += [
        f"list {one.list}, version {one.version}, was not asked: give its document by --document, {one.state}"
        for one in missing.values()
    ]
    if former and (missing or unreadable):
        outcome.remarks.append("withdrawn names were not asked: a list that is active now may stop them")
        return entries, []
    for path, off in current:  # what is in force on a list now is not withdrawn
        for _, entry in _entries(path):
            if former and entry.reference not in off:
                former = [old for old in former if not entry.covers(old.name)]
    return entries, former


def _draw(path: Path, sample: int, chance: random.Random) -> tuple[str, list[Entry]]:
    """A document's state hash, and a sample of it in one pass."""
    whole, drawn = sha256(), list[Entry]()
    for number, (line, entry) in enumerate(_entries(path)):
        whole.update(line)
        if len(drawn) < sample:
            drawn.append(entry)
        elif (place := chance.randrange(number + 1)) < sample:
            drawn[place] = entry
    return "sha256:" + whole.hexdigest(), drawn


def _judge(outcome: Outcome, name: str, reference: str, answer: Answer | None, *, stop: bool, tcp: bool) -> None:
    outcome.asked += 1
    if answer is None:
        outcome.silent += 1
        return
    stopped = answer.ede in STOPPING
    if stopped == stop and (not stopped or not answer.text or reference in answer.text or not stop):
        outcome.stopped += stopped
        outcome.passed += not stopped
        return
    expected = (
        f"the log has it stopped ({reference})" if stop else f"the log has it withdrawn or suspended ({reference})"
    )
    outcome.wrong.append(
        {
            "name": name,
            "transport": "tcp" if tcp else "udp",
            "expected": expected,
            "got": str(answer),
            "reference": reference,
        }
    )
