"""A regulator's unsigned file as an issuer of its own."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from blocklists.errors import VerifyError
from resolver.base.timestamps import as_text
from resolver.config.schema import Config
from resolver.lists.fetch import Mirror
from resolver.lists.protected import own
from resolver.policy.explain import explain
from tests.rigs.lists_world import NOW, World, settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BRIDGE = {
    "issuer": "Gambling Board", "law": "Act 12", "authority": "Gambling Board", "order": "17/2026",
    "date": "2026-11-01", "territory": "DK", "category": "gambling", "match": "subtree",
}  # fmt: skip


@dataclass
class Bridged(World):
    """A provider that follows a file. `more` is of the list, `ground` of its bridge."""

    ground: Mapping[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> Config:
        plain = settings(self.folder, gambling={})
        plain["lists"][0].pop("trusted_root")
        plain["lists"][0] |= {"repository": str(self.file), "bridge": {**BRIDGE, **self.ground}, **self.more}
        return Config.model_validate(plain)

    @property
    def file(self) -> Path:
        return self.folder / "board.csv"

    def refresh(self) -> Any:
        config = self.config
        mirror = Mirror(config.lists[0], config.places.list("gambling"), dict(own(config)))
        try:
            return self.register.take(mirror.fetch(self.clock()))
        except VerifyError as error:
            return self.register.refuse("gambling", error)

    def verdict(self, name: str) -> str:
        return explain(self.config, name, now=self.clock()).verdict


FILE = "Domain;Added\na.example;2026-01-01\nB.Example.;2026-01-01\nnot a name;x\n"


def test_the_names_of_the_file_are_stopped_and_said_to_be_signed_by_nobody(tmp_path: Path) -> None:
    world = Bridged(tmp_path)
    world.file.write_text(FILE)
    assert world.refresh().kind == "active"
    found = explain(world.config, "www.a.example", now=world.clock())
    assert (found.verdict, found.entries[0].signed_by) == ("stopped", ())
    assert "signed by  nobody (bridged)" in "\n".join(found.lines())
    assert world.verdict("b.example") == "stopped"


def test_a_name_gone_from_the_file_is_off_and_a_name_that_stays_keeps_its_reference(tmp_path: Path) -> None:
    world = Bridged(tmp_path)
    world.file.write_text(FILE)
    world.refresh()
    before = explain(world.config, "a.example", now=world.clock()).entries[0]
    world.clock.forward(days=1)
    world.file.write_text("domain\na.example\nc.example\n")
    world.refresh()
    after = explain(world.config, "a.example", now=world.clock()).entries[0]
    assert (after.reference, after.issued) == (before.reference, before.issued)
    assert world.verdict("b.example") == "not listed"
    assert world.verdict("c.example") == "stopped"


def test_an_unchanged_file_is_the_same_version_until_its_ends_move(tmp_path: Path) -> None:
    world = Bridged(tmp_path)
    world.file.write_text(FILE)
    versions = []
    for _ in range(31):
        world.refresh()
        versions.append(world.register.applied["gambling"].version)
        world.clock.forward(days=1)
    assert versions[-1] in (4, 5)
    assert world.verdict("a.example") == "stopped"


@pytest.mark.parametrize(
    "text",
    ["", "<html><body>500 Internal Server Error</body></html>\n", "domain\nnot a name\nneither this\nc.example\n"],
)
def test_an_error_page_in_place_of_the_file_is_refused_and_the_last_good_one_goes_on(tmp_path: Path, text: str) -> None:
    world = Bridged(tmp_path)
    world.file.write_text(FILE)
    world.refresh()
    world.file.write_text(text)
    outcome = world.refresh()
    assert (outcome.kind, outcome.reason) == ("refused", "malformed")
    assert world.verdict("a.example") == "stopped"


def test_a_file_that_is_never_seen_again_lapses_with_an_alarm_ahead(tmp_path: Path) -> None:
    world = Bridged(tmp_path, more={"stale_after": "60d"})
    world.file.write_text(FILE)
    world.refresh()
    world.file.unlink()
    world.clock.forward(days=2)
    assert world.refresh().reason == "missing"
    assert any("ends on 2026-12-" in alarm for alarm in world.register.status()["alarms"])
    assert world.verdict("a.example") == "stopped"
    world.clock.forward(days=29)
    assert world.verdict("a.example") == "not listed"


def test_where_the_law_wants_it_the_last_good_file_is_held_with_an_alarm(tmp_path: Path) -> None:
    world = Bridged(tmp_path, more={"on_expiry": "hold"})
    world.file.write_text(FILE)
    world.refresh()
    world.file.unlink()
    for _ in range(10):
        world.clock.forward(days=7)
        world.refresh()
        world.register.tick()
    assert world.verdict("a.example") == "stopped"
    assert any("is held beyond its end" in alarm for alarm in world.register.status()["alarms"])
    assert world.register.status()["lists"][0]["refusal"]["code"] == "missing"


@pytest.mark.parametrize("away", [0, 10, 20])
def test_what_is_held_ends_where_the_register_itself_ends_it(tmp_path: Path, away: int) -> None:
    """`away`: after how many days the file is gone. Of the ends one comes before the list's, two after."""
    world = Bridged(tmp_path, more={"on_expiry": "hold"})
    ends = {"a.example": 13, "b.example": 40, "c.example": 85, "d.example": None}
    rows = [f"{name};{as_text(world.clock() + day * 86400)[:10] if day else ''}" for name, day in ends.items()]
    world.file.write_text("\n".join(["domain;expires", *rows, ""]))
    for day in range(0, 120, 5):
        if day > away:
            world.file.unlink(missing_ok=True)
        world.refresh()
        world.register.tick()
        said = {name: world.verdict(name) == "stopped" for name in ends}
        assert said == {name: end is None or day < end for name, end in ends.items()}, day
        world.clock.forward(days=5)
    (left,) = world.config.places.list("gambling").root.glob("bridge/*.zst")
    assert left.name.startswith("full-")


def test_what_the_register_is_to_withdraw_ends_then(tmp_path: Path) -> None:
    mapping = {
        "read": {"kind": "csv"}, "name": {"field": "domain"}, "expires": {"field": "until"},
        "withdrawn": {"field": "ended", "when": "past"},
    }  # fmt: skip
    world = Bridged(tmp_path, more={"on_expiry": "hold"}, ground={"mapping": mapping})
    # far from today: the mapping compares with the machine's clock, the bridge with the world's
    world.file.write_text("domain,until,ended\na.example,,2099-01-10\nb.example,2099-01-20,2099-01-10\nc.example,,\n")
    world.refresh()
    world.file.unlink()
    for day, stopped in ((9, ["a.example", "b.example", "c.example"]), (11, ["c.example"])):
        world.clock.now = datetime(2099, 1, day, tzinfo=UTC).timestamp()
        world.refresh()
        assert [name for name in ("a.example", "b.example", "c.example") if world.verdict(name) == "stopped"] == stopped


def test_the_ends_of_a_list_that_an_earlier_version_bridged_are_learnt_where_the_file_is_seen(tmp_path: Path) -> None:
    world = Bridged(tmp_path, more={"on_expiry": "hold"})
    world.file.write_text(f"domain;expires\na.example;{as_text(world.clock() + 50 * 86400)[:10]}\n")
    world.refresh()
    folder = world.config.places.list("gambling").root / "bridge"
    head = json.loads((folder / "head.json").read_text())
    (folder / head.pop("ends")).unlink()
    (folder / "head.json").write_text(json.dumps(head))
    world.refresh()
    world.file.unlink()
    for _ in range(10):
        assert (world.verdict("a.example") == "stopped") == (world.clock() < NOW.timestamp() + 49.5 * 86400)
        world.clock.forward(days=7)
        world.refresh()
    assert world.verdict("a.example") != "stopped"


def test_the_guards_look_at_a_bridged_list_as_at_any(tmp_path: Path) -> None:
    world = Bridged(tmp_path)
    world.file.write_text(FILE)
    world.refresh()
    world.file.write_text("domain\na.example\nmooo.com\n")
    assert world.refresh().kind == "held"
    assert world.verdict("b.example") == "not listed"
    held = world.register.fetching["gambling"].held
    assert held is not None
    world.register.approve("gambling", held.version, held.state, "root")
    assert world.verdict("mooo.com") == "stopped"


def test_what_nobody_can_approve_is_left_out_with_an_alarm_and_the_rest_goes_on(tmp_path: Path) -> None:
    world = Bridged(tmp_path, more={"scope": {"below": ["example", "local", "net"]}})
    world.file.write_text(FILE)
    world.refresh()
    world.file.write_text(
        "domain\na.example\nb.example\nstop.isp.example\nyoutube.local\nelastx.net\nd.test\nc.example\n"
    )
    assert world.refresh().kind == "active"
    assert [world.verdict(name) for name in ("c.example", "stop.isp.example", "d.test")] == [
        "stopped", "not listed", "not listed",
    ]  # fmt: skip
    (alarm,) = [text for text in world.register.status()["alarms"] if "nobody can approve" in text]
    for name in ("stop.isp.example", "youtube.local", "elastx.net", "d.test"):
        assert name in alarm
    world.file.write_text("domain\na.example\nc.example\n")
    world.refresh()
    assert not [text for text in world.register.status()["alarms"] if "nobody can approve" in text]


def test_a_file_that_lost_most_of_its_names_is_refused_with_an_alarm_until_a_person_allows_it(tmp_path: Path) -> None:
    world = Bridged(tmp_path)
    world.file.write_text("domain\n" + "".join(f"n{number}.example\n" for number in range(20)))
    world.refresh()
    world.file.write_text("domain\nn0.example\nn1.example\n")
    outcome = world.refresh()
    assert (outcome.kind, outcome.reason) == ("refused", "shrunk")
    assert world.verdict("n7.example") == "stopped"
    assert any("shrunk" in alarm or "2 names where 20" in alarm for alarm in world.register.status()["alarms"])
    world.ground = {"shrink_at_most": "100%"}
    assert world.refresh().kind == "active"
    assert (world.verdict("n7.example"), world.verdict("n1.example")) == ("not listed", "stopped")


@pytest.mark.parametrize("on_expiry", ["lapse", "hold"])
def test_a_stored_document_that_is_damaged_is_made_again_from_the_next_file(tmp_path: Path, on_expiry: str) -> None:
    world = Bridged(tmp_path, more={"on_expiry": on_expiry})
    world.file.write_text(FILE + "c.example;x\nd.example;x\n")
    world.refresh()
    before = explain(world.config, "a.example", now=world.clock()).entries[0]
    document = world.config.places.list("gambling").root / "bridge" / "full-1.zst"
    damaged = bytearray(document.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    document.write_bytes(damaged)
    text = world.file.read_text()
    world.file.unlink()
    outcome = world.refresh()
    assert outcome.reason == "missing"
    assert "full-1.zst" in outcome.text
    world.file.write_text("domain\na.example\n")
    assert world.refresh().reason == "shrunk"
    world.file.write_text(text)
    assert world.refresh().kind == "active"
    assert world.register.applied["gambling"].version == 2
    assert explain(world.config, "a.example", now=world.clock()).entries[0].reference == before.reference
    world.file.write_text(text + "e.example;x\n")
    assert world.refresh().kind == "active"
    assert [world.verdict(name) for name in ("a.example", "e.example")] == ["stopped", "stopped"]


def test_a_file_that_breaks_off_or_balloons_is_refused(tmp_path: Path) -> None:
    world = Bridged(tmp_path, more={"max_size": "1MiB"})
    names = "".join(f"site{number}.example\n" for number in range(300)).encode()
    world.file.write_bytes(zstandard.compress(names))
    assert world.refresh().kind == "active"
    whole = world.file.read_bytes()
    world.file.write_bytes(whole[:-5])
    assert world.refresh().reason == "malformed"
    world.file.write_bytes(gzip.compress(b"a.example\n" * 1_000_000))
    assert world.refresh().reason == "malformed"
    assert world.verdict("site299.example") == "stopped"


def test_a_file_that_is_damaged_is_held_where_the_law_wants_it(tmp_path: Path) -> None:
    world = Bridged(tmp_path, more={"on_expiry": "hold"})
    world.file.write_text(FILE)
    world.refresh()
    world.file.write_text("<html>\n")
    for _ in range(6):
        world.clock.forward(days=10)
        world.refresh()
        world.register.tick()
    assert world.verdict("a.example") == "stopped"


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("2", "1,a.example\n2,b.example\n"),
        ("Domæne", "Nr;Domæne\n1;a.example\n2;b.example\n"),
    ],
)
def test_a_column_is_named_by_number_or_heading(tmp_path: Path, column: str, text: str) -> None:
    world = Bridged(tmp_path, ground={"column": column})
    world.file.write_text(text)
    world.refresh()
    assert [world.verdict(name) for name in ("a.example", "b.example")] == ["stopped", "stopped"]


def test_a_heading_that_is_not_there_is_refused(tmp_path: Path) -> None:
    world = Bridged(tmp_path, ground={"column": "Name"})
    world.file.write_text("Nr;Domæne\n1;a.example\n")
    assert world.refresh().reason == "malformed"
