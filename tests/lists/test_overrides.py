"""What a person lets pass: overrides, the off switch, entries suspended here while an appeal is overdue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from resolver.base.errors import ResolverError
from resolver.base.paths import Places
from resolver.policy import exceptions
from resolver.policy.exceptions import FOR_EVER, Bypass, LiveExceptions, NameException
from resolver.policy.explain import explain
from resolver.policy.overrides import OverrideError, Overrides
from tests.rigs.limits import can_mount, fill, small_tmpfs
from tests.rigs.lists_world import World, make_entry

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path, lists={"gambling": {}, "piracy": {"action": "nxdomain"}})
    world.take(1, ["a.example", "b.example"])
    world.take(1, ["a.example", make_entry("c.example", match="below")], name="piracy")
    return world


def no_room(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def verdict(world: World, name: str) -> str:
    return explain(world.config, name, now=world.clock()).verdict


def test_an_override_passes_the_name_and_all_below_it_until_its_end(world: World) -> None:
    assert verdict(world, "www.a.example") == "stopped"
    new = world.register.people.allow("A.example.", "subtree", "a hospital's", "root", 3600.0).new
    assert verdict(world, "www.a.example") == "passes"
    assert verdict(world, "b.example") == "stopped"
    assert world.leaves()[-1] == ("override-set", "")
    world.clock.now = new.until
    assert verdict(world, "www.a.example") == "stopped"
    assert world.register.people.holding().overrides == ()


def test_an_override_is_renewed_not_doubled_and_is_lifted_with_a_leaf(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.register.people.allow("a.example", "subtree", "one", "root", 3600.0)
    world.register.people.allow("a.example", "exact", "two", "root", 7200.0)
    assert [entry.reason for entry in world.register.people.holding().overrides] == ["two"]
    assert verdict(world, "www.a.example") == "stopped"
    world.register.people.lift("a.example", "root")
    assert verdict(world, "a.example") == "stopped"
    assert world.leaves()[-1] == ("override-lifted", "")
    said = [record.message for record in caplog.records if record.name == "stopsign.lists" and "root" in record.message]
    assert [sentence.startswith("a.example is allowed until 2") for sentence in said] == [True, True, False]
    assert said[1].endswith(" by root: two")
    assert said[2] == "the override of a.example is lifted by root"


def test_an_override_that_the_log_cannot_take_has_its_leaf_later_also_after_a_restart(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("resolver.log.writer.Log.append_many", no_room)
        allowed = world.register.people.allow("a.example", "subtree", "a hospital's", "root", 3600.0)
        assert allowed.trouble == "the override holds; the log cannot be written, and has it as soon as it can"
        assert any("the log cannot be written" in alarm for alarm in world.register.status()["alarms"])
        world.restart()
        world.clock.forward(hours=2)
        world.register.people.allow("b.example", "subtree", "one more", "root", 3600.0)
    world.register.tick()
    assert world.register.people.allow("c.example", "subtree", "the last", "root", 3600.0).trouble is None
    told = [detail for _, detail in said_in_the_log(world, "override-set")]
    assert [(one["name"], one["since"]) for one in told] == [
        ("a.example", "2026-11-22T12:00:00Z"), ("b.example", "2026-11-22T14:00:00Z"),
        ("c.example", "2026-11-22T14:00:00Z"),
    ]  # fmt: skip
    assert Overrides.model_validate_json(world.config.places.overrides.read_bytes()).unlogged == ()
    world.register.tick()
    assert [kind for kind, _ in world.leaves()].count("override-set") == 3


def test_an_override_is_set_in_the_log_before_it_is_lifted_there(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("resolver.log.writer.Log.append_many", no_room)
        world.register.people.allow("a.example", "subtree", "a hospital's", "root", 3600.0)
    world.register.people.lift("a.example", "root")
    world.register.tick()
    said = [kind for kind, _ in world.leaves() if kind.startswith("override")]
    assert said == ["override-set", "override-lifted"]


def test_a_refused_configuration_that_the_log_cannot_take_has_its_leaf_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("resolver.log.writer.Log.append_many", no_room)
        world.register.people.configuration_refused("no such key", {"mistakes": 1, "goes_on": "sha256:0"})
    world.register.tick()
    assert [kind for kind, _ in world.leaves()].count("configuration-refused") == 1


def on_a_full_tmpfs_the_switch_goes_on_and_off(tmp_path: Path) -> None:
    places = Places(tmp_path / "state", tmp_path / "run", tmp_path / "log")
    everything = Bypass("all", "", 1, FOR_EVER, "root", "x" * 1000)
    places.run_dir.mkdir()
    with small_tmpfs(places.run_dir, "1m"):
        exceptions.keep_room(places)
        filler = fill(places.run_dir)
        with pytest.raises(OSError, match="No space left"):
            (places.run_dir / "another").write_bytes(b"x")
        assert exceptions.change(places, lambda live: live.on(everything)) == (exceptions.read(places.exceptions), None)
        assert exceptions.read(places.exceptions).all(2.0)
        exceptions.keep_room(places)
        assert places.reserve.stat().st_size == exceptions.ROOM // 2, "there is no room for more"
        fill(places.run_dir)
        exceptions.change(places, lambda live: live.off("all", "", now=2, by="root"))
        assert not exceptions.read(places.exceptions).all(2.0)
        filler.unlink()
        exceptions.keep_room(places)
        assert places.reserve.stat().st_size == exceptions.ROOM


if can_mount():
    test_on_a_full_tmpfs_the_switch_goes_on_and_off = on_a_full_tmpfs_the_switch_goes_on_and_off


def test_without_a_reserve_a_full_tmpfs_is_said_and_the_steward_keeps_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.register.tick()
    assert len(world.register.places.reserve.read_bytes()) == exceptions.ROOM
    world.register.places.reserve.unlink()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("resolver.base.atomic.inherit_owner", full)
        with pytest.raises(ResolverError, match="No space left"):
            exceptions.change(world.register.places, lambda live: live)
        world.register.tick()
    world.register.tick()
    assert world.register.places.reserve.exists()


def test_overrides_survive_a_restart_and_a_reboot(world: World) -> None:
    import shutil

    world.register.people.allow("a.example", "subtree", "one", "root", 3600.0)
    world.restart()
    assert verdict(world, "a.example") == "passes"
    world.stop()
    shutil.rmtree(world.config.places.run_dir)
    world.start()
    assert verdict(world, "a.example") == "passes"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"name": "1.2.3.4"}, "is not a domain name"),
        ({"reason": "  "}, "needs a reason"),
        ({"seconds": 0.0}, "ends within"),
        ({"seconds": 400 * 86400.0}, "ends within"),
    ],
)
def test_an_override_without_name_reason_or_end_is_refused(world: World, wrong: dict[str, Any], sentence: str) -> None:
    right: dict[str, Any] = {"name": "a.example", "match": "subtree", "reason": "x", "by": "root", "seconds": 60.0}
    with pytest.raises(OverrideError, match=sentence):
        world.register.people.allow(**{**right, **wrong})
    with pytest.raises(OverrideError, match="there is no override"):
        world.register.people.lift("b.example", "root")


def thrown(world: World, kind: exceptions.Kind, of: str = "", *, span: float | None = None, reason: str = "") -> None:
    """As `stopsign bypass on`, by alice."""
    now = int(world.clock())
    until = FOR_EVER if span is None else now + int(span)
    exceptions.change(world.config.places, lambda live: live.on(Bypass(kind, of, now, until, "alice", reason)))


def taken_back(world: World, kind: exceptions.Kind, of: str = "") -> None:
    now = int(world.clock())
    exceptions.change(world.config.places, lambda live: live.off(kind, of, now=now, by="bob"))


def said_in_the_log(world: World, about: str = "bypass") -> list[tuple[str, Any]]:
    """Type and detail of the leaves about the off switch, or of others."""
    log = world.ledger._log
    assert log is not None
    leaves = [(index, kind) for index, (kind, _) in enumerate(world.leaves()) if kind.startswith(about)]
    return [(kind, detail.value) for index, kind in leaves if (detail := log.details.get(index))]


def test_the_off_switch_is_an_alarm_that_names_what_is_off_from_the_moment_it_is_on(world: World) -> None:
    thrown(world, "all", reason="a wrong list")
    assert verdict(world, "a.example") == "passes"
    alarm = "everything passes since 2026-11-22T12:00:00Z by alice, until it is switched off: a wrong list"
    assert world.register.status()["alarms"] == [alarm]
    taken_back(world, "all")
    assert world.register.status()["alarms"] == []
    assert verdict(world, "a.example") == "stopped"
    thrown(world, "list", "gambling", span=3600)
    alarm = "list gambling is bypassed since 2026-11-22T12:00:00Z by alice, until 2026-11-22T13:00:00Z, no reason given"
    assert world.register.status()["alarms"] == [alarm]
    taken_back(world, "list", "gambling")
    for number in range(5):
        thrown(world, "name", f"n{number}.example")
    alarm = "5 names are bypassed, among them n0.example, n1.example, n2.example: stopsign bypass"
    assert world.register.status()["alarms"] == [alarm]


def test_a_bypass_of_a_moment_is_in_the_log_with_its_true_times_although_the_steward_was_dead(world: World) -> None:
    thrown(world, "name", "clinic.example")
    world.register.tick()
    (_, public), (_, private) = said_in_the_log(world)
    assert (public["kind"], public["of"], private["of"]) == ("name", "", "clinic.example")
    taken_back(world, "name", "clinic.example")
    world.register.tick()
    before = len(said_in_the_log(world))
    world.stop()
    thrown(world, "list", "gambling", reason="a wrong list")
    world.clock.forward(seconds=3)
    taken_back(world, "list", "gambling")
    world.clock.forward(hours=2)
    world.start()
    for _ in range(2):
        world.register.tick()
    about = {"kind": "list", "of": "gambling"}
    on, off = (
        {"act": "on", "at": "2026-11-22T12:00:00Z", **about},
        {"act": "off", "at": "2026-11-22T12:00:03Z", **about},
    )
    span = {"since": on["at"], "until": None}
    assert said_in_the_log(world)[before:] == [
        ("bypass", {**on, **span}), ("bypass-words", {**on, "by": "alice", "reason": "a wrong list"}),
        ("bypass", {**off, **span}), ("bypass-words", {**off, "by": "bob", "reason": ""}),
    ]  # fmt: skip
    assert exceptions.read(world.config.places.exceptions).pending_log == ()
    world.restart()
    world.register.tick()
    assert len(said_in_the_log(world)) == before + 4, "once"
    published = b"".join(path.read_bytes() for path in world.config.places.log_dir.rglob("*") if path.is_file())
    assert b"2026-11-22T12:00:03Z" in published, "what was off from when to when is for everybody"
    assert b"alice" not in published, "a person's words stay here"
    assert b"a wrong list" not in published
    assert b"clinic" not in published, "nor a name that is on no list"


def test_a_bypass_with_an_end_ends_by_itself_and_that_is_in_the_log(world: World) -> None:
    thrown(world, "all", span=3600)
    world.register.tick()
    world.clock.forward(hours=1)
    assert verdict(world, "a.example") == "stopped"
    assert world.register.status()["alarms"] == []
    world.clock.forward(hours=1)
    world.register.tick()
    kind, detail = said_in_the_log(world)[-1]
    assert (kind, detail["act"], detail["at"]) == ("bypass", "end", "2026-11-22T13:00:00Z")
    assert exceptions.read(world.config.places.exceptions) == LiveExceptions()
    assert exceptions.read(world.config.places.bypass) == LiveExceptions()


@pytest.mark.parametrize(
    ("full", "said", "then"),
    [
        ("blocklists.durable.DISK.rename", "hold, but not for after a restart", "passes"),
        ("resolver.base.atomic.replace", "are stored, and hold as soon as there is room", "stopped"),
    ],
)
def test_an_override_that_only_one_of_the_disks_took_says_so_and_is_written_again_by_itself(
    world: World, monkeypatch: pytest.MonkeyPatch, full: str, said: str, then: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(full, no_room)
        trouble = world.register.people.allow("a.example", "subtree", "a hospital's", "root", 3600.0).trouble
        assert said in str(trouble)
        assert trouble in world.register.status()["alarms"]
        assert verdict(world, "a.example") == then
    world.register.tick()
    assert world.register.status()["alarms"] == []
    assert verdict(world, "a.example") == "passes"
    world.restart()
    assert [one.name for one in world.register.people.holding().overrides] == ["a.example"]


def test_an_override_that_no_disk_took_changes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("blocklists.durable.DISK.rename", no_room)
        patch.setattr("resolver.base.atomic.replace", no_room)
        with pytest.raises(ResolverError, match="cannot be written"):
            world.register.people.allow("a.example", "subtree", "a hospital's", "root", 3600.0)
    world.register.tick()
    assert world.register.people.holding().overrides == ()
    assert verdict(world, "a.example") == "stopped"


def test_what_the_log_could_not_take_it_is_told_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("resolver.log.writer.Log.append_many", broken)
        thrown(world, "all")
        taken_back(world, "all")
        world.register.tick()
    world.register.tick()
    assert [detail["act"] for kind, detail in said_in_the_log(world) if kind == "bypass"] == ["on", "off"]


def test_what_the_log_has_is_not_told_twice_where_the_file_cannot_be_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    thrown(world, "all")
    with monkeypatch.context() as patch:
        patch.setattr("resolver.policy.exceptions.atomic.replace", full)
        for _ in range(2):
            world.register.tick()
    assert any("No space left" in alarm for alarm in world.register.status()["alarms"])
    world.register.tick()
    assert [kind for kind, _ in said_in_the_log(world)] == ["bypass", "bypass-words"]
    assert exceptions.read(world.config.places.exceptions).pending_log == ()


def test_words_in_the_file_do_nothing_to_a_terminal(world: World) -> None:
    thrown(world, "name", "a.example", reason="\x1b[2Jnone\nat all")
    (one,) = exceptions.read(world.config.places.exceptions).bypasses
    assert one.reason == "\ufffd[2Jnone\ufffdat all"


def test_thrown_again_it_has_been_on_since_the_first_time_and_ends_as_said_last(world: World) -> None:
    thrown(world, "list", "gambling")
    world.clock.forward(minutes=5)
    thrown(world, "list", "gambling", span=60, reason="now we know")
    (one,) = exceptions.read(world.config.places.exceptions).bypasses
    assert (one.since, one.until, one.reason) == (int(world.clock()) - 300, int(world.clock()) + 60, "now we know")


def test_passes_that_somebody_removed_are_put_back(world: World) -> None:
    world.register.people.allow("a.example", "subtree", "one", "root", 3600.0)
    thrown(world, "name", "b.example")
    world.config.places.exceptions.unlink()
    world.register.tick()
    assert [verdict(world, name) for name in ("a.example", "b.example")] == ["passes", "passes"]


def test_the_off_switch_is_as_it_was_after_a_reboot_whoever_writes_first(world: World) -> None:
    thrown(world, "list", "gambling")
    world.config.places.exceptions.unlink()
    thrown(world, "list", "piracy")
    assert exceptions.read(world.config.places.exceptions).lists(world.clock()) == ("gambling", "piracy")
    world.config.places.exceptions.unlink()
    world.restart()
    assert exceptions.read(world.config.places.exceptions).lists(world.clock()) == ("gambling", "piracy")
    world.config.places.exceptions.unlink()
    world.config.places.overrides.write_text("{")
    world.restart()
    assert exceptions.read(world.config.places.exceptions).lists(world.clock()) == ("gambling", "piracy")


def test_an_off_switch_that_a_reboot_and_a_damaged_file_took_is_an_alarm_until_it_is_said_again(world: World) -> None:
    thrown(world, "list", "gambling")
    world.stop()
    world.config.places.exceptions.unlink()
    world.config.places.bypass.write_text("{")
    world.start()
    assert exceptions.read(world.config.places.exceptions).lists(world.clock()) == ()
    alarms = world.register.status()["alarms"]
    assert any(alarm.endswith("what was bypassed before the reboot is blocked again") for alarm in alarms)
    thrown(world, "list", "gambling")
    world.register.people.note_bypass()
    assert not any("before the reboot" in alarm for alarm in world.register.status()["alarms"])


def test_a_configuration_that_is_refused_again_for_the_same_mistake_is_one_leaf(world: World) -> None:
    for text, mistakes in (("x.yaml:3: dns: is missing", 3), ("x.yaml:3: dns: is missing", 3), ("cannot be read", 1)):
        world.register.people.configuration_refused(text, {"mistakes": mistakes, "goes_on": "sha256:0"})
        alarm = world.register.status()["alarms"][-1]
        more = " (and 2 more)" if mistakes == 3 else ""
        assert alarm == f"the new configuration is refused, the old one goes on: {text}{more}"
    assert world.leaves()[-2:] == [("configuration-refused", "")] * 2
    assert world.leaves()[-3] != ("configuration-refused", "")


def test_a_list_that_is_switched_off_leaves_the_others_on(world: World) -> None:
    thrown(world, "list", "gambling", reason="a wrong one")
    found = explain(world.config, "b.example", now=world.clock())
    bypassed = "is bypassed since 2026-11-22T12:00:00Z by alice, until it is switched off: a wrong one"
    assert (found.verdict, found.why) == ("passes", f"on list gambling, which {bypassed}")
    found = explain(world.config, "a.example", now=world.clock())
    assert (found.verdict, found.entries[0].why_not) == ("stopped", f"its list {bypassed}")
    assert found.entries[1].list == "piracy"


def test_a_bypassed_name_passes_without_an_end_and_overrides_stay_beside_it(world: World) -> None:
    world.register.people.allow("b.example", "subtree", "one", "root", 3600.0)
    thrown(world, "name", "a.example")
    why = explain(world.config, "x.a.example", now=world.clock()).why
    assert why.startswith("a.example and all below it are bypassed since 2026-11-22T12:00:00Z by alice, until")
    why = explain(world.config, "b.example", now=world.clock()).why
    words = "since 2026-11-22T12:00:00Z by root, until 2026-11-22T13:00:00Z: one"
    assert why == f"b.example (subtree) is overridden {words}"
    kept = world.config.places.overrides.read_bytes()
    json = "is damaged (Invalid JSON: EOF while parsing"
    for damage, said in ((b"{", json), (b'{"overrides": 1}', "(overrides: "), (b"{}", "says nothing of it")):
        world.config.places.overrides.write_bytes(damage)
        why = explain(world.config, "b.example", now=world.clock()).why
        assert why.startswith("b.example (subtree) is overridden until 2026-11-22T13:00:00Z; ")
        assert said in why
    world.config.places.overrides.write_bytes(kept)
    world.register.people.lift("b.example", "root")
    assert [verdict(world, name) for name in ("a.example", "b.example")] == ["passes", "stopped"]


def test_explain_says_which_entry_decides_and_why_the_others_do_not(world: World) -> None:
    found = explain(world.config, "x.a.example", now=world.clock())
    assert found.verdict == "stopped"
    assert [(entry.list, entry.why_not) for entry in found.entries] == [
        ("gambling", None),
        ("piracy", "the entry of list gambling comes first"),
    ]
    assert "Act 12" in "\n".join(found.lines())
    assert verdict(world, "c.example") == "not listed"
    assert verdict(world, "x.c.example") == "stopped"
    assert verdict(world, "example") == "not listed"
    world.clock.forward(days=73 * 366)
    late = explain(world.config, "a.example", now=world.clock())
    assert late.verdict == "not listed"
    assert all(entry.why_not == "expired 2099-01-01T00:00:00Z" for entry in late.entries)


def test_explain_takes_what_a_subscriber_reads_out(world: World) -> None:
    a, c = make_entry("a.example"), make_entry("c.example", match="below")
    hyphened = "-".join(a.reference[at : at + 4] for at in range(0, 16, 4)).lower()
    for asked in ("https://www.a.example:8443/path?x=1", "www.a.example/", " WWW.A.example. "):
        found = explain(world.config, asked, now=world.clock())
        assert (found.name, found.verdict) == ("www.a.example", "stopped")
    for asked, name in ((a.reference, "a.example"), (hyphened, "a.example"), (c.reference, "www.c.example")):
        found = explain(world.config, asked, now=world.clock())
        assert (found.name, found.verdict) == (name, "stopped")
        assert found.lines()[0] == f"{asked} is about {name}"
    assert explain(world.config, "a.example.", now=world.clock()).lines()[0].startswith("a.example: stopped")
    with pytest.raises(ResolverError, match="no entry has the reference 0000000000000000"):
        explain(world.config, "OOOO OOOO OOOO OOOO", now=world.clock())
    for asked in ("192.0.2.1", "https:///path", "a b.example"):
        with pytest.raises(ResolverError, match="neither a domain name nor a reference"):
            explain(world.config, asked, now=world.clock())
    assert verdict(world, "northwesternmutual") == "not listed"


def test_explain_says_that_a_client_is_not_served(world: World) -> None:
    for client, expected in (("127.0.0.1", "stopped"), ("::ffff:127.0.0.1", "stopped"), ("192.0.2.1", "refused")):
        found = explain(world.config, "a.example", now=world.clock(), client=client)
        assert found.verdict == expected
    assert found.why == "192.0.2.1 is not in dns.allow_clients: its queries are dropped without an answer"
    assert [entry.why_not for entry in found.entries] == [
        "the client is not served", "the entry of list gambling comes first",
    ]  # fmt: skip


def test_explain_names_the_signers_where_the_issuer_s_root_does(world: World) -> None:
    offered = world.candidate(2, ["a.example", "b.example"])
    candidate = offered.model_copy(update={"holders": {"a" * 64: "Alice, registrar"}})
    world.register.take(candidate)
    found = explain(world.config, "a.example", now=world.clock()).entries[0]
    assert (found.list, found.holders) == ("gambling", {"a" * 64: "Alice, registrar"})
    line = "     signed by  Alice, registrar (key aaaaaaaaaaaaaaaa), key bbbbbbbbbbbbbbbb"
    assert line in explain(world.config, "a.example", now=world.clock()).lines()
    written = [path.read_bytes() for path in world.config.places.log_dir.rglob("*") if path.is_file()]
    assert any(b"b" * 64 in text for text in written)
    assert not any(b"Alice" in text for text in written), "the log names keys alone"


def test_explain_knows_for_whom_a_list_holds(tmp_path: Path) -> None:
    views = [
        {"name": "wide", "clients": ["10.0.0.0/8"], "lists": []},
        {"name": "narrow", "clients": ["10.1.0.0/16"], "lists": ["gambling"]},
    ]
    dns = {"listen": ["127.0.0.1:0"], "upstreams": ["127.0.0.1:5335"], "allow_clients": ["10.0.0.0/8", "192.0.2.0/24"]}
    world = World(tmp_path, more={"views": views, "dns": dns})
    world.take(1, ["a.example"])

    def seen(client: str) -> str:
        return explain(world.config, "a.example", now=world.clock(), client=client).verdict

    assert [seen(client) for client in ("10.1.2.3", "10.2.0.1", "192.0.2.1")] == ["stopped", "not listed", "stopped"]


THROWN = (
    b'{"format":2,"overrides":[],"untold":[],'
    b'"bypasses":[{"kind":"all","of":"","since":%s,"until":%s,"by":"somebody","reason":""}]}'
)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b'{"format": 1}',
        b"\xff",
        b'{"format":2,"overrides":3,"bypasses":[],"untold":[]}',
        b'{"format":2,"overrides":[],"bypasses":[{"kind":"most"}],"untold":[]}',
        b"[" * 100_000,
        THROWN % (b"1e17", b"4294967295"),
        THROWN % (b"Infinity", b"4294967295"),
        THROWN % (b"1", b"-1"),
    ],
)
def test_passes_that_cannot_be_understood_are_refused_and_overwritten_by_the_next_change(
    world: World, data: bytes
) -> None:
    path = world.config.places.exceptions
    path.write_bytes(data)
    with pytest.raises(ResolverError, match="exceptions cannot be understood"):
        exceptions.read(path)
    thrown(world, "all")
    assert exceptions.read(path).all(world.clock())


def test_an_end_beyond_all_time_is_none() -> None:
    (one,) = exceptions.parse(THROWN % (b"1", b"9e9")).bypasses
    assert one.until == exceptions.FOR_EVER


@pytest.mark.parametrize(
    ("match", "name", "expected"),
    [
        ("exact", "a.example", True),
        ("exact", "x.a.example", False),
        ("subtree", "a.example", True),
        ("subtree", "x.a.example", True),
        ("subtree", "xa.example", False),
        ("below", "a.example", False),
        ("below", "x.a.example", True),
    ],
)
def test_a_pass_covers_what_its_match_says(match: Any, name: str, expected: bool) -> None:
    assert NameException("a.example", match, 0).covers(name) is expected
