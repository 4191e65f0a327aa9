"""Rank 1: errors, timestamps, paths, durable files, file watch, disk space, the journal, text for a terminal."""
