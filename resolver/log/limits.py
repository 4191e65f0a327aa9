"""Limits that the command line shows. Imports nothing."""

from __future__ import annotations

WITHIN = 600.0
"""Seconds that an address may take for all files of one log together, unless somebody says otherwise."""
