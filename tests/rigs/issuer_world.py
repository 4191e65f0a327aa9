"""An issuer, a provider that follows it, and someone who holds whatever keys an attack needs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization
from securesystemslib.signer import Key, SSlibKey
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from blocklists import delta, document, impact, verify
from blocklists.entry import Entry, Match, as_text
from blocklists.head import Basis, Issuer
from blocklists.issuer import names, propose, publish
from blocklists.issuer.rehearsal import PASSPHRASE, Rehearsal
from blocklists.issuer.review import Meaning
from blocklists.issuer.sign import sign
from resolver import _core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from blocklists.issuer.keys import Keyring
    from blocklists.issuer.request import Request
    from blocklists.verify import Verified

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ISSUER = Issuer("Example Authority", "lists@authority.example", "appeals@authority.example")
BASIS = Basis("Example Act, § 9", "Example Authority", "order 17", "2026-11-01", "DE", "Administrative Court")
NAMES = ("casino.example", "dice.example", "poker.example", "roulette.example", "slots.example")
LIST = "gambling"


def make_entry(
    name: str, reference: str = "0000000000000000", match: Match = "subtree", *, basis: str = "order-17",
    category: str = "gambling", issued: str = "2026-11-22T12:00:00Z", expires: str = "2027-11-22T12:00:00Z",
    removal_requested: str | None = None, impact: str | None = None,
) -> Entry:  # fmt: skip
    """An entry with usual fields."""
    return Entry(name, match, basis, category, issued, expires, reference, removal_requested, impact)


class Counted:
    """A source of octets that are the same in every run."""

    def __init__(self) -> None:
        self._calls = 0

    def __call__(self, count: int) -> bytes:
        self._calls += 1
        return hashlib.shake_256(str(self._calls).encode()).digest(count)


@dataclass
class World:
    """Everything of one test, below one folder, at one time."""

    folder: Path
    now: datetime = NOW
    names: Sequence[str] = ("alice", "bob")
    rehearsal: Rehearsal = field(init=False)

    def __post_init__(self) -> None:
        self.rehearsal = Rehearsal.create(
            self.folder / "issuer", ISSUER, names=self.names, clock=lambda: self.now, random=Counted()
        )
        self.rehearsal.add_basis(LIST, "order-17", BASIS)
        self.rehearsal.change(LIST, add=NAMES, basis="order-17", category="gambling")

    @property
    def published(self) -> Path:
        return self.rehearsal.desk.published

    def later(self, **span: float) -> None:
        """Time goes by."""
        self.now += timedelta(**span)

    def signer(self, name: str) -> Keyring:
        return next(signer for signer in self.rehearsal.signers if signer.card.name == name)

    def fetch(self, repository: str | None = None, *, state: str = "provider", **options: Any) -> Verified:
        """What the provider's steward does."""
        return verify.refresh(
            repository or str(self.published), self.rehearsal.desk.trusted_root, self.folder / state, LIST,
            **{"deadline": 120.0, "now": self.now, **options},
        )  # fmt: skip

    def entries(self, verified: Verified) -> list[Entry]:
        """What the verified document holds."""
        return list(document.read(verified.lines, size=verified.head.full_size))

    def listed(self, verified: Verified) -> set[str]:
        return {entry.name for entry in self.entries(verified)}

    # What an attacker with keys does: publish without any check ------------------------------------------------------

    def current(self) -> Any:
        current = self.rehearsal.desk.current()
        assert current is not None
        return current

    def forge(
        self, *, targets: Callable[[Targets], None] | None = None, root: Callable[[Root], None] | None = None,
        relief: Callable[[Targets], None] | None = None, files: Mapping[str, bytes] | None = None,
        by: Iterable[str] = ("alice", "bob"), keys: Mapping[str, Keyring] | None = None, raw: bool = False,
    ) -> None:  # fmt: skip
        """Publish changed metadata, signed by whom the test says, with the desk's own online keys."""
        current, keyrings = self.current(), {**{s.card.name: s for s in self.rehearsal.signers}, **(keys or {})}
        metadata = self.published / "metadata"
        meta = dict(current.snapshot.signed.meta)
        for role, change in (("root", root), ("targets", targets), ("relief", relief)):
            if change is None:
                continue
            copy: Metadata[Any] = Metadata.from_bytes(getattr(current, role).to_bytes())
            copy.signed.version += 1
            change(copy.signed)
            copy.signatures.clear()
            for name in by:
                copy.sign(keyrings[name].signer(role, lambda _: PASSPHRASE), append=True)
            (metadata / f"{copy.signed.version}.{role}.json").write_bytes(copy.to_bytes())
            if role != "root":
                meta[f"{role}.json"] = MetaFile.from_data(copy.signed.version, copy.to_bytes(), ["sha256"])
        for path, data in (files or {}).items():
            self.put(path, data)
        if not raw:
            self.seal(meta)

    def seal(self, meta: Mapping[str, MetaFile]) -> None:
        """A new snapshot and timestamp over these versions."""
        current, online, metadata = self.current(), self.rehearsal.desk.online(), self.published / "metadata"
        snapshot = Metadata(
            Snapshot(current.snapshot.signed.version + 1, expires=self.now + timedelta(days=7), meta=dict(meta))
        )
        snapshot.sign(online.signer("snapshot", lambda _: None))
        (metadata / f"{snapshot.signed.version}.snapshot.json").write_bytes(snapshot.to_bytes())
        link = MetaFile.from_data(snapshot.signed.version, snapshot.to_bytes(), ["sha256"])
        version = current.timestamp.signed.version + 1
        timestamp = Metadata(Timestamp(version, expires=self.now + timedelta(days=1), snapshot_meta=link))
        timestamp.sign(online.signer("timestamp", lambda _: None))
        (metadata / "timestamp.json").write_bytes(timestamp.to_bytes())

    def put(self, path: str, data: bytes) -> None:
        """Lay a target file down under its hash."""
        info = TargetFile.from_data(path, data, ["sha256"])
        goal = self.published / "targets" / info.get_prefixed_paths()[0]
        goal.parent.mkdir(parents=True, exist_ok=True)
        goal.write_bytes(data)

    def forge_list(self, files: Mapping[str, bytes], *, by: Iterable[str] = ("alice", "bob")) -> None:
        """Sign these files as the list's."""

        def change(role: Targets) -> None:
            role.targets = {path: TargetFile.from_data(path, data, ["sha256"]) for path, data in files.items()}

        self.forge(targets=change, files=files, by=by)


def compressed(lines: Iterable[bytes], folder: Path) -> tuple[document.Summary, bytes]:
    """A document of these lines, valid or not."""
    path = folder / "compressed.zst"
    summary = document.write_lines(path, lines)
    return summary, path.read_bytes()


def terms(world: World, days: float = 365) -> propose.Terms:
    return propose.Terms("order-17", "gambling", as_text(world.now), as_text(world.now + timedelta(days=days)))


def request_for(world: World, **what: Any) -> Request:
    """A request by hand: `add`, `remove`, `match`."""
    desk = world.rehearsal.desk
    steps = propose.by_hand(desk, LIST, terms=terms(world), random=world.rehearsal.random, **what)
    return propose.propose(desk, LIST, steps, now=world.now, author="alice", note="a note")


def meaning_of(steps: Iterable[tuple[bytes, bytes]]) -> Meaning:
    """What these changes mean to a signer."""
    file = names.in_memory()
    size = delta.write(file.path, steps).size
    return Meaning.of(_core.review_step(file.path, size, impact.attention(limit=None)))


def signed_by(world: World, request: Request, *names: str) -> list[Request]:
    return [
        sign(world.rehearsal.review(request, world.signer(name)), world.signer(name), lambda _: PASSPHRASE)
        for name in names
    ]


def published(world: World, requests: list[Request]) -> None:
    publish.publish(world.rehearsal.desk, requests, lambda _: None, now=world.now)


def respelled(key: Key) -> SSlibKey:
    """The same public key under another key id and in another spelling."""
    public = key.keyval["public"]
    if key.keytype == "ecdsa":
        loaded = serialization.load_pem_public_key(public.encode())
        point = loaded.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
        assert point
        public = public.replace("\n", "\n\n", 1)
    else:
        public = public.upper()
    return SSlibKey("f" * 64, key.keytype, key.scheme, {"public": public})
