"""Why a name is stopped, or why not: the verdict in words, from the very files that the workers read.

Enters: a name, the address of a page on it, or an entry's reference; the live generation, the exceptions, the
configuration's clients and views; the names that the upstream's answer leads to, where somebody asked. Leaves: an
`Explanation`. Needs no steward, no worker and no network. The verdict is the core's (`policy/verdict.py`), here it is
put into words; that a client is not served comes before it. A name that passes is then judged by those that own records
of its answer, as the list's `aliases` says.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from blocklists.text import shown
from resolver.base import dns_question
from resolver.base.errors import ResolverError
from resolver.base.timestamps import as_text
from resolver.config.discovery import answered_here
from resolver.policy import bypass, exceptions, look_up, overrides
from resolver.policy.typed import name_in, only_reference
from resolver.policy.verdict import Judge
from resolver.policy.views import Views, address_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from resolver._core import CompiledList, Judgement, Match
    from resolver.base.paths import Places
    from resolver.config.schema import Config
    from resolver.policy.description import Generation, LiveList
    from resolver.policy.exceptions import LiveExceptions, NameException
    from resolver.policy.views import Address


ALIASES = {
    "trim": "answers for other names come without this one's records",
    "stop": "answers for other names with this one's records are stopped too",
    "relay": "answers for other names pass with this one's records in them",
}
PASSES = ("passes", "monitored", "not listed")


def is_sealed(config: Config) -> bool:
    """Whether a sealed list is live, of which the files alone say nothing."""
    return any(one.seal is not None for one in look_up.live(config.places)[1].lists)


class ExplainError(ResolverError):
    """There is nothing to explain from."""


@dataclass(frozen=True, slots=True)
class Found:
    """One entry at or above the name, with what its list says about it."""

    name: str
    match: str
    list: str
    version: int
    action: str
    aliases: str
    """What becomes of answers for other names that lead here."""
    reference: str
    category: str
    issued: str
    expires: str
    basis: Mapping[str, Any]
    issuer: Mapping[str, Any]
    signed_by: Sequence[str]
    """Key ids."""
    holders: Mapping[str, str]
    """Who holds them, by key id, as far as the issuer's root says."""
    why_not: str | None
    """Why this entry does not decide; None for the one that does."""

    def signer(self, keyid: str) -> str:
        """For people: the name and the key, which alone is proven; or the key."""
        name = self.holders.get(keyid)
        return f"{name} (key {keyid[:16]})" if name else f"key {keyid[:16]}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """The verdict on a name: `stopped`, `passes` (a person let it), `monitored`, `not listed`, `refused` (the client is
    not served), `answered here` (Stopsign itself answers, and asks no upstream), or `trimmed` (it is not stopped, but
    leads to a name that is). `asked`: what was typed."""

    asked: str
    name: str
    verdict: str
    why: str
    generation: int
    compiled: str
    entries: tuple[Found, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def of(told: Mapping[str, Any]) -> Explanation:
        """The value of `as_dict`, as another process said it, which may say more beside."""
        entries = tuple(Found(**{one.name: entry[one.name] for one in fields(Found)}) for entry in told["entries"])
        return Explanation(**{**{one.name: told[one.name] for one in fields(Explanation)}, "entries": entries})

    def lines(self) -> list[str]:
        told = [] if is_it(self.asked, self.name) else [f"{self.asked} is about {self.name}"]
        told.append(f"{self.name}: {self.verdict}: {self.why}")
        for entry in self.entries:
            mark = "->" if entry.why_not is None else "  "
            told.append(
                f"{mark} {entry.name or 'a sealed entry'} ({entry.match}), list {entry.list} version {entry.version}"
            )
            told.append(f"     action     {entry.action}{f': {entry.why_not}' if entry.why_not else ''}")
            told.append(f"     aliases    {entry.aliases}: {ALIASES[entry.aliases]}")
            told.append(f"     reference  {entry.reference}, category {entry.category}")
            told.append(f"     from       {entry.issued} until {entry.expires}")
            law, order = entry.basis.get("law", "unknown"), entry.basis.get("order", "unknown")
            of = ", ".join(filter(None, (entry.basis.get("authority", "unknown"), entry.basis.get("date"))))
            told.append(f"     basis      {law}, {order} ({of})")
            issuer = ", ".join(filter(None, (entry.issuer["name"] or "unknown", entry.issuer["contact"])))
            told.append(f"     issuer     {issuer}")
            told.append(f"     signed by  {', '.join(map(entry.signer, entry.signed_by)) or 'nobody (bridged)'}")
        told.append(f"generation {self.generation}, compiled {self.compiled}")
        return told


@dataclass(frozen=True, slots=True)
class Leads:
    """The other names that own records of the answers for a name, and those that own additional records alone."""

    owners: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


def explain(
    config: Config,
    name: str,
    *,
    now: float,
    client: str | None = None,
    leads_to: Leads = Leads(),
    unseal: Callable[[CompiledList, tuple[LiveList, ...]], None] | None = None,
) -> Explanation:
    """The verdict on `name` as the workers would give it. `client`: for this client's address, which may not be served
    at all, or by some lists alone. `unseal` gives sealed lists their keys; without it their entries are not seen."""
    compiled, meta = look_up.live(config.places)
    if unseal is not None:
        unseal(compiled, meta.lists)
    qname = _meant(compiled, name)
    live = exceptions.read(config.places.exceptions)
    address = None if client is None else _address(client)

    views = Views.of(config)
    judge, view = Judge(compiled, meta.names, live), meta.mask(views.of_client(address).lists)

    def judged_as(one: str) -> tuple[list[Found], str, str]:
        let = _let_through(config.places, live, one, now)
        return _in_words(judge.judge(one, now, view), meta, live, let, now)

    judged, verdict, why = judged_as(qname)
    if address is not None and config.dns is not None and not views.serves(address):
        verdict, why = "refused", f"{address} is not in dns.allow_clients: its queries are dropped without an answer"
        judged = _undecided(judged, "the client is not served")
    elif verdict in PASSES and (own := answered_here(config, qname)) is not None:
        verdict, why = "answered here", own
        judged = _undecided(judged, "Stopsign answers this name itself")
    elif verdict in PASSES:
        others = {other: judged_as(other) for other in leads_to.owners}
        judged, verdict, why = _by_aliases((judged, verdict, why), others)
        if verdict in PASSES:
            beside = {other: judged_as(other) for other in leads_to.beside}
            cut = [name for name, entry in _deciding(beside) if entry.aliases != "relay"]
            why += f"; its answers come without additional records, since {', '.join(cut)} is listed" if cut else ""
        if config.dns is not None and config.dns.encrypted is not None and qname == config.dns.encrypted.name:
            why += "; it is this resolver's own name, and RESINFO of it is answered here (RFC 9606)"
    return Explanation(name, qname, verdict, why, meta.generation, meta.compiled, tuple(judged))


def leads_to(config: Config, name: str) -> Leads | None:
    """As the first upstream answers; None where it does not."""
    if config.dns is None:
        return Leads()
    first = config.dns.upstreams[0]
    answers = []
    for kind in ("A", "AAAA", "MX"):
        if (answer := dns_question.ask(first.host, first.port, name, kind, tries=1, proof=first.proof)) is None:
            return None
        answers.append(answer)
    owners = dict.fromkeys(owner for answer in answers for owner in answer.owners if owner != name)
    beside = dict.fromkeys(owner for answer in answers for owner in answer.beside if owner not in {name, *owners})
    return Leads(tuple(owners), tuple(beside))


def _by_aliases(
    own: tuple[list[Found], str, str], others: Mapping[str, tuple[list[Found], str, str]]
) -> tuple[list[Found], str, str]:
    """The verdict on a name that passes and leads to these: what stops the whole comes before what is cut off."""
    judged, verdict, why = own
    decide = _deciding(others)
    for mode, outcome in (("stop", "stopped"), ("trim", "trimmed")):
        for name, entry in decide:
            if entry.aliases == mode:
                what = f"it leads to {name}, on list {entry.list} with aliases: {mode}, reference {entry.reference}"
                return [*judged, entry], outcome, f"{what} ({verdict} itself: {why})"
    led = ", ".join(name for name, _ in decide)
    return judged, verdict, f"{why}; it leads to {led}, whose list has aliases: relay" if led else why


def _deciding(others: Mapping[str, tuple[list[Found], str, str]]) -> list[tuple[str, Found]]:
    """The entries that stop these names."""
    stopped = [(name, entry) for name, (found, its, _) in others.items() for entry in found if its == "stopped"]
    return [(name, entry) for name, entry in stopped if entry.why_not is None]


def is_it(asked: str, name: str) -> bool:
    """Whether this name itself was typed."""
    return asked.strip().removesuffix(".").lower() == name


def _address(client: str) -> Address:
    if (address := address_in(client)) is None:
        raise ExplainError(f"{client!r} is not an address")
    return address


def _meant(compiled: CompiledList, typed: str) -> str:
    """The name that is asked about. Of an entry that stops only what is below it, a name below it."""
    if (reference := only_reference(typed)) is not None:
        if (match := look_up.under(compiled, reference)) is not None:
            if not match.name:
                hint = "its issuer knows; the portal shows the rest under the reference"
                raise ExplainError(f"{reference} is of a sealed list: its name is not known here", hint=hint)
            return f"www.{match.name}" if match.match == "below" else match.name
        hint = "the entry may have been withdrawn, or the stop page be another provider's"
        raise ExplainError(f"no entry has the reference {reference}", hint=hint)
    name = name_in(typed)
    if name is None:
        raise ExplainError(f"{typed!r} is neither a domain name nor a reference; example.com would be right")
    return name


def _found(match: Match, meta: Generation) -> Found:
    part = meta.lists[match.list]
    return Found(
        name=match.name,
        match=match.match,
        list=part.name,
        version=part.version,
        action=match.action,
        aliases=match.aliases,
        reference=match.reference,
        category=match.category,
        issued=as_text(match.issued),
        expires=as_text(match.expires),
        basis=part.bases[match.basis].model_dump() if match.basis in part.bases else {},
        issuer=part.issuer.model_dump(),
        signed_by=part.signed_by,
        holders=part.holders,
        why_not=None,
    )


def _in_words(
    judgement: Judgement, meta: Generation, live: LiveExceptions, let: tuple[str, str] | None, now: float
) -> tuple[list[Found], str, str]:
    """Why each entry does not decide, and of the one that does or of them all, verdict and reason. `let`: that a person
    lets the name pass, in short and in full."""
    judged: list[Found] = []
    decided = bypassed = None
    off = {one.of: f"is bypassed {bypass.in_words(one)}" for one in live.holding(now) if one.kind == "list"}
    for match, does in judgement.entries:
        entry, why_not = _found(match, meta), None
        if does == "expired":
            why_not = f"expired {entry.expires}"
        elif does == "other-view":
            why_not = "its list does not hold for this client"
        elif does == "bypassed" and entry.list in off:
            why_not, bypassed = f"its list {off[entry.list]}", bypassed or entry
        elif does == "monitors":
            why_not = "its list only monitors"
        elif does == "stops" and decided is not None:
            why_not = f"the entry of list {decided.list} comes first"
        elif does == "stops":
            decided = entry
        judged.append(replace(entry, why_not=why_not))
    if judgement.stop is not None and decided is not None:
        return judged, "stopped", f"{decided.action} by list {decided.list}, reference {decided.reference}"
    if let is not None:
        what, why = let
        return _undecided(judged, what), "passes", why
    if bypassed is not None:
        return judged, "passes", f"on list {bypassed.list}, which {off[bypassed.list]}"
    if judgement.monitored is not None:
        return judged, "monitored", "counted, and answered as the upstream answers"
    return judged, "not listed", "no entry holds" if judged else "no entry at or above it"


def _let_through(places: Places, live: LiveExceptions, qname: str, now: float) -> tuple[str, str] | None:
    """Whether a person lets it pass, whatever the lists say: in short, and in full."""
    for one in live.holding(now):
        if one.kind == "all":
            return "everything passes", f"everything passes {bypass.in_words(one)}"
        if one.kind == "name" and one.as_exception().covers(qname):
            return "its name is bypassed", f"{one.of} and all below it are bypassed {bypass.in_words(one)}"
    if (let := live.covering(qname, now)) is not None:
        return "its name is overridden", f"{let.name} ({let.match}) is overridden {_words(places, let)}"
    return None


def _words(places: Places, let: NameException) -> str:
    """Of an override: since when, by whom, until when and why. The exceptions, by which it holds, have its end alone;
    the rest is in a file of its own."""
    until = bypass.ends(let.until)
    try:
        one = overrides.read(places).named(let.name)
    except ResolverError as unread:
        return f"{until}; by whom and why cannot be seen: {unread}"
    if one is None:
        return f"{until}; {places.overrides} says nothing of it"
    return f"since {one.since} by {shown(one.by)}, {until}: {shown(one.reason)}"


def _undecided(judged: list[Found], why: str) -> list[Found]:
    return [replace(entry, why_not=entry.why_not or why) for entry in judged]
