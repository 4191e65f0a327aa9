"""A day at a provider's, and a search of all that it left behind: no client's address, no name that is not on a list.

The traffic is that of a day in small: every transport, good and bad messages, blocked sites that are visited, look-ups,
an appeal, an upstream that goes away, processes that die badly. Then two days pass, so that counts and report are
written. What is searched is every file that any of the processes could write.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import urllib.parse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from resolver.config.schema import load
from resolver.log.writer import Log
from resolver.stats.publish import publish
from tests.rigs.counted import Ticked
from tests.rigs.dns_host import PATIENCE, question, wait_until
from tests.rigs.load import STOPPED, ask
from tests.rigs.provider import Provider, provider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rigs.dns_host import Address

__all__ = ["provider"]

MARK = "never-written-down"  # in every name, path and cookie that is nobody's business
CLIENTS = ("127.91.233.17", "127.173.58.201")
PACKED = (".db", ".db-wal", ".hits", ".part", ".counters", ".json", ".log", ".jsonl")  # not in what is random anyway


def messages() -> Iterator[bytes]:
    for number, name in enumerate((f"{MARK}.example", f"www.{MARK.upper()}.Example.ORG", f"{MARK}.aces-bets.example")):
        for qtype in (1, 28, 65, 255, 252, 6):
            yield question(number + 1, name, qtype)
            yield question(number + 1, name, qtype, edns=1232, do=True)
        whole = question(number + 1, name, 1)
        yield whole[:-3]
        yield whole[:2] + b"\x28" + whole[3:]  # an opcode that nobody serves
        yield whole[:4] + b"\0\2" + whole[6:]
        yield whole + b"\0" * 7


def live_a_day(dns: Address, client: str) -> None:
    """All messages over UDP and TCP, from that address; whether they are answered is for others to test."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind((client, 0))
        one.settimeout(0.05)
        for message in messages():
            one.sendto(message, dns)
            try:
                one.recv(4096)
            except TimeoutError:
                continue
    for message in messages():
        with socket.socket() as one:
            one.bind((client, 0))
            one.settimeout(PATIENCE)
            one.connect(dns)
            one.sendall(len(message).to_bytes(2) + message)
            one.shutdown(socket.SHUT_WR)
            while one.recv(4096):
                pass


def visit(address: Address, client: str, path: str, host: str, form: dict[str, str] | None = None) -> bytes:
    """A browser at that address, with a cookie and a page it came from."""
    body = None if form is None else urllib.parse.urlencode(form)
    lines = [f"{'GET' if form is None else 'POST'} {path} HTTP/1.1", f"Host: {host}", f"Cookie: session={MARK}",
             f"User-Agent: {MARK}", f"Referer: https://{MARK}.example/", "Connection: close"]  # fmt: skip
    if body is not None:
        lines += ["Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(body)}"]
    with socket.socket() as one:
        one.bind((client, 0))
        one.settimeout(PATIENCE)
        one.connect(address)
        one.sendall(("\r\n".join(lines) + "\r\n\r\n" + (body or "")).encode())
        return b"".join(iter(lambda: one.recv(65_536), b""))


def found(folder: Path) -> dict[str, list[str]]:
    """What must not be there, by file."""
    traces = {MARK.encode(), *(client.encode() for client in CLIENTS)}
    packed = {socket.inet_aton(client) for client in CLIENTS} | {socket.inet_aton(client)[::-1] for client in CLIENTS}
    wrong: dict[str, list[str]] = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes().lower()
            said = [str(trace) for trace in traces if trace in data]
            said += [str(trace) for trace in packed if path.name.endswith(PACKED) and trace in data]
            if said:
                wrong[str(path.relative_to(folder))] = said
    return wrong


def _is_stopped(stop_page: Address, client: str) -> bool:
    return b" 451 " in visit(stop_page, client, f"/{MARK}?{MARK}=1", f"{MARK}.aces-bets.example")


def test_a_day_of_traffic_leaves_nothing_of_who_asked_and_for_what(provider: tuple[Provider, str]) -> None:
    host, _ = provider
    config = load(host.config)
    (dns, *_), (stop_page, *_), (portal, *_) = (host.addresses(use) for use in ("dns", "stop_page", "portal"))
    for pid in host.children().values():
        (core,) = [line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if "core file" in line]
        assert core.split()[4:6] == ["0", "0"]
    for client in CLIENTS:
        live_a_day(dns, client)
        wait_until(partial(_is_stopped, stop_page, client), "the web process knows the list")
        visit(stop_page, client, "/", f"{MARK}.example")
        where = urllib.parse.urlsplit(config.portal.url).netloc
        for path in (f"/?name={MARK}.example", f"/receipt/{MARK}", f"/{MARK}", "/transparency"):
            visit(portal, client, path, where)
        visit(portal, client, "/appeal", where, {"reason": MARK, "token": MARK})
    # a hung worker is aborted, a killed one is not asked: neither may leave its memory behind
    children = host.children()
    os.kill(children["worker-0"], signal.SIGABRT)
    os.kill(children["worker-1"], signal.SIGKILL)
    wait_until(lambda: set(host.children()) == set(children) and not set(host.children().values()) & {
        children["worker-0"], children["worker-1"]}, "successors")  # fmt: skip
    wait_until(lambda: ask(dns, "aces-bets.example") == STOPPED, "blocked again")
    live_a_day(dns, CLIENTS[0])
    assert host.stop() == 0
    later = time.time() + 3 * 86_400
    with Log.open(config.places, lambda: later, origin=config.log_origin) as log:
        sizes, counting = lambda: {config.lists[0].name: 59}, Ticked(config.places, log.append_many)
        assert counting.tick(time.time(), sizes) is None
        assert counting.tick(later, sizes) is None
        counting.close(later, sizes)
    publish(config.places, later)
    assert json.loads(config.places.report.read_text())["blocks"]["total"] > 10, (
        "blocks are counted, or this says nothing"
    )
    assert found(host.folder) == {}
    assert not [path for path in (*Path.cwd().glob("core*"), *host.folder.rglob("core*")) if path.is_file()]
    (host.folder / "planted.log").write_bytes(socket.inet_aton(CLIENTS[1]) + f"www.{MARK}.Example".upper().encode())
    assert len(found(host.folder)["planted.log"]) == 2, "the search finds what is there"
