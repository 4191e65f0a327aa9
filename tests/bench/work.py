"""What is asked: names to block, names to pass, and the four kinds of work made of them.

    blocked   names on the list, three in ten of them below a listed name
    cached    2,000 popular names, each asked before
    mix       popular names by their popularity with one in twenty blocked; A, AAAA and HTTPS
    miss      names that nobody asked before, each relayed

Everything is drawn from one fixed seed, so that two runs ask the same.
"""

from __future__ import annotations

import gzip
import itertools
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from publicsuffixlist import PublicSuffixList

from tests.conftest import DATA
from tests.rigs.dns_host import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

KINDS = ("blocked", "cached", "mix", "miss")
STOP_ADDRESS, PASS_ADDRESS = "192.0.2.66", "198.51.100.7"
SYLLABLES = "ba be bi bo bu da de di do du ka ke ki ko ku la le li lo lu ma me mi mo mu ra re ri ro ru sa se si so su"


@dataclass(frozen=True)
class Work:
    """Files and facts of one run."""

    folder: Path
    names: Path
    blocked: int
    queries: dict[str, Path]
    expected: dict[str, str]
    probe: str
    upstream: str


def prepare(folder: Path, lists: Sequence[Path] | None, popular: Path | None) -> Work:
    """Writes everything into `folder`."""
    rng = random.Random(20261122)
    asked = list(_names(popular)) if popular else _popular(rng)
    listed = {name for path in lists or _lists() for name in _names(path)} or set(_invented(rng, 150_000, "example"))
    # A list of real names holds a few very popular ones, which would make "popular" mean "blocked".
    listed -= set(asked[:20_000])
    # What is no public suffix is blocked with all below it.
    suffixes = PublicSuffixList()
    listed = {name for name in listed if not suffixes.is_public(name)}
    stopped = sorted(listed)
    names = folder / "names"
    names.write_text("\n".join(stopped) + "\n")
    passed = [name for name in asked if not _is_below(name, listed)]
    queries = {kind: folder / f"{kind}.queries" for kind in KINDS}
    for kind, lines in _kinds(rng, stopped, passed).items():
        queries[kind].write_text("\n".join(lines) + "\n")
    expected = {"blocked": STOP_ADDRESS, "cached": PASS_ADDRESS, "miss": PASS_ADDRESS, "mix": ""}
    probe = stopped[len(stopped) // 2]
    return Work(folder, names, len(stopped), queries, expected, probe, f"127.0.0.1:{free_port()}")


def _kinds(rng: random.Random, stopped: list[str], passed: list[str]) -> dict[str, list[str]]:
    def one_stopped() -> str:
        name = rng.choice(stopped)
        return f"www.{name}" if rng.random() < 0.3 and len(name) < 200 else name

    # Zipf's law, as it is found in resolvers' traffic.
    weights = list(itertools.accumulate(1 / rank**0.9 for rank in range(1, len(passed) + 1)))
    often = rng.choices(passed, cum_weights=weights, k=250_000)
    types = rng.choices(("A", "AAAA", "HTTPS"), (6, 3, 1), k=len(often))
    return {
        "blocked": [f"{one_stopped()} A" for _ in range(250_000)],
        "cached": [f"{name} A" for name in rng.choices(passed[:2000], k=200_000)],
        "mix": [
            f"{one_stopped() if rng.random() < 0.05 else name} {qtype}"
            for name, qtype in zip(often, types, strict=True)
        ],
        "miss": [f"x{rng.randrange(10**10)}.{rng.choice(passed)} A" for _ in range(1_500_000)],
    }


def _lists() -> list[Path]:
    return sorted(DATA.glob("stevenblack-*.domains.txt.gz")) + sorted(DATA.glob("ut1-gambling-*.domains.txt.gz"))


def _popular(rng: random.Random) -> list[str]:
    (path,) = sorted(DATA.glob("top-100k-*.domains.txt.gz")) or (None,)
    return list(_names(path)) if path else list(_invented(rng, 50_000, "example.net"))


def _names(path: Path) -> Iterator[str]:
    """What is a name in every server's eyes."""
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text(encoding="utf-8")
    for line in text.splitlines():
        name = line.strip().lower()
        labels = name.split(".")
        fits = len(labels) > 1 and not labels[-1].isdigit() and len(name) < 250
        if fits and all(0 < len(at) < 64 and at.replace("-", "").replace("_", "").isalnum() for at in labels):
            yield name


def _invented(rng: random.Random, count: int, below: str) -> Iterator[str]:
    syllables = SYLLABLES.split()
    for number in range(count):
        yield f"{''.join(rng.choices(syllables, k=rng.randrange(2, 6)))}{number % 97}.{below}"


def _is_below(name: str, listed: set[str]) -> bool:
    labels = name.split(".")
    return any(".".join(labels[at:]) in listed for at in range(len(labels)))
