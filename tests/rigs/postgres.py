"""A PostgreSQL server of the tests' own: Debian's binaries, a folder and a port of its own, trusting loopback alone."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conftest import find_program
from tests.rigs.dns_host import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


@dataclass(frozen=True)
class Server:
    """`url`: of the database server, to which `/name` is to be added."""

    url: str
    restart: Callable[[], None]
    data: Path

    @property
    def postmaster(self) -> int:
        """The process that starts all others."""
        return int((self.data / "postmaster.pid").read_text(encoding="ascii").split("\n", 1)[0])


@contextmanager
def server() -> Iterator[str]:
    """Runs until the block ends; gives its URL."""
    with restartable() as one:
        yield one.url


@contextmanager
def restartable(connections: int = 40) -> Iterator[Server]:
    """The same, and it can be started again."""
    initdb = find_program("initdb")
    assert initdb is not None
    # Not in pytest's folder: that is closed to the user that the server runs as.
    programs, data = Path(initdb).resolve().parent, Path(tempfile.mkdtemp(prefix="stopsign-postgres-"))
    run_as = _not_root(data)
    settings = [
        "--auth=trust",
        "--username=stopsign",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
        "--no-instructions",
    ]
    _run([programs / "initdb", "--pgdata", data, *settings], run_as)
    port = free_port()
    options = (
        f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off "
        f"-c max_connections={connections}"
    )
    log = data / "server.log"
    begin: list[str | Path] = ["--wait", "--timeout=110", "--pgdata", data, "--log", log, "--options", options]
    _run([programs / "pg_ctl", "start", *begin], run_as, log)
    url = f"postgresql://stopsign@127.0.0.1:{port}"
    try:
        yield Server(url, lambda: _run([programs / "pg_ctl", "restart", "--mode=fast", *begin], run_as, log), data)
    finally:
        _run([programs / "pg_ctl", "stop", "--mode=immediate", "--pgdata", data], run_as)
        shutil.rmtree(data)


def _not_root(data: Path) -> Mapping[str, int]:
    """PostgreSQL refuses to run as root; the folder is then given to the user that Debian made for it, or to nobody."""
    if os.geteuid() != 0:
        return {}
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        user = pwd.getpwnam("nobody")
    os.chown(data, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid}


def _run(command: list[str | Path], run_as: Mapping[str, int], log: Path | None = None) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, cwd="/", extra_groups=[] if run_as else None,
        **run_as,  # type: ignore[call-overload]
    )  # fmt: skip
    said = log.read_text(encoding="utf-8", errors="replace") if log is not None and log.exists() else ""
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}{said}"
