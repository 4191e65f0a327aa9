"""An appeal against a sealed entry: its author may say the name, and none but the issuer reads what was written."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import shutil
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from blocklists import bundle, delta
from blocklists.bundle import Appeal
from blocklists.issuer import appeals
from blocklists.issuer.reader import reader_key
from blocklists.sealed import appeal as sealed_appeal
from blocklists.sealed.appeal import Written
from blocklists.sealed.errors import SealError
from resolver.portal import desk
from resolver.portal.store import Store
from tests.rigs.dns_host import PATIENCE
from tests.rigs.portal_world import NOW, configuration
from tests.rigs.sealed_provider import Scene
from tests.rigs.sealed_world import LIST, NAMES, cheap
from tests.rigs.web_process import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.rigs.web_process import Running

SECRETS = ("planted", "Umfrageseite", "Wellensittich")
REASON = "planted-one.example is an Umfrageseite about my Wellensittich."
FURTHER = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)"')


class Visit:
    """A provider whose web process runs, with a sealed list of a real issuer; and somebody with a browser."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now, self.scene = folder, float(NOW), Scene(folder / "lists")
        assert self.scene.refresh() == "active"
        listing = self.scene.issuer.desk.listing(self.scene.issuer.head)
        self.references = [delta.reference(line) for line in listing.lines()]
        self.web: Running | None = None

    def run(self) -> Any:
        current = self.scene.isp.config.places.current
        return running(
            self.folder / "isp", lambda path: shutil.copy(current, path), lambda: self.now, sealed_key=self.scene.key
        )

    def ask(self, method: str, path: str, fields: dict[str, str] | None = None) -> tuple[int, str, str]:
        assert self.web is not None
        connection = http.client.HTTPConnection(*self.web.portal, timeout=PATIENCE)
        body = urlencode(fields) if fields else None
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if fields else {}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text, answer.headers.get("Location", "")

    def form(self, reference: str) -> dict[str, str]:
        _, page, _ = self.ask("GET", f"/appeal?reference={reference}&name=planted-elsewhere.example")
        self.now += 30
        return {**dict(FURTHER.findall(page)), "reference": reference, "reason": REASON, "ground": "mistake"}

    def stored(self) -> list[Any]:
        async def read() -> list[Any]:
            store = await Store.open(f"sqlite:///{self.folder / 'isp' / 'state' / 'portal.db'}")
            try:
                return await store.all()
            finally:
                await store.close()

        return asyncio.run(read())


@pytest.fixture
def visit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Visit]:
    cheap(monkeypatch)
    made = Visit(tmp_path)
    with made.run() as web:
        made.web = web
        yield made


def found(folder: Path) -> list[Path]:
    """Files that hold a word of what was written."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if any(word.encode() in path.read_bytes() for word in SECRETS)]


def test_the_form_asks_for_the_name_and_says_who_reads_it(visit: Visit) -> None:
    _, page, _ = visit.ask("GET", f"/appeal?reference={visit.references[0]}&name=planted-elsewhere.example")
    assert '<input type="text" id="name" name="name"' in page
    assert "encrypted for them as soon as it arrives" in page
    assert "A person reads it: at" not in page
    assert "name=planted" not in page, "no address of the page has the name"
    assert "mends plain mistakes itself" not in page, "nobody here can find one"
    assert "somebody who did not sign the entry decides" in page
    _, page, _ = visit.ask("GET", "/appeal")
    assert '<input type="text" id="name"' not in page
    assert "mends plain mistakes itself" in page


def test_what_was_written_is_read_at_the_issuer_s_desk_and_stands_nowhere_before(
    visit: Visit, caplog: pytest.LogCaptureFixture
) -> None:
    fields = {**visit.form(visit.references[0]), "name": NAMES[0].upper(), "contact": "me@shop.example"}
    status, _, place = visit.ask("POST", "/appeal", fields)
    assert status == 303
    assert visit.ask("POST", "/appeal", fields)[::2] == (303, place), "sent twice, it is one appeal"
    assert visit.ask("POST", "/appeal", {**fields, "reason": REASON + " And more."})[0] == 409
    assert visit.ask("POST", "/appeal", {**fields, "name": NAMES[1]})[0] == 409
    _, receipt, _ = visit.ask("GET", place)
    assert "encrypted for them" in receipt
    (one,) = visit.stored()
    assert (one.name, one.reason, one.claimed, one.list) == ("", "", "", LIST)
    assert one.due - one.received > 2 * 86400, "a mistake of fact, too, is for those who can read it"
    assert found(visit.folder / "isp") == []
    assert not any(word in text for word in SECRETS for text in (receipt, caplog.text, json.dumps(desk.as_json(one))))

    issuer = visit.scene.issuer.desk
    sender = bundle.new_sender_key()
    appeals.trust(issuer, "nordlicht", bundle.public_line(sender))
    config = configuration(visit.folder / "isp")
    line = bundle.public_line(reader_key(issuer))
    data = desk.bundled([one], config, sender, line, NOW)
    _, (shown,) = appeals.take_in(issuer, data)
    (waiting,) = appeals.waiting(issuer)
    assert waiting.appeal == shown
    assert (shown.name, shown.reason, shown.reference) == (NAMES[0], REASON, visit.references[0])
    assert found(visit.folder) == []


def test_sealed_and_readable_entries_are_not_appealed_against_in_one_form(visit: Visit) -> None:
    first, second = visit.references[:2]
    fields = {**visit.form(first), "more": f"{second}\n0000000000000000", "all_the_same": "yes"}
    status, page, _ = visit.ask("POST", "/appeal", fields)
    assert status == 422
    assert "of a sealed list" in page
    assert visit.stored() == []
    fields = {**visit.form(first), "more": second}
    assert visit.ask("POST", "/appeal", fields)[0] == 303
    one, other = visit.stored()
    assert one.sealed != other.sealed
    assert found(visit.folder / "isp") == []


def test_the_provider_s_desk_passes_it_on_and_does_not_judge_what_it_cannot_read(visit: Visit) -> None:
    visit.ask("POST", "/appeal", visit.form(visit.references[0]))
    (one,) = visit.stored()
    assert desk.is_for_the_issuer(one)
    with pytest.raises(desk.DeskError, match="those who keep list abuse decide"):
        desk.may_decide(one, "upheld", own=False)
    desk.may_decide(one, "mended", own=False)
    assert "tag" not in desk.as_json(one)


# -- the file --------------------------------------------------------------------------------------------------------

KEY = bundle.new_reader_key()
PUBLIC = KEY.public_key().public_bytes_raw()


def test_what_was_written_opens_for_its_reference_and_the_issuer_s_key_alone() -> None:
    written = Written("planted.example", "ß" * sealed_appeal.MAX_REASON)
    sealed = sealed_appeal.seal(written, "7ZK3M9Q2XW4T8RBC", PUBLIC)
    assert len(sealed) < sealed_appeal.MAX_SEALED
    assert sealed_appeal.opened(sealed, "7ZK3M9Q2XW4T8RBC", KEY) == written
    for other, key in (("8ZK3M9Q2XW4T8RBC", KEY), ("7ZK3M9Q2XW4T8RBC", bundle.new_reader_key())):
        with pytest.raises(SealError, match="another key"):
            sealed_appeal.opened(sealed, other, key)
    sizes = {len(sealed_appeal.seal(Written("a" * size, "x"), "R", PUBLIC)) for size in range(1, 253)}
    assert len(sizes) == 1, "its length does not say how long the name is"


@pytest.mark.parametrize("key", [bytes(32), b"short", b""])
def test_what_is_no_key_is_refused(key: bytes) -> None:
    with pytest.raises(SealError, match="no X25519 key"):
        sealed_appeal.seal(Written("", ""), "R", key)


def test_what_does_not_open_is_said_at_the_desk_and_the_bundle_is_read_all_the_same() -> None:
    told = dict.fromkeys(("appeal", "list", "name", "role", "ground", "language", "received", "due"), "x")
    for text in ("!", "AAAA", "ß"):
        read = bundle.read(Appeal(**told, reference="R", reason="", contact="", sealed=text), KEY)
        assert "cannot be read here" in read.reason
        assert read.sealed == text
