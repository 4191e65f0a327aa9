"""Other people's clients verify and read what a desk and a log publish: `make interop`, outside the gate.

    python -m tests.interop [CLIENT…]      CLIENT: a name of `CLIENTS` or `LOG_READERS`; all where none is given

Enters: nothing. Leaves: a line for each client and repository; exit 1 where a client refuses a repository, or reads
other octets than were signed. The repositories are made here, by the desk's own steps: with Ed25519 and P-256 keys, a
holder whose name is not ASCII, versions of two lists, a withdrawal, a change of keys. A client is a command that takes
ROOT METADATA TARGETS NAME…, and prints the SHA-256 and the name of each target. To add one: an entry in `CLIENTS`; a
Rust one is a binary in `rust/src/bin`, over a crate that `rust/Cargo.toml` pins. What reads logs: `logs.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from blocklists.head import Basis, Issuer
from blocklists.issuer import rotate, withdraw
from blocklists.issuer.keys import Keyring
from blocklists.issuer.publish import publish
from blocklists.issuer.rehearsal import PASSPHRASE, Rehearsal
from blocklists.issuer.sign import sign
from tests.interop import logs

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
BUILT = HERE.parents[1] / "build" / "interop"
Command = list[str]


@cache
def rust(name: str) -> Command:
    """A binary of `rust/`, built."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", BUILT / "target"))
    environment = os.environ | {"CARGO_TARGET_DIR": str(target)}
    subprocess.run(
        ["cargo", "build", "--quiet", "--locked", "--bin", name], cwd=HERE / "rust", env=environment, check=True
    )
    return [str(target / "debug" / name)]


@cache
def python_tuf(version: str) -> Command:
    """python-tuf in this version, in an environment of its own."""
    folder = BUILT / f"tuf-{version}"
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"tuf=={version}",
             "securesystemslib[crypto]"], check=True,
        )  # fmt: skip
        (folder / "installed").touch()
    return [str(python), str(HERE / "python_tuf.py")]


CLIENTS: dict[str, Callable[[], Command]] = {
    "python-tuf-4": partial(python_tuf, "4.0.0"),
    "python-tuf-5": partial(python_tuf, "5.1.0"),
    "python-tuf-6": partial(python_tuf, "6.0.0"),
    "python-tuf-7": partial(python_tuf, "7.0.1"),
    "tough": partial(rust, "tough"),
    "sigstore-tuf": partial(rust, "sigstore_tuf"),
}
LOG_READERS: dict[str, Callable[[], Command]] = {"tlog": partial(rust, "tlog")}  # signed_note, tlog_tiles


def repository(folder: Path, scheme: str) -> Rehearsal:
    """A desk that has lived a little."""
    issuer = Issuer("Example Authority", "lists@authority.example", "appeals@authority.example")
    rehearsal = Rehearsal.create(folder, issuer, names=("Ame\u0301lie", "Bob", "Carol"), scheme=scheme)
    basis = Basis("Example Act, \u00a7 9", "Authority", "17", "2026-11-01", "DE", "Administrative Court")
    for name in ("gambling", "fraud"):
        rehearsal.add_basis(name, "order-17", basis)
        rehearsal.change(name, add=[f"a.{name}.example", f"b.{name}.example"], basis="order-17", category=name)
    rehearsal.change("gambling", add=["c.gambling.example"], remove=["b.gambling.example"])
    desk, bob, now = rehearsal.desk, rehearsal.signers[1], datetime.now(UTC)
    request = withdraw.suspend(desk, "gambling", ["c.gambling.example"], reason="a slip", now=now, author="Bob")
    publish(desk, [sign(rehearsal.review(request, bob), bob, lambda _: PASSPHRASE)], lambda _: None, now=now)
    dora = Keyring.create(folder / "dora", "Dora", PASSPHRASE, scheme=scheme)
    rehearsal.publish(rotate.rotate(desk, come=[dora.card], go=["Carol"], online=True, now=now, author="Bob"))
    return rehearsal


def wanted(rehearsal: Rehearsal) -> dict[str, str]:
    """Every target that the repository signs, and its SHA-256."""
    current = rehearsal.desk.current()
    roles = (current.targets.signed, current.relief.signed) if current else ()
    return {path: info.hashes["sha256"] for role in roles for path, info in role.targets.items()}


def read(command: Command, rehearsal: Rehearsal, names: list[str]) -> dict[str, str]:
    """What a client reads. Raises CalledProcessError where it refuses."""
    published = rehearsal.desk.published
    arguments = [str(rehearsal.desk.trusted_root), str(published / "metadata"), str(published / "targets"), *names]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True, timeout=120)
    return {name: digest for digest, _, name in (line.partition(" ") for line in done.stdout.splitlines())}


def main(clients: list[str]) -> int:
    """Run the clients; 1 where one fails."""
    failed = 0
    with tempfile.TemporaryDirectory(prefix="stopsign-interop-") as folder:
        made = {scheme: repository(Path(folder) / scheme, scheme) for scheme in ("ed25519", "p256")}
        for name in (name for name in clients or [*CLIENTS, *LOG_READERS] if name in LOG_READERS):
            for good, said in logs.results(Path(folder) / name, LOG_READERS[name]()):
                failed += not good
                sys.stdout.write(f"{name} {'as it must be' if good else 'WRONG'}: {said}\n")
        for name in (name for name in clients or CLIENTS if name not in LOG_READERS):
            for scheme, rehearsal in made.items():
                signed = wanted(rehearsal)
                try:
                    good = read(CLIENTS[name](), rehearsal, list(signed)) == signed
                    said = f"{len(signed)} targets verified" if good else "other octets than were signed"
                except subprocess.CalledProcessError as error:
                    good, said = False, f"refused: {error.stderr.strip()[-500:]}"
                failed += not good
                sys.stdout.write(f"{name} {scheme}: {said}\n")
                sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
