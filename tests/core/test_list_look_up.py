"""The compiled list against a plain dictionary of names: generated ones, and the real lists."""

from __future__ import annotations

import random
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocklists.entry import Entry, is_name
from resolver import _core
from tests.rigs.list_documents import BASES, entry, numbered, write

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from blocklists.entry import Match


def source(path: Path, suspended: Sequence[str] = ()) -> _core.Source:
    return {"document": str(path), "action": "stop-page", "ede": 16, "bases": BASES, "suspended": suspended}


def compiled(folder: Path, *lists: Iterable[Entry], suspended: Sequence[str] = ()) -> _core.CompiledList:
    sources = []
    for number, entries in enumerate(lists):
        path = folder / f"{number}.zst"
        write(path, entries)
        sources.append(source(path, suspended))
    _core.compile(sources, folder / "compiled", b'{"generation":1}')
    return _core.CompiledList.open(folder / "compiled")


def counted(found: _core.CompiledList, queries: Iterable[str]) -> list[int]:
    """For each name, how many names at or above it are listed."""
    return [len({match.row for match in found.look_up(query)}) for query in queries]


def ancestors(name: str) -> list[str]:
    """The name and all above it, the name first."""
    labels = name.split(".")
    return [".".join(labels[start:]) for start in range(len(labels))]


label = st.one_of(
    st.text("ab", min_size=1, max_size=3),
    st.from_regex(r"[a-z0-9_]{1,10}", fullmatch=True),
    st.sampled_from(["www", "casino", "xn--bcher-kva", "a" * 63, "a" * 62 + "b"]),
)
names = st.lists(label, min_size=1, max_size=5).map(".".join).map(lambda name: f"{name}.test"[-253:]).filter(is_name)
matches: st.SearchStrategy[Match] = st.sampled_from(["exact", "subtree", "below"])


@given(
    st.lists(st.dictionaries(names, matches, max_size=60), min_size=1, max_size=4),
    st.lists(names, max_size=20),
)
@settings(deadline=None, max_examples=60)
def test_every_listed_ancestor_is_found_and_nothing_else(lists: list[dict[str, Match]], others: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = compiled(
            Path(folder),
            *[[entry(name, 1000 * at + number, match) for number, (name, match) in enumerate(one.items())]
              for at, one in enumerate(lists)],
        )  # fmt: skip
    listed = {name for one in lists for name in one}
    assert found.rows == len(listed)
    assert found.entries == sum(map(len, lists))
    beside = [f"{before}{name}" for name in listed for before in ("www.", "x")]
    for query in filter(is_name, [*others, *listed, *beside]):
        met = [(match.name, match.list, match.match, match.distance) for match in found.look_up(query)]
        expected = [
            (name, at, one[name], distance)
            for distance, name in enumerate(ancestors(query))
            for at, one in enumerate(lists)
            if name in one
        ]
        assert met == expected


@pytest.mark.needs("data")
def test_the_real_names_are_all_found_and_popular_ones_only_as_the_dictionary_says(
    real_names: list[str], popular_names: list[str], tmp_path: Path
) -> None:
    listed = {name for name in real_names if is_name(name)}
    assert len(listed) > 170_000
    found = compiled(tmp_path, (entry(name, number) for number, name in enumerate(sorted(listed))))
    assert found.rows == len(listed)
    near = [near for name in listed for near in (f"www.{name}", name[1:], name[:-1]) if is_name(near)]
    queries = [*listed, *near, *(name for name in popular_names if re.fullmatch(r"[a-z0-9._-]+", name))]
    expected = [sum(name in listed for name in ancestors(query)) for query in queries]
    assert counted(found, queries) == expected
    for name in random.Random(1).sample(sorted(listed), 500):
        best = found.look_up(f"a.b.{name}")[0]
        assert (best.name, best.distance, best.action, best.ede) == (name, 2, "stop-page", 16)
    sample = found.sample(1000, 7)
    assert set(sample) <= listed
    assert len(set(sample)) > 900
    assert sample == found.sample(1000, 7)
    assert found.hot_bytes < 11 * found.rows


def test_an_entry_comes_back_with_all_that_its_document_said(tmp_path: Path) -> None:
    found = compiled(
        tmp_path,
        [entry("example.com", 1, "below", expires="2027-01-01T00:00:00Z", basis="order-18", category="fraud")],
        [entry("example.com", 2, "exact"), entry("example.com", 3, "subtree")],
    )
    assert found.meta == b'{"generation":1}'
    match, *others = found.look_up("Deep.WWW.Example.COM.")
    assert (match.name, match.match, match.list, match.distance) == ("example.com", "below", 0, 2)
    assert (match.basis, match.category, match.reference) == ("order-18", "fraud", numbered(1))
    assert (match.issued, match.expires) == (1795305600, 1798761600)
    assert [(other.list, other.match, other.reference) for other in others] == [
        (1, "exact", numbered(2)),
        (1, "subtree", numbered(3)),
    ]


def test_a_suspended_entry_is_left_out_and_its_neighbours_stay(tmp_path: Path) -> None:
    entries = [entry("example.com", 1), entry("example.com", 2, "exact"), entry("example.org", 3)]
    found = compiled(tmp_path, entries, suspended=[numbered(1), numbered(3)])
    assert (found.rows, found.entries) == (1, 1)
    assert [match.reference for match in found.look_up("example.com")] == [numbered(2)]
    assert found.look_up("example.org") == []
    summary = _core.compile([source(tmp_path / "0.zst", [numbered(9)])], tmp_path / "again", b"")
    assert (summary.entries, summary.names, summary.suspended) == (3, 2, 0)
    assert summary.bytes == (tmp_path / "again").stat().st_size


def test_sixteen_lists_answer_as_one_does(tmp_path: Path) -> None:
    everything = [entry(f"{number % 40}.host{number}.example", number) for number in range(1600)]
    one = compiled(tmp_path, everything)
    sixteen = compiled(tmp_path, *(everything[at::16] for at in range(16)))
    queries = [item.name for item in everything] + [f"x.{item.name}" for item in everything] + ["host1.example"]
    assert counted(one, queries) == counted(sixteen, queries)
    assert {match.list for item in everything for match in sixteen.look_up(item.name)} == set(range(16))


NO_NAMES = ["..", "example..com", "a" * 64 + ".example.com", "x." * 130 + "example.com"]


@pytest.mark.parametrize("text", NO_NAMES)
def test_text_that_is_no_name_is_refused(tmp_path: Path, text: str) -> None:
    found = compiled(tmp_path, [entry("example.com", 1)])
    with pytest.raises(_core.CoreError, match="is not a name"):
        found.look_up(text)


def test_odd_names_are_looked_up(tmp_path: Path) -> None:
    found = compiled(tmp_path, [entry("example.com", 1)])
    assert [found.look_up(text) for text in ("", ".", "exämple.com")] == [[], [], []], "the root, and octets"
    assert [match.distance for match in found.look_up("\x01.example.com")] == [1]
    assert found.look_up("a\x01example.com") == []


def test_no_list_and_empty_lists_compile_to_nothing(tmp_path: Path) -> None:
    assert compiled(tmp_path).look_up("example.com") == []
    empty = compiled(tmp_path, [], [])
    assert (empty.rows, empty.entries, empty.sample(3, 1)) == (0, 0, [])
    assert empty.look_up("example.com") == []


def test_a_damaged_file_is_refused_wherever_it_is_damaged(tmp_path: Path) -> None:
    compiled(tmp_path, [entry(f"host{number}.example", number) for number in range(500)])
    path = tmp_path / "compiled"
    whole = path.read_bytes()
    chance = random.Random(3)
    for start in range(0, len(whole), 64):
        damaged = bytearray(whole)
        damaged[min(start + chance.randrange(64), len(whole) - 1)] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(_core.ListError) as refused:
            _core.CompiledList.open(path)
        assert refused.value.kind in ("damaged", "format")
        assert str(path) in str(refused.value)
    for end in range(0, len(whole), 97):
        path.write_bytes(whole[:end])
        with pytest.raises(_core.ListError):
            _core.CompiledList.open(path)
    with pytest.raises(_core.ListError, match="unreadable"):
        _core.CompiledList.open(tmp_path / "nowhere")


def test_a_refused_document_leaves_the_old_file_alone(tmp_path: Path) -> None:
    compiled(tmp_path, [entry("example.com", 1)])
    before = (tmp_path / "compiled").read_bytes()
    bad = tmp_path / "bad.zst"
    write(bad, [entry("example.com", 1, basis="order-99")])
    with pytest.raises(_core.ListError, match=r"bad\.zst.*order-99") as refused:
        _core.compile([source(tmp_path / "0.zst"), source(bad)], tmp_path / "compiled", b"")
    assert (refused.value.kind, refused.value.line) == ("no-basis", 1)
    assert (tmp_path / "compiled").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.zst", "bad.zst", "compiled"]


def test_a_link_where_the_file_is_made_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("of somebody else")
    (tmp_path / "compiled.new").symlink_to(tmp_path / "key")
    assert compiled(tmp_path, [entry("example.com", 1)]).entries == 1
    assert (tmp_path / "key").read_text() == "of somebody else"
    assert not (tmp_path / "compiled").is_symlink()
