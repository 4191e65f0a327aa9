"""The part of a configuration with mistakes that can still be tried.

Enters: the result of reading the file. Leaves: a configuration in which a harmless value replaces each wrong one, and
the keys that cannot be tried before they are corrected. Rules: a mistake spoils its own key alone, as `dns.cache`, not
the section; in a list of sections, as `lists`, it spoils the whole list, so that numbers stay true. Findings about a
spoilt key, or derived from one, are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resolver.config.reader import fitted
from resolver.config.schema import Config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resolver.config.finding import Finding
    from resolver.config.reader import Key, Problem, Reading

# What is tried, by the keys of its findings, and what it is made of: whether a port is held by Stopsign itself is asked
# at sockets in `run_dir`.
MADE_OF = {
    "state_dir": ("state_dir",),
    "run_dir": ("run_dir",),
    "log.dir": ("log.dir", "state_dir"),
    "dns.listen": ("dns.listen", "run_dir"),
    "dns.encrypted": ("dns.encrypted", "run_dir"),
    "dns.upstreams": ("dns.upstreams",),
    "dns.allow_clients": ("dns.allow_clients",),
    "stop_page.listen": ("stop_page.listen", "run_dir"),
    "stop_page.ipv4": ("stop_page.ipv4",),
    "stop_page.ipv6": ("stop_page.ipv6",),
    "portal.listen": ("portal.listen", "run_dir"),
    "portal.database": ("portal.database", "state_dir"),
    "metrics.listen": ("metrics.listen", "run_dir"),
    "rpz": ("rpz", "run_dir"),
    "lists": ("lists",),
    "guards.popular": ("guards.popular",),
    "provider": ("provider",),
    "control": ("control",),
}
# For what must be there. Nobody is asked at these addresses but this very host.
_STAND_IN: Mapping[str, Any] = {
    "state_dir": "/",
    "run_dir": "/",
    "dns": {"listen": ["127.0.0.1:0"], "upstreams": ["127.0.0.1:1"], "allow_clients": []},
    "portal": {"url": "http://localhost"},
}


@dataclass(frozen=True, slots=True)
class Readable:
    """`untried`: by what is tried, the keys that have to be mended before."""

    config: Config
    untried: Mapping[str, tuple[str, ...]]

    def tried(self, finding: Finding) -> bool:
        return not any(_within(finding.key, key) for key in self.untried)


def readable(reading: Reading[Config]) -> Readable | None:
    """None: there is nothing to try."""
    if not isinstance(reading.raw, dict) or () in reading.wrong:
        return None
    spoilt = {_spoilt(key, reading.raw) for key in reading.wrong}
    shown = {".".join(map(str, key)) for key in spoilt}
    made_of = {what: tuple(key for key in of if _is_spoilt(key, shown)) for what, of in MADE_OF.items()}
    untried = {what: keys for what, keys in made_of.items() if keys}
    return Readable(fitted(_mended(reading.raw, spoilt), reading.lines.file, Config), untried)


def not_tried(readable: Readable, reading: Reading[Config]) -> list[Problem]:
    """A word on each key that is written, has no word of its own, and cannot be tried."""
    found = []
    shown = {problem.key for problem in reading.problems}
    for what, keys in readable.untried.items():
        if _is_written(what, reading.raw) and what not in shown:
            before = "what is wrong with it" if what in keys else " and ".join(keys)
            found.append(reading.lines.problem(what, f"is not tried before {before} is mended", "untried"))
    return found


def _spoilt(key: Key, raw: Mapping[str, Any]) -> Key:
    return key[:2] if isinstance(raw.get(str(key[0])), dict) else key[:1]


def _is_spoilt(key: str, shown: set[str]) -> bool:
    return any(_within(key, other) or _within(other, key) for other in shown)


def _within(key: str, other: str) -> bool:
    return key == other or key.startswith((f"{other}.", f"{other}["))


def _is_written(key: str, raw: Mapping[str, Any]) -> bool:
    found: Any = raw
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found is not None


def _mended(raw: Mapping[str, Any], spoilt: set[Key]) -> dict[str, Any]:
    """Without what is spoilt, and with what must be there."""
    mended: dict[str, Any] = {}
    for name, value in raw.items():
        if (name,) not in spoilt:
            inside = isinstance(value, dict)
            mended[name] = {k: v for k, v in value.items() if (name, k) not in spoilt} if inside else value
    for name, value in _STAND_IN.items():
        if name == "dns" and name not in raw:
            continue  # a host for policy zones alone has none
        mended[name] = {**value, **mended.get(name, {})} if isinstance(value, dict) else mended.get(name, value)
    return mended
