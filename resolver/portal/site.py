"""The portal: every page it has, in one table.

Enters: an `Ask`. Leaves: an `Answer`. Rules: GET changes nothing; a receipt's link is the only key to an appeal; text
of a visitor is shown to that visitor alone; no answer redirects anywhere but to a path of this site; when the database
is away, look-up and stop page go on and the appeal says where else it can be sent.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from resolver.config.discovery import RESOLVER_PAGE
from resolver.ipc import receipts
from resolver.policy.typed import is_reference, name_in, reference_in
from resolver.policy.views import Views, address_in
from resolver.portal import appeal, form_token
from resolver.portal.abuse import Allowance, Buckets
from resolver.portal.database import StoreError
from resolver.portal.fleet import hosts_of
from resolver.portal.grounds import GROUNDS
from resolver.portal.language import LANGUAGES, negotiate, prefers_json
from resolver.portal.logs import Logs
from resolver.portal.look_up import look_up, under
from resolver.portal.web import Answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

    from resolver._core import Match
    from resolver.portal.live import Live
    from resolver.portal.logs import Standing
    from resolver.portal.look_up import Found
    from resolver.portal.pages import Pages
    from resolver.portal.store import Appeal, NewAppeal, Store
    from resolver.portal.transparency import Transparency
    from resolver.portal.web import Ask

    Handler = Callable[["Portal", Ask], Awaitable[Answer]]

APPEALS = Allowance(burst=10, every=60.0)
LOOK_UPS = Allowance(burst=60, every=1.0)

TRIES = 3  # for ids that nobody has
PROOF = ".tlog-proof"
_RECEIPT = re.compile(r"[A-Za-z0-9_-]{22}")


class Portal:
    """The handlers and what they need. `clock` gives Unix seconds, `random` bytes."""

    def __init__(
        self,
        pages: Pages,
        live: Live,
        transparency: Transparency,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        random: Callable[[int], bytes],
        clocks: tuple[int, int],
        host: str,
        fallback: str = "en",
        views: Views | None = None,
        logs: Logs | None = None,
    ) -> None:
        self.pages, self.live, self.transparency = pages, live, transparency
        self.clock, self.random, self.clocks, self.fallback = clock, random, clocks, fallback
        self.views = views or Views()
        self.logs = logs or Logs()
        self.host = host  # whose log the proofs on receipts are of
        self.store: Store | None = None  # none until the database is there
        self.wake: Callable[[], None] = lambda: None  # somebody has to be told: called after something was stored
        self._appeals = Buckets(APPEALS, monotonic, random)
        self._look_ups = Buckets(LOOK_UPS, monotonic, random)
        self._keys: dict[int, bytes] = {}

    async def answer(self, ask: Ask) -> Answer:
        if ask.method not in ("GET", "HEAD", "POST"):
            return self._plain(405, "GET, HEAD and POST are understood here.", {"Allow": "GET, HEAD, POST"})
        handlers = PAGES.get(ask.path)
        if handlers is None and ask.path.startswith("/receipt/"):
            handlers = RECEIPT
        if handlers is None and ask.path.startswith("/log/"):
            return await self.transparency.file(ask.path)
        if handlers is None and ask.path.startswith("/logs/"):
            return await self.logs.file(ask.path.removeprefix("/logs/"))
        if handlers is None:
            return self.message(ask, 404, "missing")
        handler = handlers.get("POST" if ask.method == "POST" else "GET")
        if handler is None:
            return self._plain(405, "This page takes no form.", {"Allow": "GET, HEAD"})
        if ask.method == "POST" and not ask.same_origin:
            return self.message(ask, 403, "elsewhere")
        try:
            return await handler(self, ask)
        except StoreError:
            return self.message(ask, 503, "away")

    # -- look-up

    async def home(self, ask: Ask) -> Answer:
        typed = ask.query.get("name", "")
        as_json = prefers_json(ask.accept)
        if not typed:
            return self.page(ask, "home.html", typed="", found=None, wrong=False)
        wait = self._look_ups.take(ask.address)
        if wait:
            return self.message(ask, 429, "slow", more={"Retry-After": str(int(wait) + 1)})
        match = await self._entry(reference_in(typed)) if len(typed) < 40 else None
        standing = await self._standing(match) if match is not None else None
        if match is not None and not match.name:
            return self._looked_up(ask, under(match, self.live.snapshot), match.reference, standing)
        name = match.name if match else name_in(typed)
        if name is None:
            if as_json:
                return self._json(400, {"error": "not a name"})
            return self.page(ask, "home.html", 400, typed=typed[:253], found=None, wrong=True)
        view = self.views.of_client(address_in(ask.address))
        found = look_up(name, self.live.snapshot, int(self.clock()), view.lists)
        return self._looked_up(ask, found, found.name, standing)

    def _looked_up(self, ask: Ask, found: Found, typed: str, standing: Standing | None) -> Answer:
        if prefers_json(ask.accept):
            return self._json(200, {
                "name": found.name or None,
                "blocked": True if found.stopped_by else None if found.is_partial else False,
                "sealed_lists": "they answer to a reference alone" if found.is_partial else None,
                "entries": [entry.as_json() for entry in found.stopped_by],
                "let_through": [entry.as_json() for entry in found.let_through],
                "watched": [entry.as_json() for entry in found.monitored],
                **({"hosts": asdict(standing)} if standing else {}),
            })  # fmt: skip
        return self.page(ask, "home.html", typed=found.unicode_name or typed, found=found, wrong=False,
                         standing=standing, query={"name": typed})  # fmt: skip

    async def _standing(self, match: Match) -> Standing | None:
        """At which hosts the entry stands, as far as they report it."""
        await self._learn()
        about = self.live.snapshot.list_of(match)
        return self.logs.standing(about.name, about.version)

    async def _learn(self) -> None:
        """What the hosts report, where there is an index of their logs; nothing while the database is away."""
        now = self.clock()
        if self.store is not None and self.logs.is_due(now):
            try:
                rows = await self.store.reports(int(now))
            except StoreError:
                rows = []
            await self.logs.learn(hosts_of(rows, int(now)), now)

    # -- appeal

    async def appeal_form(self, ask: Ask) -> Answer:
        form = appeal.Form.of(ask.query)
        return await self._form(ask, form, {})

    async def appeal_sent(self, ask: Ask) -> Answer:
        form = appeal.Form.of(ask.fields)
        wrong = form.wrong()
        if ask.fields.get("website"):  # the field that people do not see
            return self.message(ask, 400, "robot")
        if wrong:
            return await self._form(ask, form, wrong, 422)
        now = int(self.clock())
        try:
            secret = form_token.check(await self._form_keys(now), ask.fields.get("token", ""), now)
        except form_token.TokenError:
            return await self._form(ask, form, {"token": appeal.SEND_AGAIN}, 409)
        code = form_token.receipt_code(secret)
        receipt = form_token.receipt_hash(code)
        assert receipt is not None  # noqa: S101 - it was made here
        if (before := await self._store().by_receipt(receipt)) is not None:
            return await self._sent_before(ask, form, before[0], code, secret)
        wait = self._appeals.take(ask.address, -(-len(form.references) // appeal.MORE_AT_ONCE))
        if wait:  # before the list is scanned: a form that is refused costs as much as one that is taken
            return await self._form(ask, form, {"token": appeal.LATER}, 429, more={"Retry-After": str(int(wait) + 1)})
        found = await self._entries(form.references)
        matches = [found.get(reference) for reference in form.references]
        if None in matches and not form.all_the_same:
            return await self._form(ask, form, {"unlisted": appeal.UNLISTED}, 422)
        if len({self._is_sealed(match) for match in matches}) > 1:  # the reasons, which are for all, would be readable
            return await self._form(ask, form, {"more": appeal.MIXED}, 422)
        for _ in range(TRIES):
            if await self._store().add_all(self._new_appeals(form, matches, secret, self.language(ask), now)):
                self.wake()
                return self._see(f"/receipt/{code}", ask, new="1")
            if (before := await self._store().by_receipt(receipt)) is not None:  # sent twice at the same moment
                return await self._sent_before(ask, form, before[0], code, secret)
        return await self._form(ask, form, {"token": appeal.SEND_AGAIN}, 409)  # no id was free

    def _new_appeals(
        self, form: appeal.Form, matches: Sequence[Match | None], secret: bytes, language: str, now: int
    ) -> list[NewAppeal]:
        """One for each reference; the first has the receipt that the form's token leads to."""
        made = []
        for number, (reference, match) in enumerate(zip(form.references, matches, strict=True)):
            hashed = receipts.hash_of(form_token.further(secret, number) if number else secret)
            others = 0 if number else len(matches) - 1
            given = appeal.Given(hashed, self.random(10), language, now, others, secret)
            made.append(appeal.new_appeal(form, reference, match, self.live.snapshot, given, self.clocks))
        return made

    def _is_sealed(self, match: Match | None) -> bool:
        return match is not None and self.live.snapshot.list_of(match).seal is not None

    async def _sent_before(self, ask: Ask, form: appeal.Form, stored: Appeal, code: str, secret: bytes) -> Answer:
        """A form that comes twice is one appeal; one that says something else now is another, and is not lost."""
        if appeal.is_of(form, stored, secret):
            return self._see(f"/receipt/{code}", ask, new="1")
        return await self._form(ask, form, {"token": appeal.SAME}, 409)

    async def _form(
        self, ask: Ask, form: appeal.Form, wrong: Mapping[str, str], status: int = 200, **values: Any
    ) -> Answer:
        now = int(self.clock())
        key = (await self._form_keys(now))[form_token.day_of(now)]
        match = await self._shown(ask, form.reference)
        in_address = ("reference",) if self._is_sealed(match) else ("reference", "name")
        if ask.method == "GET":
            values["query"] = {name: said for name in in_address if (said := getattr(form, name))}
        return self.page(
            ask, "appeal.html", status, form=form, wrong=wrong, roles=appeal.ROLES, grounds=GROUNDS,
            for_the_issuer=appeal.FOR_THE_ISSUER,
            token=form_token.issue(key, now, self.random(16)), entry=self.transparency.facts(match), **values,
        )  # fmt: skip

    async def _shown(self, ask: Ask, reference: str) -> Match | None:
        """The entry to be shown beside a form. For a connection that asked for very many it is left out: each costs a
        scan, and the form does without."""
        if not is_reference(reference) or self._look_ups.take(ask.address):
            return None
        return await self._entry(reference)

    async def _entry(self, reference: str) -> Match | None:
        """The entry with this reference."""
        return (await self._entries([reference])).get(reference) if is_reference(reference) else None

    async def _entries(self, references: Collection[str]) -> dict[str, Match]:
        """Those with these references, found in a thread: a scan of a million entries takes 30 ms."""
        return await asyncio.to_thread(self.live.snapshot.entries, references, int(self.clock()))

    async def _form_keys(self, now: int) -> dict[int, bytes]:
        """Today's key and yesterday's, as all hosts of this provider know them."""
        today = form_token.day_of(now)
        for day in (today - 1, today):
            if day not in self._keys:
                self._keys[day] = await self._store().form_key(day, self.random(32))
        self._keys = {day: key for day, key in self._keys.items() if day >= today - 1}
        return self._keys

    # -- receipt

    async def receipt_asked(self, ask: Ask) -> Answer:
        typed = ask.query.get("code", "").strip()
        code = typed.rpartition("/receipt/")[2].partition("?")[0].strip()
        if _RECEIPT.fullmatch(code):
            return self._see(f"/receipt/{code}", ask)
        return self.page(ask, "receipt_ask.html", wrong=bool(typed))

    async def receipt(self, ask: Ask) -> Answer:
        code, _, proved = ask.path.removeprefix("/receipt/").partition("/")
        hashed = form_token.receipt_hash(code) if _RECEIPT.fullmatch(code) else None
        found = await self._store().by_receipt(hashed) if hashed else None
        if found is None:
            return self.page(ask, "receipt_ask.html", 404, wrong=True)
        it, happened = found
        proofs = await self._store().proofs(it.id, self.host)
        if proved:
            proof = proofs.get(proved.removesuffix(PROOF)) if proved.endswith(PROOF) else None
            return self.message(ask, 404, "missing") if proof is None else self._plain(200, proof.removesuffix("\n"))
        if prefers_json(ask.accept):
            return self._json(200, {
                "appeal": it.id, "reference": it.reference, "name": it.name or None,
                "received": it.received, "due": it.due,
                "closed": it.closed, "outcome": it.outcome, "reasons": it.reasons, "court": it.court or None,
                "events": [{"at": one.at, "what": one.what, "note": one.note} for one in happened],
                "proofs": proofs,
            })  # fmt: skip
        return self.page(
            ask, "receipt.html", appeal=it, happened=happened, proofs=proofs, roles=appeal.ROLES,
            grounds=GROUNDS, states=appeal.STATES, outcomes=appeal.OUTCOMES, receipt=code,
            for_the_issuer=appeal.FOR_THE_ISSUER,
            others=[
                form_token.receipt_code(form_token.further(form_token.secret_in(code), number))
                for number in range(1, it.others + 1)
            ],
            new="new" in ask.query, now=int(self.clock()),
            at=f"/receipt/{code}",
        )  # fmt: skip

    async def withdrawn(self, ask: Ask) -> Answer:
        code = ask.path.removeprefix("/receipt/")
        hashed = form_token.receipt_hash(code) if _RECEIPT.fullmatch(code) else None
        found = await self._store().by_receipt(hashed) if hashed else None
        if found is None or ask.fields.get("withdraw") != "yes":
            return self.page(ask, "receipt_ask.html", 404, wrong=True)
        await self._store().withdraw(found[0].id, form_token.secret_in(code), int(self.clock()))
        return self._see(f"/receipt/{code}", ask)

    # -- the rest

    async def open_records(self, ask: Ask) -> Answer:
        counts = await self._store().counts() if self.store else {}
        known, report = self.transparency.known(), await self.transparency.report()
        await self._learn()
        logs = self.logs.shown()
        if prefers_json(ask.accept):
            told = {"lists": [one.as_json() for one in known], "appeals": counts}
            return self._json(200, {**told, "logs": [one.as_json() for one in logs]} if logs else told)
        return self.page(ask, "transparency.html", lists=known, counts=counts, log=self.transparency.log_is_there(),
                         host=self.host, outcomes=appeal.OUTCOMES, report=report, logs=logs)  # fmt: skip

    async def press(self, ask: Ask) -> Answer:
        return self.page(ask, "press.html", lists=self.transparency.known())

    async def resolver(self, ask: Ask) -> Answer:
        """Where RESINFO's `infourl` leads (RFC 9606)."""
        return self.page(ask, "resolver.html", services=self.pages.services)

    async def healthy(self, ask: Ask) -> Answer:  # noqa: ARG002
        return self._plain(200, "ok")

    async def robots(self, ask: Ask) -> Answer:  # noqa: ARG002
        return self._plain(200, "User-agent: *\nDisallow: /receipt/\nDisallow: /appeal")

    # -- how answers are made

    def language(self, ask: Ask) -> str:
        chosen = ask.fields.get("lang") or ask.query.get("lang", "")
        return chosen if chosen in LANGUAGES else negotiate(ask.accept_language, self.fallback)

    def page(
        self, ask: Ask, template: str, status: int = 200, *, more: Mapping[str, str] | None = None, **values: Any
    ) -> Answer:
        code = self.language(ask)
        chosen = (ask.fields.get("lang") or ask.query.get("lang", "")) in LANGUAGES
        body = self.pages.render(template, code, **{"at": ask.path, "chosen": chosen, **values})
        policy = self.pages.policy(forms=True)
        return Answer(status, body, language=code, policy=policy, referrer="same-origin", more=more or {})

    def message(self, ask: Ask, status: int, what: str, more: Mapping[str, str] | None = None) -> Answer:
        if prefers_json(ask.accept):
            return self._json(status, {"error": what}, more)
        return self.page(ask, "message.html", status, what=what, at="/", more=more)

    def unreadable(self, status: int) -> Answer:
        """What is said of a body that is no form."""
        return self._plain(status, "This form cannot be read.")

    def _store(self) -> Store:
        if self.store is None:
            raise StoreError("the appeals database is not there yet")
        return self.store

    def _see(self, path: str, ask: Ask, **query: str) -> Answer:
        """303 to a path of this site; `path` is made of checked parts only."""
        chosen = ask.fields.get("lang") or ask.query.get("lang", "")
        if chosen in LANGUAGES:
            query["lang"] = chosen
        more = "&".join(f"{name}={value}" for name, value in query.items())
        return Answer(303, b"", "text/plain; charset=utf-8", location=f"{path}?{more}" if more else path)

    def _json(self, status: int, value: object, more: Mapping[str, str] | None = None) -> Answer:
        body = json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"
        return Answer(status, body, "application/json", more=more or {})

    def _plain(self, status: int, text: str, more: Mapping[str, str] | None = None) -> Answer:
        return Answer(status, text.encode() + b"\n", "text/plain; charset=utf-8", more=more or {})


PAGES: Mapping[str, Mapping[str, Handler]] = {
    "/": {"GET": Portal.home},
    "/appeal": {"GET": Portal.appeal_form, "POST": Portal.appeal_sent},
    "/receipt": {"GET": Portal.receipt_asked},
    "/transparency": {"GET": Portal.open_records},
    "/press": {"GET": Portal.press},
    RESOLVER_PAGE: {"GET": Portal.resolver},
    "/health": {"GET": Portal.healthy},
    "/robots.txt": {"GET": Portal.robots},
}
RECEIPT: Mapping[str, Handler] = {"GET": Portal.receipt, "POST": Portal.withdrawn}
