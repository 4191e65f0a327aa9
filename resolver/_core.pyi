"""The native core (Rust, core/binding): the compiled list and the UDP plane."""

class CoreError(Exception):
    """What the core refuses, in one sentence."""
