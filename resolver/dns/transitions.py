"""Conditions that the log names twice: when they begin, and when they end.

Enters: what is so now, as often as the worker looks. Leaves: one line for each change.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from resolver.base.journal import about

if TYPE_CHECKING:
    from collections.abc import Iterable

    from resolver._core import UpstreamState

log = logging.getLogger("stopsign.dns")


class Transitions:
    """What one worker has logged and not yet withdrawn."""

    def __init__(self, worker: int) -> None:
        self._worker = worker
        self._on: dict[str, str] = {}

    def upstreams(self, states: Iterable[UpstreamState]) -> None:
        for one in states:
            name, is_down = f"upstream {one['address']}", one["state"] == "down"
            self._note(f"{name} is down: {one['reason']}", f"{name} is up again", f"{name} down",
                       begins=is_down, ends=one["state"] == "up")  # fmt: skip
            self._note(f"{name} answers most questions with SERVFAIL or REFUSED",
                       f"{name} answers most questions well again", f"{name} failing",
                       begins=one["failing"], ends=not one["failing"])  # fmt: skip
            self._note(f"{name} answers no TCP", f"{name} answers TCP again", f"{name} TCP",
                       begins=one["tcp_closed"], ends=not one["tcp_closed"] and not is_down)  # fmt: skip

    def starved(self) -> bool:
        """Whether no file descriptor is left for a connection."""
        why = ""
        try:
            os.close(os.eventfd(0))
        except OSError as wrong:
            why = f"no file descriptor is left: new connections over TCP are closed ({wrong.strerror})"
        self._note(why, "there are file descriptors again", "descriptors",
                   begins=bool(why), ends=not why, level=logging.ERROR, alarm="descriptors")  # fmt: skip
        return bool(why)

    def written(self, what: str, wrong: OSError | None = None) -> None:
        """`wrong`: why `what` could not be written; None: it was. A full tmpfs stays full for a while."""
        why = "" if wrong is None else f"{what}: cannot be written ({wrong.strerror or wrong})"
        self._note(why, f"{what}: written again", what, begins=bool(why), ends=not why, repeats=True)

    def _note(
        self,
        begun: str,
        over: str,
        what: str,
        *,
        begins: bool,
        ends: bool,
        repeats: bool = False,
        level: int = logging.WARNING,
        **more: str,
    ) -> None:
        """`repeats`: a condition that is said in other words is said again."""
        said = self._on.get(what)
        if begins and (said is None or (repeats and said != begun)):
            self._on[what] = begun
            log.log(level, "%s", begun, extra=about(worker=self._worker, **more))
        elif ends and said is not None:
            del self._on[what]
            log.warning("%s", over, extra=about(worker=self._worker))
