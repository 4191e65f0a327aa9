"""A list from proven to active: what is applied, what is held, what the log says, and what survives what."""

from __future__ import annotations

import errno
import json
import shutil
from typing import TYPE_CHECKING

import pytest

from blocklists.errors import VerifyError
from resolver import _core
from resolver.lists import activate
from resolver.lists.decide import ApprovalError
from resolver.lists.everywhere import Word
from resolver.lists.restore import damage_of
from resolver.lists.stages import Verdict
from resolver.policy.description import FORMAT
from tests.rigs.limits import no_descriptor_left
from tests.rigs.lists_world import BASIS, World, make_entry

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def kinds(world: World) -> list[str]:
    return [kind for kind, _ in world.leaves()]


def test_a_version_is_active_with_a_leaf_that_names_it(world: World) -> None:
    assert world.take(1, ["a.example"]).kind == "active"
    assert world.active("www.a.example") == ["gambling"]
    assert world.leaves()[-1] == ("list-activated", "gambling/1")


def test_the_same_version_again_changes_nothing_and_writes_nothing(world: World) -> None:
    world.take(1, ["a.example"])
    before, live = world.leaves(), world.config.places.current.stat().st_ino
    assert world.take(1, ["a.example"]).kind == "unchanged"
    assert (world.leaves(), world.config.places.current.stat().st_ino) == (before, live)


def test_one_name_more_and_one_less_are_active_together(world: World) -> None:
    world.take(1, ["a.example", "b.example"])
    world.take(2, ["a.example", "c.example"])
    assert [world.active(name) for name in ("a.example", "b.example", "c.example")] == [["gambling"], [], ["gambling"]]


def test_what_cannot_be_read_for_now_is_no_damage(world: World) -> None:
    world.take(1, ["a.example"])
    applied = world.register.applied["gambling"]
    path = world.config.places.list("gambling").applied / applied.document
    with no_descriptor_left(), pytest.raises(VerifyError, match="Too many open files") as refusal:
        damage_of(path, applied.entries, applied.state)
    assert refusal.value.reason == "storage"
    with no_descriptor_left():
        assert not world.register.whole_again(["gambling"])
    assert damage_of(path, applied.entries, applied.state) is None
    path.unlink()
    assert damage_of(path) == f"{path} is gone"


def test_five_hundred_removals_with_one_bad_addition_are_five_hundred_removals(world: World) -> None:
    names = [f"n{number}.example" for number in range(600)]
    world.take(1, names)
    outcome = world.take(2, [*names[500:], "com"])
    assert outcome.kind == "held"
    assert world.register.applied["gambling"].entries == 100
    assert world.active("n499.example") == []
    assert world.active("n500.example") == ["gambling"]
    assert world.active("any.com") == []
    assert world.leaves()[-2:] == [("list-held", "gambling/2"), ("list-activated", "gambling/1")]


def test_narrowing_and_shortening_hold_at_once_beside_a_held_addition(world: World) -> None:
    world.take(1, ["a.example", make_entry("b.example", expires="2027-11-01T00:00:00Z")])
    narrowed = make_entry("a.example", match="exact")
    shortened = make_entry("b.example", expires="2026-12-01T00:00:00Z")
    world.take(2, [narrowed, shortened, "com"])
    assert world.active("www.a.example") == []
    from resolver._core import CompiledList

    (entry,) = CompiledList.open(world.config.places.current).look_up("b.example")
    assert entry.expires == 1796083200  # 2026-12-01


def test_additions_come_all_or_none(world: World) -> None:
    world.take(1, ["a.example"])
    world.take(2, ["a.example", "good.example", "com"])
    assert world.active("good.example") == []
    world.take(3, ["a.example", "good.example"])
    assert world.active("good.example") == ["gambling"]
    assert world.register.fetching["gambling"].held is None


def test_widening_counts_as_adding(world: World) -> None:
    world.take(1, ["a.example", make_entry("github.io", match="exact")])
    assert world.take(2, ["a.example", make_entry("github.io", match="subtree")]).kind == "held"
    assert world.active("somebody.github.io") == []


def test_the_first_load_waits_for_a_person_and_says_so_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path, lists={"gambling": {"approve_first": False}})
    outcome = world.take(1, ["a.example"])
    assert (outcome.kind, outcome.reason) == ("held", "first-load")
    assert world.active("a.example") == []
    assert kinds(world)[-1] == "list-held"
    said = (
        "list gambling stops nothing: its first load, 1 entry of version 1, waits for approval since "
        "2026-11-22T12:00:00Z: stopsign lists status"
    )
    assert world.register.status()["alarms"] == [said]
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [said]
    world.take(2, ["a.example", "com"])
    (alarm,) = world.register.status()["alarms"]
    assert "2 entries of version 2, is held since 2026-11-22T12:00:00Z and cannot be approved" in alarm


def test_what_is_held_later_is_said_in_the_log_once_and_an_alarm_only_when_it_is_held_long(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.take(1, ["a.example"])
    for _ in range(2):
        world.take(2, ["a.example", "com"])
    (said,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert said.startswith("1 addition of version 2 of list gambling is held: ")
    assert world.register.status()["alarms"] == []
    world.clock.forward(hours=5)
    alarm = "additions to list gambling are held since 2026-11-22T12:00:00Z, now of version {}"
    assert alarm.format(2) in world.register.status()["alarms"]
    world.take(3, ["a.example", "com", "net"])
    assert alarm.format(3) in world.register.status()["alarms"]


def test_a_suspension_is_active_at_once_and_stays_whatever_a_later_relief_says(world: World) -> None:
    entries = [make_entry("a.example"), make_entry("b.example")]
    world.take(1, entries)
    world.take(1, entries, suspended=[entries[0].reference])
    assert world.active("a.example") == []
    assert world.active("b.example") == ["gambling"]
    assert world.leaves()[-1] == ("relief-applied", "gambling/1")
    world.take(2, [*entries, "c.example"])
    assert world.active("a.example") == []
    assert world.active("c.example") == ["gambling"]


def test_a_suspended_entry_that_left_the_list_is_counted_no_longer(world: World) -> None:
    """After a hostile relief key was taken off and the entry proposed again, the list had `suspended 1` for ever."""
    gone, stays, again = make_entry("a.example"), make_entry("b.example"), make_entry("a.example", number=2)
    world.take(1, [gone, stays])
    world.take(1, [gone, stays], suspended=[gone.reference, stays.reference])
    world.take(2, [again, stays])
    assert world.register.status()["lists"][0]["suspended"] == 1, "what stays on the list is carried on"
    assert (world.active("a.example"), world.active("b.example")) == (["gambling"], [])
    world.take(3, [again])
    assert world.register.status()["lists"][0]["suspended"] == 0
    assert [kind for kind, _ in world.leaves()].count("relief-applied") == 3, "the log says when none is off any more"


def test_a_suspension_holds_also_while_additions_are_held(world: World) -> None:
    entries = [make_entry("a.example"), make_entry("b.example")]
    world.take(1, entries)
    world.take(2, [*entries, "com"], suspended=[entries[0].reference])
    assert world.active("a.example") == []
    assert world.active("b.example") == ["gambling"]


def test_a_reference_used_for_another_name_is_held_for_good(world: World) -> None:
    first = make_entry("a.example")
    world.take(1, [first, "b.example"])
    world.take(2, ["b.example", make_entry("other.example", reference=first.reference)])
    known = world.register.fetching["gambling"].held
    assert known is not None
    assert "reference-reuse" in [reason.kind for reason in known.reasons]
    assert not known.approvable
    assert world.active("other.example") == []


def test_an_issuer_outside_its_scope_adds_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, lists={"gambling": {"scope": {"categories": ["gambling"], "territories": ["DE"]}}})
    world.take(1, ["a.example"])
    for version, entry in enumerate(
        [make_entry("b.example", category="news"), make_entry("b.example", basis="other")], 2
    ):
        bases = {"order-17": BASIS, "other": BASIS.model_copy(update={"territory": "AT"})}
        outcome = world.take(version, ["a.example", entry], bases=bases)
        assert (outcome.kind, outcome.reason) == ("held", "scope")
    assert world.active("b.example") == []


def test_scope_looks_at_additions_alone_so_that_old_entries_do_not_hold_new_ones(tmp_path: Path) -> None:
    world = World(tmp_path)
    old = [make_entry(f"n{number}.example", category="news") for number in range(5)]
    world.take(1, old)
    world.stop()
    world.lists = {"gambling": {"scope": {"categories": ["gambling"]}}}
    world.start()
    assert world.take(2, [*old[1:], "new.example"]).kind == "active"


@pytest.mark.parametrize("limit", [{"max_entries": 2}, {"max_size": "10B"}])
def test_a_list_beyond_its_bounds_is_refused(tmp_path: Path, limit: dict[str, object]) -> None:
    world = World(tmp_path, lists={"gambling": limit})
    with pytest.raises(VerifyError) as caught:
        world.take(1, ["a.example", "b.example", "c.example"])
    assert caught.value.reason == "too-large"


def test_a_head_that_announces_fewer_entries_than_there_are_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path, lists={"gambling": {"max_entries": 2}})
    candidate = world.candidate(1, ["a.example", "b.example", "c.example"]).model_copy(update={"entries": 2})
    with pytest.raises(VerifyError, match="announces 2 entries; the document has 3"):
        world.register.take(candidate)
    assert world.active("a.example") == []


def test_a_refusal_is_one_leaf_and_an_alarm_and_the_last_good_list_goes_on(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.take(1, ["a.example"])
    for _ in range(3):
        outcome = world.register.refuse("gambling", VerifyError("signature-threshold", "one of two signed"))
    assert (outcome.kind, outcome.reason) == ("refused", "signature-threshold")
    assert kinds(world).count("list-refused") == 1
    assert "list gambling is refused" in world.register.status()["alarms"][0]
    assert world.register.status()["lists"][0]["refusal"]["times"] == 3
    assert world.active("a.example") == ["gambling"]
    for _ in range(2):
        world.take(2, ["a.example"])
    assert world.register.status()["alarms"] == []
    (again,) = [record.message for record in caplog.records if "good again" in record.message]
    assert again.startswith("list gambling is good again, after signature-threshold since 2")


def test_a_suspension_that_came_beside_a_refused_version_is_applied(world: World) -> None:
    from blocklists.head import Relief, Suspension

    entries = [make_entry("a.example"), make_entry("b.example")]
    world.take(1, entries)
    folder = world.config.places.list("gambling").verified
    folder.mkdir(parents=True)
    relief = Relief("gambling", 3, {entries[0].reference: Suspension("2026-11-22T00:00:00Z", "appeal granted")})
    (folder / "relief.json").write_bytes(relief.to_bytes())
    world.register.refuse("gambling", VerifyError("state-hash", "not what was signed"))
    assert world.active("a.example") == []
    assert world.active("b.example") == ["gambling"]
    assert world.leaves()[-1] == ("relief-applied", "gambling/1")


def test_a_mirror_that_is_away_is_an_alarm_but_no_leaf(world: World) -> None:
    world.register.refuse("gambling", VerifyError("unreachable", "no route"))
    assert kinds(world) == ["start"]
    assert world.register.status()["alarms"]


def test_a_refusal_says_what_to_do_where_that_is_known(world: World) -> None:
    outcome = world.register.refuse("gambling", VerifyError("storage", "a file is damaged", hint="restore it"))
    assert outcome.text == "a file is damaged (restore it)"
    assert any("a file is damaged (restore it)" in alarm for alarm in world.register.status()["alarms"])


def test_one_issuer_that_fails_does_not_touch_another(tmp_path: Path) -> None:
    world = World(tmp_path, lists={"gambling": {}, "piracy": {"action": "nxdomain"}})
    world.take(1, ["a.example"])
    world.take(1, ["a.example", "p.example"], name="piracy")
    world.register.refuse("gambling", VerifyError("expired", "timestamp expired"))
    world.take(2, ["p.example", "q.example"], name="piracy")
    assert world.active("a.example") == ["gambling"]
    assert world.active("q.example") == ["piracy"]


def test_a_list_that_nobody_confirmed_for_long_only_monitors_and_comes_back_by_itself(world: World) -> None:
    from resolver._core import CompiledList

    def action() -> str:
        return CompiledList.open(world.config.places.current).look_up("a.example")[0].action

    offered = world.candidate(1, ["a.example"])
    world.register.take(offered)
    for days, alarmed, expected in [(1, False, "stop-page"), (2, True, "stop-page"), (15, True, "monitor")]:
        world.clock.now = world.register.fetching["gambling"].fresh + days * 86400.0
        world.register.tick()
        assert action() == expected
        assert bool(world.register.status()["alarms"]) is alarmed
    assert world.leaves()[-2] == ("list-activated", "gambling/1")
    world.register.take(offered)
    assert action() == "stop-page"


def test_a_clock_that_went_back_is_an_alarm_until_it_is_right_over_a_start_and_an_update_too(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def alarms() -> list[str]:
        return [alarm for alarm in world.register.status()["alarms"] if "clock" in alarm]

    world.take(1, ["a.example"])
    right = world.clock.now
    world.clock.now = right - 200.0
    world.register.tick()
    assert alarms() == [], "NTP does that"
    world.clock.now = right - 400 * 86400.0
    world.restart()
    world.clock.forward(minutes=1)
    world.register.tick()
    world.take(2, ["a.example", "b.example"])  # bears the wrong time
    world.register.tick()
    went = "the clock went back to 2025-10-18T12:00:00Z, before 2026-11-22T12:00:00Z, when the steward last wrote"
    assert alarms() == [f"{went}: see timedatectl"]
    assert caplog.text.count(went) == 1
    world.clock.now = right + 60.0
    world.register.tick()
    assert alarms() == []


def test_a_generation_that_bears_no_time_cannot_be_used(tmp_path: Path) -> None:
    for compiled, usable in (("2026-11-22T12:00:00Z", True), ("once upon a time", False), (None, False)):
        path, meta = tmp_path / "generation", {"format": FORMAT, "generation": 1, "lists": [], "compiled": compiled}
        _core.compile([], path, json.dumps(meta).encode())
        assert activate.read(path).there == usable


def test_after_a_start_everything_is_as_before_without_another_leaf_about_lists(world: World) -> None:
    world.take(1, ["a.example"])
    world.take(2, ["a.example", "com"])
    before, status = world.leaves(), world.register.status()["lists"]
    world.restart()
    assert world.leaves()[len(before) :] == [("start", "")]
    assert world.register.status()["lists"] == status


@pytest.mark.parametrize("damage", ["gone", "cut", "flipped", "empty"])
@pytest.mark.parametrize("which", ["current", "generation", "both"])
def test_a_damaged_generation_is_made_again_from_the_stored_documents(world: World, damage: str, which: str) -> None:
    world.take(1, ["a.example"])
    world.take(2, ["b.example"])
    places = world.config.places
    for path in {
        "current": [places.current],
        "generation": [places.generation],
        "both": [places.current, places.generation],
    }[which]:
        data = bytearray(path.read_bytes())
        if damage == "flipped":
            data[len(data) // 2] ^= 1
        path.unlink()
        if damage != "gone":
            path.write_bytes(bytes({"cut": data[:-9], "flipped": data, "empty": b""}[damage]))
    world.restart()
    assert world.active("b.example") == ["gambling"]
    assert world.active("a.example") == []


def test_a_reboot_that_empties_the_tmpfs_costs_no_leaf(world: World) -> None:
    world.take(1, ["a.example"])
    before = len(world.leaves())
    shutil.rmtree(world.config.places.run_dir)
    world.restart()
    assert world.active("a.example") == ["gambling"]
    assert len(world.leaves()) == before + 1


def test_a_live_file_that_somebody_removed_is_back_at_the_next_tick(world: World) -> None:
    world.take(1, ["a.example"])
    world.config.places.current.unlink()
    world.register.tick()
    assert world.active("a.example") == ["gambling"]


def test_what_the_steward_says_in_run_dir_is_back_at_the_next_tick(world: World) -> None:
    """Where its unit lives on; under `stopsign run` it is started again."""
    world.more = {"host": "first", "stages": {"stage": "canary", "canary": "1h"}}
    world.restart()
    world.take(1, ["a.example"])
    world.register.publish_lists()
    folder = world.config.places.run_dir
    said = {path.name: path.read_bytes() for path in folder.glob("*.json")}
    assert {"lists.json", "decisions.json", "passes.json", "soaking.json"} <= said.keys()
    shutil.rmtree(folder)
    world.register.tick()
    assert {path.name: path.read_bytes() for path in folder.glob("*.json")} == said


def test_a_damaged_record_of_a_list_is_written_anew_from_the_generation_that_names_it(world: World) -> None:
    world.take(1, ["a.example"])
    world.take(2, ["b.example"])
    head = world.config.places.list("gambling").applied / "head.json"
    head.write_bytes(b"{")
    before = len(world.leaves())
    world.restart()
    assert world.active("b.example") == ["gambling"]
    assert world.leaves()[before:] == [("start", "")]
    assert world.register.applied["gambling"].version == 2


def test_a_record_beyond_repair_is_an_alarm_until_the_list_comes_again(world: World) -> None:
    offered = world.candidate(1, ["a.example"])
    world.register.take(offered)
    places = world.config.places
    for path in places.list("gambling").applied.iterdir():
        path.write_bytes(b"{") if path.name == "head.json" else path.unlink()
    world.restart()
    assert any("nothing of list gambling is active" in alarm for alarm in world.register.status()["alarms"])
    world.register.take(offered)
    assert world.active("a.example") == ["gambling"]
    assert world.register.status()["alarms"] == []


def damaged(world: World) -> Path:
    """The active document, cut short on the disk."""
    path = world.config.places.list("gambling").applied / world.register.applied["gambling"].document
    path.write_bytes(path.read_bytes()[:10])
    return path


@pytest.mark.parametrize("restarted", [False, True])
def test_a_damaged_document_keeps_no_withdrawal_out(world: World, restarted: bool) -> None:
    entries = [make_entry("a.example"), make_entry("b.example")]
    world.take(1, entries)
    path = damaged(world)
    if restarted:
        world.restart()
    assert world.take(1, entries, suspended=[entries[0].reference]).kind == "active"
    assert (world.active("a.example"), world.active("b.example")) == ([], ["gambling"])
    assert world.register.status()["alarms"] == []
    assert _core.summary(path, size=1000)[2] == world.last.state


def test_a_damaged_document_keeps_no_version_out(world: World) -> None:
    world.take(1, ["a.example", "b.example"])
    damaged(world)
    assert world.take(2, ["b.example", "c.example"]).kind == "active"
    assert [world.active(name) for name in ("a.example", "b.example", "c.example")] == [[], ["gambling"], ["gambling"]]


def test_a_document_that_nothing_else_has_is_an_alarm_with_what_to_do(world: World) -> None:
    entries = [make_entry("a.example"), make_entry("b.example")]
    world.take(1, entries)
    path = world.config.places.list("gambling").applied / world.register.applied["gambling"].document
    whole = path.read_bytes()
    damaged(world)
    shutil.rmtree(world.config.places.kept("gambling"))
    outcome = world.take(1, entries, suspended=[entries[0].reference])
    assert (outcome.kind, outcome.reason) == ("refused", "storage")
    assert " that is active is damaged, and stored nowhere else: " in outcome.text
    assert "restore it from a backup" in outcome.text
    assert outcome.text in world.register.status()["alarms"]
    with pytest.raises(VerifyError, match="restore it from a backup") as refusal:
        world.take(2, entries[1:])
    assert refusal.value.reason == "storage"
    path.write_bytes(whole)
    world.forward(seconds=10)
    world.register.tick()
    assert (world.active("a.example"), world.active("b.example")) == ([], ["gambling"])
    assert world.register.status()["alarms"] == []


def test_approving_something_else_than_what_is_held_is_refused_in_words(world: World) -> None:
    world.take(1, ["a.example"])
    with pytest.raises(ApprovalError, match="nothing of list gambling is held"):
        world.register.approve("gambling", 1, "0" * 64, "root")
    world.take(2, ["a.example", "mooo.com"])
    held = world.register.fetching["gambling"].held
    assert held is not None
    for version, state in [(3, held.state), (2, "sha256:" + "0" * 64), (2, held.state[7:10])]:
        with pytest.raises(ApprovalError, match="what is held of list gambling is version 2"):
            world.register.approve("gambling", version, state, "root")
    world.take(3, ["a.example", "com"])
    held = world.register.fetching["gambling"].held
    assert held is not None
    with pytest.raises(ApprovalError, match=r"nobody can approve this: .*com"):
        world.register.approve("gambling", 3, held.state, "root")


def test_a_held_addition_alarms_after_a_time_and_at_once_where_orders_are_urgent(tmp_path: Path) -> None:
    world = World(tmp_path, lists={"gambling": {}, "urgent": {"urgent": True}})
    for name in ("gambling", "urgent"):
        world.take(1, ["a.example"], name=name)
        world.take(2, ["a.example", "com"], name=name)
    assert [alarm.split()[3] for alarm in world.register.status()["alarms"]] == ["urgent"]
    world.clock.forward(hours=5)
    assert len(world.register.status()["alarms"]) == 2


def test_a_withdrawn_slip_holds_no_later_order_back(world: World) -> None:
    slip = make_entry("stop.isp.example")
    world.take(1, ["a.example"])
    world.take(2, ["a.example", slip])
    held = world.register.fetching["gambling"].held
    assert held is not None
    assert not held.approvable
    world.take(2, ["a.example", slip], suspended=[slip.reference])
    assert world.register.fetching["gambling"].held is None
    world.take(3, ["a.example", slip, "b.example"], suspended=[slip.reference])
    assert world.active("b.example") == ["gambling"]
    assert world.active("stop.isp.example") == []


def test_a_withdrawn_popular_name_that_is_proposed_again_is_held(tmp_path: Path) -> None:
    (tmp_path / "popular").write_text("bank.example\n")
    world = World(tmp_path, more={"guards": {"popular": str(tmp_path / "popular")}})
    first = make_entry("bank.example")
    world.take(1, ["a.example", first])
    world.take(1, ["a.example", first], suspended=[first.reference])
    for version, again in enumerate(
        (make_entry("bank.example", number=2), make_entry("bank.example", match="exact")), 2
    ):
        world.take(version, ["a.example", again], suspended=[first.reference])
        held = world.register.fetching["gambling"].held
        assert held is not None
        assert [reason.kind for reason in held.reasons] == ["popular"]
        assert world.active("bank.example") == []
    world.stop()


def test_additions_that_waited_for_a_wave_are_counted_when_they_act(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, more={"host": "h", "stages": {"stage": "wave-1"}})
    monkeypatch.setattr("resolver.lists.fetch.stored", lambda *_: world.last)
    first = [f"n{number}.example" for number in range(100)]
    world.register.take(world.candidate(1, first), reached=True)
    world.clock.forward(days=8)
    second = world.candidate(2, [*first, *(f"m{number}.example" for number in range(10))])
    world.register.take(second)
    world.clock.forward(hours=30)
    world.register.take(second, seen=True, reached=True)
    applied = world.register.applied["gambling"]
    assert (applied.version, applied.additions, applied.since) == (2, ((world.clock(), 10),), "2026-12-01T18:00:00Z")
    assert world.active("m9.example") == ["gambling"]


def test_what_a_wave_or_a_person_lets_through_has_one_leaf_however_often_it_does_not_fit_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def reached(*_: object) -> Verdict:
        return Verdict("reached", "canary has run it", "canary")

    world = World(tmp_path, lists={"gambling": {}, "held": {}}, more={"host": "h", "stages": {"stage": "wave-1"}})
    offered = {name: world.candidate(1, ["a.example"], name=name) for name in ("gambling", "held")}
    monkeypatch.setattr("resolver.lists.fetch.stored", lambda source, _: offered[source.name])
    for name, second in (("gambling", "new.example"), ("held", "mooo.com")):
        world.register.take(offered[name], reached=True)
        offered[name] = world.candidate(2, ["a.example", second], name=name)
        world.register.take(offered[name])
    monkeypatch.setattr(world.register.waves, "_verdict", reached)
    what = {"list": "held", "version": 2, "state": offered["held"].state, "by": "alice", "now": True}
    word = Word("approval", "held", "stop.isp.example/log/other", 0.0, 0.0, what)
    with monkeypatch.context() as patch:
        patch.setattr("blocklists.durable.copy", full)
        for _ in range(3):
            world.register.tick()
            with pytest.raises(OSError, match="No space left"):
                world.register._follow_approval(word)
    assert "additions that are let through are not active" in world.register.alarms["wave gambling"]
    world.register.tick()
    world.register._follow_approval(word)
    assert [kinds(world).count(kind) for kind in ("list-stage", "list-approved")] == [1, 1]
    assert {name: one.version for name, one in world.register.applied.items()} == {"gambling": 2, "held": 2}
    assert world.register.alarms == {}
