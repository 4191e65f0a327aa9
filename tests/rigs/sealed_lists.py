"""Sealed lists for tests: digest lines sealed here, with a names' key that the test knows.

The lines are made by the rule of docs/sealed.md alone (JSON with sorted keys, `digest` in the place of `name`), not by
the issuer's half.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from blocklists.document import Summary
from blocklists.sealed import keys, seal
from resolver import _core
from resolver.policy import seals
from resolver.policy.in_force import Follower
from tests.rigs.list_documents import write_lines

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from blocklists.entry import Entry
    from resolver.lists.fetch import Candidate
    from resolver.policy.description import SealPart
    from tests.rigs.lists_world import World

FILE_KEY = bytes.fromhex("c07e5f1b93d24a6688ab3fe05d1479c2e6b80d917f3c42a5195e6bd8f0247a3c")
NAME_KEY = bytes.fromhex("9a1c55e7d2407bb1f36e08c4ad92715e")
APPEALS_KEY = keys.card_of(X25519PrivateKey.from_private_bytes(FILE_KEY), "x").public


def digest_line(entry: Entry, key: bytes) -> bytes:
    """The entry's line in a sealed document."""
    fields = json.loads(entry.line())
    fields.pop("impact", None)
    fields["digest"] = _core.sealed_digest(key, fields.pop("name")).hex()
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def write_sealed(path: Path, entries: Iterable[Entry], key: bytes = NAME_KEY) -> Summary:
    """A document of digests."""
    by_order = sorted((_core.sealed_digest(key, one.name), one.match, one.reference, one) for one in entries)
    lines = [digest_line(one, key) for *_, one in by_order]
    state = write_lines(path, lines)
    return Summary(entries=len(lines), size=sum(map(len, lines)), state=state)


@dataclass
class Provider:
    """A provider's key in a file, and what issuers seal for it."""

    key: Path
    provider: str = "Isp"
    card: keys.Card = field(init=False)

    def __post_init__(self) -> None:
        self.key.parent.mkdir(parents=True, exist_ok=True)
        self.card = keys.card_of(keys.create(self.key), self.provider)

    def part(self, state: str, name_key: bytes = NAME_KEY, number: int = 1) -> SealPart:
        """What a list's description holds of a version with this state."""
        made = seal.make([self.card], seal.Keys(FILE_KEY, name_key), number, state, APPEALS_KEY)
        return seals.part_of(made, state, self.key)

    def candidate(
        self,
        world: World,
        version: int,
        entries: Iterable[str | Entry],
        *,
        name: str = "sealed",
        name_key: bytes = NAME_KEY,
        number: int = 1,
        suspended: Iterable[str] = (),
    ) -> Candidate:
        """A sealed list as `fetch` hands it over."""
        from tests.rigs.lists_world import make_entry

        made = [one if not isinstance(one, str) else make_entry(one) for one in entries]
        plain = world.candidate(version, made, name=name, suspended=suspended)
        summary = write_sealed(plain.lines, made, name_key)
        part = self.part(summary.state, name_key, number)
        told = {"state": summary.state, "size": summary.size, "entries": summary.entries, "seal": part}
        world.last = plain.model_copy(update=told)
        return world.last


def stopped(world: World, provider: Provider, *names: str) -> list[bool]:
    """What a worker would say of each name."""
    live = Follower(world.config.places, lambda compiled, lists: seals.unseal(provider.key, compiled, lists))
    live.poll()
    judged = [live.now.judge(name, world.clock()) for name in names]
    return [one is not None and one.stop is not None for one in judged]
