"""From the workers to the steward: how many different clients would meet each addition in shadow evaluation.

Enters: a worker's sketches. Leaves: `run_dir/workers/N.watched`, and sketches joined over the files of all workers.
Rules: on tmpfs, readable by its owner alone, deleted with the evaluation. A sketch holds no address. The supervisor
draws the key of its hashes at its start and hands it to the workers by a pipe; it is written nowhere. The file names
the key by a hash of it: sketches under different keys cannot be joined.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resolver import _core
from resolver.base import atomic

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from resolver.policy.description import LiveList

SUFFIX = ".watched"
LARGEST = 64 << 20

Sketches = dict[str, bytes]
Seen = dict[str, tuple[bytes, Sketches]]
"""By the id of the evaluation: a sketch of all clients, and one for each entry that was met, by reference."""


@dataclass(frozen=True)
class Key:
    """Two secret words that all workers of a host share."""

    words: tuple[int, int]

    @staticmethod
    def from_octets(octets: bytes) -> Key:
        """From 16 octets."""
        return Key((int.from_bytes(octets[:8]), int.from_bytes(octets[8:])))

    @property
    def id(self) -> str:
        """A name of the key that does not reveal it."""
        return hashlib.sha256(b"".join(word.to_bytes(8) for word in self.words)).hexdigest()[:16]


def evaluation_id(name: str, document: str) -> str:
    """The id of a list's additions in shadow evaluation; the document names their version."""
    return f"{name}/{document}"


def list_of(evaluation: str) -> str:
    """The name of its list."""
    return evaluation.partition("/")[0]


def shadow_lists(lists: Sequence[LiveList]) -> list[tuple[int, int, str]]:
    """The lists of a generation in shadow evaluation, for `Plane.set_shadow_lists`."""
    order = [one.name for one in lists]
    return [
        (index, order.index(one.shadow_of), evaluation_id(one.shadow_of, str(one.document)))
        for index, one in enumerate(lists)
        if one.shadow_of in order
    ]


def write(path: Path, key: Key, seen: Mapping[str, tuple[bytes, Mapping[str, bytes]]]) -> None:
    """Write a worker's sketches; without any, remove the file. Raises `OSError`."""
    if not seen:
        path.unlink(missing_ok=True)
        return
    told = {
        evaluation: {
            "everyone": _text(everyone),
            "met": {reference: _text(sketch) for reference, sketch in met.items()},
        }
        for evaluation, (everyone, met) in seen.items()
    }
    atomic.replace(path, json.dumps({"key": key.id, "watches": told}).encode(), mode=0o600)


def read(folder: Path) -> Iterable[tuple[str, Seen]]:
    """Each worker's sketches, with the id of its key. A file that cannot be read is skipped."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            told = json.loads(atomic.read(path, LARGEST))
            yield str(told["key"]), {str(evaluation): _seen(one) for evaluation, one in told["watches"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue  # cut short by a full tmpfs, or gone: its worker says it again


def join(known: Seen, seen: Seen) -> None:
    """Join into `known` the sketches of another worker, or later ones, under the same key."""
    for evaluation, (everyone, met) in seen.items():
        before, mine = known.get(evaluation, (everyone, {}))
        for reference, sketch in met.items():
            mine[reference] = _core.joined(mine[reference], sketch) if reference in mine else sketch
        known[evaluation] = _core.joined(before, everyone), mine


def _text(sketch: bytes) -> str:
    return base64.b64encode(sketch).decode("ascii")


def _seen(one: Mapping[str, object]) -> tuple[bytes, Sketches]:
    met = one["met"]
    if not isinstance(met, dict):
        raise TypeError("met")
    return _sketch(one["everyone"]), {str(reference): _sketch(text) for reference, text in met.items()}


def _sketch(text: object) -> bytes:
    sketch = base64.b64decode(str(text), validate=True)
    try:
        _core.distinct(sketch)
    except _core.CoreError as error:
        raise ValueError(str(error)) from error
    return sketch
