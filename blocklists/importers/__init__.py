"""Importers: lists as the world has them become candidates for entries."""
