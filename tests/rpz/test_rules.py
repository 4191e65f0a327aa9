"""The rules of a zone against the verdict: by both ways in which resolvers look into a policy zone."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from resolver import _core
from resolver.policy import exceptions
from resolver.policy.exceptions import NameException
from tests.rigs.list_documents import BASES, entry, write
from tests.rigs.zone_rules import above, by_closest_encloser, by_every_ancestor, rules

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = 1_796_083_200  # 2026-12-01; what has not lapsed does so a year after it was issued
Action = Literal["stop-page", "nxdomain", "nodata", "refused", "monitor"]
Kind = Literal["exact", "subtree", "below"]
Listed = dict[tuple[str, Kind], bool]
"""By name and kind: has it lapsed?"""


def compiled(folder: Path, lists: Sequence[tuple[Action, Listed]]) -> _core.CompiledList:
    sources: list[_core.Source] = []
    for at, (action, entries) in enumerate(lists):
        path = folder / f"{at}.zst"
        made = [
            entry(name, 1000 * at + number, kind, expires="2026-11-30T00:00:00Z" if lapsed else "2027-11-22T00:00:00Z")
            for number, ((name, kind), lapsed) in enumerate(entries.items())
        ]
        write(path, made)
        sources.append({"document": str(path), "action": action, "ede": 0, "bases": BASES, "suspended": []})
    _core.compile(sources, folder / "compiled", b"{}")
    return _core.CompiledList.open(folder / "compiled")


def verdict(lists: Sequence[tuple[Action, Listed]], let: Sequence[NameException], mask: int, name: str) -> str | None:
    """As `explain` words it: a pass, then the lists in order, then the most specific entry."""
    if any(one.covers(name) for one in let):
        return None
    for at, (action, entries) in enumerate(lists):
        if action == "monitor" or not mask >> at & 1:
            continue
        for (listed, kind), lapsed in entries.items():
            if not lapsed and NameException(listed, kind, 0).covers(name):
                return action
    return None


names = st.lists(st.sampled_from("abc"), min_size=1, max_size=5).map(".".join).map("{}.test".format)
kinds: st.SearchStrategy[Kind] = st.sampled_from(get_args(Kind))
actions: st.SearchStrategy[Action] = st.sampled_from(get_args(Action))
listed = st.dictionaries(st.tuples(names, kinds), st.sampled_from([False, False, False, True]), max_size=8)


@given(
    st.lists(st.tuples(actions, listed), min_size=1, max_size=4),
    st.lists(st.builds(NameException, names, kinds, st.just(exceptions.FOR_EVER)), max_size=3),
    st.integers(0, 15),
    st.lists(names, max_size=20),
)
@settings(deadline=None, max_examples=300)
def test_both_ways_of_looking_into_the_zone_come_to_the_verdict(
    lists: list[tuple[Action, Listed]], let: list[NameException], mask: int, others: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rules"
        written = compiled(Path(folder), lists).write_policies(
            path, lists=mask, exceptions=[(one.name, one.match, one.until) for one in let], now=NOW, room=200
        )
        owners = rules(path)
    assert written.owners == len(owners)
    assert written.unsayable == 0
    asked = {name for _, entries in lists for name, _ in entries} | {one.name for one in let} | set(others)
    for name in {part for base in asked for part in (base, f"z.{base}", f"a.z.{base}", *above(base))}:
        right = verdict(lists, let, mask, name)
        assert by_closest_encloser(owners, name) == right, name
        assert by_every_ancestor(owners, name) == right, name


def test_a_name_that_does_not_fit_is_told_and_the_rest_is_said(tmp_path: Path) -> None:
    long = ".".join(["a" * 60] * 3 + ["test"])
    opened = compiled(
        tmp_path, [("nxdomain", {(long, "subtree"): False, ("rpz-ip", "subtree"): False, ("b.test", "exact"): False})]
    )
    written = opened.write_policies(tmp_path / "rules", lists=1, exceptions=[], now=NOW, room=len(long))
    assert rules(tmp_path / "rules") == {long: "x", "b.test": "x"}
    assert (written.unsayable, set(written.told)) == (3, {f"*.{long}", "rpz-ip", "*.rpz-ip"})


def test_the_next_end_of_an_entry_or_a_pass_is_known(tmp_path: Path) -> None:
    opened = compiled(tmp_path, [("nxdomain", {("b.test", "exact"): False})])
    written = opened.write_policies(tmp_path / "rules", lists=1, exceptions=[], now=NOW, room=200)
    assert written.next == 1_826_841_600  # 2027-11-22
    written = opened.write_policies(
        tmp_path / "rules", lists=1, exceptions=[("b.test", "exact", NOW + 60)], now=NOW, room=200
    )
    assert (written.next, written.names) == (NOW + 60, 0)


def test_changes_between_two_zones_name_each_name_once(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("a.test sx\nb.a.test s-\nc.test n-\n")
    new.write_text("b.a.test p-\nc.test n-\nd.test ss\n")
    assert _core.policy_changes(old, new, 10) == [("a.test", "sx", ""), ("b.a.test", "s-", "p-"), ("d.test", "", "ss")]
    assert _core.policy_changes(old, new, 2) is None
