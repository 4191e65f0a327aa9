"""A person who waits sees a bar on a terminal, and none while something is asked; elsewhere nothing is written."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.rigs.dns_host import ROOT

if TYPE_CHECKING:
    from pathlib import Path

# Every command of a change, in one process; what takes a second takes none, so that each bar is seen at once.
DESK = """
import sys
from pathlib import Path
from blocklists.issuer import progress
from resolver.cli.main import main

class AtOnce:
    def __init__(self, seconds, show):
        assert seconds == progress.PATIENCE
        self.start = show
    def cancel(self):
        pass

progress.Timer = AtOnce
here = Path(sys.argv[1])
secret = here / "secret"
secret.write_text("correct horse battery\\n")
by = ("--passphrase-file", str(secret))

def run(label, *words):
    print(f"<{label}>", file=sys.stderr, flush=True)
    try:
        main([str(word) for word in words])
    except SystemExit as done:
        assert not done.code, done.code

def signed(request):
    for name in ("alice", "bob"):
        known = () if "setup" in str(request) else ("--repository", desk / "published")
        run("sign", "issuer", "sign", request, "--key", here / name, "--yes", *known, *by)
    run("publish", "issuer", "publish", request, "--dir", desk)

desk = here / "desk"
for name in ("alice", "bob"):
    run("keys", "issuer", "keys", "new", here / name, "--name", name, *by)
cards = [word for name in ("alice", "bob") for word in ("--card", here / name / "card.json")]
run("init", "issuer", "init", "--dir", desk, "--name", "An office", "--contact", "list@office.example",
    "--appeals", "appeals@office.example", *cards)
signed(desk / "requests/setup.request")
at, new = ("--dir", desk, "--list", "names"), ("--basis", "order-17", "--category", "gambling")
run("basis", "issuer", "basis", "order-17", *at, "--law", "Act 1", "--authority", "Court", "--order", "17",
    "--date", "2026-11-22", "--court", "Court", "--territory", "DE")
(here / "names.txt").write_text("a.example\\nb.example\\n")
run("import", "issuer", "import", here / "names.txt", *at, *new, "--output", here / "first.request")
signed(here / "first.request")
run("verify", "issuer", "verify", desk / "published", "--list", "names", "--root", desk / "root.json")
run("propose", "issuer", "propose", *at, "--add", "c.example", *new, "--output", here / "second.request")
run("withdraw", "issuer", "withdraw", "a.example", *at, "--reason", "a test", "--key", here / "alice", *by)
"""
BARS = {
    "import": {"reading", "comparing with what is published", "making the request"},
    "propose": {"making the request"},
    "publish": {"publishing"},
    "sign": {"fetching what is published", "reviewing", "signing"},
    "verify": {"fetching, and checking every entry"},
    "withdraw": {"finding the entries", "reviewing", "publishing"},
}
ASKING = """
import time
from blocklists.issuer import progress
progress.PATIENCE = 0.01
with progress.progress("waiting"):
    while not progress._bars[0]._bar:
        time.sleep(0.01)
    with progress.asking():
        print("<asked>", file=progress.sys.stderr, flush=True)
        assert not progress._bars[0]._bar.live.is_started
        print("</asked>", file=progress.sys.stderr, flush=True)
"""


def on_a_terminal(program: str, *arguments: str) -> str:
    """What a program writes to standard error where that is a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "200"},
    )  # fmt: skip
    os.close(theirs)
    said = bytearray()
    # EIO is how Linux says that nobody has the other side open any more
    with suppress(OSError):
        while part := os.read(ours, 1 << 16):
            said += part
    os.close(ours)
    process.communicate()
    text = said.decode()
    assert process.returncode == 0, text
    return text


def test_each_command_of_a_change_shows_a_bar_where_somebody_waits(tmp_path: Path) -> None:
    shown: dict[str, str] = {}
    for part in on_a_terminal(DESK, str(tmp_path)).split("<")[1:]:
        label, _, text = part.partition(">")
        shown[label] = shown.get(label, "") + text
    missing = {label: [bar for bar in bars if bar not in shown[label]] for label, bars in BARS.items()}
    assert missing == {label: [] for label in BARS}
    assert "━" in shown["import"]


def test_no_bar_stands_where_a_person_is_asked() -> None:
    said = on_a_terminal(ASKING)
    assert "waiting" in said.partition("<asked>")[0]
    assert "waiting" not in said.partition("<asked>")[2].partition("</asked>")[0]


def test_a_program_that_reads_standard_error_gets_no_bar(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DESK, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stderr
    assert "reviewing" not in done.stderr
