"""The whole circle in a browser without scripts: a blocked name, the page that says why, the appeal, the decision.

Everything is as in production: an issuer's desk with two signers and a judge, the processes of `stopsign run`, DNS
that says where the browser goes. Pictures of each page go to STOPSIGN_PICTURES where that is set (docs/pictures, for
the README).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]

from blocklists.issuer import rotate, withdraw
from blocklists.issuer.keys import Keyring
from blocklists.issuer.publish import publish
from blocklists.issuer.rehearsal import PASSPHRASE, Rehearsal
from blocklists.issuer.sign import sign
from resolver.config import Endpoint
from resolver.demo import tree
from resolver.demo.upstream import ADDRESS
from tests.browser.chromium import WIDTHS, browser, page
from tests.dns.house import ROOT, free_port, running, wait_until
from tests.test_main_path import Provider, ask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.needs("chromium")

NAME = "lucky-wheel.example"
WORDS = "Das ist mein Fahrradladen; mit Glücksspiel hat er nichts zu tun."
VISITOR = "127.0.0.77"  # of the visitor that is searched for in everything that was written
PICTURES = os.environ.get("STOPSIGN_PICTURES")


@dataclass
class World:
    """The issuer's desk with a judge, and the provider, running."""

    host: Provider
    rehearsal: Rehearsal
    judge: Keyring
    pictures: Path
    requested: list[str] = field(default_factory=list)

    @property
    def stop_page(self) -> str:
        return "{}:{}".format(*self.host.addresses("stop_page")[0])

    @property
    def portal(self) -> str:
        return "http://{}:{}".format(*self.host.addresses("portal")[0])

    def asked(self, name: str) -> str:
        return ask(self.host.address, name)

    def desk(self, *arguments: str) -> str:
        """`stopsign appeals …` at the provider, `stopsign issuer appeals …` at the issuer; what it prints."""
        where = self.rehearsal.desk.folder if arguments[0] == "issuer" else self.host.folder
        done = subprocess.run(
            [sys.executable, "-P", "-m", "resolver.command", *arguments, "--dir", str(where)],
            env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def decide(self, appeal: str, reference: str) -> None:
        """The judge, who signed no entry, grants it on a machine of their own, and the desk publishes."""
        now = datetime.now(UTC)
        request = withdraw.decide(
            self.rehearsal.desk, tree.LIST, appeal=appeal, reference=reference, outcome="granted",
            reasons="The entry confuses this shop with another one. We are sorry.", officer=self.judge.card, now=now,
        )  # fmt: skip
        shutil.copytree(self.rehearsal.signers[0].folder / "known", self.judge.folder / "known", symlinks=True)
        signed = sign(self.rehearsal.review(request, self.judge), self.judge, lambda _: PASSPHRASE)
        publish(self.rehearsal.desk, [signed], lambda _: None, now=now)

    def look(self, started: Browser, url: str, name: str, *, dark: bool = False, language: str = "en") -> None:
        """Pictures on a phone and a desktop, and what axe finds in each: nothing."""
        for width in WIDTHS:
            with page(
                started, width=width, language=language, scheme="dark" if dark else "light", scripts=True
            ) as seen:
                seen.goto(url)
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
    program = "import sys; from tests.test_main_path import outside; outside(int(sys.argv[1]))"
    outside = subprocess.Popen(
        [sys.executable, "-c", program, str(upstream)], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    pictures = Path(PICTURES) if PICTURES else tmp_path / "pictures"
    pictures.mkdir(exist_ok=True)
    try:
        with running(Provider(folder, [], workers=1, only=None)) as host:
            yield World(host, rehearsal, judge, pictures)
    finally:
        outside.terminate()
        outside.wait(20)


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
    assert seen.get_by_label("Referenz").input_value()
    seen.get_by_label("Ich betreibe die Website").check()
    seen.get_by_label("Was dort steht, ist rechtmäßig").check()
    seen.get_by_label("Ihre Gründe").fill(WORDS)
    seen.wait_for_timeout(2100)  # faster than a person: the form would come back
    seen.get_by_role("button", name="Einspruch absenden").click()
    assert "Ihr Einspruch ist angekommen" in seen.locator("main").inner_text()
    return seen.url.partition("?")[0]


def test_a_blocked_name_is_appealed_decided_and_resolves_again(world: World) -> None:
    assert world.asked(f"www.{NAME}") == tree.STOP_ADDRESS
    with browser({f"www.{NAME}": world.stop_page, NAME: world.stop_page}) as started:
        with page(started) as seen:
            seen.on("request", lambda request: world.requested.append(request.url))
            receipt = appeal(world, seen)
        places = (f"http://www.{NAME}/", f"{world.portal}/")
        assert all(url.startswith(places) for url in world.requested), "nothing is loaded from anywhere else"
        world.look(started, receipt, "receipt-open")

        (one,) = _waiting(world)
        key = world.desk("issuer", "appeals", "key")
        (world.host.folder / "issuer.pub").write_text(key)
        world.desk("issuer", "appeals", "trust", "nordlicht", world.desk("appeals", "key").strip())
        parcel = str(world.host.folder / "parcel.json")
        world.desk("appeals", "forward", one["id"], "--key", str(world.host.folder / "issuer.pub"), "--output", parcel)
        world.desk("issuer", "appeals", "import", parcel)
        assert WORDS in world.desk("issuer", "appeals", "show", one["id"])
        world.decide(one["id"], one["reference"])

        wait_until(lambda: world.asked(f"www.{NAME}") == ADDRESS, "the name resolves again")
        wait_until(lambda: _waiting(world) == [], "the decision reaches the receipt", patience=90)
        with page(started, language="de") as seen:
            seen.goto(receipt)
            said = seen.locator("main").inner_text()
            assert "Ihrem Einspruch wurde stattgegeben" in said
            assert "confuses this shop" in said
            assert "Dr Recht" in said
            answer = seen.goto(f"http://www.{NAME}/")
            assert answer is not None
            assert answer.status == 421
            seen.goto(f"{world.portal}/?name={NAME}")
            assert "ist hier nicht gesperrt" in seen.locator("main").inner_text()
        world.look(started, receipt, "receipt-decided")
    _visit_by_hand(world)
    _no_visitor_is_written(world)


def _waiting(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(world.desk("appeals", "list", "--json"))
    return found


def _visit_by_hand(world: World) -> None:
    """A visitor from an address that nothing else here has, on every page there is."""
    for host, port in (*world.host.addresses("stop_page"), *world.host.addresses("portal")):
        for path in ("/", "/appeal", "/receipt", "/transparency", "/log/checkpoint", "/?name=other-dice.example", "/x"):
            for line in (f"GET {path} HTTP/1.1\r\nHost: www.{NAME}", f"GET {path} HTTP/1.1\r\nbroken"):
                with socket.create_connection((host, port), 10, source_address=(VISITOR, 0)) as connection:
                    connection.sendall(f"{line}\r\nUser-Agent: odd-browser\r\nConnection: close\r\n\r\n".encode())
                    while connection.recv(65536):
                        pass


def _no_visitor_is_written(world: World) -> None:
    traces = [VISITOR.encode(), socket.inet_aton(VISITOR), b"HeadlessChrome", b"odd-browser", b"other-dice"]
    for path in world.host.folder.rglob("*"):
        if path.is_file() and "issuer" not in path.parts and path.name != "current.list":
            data = path.read_bytes()
            assert not [trace for trace in traces if trace in data], path


def test_every_page_is_accessible_and_fits_a_phone(world: World) -> None:
    with browser({NAME: world.stop_page, "other.example": world.stop_page}) as started:
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
        world.look(started, f"{portal}/none", "missing")


def _reference(started: Browser, stop: str) -> str:
    with page(started) as seen:
        seen.goto(stop)
        found = re.search(r"reference=([0-9A-Z]{16})", seen.content())
        assert found is not None
        return found[1]


def test_the_keyboard_alone_leads_to_another_language_and_to_the_appeal(world: World) -> None:
    with browser({NAME: world.stop_page}) as started, page(started, width="phone") as seen:
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
