"""Foreign formats in, entries out: each importer separates a bad line from a bad file."""
