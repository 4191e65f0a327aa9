"""The stop page: for a blocked Host the reasons (451, RFC 7725), for any other 421.

Enters: the head of a request meant for another site, and the address it came from, which says whose lists hold and
whose brand is shown, and is not kept. Leaves: one reply. Rules: it runs in the blocked site's origin
and is handed its cookies, so nothing of the request is read beyond Host, Accept, Accept-Language and a language in the
query; the page shows the entry's name and never the Host; no cookie, no script, nothing stored. A page is rendered
once for (brand, entries, language, form) and then sent as it is, until the lists or the exceptions change. Whether a
sealed list stops a name is said to all who can ask this resolver; to all others together sixty times an hour, and
then nobody of them can tell a name that is listed from one that is not.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from blocklists.entry import is_name
from resolver.base.hourly import Hourly
from resolver.policy.views import Views, address_in
from resolver.portal.facts import facts_of
from resolver.portal.language import LANGUAGES, negotiate, prefers_json
from resolver.portal.plain_http import Reply, plain_reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from resolver._core import Match
    from resolver.portal.facts import Facts
    from resolver.portal.live import Live, Snapshot
    from resolver.portal.pages import Face, Pages
    from resolver.portal.plain_http import Head

MAX_CACHED = 32 << 20  # bytes of rendered pages
MAX_OTHERS = 8
LATER = plain_reply("503 Service Unavailable", "The notice cannot be shown at the moment. Try again in some minutes.")

_CHOSEN = re.compile(rb"[?&]lang=([a-z]{2})(?:&|$)")
_HOST = re.compile(rb"([A-Za-z0-9_.-]{1,254})(?::[0-9]{0,5})?")


class StopPage:
    """Decides and renders. `clock` gives Unix seconds."""

    def __init__(
        self,
        pages: Pages,
        live: Live,
        clock: Callable[[], float],
        views: Views | None = None,
        brands: Mapping[str, Pages] | None = None,
    ) -> None:
        """`brands`: pages by the name of the view whose clients see them; all others see `pages`."""
        self._pages, self._live, self._clock = pages, live, clock
        self._views, self._brands = views or Views(), brands or {}
        self._cache: dict[tuple[object, ...], Reply] = {}
        self._cached_bytes = 0
        self._cached_for = live.snapshot
        self._sealed = _sealed(live.snapshot)
        self._strangers = Hourly()
        """What was said about sealed lists to those who cannot ask this resolver."""

    def reply(self, head: Head, client: str = "") -> Reply:
        """`client`: the address that the request came from; where it is none, every list holds."""
        snapshot = self._live.snapshot
        if snapshot is not self._cached_for:
            self._cache.clear()
            self._cached_bytes, self._cached_for, self._sealed = 0, snapshot, _sealed(snapshot)
        name, address, now = name_of(head.host), address_in(client), self._clock()
        view = self._views.of_client(address)
        stops = snapshot.judged(name, int(now), view.lists).stops if name else ()
        if self._sealed and name and not self._views.serves(address):
            if (said := self._to_stranger(stops, now)) is None:
                return LATER
            stops = said
        pages = self._brands.get(view.name, self._pages)
        chosen = _CHOSEN.search(head.target)
        code = chosen[1].decode() if chosen else ""
        code = code if code in LANGUAGES else ""
        as_json = prefers_json(head.accept)
        spoken = code or negotiate(head.accept_language, pages.face.language)
        key = (pages, tuple((m.list, m.reference) for m in stops), code, spoken, as_json)
        reply = self._cache.get(key)
        return reply if reply is not None else self._kept(key, self._made(pages, stops, bool(code), spoken, as_json))

    def _to_stranger(self, stops: tuple[Match, ...], now: float) -> tuple[Match, ...] | None:
        """What somebody sees who cannot ask this resolver; None: neither that a name is listed nor that it is not."""
        if not self._strangers.room(now):
            return tuple(match for match in stops if match.list not in self._sealed) or None
        if any(match.list in self._sealed for match in stops):
            self._strangers.take(now)
        return stops

    def _kept(self, key: tuple[object, ...], reply: Reply) -> Reply:
        size = len(reply.body) + len(reply.head)
        while self._cache and self._cached_bytes + size > MAX_CACHED:
            oldest = self._cache.pop(next(iter(self._cache)))
            self._cached_bytes -= len(oldest.body) + len(oldest.head)
        self._cache[key] = reply
        self._cached_bytes += size
        return reply

    def _made(self, pages: Pages, stops: tuple[Match, ...], chosen: bool, code: str, as_json: bool) -> Reply:
        snapshot = self._live.snapshot
        entries = [facts_of(match, snapshot) for match in stops[: 1 + MAX_OTHERS]]
        if as_json:
            return _reply(pages, bool(entries), code, "application/json", _as_json(pages.face, entries))
        if not entries:
            body = pages.render("elsewhere.html", code, chosen=chosen)
        else:
            entry, *others = entries
            body = pages.render("stop.html", code, chosen=chosen, entry=entry, others=others, shown=shown(entry))
        return _reply(pages, bool(entries), code, "text/html; charset=utf-8", body)


def _sealed(snapshot: Snapshot) -> frozenset[int]:
    """The sealed lists, by the core's indices."""
    return frozenset(at for at, one in enumerate(snapshot.in_force.lists) if one.seal is not None)


def _as_json(face: Face, entries: list[Facts]) -> bytes:
    answer: dict[str, object] = {"blocked": bool(entries), "blocked_by": face.url, "portal": face.portal}
    if entries:
        links = [f"{face.portal}/appeal?reference={one.reference}&name={one.name}" for one in entries]
        answer["appeal"], answer["appeals"] = links[0], links
        answer["entries"] = [entry.as_json() for entry in entries]
    return json.dumps(answer, indent=1, ensure_ascii=False).encode() + b"\n"


def _reply(pages: Pages, blocked: bool, code: str, kind: str, body: bytes) -> Reply:
    status = "451 Unavailable For Legal Reasons" if blocked else "421 Misdirected Request"
    links = f'Link: <{pages.face.url}>; rel="blocked-by"\r\n' if blocked else ""
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Language: {code}\r\nContent-Length: {len(body)}\r\n"
        f"{links}Cache-Control: no-store\r\nVary: Accept, Accept-Language\r\n"
        f"Content-Security-Policy: {pages.policy(forms=False)}; sandbox allow-top-navigation allow-popups\r\n"
        "Referrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n"
    )
    return Reply(head.encode("ascii"), body)


def name_of(host: bytes) -> str:
    """The name in a Host (RFC 9110, 7.2) in the form lists have it; empty for what no list can hold."""
    found = _HOST.fullmatch(host)
    name = found[1].decode("ascii").lower().removesuffix(".") if found else ""
    return name if is_name(name) else ""


def shown(entry: Facts) -> Markup:
    """The entry's name for a heading, kept apart from the direction of the text around it."""
    return Markup('<bdi class="name">{}</bdi>').format(escape(entry.unicode_name or entry.name))
