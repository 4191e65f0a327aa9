"""The version of the installed program: `VERSION`."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("stopsign")
except PackageNotFoundError:
    VERSION = "not installed (run from its source tree)"
