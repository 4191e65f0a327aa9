"""A zone file in the dialect of Knot Resolver 6, whose `local-data/rpz` reads another language than RPZ.

Enters: a zone and its rules. Leaves: a file of which version 6 makes what the rules say, and sentences on what cannot
be said. Version 6.5.0 reports none of this as an error:

- `*.NAME` with A or AAAA is skipped, so below a name the stop page is a CNAME to a name that the same file gives its
  addresses; `CNAME *.` works as in RPZ, for a name and below one.
- `CNAME .` always covers the name and everything below: NXDOMAIN for one of the two alone cannot be said.
- `rpz-drop.` and `rpz-passthru.` are skipped: no silence, and no exception below a name that is stopped.

Rules: what cannot be said is left out, and never more is stopped than the rules say. So an exception takes away what
stops everything below the names above it, until it ends: a person's word that something passes comes first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from resolver.rpz.zone import CNAME, NAMES, parts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from resolver.rpz.zone import Zone

TOLD = 3
_PASS, _SILENT = "p", "-"


@dataclass(frozen=True)
class Unsaid:
    """`lifted`: names below which nothing is stopped, for an exception; `left_out`: rules that the dialect lacks."""

    lifted: tuple[str, ...]
    left_out: tuple[str, ...]

    def complaints(self) -> list[str]:
        told = (
            (
                self.lifted,
                "stop nothing below themselves while an exception there lasts, which dialect knot6 cannot say",
            ),
            (
                self.left_out,
                "cannot be said in dialect knot6 (NXDOMAIN for a name or for what is below it alone, or drop)",
            ),
        )
        return [f"{_few(names)}: {len(names):,} owners {what}" for names, what in told if names]


def target(zone: Zone) -> str:
    """Where the stop page's addresses are."""
    return f"stop-page.{zone.origin}"


def unsaid(zone: Zone, rules: Path) -> Unsaid:
    """What `lines` leaves out. Reads the rules twice: exceptions are few, and their names are kept alone."""
    letters = _letters(zone)
    above: set[bytes] = set()
    for name, itself, below in _rules(rules, letters):
        if _PASS in (itself, below):
            above.update(_ancestors(name))
    lifted, left_out = [], []
    for name, itself, below in _rules(rules, letters):
        is_lifted = name in above and below not in (_PASS, _SILENT)
        if is_lifted:
            lifted.append(name.decode("ascii"))
        elif _sayable(itself, below) != tuple("-" if letter == _PASS else letter for letter in (itself, below)):
            left_out.append(name.decode("ascii"))
    return Unsaid(tuple(lifted), tuple(left_out))


def lines(zone: Zone, serial: int, rules: Path, lifted: frozenset[str]) -> Iterator[str]:
    """The zone file, line by line. `lifted`: as `unsaid` found them."""
    yield from zone.head(serial)
    letters = _letters(zone)
    addresses = [f"{NAMES[kind]} {text}\n" for kind, _, text in zone.said[ord("s")] if kind != CNAME]
    for address in addresses:
        yield f"{target(zone)} {address}"
    below_a_name = {"s": f"CNAME {target(zone)}.\n", "x": "CNAME .\n", "n": "CNAME *.\n"}
    itself_alone = {"s": addresses, "x": ["CNAME .\n"], "n": ["CNAME *.\n"]}
    for raw, itself, below in _rules(rules, letters):
        name = raw.decode("ascii")
        of_name, of_below = _sayable(itself, _SILENT if name in lifted else below)
        for record in itself_alone.get(of_name, ()):
            yield f"{name} {record}"
        if of_below in below_a_name:
            yield f"*.{name} {below_a_name[of_below]}"


def _sayable(itself: str, below: str) -> tuple[str, str]:
    """What of a rule can be said."""
    if (itself == "x") != (below == "x"):
        itself, below = (_SILENT if letter == "x" else letter for letter in (itself, below))
    can = "sxn"
    return itself if itself in can else _SILENT, below if below in can else _SILENT


def _letters(zone: Zone) -> dict[int, str]:
    """What a letter of the rules comes to in this zone: what is refused is said in its words, and so is a stop page
    without an address."""
    known = {".": "x", "*.": "n", "rpz-passthru.": _PASS, "rpz-drop.": "drop"}
    said = {}
    for letter, records in zone.said.items():
        kinds = {known[text] if kind == CNAME else "s" for kind, _, text in records}
        said[letter] = kinds.pop() if kinds else _SILENT
    return said


def _rules(rules: Path, letters: dict[int, str]) -> Iterator[tuple[bytes, str, str]]:
    with rules.open("rb") as file:
        for line in file:
            name, itself, below = parts(line)
            yield name, letters[itself], letters[below]


def _ancestors(name: bytes) -> Iterator[bytes]:
    while b"." in name:
        name = name.partition(b".")[2]
        yield name


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:TOLD]) + (", …" if len(names) > TOLD else "")
