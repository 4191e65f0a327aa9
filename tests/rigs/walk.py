"""A page of the guides that is a walk: its commands and what stands below them.

`…` on the page is what differs each time; a line that is `…` alone is any number of lines; `[1]` below an output is the
exit status.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Step:
    """A command of the page and what stands below it."""

    command: str
    lines: list[str] = field(default_factory=list)
    person: str = ""

    @property
    def status(self) -> int:
        return int(self.lines[-1][1:-1]) if self.lines and re.fullmatch(r"\[\d\]", self.lines[-1]) else 0

    @property
    def expected(self) -> re.Pattern[str]:
        lines = self.lines[:-1] if self.status else self.lines
        some = [
            r"(?:.*\n)*" if line == "…" else re.escape(line).replace(re.escape("…"), ".*") + r"\n" for line in lines
        ]
        return re.compile("".join(some))


def steps(page: Path, people: str = "[a-z]+", program: str = "stopsign ") -> list[Step]:
    """Of the blocks ```console that begin with one of these people: each line `somebody$ stopsign …`, without the
    program's name; `program` empty: whatever they type."""
    found: list[Step] = []
    for block in re.findall(r"```console\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        for line in block.splitlines() if re.match(rf"(?:{people})\$ ", block) else ():
            if typed := re.fullmatch(rf"({people})\$ {program}(.*)", line):
                found.append(Step(typed[2], person=typed[1]))
            else:
                found[-1].lines.append(line)
    return found


def words(step: Step, told: dict[str, str]) -> list[str]:
    """As a shell splits them; the page's addresses and folders become those of the test, `*` a file that is there."""
    typed = step.command
    for place, real in told.items():
        typed = typed.replace(place, real)
    found: list[str] = []
    for word in shlex.split(typed):
        found += sorted(map(str, Path().glob(word))) if "*" in word else [word]
    return found


def check(step: Step, told: dict[str, str], ran: tuple[int, str, str]) -> None:
    """That it printed what the page says, and ended so."""
    status, out, err = ran
    said = out + err
    for place, real in told.items():
        said = said.replace(real, place)
    assert status == step.status, f"$ {step.command}\n{said}"
    assert step.expected.fullmatch(said), f"$ {step.command}\n{said}"
