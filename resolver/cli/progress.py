"""Progress on standard error, for people who wait longer than a second; nothing where nobody watches."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def bar(what: str, stream: TextIO) -> Iterator[Callable[[int, int], None]]:
    """Gives the function to call with `(done, total)`."""
    began = last = time.monotonic()
    shown = False

    def tell(done: int, size: int) -> None:
        nonlocal last, shown
        now = time.monotonic()
        if now - began < 1 or now - last < 0.2 or not stream.isatty():
            return
        last, shown = now, True
        left = (now - began) * (size - done) / max(done, 1)
        stream.write(f"\r{done:,} of {size:,} {what}, {left:.0f} s to go \x1b[K")
        stream.flush()

    try:
        yield tell
    finally:
        if shown:
            stream.write("\r\x1b[K")
