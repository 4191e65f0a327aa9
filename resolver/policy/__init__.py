"""Rank 3: what is in force: the live list, exceptions (overrides, bypass), the verdict in words."""
