"""The names of a person's keys: what the command line offers, and what `keys` makes. Imports nothing."""

from __future__ import annotations

PERSONAL = ("root", "targets", "relief")
"""The roles that a person has keys for."""
SCHEMES = {"ed25519": "ed25519", "p256": "ecdsa-sha2-nistp256", "p384": "ecdsa-sha2-nistp384"}
"""Kinds of keys, by their short name."""
