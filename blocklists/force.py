"""What of a list is in force: its document less what relief suspends. Every question about what a list stops uses this.

Enters: canonical lines, and the relief published beside them. Leaves: the lines that are in force. The provider's
guards ask the core the same question (`withdrawn` in `resolver._core.examine`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blocklists import delta

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from blocklists.head import Relief


def withdrawn(relief: Relief | None) -> Collection[str]:
    """References that are not in force, whatever a document says."""
    return relief.suspended.keys() if relief else frozenset()


def in_force(lines: Iterable[bytes], relief: Relief | None) -> Iterator[bytes]:
    """The lines that are in force."""
    off = withdrawn(relief)
    return (line for line in lines if delta.reference(line) not in off) if off else iter(lines)
