"""What is to hold at all hosts that share an appeals database, and how each steward knows that it was said.

Enters: what a person said at this host, or what it did by its own clock; words of other hosts. Leaves: a leaf of this
host's log for each of its own words; words of others that are proved, later than what is known, and not over. Rules:

- A word is a leaf of the log of the host where it was said, with its proof (c2sp.org/tlog-proof). The database and the
  web processes carry it; only the steward of that host can have made it, and its log shows it for ever.
- The keys that are believed stand in `log.peers`, where the other hosts' keys are; no other word counts.
- Of what is said of one subject the latest word counts, by the time in it. It is remembered until every word on the
  subject that is known is over, and for `KEPT` at least, as long as an override or a mend lasts at most: an older word
  that comes later, or once more, changes nothing. A word more than `AHEAD` in the future is refused, and tried again
  when it is brought again.
- What the word of another host brings about here has a leaf of its own in this host's log too.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import Field

from resolver.base.errors import ResolverError
from resolver.base.stored import StateError, Stored, load, store
from resolver.base.timestamps import as_text
from resolver.lists.evidence import of_leaf
from resolver.lists.ledger import Event, Ledger, LedgerError
from resolver.log.errors import AuditError
from resolver.log.note import parse_vkey
from resolver.log.proof import check_proof

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from resolver.config.schema import Config

say = logging.getLogger("stopsign.lists")

TYPE = "everywhere"
AHEAD = 300.0  # seconds by which another host's clock may be before ours
KEPT = 31 * 86400.0  # seconds that a word without an end is passed on
Kind = Literal["override", "bypass", "decision", "mend", "overdue", "approval"]


class WordError(ResolverError):
    """A word of another host cannot be believed, or cannot be followed."""


class Said(Stored):
    """Of this host. Unix times."""

    leaf: int
    at: float
    until: float


class Heard(Stored):
    """The latest word on a subject, of any host."""

    at: float
    until: float
    """When it may be forgotten."""


class Words(Stored):
    """By subject."""

    said: dict[str, Said] = Field(default_factory=dict)
    heard: dict[str, Heard] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Word:
    """A word of another host, proved."""

    kind: Kind
    subject: str
    origin: str
    at: float
    until: float
    what: Mapping[str, Any]


class Everywhere:
    """Called from the register's thread alone."""

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        clock: Callable[[], float],
        alarm: Callable[[str, str | None], None],
    ) -> None:
        self._path, self._ledger, self._clock, self._alarm = config.places.words, ledger, clock, alarm
        self._peers = [parse_vkey(key) for key in config.peers]
        self.words = Words()

    @property
    def is_shared(self) -> bool:
        return bool(self._peers)

    def open(self) -> None:
        try:
            self.words = load(self._path, Words) or Words()
        except StateError as error:
            self._alarm("words", f"{error}: what other hosts said is heard again")

    def say(self, kind: Kind, subject: str, what: Mapping[str, Any], until: float | None = None) -> bool:
        """To all hosts; whether it could be. Without `until` it is passed on for a month."""
        if not self._peers:
            return False
        now, name = self._clock(), f"{kind}/{subject}"
        end = now + KEPT if until is None else until
        word = {"kind": kind, "subject": subject, "at": now, "until": end, "what": dict(what)}
        try:
            leaf = self._ledger.append([Event(TYPE, "", word)])[0]
        except LedgerError as error:
            self._alarm("log", str(error))
            return False
        self._keep(Words(
            said={**self.words.said, name: Said(leaf=leaf, at=now, until=end)},
            heard={**self.words.heard, name: self._latest(name, now, end)},
        ))  # fmt: skip
        return True

    def forget(self, kind: Kind, subjects: Iterable[str]) -> None:
        """What this host said of these subjects is over."""
        gone = {f"{kind}/{subject}" for subject in subjects} & self.words.said.keys()
        if gone:
            said = {name: one for name, one in self.words.said.items() if name not in gone}
            self._keep(self.words.model_copy(update={"said": said}))

    def of_this_host(self, known: Mapping[str, int]) -> list[dict[str, Any]]:
        """All that this host says now; with a proof where `known` does not have it."""
        now = self._clock()
        return [
            {
                "subject": name,
                "leaf": one.leaf,
                "proof": None if known.get(name) == one.leaf else of_leaf(self._ledger, one.leaf),
            }
            for name, one in self.words.said.items()
            if one.until > now
        ]

    def proved(self, proof: str) -> Word | None:
        """The word of another host; nothing where it is over, or something later is known. Raises `WordError`."""
        for key in self._peers:
            try:
                proven = check_proof(proof.encode(), key)
            except AuditError:
                continue
            if proven.leaf.type == TYPE and proven.detail is not None:
                return self._new(_word(proven.detail.value, proven.checkpoint.origin))
        raise WordError("this is no word of a host whose log log.peers names")

    def _new(self, word: Word) -> Word | None:
        now, name = self._clock(), f"{word.kind}/{word.subject}"
        known = self.words.heard.get(name)
        if word.at > now + AHEAD:
            raise WordError(f"{word.origin} says this at {as_text(word.at)}, which is still to come: see timedatectl")
        if word.until <= now:
            return None
        if known is not None and known.at >= word.at:
            if word.until > known.until:
                heard = {**self.words.heard, name: self._latest(name, known.at, word.until)}
                self._keep(self.words.model_copy(update={"heard": heard}))
            return None
        return word

    def heard(self, word: Word) -> None:
        """It was followed. What this host said of the same is superseded."""
        name = f"{word.kind}/{word.subject}"
        said = {other: one for other, one in self.words.said.items() if other != name}
        self._keep(Words(said=said, heard={**self.words.heard, name: self._latest(name, word.at, word.until)}))

    def _latest(self, name: str, at: float, until: float) -> Heard:
        known = self.words.heard.get(name)
        return Heard(at=at, until=max(until, at + KEPT, known.until if known else 0.0))

    def _keep(self, words: Words) -> None:
        now = self._clock()
        self.words = Words(
            said={name: one for name, one in words.said.items() if one.until > now},
            heard={name: one for name, one in words.heard.items() if one.until > now},
        )
        try:
            store(self._path, self.words)
        except OSError as error:
            self._alarm("words", f"{self._path} cannot be written ({error.strerror})")
        else:
            self._alarm("words", None)


def _word(told: Any, origin: str) -> Word:
    try:
        kind, what = told["kind"], told["what"]
        if kind not in get_args(Kind) or not isinstance(what, dict):
            raise ValueError(kind)
        return Word(kind, str(told["subject"]), origin, float(told["at"]), float(told["until"]), what)
    except (KeyError, TypeError, ValueError) as error:
        raise WordError(f"{origin} says something that this version does not know ({error})") from error
