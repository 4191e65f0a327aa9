"""What a provider refuses of a sealed list: by name, the last good version stays, and no name is in the message."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from blocklists import document, verify
from blocklists.errors import VerifyError
from blocklists.head import Head, full_path, head_path
from blocklists.sealed import keys, seal, stream
from blocklists.sealed.lines import seal_all
from blocklists.sealed.seal import Keys
from tests.rigs.issuer_world import compressed, make_entry
from tests.rigs.sealed_lists import APPEALS_KEY
from tests.rigs.sealed_world import LIST, NAMES, SealedWorld, cheap, lines_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MANY = 6000
"""Entries of a document that has several chunks."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> SealedWorld:
    with pytest.MonkeyPatch.context() as patch:
        cheap(patch)
        made = SealedWorld(tmp_path_factory.mktemp("world"))
    made.fetch()
    return made


@dataclass
class Next:
    """A second version that people with the signers' keys make, before they spoil it."""

    head: Head
    keys: Keys
    lines: list[bytes]
    full: bytes
    plain: bytes


def kept(world: SealedWorld) -> verify.Verified:
    """The first version, which the provider has."""
    found = verify.stored(world.folder / "at-north")
    assert found is not None
    return found


def _next(world: SealedWorld, *, rekeyed: bool = False) -> Next:
    before = kept(world)
    published = before.head
    assert published.seal is not None
    now = seal.keys_of(published.seal, published.state, world.north)
    fresh = Keys(bytes(range(32)), bytes(16) if rekeyed else now.name)
    names = [make_entry(f"planted-{at}.example", f"{at:016d}", category="abuse").line() for at in range(MANY)]
    lines = sorted([*(lines_of(before) if not rekeyed else []), *seal_all(names, fresh.name)], key=_digest)
    summary, plain = compressed(lines, world.folder)
    made = seal.make([keys.card_of(world.north, "north")], fresh, 1 + rekeyed, summary.state, APPEALS_KEY)
    head = replace(
        published, version=2, entries=summary.entries, state=summary.state, full_path=full_path(LIST, 2),
        full_size=summary.size, delta=None, seal=made,
    )  # fmt: skip
    return Next(head, fresh, lines, b"".join(stream.seal(fresh.file, [plain])), plain)


def _digest(line: bytes) -> bytes:
    return line[line.index(b'"digest"') :]


def _relined(one: Next, lines: list[bytes], folder: Path, *, announced: bool = True) -> None:
    """Other lines in the document; `announced`: and in the head."""
    summary, plain = compressed(lines, folder)
    one.full = b"".join(stream.seal(one.keys.file, [plain]))
    if announced and one.head.seal is not None:
        cards = [card for card in _CARDS if card.keyid == one.head.seal.recipients[0].keyid]
        made = seal.make(cards, one.keys, one.head.seal.name_key_number, summary.state, APPEALS_KEY)
        one.head = replace(one.head, state=summary.state, entries=summary.entries, full_size=summary.size, seal=made)


_CARDS: list[keys.Card] = []


def _chunks(one: Next) -> list[bytes]:
    step = stream.CHUNK + stream.TAG
    found = [one.full[at : at + step] for at in range(stream.NONCE, len(one.full), step)]
    assert len(found) > 1
    return found


def _cut(one: Next) -> None:
    one.full = one.full[: -len(_chunks(one)[-1])]


def _reordered(one: Next) -> None:
    first, second, *rest = _chunks(one)
    one.full = one.full[: stream.NONCE] + b"".join((second, first, *rest))


def _repeated(one: Next) -> None:
    first, *rest = _chunks(one)
    one.full = one.full[: stream.NONCE] + b"".join((first, first, *rest))


def _unsealed(one: Next) -> None:
    one.full = one.plain


def _stanza(one: Next) -> None:
    assert one.head.seal is not None
    (stanza,) = one.head.seal.recipients
    one.head = replace(one.head, seal=replace(one.head.seal, recipients=(replace(stanza, wrapped=bytes(48)),)))


def _foreign(one: Next) -> None:
    made = seal.make([_SOUTH], one.keys, 1, one.head.state, APPEALS_KEY)
    one.head = replace(one.head, seal=made)


def _nobody(one: Next) -> None:
    one.head = replace(one.head, seal=seal.make([], one.keys, 1, one.head.state, APPEALS_KEY))


def _name_key(one: Next) -> None:
    assert one.head.seal is not None
    one.head = replace(one.head, seal=replace(one.head.seal, name_key=bytes(32)))


def _readable(one: Next) -> None:
    one.head, one.full = replace(one.head, seal=None), one.plain


_SOUTH = keys.Card("south", bytes(range(32)))
BAD: list[tuple[Callable[[Next], None], str]] = [
    (_cut, "seal-broken"), (_reordered, "seal-broken"), (_repeated, "seal-broken"), (_unsealed, "seal-broken"),
    (_stanza, "seal-broken"), (_foreign, "not-a-recipient"), (_nobody, "not-a-recipient"),
    (_name_key, "seal-broken"), (_readable, "sealing"),
]  # fmt: skip


def refused(world: SealedWorld, reason: str, **options: Any) -> VerifyError:
    """The refusal, which has this reason, says no name and no digest, and leaves the last good version."""
    good = {path: path.read_bytes() for path in (world.folder / "at-north" / "verified").glob("[!.]*")}
    with pytest.raises(VerifyError) as refusal:
        world.fetch(state="at-north", **options)
    assert refusal.value.reason == reason, refusal.value
    assert good == {path: path.read_bytes() for path in (world.folder / "at-north" / "verified").glob("[!.]*")}
    told = f"{refusal.value} {refusal.value.hint}"
    assert "planted" not in told
    assert not [line for line in lines_of(kept(world)) if _digest(line)[10:42].decode() in told]
    return refusal.value


@pytest.mark.parametrize(("spoil", "reason"), BAD, ids=lambda one: getattr(one, "__name__", one))
def test_a_bad_version_is_refused_and_the_last_good_one_stays(
    world: SealedWorld, spoil: Callable[[Next], None], reason: str
) -> None:
    one = _next(world)
    spoil(one)
    world.forge_list({head_path(LIST): one.head.to_bytes(), one.head.full_path: one.full})
    refused(world, reason)


def test_other_lines_than_the_state_hash_names_are_refused(world: SealedWorld) -> None:
    one = _next(world)
    _relined(one, one.lines[1:], world.folder, announced=False)
    world.forge_list({head_path(LIST): one.head.to_bytes(), one.head.full_path: one.full})
    refused(world, "state-hash")


@pytest.mark.parametrize("rekeyed", [False, True])
def test_a_reference_keeps_its_entry_as_far_as_a_provider_can_see(world: SealedWorld, *, rekeyed: bool) -> None:
    _CARDS[:] = [keys.card_of(world.north, "north")]
    one, old = _next(world, rekeyed=rekeyed), lines_of(kept(world))[0]
    reference = old[old.index(b'"reference":"') :][:30]
    taken = one.lines[0][one.lines[0].index(b'"reference":"') :][:30]
    lines = [line for line in one.lines if reference not in line]
    lines = [line.replace(taken, reference) for line in lines]
    if rekeyed:
        lines = [
            line.replace(b'"match":"subtree"', b'"match":"exact"') if reference in line else line for line in lines
        ]
    _relined(one, lines, world.folder)
    world.forge_list({head_path(LIST): one.head.to_bytes(), one.head.full_path: one.full})
    refused(world, "reference-reuse")


def test_without_a_key_or_with_one_that_others_read_nothing_opens(world: SealedWorld, tmp_path: Path) -> None:
    one = _next(world)
    world.forge_list({head_path(LIST): one.head.to_bytes(), one.head.full_path: one.full})
    refused(world, "seal-key", opener=None)
    file = tmp_path / "sealed.key"
    keys.create(file)
    file.chmod(0o640)
    assert str(file) in str(refused(world, "seal-key", opener=verify.with_key(lambda: keys.load(file))))
    file.chmod(0o600)
    refused(world, "not-a-recipient", opener=verify.with_key(lambda: keys.load(file)))
    assert world.fetch(state="at-another").head.entries == MANY + len(NAMES)


def test_each_line_is_checked_where_somebody_asks_for_it(world: SealedWorld) -> None:
    verified = kept(world)
    good = lines_of(verified)
    document.check(verified.lines, expected=verified.head.summary(), bases=verified.head.bases, sealed=True)
    for bad in (
        [good[0], *good], [good[1], good[0]], [good[0], good[1].replace(_reference(good[1]), _reference(good[0]))],
        [good[0].replace(b"order-17", b"order-18")], [good[0].replace(b'"digest":"', b'"digest":"0')],
        [good[0].replace(b'"issued"', b'"impact":"x","issued"')], [make_entry("planted.example").line()],
        [good[0].upper()], [b"7\n"],
    ):  # fmt: skip
        summary = document.write_lines(world.folder / "bad.zst", bad)
        head = replace(verified.head, entries=summary.entries, state=summary.state, full_size=summary.size)
        with pytest.raises(document.DocumentError) as refusal:
            document.check(world.folder / "bad.zst", expected=head.summary(), bases=head.bases, sealed=True)
        assert "planted" not in str(refusal.value)


def _reference(line: bytes) -> bytes:
    return line[line.index(b'"reference":"') :][13:29]
