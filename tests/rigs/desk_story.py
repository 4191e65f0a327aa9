"""A year at a desk, told the same way by any build: what it writes and what its signers read, as digests.

    python -m tests.rigs.desk_story NAMES [--keep FOLDER]

Enters: a file of names, one a line. Leaves: JSON on standard output, by step: SHA-256 of each part of the request
(`head`, `full`, `delta`), of the lines in them, of what the signer read (`review`; with every entry: `all`), and of
what lies in the folder that the web host serves (`targets`). `--keep` writes what the digests are of.

Rules: the clock stands, references come from a fixed stream, and names that are taken from the file decide all else; so
two builds that do the same work print the same. Keys are random: what holds one is not among the digests.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import tempfile
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zstandard

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LIST, SECRET = "names", "a story has no secrets"
_random = os.urandom


class Clock(datetime):
    """A clock that stands."""

    at = NOW

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return cls.at.astimezone(tz)


class Octets:
    """What references are made of: ten octets each, the same in every run, in however many calls they are taken."""

    def __init__(self) -> None:
        self.began: bytes = b""
        self.taken = 0

    def restart(self, step: str) -> None:
        self.began, self.taken = step.encode(), 0

    def __call__(self, count: int) -> bytes:
        if count % 10:
            return _random(count)
        out = bytearray()
        while len(out) < count:
            block, rest = divmod(self.taken, 1000)
            more = hashlib.shake_256(self.began + block.to_bytes(8, "big")).digest(1000)[rest:][: count - len(out)]
            out += more
            self.taken += len(more)
        return bytes(out)


class Story:
    """One desk, two signers, and the digests so far."""

    def __init__(self, folder: Path, names: list[str], keep: Path | None) -> None:
        self.folder, self.names, self.keep = folder, names, keep
        self.octets = Octets()
        self.told: dict[str, dict[str, str]] = {}
        self.desk = folder / "desk"
        (folder / "secret").write_text(f"{SECRET}\n")
        (folder / "popular.txt").write_text("".join(f"{name}\n" for name in self.popular()))
        self.by = ("--passphrase-file", str(folder / "secret"))
        self.at = ("--dir", str(self.desk), "--list", LIST)

    def popular(self) -> Iterator[str]:
        """What many people ask for: some names of the list, names above such and names below."""
        for number, name in enumerate(self.names):
            if number % 97 == 0:
                yield name
            elif number % 101 == 0:
                yield f"www.{name}"
            elif number % 103 == 0 and name.count(".") > 1:
                yield name.partition(".")[2]

    def run(self, *words: object) -> tuple[str, str]:
        """A command of `stopsign issuer`: its two outputs."""
        from click.testing import CliRunner

        from blocklists.issuer.command import issuer

        done = CliRunner().invoke(issuer, [str(word) for word in words])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout.strip(), done.stderr

    def note(self, step: str, what: str, data: bytes) -> None:
        self.told.setdefault(step, {})[what] = hashlib.sha256(data).hexdigest()
        if self.keep is not None:
            self.keep.mkdir(exist_ok=True)
            (self.keep / f"{step} {what}").write_bytes(data)

    def begin(self) -> None:
        """Keys, the desk, its first root, and two grounds."""
        for name in ("alice", "bob"):
            self.run("keys", "new", self.folder / name, "--name", name, *self.by)
        cards = [option for name in ("alice", "bob") for option in ("--card", self.folder / name / "card.json")]
        said = ("--name", "An office", "--contact", "list@office.example", "--appeals", "appeals@office.example")
        setup, _ = self.run("init", "--dir", self.desk, *said, *cards)
        self.publish(setup, self.signed(setup))
        for number in (17, 18):
            self.run(
                "basis", f"order-{number}", *self.at, "--law", f"Act {number}", "--authority", "An office", "--order",
                number, "--date", "2026-11-01", "--territory", "DE", "--court", "A court",
            )  # fmt: skip

    def signed(self, request: str, step: str | None = None) -> list[str]:
        """The copies of two people; what the first of them read is noted."""
        copies, known = [], () if step is None else ("--repository", self.desk / "published")
        popular = ("--popular", self.folder / "popular.txt")
        for name in ("alice", "bob"):
            copies.append(f"{request}.{name}")
            key = ("--key", self.folder / name)
            _, said = self.run("sign", request, *key, "--yes", "--output", copies[-1], *known, *popular, *self.by)
            if name == "alice" and step is not None:
                self.note(step, "review", said.encode())
                every, _ = self.run("review", request, *key, *known, *popular, "--all")
                self.note(step, "all", every.encode())
                plain, _ = self.run("review", request, *key, *known, *popular, "--json")
                found = json.loads(plain)
                self.note(step, "json", json.dumps(found, indent=1, sort_keys=True).encode())
        return copies

    def publish(self, request: str, copies: list[str], step: str | None = None) -> None:
        """The desk publishes what was signed; the parts of the request are noted, and what is served."""
        self.run("publish", *copies, "--dir", self.desk)
        if step is None:
            return
        with zipfile.ZipFile(request) as archive:
            for part in sorted(archive.namelist()):
                if part in {"head.json", "full.zst", "delta.zst"}:
                    data = archive.read(part)
                    self.note(step, part, data)
                    if part.endswith(".zst"):
                        self.note(step, f"{part} lines", zstandard.ZstdDecompressor().decompressobj().decompress(data))
        self.served(step)

    def served(self, step: str) -> None:
        targets = self.desk / "published/targets"
        files = sorted(str(path.relative_to(targets)) for path in targets.rglob("*") if path.is_file())
        self.note(step, "targets", "\n".join(files).encode())

    def change(self, step: str, *words: object) -> None:
        """A change of the list, from the request to what a provider verifies."""
        from blocklists.issuer import propose

        self.octets.restart(step)
        defaults = propose.by_hand.__kwdefaults__
        assert defaults is not None
        defaults["random"] = self.octets
        request, said = self.run(*words, *self.at)
        self.note(step, "said", re.sub(rf"{re.escape(str(self.folder))}\S*", "PATH", said).encode())
        self.publish(request, self.signed(request, step), step)
        self.verify(step)

    def verify(self, step: str) -> None:
        where = (self.desk / "published", "--list", LIST, "--root", self.desk / "root.json")
        verified, _ = self.run("verify", *where, "--state", self.folder / "provider")
        self.note(step, "verified", verified.encode())

    def file(self, name: str, lines: list[str]) -> Path:
        path = self.folder / name
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    def tell(self) -> dict[str, dict[str, str]]:
        """All of it."""
        names, count = self.names, len(self.names)
        first, second = names[: count * 9 // 10], names[count * 3 // 4 :]
        self.begin()
        ground, other = (
            ("--basis", "order-17", "--category", "gambling"),
            ("--basis", "order-18", "--category", "fraud"),
        )
        self.change("1 import", "import", self.file("first.txt", first), "--format", "domains", *ground)
        hosts = self.file("hosts.txt", [f"0.0.0.0 {name}" for name in second])
        self.change("2 hosts", "import", hosts, "--format", "hosts", "--match", "exact", *other, "--expires", "90d")
        few = names[10 : count : max(1, count // 7)]
        added = [word for name in few for word in ("--add", f"sub.{name}")]
        removed = [word for name in first[50 : count : max(1, count // 9)] for word in ("--remove", name)]
        self.change("3 by hand", "propose", *added, *removed, *ground, "--impact", 'One "sentence", with an é')
        known = [word for name in first[60 : count // 2 : max(1, count // 12)] for word in ("--add", name)]
        self.change("4 narrower", "propose", *known, *ground, "--match", "below")
        self.change("5 wider", "propose", *known, *ground, "--match", "subtree")
        Clock.at += timedelta(days=7)
        self.octets.restart("6 withdrawn")
        gone = first[70 : count // 2 : max(1, count // 15)]
        alone = ("--reason", "nobody reads this", "--key", self.folder / "alice", *self.by)
        _, said = self.run("withdraw", *gone, *self.at, *alone)
        self.note("6 withdrawn", "review", said.replace(str(self.folder), "PATH").encode())
        self.served("6 withdrawn")
        self.verify("6 withdrawn")
        self.change("7 renewed", "renew", *first[80 : count // 2 : max(1, count // 20)], "--within", "9999d")
        self.change("8 all renewed", "renew", "--within", "120d", "--expires", "30d")
        fewer = self.file("fewer.txt", [name for number, name in enumerate(names) if number % 3])
        self.change("9 replaced", "import", fewer, "--replace", "--format", "domains", *ground)
        return self.told


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("names", type=Path)
    options.add_argument("--keep", type=Path)
    asked = options.parse_args()
    from blocklists.issuer import options as desk_options

    vars(desk_options)["datetime"] = Clock
    with tempfile.TemporaryDirectory(prefix="stopsign-story-") as folder:
        story = Story(Path(folder), asked.names.read_text().split(), asked.keep)
        os.urandom = story.octets
        told = story.tell()
    json.dump(told, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
