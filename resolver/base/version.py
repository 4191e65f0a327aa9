"""Which Stopsign this is: `VERSION`, of the installed program."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("stopsign")
except PackageNotFoundError:
    VERSION = "not installed (run from its source tree)"
