"""docs/logs.md, typed as it stands there, in its order; what the page says a command prints, it prints."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tests.rigs.command_line import run
from tests.rigs.http_folder import served
from tests.rigs.index_world import origin
from tests.rigs.log_world import World
from tests.rigs.walk import check, steps, words

if TYPE_CHECKING:
    import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "logs.md"


def test_the_page_can_be_walked_and_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    worlds = {host: World(tmp_path / host, origin(host), 1000 * at) for at, host in enumerate(("fra-1", "ber-1"))}
    folder = tmp_path / "walk"
    (folder / "desk/published").mkdir(parents=True)
    monkeypatch.chdir(folder)
    told: dict[str, str] = {}
    with ExitStack() as running:
        for host, world in worlds.items():
            with world.open() as log:
                log.append("start", "", {})
                log.append("heartbeat", "", {})
            shutil.copyfile(world.log_dir / "log.vkey", folder / f"{host}.vkey")
            told[f"https://stop.isp.example/log/{host}"] = running.enter_context(served(world.log_dir))
        told["https://isp.example/logs"] = running.enter_context(served(folder / "desk/published"))
        walk = steps(GUIDE)
        assert len(walk) >= 10
        for step in walk:
            if step.command.startswith("logs retire"):
                with worlds["ber-1"].open() as log:
                    log.append("stop", "", {})
            check(step, told, run(capsys, *words(step, told)))
            if step.command.startswith("logs init"):
                shutil.copyfile("desk/published/index.vkey", "index.vkey")


def test_one_log_of_one_leaf_is_said_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world, desk = World(tmp_path / "fra-1", origin("fra-1"), 1000), tmp_path / "desk"
    with world.open() as log:
        log.append("start", "", {})
    run(capsys, "logs", "init", desk, "isp.example/logs")
    said = run(capsys, "logs", "add", desk, world.log_dir, "--key", world.log_dir / "log.vkey", "--at", "fra-1")[1]
    assert ": 1 leaf verified; " in said
    assert run(capsys, "logs", "sign", desk)[1].endswith("published: 1 log\n")


def test_every_command_of_the_page_exists(capsys: pytest.CaptureFixture[str]) -> None:
    for step in steps(GUIDE):
        said = step.command.split()
        told = run(capsys, *said[: 1 if said[0] == "report" else 2], "--help")[1]
        assert all(word in told for word in said if word.startswith("--")), step.command
