"""A sealed list stops exactly what the plain list of the same names stops: every match, views, exceptions, expiry."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

import pytest

from resolver import _core
from tests.rigs.list_documents import BASES, entry, numbered, write
from tests.rigs.plane import STOP_PAGE, Upstream, query, rig
from tests.rigs.sealed_lists import NAME_KEY, write_sealed

if TYPE_CHECKING:
    from pathlib import Path

    from blocklists.entry import Entry, Match

MATCHES: tuple[Match, ...] = ("exact", "subtree", "below")
KEYS = (NAME_KEY, NAME_KEY[::-1])
NOW = 1_800_000_000  # January 2027
DATES = ("2026-12-01T00:00:00Z", "2027-06-01T00:00:00Z", "2028-01-01T00:00:00Z")


def some_name(chance: random.Random) -> str:
    """Names that crowd together, of 1 to 127 labels."""
    if chance.random() < 0.1:
        return ".".join(["a"] * chance.choice([100, 125, 126, 127]))
    label = ["a", "b", "ab", "x" * 7, "y" * 8, "z" * 63, "_8443", "_https"]
    top = chance.choice(["com", "a", "longtopleveldomain"])
    labels = chance.choices(label, k=chance.randrange(6))
    while len(".".join([*labels, top])) > 253:
        labels.pop()
    return ".".join([*labels, top])


def compiled(
    folder: Path, lists: list[list[Entry]], actions: list[str], off: list[str], *, is_sealed: bool
) -> _core.CompiledList:
    """Three lists; the middle one is always readable, the others are sealed or not. `off`: references of entries that
    a relief takes off."""
    sources: list[_core.Source] = []
    for at, entries in enumerate(lists):
        path, key = folder / f"{at}-{is_sealed}.zst", KEYS[at // 2]
        seal = is_sealed and at != 1
        if seal:
            write_sealed(path, entries, key)
        else:
            write(path, entries)
        check = _core.sealed_digest(key, ".") if seal else None
        source = {
            "document": str(path),
            "action": actions[at],
            "ede": 15,
            "bases": BASES,
            "suspended": [one.reference for one in entries if one.reference in off],
            "seal": check,
        }
        sources.append(source)  # type: ignore[arg-type]
    output = folder / f"{is_sealed}.list"
    _core.compile(sources, output, b"{}")
    made = _core.CompiledList.open(output)
    if is_sealed:
        made.unseal(0, bytearray(KEYS[0]))
        made.unseal(2, bytearray(KEYS[1]))
    return made


def said(judgement: _core.Judgement) -> tuple[object, ...]:
    """All of a verdict but the names and rows of entries."""

    def of(match: _core.Match | None) -> object:
        return match and (match.list, match.match, match.reference, match.distance, match.expires, match.action)

    entries = [(of(match), does) for match, does in judgement.entries]
    return of(judgement.stop), of(judgement.monitored), judgement.excused, entries


@pytest.mark.parametrize("seed", range(12))
def test_sealed_verdicts_are_those_of_the_plain_list(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    lists: list[list[Entry]] = []
    number = 0
    for _ in range(3):
        names = {some_name(chance) for _ in range(chance.choice([1, 30, 200]))}
        entries = []
        for name in names:
            for match in chance.sample(MATCHES, chance.randrange(1, 4)):
                entries.append(entry(name, number, match, expires=chance.choice(DATES)))
                number += 1
        lists.append(entries)
    actions = chance.choices(["stop-page", "nxdomain", "monitor"], k=3)
    everything = [one for entries in lists for one in entries]
    off = [one.reference for one in chance.sample(everything, len(everything) // 5)]
    plain = compiled(tmp_path, lists, actions, off, is_sealed=False)
    sealed = compiled(tmp_path, lists, actions, off, is_sealed=True)
    listed = [one.name for one in everything]
    asked = [*listed, *(f"www.{name}" for name in listed if len(name) < 249), *(some_name(chance) for _ in range(300))]
    asked += [name.partition(".")[2] for name in listed if "." in name]
    passes = [(chance.choice(listed), chance.choice(MATCHES), NOW + chance.choice([-5, 5])) for _ in range(4)]
    exceptions = _core.Exceptions(passes, False, chance.choice([0, 1, 4]))
    for name in asked:
        view = chance.choice([7, 7, 1, 2, 4, 6])
        meant, got = (said(_core.verdict(one, name, exceptions, view, NOW)) for one in (plain, sealed))
        assert got == meant, name


def test_a_recorder_of_blocked_answers_gets_none_of_a_sealed_list(tmp_path: Path) -> None:
    lists = [[entry("planted.example", 1)], [entry("casino.example", 2)], [entry("other.example", 3)]]
    upstream = Upstream()
    with rig(upstream, tap={"identity": "here", "version": "1", "client_addresses": False}) as r:
        r.plane.set_list(compiled(tmp_path, lists, ["stop-page"] * 3, [], is_sealed=True))
        for name in ("planted.example", "www.casino.example", "www.other.example"):
            assert str(r.ask(query(name)).rr[0].rdata) == STOP_PAGE
        frames = r.plane.take_tap()
        assert (r.count("blocked"), r.count("tap_frames"), r.count("tap_dropped")) == (3, 1, 0)
        assert b"casino" in frames
        assert b"planted" not in frames
        assert numbered(1).encode() not in frames


def test_a_list_without_its_key_finds_nothing_and_another_key_is_refused(tmp_path: Path) -> None:
    write_sealed(tmp_path / "0.zst", [entry("a.example", 1)])
    source: _core.Source = {
        "document": str(tmp_path / "0.zst"), "action": "stop-page", "ede": 15, "bases": BASES, "suspended": [],
        "seal": _core.sealed_digest(NAME_KEY, "."),
    }  # fmt: skip
    _core.compile([source], tmp_path / "list", b"{}")
    opened = _core.CompiledList.open(tmp_path / "list")
    assert opened.look_up("a.example") == []
    wrong = bytearray(NAME_KEY[::-1])
    with pytest.raises(_core.ListError, match="not the key") as refusal:
        opened.unseal(0, wrong)
    assert refusal.value.kind == "key"
    assert wrong == bytearray(16), "the caller's copy is wiped"
    with pytest.raises(_core.ListError, match="not sealed"):
        opened.unseal(1, bytearray(NAME_KEY))
    opened.unseal(0, bytearray(NAME_KEY))
    (found,) = opened.look_up("www.a.example")
    assert (found.name, found.distance) == ("", 1)
    assert opened.find({found.reference})[0].row == found.row
    assert b"a.example" not in (tmp_path / "list").read_bytes()
    assert NAME_KEY not in (tmp_path / "list").read_bytes()


@pytest.mark.parametrize("change", [
    lambda lines: [lines[0], lines[0]],
    lambda lines: lines[::-1],
    lambda lines: [lines[0].replace(b'"digest":"', b'"digest":"A', 1)],
    lambda lines: [lines[0].replace(b'"issued"', b'"impact":"planted.example","issued"', 1)],
    lambda lines: [entry("planted.example", 1).line()],
])  # fmt: skip
def test_what_is_no_sealed_document_is_refused_without_its_words(tmp_path: Path, change: object) -> None:
    from tests.rigs.list_documents import write_lines
    from tests.rigs.sealed_lists import digest_line

    lines = sorted(digest_line(entry(name, at), NAME_KEY) for at, name in enumerate(["a.example", "b.example"]))
    lines.sort(key=lambda line: line.partition(b'"digest":"')[2])
    write_lines(tmp_path / "0.zst", change(lines))  # type: ignore[operator]
    source: _core.Source = {
        "document": str(tmp_path / "0.zst"), "action": "stop-page", "ede": 15, "bases": BASES, "suspended": [],
        "seal": bytes(16),
    }  # fmt: skip
    with pytest.raises(_core.ListError) as refusal:
        _core.compile([source], tmp_path / "list", b"{}")
    assert "planted" not in str(refusal.value)
    assert not re.search("[0-9a-f]{32}", str(refusal.value))
