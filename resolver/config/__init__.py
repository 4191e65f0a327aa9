"""Rank 2: the configuration: schema, values, reader, cross-checks, the last accepted one, and `preflight`."""
