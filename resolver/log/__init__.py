"""Rank 2: the tamper-evident log of what the provider did (RFC 6962, C2SP tlog-tiles), and never who asked."""
