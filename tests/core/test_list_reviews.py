"""What the core says of a change, held to an oracle that reads entries one by one; and what it refuses."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from blocklists import delta, document, impact
from blocklists.entry import Entry, parse
from blocklists.issuer import names as sealed_names
from blocklists.issuer.review import Meaning
from resolver import _core
from tests.rigs.issuer_world import make_entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from blocklists.issuer.names import Listing

BREADTH = {("exact", "subtree"), ("below", "subtree"), ("exact", "below"), ("below", "exact")}
PAIRS = ("widened", "narrowed", "prolonged", "shortened", "reworded")
POPULAR = ("www.b.example", "c.example", "x.github.io")
SUBTREE = make_entry("a.example", "A" * 16)


@st.composite
def entries(draw: st.DrawFn) -> list[Entry]:
    """Some entries of few names: under references that stand for the same name, match and basis in every draw."""
    names = ("a.example", "b.example", "www.b.example", "c.example", "github.io", "co.uk", "example")
    drawn = draw(
        st.lists(
            st.tuples(
                st.sampled_from(names), st.sampled_from(["exact", "subtree", "below"]),
                st.sampled_from(["order-17", "order-18"]), st.sampled_from("01"),
                st.sampled_from(["gambling", "fraud"]),
                st.sampled_from(["2027-11-22T12:00:00Z", "2028-01-01T00:00:00Z"]),
            ),
            max_size=14, unique_by=lambda one: one[:4],
        )
    )  # fmt: skip
    bonds = [(name, match, basis, number) for name in names for match in ("exact", "subtree", "below")
             for basis in ("order-17", "order-18") for number in "01"]  # fmt: skip
    return document.in_order(
        make_entry(name, f"{bonds.index((name, match, basis, number)):016d}", match, basis=basis, category=category,
                   expires=expires)
        for name, match, basis, number, category, expires in drawn
    )  # fmt: skip


def stored(lines: Iterable[bytes]) -> tuple[Listing, document.Summary]:
    listing = sealed_names.in_memory()
    return listing, document.write_lines(listing.path, lines)


def lines_of(some: Iterable[Entry]) -> list[bytes]:
    return [entry.line() for entry in some]


def expected(steps: Iterable[tuple[bytes, bytes]], off: set[str]) -> dict[str, list[Any]]:
    """By kind, in order: with dictionaries, over all entries at once."""
    sides: dict[bytes, dict[str, Entry]] = {delta.REMOVED: {}, delta.ADDED: {}}
    for sign, line in steps:
        sides[sign][parse(line).reference] = parse(line)
    gone, come = sides[delta.REMOVED], sides[delta.ADDED]
    found: dict[str, list[Any]] = {kind: [] for kind in PAIRS}
    found["withdrawn"] = [come.get(one) or gone[one] for one in sorted((gone.keys() | come.keys()) & off)]
    for one in off:
        gone.pop(one, None)
        come.pop(one, None)
    for one in sorted(gone.keys() & come.keys()):
        old, new = gone.pop(one), come.pop(one)
        kind = "prolonged" if new.expires > old.expires else "shortened" if new.expires < old.expires else "reworded"
        found[kind].append((old, new))
    going = {(entry.name, entry.basis): entry for entry in gone.values()}
    for new in list(come.values()):
        was = going.get((new.name, new.basis))
        if was is not None and was.match != new.match:
            del come[new.reference], gone[was.reference], going[new.name, new.basis]
            found["widened" if (was.match, new.match) in BREADTH else "narrowed"].append((was, new))
    found["added"] = sorted(come.values(), key=Entry.order)
    found["removed"] = sorted(gone.values(), key=Entry.order)
    return found


@given(entries(), entries(), st.sets(st.integers(0, 83), max_size=6), st.sampled_from([0, 1, 3, None]))
def test_each_change_is_of_the_kind_that_an_oracle_finds(
    old: list[Entry], new: list[Entry], off: set[int], limit: int | None
) -> None:
    withdrawn = {f"{number:016d}" for number in off}
    steps = list(delta.difference(lines_of(old), lines_of(new)))
    step, summary = stored(sign + line for sign, line in steps)
    attention = impact.attention(popular=POPULAR, withdrawn=withdrawn, limit=limit)
    reviewed = _core.review_step(step.path, summary.size, attention)
    wanted = expected(steps, withdrawn)
    meaning = Meaning.of(reviewed)
    for kind, items in wanted.items():
        found = getattr(meaning, kind)
        assert (found.count, list(found.first)) == (len(items), items[:limit]), kind
    come = Counter(entry.basis for entry in [*wanted["added"], *(new for _, new in wanted["widened"])])
    gone = Counter(entry.basis for entry in [*wanted["removed"], *(new for _, new in wanted["narrowed"])])
    assert meaning.by_basis == {basis: (come[basis], gone[basis]) for basis in come.keys() | gone.keys()}
    pairs = [*wanted["widened"], *wanted["prolonged"]]
    coming = [*wanted["added"], *(after for _, after in pairs)]
    noted = [parse(line) for line in reviewed.noted]
    assert list(impact.preview(noted, popular=POPULAR)) == list(impact.preview(coming, popular=POPULAR))
    (before, was), (after, becomes) = stored(lines_of(old)), stored(lines_of(new))
    beside = _core.review_difference(before.path, after.path, becomes.size, attention)
    assert (beside.kinds, beside.by_basis, beside.noted) == (reviewed.kinds, reviewed.by_basis, reviewed.noted)
    followed = _core.follow_step(
        (before.path, was.size), (step.path, summary.size), reviewed, size=becomes.size,
        bases=["order-17", "order-18"], withdrawn=list(withdrawn), counted=True,
    )  # fmt: skip
    assert (followed.entries, followed.size, followed.state) == (becomes.entries, becomes.size, becomes.state)
    in_force = Counter(entry.basis for entry in new if entry.reference not in withdrawn)
    assert followed.bases == in_force
    unseen = _core.follow_step(
        (before.path, was.size), (step.path, summary.size), reviewed, size=becomes.size,
        bases=["order-17", "order-18"], counted=False,
    )  # fmt: skip
    assert unseen.state == becomes.state
    whole = document.check(
        after.path, expected=becomes, bases={"order-17", "order-18"}, withdrawn=withdrawn, attention=attention
    )
    assert whole.bases == in_force
    assert whole.review is not None
    assert whole.review.kinds["added"][0] == len(new)


def test_of_a_long_list_few_changes_lead_to_the_same_state_as_a_new_document() -> None:
    many = document.in_order(make_entry(f"n{number}.example", f"{number:016d}") for number in range(20_000))
    gone = {many[number].reference for number in (0, 1, 700, 9_999, 19_999)}
    fresh = [make_entry(f"{name}.example", f"{30_000 + at:016d}") for at, name in enumerate(("0", "n77-more", "zz"))]
    new = document.in_order([*(entry for entry in many if entry.reference not in gone), *fresh])
    (before, was), (_, becomes) = stored(lines_of(many)), stored(lines_of(new))
    step, summary = stored(sign + line for sign, line in delta.difference(lines_of(many), lines_of(new)))
    for counted in (False, True):
        reviewed = _core.review_step(step.path, summary.size, impact.attention(limit=2))
        found = _core.follow_step(
            (before.path, was.size), (step.path, summary.size), reviewed, size=becomes.size, bases=["order-17"],
            counted=counted,
        )  # fmt: skip
        assert (found.entries, found.size, found.state) == (becomes.entries, becomes.size, becomes.state)
        assert found.bases == ({"order-17": becomes.entries} if counted else {})


OLD = [make_entry(f"{name}.example", f"{at:016d}") for at, name in enumerate("acegi")]
LONGER = replace(OLD[1], expires="2028-11-22T12:00:00Z")


def prolonged(name: str) -> list[tuple[bytes, bytes]]:
    """Of an entry under one reference, whatever its name."""
    entry = make_entry(name, f"{7:016d}")
    return [(delta.REMOVED, entry.line()), (delta.ADDED, replace(entry, expires=LONGER.expires).line())]


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([b"-" + make_entry("b.example", "B" * 16).line()], "is not there"),
        ([b"-" + make_entry("z.example", "B" * 16).line()], "is not there"),
        ([b"-" + make_entry("c.example", f"{1:016d}", category="fraud").line()], "is not there"),
        ([b"+" + OLD[1].line()], "stands twice|reference stands"),
        ([b"+" + make_entry("b.example", f"{3:016d}").line()], "0003 stands twice"),
        (
            [b"+" + make_entry("b.example", "B" * 16).line(), b"+" + make_entry("d.example", "B" * 16).line()],
            "stands twice",
        ),
        ([b"+" + make_entry("d.example", "B" * 16).line(), b"+" + make_entry("b.example", "C" * 16).line()], "line 2"),
        ([b"+" + SUBTREE.line(), b"-" + SUBTREE.line()], "line 2"),
        ([b"+" + make_entry("b.example", "B" * 16, basis="order-99").line()], "order-99, a basis"),
        ([b"-" + OLD[1].line(), b"+" + make_entry("d.example", OLD[1].reference).line()], "stood for another"),
        ([b"-" + OLD[1].line(), b"+" + make_entry("c.example", OLD[1].reference, "exact").line()], "line 2|another"),
        (
            [b"-" + OLD[1].line(), b"+" + LONGER.line(), b"+" + make_entry("d.example", OLD[1].reference).line()],
            "0001 stood for another",
        ),
        (
            [b"-" + OLD[1].line(), b"+" + LONGER.line(), b"+" + replace(LONGER, name="c.c.example").line()],
            "0001 stood for another",
        ),
        ([sign + line for at in "ab" for sign, line in prolonged(f"{at}.example")], "0007 stands twice"),
        ([b"*" + make_entry("b.example", "B" * 16).line()], "neither a line that goes"),
        ([b"+" + make_entry("b.example", "B" * 16).line().upper()], "not a canonical line"),
        ([b"\n"], "neither a line that goes"),
        ([b"+" + make_entry(f"{at}.big.example", f"{100 + at:016d}").line() for at in range(9)], "than was announced"),
    ],
)  # fmt: skip
def test_a_step_that_breaks_a_rule_is_refused(steps: Sequence[bytes], reason: str) -> None:
    (before, was), (step, summary) = stored(lines_of(OLD)), stored(steps)
    with pytest.raises(_core.ListError, match=reason):
        _core.follow_step(
            (before.path, was.size), (step.path, summary.size),
            _core.review_step(step.path, summary.size, impact.attention(limit=2)), size=was.size + 1000,
            bases=["order-17"], counted=False,
        )  # fmt: skip


@pytest.mark.parametrize("others", [0, 12])
def test_a_reference_that_stands_already_is_seen_whether_few_come_or_many(others: int) -> None:
    more = [make_entry(f"n{at:02}.example", f"{100 + at:016d}") for at in range(others)]
    come = [make_entry("b.example", OLD[3].reference), *more]
    (before, was), (step, summary) = stored(lines_of(OLD)), stored(b"+" + entry.line() for entry in come)
    reviewed = _core.review_step(step.path, summary.size, impact.attention(limit=2))
    with pytest.raises(_core.ListError, match="0003 stands twice"):
        _core.follow_step(
            (before.path, was.size), (step.path, summary.size), reviewed, size=was.size + 9_000, bases=["order-17"],
            counted=False,
        )  # fmt: skip


def test_more_entries_of_one_name_than_any_provider_takes_are_refused() -> None:
    for sign in (b"+", b"-"):
        lines = [sign + make_entry("a.example", f"{at:016d}").line() for at in range(18)]
        step, summary = stored([*lines, b"no sign\n"])  # which comes after what is one too many
        with pytest.raises(_core.ListError, match="more than 16 entries"):
            _core.review_step(step.path, summary.size, impact.attention(limit=2))


def leads(old: Sequence[bytes], steps: Sequence[bytes], more: bytes = b"") -> document.Summary:
    """What a step leads to; `more` comes after the old document in its file."""
    (before, was), (step, summary) = stored(old), stored(steps)
    before.path.write_bytes(before.path.read_bytes() + more)
    reviewed = _core.review_step(step.path, summary.size, impact.attention(limit=2))
    found = _core.follow_step(
        (before.path, was.size), (step.path, summary.size), reviewed, size=1 << 32, bases=["order-17"], counted=False
    )
    return document.Summary(found.entries, found.size, found.state)


@pytest.mark.parametrize("others", [0, 5, 4000])
@pytest.mark.parametrize("at", [0, 8, 16])
def test_one_entry_more_than_any_provider_takes_is_refused_wherever_it_comes(others: int, at: int) -> None:
    before, after = (
        [make_entry(f"n{number:04}.{top}", f"{number:015d}{top[0].upper()}") for number in range(others)]
        for top in ("app", "net")
    )
    crowd = [make_entry("crowd.example", f"{number:016d}") for number in range(17)]
    come = crowd.pop(at)
    others_too = [b"+" + make_entry("a.app", "B" * 16).line(), b"+" + make_entry("zzz.net", "C" * 16).line()]
    step = [others_too[0], b"+" + come.line(), others_too[1]]
    with pytest.raises(_core.ListError, match=r"crowd\.example has more than 16 entries"):
        leads(lines_of([*before, *crowd, *after]), step)
    # one that goes makes room, whichever comes first
    for gone in (crowd[0], crowd[-1]):
        changes = sorted(((delta.order(one.line()), sign + one.line()) for sign, one in ((b"-", gone), (b"+", come))))
        new = lines_of(sorted([*before, *(one for one in crowd if one is not gone), come, *after], key=Entry.order))
        assert leads(lines_of([*before, *crowd, *after]), [line for _, line in changes]) == document.summarise(new)


def test_a_name_in_which_nothing_changes_is_not_judged_again() -> None:
    crowd = [make_entry("crowd.example", f"{number:016d}").line() for number in range(17)]
    come = make_entry("a.crowd.example", "B" * 16).line(), make_entry("b.app", "C" * 16).line()
    steps = [b"+" + come[1], b"+" + come[0]]
    assert leads(crowd, steps) == document.summarise([come[1], *crowd, come[0]])


@pytest.mark.parametrize("more", [b"x", zstandard.ZstdCompressor().compress(b"x\n")])
def test_what_comes_after_the_old_document_in_its_file_is_refused(more: bytes) -> None:
    step = [b"+" + make_entry("z.example", "B" * 16).line()]
    assert leads(lines_of(OLD), step).entries == 6
    with pytest.raises(_core.ListError, match=r"not a whole zstd file|more octets"):
        leads(lines_of(OLD), step, more)
