"""The provider's desk: what waits, what may be decided here, what is said to whom, and harmless text."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner

from blocklists import bundle
from blocklists.text import shown
from resolver.cli.main import stopsign
from resolver.ipc import control
from resolver.portal import desk
from resolver.portal.desk import DeskError, by_entry, cell, left, may_decide, reminder, to_remind
from resolver.portal.store import Appeal, NewAppeal, Store
from tests.rigs.portal_world import NOW, REFERENCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OTHER = "8ZK3M9Q2XW4T8RBC"
ONE = Appeal(
    id="A-1", reference=REFERENCE, name="example.com", list="gambling", role="owner", ground="lawful", language="de",
    received=NOW, due=NOW + 14 * 86400, suspends=True,
    forwarded=None, reminded=None, suspended=None, closed=None,
    outcome=None, decided_by=None, reasons=None, erased=None, reason="Es ist mein Laden.", contact="me@shop.example",
    share_contact=False,
)  # fmt: skip


def test_appeals_are_grouped_by_entry_with_the_nearest_deadline_first() -> None:
    flood = [replace(ONE, id=f"A-{n}", due=NOW + 900_000 + n) for n in range(50)]
    urgent = replace(ONE, id="A-99", reference=OTHER, due=NOW + 10)
    done = replace(ONE, id="A-98", reference="9ZK3M9Q2XW4T8RBC", due=NOW - 5, closed=NOW)
    entries = by_entry([*flood, done, urgent])
    assert [(e.reference, len(e.appeals)) for e in entries] == [(OTHER, 1), (REFERENCE, 50), ("9ZK3M9Q2XW4T8RBC", 1)]


@pytest.mark.parametrize(("seconds", "said"), [
    (3600 * 5 + 1, "in 5 h"), (86400 * 3, "in 3 d"), (-7200, "overdue by 2 h"), (-86400 * 40, "overdue by 40 d"),
])  # fmt: skip
def test_a_deadline_is_said_in_the_unit_that_fits(seconds: int, said: str) -> None:
    assert left(NOW + seconds, NOW) == said


@pytest.mark.parametrize(("change", "outcome", "own", "refusal"), [
    ({"ground": "mistake"}, "mended", False, ""),
    ({"ground": "lawful"}, "mended", False, ""),
    ({"ground": "mistake"}, "upheld", False, ""),
    ({"ground": "lawful"}, "upheld", False, "those who keep list gambling decide"),
    ({"ground": "lawful"}, "upheld", True, ""),
    ({"name": ""}, "upheld", False, ""),
    ({"name": ""}, "mended", False, "nothing to let through"),
    ({"closed": NOW, "outcome": "granted"}, "mended", False, "is closed: granted"),
])  # fmt: skip
def test_merits_are_the_issuer_s_and_mistakes_are_ours(
    change: dict[str, Any], outcome: str, own: bool, refusal: str
) -> None:
    one = replace(ONE, **change)
    if not refusal:
        may_decide(one, outcome, own)
    else:
        with pytest.raises(DeskError, match=refusal):
            may_decide(one, outcome, own)


def test_a_reminder_is_for_what_was_passed_on_and_is_nearly_due_and_once_a_day() -> None:
    soon = replace(ONE, forwarded=NOW, due=NOW + 2 * 86400)
    assert to_remind([soon], NOW) == [soon]
    assert to_remind([replace(soon, forwarded=None)], NOW) == []
    assert to_remind([replace(soon, due=NOW + 4 * 86400)], NOW) == []
    assert to_remind([replace(soon, reminded=NOW - 3600)], NOW) == []
    assert to_remind([replace(soon, reminded=NOW - 86400)], NOW) != []


def test_a_reminder_holds_no_word_of_a_citizen() -> None:
    text = reminder([replace(ONE, due=NOW - 86400)], "Nordlicht", NOW)
    assert "A-1" in text
    assert "overdue by 24 h" in text
    assert ONE.reason not in text
    assert ONE.contact not in text


@pytest.mark.parametrize(("text", "seen"), [
    ("\x1b[31mred\x1b]0;title\x07", "\ufffd[31mred\ufffd]0;title\ufffd"), ("a\rb\x08c", "a\ufffdb\ufffdc"),
    ("evil\u202etxt.exe", "evil\ufffdtxt.exe"), ("caf\u00e9\u00a0!", "café !"), ("\x9b2J", "\ufffd2J"),
])  # fmt: skip
def test_a_terminal_is_shown_text_and_nothing_else(text: str, seen: str) -> None:
    assert shown(text, most=None) == seen


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "|calc", "%0A", "\n=1"])
def test_a_spreadsheet_takes_nothing_for_a_formula(text: str) -> None:
    assert cell(text)[0] not in "=+-@\t\r\n|%"


# -- the commands


@pytest.fixture
def provider(tmp_path: Path) -> Path:
    (tmp_path / "stopsign.yaml").write_text(yaml.safe_dump({
        "state_dir": str(tmp_path / "state"), "run_dir": str(tmp_path / "run"), "provider": {"name": "Nordlicht"},
        "dns": {"listen": ["127.0.0.1:5300"], "upstreams": ["127.0.0.1:5335"], "allow_clients": ["127.0.0.0/8"]},
        "portal": {"url": "https://stop.nordlicht.example"},
    }))  # fmt: skip
    (tmp_path / "state").mkdir()
    return tmp_path


def stored(provider: Path, *more: dict[str, Any]) -> None:
    """Appeals in the database; ONE as it came in, changed by each of `more`."""

    async def run() -> None:
        store = await Store.open(f"sqlite:///{provider / 'state' / 'portal.db'}")
        for number, change in enumerate(more):
            one = replace(ONE, id=f"A-00000000000{number}", **change)
            fields = {name: getattr(one, name) for name in NewAppeal.__dataclass_fields__ if name != "receipt"}
            await store.add(NewAppeal(receipt=bytes([number]) * 32, **fields))
        await store.close()

    asyncio.run(run())


def said(provider: Path, *arguments: str) -> Any:
    return CliRunner().invoke(stopsign, ["appeals", *arguments, "--dir", str(provider)], standalone_mode=False)


def test_list_shows_what_waits_and_says_by_its_exit_when_something_is_overdue(provider: Path) -> None:
    assert said(provider, "list").output == "no appeal waits\n"
    stored(provider, {"due": 4_000_000_000})
    outcome = said(provider, "list")
    assert "example.com  list gambling" in outcome.output
    assert outcome.return_value == 0
    stored(provider, {}, {"due": 1_000_000_000})
    assert said(provider, "list").return_value == 1


def test_csv_has_no_words_of_citizens_and_no_formulas(provider: Path) -> None:
    stored(provider, {"name": "=cmd.example", "reason": "=SECRET()"})
    rows = list(csv.reader(io.StringIO(said(provider, "list", "--csv").output)))
    assert rows[0] == list(desk.COLUMNS)
    assert rows[1][4] == "'=cmd.example"
    assert "SECRET" not in said(provider, "list", "--csv").output


def test_show_prints_words_as_text(provider: Path) -> None:
    stored(provider, {"reason": "one\n\x1b[2Jtwo", "language": "de\x1b"})
    output = said(provider, "show", "a-000000000000").output
    assert "\x1b" not in output + said(provider, "list").output
    assert "| one\n| \ufffd[2Jtwo\n" in output
    assert "me@shop.example (for the provider alone)" in output
    assert json.loads(said(provider, "show", "A-000000000000", "--json").output)["reason"] == "one\n\x1b[2Jtwo"


def test_show_of_what_is_not_there_says_so(provider: Path) -> None:
    assert "there is no appeal A-X" in str(said(provider, "show", "A-X").exception)


def test_forward_seals_for_the_issuer_and_marks_what_went(provider: Path) -> None:
    stored(
        provider, {}, {"ground": "mistake"}, {"contact": "owner@shop.example", "share_contact": True}, {"list": "other"}
    )
    reader = bundle.new_reader_key()
    (provider / "issuer.pub").write_text(bundle.public_line(reader) + "\n")
    arguments = ("--key", str(provider / "issuer.pub"), "--output", str(provider / "out.json"))
    assert "2 appeals sealed" in said(provider, "forward", "--list", "gambling", *arguments).output
    line = said(provider, "key").output.strip()
    read = bundle.unseal((provider / "out.json").read_bytes(), reader, [line])
    assert [(one.appeal, one.contact) for one in read.appeals] == [
        ("A-000000000000", ""), ("A-000000000002", "owner@shop.example"),
    ]  # fmt: skip
    assert "nothing waits" in said(provider, "forward", "--list", "gambling", *arguments).output
    assert "several lists" in str(said(provider, "forward", "A-000000000000", "A-000000000003", *arguments).exception)
    assert oct((provider / "state" / "desk" / "desk.pem").stat().st_mode)[-3:] == "600"


def test_answer_lets_a_name_through_that_was_blocked_by_mistake(
    provider: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(provider, {"ground": "mistake"})
    asked: list[dict[str, Any]] = []

    async def steward(path: Path, op: str, **arguments: Any) -> dict[str, Any]:
        asked.append({"op": op, **arguments})
        (name,) = arguments["names"].values()
        return {"mended": [{"name": name, "list": "gambling", "until": 1_795_600_000.0}], "trouble": None}

    monkeypatch.setattr(control, "acall", steward)
    outcome = said(
        provider, "answer", "A-000000000000", "--outcome", "mended", "--reasons", "Wrong folder.", "--by", "Ms Day"
    )
    assert outcome.exception is None, outcome.exception
    assert [(one["op"], one["names"], one["seconds"]) for one in asked] == [
        ("decide", {REFERENCE: "example.com"}, 72 * 3600.0)
    ]
    assert asked[0]["appeals"] == {"A-000000000000": REFERENCE}
    long = said(provider, "answer", "A-1", "--outcome", "upheld", "--reasons", "No.", "--by", "x" * 201)
    assert str(long.exception) == "--by has 201 characters; 200 at most would be right"
    assert outcome.output == (
        "the entry of example.com on list gambling is off until 2026-11-25T09:46:40Z\nA-000000000000 closed: mended\n"
    )
    shown = json.loads(said(provider, "show", "A-000000000000", "--json").output)
    assert (shown["outcome"], shown["reasons"], shown["decided_by"]) == ("mended", "Wrong folder.", "Ms Day")


@pytest.mark.parametrize(("which", "meant"), [
    (("A-000000000000", "a-000000000003"), [0, 3]),
    (("--entry", OTHER), [1, 2]),
    ((OTHER.lower(), "A-000000000000"), [0, 1, 2]),
    (("--list", "other"), [3]),
    (("--ground", "lawful"), [4]),
    (("--entry", OTHER, "--ground", "lawful"), []),
    (("--from-file", "night"), [0, 1, 2]),
])  # fmt: skip
def test_one_decision_answers_all_that_it_names(
    provider: Path, monkeypatch: pytest.MonkeyPatch, which: tuple[str, ...], meant: list[int]
) -> None:
    fact = {"ground": "mistake"}
    stored(provider, fact, {**fact, "reference": OTHER}, {**fact, "reference": OTHER}, {**fact, "list": "other"},
           {"ground": "lawful", "name": ""})  # fmt: skip
    asked: list[dict[str, Any]] = []

    async def steward(path: Path, op: str, **arguments: Any) -> dict[str, Any]:
        asked.append(arguments)
        return {"mended": [], "trouble": None}

    monkeypatch.setattr(control, "acall", steward)
    (provider / "night").write_text(f"# of the night\n\nA-000000000000\n{OTHER}  x\n")
    which = tuple(str(provider / "night") if word == "night" else word for word in which)
    listed = json.loads(said(provider, "list", "--json", *which).output)
    assert sorted(one["id"] for one in listed) == [f"A-00000000000{n}" for n in meant]
    outcome = said(provider, "answer", *which, "--outcome", "upheld", "--reasons", "It is the order's own name.")
    assert outcome.exception is None, outcome.exception
    assert [sorted(one["appeals"]) for one in asked] == ([[f"A-00000000000{n}" for n in meant]] if meant else [])
    closed = [f"A-00000000000{n} closed: upheld" for n in meant]
    assert outcome.output.splitlines() == (closed or ["no appeal that waits is meant"])
    left = json.loads(said(provider, "list", "--json").output)
    assert len(left) == 5 - len(meant)


@pytest.mark.parametrize(("arguments", "refusal"), [
    (("answer", "--outcome", "upheld", "--reasons", "x"), "nothing says which"),
    (("answer", "A-9", "--outcome", "upheld", "--reasons", "x"), "no appeal that is meant here has .* A-9"),
    (("answer", "A-000000000000", "--entry", "0" * 16, "--outcome", "upheld", "--reasons", "x"), "0000000000000000"),
    (("answer", "example.com", "--outcome", "upheld", "--reasons", "x"), "neither an appeal nor"),
    (("answer", "A-000000000000", "A-000000000001", "--outcome", "upheld", "--reasons", "x"), "merits of an order"),
    (("suspend",), "nothing says which"),
    (("suspend", "--list", "nolist"), "there is no list 'nolist'"),
    (("list", "--list", "nolist"), "there is no list 'nolist'"),
    (("answer", "--list", "nolist", "--outcome", "upheld", "--reasons", "x"), "there is no list 'nolist'"),
    (("forward", "--list", "nolist", "--key", "k", "--output", "x"), "there is no list 'nolist'"),
])  # fmt: skip
def test_what_is_not_clear_or_not_ours_changes_nothing(
    provider: Path, arguments: tuple[str, ...], refusal: str
) -> None:
    stored(provider, {"ground": "mistake"}, {"ground": "lawful"})
    assert re.search(refusal, str(said(provider, *arguments).exception))
    assert len(json.loads(said(provider, "list", "--json").output)) == 2


NOTHING_HELD = "nothing of it is held and blocked now\n"


def test_entries_that_are_held_are_listed_and_suspended_by_a_person(
    provider: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(provider, {}, {"reference": OTHER}, {"reference": OTHER})

    async def came_due() -> None:
        store = await Store.open(f"sqlite:///{provider / 'state' / 'portal.db'}")
        await store.came_due({"A-000000000000": "suspended", "A-000000000001": "held", "A-000000000002": "held"}, NOW)
        await store.close()

    asyncio.run(came_due())
    assert said(provider, "suspend", "--overdue", "--ground", "mistake").output == NOTHING_HELD
    assert OTHER in (output := said(provider, "list", "--held").output)
    assert REFERENCE not in output
    monkeypatch.setattr(control, "call", lambda path, op, **more: {"suspended": more["references"]})
    assert said(provider, "suspend", "--held").output == f"{OTHER} is suspended\n"


def test_what_the_desk_does_not_know_is_shown_before_it_is_dropped(
    provider: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The places of open appeals were full of what a hostile web process had reported, and nothing emptied them."""
    stored(provider, {}, {"reference": OTHER})
    waiting = {f"A-{number:012}": NOW + float(number) for number in range(12_000)}
    asked: list[str] = []

    def steward(path: Path, op: str, **arguments: Any) -> dict[str, Any]:
        asked.append(op)
        if op == "drop-appeals":
            known = [waiting.pop(appeal, None) for appeal in arguments["appeals"]]
            return {"dropped": len(known)}
        beyond = sorted(appeal for appeal in waiting if appeal > arguments["after"])
        return {"appeals": {appeal: waiting[appeal] for appeal in beyond[:10_000]}}

    async def asteward(path: Path, op: str, **arguments: Any) -> dict[str, Any]:
        return steward(path, op, **arguments)

    monkeypatch.setattr(control, "call", steward)
    monkeypatch.setattr(control, "acall", asteward)
    dry = said(provider, "drop-unknown").output.splitlines()
    assert dry[0].startswith("11,998 appeals that the desk does not know came in between 2026-11-18T")
    assert (dry[1], dry[-2:]) == ("A-000000000002", ["and 11,993 more", "nothing is changed: --really drops them"])
    assert set(asked) == {"appeals-waiting"}
    assert said(provider, "drop-unknown", "--really").output.splitlines()[1:] == ["5,000 are dropped"] * 2 + [
        "1,998 are dropped"
    ]
    assert sorted(waiting) == ["A-000000000000", "A-000000000001"]
    assert said(provider, "drop-unknown", "--really").output == "the desk knows every appeal that waits\n"


def test_a_mistake_that_was_mended_here_is_passed_on_so_that_the_entry_goes(provider: Path) -> None:
    stored(provider, {"ground": "mistake"})

    async def mended() -> None:
        store = await Store.open(f"sqlite:///{provider / 'state' / 'portal.db'}")
        await store.decide(["A-000000000000"], "mended", "Ms Day", "Wrong folder.", NOW)
        await store.close()

    (provider / "issuer.pub").write_text(bundle.public_line(bundle.new_reader_key()) + "\n")
    arguments = ("--key", str(provider / "issuer.pub"), "--output", str(provider / "out.json"))
    assert "nothing waits" in said(provider, "forward", "--list", "gambling", *arguments).output
    asyncio.run(mended())
    assert "1 appeal sealed" in said(provider, "forward", "--list", "gambling", *arguments).output
    assert "nothing waits" in said(provider, "forward", "--list", "gambling", *arguments).output


def test_answer_leaves_the_appeal_open_where_the_steward_is_away(provider: Path) -> None:
    stored(provider, {"ground": "mistake"})
    outcome = said(provider, "answer", "A-000000000000", "--outcome", "mended", "--reasons", "Wrong folder.")
    assert "the steward does not answer" in str(outcome.exception)
    assert json.loads(said(provider, "show", "A-000000000000", "--json").output)["closed"] is None


def test_remind_writes_one_text_a_list(provider: Path) -> None:
    stored(provider, {"due": 1_000_000_000}, {"due": 1_000_000_000, "list": "other"})
    assert said(provider, "remind").output == "nobody has to be reminded\n"

    async def forwarded() -> None:
        store = await Store.open(f"sqlite:///{provider / 'state' / 'portal.db'}")
        for number in range(2):
            await store.mark(f"A-00000000000{number}", "forwarded", 900_000_000)
        await store.close()

    asyncio.run(forwarded())
    outcome = said(provider, "remind", "--json")
    assert outcome.return_value == 1
    assert set(json.loads(outcome.output)) == {"gambling", "other"}
    assert said(provider, "remind").output == "nobody has to be reminded\n"


@pytest.mark.parametrize("make", [lambda path: path.write_text("x"), lambda path: path.mkdir()])
def test_a_desk_key_that_cannot_be_read_is_never_replaced(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "desk.pem")
    with pytest.raises(DeskError, match="cannot be read"):
        desk.desk_key(tmp_path)
