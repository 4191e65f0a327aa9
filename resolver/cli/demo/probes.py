"""What the demo asks from outside, as a subscriber, a browser and an auditor would, and what must come back.

Enters: a running provider, some names that are on its list and some that are not. Leaves: a `Probe` for each
question: asked, expected, got. Rules: nothing is looked up inside the program; the upstream is asked too, since what is
not listed must get its very answer.
"""

from __future__ import annotations

import http
import http.client
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from dnslib import DNSError

from blocklists.counted import counted
from blocklists.errors import why
from resolver.cli.demo.questions import Transport, ask
from resolver.cli.demo.tree import STOP_ADDRESS
from resolver.log.errors import AuditError
from resolver.log.source import Folder
from resolver.log.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from resolver.cli.demo.questions import Answer
    from resolver.cli.demo.tree import Listed, Ports
    from resolver.config.schema import Endpoint

TRANSPORTS: Final[tuple[Transport, Transport]] = ("UDP", "TCP")
EDE_CENSORED = 16
YOUNGEST_FORM = 2.2  # seconds: the portal takes no form that was sent faster than a person can
_REFERENCE = re.compile(r"[0-9A-HJKMNP-TV-Z]{16}")
_PATIENCE, _START = 30.0, 90.0  # seconds: for an answer, and from a process that may only just start
_ASKED: Final[tuple[tuple[str, Transport], ...]] = (("A", "UDP"), ("A", "TCP"), ("AAAA", "UDP"), ("HTTPS", "UDP"))


@dataclass(frozen=True)
class Probe:
    """One question and its outcome; `what` groups them for a reader."""

    what: str
    ask: str
    expect: str
    got: str
    ok: bool

    def as_dict(self) -> dict[str, object]:
        return {"ask": self.ask, "expect": self.expect, "got": self.got, "ok": self.ok}


@dataclass
class Prober:
    """Asks. `listed`: names on the list; `others`: names that are not; `log_dir`: the folder of the provider's log."""

    ports: Ports
    upstream: Endpoint
    listed: Sequence[Listed]
    others: Sequence[str]
    log_dir: Path
    reference: str = ""
    appeal_link: str = ""
    receipt: str = ""

    def run(self) -> Iterator[Probe]:
        """All probes, in the order in which a reader wants them."""
        yield from self._stopped(self.listed)
        yield from self._passed()
        yield from self._stop_page(self.listed[0].asked[0])
        yield from self._appeal(self.listed[0])
        yield self._log()

    # -- DNS

    def _stopped(self, listed: Sequence[Listed]) -> Iterator[Probe]:
        for one in listed:
            for asked in one.asked:
                for transport in TRANSPORTS:
                    yield self._dns("on the list", asked, "A", transport, STOP_ADDRESS)
        for qtype in ("AAAA", "HTTPS", "MX"):
            yield self._dns("on the list", listed[0].asked[0], qtype, "UDP", "NODATA")
        yield from self._reasons(listed[0].asked[0])

    def _reasons(self, name: str) -> Iterator[Probe]:
        """With EDNS the answer says why: RFC 8914, with the public reference."""
        answer = self._ask(self.ports.dns, name, "A", "UDP", edns=True)
        text = "" if isinstance(answer, str) else answer.ede_text
        code = None if isinstance(answer, str) else answer.ede
        found = _REFERENCE.search(text)
        self.reference = found.group() if found else ""
        got = answer if isinstance(answer, str) else f"EDE {code} {text!r}"
        ok = code == EDE_CENSORED and bool(self.reference)
        yield Probe("on the list", f"{name} A over UDP, with EDNS", f"EDE {EDE_CENSORED} and a reference", got, ok)

    def _passed(self) -> Iterator[Probe]:
        for name in self.others[:3]:
            for qtype, transport in _ASKED:
                own = self._ask(self.upstream, name, qtype, transport)
                yield self._dns("any other name", name, qtype, transport, f"{own}", own="as the upstream: ")

    def _dns(self, what: str, name: str, qtype: str, transport: Transport, expect: str, own: str = "") -> Probe:
        got = str(self._ask(self.ports.dns, name, qtype, transport))
        return Probe(what, f"{name} {qtype} over {transport}", own + expect, got, got == expect)

    def _ask(
        self, server: Endpoint, name: str, qtype: str, transport: Transport, *, edns: bool = False
    ) -> Answer | str:
        try:
            return ask(server, name, qtype, transport, edns=edns)
        except (OSError, DNSError) as wrong:
            return f"no answer ({why(wrong)})"

    # -- HTTP

    def _stop_page(self, name: str) -> Iterator[Probe]:
        # the web process reads a list when the workers do, but no sooner than it gets a processor
        status, headers, body = self._once_past(
            http.HTTPStatus.MISDIRECTED_REQUEST, self.ports.stop_page, "/", {"Host": name}
        )
        by, said = "blocked-by" in headers.get("link", ""), self.reference in body
        got = f"{status}{', blocked-by' if by else ''}{', the reference' if said else ''}"
        expect = "451, blocked-by, the reference"
        yield Probe("the stop page", f"http://{name}/", expect, got, got == expect)
        status, _, _ = self._http(self.ports.stop_page, "GET", "/", {"Host": "not-on-any-list.example"})
        yield Probe("the stop page", "http://not-on-any-list.example/", "421", str(status), status == 421)

    def _appeal(self, listed: Listed) -> Iterator[Probe]:
        name = listed.asked[0]
        portal, about = self.ports.portal, urlencode({"reference": self.reference, "name": name})
        self.appeal_link = f"http://{portal}/appeal?{about}"
        status, _, body = self._http(portal, "GET", f"/?{urlencode({'name': name})}", {"Accept": "application/json"})
        blocked = '"blocked": true' in body
        got = f"{status}, {'blocked' if blocked else 'not blocked'}"
        yield Probe("the portal", f"is {name} blocked here, and why", "200, blocked", got, got == "200, blocked")
        # its database is still being made at the very first start
        status, _, form = self._once_past(http.HTTPStatus.SERVICE_UNAVAILABLE, portal, f"/appeal?{about}", {})
        token = re.search(r'name="token" value="([^"]+)"', form)
        yield Probe("the portal", "the appeal form", "200", str(status), status == 200 and token is not None)
        time.sleep(YOUNGEST_FORM)
        fields = {"token": token.group(1) if token else "", "reference": self.reference, "name": name}
        fields["reason"] = "This is the demonstration's own appeal, to show that one can be made."
        kind = {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"http://{portal}"}
        status, headers, _ = self._http(portal, "POST", "/appeal", kind, urlencode(fields))
        self.receipt = headers.get("location", "")
        got = f"{status}, {'a receipt' if '/receipt/' in self.receipt else 'no receipt'}"
        yield Probe("the portal", "an appeal without an account", "303, a receipt", got, got == "303, a receipt")
        status, _, body = self._http(portal, "GET", self.receipt.partition("?")[0] or "/receipt", {})
        known = self.reference in body and status == 200
        got = f"{status}, {'the appeal' if known else 'nothing'}"
        yield Probe("the portal", "how the appeal stands, by its receipt", "200, the appeal", got, known)

    def _once_past(
        self, passing: http.HTTPStatus, server: Endpoint, path: str, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], str]:
        """As `_http`, and again while the answer is one that only a start gives: a person would reload the page."""
        deadline = time.monotonic() + _START
        while True:
            answer = self._http(server, "GET", path, headers, patience=_START)
            if answer[0] != passing or time.monotonic() > deadline:
                return answer
            time.sleep(0.1)

    def _http(
        self,
        server: Endpoint,
        method: str,
        path: str,
        headers: dict[str, str],
        body: str | None = None,
        patience: float = _PATIENCE,
    ) -> tuple[int, dict[str, str], str]:
        """Status (0: nobody answered, and the body says why), headers by lower-case name, body."""
        connection = http.client.HTTPConnection(server.host, server.port, timeout=patience)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            text = response.read().decode("utf-8", "replace")
            return response.status, {k.lower(): v for k, v in response.getheaders()}, text
        except (OSError, http.client.HTTPException) as wrong:
            return 0, {}, why(wrong)
        finally:
            connection.close()

    # -- the log

    def _log(self) -> Probe:
        """The steward writes the appeal's leaf when the web process has told it: a moment later."""
        expect = {"list-activated", "appeal-received"}
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                verdict = verify(Folder(self.log_dir))
                got, there = (
                    f"{counted(verdict.checkpoint.size, 'leaf')} agree with the signed root",
                    set(verdict.types),
                )
            except AuditError as wrong:
                got, there = str(wrong), set()
            if expect <= there or time.monotonic() > deadline:
                missing = ", ".join(sorted(expect - there))
                got += f"; no {missing}" if missing else f": {', '.join(sorted(there))}"
                said = f"verified, with {' and '.join(sorted(expect))}"
                return Probe("the log", "audit verify", said, got, not missing)
            time.sleep(0.1)
