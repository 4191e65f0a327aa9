"""The issuer's people, each on a machine of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Machines:
    """A folder for each person, one for the stick that travels, and the command on everybody's path."""

    folder: Path

    def __post_init__(self) -> None:
        (self.folder / "usb").mkdir()
        (self.folder / "bin").mkdir()
        command = self.folder / "bin" / "stopsign"
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m resolver.cli.main "$@"\n')
        command.chmod(0o755)
        (self.folder / "passphrase").write_text("correct horse battery staple\n")

    def run(self, person: str, line: str) -> subprocess.CompletedProcess[str]:
        """Run one line as this person, who says yes to every question."""
        home = self.folder / person
        home.mkdir(exist_ok=True)
        return subprocess.run(
            ["bash", "-c", line.replace("/media/usb", str(self.folder / "usb"))],
            cwd=home, input="y\n" * 3, capture_output=True, text=True, check=False,
            env=os.environ | {
                "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
                "STOPSIGN_PASSPHRASE_FILE": str(self.folder / "passphrase"),
            },
        )  # fmt: skip
