"""Rank 5: what is counted and reported: entry hits, daily counts, the transparency report, the probe."""
