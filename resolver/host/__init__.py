"""Rank 5: what starts the processes and keeps them: supervisor, sockets, systemd, apply, health."""
