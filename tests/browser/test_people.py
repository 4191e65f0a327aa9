"""What a person meets, as docs/people.md says: Chromium on Stopsign's own answers, in a network of its own."""

from __future__ import annotations

import contextlib
import json
import re
import select
import socket
import ssl
import subprocess
import threading
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from playwright.sync_api import Error, sync_playwright

from resolver import _core
from tests.conftest import find_program
from tests.rigs.blocking_host import BLOCKED, blocking_host
from tests.rigs.certificates import NAME, made
from tests.rigs.dns_host import Host, free_port, running
from tests.rigs.list_documents import BASES, entry, write
from tests.rigs.namespace import beside, in_a_network, see
from tests.rigs.streams import Streams

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rigs.certificates import Files

GUIDE = Path(__file__).parents[2] / "docs" / "people.md"
ROW = re.compile(r"\| `(?P<action>[a-z-]+)` \| (?P<at443>\w+) \| `?(?P<asked>[^|`]+)`? \| (?P<met>[^|]+) \|")
PAGES = {"reset": "192.0.2.66", "silent": "192.0.2.67", "answered": "192.0.2.68"}
HERE = "198.51.100.1"
TITLE = "This page is blocked"


def rows() -> list[tuple[str, str, str, str]]:
    """Action, state of 443, what was asked for, what Chromium shows."""
    return [
        (row["action"], row["at443"], row["asked"].strip(), row["met"].strip())
        for row in map(ROW.fullmatch, GUIDE.read_text(encoding="utf-8").splitlines())
        if row is not None
    ]


def url(action: str, at443: str, asked: str) -> str:
    """A name of its own for each row's list and page; what ends in `.dev` is HTTPS by the browser's own list."""
    name = at443 if action == "stop-page" else action
    return {
        "http://": f"http://{name}.example/",
        "https://": f"https://{name}.example/",
        "HSTS": f"http://{name}.dev/",
    }[asked]


def resolver(folder: Path, over: threading.Event) -> None:
    """Stopsign's planes, one for each stop page's address, where `/etc/resolv.conf` says."""
    actions = ("stop-page", "nxdomain", "nodata", "refused")
    names = {"stop-page": [*PAGES], "nxdomain": ["nxdomain"], "nodata": ["nodata"], "refused": ["refused"]}
    sources: list[_core.Source] = []
    for at, action in enumerate(actions):
        path = folder / f"{action}.zst"
        listed = [f"{name}.{top}" for name in names[action] for top in ("example", "dev")]
        write(path, [entry(name, 100 * at + number) for number, name in enumerate(listed)])
        source = {"document": str(path), "action": action, "ede": 16, "bases": BASES, "suspended": []}
        sources.append(source)  # type: ignore[arg-type]
    _core.compile(sources, str(folder / "list"), b"{}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 53))
        planes = {}
        for state, address in PAGES.items():
            plane = _core.Plane({"allow_clients": ["127.0.0.0/8"], "stop_ipv4": address, "stop_ipv6": None})
            plane.set_list(_core.CompiledList.open(str(folder / "list")))
            planes[state] = Streams(plane)
        while not over.is_set():
            if select.select([server], [], [], 0.05)[0]:
                message, client = server.recvfrom(4096)
                state = message[13 : 13 + message[12]].decode()
                answer = decided(planes.get(state, planes["reset"]), message)
                server.sendto(answer, client)


def decided(plane: Streams, message: bytes) -> bytes:
    """The answer to a listed name; any other does not exist."""
    answer = plane.ask(message, stream=1)
    return answer if isinstance(answer, bytes) else message[:2] + b"\x81\x83" + message[4:6] + bytes(6) + message[12:]


def stop_page(address: str, over: threading.Event) -> None:
    body = f"<title>{TITLE}</title>".encode()
    head = b"HTTP/1.1 451 x\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    with socket.create_server((address, 80)) as listener:
        listener.settimeout(0.05)
        while not over.is_set():
            with contextlib.suppress(OSError), listener.accept()[0] as visitor:
                visitor.settimeout(5)
                visitor.recv(4096)
                visitor.sendall(head + body)


def other_site(folder: Path, over: threading.Event) -> None:
    """A web server with a certificate that nobody knows."""
    files = made(folder, "other.example")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    with socket.create_server((PAGES["answered"], 443)) as listener:
        listener.settimeout(0.05)
        while not over.is_set():
            with contextlib.suppress(TimeoutError, OSError):
                visitor, _ = listener.accept()
                visitor.settimeout(5)
                with context.wrap_socket(visitor, server_side=True) as stream:
                    stream.recv(1)


@contextlib.contextmanager
def silence(address: str) -> Iterator[None]:
    """TCP whose queue is full, so that what comes is dropped, and UDP that nobody reads."""
    with contextlib.ExitStack() as kept:
        listener = kept.enter_context(socket.socket())
        listener.bind((address, 443))
        listener.listen(0)
        for _ in range(2):
            filler = kept.enter_context(socket.socket())
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect((address, 443))
        kept.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind((address, 443))
        yield


def named(folder: Path) -> None:
    """This thread, and what it starts, asks the resolver of the test."""
    see({"/etc/resolv.conf": "nameserver 127.0.0.1\n"}, folder)
    Path("/proc/sys/net/ipv4/tcp_syn_retries").write_text("1", encoding="ascii")  # of this network: 3 s, not 130


def seen(urls: list[str], *options: str) -> list[str]:
    """What Chromium shows for each: the stop page, or its own error."""
    shown = []
    with sync_playwright() as playwright:
        args = ["--no-sandbox", "--disable-dev-shm-usage", *options]
        started = playwright.chromium.launch(executable_path=find_program("chromium"), args=args)
        for one in urls:
            page = started.new_context().new_page()
            try:
                page.goto(one, timeout=60_000)
                shown.append("the stop page" if page.title() == TITLE else page.title())
            except Error as error:
                found = re.search(r"net::(\w+)", error.message)
                shown.append(found[1] if found else error.message)
        started.close()
    return shown


@pytest.mark.needs("chromium", "ip")
def test_people_meet_what_the_guide_says(tmp_path: Path) -> None:
    table, over = rows(), threading.Event()
    assert len(table) == 18

    def scene() -> list[str]:
        named(tmp_path)
        with beside("198.51.100.1/24", "198.51.100.2/24"), silence(PAGES["silent"]):
            subprocess.run(["ip", "route", "add", "default", "via", "198.51.100.2"], check=True)
            serving = [threading.Thread(target=resolver, args=(tmp_path, over))]
            serving += [threading.Thread(target=stop_page, args=(address, over)) for address in PAGES.values()]
            serving.append(threading.Thread(target=other_site, args=(tmp_path, over)))
            for thread in serving:
                thread.start()
            try:
                return seen([url(action, at443, asked) for action, at443, asked, _ in table])
            finally:
                over.set()
                for thread in serving:
                    thread.join()

    assert in_a_network(scene, [f"{address}/32" for address in PAGES.values()]) == [met for *_, met in table]


def over_https(template: str, root: Path) -> None:
    """Chromium of this thread asks there alone, and believes that root: an administrator's policies."""
    subprocess.run(["mount", "-t", "tmpfs", "none", "/etc/chromium"], check=True)
    managed = Path("/etc/chromium/policies/managed")
    managed.mkdir(parents=True)
    der = x509.load_pem_x509_certificate(root.read_bytes()).public_bytes(Encoding.DER)
    policies = {
        "DnsOverHttpsMode": "secure", "DnsOverHttpsTemplates": template, "CACertificates": [b64encode(der).decode()],
    }  # fmt: skip
    (managed / "test.json").write_text(json.dumps(policies), encoding="utf-8")


def host(folder: Path, files: Files, port: int) -> Host:
    """Stopsign with a list that explains itself in JSON, and says NXDOMAIN to who asked for that."""
    encrypted = {
        "name": NAME, "certificate": str(files.certificate), "key": str(files.key),
        "https": {"listen": [f"{HERE}:{port}"]},
    }  # fmt: skip
    dns = {"encrypted": encrypted, "allow_clients": ["198.51.100.0/24"]}
    return blocking_host(folder, dns, {"explain": "json", "explained": "nxdomain"})


@pytest.mark.needs("chromium", "ip")
def test_chromium_asks_for_structured_errors_over_https_as_the_core_thinks(tmp_path: Path) -> None:
    """What it then gets is the list's `explained`; without its flag it gets the stop page."""
    files, port = made(tmp_path / "tls", NAME, HERE), free_port()

    def scene() -> list[str]:
        named(tmp_path)
        over_https(f"https://{HERE}:{port}/dns-query{{?dns}}", files.root)
        over, address, typed = threading.Event(), PAGES["reset"], [f"http://{BLOCKED}/"]
        with beside(f"{HERE}/24", "198.51.100.2/24"), running(host(tmp_path / "host", files, port)) as serving:
            subprocess.run(["ip", "route", "add", "default", "via", "198.51.100.2"], check=True)
            page = threading.Thread(target=stop_page, args=(address, over))
            page.start()
            try:
                met = [*seen(typed), *seen(typed, "--enable-features=UseStructuredDnsErrors")]
            finally:
                over.set()
                page.join()
            asked = serving.counters()
            assert (asked["queries_https"] > 0, asked["queries_udp4"]) == (True, 0), serving.log
            return met

    met = in_a_network(scene, [f"{PAGES['reset']}/32"])
    assert met == ["the stop page", "ERR_NAME_NOT_RESOLVED"]
