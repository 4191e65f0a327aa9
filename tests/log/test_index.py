"""The index of logs: its form, what follows what, and a desk whose plug is pulled at every write."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from base64 import b64encode
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.log.errors import AuditError, MalformedError, UntrueError
from resolver.log.index import (
    End,
    Index,
    check_address,
    check_follows,
    open_index,
    parse_index,
    parse_logs,
    version_path,
)
from resolver.log.index_desk import IndexDesk, load_key, new_desk, opened
from resolver.log.source import Folder
from resolver.log.verify_all import read_index
from tests.rigs.index_world import NOON, PROVIDER
from tests.rigs.index_world import log_there as log
from tests.rigs.plug import PlugDisk, PulledPlugError

if TYPE_CHECKING:
    from collections.abc import Callable

END = End(NOON + 60, 7, sha256(b"root").digest())
FIRST = Index("isp.example/logs", 1, NOON, None, (log(1), log(2)))
SECOND = Index("isp.example/logs", 2, NOON + 60, FIRST.hash, (log(1), log(2, END), log(3)))


@pytest.mark.parametrize("index", [FIRST, SECOND, replace(FIRST, logs=())])
def test_an_index_is_read_as_it_was_written(index: Index) -> None:
    assert open_index(index.sign(PROVIDER), PROVIDER.verifier) == index


def test_the_text_is_a_line_for_each_thing() -> None:
    assert SECOND.text().splitlines()[:4] == [
        "isp.example/logs", "stopsign-logs/v1", "version 2", "made 2026-11-22T12:01:00Z",
    ]  # fmt: skip
    root = b64encode(END.root).decode()
    assert SECOND.text().splitlines()[6] == (
        f"retired {log(2).key} https://stop.isp.example/log/h2 since 2026-11-22T12:00:00Z "
        f"until 2026-11-22T12:01:00Z size 7 root {root}"
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("stopsign-logs/v1", "stopsign-logs/v2"),
        ("version 2", "version 0"),
        ("version 2", "version 02"),
        ("version 2", "version 1"),
        ("made 2026-11-22T12:01:00Z", "made yesterday"),
        ("made 2026-11-22T12:01:00Z", "made 2026-11-22T12:00:59Z"),  # before a log was retired
        ("before ", "after "),
        ("log/h1 since", "log/h1 until"),
        ("until 2026-11-22T12:01:00Z", "until 2026-11-22T11:59:59Z"),
        ("size 7", "size -7"),
        ("size 7", "size 07"),
        ("https://stop.isp.example/log/h1 ", "file:///etc "),
        ("https://stop.isp.example/log/h1 ", "../h1 "),
        ("retired ", "gone "),
        ("h3 since 2026-11-22T12:00:00Z\n", "h3 since 2026-11-22T12:00:00Z\n\n"),
        ("h3 since 2026-11-22T12:00:00Z", "h3 since 2026-11-22T12:00:00Z for ever"),
    ],
)
def test_what_is_not_of_the_form_is_refused(old: str, new: str) -> None:
    assert old in SECOND.text()
    with pytest.raises(MalformedError):
        parse_index(SECOND.text().replace(old, new, 1))


def test_no_log_and_no_key_comes_twice() -> None:
    line = log(1).line()
    renamed = replace(log(1), key=replace(log(1).key, name="stop.isp.example/log/other")).line()
    for lines in ((line, line), (line, renamed)):
        with pytest.raises(MalformedError, match="stands above already"):
            parse_logs(lines)
    own = replace(log(1), key=replace(PROVIDER.verifier, name="stop.isp.example/log/h1"))
    with pytest.raises(UntrueError, match="its own key"):
        open_index(replace(FIRST, logs=(own,)).sign(PROVIDER), PROVIDER.verifier)


def test_the_name_is_that_of_the_key() -> None:
    with pytest.raises(UntrueError, match="the key is that of"):
        open_index(replace(FIRST, name="other.example/logs").sign(PROVIDER), PROVIDER.verifier)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_octets_raise_anything_else(data: bytes) -> None:
    with pytest.raises(AuditError):
        open_index(data, PROVIDER.verifier)
    with suppress(MalformedError):
        parse_index(data.decode("utf-8", "replace"))


@given(st.text(max_size=60))
def test_an_address_is_on_the_web_or_below_the_index(address: str) -> None:
    with suppress(MalformedError):
        check_address(address)
        assert address.startswith(("http://", "https://")) or ".." not in address.split("/")
        assert not address.startswith(("/", "index", "version/"))


def test_a_version_follows_the_one_before() -> None:
    check_follows(SECOND, FIRST)
    moved = replace(SECOND, logs=(replace(log(1), address="elsewhere"), *SECOND.logs[1:]))
    check_follows(moved, FIRST)


THIRD = replace(SECOND, version=3, before=SECOND.hash)


@pytest.mark.parametrize(
    ("newer", "older", "said"),
    [
        (replace(SECOND, version=3), FIRST, "does not follow"),
        (replace(SECOND, before=bytes(32)), FIRST, "does not follow"),
        (replace(SECOND, made=NOON - 1), FIRST, "was made"),
        (replace(SECOND, logs=SECOND.logs[1:]), FIRST, "is gone from version 2"),
        (replace(SECOND, logs=(replace(log(1), since=NOON - 1), *SECOND.logs[1:])), FIRST, "another key or"),
        (replace(THIRD, logs=(log(1), log(2), log(3))), SECOND, "says another end"),
        (replace(THIRD, logs=(log(1), log(2, replace(END, size=8)), log(3))), SECOND, "says another end"),
    ],
)
def test_what_does_not_follow_is_refused(newer: Index, older: Index, said: str) -> None:
    with pytest.raises(UntrueError, match=said):
        check_follows(newer, older)


# -- the desk


class Life:
    """A provider that signs three versions; what was published, and what it was told is signed."""

    def __init__(self, root: Path, disk: PlugDisk) -> None:
        self.root, self.disk, self.promised = root, disk, 0

    def day(self) -> None:
        new_desk(self.root, "isp.example/logs", bytes, self.disk)
        for number in (1, 2, 3):
            self.step(number)

    def step(self, number: int) -> None:
        desk = IndexDesk(self.root, self.disk)
        desk.put(log(number))
        self.promised = desk.sign(load_key(self.root / "index.key", self.disk), NOON + 60 * number).version

    def check(self, before: list[tuple[Path, bytes]]) -> None:
        """Whatever anybody may have read is one history, and the desk goes on with it."""
        desk = IndexDesk(self.root, self.disk)
        assert (desk.newest.version if desk.newest else 0) >= self.promised
        self.step(9)
        published = self.root / "published"
        seen = [data for path, data in before + self.disk.renamed if path == published / "index"]
        newest = IndexDesk(self.root, self.disk).newest
        assert newest is not None
        for note in seen:
            version = open_index(note, PROVIDER.verifier).version
            assert self.disk.read(published / version_path(version), 1 << 20) == note
        older: Index | None = None
        for number in range(1, newest.version + 1):
            index = open_index(self.disk.read(published / version_path(number), 1 << 20), PROVIDER.verifier)
            if older is not None:
                check_follows(index, older)
            older = index


def struck(number: int, wrong: Exception) -> Callable[[int], None]:
    def fault(operation: int) -> None:
        if operation == number:
            raise wrong

    return fault


@pytest.mark.parametrize("wrong", [PulledPlugError(), OSError(28, "No space left on device")])
def test_the_plug_may_be_pulled_and_the_disk_be_full_at_every_write_of_the_desk(wrong: Exception) -> None:
    root = Path("/desk")
    whole = Life(root, PlugDisk())
    whole.day()
    assert whole.promised == 3
    for number in range(1, whole.disk.operations + 1):
        life = Life(root, PlugDisk(struck(number, wrong)))
        with pytest.raises(type(wrong)):
            life.day()
        before = life.disk.renamed
        if isinstance(wrong, PulledPlugError):
            life.disk = life.disk.after_the_plug(number)
        life.disk.fault = lambda _number: None
        with suppress(AuditError):
            new_desk(root, "isp.example/logs", bytes, life.disk)
        life.check(before)


SIGNER = """
import sys
from pathlib import Path
from resolver.log.index_desk import load_key, opened
from tests.rigs.index_world import NOON, log_there

while True:
    with opened(Path(sys.argv[1])) as desk:
        desk.put(log_there(number := desk.newest.version + 1 if desk.newest else 1))
        print(desk.sign(load_key(Path(sys.argv[1]) / "index.key"), NOON + 60 * number).version, flush=True)
"""


def test_kill_9_leaves_an_index_that_goes_on(tmp_path: Path) -> None:
    desk, seen, promised = tmp_path / "desk", tmp_path / "seen", 0
    new_desk(desk, "isp.example/logs", bytes)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    for lines in (1, 3, 5):
        command = [sys.executable, "-c", SIGNER, str(desk)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as signer:
            assert signer.stdout
            for _ in range(lines):
                promised = int(signer.stdout.readline())
            signer.send_signal(signal.SIGKILL)  # in the middle of the next version
        with opened(desk) as left:
            assert left.newest is not None
            assert left.newest.version >= promised
        read, _ = read_index(Folder(desk / "published"), PROVIDER.verifier, seen)
        assert read.index == left.newest, "each version follows, and what was seen before is continued"
