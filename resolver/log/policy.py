"""Trust policies, as in c2sp.org/tlog-policy: which logs, which witnesses, and which of them together are enough.

Enters: the octets of a policy file. Leaves: a `Policy`, or `MalformedError` with the line. Rules, from the text: names
are opaque octets, of witnesses and groups alike; a line names only what stands above it; each name is a member once, so
that a witness contributes in one way; a key comes once, whatever it is called; exactly one quorum.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blocklists.counted import counted
from resolver.log.checkpoint import distinct
from resolver.log.errors import MalformedError, UntrueError
from resolver.log.note import COSIGNATURES, ED25519, parse_vkey

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from resolver.log.note import Verifier

MAX_POLICY = 1 << 20
NONE = b"none"


@dataclass(frozen=True)
class Group:
    """Witnesses the checkpoint when `least` of its members do."""

    least: int
    members: tuple[Verifier | Group, ...]

    def met(self, keys: Collection[Verifier]) -> bool:
        return self.least <= sum(one.met(keys) if isinstance(one, Group) else one in keys for one in self.members)


@dataclass(frozen=True)
class Policy:
    """`quorum`: what has to witness a checkpoint."""

    logs: tuple[Verifier, ...]
    witnesses: tuple[Verifier, ...]
    quorum: Group
    urls: tuple[tuple[str, Verifier], ...] = ()
    """Where a witness is asked for cosignatures, as far as the file says."""

    @classmethod
    def of(cls, witnesses: Iterable[Verifier], least: int) -> Policy:
        """So many of these witnesses, whichever."""
        found = tuple(witnesses)
        return cls((), found, Group(least, found))

    def check(self, log: Verifier, keys: Collection[Verifier]) -> None:
        """Raise `UntrueError` unless this log is one of the policy's, and the witnesses that cosigned are enough."""
        if self.logs and log not in self.logs:
            raise UntrueError(f"the policy does not know the log {log}")
        if not self.quorum.met(keys):
            grouped = any(isinstance(one, Group) for one in self.quorum.members)
            wanted = "the policy's groups ask for others" if grouped else f"{self.quorum.least} were asked for"
            raise UntrueError(f"{len(keys)} of {counted(len(self.witnesses), 'witness')} cosigned, {wanted}")


@dataclass
class _Reading:
    logs: list[Verifier] = field(default_factory=list)
    witnesses: list[Verifier] = field(default_factory=list)
    urls: list[tuple[str, Verifier]] = field(default_factory=list)
    names: dict[bytes, Verifier | Group] = field(default_factory=dict)
    members: set[bytes] = field(default_factory=set)
    quorum: Group | None = None

    def line(self, words: list[bytes]) -> None:
        match words:
            case [b"log", vkey, *url] if len(url) < 2:
                self.logs = [*self.logs, _key(vkey, (ED25519,))]
                if len({one.public for one in self.logs}) < len(self.logs):
                    raise MalformedError("this log's key stands above already")
            case [b"witness", name, vkey, *url] if len(url) < 2:
                key = _key(vkey, COSIGNATURES)
                if key.public in {one.public for one in self.witnesses}:
                    raise MalformedError("this witness's key stands above already")
                self.witnesses.append(key)
                self.urls += [(one.decode("utf-8", "replace"), key) for one in url]
                self._name(name, key)
            case [b"group", name, least, *members] if members:
                self._name(name, Group(_least(least, len(members)), tuple(map(self._member, members))))
            case [b"quorum", name]:
                if self.quorum is not None:
                    raise MalformedError("there is a quorum already")
                self.quorum = Group(0, ()) if name == NONE else Group(1, (self._known(name),))
            case _:
                raise MalformedError("neither a log, a witness, a group nor a quorum")

    def _name(self, name: bytes, what: Verifier | Group) -> None:
        if name == NONE or name in self.names:
            raise MalformedError(f"the name {name!r} is taken")
        self.names[name] = what

    def _known(self, name: bytes) -> Verifier | Group:
        if name not in self.names:
            raise MalformedError(f"nothing above is called {name!r}")
        return self.names[name]

    def _member(self, name: bytes) -> Verifier | Group:
        if name in self.members:
            raise MalformedError(f"{name!r} is a member of a group already")
        self.members.add(name)
        return self._known(name)


def parse_policy(data: bytes) -> Policy:
    """Raises `MalformedError`, which names the line."""
    if len(data) > MAX_POLICY or any((octet < 0x20 and octet not in b"\t\n") or octet == 0x7F for octet in data):
        raise MalformedError("not a policy: it is longer than 1 MiB, or has a control character")
    reading = _Reading()
    for number, line in enumerate(data.split(b"\n"), 1):
        words = line.replace(b"\t", b" ").split(b" ")
        if (words := [word for word in words if word]) and not words[0].startswith(b"#"):
            try:
                reading.line(words)
            except MalformedError as wrong:
                raise MalformedError(f"line {number} of the policy: {wrong}") from wrong
    if reading.quorum is None:
        raise MalformedError("the policy has no quorum line", hint="`quorum none` asks for no witness")
    for log in reading.logs:
        distinct(log, reading.witnesses)
    return Policy(tuple(reading.logs), tuple(reading.witnesses), reading.quorum, tuple(reading.urls))


def _key(vkey: bytes, kinds: tuple[int, ...]) -> Verifier:
    key = parse_vkey(vkey.decode("utf-8", "replace"))
    if key.kind not in kinds:
        wanted = " or ".join(map(str, kinds))
        raise MalformedError(f"the key of {key.name} is of type {key.kind}, not {wanted}")
    return key


def _least(word: bytes, size: int) -> int:
    named = {b"any": 1, b"all": size}.get(word)
    least = named if named is not None else int(word) if word.isdigit() and len(word) < 5 else 0
    if not 1 <= least <= size:
        raise MalformedError(f"{word!r} of {size} members")
    return least
