"""`stopsign demo`: the whole circle on loopback."""
