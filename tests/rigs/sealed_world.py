"""An issuer of a sealed list, and providers that subscribe to it."""

from __future__ import annotations

import copy
import os
import shutil
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from blocklists import document, verify
from blocklists.issuer import propose, sealing, vault
from blocklists.issuer.rehearsal import Rehearsal
from blocklists.sealed import keys, lines
from blocklists.sealed import seal as seals
from resolver._core import sealed_digest
from tests.rigs.issuer_world import BASIS, ISSUER, Counted, World

if TYPE_CHECKING:
    from pathlib import Path

    from blocklists.head import Head
    from blocklists.issuer.desk import Desk
    from blocklists.verify import Verified

LIST = "abuse"
NAMES = ("planted-one.example", "planted-two.example", "planted-three.example")
SECRET = b"a sealed passphrase"


def cheap(monkeypatch: Any) -> None:
    """scrypt and a disk at a cost that a test can bear."""
    monkeypatch.setattr(vault, "N", 1 << 8)
    monkeypatch.setattr(os, "fsync", lambda _: None)


@dataclass
class SealedWorld(World):
    """A desk with one sealed list that `north` subscribes to."""

    north: X25519PrivateKey = field(default_factory=X25519PrivateKey.generate)
    south: X25519PrivateKey = field(default_factory=X25519PrivateKey.generate)

    def __post_init__(self) -> None:
        made = Rehearsal.create(self.folder / "issuer", ISSUER, clock=lambda: self.now, random=Counted())
        self.rehearsal = replace(made, desk=replace(made.desk, ask=lambda: SECRET))
        sealing.begin(self.desk, LIST)
        self.subscribe("north")
        self.rehearsal.add_basis(LIST, "order-17", BASIS)
        self.rehearsal.change(LIST, add=NAMES, basis="order-17", category="abuse")

    @property
    def head(self) -> Head:
        """What is published."""
        found = self.desk.head(LIST)
        assert found is not None
        return found

    @property
    def desk(self) -> Desk:
        return self.rehearsal.desk

    def copied(self, folder: Path) -> SealedWorld:
        """The same world in another folder."""
        shutil.copytree(self.folder, folder)
        made, opened = copy.copy(self), Rehearsal.open(folder / "issuer", clock=lambda: made.now)
        made.folder, made.rehearsal = folder, replace(opened, desk=replace(opened.desk, ask=lambda: SECRET))
        return made

    def subscribe(self, provider: str) -> None:
        sealing.subscribe(self.desk, LIST, keys.card_of(getattr(self, provider), provider))

    def version(self) -> None:
        """A next version without a change of names."""
        self.rehearsal.publish(propose.propose(self.desk, LIST, [], now=self.now, author="x", note="subscribers"))

    def fetch(self, repository: str | None = None, *, state: str = "at-north", **options: Any) -> Verified:
        """What the steward of a provider does; `at-north` and `at-south` are those who have a key."""
        key = getattr(self, state.removeprefix("at-"), self.north)
        return verify.refresh(
            repository or str(self.published), self.desk.trusted_root, self.folder / state, LIST,
            **{"deadline": 120.0, "now": self.now, "opener": verify.with_key(lambda: key), **options},
        )  # fmt: skip

    def listed(self, verified: Verified, provider: str = "north") -> set[str]:
        """Which of some names the verified document stops, as one with the provider's key finds out."""
        assert verified.head.seal is not None
        name_key = seals.keys_of(verified.head.seal, verified.head.state, getattr(self, provider)).name
        digests = {lines.fields(line)[2] for line in lines_of(verified)}
        asked = (*NAMES, "harmless.example", "planted-new.example")
        return {name for name in asked if sealed_digest(name_key, name).hex().encode() in digests}


def lines_of(verified: Verified) -> list[bytes]:
    """The stored document."""
    return list(document.read_lines(verified.lines, size=verified.head.full_size))
