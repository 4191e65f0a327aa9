"""What a zone was: its serials, and how it came from each of the last ones to the next.

Enters: rules that the core wrote. Leaves: `Edition`s, each with a serial of its own, and the steps between them, from
which incremental transfers are made. All of it is in `state_dir/rpz/ORIGIN`:

    state.json         serial, terms, steps: what it names is there, and nothing else counts
    rules-SERIAL       the rules of that serial
    step-FROM-TO       lines `NAME OLD NEW`, two letters each

Rules: `state.json` is replaced last, so that a crash leaves the edition before; a serial is never used again, also when
the folder is lost (it starts at the clock); steps are kept while all of them together change fewer names than the share
`KEPT` of the zone: beyond that a full transfer is the shorter one (RFC 1995, 5).
"""

from __future__ import annotations

import filecmp
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from blocklists import durable
from blocklists.errors import why
from resolver._core import CoreError, policy_changes
from resolver.rpz.zone import RpzError

if TYPE_CHECKING:
    from pathlib import Path

    from resolver.rpz.zone import Zone

FORMAT = 1
KEPT = 0.25
ALWAYS, NEVER = 2_000, 250_000  # names: so many changes are kept for any zone, more for none
MOST_STEPS = 200
SERIALS = 1 << 32


@dataclass(frozen=True)
class Step:
    """From one serial to the next: how many names changed, and where it is written how."""

    before: int
    after: int
    changes: int


@dataclass(frozen=True)
class Edition:
    """A zone at one serial. `steps` end here, each begins where the one before it ends."""

    folder: Path
    serial: int
    terms: str
    steps: tuple[Step, ...] = ()

    @property
    def rules(self) -> Path:
        return self.folder / f"rules-{self.serial}"

    def path(self, step: Step) -> Path:
        return self.folder / f"step-{step.before}-{step.after}"

    def since(self, serial: int) -> tuple[Step, ...] | None:
        """The steps from this serial to ours; None where they are not kept."""
        for at, step in enumerate(self.steps):
            if step.before == serial:
                return self.steps[at:]
        return () if serial == self.serial else None

    def same(self, rules: Path) -> bool:
        return filecmp.cmp(self.rules, rules, shallow=False)


def next_serial(last: int, now: float) -> int:
    """Above the last one in the sense of RFC 1982; the clock's seconds where those are further."""
    clock = int(now) % SERIALS
    return clock if newer(clock, last) else (last + 1) % SERIALS


def newer(one: int, other: int) -> bool:
    """Serial number arithmetic (RFC 1982, 3.2)."""
    return 0 < (one - other) % SERIALS < SERIALS // 2


def stored(folder: Path, zone: Zone) -> Edition | None:
    """The edition that is durable; None where there is none of these terms."""
    edition = _read(folder)
    return edition if edition is not None and edition.terms == zone.terms and edition.rules.exists() else None


def advance(folder: Path, zone: Zone, fresh: Path, names: int, now: float, *, last: int = 0) -> Edition:
    """What the rules in `fresh` make of the zone: the same edition where nothing changed, else the next one, durable.
    `last`: the serial that is served, where that is not the one in `folder`.

    `fresh` is in `folder`, was written by the core, and is gone afterwards; `names`: its lines. `RpzError` where the
    folder cannot be written. Blocking.
    """
    known = _read(folder)
    before = stored(folder, zone)
    try:
        if before is not None and not newer(last, before.serial) and before.same(fresh):
            fresh.unlink()
            return before
        kept = 0 if known is None else known.serial
        serial = next_serial(last if newer(last, kept) else kept, now)
        steps = () if before is None else _with_step(before, fresh, serial, names)
        edition = Edition(folder, serial, zone.terms, steps)
        fresh.rename(edition.rules)
        about = {"format": FORMAT, "serial": serial, "terms": zone.terms, "steps": [asdict(step) for step in steps]}
        durable.replace(folder / "state.json", json.dumps(about).encode())
        return edition
    except (OSError, CoreError) as error:
        raise RpzError(f"the zone {zone.origin} cannot be kept in {folder} ({why(error, folder)})") from error


def sweep(edition: Edition) -> None:
    """Removes what the edition does not name. Transfers under way have their files open."""
    named = {edition.rules, edition.folder / "state.json", *(edition.path(step) for step in edition.steps)}
    for path in edition.folder.iterdir():
        if path not in named:
            path.unlink(missing_ok=True)


def _with_step(before: Edition, fresh: Path, serial: int, names: int) -> tuple[Step, ...]:
    room = min(max(int(names * KEPT), ALWAYS), NEVER)
    changes = policy_changes(before.rules, fresh, room)
    if changes is None:
        return ()
    step = Step(before.serial, serial, len(changes))
    lines = "".join(f"{name} {old or '--'} {new or '--'}\n" for name, old, new in changes)
    durable.replace(before.path(step), lines.encode("ascii"))
    kept = [*before.steps, step][-MOST_STEPS:]
    while sum(one.changes for one in kept) > room:
        kept.pop(0)
    return tuple(kept)


def _read(folder: Path) -> Edition | None:
    try:
        raw = json.loads((folder / "state.json").read_bytes())
        if raw["format"] != FORMAT:
            raise ValueError(f"format {raw['format']!r}")
        steps = tuple(Step(int(one["before"]), int(one["after"]), int(one["changes"])) for one in raw["steps"])
        edition = Edition(folder, int(raw["serial"]), str(raw["terms"]), steps)
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not there, or not to be understood: the next serial starts at the clock, and a transfer is full
    return edition
