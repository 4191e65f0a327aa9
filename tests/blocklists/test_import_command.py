"""`stopsign issuer import` of what publishers write: registers with grounds, and what never empties a list."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from click.testing import CliRunner

from blocklists import head
from blocklists.issuer.command import issuer
from blocklists.issuer.rehearsal import Rehearsal
from blocklists.issuer.request import Request
from blocklists.issuer.show import as_text
from tests.rigs.dns_host import ROOT
from tests.rigs.issuer_world import BASIS, ISSUER, LIST

if TYPE_CHECKING:
    import pytest
    from click.testing import Result

MAPPING = """
read: {kind: csv}
name: {field: domain}
withdrawn: {field: deleted, when: present}
ground: {order: {field: order}, date: {field: day}}
expect: {shrink_at_most: 50%}
"""
ROWS = (
    "domain;deleted;order;day\na.example;;17/2026;2026-06-01\nb.example;;17/2026;2026-06-01\n"
    "c.example;;18/2026;2026-06-02\nd.example;2026-07-01;18/2026;2026-06-02\n"
)


def run(rehearsal: Rehearsal, *words: str) -> Result:
    desk = ["--dir", str(rehearsal.desk.folder), "--list", LIST, "--basis", "order-17", "--category", "gambling"]
    return CliRunner().invoke(issuer, ["import", *words, *desk, "--json"])


def desk_in(folder: Path) -> Rehearsal:
    rehearsal = Rehearsal.create(folder, ISSUER)
    rehearsal.add_basis(LIST, "order-17", BASIS)
    return rehearsal


def test_a_register_brings_the_ground_of_each_row_to_the_desk(tmp_path: Path) -> None:
    rehearsal = desk_in(tmp_path)
    (tmp_path / "register.yaml").write_text(MAPPING)
    (tmp_path / "register.csv").write_text(ROWS)
    done = run(rehearsal, str(tmp_path / "register.csv"), "--mapping", str(tmp_path / "register.yaml"))
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert {key: said[key] for key in ("taken", "withdrawn", "grounds", "matches")} == {
        "taken": 3, "withdrawn": 1, "grounds": 2, "matches": {"subtree": 3},
    }  # fmt: skip
    grounds = {(ground.order, ground.date, ground.law) for ground in rehearsal.desk.bases(LIST).values()}
    assert {("17/2026", "2026-06-01", BASIS.law), ("18/2026", "2026-06-02", BASIS.law)} < grounds


def test_the_guide_s_register_is_imported_by_the_guide_s_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = (ROOT / "docs/lists.md").read_text(encoding="utf-8")
    (command,) = re.findall(
        r"`stopsign issuer (import register\.xml --mapping register\.yaml --basis order-17) …`", guide
    )
    (bridge,) = [one for one in re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL) if "client.pem" in one]
    mapping = yaml.safe_load(bridge)["lists"][0]["bridge"]["mapping"]
    (tmp_path / "register.yaml").write_text(yaml.safe_dump(mapping))
    (tmp_path / "register.xml").write_text(
        '<r xmlns="urn:x"><entry since="2026-07-01T00:30:00"><domain>a.example</domain>'
        '<decision number="17/2026" date="2026-06-01" office="Board"/></entry>'
        '<entry since="2026-07-01T00:30:00"><domain>b.example</domain>'
        '<decision number="18/2026" date="2026-06-02" office="Board"/></entry></r>'
    )
    rehearsal = desk_in(tmp_path)
    monkeypatch.chdir(tmp_path)
    more = ["--dir", str(rehearsal.desk.folder), "--list", LIST, "--category", "gambling", "--json"]
    done = CliRunner().invoke(issuer, [*command.split(), *more])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["grounds"] == 2
    reviewed = rehearsal.review(Request.load(Path(json.loads(done.stdout)["request"])), rehearsal.signers[0])
    text = "\n".join(as_text(reviewed))
    for said in ("17/2026", "18/2026", "a.example", "b.example"):
        assert said in text


def test_every_rejection_and_notice_is_written_to_the_file_that_is_asked_for(tmp_path: Path) -> None:
    rehearsal = desk_in(tmp_path)
    (tmp_path / "names.txt").write_text("a.example\na.example\nhttp://b.example/x\n" + "192.0.2.1\n" * 1200)
    (tmp_path / "hosts").write_text("0.0.0.0 c.example localhost\n216.239.38.120 www.search.example\n")
    files = [str(tmp_path / "names.txt"), str(tmp_path / "hosts")]
    rejects, notices = tmp_path / "rejects", tmp_path / "notices"
    done = run(rehearsal, *files, "--rejects", str(rejects), "--notices", str(notices))
    assert done.exit_code == 0, done.output
    lines = [line.split("\t") for line in rejects.read_text().splitlines()]
    assert len(lines) == json.loads(done.stdout)["rejected"] == 1202
    assert lines[0] == ["3", "a URL: a resolver stops names, not pages", "http://b.example/x", "names.txt"]
    assert lines[-1][3] == "hosts"
    assert [line.split("\t") for line in notices.read_text().splitlines()] == [
        ["2", "stands already in line 1", "a.example", "names.txt"],
        ["1", "the machine's own name: left out", "localhost", "hosts"],
    ]  # fmt: skip


def test_no_file_without_a_name_empties_a_list(tmp_path: Path) -> None:
    rehearsal = desk_in(tmp_path)
    (tmp_path / "names.txt").write_text("a.example\nb.example\nc.example\n")
    rehearsal.import_files(LIST, [tmp_path / "names.txt"], basis="order-17", category="gambling")
    (tmp_path / "empty.txt").write_text("# nothing today\n192.0.2.1\n")
    done = run(rehearsal, str(tmp_path / "empty.txt"), "--replace")
    assert done.exit_code != 0
    assert "--replace would empty gambling" in str(done.exception)
    (tmp_path / "register.yaml").write_text(MAPPING)
    (tmp_path / "register.csv").write_text("domain;deleted;order;day\na.example;;17/2026;2026-06-01\n")
    words = str(tmp_path / "register.csv"), "--replace", "--mapping", str(tmp_path / "register.yaml")
    done = run(rehearsal, *words)
    assert done.exit_code != 0
    assert "1 names where gambling has 3" in str(done.exception)


def test_more_grounds_than_a_head_has_room_for_are_refused_by_octets_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rehearsal = desk_in(tmp_path)
    (tmp_path / "register.yaml").write_text(MAPPING)
    rows = "".join(f"n{number}.example;;{number}/2026;2026-06-01\n" for number in range(2500))
    (tmp_path / "register.csv").write_text("domain;deleted;order;day\n" + rows)
    words = str(tmp_path / "register.csv"), "--mapping", str(tmp_path / "register.yaml")
    with monkeypatch.context() as patched:
        patched.setattr(head, "MAX_BASES", 300_000)
        done = run(rehearsal, *words, "--dry-run")
        assert done.exit_code != 0
        said = r"2,501 grounds take [0-9]{3},[0-9]{3} octets; the head of a list has room for 300,000"
        assert re.fullmatch(said, str(done.exception))
    assert run(rehearsal, *words).exit_code == 0  # once more than 2,000 were too many
    assert len(rehearsal.desk.bases(LIST)) == 2501
