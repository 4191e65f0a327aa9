"""A web server between an issuer and a provider's hosts, set up as docs/many-hosts.md says."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from blocklists.verify import VerifyError
from tests.conftest import find_program
from tests.rigs.dns_host import PATIENCE, free_port
from tests.rigs.http_folder import served
from tests.rigs.issuer_world import LIST, NAMES, World

if TYPE_CHECKING:
    from collections.abc import Iterator

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "many-hosts.md"


@contextmanager
def mirror(folder: Path, origin: str, patience: float = PATIENCE) -> Iterator[str]:
    """nginx with the guide's own lines, but for addresses, folders and the minute, which is a second."""
    (said,) = re.findall(r"```nginx\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    port = free_port()
    for there, here in (
        ("/var/cache/nginx/lists", f"{folder}/cache"), ("192.0.2.80:80", f"127.0.0.1:{port}"),
        ("https://lists.regulator.example", origin), ("200 1m", "200 1s"), ("any 10s", "any 1s"),
    ):  # fmt: skip
        assert there in said
        said = said.replace(there, here)
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n" + "".join(
            f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        ) + said + "}\n"
    )  # fmt: skip
    program = find_program("nginx")
    assert program is not None
    running = subprocess.Popen([program, "-p", folder, "-c", folder / "nginx.conf"], stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + patience
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < until
                assert running.poll() is None
                time.sleep(0.02)
        yield f"http://127.0.0.1:{port}/"
    finally:
        running.terminate()
        running.wait()


@contextmanager
def away(origin: str) -> Iterator[None]:
    """Nobody answers there, and no other program gets the port."""
    with socket.socket() as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind(("127.0.0.1", urlsplit(origin).port))
        yield


@pytest.mark.needs("nginx")
def test_hosts_behind_a_mirror_get_what_is_new_and_notice_what_is_withheld(tmp_path: Path) -> None:
    world = World(tmp_path / "world")
    with served(world.published) as origin, mirror(tmp_path, origin) as url:
        assert world.listed(world.fetch(url, state="a")) == set(NAMES)
        world.rehearsal.change(LIST, add=["new.example"])
        until = time.monotonic() + PATIENCE
        while "new.example" not in world.listed(world.fetch(url, state="a")):
            assert time.monotonic() < until, "the mirror keeps an old timestamp for longer than its second"
            time.sleep(0.1)
        world.fetch(url, state="b")  # a cache holds what some host asked for
        world.rehearsal.change(LIST, add=["newer.example"])
        newest = world.fetch(str(world.published), state="a")
    time.sleep(1.2)  # all that the mirror asks for again is due
    # The issuer's host is away: the mirror goes on with what it has, for as long as that is signed for.
    with away(origin), mirror(tmp_path, origin) as url:
        assert "new.example" in world.listed(world.fetch(url, state="b"))
        with pytest.raises(VerifyError) as older:
            world.fetch(url, state="a")
        assert older.value.reason == "rollback", f"a host that has seen {newest.head.version}"
        world.later(days=2)
        with pytest.raises(VerifyError) as old:
            world.fetch(url, state="b")
        assert old.value.reason == "expired"
