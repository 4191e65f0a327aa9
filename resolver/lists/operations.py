"""What may be asked of the steward through the control socket, and by whom.

Each operation takes one JSON object and answers with one. The web process (a reporter) may only say that an appeal came
in, hand over the receipt's secret by which an author withdraws one, ask what became of appeals, and carry what stewards
say to each other, which carries its own proof; it can forge neither an approval nor a list nor a decision nor a word of
another host, and makes nothing overdue.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, get_args

from resolver.base.errors import ResolverError
from resolver.base.timestamps import as_text
from resolver.ipc.control import Operation, while_wanted
from resolver.lists import reports
from resolver.lists.evidence import of_leaf
from resolver.lists.reports import AppealError
from resolver.policy.exceptions import FOR_EVER, Match
from resolver.policy.exceptions import Kind as Bypassed
from resolver.policy.explain import Leads
from resolver.policy.overrides import USUAL, Override
from resolver.policy.seals import SealedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from resolver.config.schema import Config
    from resolver.host.apply import Held
    from resolver.ipc.control import Peer, Reply
    from resolver.lists.decide import Outcome
    from resolver.lists.everywhere import Kind
    from resolver.lists.register import Register


MOST_AT_ONCE = 10_000
LARGEST_PROOF = 2 << 20
_HALF = re.compile("[\ud800-\udfff]").search  # JSON can say half a character, and no file can hold it
Given = ParamSpec("Given")
Result = TypeVar("Result")


class Steward(Protocol):
    """What operations need of the steward: its register, the thread that changes things, and a refresh."""

    config: Config
    register: Register
    held: Held

    async def work(self, what: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result: ...
    async def refresh_all(self, names: Iterable[str]) -> list[Outcome]: ...


class RequestError(ResolverError):
    """An operation was asked for with arguments that it cannot take."""


def operations(steward: Steward) -> dict[str, Operation]:
    """By name."""
    asked = _Operations(steward)
    return {
        "status": Operation(asked.status, anyone=True),
        **steward.held.operations(),
        "refresh": Operation(asked.refresh),
        "approve": Operation(asked.approve),
        "explain": Operation(asked.explain),
        "override": Operation(asked.override),
        "lift": Operation(asked.lift),
        "overrides": Operation(asked.overrides),
        "sealed-reference": Operation(asked.sealed_reference),
        "appeal-reports": Operation(asked.appeal_reports, reporters=True),
        "appeal-fates": Operation(asked.appeal_fates, reporters=True),
        "shared": Operation(asked.shared, reporters=True),
        "share": Operation(asked.share, reporters=True),
        "stages": Operation(asked.stages, reporters=True),
        "hear-stages": Operation(asked.hear_stages, reporters=True),
        "bypassed": Operation(asked.bypassed),
        "decide": Operation(asked.decide),
        "suspend": Operation(asked.suspend),
        "appeals-waiting": Operation(asked.appeals_waiting),
        "drop-appeals": Operation(asked.drop),
        "audit-erase": Operation(asked.erase),
        "configuration-refused": Operation(asked.configuration_refused),
    }


class _Operations:
    def __init__(self, steward: Steward) -> None:
        self._steward, self._register = steward, steward.register

    async def status(self, _peer: Peer, _request: Mapping[str, Any]) -> Reply:
        listening = {"metrics": [str(endpoint) for endpoint in self._steward.config.metrics.listen]}
        return {**await self._steward.work(self._register.status), **self._steward.held.status(), **listening}

    async def refresh(self, _peer: Peer, request: Mapping[str, Any]) -> Reply:
        names = request.get("lists") or [source.name for source in self._steward.config.lists]
        known = [source.name for source in self._steward.config.lists]
        for name in names:
            if name not in known:
                raise RequestError(f"there is no list {name!r}", hint=f"there are: {', '.join(known) or 'none'}")
        outcomes = await self._steward.refresh_all(names)
        return {"outcomes": [outcome.as_dict() for outcome in outcomes]}

    async def approve(self, peer: Peer, request: Mapping[str, Any]) -> Reply:
        name, state = _text(request, "list"), _text(request, "state")
        version = request.get("version")
        if not isinstance(version, int) or isinstance(version, bool):
            raise RequestError("version is not a number")
        source = self._steward.config.list_named(name)
        if request.get("everywhere") and source is not None and source.bridge is not None:
            raise RequestError(
                f"list {name} is bridged: each host makes it of the file itself, with a version of its own",
                hint="approve it at each host, without --everywhere",
            )
        now = request.get("now") is True
        approve = while_wanted(self._register.approve)
        outcome = await self._steward.work(approve, name, version, state, peer.who, now=now)
        what = {"list": name, "version": version, "state": state, "by": peer.who, "now": now}
        return {**outcome.as_dict(), "everywhere": await self._everywhere(request, "approval", name, what, None)}

    async def explain(self, peer: Peer, request: Mapping[str, Any]) -> Reply:
        client, name = _text(request, "client", ""), _text(request, "name")
        leads = Leads(tuple(_texts(request, "owners")), tuple(_texts(request, "beside")))
        asked = while_wanted(self._register.questions.explain)
        return await self._steward.work(asked, name, client or None, leads, peer.who)

    async def override(self, peer: Peer, request: Mapping[str, Any]) -> Reply:
        match, seconds = request.get("match", "subtree"), _number(request, "seconds", USUAL)
        if match not in get_args(Match):
            raise RequestError(f"{match!r} is not exact, subtree or below")
        allowed = await self._steward.work(
            while_wanted(self._register.people.allow),
            _text(request, "name"),
            match,
            _text(request, "reason"),
            peer.who,
            seconds,
            _text(request, "reference", ""),
        )
        before = _shown(allowed.before) if allowed.before else None
        shown = {**_shown(allowed.new), "before": before, "trouble": allowed.trouble}
        until, subject = allowed.new.until, allowed.new.name or allowed.new.reference
        return {**shown, "everywhere": await self._everywhere(request, "override", subject, shown, until)}

    async def sealed_reference(self, peer: Peer, request: Mapping[str, Any]) -> Reply:
        """Of the sealed entry that stops a name which somebody would bypass; `unknown`: why nobody knows."""
        holds = while_wanted(self._register.questions.holds)
        try:
            return {"reference": await self._steward.work(holds, _text(request, "name"), peer.who)}
        except SealedError as closed:
            return {"reference": None, "unknown": str(closed)}

    async def lift(self, peer: Peer, request: Mapping[str, Any]) -> Reply:
        lift = while_wanted(self._register.people.lift)
        name, reference = _text(request, "name"), _text(request, "reference", "")
        gone, trouble = await self._steward.work(lift, name, peer.who, reference)
        lifted = {"name": gone.name, "reference": gone.reference, "by": peer.who, "lifted": True}
        shared = await self._everywhere(request, "override", gone.name or gone.reference, lifted, gone.until)
        return {**_shown(gone), "trouble": trouble, "everywhere": shared}

    async def _everywhere(
        self, request: Mapping[str, Any], kind: Kind, subject: str, what: Mapping[str, Any], until: float | None
    ) -> bool | None:
        """Whether all hosts hear of it; None: there are no others."""
        everywhere = self._register.everywhere
        if not everywhere.is_shared:
            return None
        return bool(request.get("everywhere")) and await self._steward.work(everywhere.say, kind, subject, what, until)

    async def bypassed(self, peer: Peer, request: Mapping[str, Any]) -> Reply:
        """The off switch was thrown or taken back here, and all hosts are to hear of it: for as long as it holds, or
        would have held."""
        kind, of, on = _text(request, "kind"), _text(request, "of", "", most=253), request.get("on")
        if kind not in get_args(Bypassed) or not isinstance(on, bool):
            raise RequestError("kind is not all, list or name, or on is not true or false")
        until = _number(request, "until", FOR_EVER)
        reason = _text(request, "reason", "")
        what = {"kind": kind, "of": of, "on": on, "until": until, "reason": reason, "by": peer.who}
        end = until if until < FOR_EVER else None
        return {"everywhere": await self._everywhere({"everywhere": True}, "bypass", f"{kind}/{of}", what, end)}

    async def shared(self, _peer: Peer, request: Mapping[str, Any]) -> Reply:
        known = request.get("known")
        if not isinstance(known, dict):
            raise RequestError("known is not a table of subjects and leaves")
        return {"words": await self._steward.work(self._register.everywhere.of_this_host, known)}

    async def share(self, _peer: Peer, request: Mapping[str, Any]) -> Reply:
        follow = while_wanted(self._register.follow)
        return {"followed": await self._steward.work(follow, _text(request, "proof", most=LARGEST_PROOF))}

    async def stages(self, _peer: Peer, _request: Mapping[str, Any]) -> Reply:
        """What the other hosts need of this one, and whether this one waits for others."""
        register = self._register
        note = await self._steward.work(lambda: register.waves.note(register.fetching))
        return {"note": note, "waits": bool(register.waves.verdicts)}

    async def hear_stages(self, _peer: Peer, request: Mapping[str, Any]) -> Reply:
        notes = _texts(request, "notes")
        return {"unknown": await self._steward.work(while_wanted(self._register.hear), notes)}

    async def overrides(self, _peer: Peer, _request: Mapping[str, Any]) -> Reply:
        held = await self._steward.work(self._register.people.holding)
        return {"overrides": [_shown(entry) for entry in held.overrides]}

    async def appeal_reports(self, _peer: Peer, request: Mapping[str, Any]) -> Reply:
        """Many at once; for each its leaf with the proof for the receipt, or why it is refused."""
        batch = reports.read(request.get("reports"))
        answers = await self._steward.work(while_wanted(self._register.appeals.reported), batch)
        return {"answers": await self._steward.work(self._proved, answers)}

    def _proved(self, answers: Iterable[int | AppealError]) -> list[Reply]:
        return [
            {"error": str(one)} if isinstance(one, AppealError)
            else {"leaf": one, "proof": of_leaf(self._register.ledger, one)}
            for one in answers
        ]  # fmt: skip

    async def appeal_fates(self, _peer: Peer, request: Mapping[str, Any]) -> Reply:
        return {"fates": await self._steward.work(self._register.appeals.fates, _texts(request, "appeals"))}

    async def decide(self, peer: Peer, request: Mapping[str, Any]) -> Reply:
        outcome, seconds = request.get("outcome"), _number(request, "seconds", USUAL)
        if outcome not in ("mended", "upheld"):
            raise RequestError(f"{outcome!r} is neither mended nor upheld")
        appeals = request.get("appeals")
        if not isinstance(appeals, dict) or not appeals or not all(isinstance(one, str) for one in appeals.values()):
            raise RequestError("appeals is not a table of appeals and references")
        by = f"{_text(request, 'by', '') or peer.who}"
        names = request.get("names", {})
        if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
            raise RequestError("names is not a table of references and names")
        decide = while_wanted(self._register.appeals.decide)
        return await self._steward.work(decide, appeals, outcome, by, names, seconds)

    async def suspend(self, peer: Peer, request: Mapping[str, Any]) -> Reply:
        let_go = while_wanted(self._register.appeals.let_go)
        return {"suspended": await self._steward.work(let_go, _texts(request, "references"), peer.who)}

    async def appeals_waiting(self, _peer: Peer, request: Mapping[str, Any]) -> Reply:
        after = _text(request, "after", "")
        return {"appeals": await self._steward.work(self._register.appeals.waiting_after, after, MOST_AT_ONCE)}

    async def drop(self, peer: Peer, request: Mapping[str, Any]) -> Reply:
        drop = while_wanted(self._register.appeals.drop)
        appeals, reason = _texts(request, "appeals"), _text(request, "reason")
        return {"dropped": await self._steward.work(drop, appeals, peer.who, reason)}

    async def erase(self, _peer: Peer, request: Mapping[str, Any]) -> Reply:
        leaf = request.get("leaf")
        if not isinstance(leaf, int) or isinstance(leaf, bool):
            raise RequestError("leaf is not a number")
        erase = while_wanted(self._register.people.erase)
        return {"leaf": await self._steward.work(erase, leaf, _text(request, "reason"))}

    async def configuration_refused(self, _peer: Peer, request: Mapping[str, Any]) -> Reply:
        mistakes = request.get("mistakes")
        if not isinstance(mistakes, int) or isinstance(mistakes, bool):
            raise RequestError("mistakes is not a number")
        detail = {"mistakes": mistakes, "goes_on": self._steward.config.digest}
        refused = while_wanted(self._register.people.configuration_refused)
        await self._steward.work(refused, _text(request, "text"), detail)
        return {}


def _text(request: Mapping[str, Any], key: str, unsaid: str | None = None, most: int = 4096) -> str:
    value = request.get(key, unsaid)
    if not isinstance(value, str) or _HALF(value):
        raise RequestError(f"{key} is not a text")
    if len(value) > most:
        raise RequestError(f"{key} has {len(value):,} characters; {most:,} at most would be right")
    return value


def _texts(request: Mapping[str, Any], key: str) -> list[str]:
    values = request.get(key)
    if not isinstance(values, list) or len(values) > MOST_AT_ONCE or not all(isinstance(one, str) for one in values):
        raise RequestError(f"{key} is not a list of texts, {MOST_AT_ONCE:,} at most")
    return values


def _number(request: Mapping[str, Any], key: str, unsaid: float) -> float:
    value = request.get(key, unsaid)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise RequestError(f"{key} is not a number")
    return float(value)


def _shown(entry: Override) -> dict[str, Any]:
    return {**entry.model_dump(), "until": as_text(entry.until), "said": str(entry)}
