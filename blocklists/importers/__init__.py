"""Importers: foreign list formats become candidates for entries."""
