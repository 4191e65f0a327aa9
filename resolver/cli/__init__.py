"""Rank 7: every command, the status screen and the demo; nobody imports it."""
