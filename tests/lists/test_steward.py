"""The steward's process as an operator meets it: started, asked through the commands, fed by a rehearsed desk."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
import yaml
from click.testing import CliRunner

from blocklists.head import Issuer
from blocklists.issuer.rehearsal import Rehearsal
from resolver.cli import main
from resolver.config.schema import load
from resolver.ipc import control
from resolver.lists.fetch import Mirror, VerifyError
from resolver.lists.steward import pause
from resolver.log.note import parse_vkey
from resolver.log.proof import check_proof
from tests.rigs.dns_host import wait_until
from tests.rigs.lists_world import GROUND, Clock, settings
from tests.rigs.steward import serving

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

OTHER_HOST = "stop.isp.example/log/dns2+938fb454+AVmZwkGOlCCGpUQpD2Fa+7T7NyYwI3ufmWtJ2pNNASBr"


class Provider:
    """A desk that publishes, and a steward in a thread that follows it."""

    def __init__(self, folder: Path, **lists: dict[str, Any]) -> None:
        # The commands read the real clock: from there the test moves on.
        self.folder, self.clock = folder, Clock(time.time())
        self.desk = Rehearsal.create(
            folder / "issuer",
            Issuer("Authority", "list@authority.example", "appeals@authority.example"),
            clock=lambda: datetime.fromtimestamp(self.clock(), UTC),
        )
        self.lists = {
            name: {
                "repository": str(self.desk.desk.published),
                "trusted_root": str(self.desk.desk.trusted_root),
                "refresh": "1h",
                **more,
            }
            for name, more in (lists or {"gambling": {}}).items()
        }
        for name in self.lists:
            self.desk.add_basis(name, "order-17", GROUND)
        (folder / "stopsign.yaml").write_text(yaml.safe_dump(settings(folder, **self.lists)))

    def publish(self, *names: str, name: str = "gambling") -> None:
        file = self.folder / "names.txt"
        file.write_text("\n".join(names))
        self.desk.import_files(name, [file], basis="order-17", category="gambling")

    def running(self) -> AbstractContextManager[None]:
        return serving(self.folder / "stopsign.yaml", self.clock)

    def ask(self, *arguments: str) -> Answer:
        result = CliRunner().invoke(main.stopsign, [*arguments, "--dir", str(self.folder)])
        return Answer(result.exit_code, result.stdout, result.exception, result.stderr)


class Answer:
    def __init__(self, status: int, output: str, error: BaseException | None, warned: str) -> None:
        self.status, self.output, self.error, self.warned = status, output, error, warned

    @property
    def json(self) -> Any:
        return json.loads(self.output)


@pytest.fixture
def provider(tmp_path: Path) -> Provider:
    return Provider(tmp_path)


def test_what_two_people_signed_is_active_and_the_next_version_replaces_it(provider: Provider) -> None:
    provider.publish("a.example", "b.example")
    with provider.running():
        first = provider.ask("lists", "refresh")
        assert first.status == 0
        assert provider.ask("explain", "www.a.example", "--json").json["verdict"] == "stopped"
        provider.desk.change("gambling", add=["c.example"], remove=["b.example"])
        assert provider.ask("lists", "refresh", "--json").json["outcomes"][0]["outcome"] == "active"
        verdicts = [provider.ask("explain", f"{x}.example", "--json").json["verdict"] for x in "abc"]
        assert verdicts == ["stopped", "not listed", "stopped"]
        status = provider.ask("lists", "status", "--json").json
        assert status["lists"][0]["version"] == 2
        assert status["alarms"] == []


def test_who_asks_for_a_refresh_gets_a_damaged_document_made_again(provider: Provider) -> None:
    provider.publish("a.example")
    with provider.running():
        assert provider.ask("lists", "refresh").status == 0
        (document,) = provider.folder.glob("state/lists/gambling/applied/*.zst")
        whole = document.read_bytes()
        document.write_bytes(whole[:10])
        assert provider.ask("lists", "refresh").status == 0
        assert document.read_bytes() == whole


def test_what_breaks_off_a_tick_is_an_alarm_and_the_steward_goes_on(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(_: object) -> NoReturn:
        raise RecursionError("maximum recursion depth exceeded")

    def alarms() -> list[str]:
        said: list[str] = provider.ask("lists", "status", "--json").json["alarms"]
        return said

    monkeypatch.setattr("resolver.lists.steward.TICK", 0.05)
    provider.publish("a.example")
    with provider.running():
        assert provider.ask("lists", "refresh").status == 0
        with monkeypatch.context() as broken:
            broken.setattr("resolver.lists.people.People.write_again", wrong)
            told = "what time brings is not all done: RecursionError: maximum recursion depth exceeded"
            wait_until(lambda: alarms() == [told], "an alarm")
        wait_until(lambda: alarms() == [], "its end")


def entries_reported(report: Path) -> int:
    return int(json.loads(report.read_text())["entries"]["total"]) if report.exists() else 0


def test_what_became_active_and_what_came_in_can_be_proved_to_anybody(provider: Provider) -> None:
    provider.publish("a.example")
    with provider.running():
        provider.ask("lists", "refresh")
        places = load(provider.folder / "stopsign.yaml").places
        appeal: dict[str, Any] = {"appeal": "A-0123456789AB", "reference": "7ZK3M9Q2XW4T8RBC", "ground": "lawful"}
        received = {"what": "received", **appeal}
        answers = control.call(places.control_socket, "appeal-reports", reports=[received])["answers"]
        decided: dict[str, Any] = {
            "appeals": {appeal["appeal"]: appeal["reference"]},
            "outcome": "upheld",
            "by": "Ms Day",
        }
        control.call(places.control_socket, "decide", **decided)
        decision = {"what": "decision", "appeal": appeal["appeal"]}
        answers += control.call(places.control_socket, "appeal-reports", reports=[decision])["answers"]
        wait_until(lambda: entries_reported(places.report) == 1, "the report that everybody may read knows the list")
    (start,) = provider.ask("audit", "show", "--type", "start", "--json").output.splitlines()
    assert json.loads(start)["detail"]["configuration"] == load(provider.folder / "stopsign.yaml").digest
    key = parse_vkey(places.log_vkey.read_text().strip())
    activation = check_proof(places.activated("gambling").read_bytes(), key)
    assert (activation.leaf.type, activation.leaf.reference) == ("list-activated", "gambling/1")
    assert activation.detail is not None
    assert activation.detail.value["entries"] == 1
    for answer, kind in zip(answers, ("appeal-received", "appeal-decided"), strict=True):
        proven = check_proof(answer["proof"].encode(), key)
        assert (proven.index, proven.leaf.type) == (answer["leaf"], kind)
        assert proven.detail is not None
        assert proven.detail.value["appeal"] == appeal["appeal"]
    assert json.loads(places.report.read_text())["hosts"][0]["leaves"] > 0
    assert places.report.with_suffix(".csv").read_text().startswith("section,")


def test_what_is_said_of_all_hosts_on_the_command_line_is_handed_to_the_others_with_its_proof(
    provider: Provider,
) -> None:
    path = provider.folder / "stopsign.yaml"
    alone = provider.ask("override", "allow", "a.example", "--reason", "x", "--everywhere")
    assert "no other host is configured" in str(alone.error)
    path.write_text(path.read_text() + yaml.safe_dump({"log": {"peers": [OTHER_HOST]}}))
    provider.publish("a.example", "b.example")
    with provider.running():
        provider.ask("lists", "refresh")
        places = load(path).places
        allowed = provider.ask("override", "allow", "a.example", "--reason", "a hospital")
        assert "at this host alone" in allowed.output
        assert control.call(places.control_socket, "shared", known={})["words"] == []
        provider.ask("override", "allow", "b.example", "--reason", "a hospital", "--everywhere")
        provider.ask("bypass", "on", "gambling", "--for", "2h", "--reason", "a bank", "--everywhere")
        said = control.call(places.control_socket, "shared", known={})["words"]
    key = parse_vkey(places.log_vkey.read_text().strip())
    details = [check_proof(one["proof"].encode(), key).detail for one in said]
    told = {one.value["subject"]: one.value["what"] for one in details if one is not None}
    assert any("b.example" in subject for subject in told)
    assert any("gambling" in subject and what["reason"] == "a bank" for subject, what in told.items())
    assert len(told) == 2


def test_a_refused_list_is_exit_1_with_the_reason_and_the_last_good_list_goes_on(provider: Provider) -> None:
    provider.publish("a.example")
    with provider.running():
        provider.ask("lists", "refresh")
        timestamp = provider.desk.desk.published / "metadata/timestamp.json"
        signed = json.loads(timestamp.read_bytes())
        signed["signed"]["version"] += 1
        timestamp.write_text(json.dumps(signed))
        answer = provider.ask("lists", "refresh")
        assert answer.status == 1
        assert "gambling: refused: signature-threshold" in answer.output
        assert provider.ask("explain", "a.example", "--json").json["verdict"] == "stopped"
        assert "refused since" in provider.ask("lists", "status").output


def test_an_addition_is_held_named_compared_and_approved(provider: Provider) -> None:
    provider.publish("a.example", "b.example")
    with provider.running():
        provider.ask("lists", "refresh")
        provider.desk.change("gambling", add=["mooo.com"], remove=["b.example"])
        assert "held" in provider.ask("lists", "refresh").output
        assert provider.ask("explain", "b.example", "--json").json["verdict"] == "not listed"
        held = provider.ask("lists", "status", "--json").json["lists"][0]["held"]
        assert [change["name"] for change in provider.ask("lists", "diff", "gambling", "--json").json["changes"]] == [
            "mooo.com"
        ]
        shown = provider.ask("lists", "status").output
        assert f"stopsign lists approve gambling 2 {held['state'][7:23]}" in shown
        wrong = provider.ask("lists", "approve", "gambling", "2", "0" * 16)
        assert "what is held" in str(wrong.error)
        assert provider.ask("lists", "approve", "gambling", "2", held["state"][7:23]).status == 0
        assert provider.ask("explain", "mooo.com", "--json").json["verdict"] == "stopped"
        assert provider.ask("lists", "status", "--json").json["lists"][0]["held"] is None


def test_a_withdrawn_entry_is_off_with_the_next_refresh_and_one_list_does_not_touch_another(tmp_path: Path) -> None:
    provider = Provider(tmp_path, gambling={}, piracy={"action": "nxdomain"})
    provider.publish("a.example")
    provider.publish("p.example", name="piracy")
    with provider.running():
        provider.ask("lists", "refresh", "piracy")
        provider.ask("lists", "refresh")
        assert provider.ask("explain", "p.example", "--json").json["entries"][0]["action"] == "nxdomain"
        provider.desk.change("gambling", remove=["a.example"])
        provider.ask("lists", "refresh", "gambling")
        assert provider.ask("explain", "a.example", "--json").json["verdict"] == "not listed"
        assert provider.ask("explain", "p.example", "--json").json["verdict"] == "stopped"


def test_a_reason_adds_no_line_and_controls_no_terminal(provider: Provider) -> None:
    evil = "a\x1b[31mred\x1b[2J\nroot: fake"
    inert = "a\ufffd[31mred\ufffd[2J\ufffdroot: fake"
    provider.publish("a.example")
    with provider.running():
        provider.ask("lists", "refresh")
        provider.ask("override", "allow", "a.example", "--reason", evil, "--for", "1m")
        told = [provider.ask("override", "list").output]
        assert told[0].endswith(f": {inert}\n")
        told.append(provider.ask("override", "allow", "a.example", "--reason", evil, "--for", "1m").warned)
        assert f": {inert}; now until" in told[1]
        told.append(provider.ask("bypass", "on", "a.example", "--reason", evil).output)
        again = provider.ask("bypass", "on", "a.example", "--reason", evil)
        assert f"was on already since {again.output.partition('since ')[2].splitlines()[0]}" in again.warned
        told += [again.output, again.warned, provider.ask("bypass").output, provider.ask("explain", "a.example").output]
        assert [one for one in told if inert not in one or "\x1b" in one or "\nroot" in one] == []
        assert provider.ask("override", "list", "--json").json["overrides"][0]["reason"] == evil, (
            "programs get it whole"
        )


def test_overrides_are_set_listed_and_lifted_by_command(provider: Provider) -> None:
    provider.publish("a.example")
    with provider.running():
        provider.ask("lists", "refresh")
        provider.ask("override", "allow", "a.example", "--reason", "a hospital's", "--for", "72h")
        assert "a hospital's" in provider.ask("override", "list").output
        again = provider.ask("override", "allow", "a.example", "--reason", "more", "--for", "1h", "--match", "exact")
        (now,) = provider.ask("override", "list", "--json").json["overrides"]
        assert re.search(
            r"warning: a\.example \(subtree\) was overridden already "
            rf"since [^ ]+ by {re.escape(now['by'])}, until [^ ]+: a hospital's; now until {now['until']}\n",
            again.warned,
        )
        assert provider.ask("explain", "a.example", "--json").json["verdict"] == "passes"
        lifted = provider.ask("override", "lift", "a.example")
        assert (lifted.status, "warning: nobody runs with" in lifted.warned) == (1, True), "as by `bypass`: no worker"
        for wrong, why in (
            ("example", "'example' alone would be a top-level domain"),
            ("gambling", "is a list, not a name"),
            ("not a name", "'not a name' is not a name"),
            ("1.2.3.4", "'1.2.3.4' is not a name"),
        ):
            assert why in str(provider.ask("override", "allow", wrong, "--reason", "x").error)
        assert provider.ask("override", "list").output == "no overrides\n"
        assert provider.ask("explain", "a.example", "--json").json["verdict"] == "stopped"
        assert provider.ask("override", "allow", "a.example", "--reason", "x", "--for", "3").status == 2
        long = provider.ask("override", "allow", "a.example", "--reason", "x" * 5000).error
        assert str(long) == "reason has 5,000 characters; 4,096 at most would be right"
        done = provider.ask("override", "allow", "http://b.example/page", "--reason", "x")
        assert done.output.partition(" until")[0] == "b.example (subtree) passes"
        assert "no list holds b.example or a name above it" in done.warned
        reference = provider.ask("explain", "a.example", "--json").json["entries"][0]["reference"]
        for typed in (
            "https://a.example/page?q=1",
            reference,
            f"{reference[:8]}-{reference[8:]}".lower(),
            "A.EXAMPLE.",
        ):
            provider.ask("override", "allow", typed, "--reason", "x")
            assert provider.ask("override", "lift", typed).output == "a.example no longer passes\n"
        provider.ask("override", "allow", reference, "--reason", "x")
        provider.desk.change("gambling", add=["c.example"], remove=["a.example"])
        provider.ask("lists", "refresh")
        done = provider.ask("override", "lift", reference.lower(), "--json")
        assert (done.json["name"], done.json["behind"]) == ("a.example", []), "though its entry has gone"
        error = provider.ask("override", "lift", reference).error
        assert str(error) == f"there is no override for {reference}"
        assert "is a list, not a name" in str(provider.ask("override", "lift", "gambling").error)


def test_with_the_steward_dead_explain_bypass_and_diff_work_and_status_says_so(provider: Provider) -> None:
    provider.publish("a.example")
    with provider.running():
        provider.ask("lists", "refresh")
    explained = provider.ask("explain", "a.example", "--json").json
    assert explained["verdict"] == "stopped"
    assert sorted(explained["entries"][0]["holders"].values()) == ["alice", "bob"]
    said = provider.ask("bypass", "on", "a.example", "--reason", "a bank", "--for", "2h").output.splitlines()
    assert said[0] == "passing: a.example"
    assert re.fullmatch(r"  a\.example since \S+Z by \S+, until \S+Z: a bank", said[1])
    assert provider.ask("explain", "a.example", "--json").json["verdict"] == "passes"
    switched = provider.ask("bypass", "on", "gambling", "--json").json
    assert (switched["lists"], switched["names"]) == (["gambling"], ["a.example"])
    assert [one["until"] is None for one in switched["bypasses"]] == [False, True]
    said = provider.ask("bypass", "on").output.splitlines()
    assert said[0] == "everything passes: nothing is blocked"
    assert provider.ask("bypass").output.splitlines() == said, "shown as long as it is on"
    done = provider.ask("bypass", "off")
    assert (done.output, "nothing was on" in done.warned) == ("blocking as the lists say\n", False)
    assert provider.ask("bypass", "on", "a.example").status == 1
    assert "nothing was on" not in provider.ask("bypass", "off").warned, "it ends what was on apart"
    assert provider.ask("bypass", "off").warned.startswith("stopsign: warning: nothing was on\n")
    assert provider.ask("lists", "diff", "gambling").output == "gambling: version 1 to 1: no difference\n"
    assert "neither a list nor a name" in str(provider.ask("bypass", "on", "not a name").error)
    assert "there is no list 'gamblign'" in str(provider.ask("bypass", "on", "gamblign").error)
    assert provider.ask("bypass", "on", "example.").output.splitlines()[0] == "passing: example"
    assert provider.ask("bypass", "off", "example").output == "blocking as the lists say\n"
    assert provider.ask("bypass", "off", "--for", "2h").status == 2
    assert "the steward does not answer" in str(provider.ask("lists", "status").error)


def test_what_is_switched_off_is_said_as_people_have_it_and_what_no_list_stops_is_noted(provider: Provider) -> None:
    provider.publish("a.example")
    with provider.running():
        provider.ask("lists", "refresh")
    reference = provider.ask("explain", "a.example", "--json").json["entries"][0]["reference"]
    for said, name, listed in (
        ("a.example", "a.example", True), ("https://www.a.example:8443/path?x=1", "www.a.example", True),
        (reference, "a.example", True), ("-".join(reference[at : at + 4] for at in range(0, 16, 4)), "a.example", True),
        ("https://b.example/a.example", "b.example", False), ("example.", "example", False),
    ):  # fmt: skip
        done = provider.ask("bypass", "on", said)
        assert done.output.splitlines()[0] == f"passing: {name}"
        assert (f"no list holds {name} or a name above it" in done.warned) is not listed
        assert provider.ask("bypass", "off", said).output == "blocking as the lists say\n"
    for said, why in (
        ("0000000000000000", "there is no list '0000000000000000', nor an entry with that reference"),
        ("https://gambling/", "there is no list 'https://gambling/'"), ("https://192.0.2.1/", "neither a list nor a"),
    ):  # fmt: skip
        assert why in str(provider.ask("bypass", "on", said).error)
    (provider.folder / "run/current.list").unlink()
    done = provider.ask("bypass", "on", "a.example")
    assert done.output.splitlines()[0] == "passing: a.example"
    assert "whether a list holds a.example cannot be seen" in done.warned


def test_the_off_switch_stays_thrown_over_a_restart(provider: Provider) -> None:
    provider.publish("a.example")
    with provider.running():
        provider.ask("lists", "refresh")
    provider.ask("bypass", "on", "a.example")
    (provider.folder / "run/passes.json").unlink()
    with provider.running():
        assert provider.ask("explain", "a.example", "--json").json["verdict"] == "passes"


@pytest.mark.parametrize(
    ("days", "reason", "action"),
    [(2, "expired", "stop-page"), (10, "expired", "stop-page"), (20, "expired", "monitor")],
)
def test_a_mirror_that_freezes_a_list_cannot_keep_a_block_alive(
    provider: Provider, days: int, reason: str, action: str
) -> None:
    provider.publish("a.example")
    with provider.running():
        provider.ask("lists", "refresh")
        provider.clock.forward(days=days)
        answer = provider.ask("lists", "refresh", "--json")
        assert answer.status == 1
        assert answer.json["outcomes"][0]["reason"] == reason
    with provider.running():
        status = provider.ask("lists", "status", "--json").json
        assert status["lists"][0]["action"] == action
        assert any("confirmed" in alarm for alarm in status["alarms"])


def test_check_config_says_good_or_everything_that_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "stopsign.yaml"
    path.write_text(yaml.safe_dump(settings(tmp_path)))
    assert "good" in CliRunner().invoke(main.stopsign, ["check-config", "--no-trial", str(path)]).output
    assert "good" in CliRunner().invoke(main.stopsign, ["check-config", "--no-trial", "--config", str(path)]).output
    assert "good" in CliRunner().invoke(main.stopsign, ["check-config", "--no-trial", "--dir", str(tmp_path)]).output
    assert CliRunner().invoke(main.stopsign, ["check-config", str(path), "--config", str(path)]).exit_code == 2
    assert CliRunner().invoke(main.stopsign, ["check-config", str(path), "--dir", str(tmp_path)]).exit_code == 2
    path.write_text("dns: {listen: 3}\nrun_dir: x")
    error = str(CliRunner().invoke(main.stopsign, ["check-config", str(path)]).exception)
    assert "stopsign.yaml:1: dns.listen: is not a list" in error
    assert "state_dir: is missing" in error
    assert json.loads(CliRunner().invoke(main.stopsign, ["check-config", "--schema"]).output)["properties"]


def test_refreshes_spread_and_a_host_in_trouble_is_asked_ever_more_rarely() -> None:
    assert [pause(300, failures, 0.5) for failures in (0, 1, 2, 3, 9)] == [300, 30, 600, 1200, 3600]
    assert 270 <= pause(300, 0, 0.0) < pause(300, 0, 1.0) <= 330
    assert pause(7200, 9, 0.5) == 7200


@pytest.mark.parametrize(
    ("later", "complete", "all_of_it"),  # less than 0: the clock was ahead, and is right again
    [(60, False, False), (60, True, True), (7200, False, True), (86400, False, True), (-7200, False, True)],
)
def test_a_look_at_an_unchanged_mirror_costs_one_small_file_but_an_hourly_one_is_complete(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, later: float, complete: bool, all_of_it: bool
) -> None:
    provider.publish("a.example")
    config = load(provider.folder / "stopsign.yaml")
    mirror = Mirror(config.lists[0], config.places.list("gambling"))
    first = mirror.fetch(provider.clock())

    def refused(*_: object, **__: object) -> NoReturn:
        raise VerifyError("expired", "all of it was looked at")

    monkeypatch.setattr("blocklists.verify.refresh", refused)
    if all_of_it:
        with pytest.raises(VerifyError, match="all of it"):
            mirror.fetch(provider.clock() + later, complete=complete)
    else:
        assert mirror.fetch(provider.clock() + later, complete=complete) is first


def test_a_new_version_is_seen_by_the_small_look(provider: Provider) -> None:
    provider.publish("a.example")
    config = load(provider.folder / "stopsign.yaml")
    mirror = Mirror(config.lists[0], config.places.list("gambling"))
    assert mirror.fetch(provider.clock()).version == 1
    provider.desk.change("gambling", add=["b.example"])
    assert mirror.fetch(provider.clock()).version == 2


def test_prometheus_is_told_about_every_list(tmp_path: Path) -> None:
    from prometheus_client import CollectorRegistry, generate_latest

    from resolver.lists.metrics import Lists
    from tests.rigs.lists_world import World

    world = World(tmp_path, lists={"gambling": {}, "piracy": {}})
    world.take(1, ["a.example", "b.example"])
    world.take(2, ["a.example", "com"])
    registry = CollectorRegistry()
    registry.register(Lists(world.register.status))
    text = generate_latest(registry).decode()
    for line in (
        'stopsign_list_entries{list="gambling"} 1.0',
        'stopsign_list_held{list="gambling"} 1.0',
        'stopsign_list_version{list="piracy"} 0.0',
        "stopsign_log_failing 0.0",
    ):
        assert line in text
