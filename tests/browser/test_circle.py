"""The whole circle in a browser without scripts: a blocked name, the page that says why, the appeal, the decision.

Everything is as in production: an issuer's desk with two signers and a judge, the processes of `stopsign run`, DNS
that says where the browser goes. Pictures of each page go to STOPSIGN_PICTURES where that is set (docs/pictures, for
the README).
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from base64 import b64encode
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import md5, sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]

from blocklists.issuer import rotate
from blocklists.issuer.keys import Keyring
from blocklists.issuer.rehearsal import PASSPHRASE, Rehearsal
from resolver.cli.demo import tree
from resolver.cli.demo.upstream import ADDRESS
from resolver.config.schema import Endpoint
from tests.rigs.chromium import WIDTHS, browser, page
from tests.rigs.dns_host import ROOT, free_port, question, running, wait_until, wire_name, written
from tests.rigs.limits import state_of
from tests.rigs.load import ask
from tests.rigs.provider import Provider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.needs("chromium")

NAME = "lucky-wheel.example"
WORDS = "Das ist mein Fahrradladen; mit Glücksspiel hat er nichts zu tun."
VISITOR = "127.0.0.77"  # of the visitor that is searched for in everything that was written
FORGOTTEN = "aces-bets.example"
OTHER, UNBLOCKED = "other-dice.example", "unblocked-and-asked-for.example.net"
PICTURES = os.environ.get("STOPSIGN_PICTURES")


@dataclass
class World:
    """The issuer's desk with a judge, and the provider, running."""

    host: Provider
    rehearsal: Rehearsal
    judge: Keyring
    site: str
    """Where the blocked site itself is served."""
    pictures: Path | None
    requested: list[str] = field(default_factory=list)

    @property
    def stop_page(self) -> str:
        return "{}:{}".format(*self.host.addresses("stop_page")[0])

    @property
    def portal(self) -> str:
        return "http://{}:{}".format(*self.host.addresses("portal")[0])

    def asked(self, name: str) -> str:
        return ask(self.host.address, name)

    def led(self, *names: str) -> dict[str, str]:
        """Where a browser goes for these names, as Stopsign's DNS answers now: the stop page, or the site itself."""
        places = {tree.STOP_ADDRESS: self.stop_page, ADDRESS: self.site}
        return {name: places[self.asked(name)] for name in names}

    def desk(self, *arguments: str, fails: str = "", overdue: bool = False) -> str:
        """`stopsign appeals …` at the provider, `stopsign issuer appeals …` at the issuer; what it prints."""
        where = self.rehearsal.desk.folder if arguments[0] == "issuer" else self.host.folder
        secret = self.host.folder / "passphrase"
        secret.write_bytes(PASSPHRASE)
        done = subprocess.run(
            [sys.executable, "-P", "-m", "resolver.cli.main", *arguments, "--dir", str(where)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "STOPSIGN_PASSPHRASE_FILE": str(secret)},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == (2 if fails else 1 if overdue else 0), done.stderr
        assert fails in done.stderr
        return done.stdout

    def decide(self, appeal: str, keys: Path, *, fails: str = "") -> None:
        """Whoever owns these keys grants it, and the desk publishes."""
        self.desk(
            "issuer", "appeals", "decide", appeal, "--outcome", "granted", "--key", str(keys), "--reasons",
            "The entry confuses this shop with another one. We are sorry.", fails=fails,
        )  # fmt: skip

    def look(self, started: Browser, url: str, name: str, *, dark: bool = False, language: str = "en") -> None:
        """Pictures on a phone and a desktop, and what axe finds in each: nothing."""
        for width in WIDTHS:
            with page(
                started, width=width, language=language, scheme="dark" if dark else "light", scripts=True
            ) as seen:
                seen.goto(url)
                if self.pictures:
                    seen.screenshot(path=self.pictures / f"{name}-{width}.png", full_page=True)
                found = Axe().run(
                    seen, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]}
                )
                assert found.violations_count == 0, f"{name} {width}: {found.generate_report()}"
                assert seen.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
                    f"{name} {width} is too wide"
                )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    folder, upstream = tmp_path / "tree", free_port()
    ports = tree.Ports(*(Endpoint("127.0.0.1", free_port()) for _ in range(3)))
    tree.plant(folder, [], ports=ports, upstream=Endpoint("127.0.0.1", upstream), workers=1)
    config = yaml.safe_load((folder / "stopsign.yaml").read_text())
    config["provider"] |= {
        "name": "Nordlicht Internet",
        "contact": "blocking@nordlicht.example",
        "help_lines": [
            {"name": "Gambling helpline", "phone": "+49 800 1372700", "text": "Free and anonymous, day and night"}
        ],
    }
    (folder / "stopsign.yaml").write_text(yaml.safe_dump(config))
    rehearsal = Rehearsal.open(folder / "issuer")
    judge = Keyring.create(tmp_path / "judge", "Dr Recht", PASSPHRASE, roles=["relief"])
    rehearsal.publish(rotate.rotate(rehearsal.desk, come=[judge.card], now=datetime.now(UTC), author="alice"))
    program = "import sys; from tests.rigs.provider import outside; outside(int(sys.argv[1]))"
    outside = subprocess.Popen(
        [sys.executable, "-c", program, str(upstream)], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    pictures = Path(PICTURES) if PICTURES else None
    if pictures:
        pictures.mkdir(exist_ok=True)
    try:
        with running(Provider(folder, [], workers=1, only=None)) as host, the_site_itself() as site:
            yield World(host, rehearsal, judge, site, pictures)
    finally:
        outside.terminate()
        outside.wait(20)


@contextmanager
def the_site_itself() -> Iterator[str]:
    class Shop(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"<title>Lucky Wheel</title><h1>Bicycles and repairs</h1>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """It keeps no log either."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(20)


def appeal(world: World, seen: Page) -> str:
    """From the stop page to the receipt, as a reader without scripts goes; the receipt's address."""
    answer = seen.goto(f"http://www.{NAME}/some/page?x=1")
    assert answer is not None
    assert answer.status == 451
    assert 'rel="blocked-by"' in (answer.header_value("link") or "")
    assert seen.locator("h1").inner_text() == f"{NAME} is blocked"
    seen.locator("summary").click()
    seen.get_by_role("link", name="Deutsch").click()
    assert seen.locator("h1").inner_text() == f"{NAME} ist gesperrt"
    seen.get_by_role("link", name="Einspruch gegen diese Sperre").click()
    assert seen.url.startswith(world.portal + "/appeal")
    assert seen.locator("html").get_attribute("lang") == "de"
    assert seen.get_by_label("Referenz", exact=True).input_value()
    seen.get_by_label("Ich betreibe die Website").check()
    seen.get_by_label("Was dort steht, ist rechtmäßig").check()
    seen.get_by_label("Ihre Gründe").fill(WORDS)
    seen.wait_for_timeout(2100)  # faster than a person: the form would come back
    seen.get_by_role("button", name="Einspruch absenden").click()
    assert "Ihr Einspruch ist angekommen" in seen.locator("main").inner_text()
    return seen.url.partition("?")[0]


def test_a_blocked_name_is_appealed_decided_and_resolves_again(world: World) -> None:
    site = f"www.{NAME}"
    assert world.asked(site) == tree.STOP_ADDRESS
    with browser(world.led(site)) as started:
        with page(started) as seen:
            seen.on("request", lambda request: world.requested.append(request.url))
            receipt = appeal(world, seen)
        places = (f"http://{site}/", f"{world.portal}/")
        assert all(url.startswith(places) for url in world.requested), "nothing is loaded from anywhere else"
        world.look(started, receipt, "receipt-open")
    visit = Visit(world)
    visit.every_page()
    visit.appeals(FORGOTTEN)

    one, forgotten = _waiting(world)
    (world.host.folder / "issuer.pub").write_text(world.desk("issuer", "appeals", "key"))
    world.desk("issuer", "appeals", "trust", "nordlicht", world.desk("appeals", "key").strip())
    parcel, key = str(world.host.folder / "parcel.json"), str(world.host.folder / "issuer.pub")
    sealed = world.desk("appeals", "forward", "--list", tree.LIST, "--key", key, "--output", parcel)
    assert sealed == f"2 appeals sealed into {parcel}, to be sent to {tree.ISSUER.appeals}\n"
    assert WORDS not in Path(parcel).read_text()
    world.desk("issuer", "appeals", "import", parcel)
    assert WORDS in world.desk("issuer", "appeals", "show", one["id"])
    world.decide(one["id"], world.rehearsal.signers[0].folder, fails="somebody else decides on the appeal")
    world.decide(one["id"], world.judge.folder)

    wait_until(lambda: world.asked(site) == ADDRESS, "the name resolves again")
    wait_until(lambda: _decided(world) == [one["id"]], "the receipt hears of it", patience=90)
    assert [a["id"] for a in _waiting(world)] == [forgotten["id"]]
    assert world.asked(FORGOTTEN) == tree.STOP_ADDRESS
    _time_passes(world, forgotten["id"])
    wait_until(lambda: world.asked(FORGOTTEN) == ADDRESS, "what nobody decides is suspended", patience=150)
    assert [one["state"] for one in _waiting(world, overdue=True)] == ["suspended"], (
        "and waits for a person all the same"
    )
    with browser(world.led(site)) as started:
        with page(started, language="de") as seen:
            seen.goto(receipt)
            said = seen.locator("main").inner_text()
            assert "Ihrem Einspruch wurde stattgegeben" in said
            assert "confuses this shop" in said
            assert "Dr Recht" in said
            assert "Administrative Court of Example" in said
            seen.goto(f"http://{site}/")
            assert seen.locator("h1").inner_text() == "Bicycles and repairs"
            seen.goto(f"{world.portal}/?name={NAME}")
            assert "ist hier nicht gesperrt" in seen.locator("main").inner_text()
        world.look(started, receipt, "receipt-decided")
    visit.every_page()
    visit.asks_names()
    _no_visitor_is_written(world)


def _waiting(world: World, *, overdue: bool = False) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(world.desk("appeals", "list", "--json", overdue=overdue))
    return found


def _decided(world: World) -> list[str]:
    """As `_waiting`, seen in the database: a command costs half a second of a processor each time."""
    with closing(sqlite3.connect(world.host.folder / "state" / "portal.db")) as database:
        return [appeal for (appeal,) in database.execute("SELECT id FROM appeals WHERE closed IS NOT NULL")]


def _time_passes(world: World, appeal: str) -> None:
    """This appeal came long ago, by the clock of the steward, who opens entries, and of the database, for the desk."""
    with closing(sqlite3.connect(world.host.folder / "state" / "portal.db")) as database:
        database.execute("UPDATE appeals SET due = received - 1 WHERE id = ?", (appeal,))
        database.commit()
    steward = world.host.children()["steward"]
    os.kill(steward, signal.SIGSTOP)
    wait_until(lambda: state_of(steward) == "T", "it stands still")
    path = world.host.folder / "state" / "appeals.json"
    known = json.loads(path.read_bytes())
    known["waiting"][appeal]["received"] = 1.0
    path.write_text(json.dumps(known))
    os.kill(steward, signal.SIGKILL)


@dataclass
class Visit:
    """A visitor from an address that nothing else here has."""

    world: World

    def every_page(self) -> None:
        for host, port in (*self.world.host.addresses("stop_page"), *self.world.host.addresses("portal")):
            for path in ("/", "/appeal", "/receipt", "/transparency", "/press", "/log/checkpoint",
                         f"/?name={OTHER}", "/x"):  # fmt: skip
                for line in (f"GET {path} HTTP/1.1\r\nHost: www.{NAME}", f"GET {path} HTTP/1.1\r\nbroken"):
                    self.says(host, port, f"{line}\r\nUser-Agent: odd-browser\r\nConnection: close\r\n\r\n")

    def appeals(self, name: str) -> None:
        """By the form, as a script would: the token is taken from the page, and is old enough a little later."""
        ((host, port),) = self.world.host.addresses("portal")
        found = self.says(host, port, f"GET /?name={name} HTTP/1.0\r\nHost: x\r\nAccept: application/json\r\n\r\n")
        reference = json.loads(found.partition("\r\n\r\n")[2])["entries"][0]["reference"]
        form = self.says(host, port, f"GET /appeal?reference={reference} HTTP/1.0\r\nHost: x\r\n\r\n")
        token = re.search(r'name="token" value="([^"]+)"', form)
        assert token is not None
        body = urlencode({"token": token[1], "reference": reference, "reason": "I bought my bicycle there."})
        head = "POST /appeal HTTP/1.0\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"

        def sent() -> str:
            return self.says(
                host, port, f"{head}Content-Length: {len(body)}\r\nX-Forwarded-For: {VISITOR}\r\n\r\n{body}"
            )

        answer = wait_until(lambda: (said := sent()).startswith("HTTP/1.0 303") and said, "the form is taken")
        receipt = re.search(r"Location: (/receipt/\S+)", answer)
        assert receipt is not None
        assert "I bought my bicycle there." in self.says(host, port, f"GET {receipt[1]} HTTP/1.0\r\nHost: x\r\n\r\n")

    def asks_names(self) -> None:
        """Blocked, not blocked and no question at all, over UDP and TCP."""
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            for message in (question(7, FORGOTTEN, 1), question(8, UNBLOCKED, 1), b"\0\x09\1\0\0\1junk"):
                with socket.socket(socket.AF_INET, kind) as one:
                    one.settimeout(10)
                    one.bind((VISITOR, 0))
                    one.connect(self.world.host.address)
                    one.sendall((len(message).to_bytes(2) if kind == socket.SOCK_STREAM else b"") + message)
                    if not message.endswith(b"junk"):
                        assert one.recv(4096)

    def says(self, host: str, port: int, request: str) -> str:
        with socket.create_connection((host, port), 20, source_address=(VISITOR, 0)) as connection:
            connection.sendall(request.encode())
            answer = b""
            while part := connection.recv(65536):
                answer += part
            return answer.decode()


def _no_visitor_is_written(world: World) -> None:
    """Neither address nor browser nor what was asked for, in any form, in any file that is written or open for it."""
    packed = socket.inet_aton(VISITOR)
    address = [VISITOR.encode(), packed, packed[::-1], packed.hex().encode(), str(int(ip_address(VISITOR))).encode()]
    for made in (md5, sha1, sha256):
        for digest in (made(VISITOR.encode()).digest(), made(packed).digest()):
            address += [digest, digest.hex().encode(), b64encode(digest)[:20]]
    visit = [b"HeadlessChrome", b"odd-browser", OTHER.encode(), UNBLOCKED.encode(), wire_name(UNBLOCKED)]
    searched = 0
    for path, data in written(world.host.folder):
        listed = "issuer" in path.parts or path.name == "current.list"
        assert not [trace for trace in (address if listed else address + visit) if trace in data], path
        searched += 1
    assert searched > 50
    assert world.host.process is not None
    for pid in (world.host.process.pid, *world.host.children().values()):
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            target = os.path.realpath(fd)
            try:
                flags = int((Path(f"/proc/{pid}/fdinfo") / fd.name).read_text().split("flags:")[1].split()[0], 8)
            except FileNotFoundError:  # it is closed meanwhile
                continue
            if Path(target).is_file() and flags & os.O_ACCMODE:
                assert Path(target).is_relative_to(world.host.folder.resolve()), f"{target} is written and not searched"


def test_every_page_is_accessible_and_fits_a_phone(world: World) -> None:
    with browser({**world.led(NAME), "other.example": world.stop_page}) as started:
        stop, portal = f"http://{NAME}/", world.portal
        reference = _reference(started, stop)
        world.look(started, stop, "stop-page")
        world.look(started, stop, "stop-page-dark", dark=True)
        for language in ("de", "ar"):
            world.look(started, stop, f"stop-page-{language}", language=language)
        world.look(started, "http://other.example/", "not-blocked")
        world.look(started, f"{portal}/", "look-up")
        world.look(started, f"{portal}/?name={NAME}", "look-up-blocked")
        world.look(started, f"{portal}/?name=example.org", "look-up-not-blocked", language="ar")
        world.look(started, f"{portal}/?name=%20", "look-up-wrong", dark=True)
        world.look(started, f"{portal}/appeal?reference={reference}&name={NAME}", "appeal")
        world.look(started, f"{portal}/appeal", "appeal-ar", language="ar", dark=True)
        world.look(started, f"{portal}/receipt?code=x", "receipt-ask")
        world.look(started, f"{portal}/transparency", "transparency")
        world.look(started, f"{portal}/press", "press")
        world.look(started, f"{portal}/none", "missing")


def _reference(started: Browser, stop: str) -> str:
    with page(started) as seen:
        seen.goto(stop)
        found = re.search(r"reference=([0-9A-Z]{16})", seen.content())
        assert found is not None
        return found[1]


def test_the_keyboard_alone_leads_to_another_language_and_to_the_appeal(world: World) -> None:
    with browser(world.led(NAME)) as started, page(started, width="phone") as seen:
        seen.goto(f"http://{NAME}/")
        keys = seen.keyboard
        keys.press("Tab")
        assert seen.locator(":focus").inner_text() == "Skip to the content"
        keys.press("Tab")
        keys.press("Tab")
        assert seen.locator(":focus").inner_text() == "English"
        keys.press("Enter")
        keys.press("Tab")
        keys.press("Tab")
        assert seen.locator(":focus").inner_text() == "Deutsch"
        keys.press("Enter")
        seen.wait_for_url("**/?lang=de")
        for _ in range(12):
            keys.press("Tab")
            if seen.locator(":focus").inner_text() == "Einspruch gegen diese Sperre":
                break
        keys.press("Enter")
        seen.wait_for_url("**/appeal?*")
