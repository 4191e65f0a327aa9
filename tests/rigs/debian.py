"""Debian's packages of another release, unpacked into a folder and run there, without touching this system.

Enters: a release, and names of packages. Leaves: a tree with them and all that they depend on; a command's prefix that
runs a program of it. Rules: the mirror is the one that this system's apt already uses; lists, cache and state are a
folder of their own; nothing is installed or configured; a program sees the tree as its root, with this machine's /dev,
/proc and /tmp, in a mount namespace that ends with it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

SOURCES = (Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*")))
KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class PeersError(Exception):
    """A tree cannot be made."""


def mirror() -> str:
    """The address from which this system's apt takes Debian."""
    for path in (path for path in SOURCES if path.suffix in (".list", ".sources") and path.is_file()):
        for line in path.read_text().splitlines():
            found = re.match(r"(?:deb (?:\[.*\] )?|URIs: )(\S+/debian)/?(?:\s|$)", line)
            if found:
                return found[1]
    raise PeersError("none of this system's apt sources is one of Debian")


def tree(suite: str, packages: list[str], where: Path) -> tuple[Path, dict[str, str]]:
    """The folder, and the version of each package. A tree that is there already is taken as it is."""
    root, apt = (where / suite).absolute(), (where / f"apt-{suite}").absolute()
    fresh = where.absolute() / f"{suite}.new"
    for folder in (apt / "lists/partial", apt / "cache/archives/partial", apt / "state"):
        folder.mkdir(parents=True, exist_ok=True)
    (apt / "state/status").touch()
    (apt / "sources.list").write_text(f"deb [signed-by={KEYS}] {mirror()} {suite} main\n")
    options = {
        "Dir::Etc::sourcelist": apt / "sources.list", "Dir::Etc::sourceparts": "-", "Dir::State": apt / "state",
        "Dir::State::status": apt / "state/status", "Dir::State::lists": apt / "lists", "Dir::Cache": apt / "cache",
        "Acquire::Languages": "none", "APT::Install-Recommends": "0", "APT::Sandbox::User": "root",
    }  # fmt: skip
    how = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    if not root.exists():
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        _run("apt-get", "-q", *how, "update")
        _run("apt-get", "-q", *how, "install", "--yes", "--download-only", "base-files", "bash", "coreutils", *packages)
        for package in sorted((apt / "cache/archives").glob("*.deb")):
            unpack = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE)
            subprocess.run(["tar", "-x", "-C", str(fresh), "--keep-directory-symlink"], stdin=unpack.stdout, check=True)
            assert unpack.wait() == 0, package
        fresh.rename(root)  # whole, or not there
    unpacked = (package.name.split("_") for package in (apt / "cache/archives").glob("*.deb"))
    versions = {name: version.rpartition("%3a")[2] for name, version, _ in unpacked}
    return root, {name: versions[name] for name in packages}


def inside(root: Path) -> list[str]:
    """The prefix of a command that runs in the tree; what it becomes keeps its process id."""
    more = [] if os.geteuid() == 0 else ["--map-root-user"]
    bind = 'for d in dev proc tmp; do mkdir -p "$0/$d"; mount --rbind "/$d" "$0/$d"; done; exec chroot "$0" "$@"'
    return ["unshare", *more, "--mount", "--propagation", "private", "sh", "-c", bind, str(root)]


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode:
        raise PeersError(f"{' '.join(command[:1])} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stdout
