"""Preflight: what only a trial on this machine shows about a correct configuration."""
