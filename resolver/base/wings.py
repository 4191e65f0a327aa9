"""The parts of `stopsign run`, each a process or a group of them. Imports nothing: the command line offers them."""

from __future__ import annotations

WINGS = ("dns", "steward", "web", "rpz")
