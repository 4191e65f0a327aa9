"""What reaches the journal: entries that journald itself would take, and never a word that waits."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from resolver.base import journal
from tests.rigs.dns_host import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def parse(entry: bytes) -> dict[str, str]:
    """As journald reads it (Native Journal Protocol)."""
    fields = {}
    while entry:
        line, _, entry = entry.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(entry[:8], "little")
            value, entry = entry[8 : 8 + size], entry[9 + size :]
        fields[name.decode()] = value.decode()
    return fields


@pytest.fixture
def journald(tmp_path: Path) -> socket.socket:
    one = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.bind(str(tmp_path / "journal"))
    one.settimeout(10)
    return one


def logger(folder: Path) -> logging.Logger:
    log = logging.getLogger("stopsign.test")
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(journal.Journal(str(folder / "journal")))
    return log


def test_an_entry_has_its_fields_whatever_stands_in_them(tmp_path: Path, journald: socket.socket) -> None:
    log = logger(tmp_path)
    log.error("list %s is refused:\nPRIORITY=0\n", "x=y", extra=journal.about(list="gambling", reason="two\nlines"))
    fields = parse(journald.recv(65536))
    assert fields["MESSAGE"] == "list x=y is refused:\nPRIORITY=0\n"
    assert (fields["PRIORITY"], fields["LOGGER"], fields["SYSLOG_IDENTIFIER"]) == ("3", "stopsign.test", "stopsign")
    assert (fields["STOPSIGN_LIST"], fields["STOPSIGN_REASON"]) == ("gambling", "two\nlines")
    assert fields["CODE_FILE"].endswith("test_journal.py")
    log.info("%s", "é" * 200_000)
    assert len(parse(journald.recv(1 << 20))["MESSAGE"]) < 50_000
    journald.close()
    log.handlers.pop().close()


def test_a_journal_that_sleeps_costs_words_and_no_time(tmp_path: Path, journald: socket.socket) -> None:
    log = logger(tmp_path)
    for number in range(5000):  # more than its socket holds
        log.info("%d", number)
    heard = []
    journald.setblocking(False)
    try:
        while True:
            heard.append(parse(journald.recv(65536)))
    except BlockingIOError:
        log.info("after")
    journald.settimeout(10)
    assert int(parse(journald.recv(65536))["STOPSIGN_LOST"]) == 5000 - len(heard)
    journald.close()
    log.handlers.pop().close()


def test_only_the_stream_that_systemd_connected_is_the_journal() -> None:
    status = os.fstat(2)
    assert journal.is_journal({"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
    for other in ({}, {"JOURNAL_STREAM": "1:2"}, {"JOURNAL_STREAM": "x"}):
        assert not journal.is_journal(other)


def test_elsewhere_lines_go_to_standard_error() -> None:
    program = (
        "import logging; from resolver.base.journal import to_standard_error; "
        "to_standard_error(); logging.warning('word')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT), "JOURNAL_STREAM": "1:2"},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stderr.endswith("root: WARNING: word\n")
    assert done.stdout == ""
