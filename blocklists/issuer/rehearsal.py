"""One person plays everyone: two signers and the desk in one folder. For the demo, for practice and for tests.

Enters: a folder, a clock, a source of random octets. Leaves: a published repository. It calls what the commands call
and takes no short cut but one: the signers' machines read the desk's `published/` directly.

    rehearsal = Rehearsal.create(folder, Issuer("Authority", "list@authority.example", "appeals@…"))
    rehearsal.add_basis("gambling", "order-17", Basis(...))
    result = rehearsal.import_files("gambling", [Path("names.txt")], basis="order-17", category="gambling")
    str(rehearsal.desk.published), rehearsal.desk.trusted_root      # what a provider configures
    rehearsal.change("gambling", add=["example.net"], remove=["example.com"])
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from blocklists.delta import fields
from blocklists.entry import as_text, parse
from blocklists.importers import formats
from blocklists.importers.intake import Candidate, Intake
from blocklists.issuer import propose
from blocklists.issuer.desk import Desk
from blocklists.issuer.keys import Keyring
from blocklists.issuer.known import look_up
from blocklists.issuer.publish import publish, refresh_timestamp
from blocklists.issuer.review import review
from blocklists.issuer.sign import sign

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from blocklists.entry import Match, Random
    from blocklists.head import Basis, Issuer
    from blocklists.issuer.request import Request
    from blocklists.issuer.review import Review

PASSPHRASE = b"rehearsal only"
"""Of the rehearsed people's keys: no secret, as one who reads this program knows it."""


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A desk and its signers, played by one."""

    desk: Desk
    signers: tuple[Keyring, ...]
    clock: Callable[[], datetime] = _now
    random: Random = os.urandom

    @staticmethod
    def create(
        folder: Path, issuer: Issuer, *, names: Sequence[str] = ("alice", "bob"),
        clock: Callable[[], datetime] = _now, random: Random = os.urandom, scheme: str = "ed25519",
    ) -> Rehearsal:  # fmt: skip
        """Keys for each signer in `folder/<name>`, a desk in `folder` itself, the first root signed and published."""
        signers = tuple(Keyring.create(folder / "signers" / name, name, PASSPHRASE, scheme=scheme) for name in names)
        rehearsal = Rehearsal(Desk.create(folder, issuer), signers, clock, random)
        request = propose.setup(rehearsal.desk, [signer.card for signer in signers], now=clock())
        rehearsal.publish(request)
        return rehearsal

    @staticmethod
    def open(folder: Path, *, clock: Callable[[], datetime] = _now, random: Random = os.urandom) -> Rehearsal:
        """What `create` made. Raises DeskError, KeyFileError."""
        signers = tuple(Keyring.open(path.parent) for path in sorted((folder / "signers").glob("*/card.json")))
        return Rehearsal(Desk.open(folder), signers, clock, random)

    def add_basis(self, name: str, key: str, basis: Basis) -> None:
        """Put a ground on the list's table; it is published with the next version."""
        self.desk.add_bases(name, {key: basis})

    def import_files(
        self, name: str, files: Sequence[Path], *, basis: str, category: str, match: Match = "subtree",
        form: str = "auto", days: int = 365, replace: bool = False,
    ) -> Intake:  # fmt: skip
        """Import, have it signed, publish. Leaves what was taken, rejected and noted."""
        intake = Intake(match)
        for file in files:
            formats.read(file, intake, form=form)
        self.put(name, intake.candidates, basis=basis, category=category, days=days, replace=replace)
        return intake

    def change(
        self, name: str, *, add: Iterable[str] = (), remove: Iterable[str] = (), match: Match = "subtree",
        basis: str | None = None, category: str | None = None, days: int = 365,
    ) -> None:  # fmt: skip
        """A few names more, a few less, signed and published. Basis and category default to those of a listed entry."""
        published = self.desk.head(name)
        going = set(remove)
        first = next((parse(line) for line in self.desk.listing(published).lines()), None) if published else None
        gone = []
        if published and going:
            gone = [line for line in self.desk.listing(published).lines() if fields(line)[2].decode("ascii") in going]
        candidates = [Candidate(number, listed, match) for number, listed in enumerate(add, 1)]
        terms = self._terms(
            basis or (first.basis if first else ""), category or (first.category if first else ""), days
        )
        come = propose.from_candidates(self.desk, name, candidates, terms, random=self.random)
        steps = sorted([*come, *propose.changes(gone, ())], key=propose.place)
        self.publish(propose.propose(self.desk, name, steps, now=self.clock(), author="rehearsal", note="a change"))

    def put(
        self, name: str, candidates: Iterable[Candidate], *, basis: str, category: str, days: int = 365,
        replace: bool = False,
    ) -> None:  # fmt: skip
        """Bring candidates onto the list, signed and published."""
        terms = self._terms(basis, category, days)
        steps = propose.from_candidates(self.desk, name, candidates, terms, replace=replace, random=self.random)
        self.publish(propose.propose(self.desk, name, steps, now=self.clock(), author="rehearsal", note="an import"))

    def publish(self, request: Request) -> None:
        """Every signer reviews and signs their own copy, as on their own machine; the desk publishes."""
        signed = [sign(self.review(request, signer), signer, lambda _: PASSPHRASE) for signer in self.signers]
        publish(self.desk, signed, lambda _: None, now=self.clock())

    def review(self, request: Request, signer: Keyring) -> Review:
        """What the request means to one signer's machine."""
        known = look_up(signer, request, str(self.desk.published), now=self.clock())
        return review(request, known, ask=self.desk.ask)

    def refresh_timestamp(self) -> None:
        """What the timer does."""
        refresh_timestamp(self.desk, lambda _: None, now=self.clock())

    def _terms(self, basis: str, category: str, days: int) -> propose.Terms:
        now = self.clock()
        return propose.Terms(basis, category, as_text(now), as_text(now + timedelta(days=days)))
