"""PostgreSQL in two networks: a primary, and a replica that follows it and can be promoted by hand.

Enters: two networks and a folder. Leaves: `Database`s with what an operator does to them. Rules: Debian's binaries, as
Debian's user, trusting the networks of the test alone; fsync stays on, as in production.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conftest import find_program
from tests.fleet.network import run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fleet.network import Network

NAME, USER = "appeals", "stopsign"
SETTINGS = {"unix_socket_directories": "''", "max_connections": "500", "wal_keep_size": "64MB", "port": "5432"}


@dataclass(frozen=True)
class Database:
    data: Path
    network: Network

    def _as_user(self, program: str, *words: str) -> str:
        initdb = find_program("initdb")
        assert initdb is not None
        user = _user()
        ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        path = Path(initdb).resolve().parent / program
        return run(*self.network.enter, "setpriv", *ids, "env", f"HOME={self.data.parent}", str(path), *words)

    def create(self) -> None:
        self._as_user("initdb", f"--pgdata={self.data}", "--auth=trust", f"--username={USER}", "--encoding=UTF8",
                      "--locale=C", "--no-sync", "--no-instructions")  # fmt: skip
        lines = "host all all 10.0.0.0/8 trust\nhost replication all 10.0.0.0/8 trust\n"
        with (self.data / "pg_hba.conf").open("a", encoding="utf-8") as file:
            file.write(lines)

    def copy(self, primary: Database) -> None:
        self._as_user("pg_basebackup", f"--pgdata={self.data}", f"--host={primary.network.address}",
                      f"--username={USER}", "--write-recovery-conf", "--checkpoint=fast", "--no-sync")  # fmt: skip

    def start(self) -> None:
        settings = {**SETTINGS, "listen_addresses": f"'{self.network.address}'"}
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        self._as_user("pg_ctl", "start", "--wait", f"--pgdata={self.data}", f"--log={self.data}/server.log",
                      f"--options={options}")  # fmt: skip

    def promote(self) -> None:
        self._as_user("pg_ctl", "promote", "--wait", f"--pgdata={self.data}")

    def ask(self, query: str, database: str = NAME) -> str:
        return self._as_user("psql", "--no-psqlrc", "--tuples-only", "--no-align", f"--host={self.network.address}",
                             f"--username={USER}", f"--dbname={database}", f"--command={query}").strip()  # fmt: skip

    @property
    def postmaster(self) -> int:
        return int((self.data / "postmaster.pid").read_text(encoding="ascii").split("\n", 1)[0])

    def kill(self) -> None:
        """As the end of its machine does: the postmaster at once, what it started with it."""
        children = Path(f"/proc/{self.postmaster}/task/{self.postmaster}/children").read_text().split()
        for pid in (self.postmaster, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        with contextlib.suppress(AssertionError, OSError):
            self._as_user("pg_ctl", "stop", "--mode=immediate", f"--pgdata={self.data}")


@contextlib.contextmanager
def pair(first: Network, second: Network) -> Iterator[tuple[Database, Database]]:
    """The primary, with an empty database for the appeals, and its replica."""
    # Not in the test's folder: that is closed to the user that the server runs as.
    folder = Path(tempfile.mkdtemp(prefix="stopsign-fleet-"))
    user = _user()
    os.chown(folder, user.pw_uid, user.pw_gid)
    primary, replica = Database(folder / "first", first), Database(folder / "second", second)
    try:
        primary.create()
        primary.start()
        primary.ask(f"CREATE DATABASE {NAME}", "postgres")
        replica.copy(primary)
        replica.start()
        yield primary, replica
    finally:
        for one in (replica, primary):
            one.stop()
        shutil.rmtree(folder)


def url(*databases: Database) -> str:
    """As `portal.database` has it: the hosts in turn, whichever takes writes."""
    hosts = ",".join(one.network.address for one in databases)
    return f"postgresql://{USER}@{hosts}/{NAME}?target_session_attrs=read-write"


def _user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
