"""Bars for people who wait: on a terminal's standard error, and gone while a person is asked something.

Enters: what is done, and how much of it is done where that is known. Leaves: nothing. A bar comes when the work has
taken a second; where standard error is no terminal, nothing is written.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from threading import Lock, Timer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rich.console import RenderableType
    from rich.progress import Progress


PATIENCE = 1.0
"""Seconds that a person waits without a bar."""


class _Bar:
    """A bar on standard error, from the time that work takes long."""

    def __init__(self, what: str, total: Callable[[], int] | None, done: Callable[[], int] | None) -> None:
        self._what, self._total, self._done = what, total, done
        self._lock, self._wanted = Lock(), False
        self._timer: Timer | None = None
        self._bar: Progress | None = None

    def begin(self) -> None:
        """Show it when it is time."""
        self._wanted = True
        self._timer = Timer(PATIENCE, self._show)
        self._timer.daemon = True
        self._timer.start()

    def end(self) -> None:
        """Take it off the screen."""
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            self._wanted = False
            if self._bar is not None:
                self._bar.stop()

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        done = self._done

        class Asking(Progress):
            def get_renderables(self) -> Iterable[RenderableType]:
                for task in self.task_ids:
                    self.update(task, completed=None if done is None else done())
                return super().get_renderables()

        counted = (MofNCompleteColumn(),) if done is not None else ()
        total = (self._total() or None) if self._total is not None else None
        columns = TextColumn(self._what), BarColumn(), *counted, TimeElapsedColumn()
        with self._lock:
            if self._wanted:
                self._bar = Asking(*columns, console=Console(stderr=True), transient=True)
                self._bar.add_task(self._what, total=total)
                self._bar.start()


_bars: list[_Bar] = []


@contextmanager
def progress(
    what: str, total: Callable[[], int] | None = None, done: Callable[[], int] | None = None
) -> Iterator[None]:  # fmt: skip
    """A bar on a terminal's standard error while the block runs, where that takes longer than a second: then `total` is
    asked for once, and `done` ten times a second for how much of it there is."""
    if not sys.stderr.isatty():
        yield
        return
    bar = _Bar(what, total, done)
    _bars.append(bar)
    bar.begin()
    try:
        yield
    finally:
        _bars.remove(bar)
        bar.end()


@contextmanager
def asking() -> Iterator[None]:
    """No bar while a person is asked something."""
    for bar in _bars:
        bar.end()
    try:
        yield
    finally:
        for bar in _bars:
            bar.begin()
