"""The start of each of the four processes: its arguments, its journal, and a stack trace if the watchdog asks for one.

Enters: `--config FILE`, and for a DNS worker `--index N`; the supervisor alone writes them. Leaves: both.
"""

from __future__ import annotations

import argparse
import faulthandler
from pathlib import Path

from resolver.base.journal import to_standard_error


def begin(what: str | None) -> tuple[Path, int]:
    """The configuration's file and the worker's number (0 where none was given); `what`: the process, for `--help`."""
    faulthandler.enable()  # a watchdog's SIGABRT then says where it hung
    to_standard_error()
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--index", type=int, default=0)
    arguments = parser.parse_args()
    return arguments.config, arguments.index
