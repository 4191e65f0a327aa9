"""What may be asked of the steward through the control socket, and by whom.

Each operation takes one JSON object and answers with one. The web process (a reporter) may only say that an appeal came
in, is overdue or was decided; it can forge neither an approval nor a list, and can stop nothing that is not signed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, get_args

from resolver.control import Operation, while_wanted
from resolver.errors import ResolverError
from resolver.lists.evidence import of_leaf
from resolver.lists.overrides import USUAL, Override
from resolver.moments import as_text
from resolver.passes import Match

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from resolver.config import Config
    from resolver.control import Peer, Reply
    from resolver.lists.register import Outcome, Register
    from resolver.reload import Held


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
        "override": Operation(asked.override),
        "lift": Operation(asked.lift),
        "overrides": Operation(asked.overrides),
        "appeal-received": Operation(asked.appeal_received, reporters=True),
        "appeal-decided": Operation(asked.appeal_decided, reporters=True),
        "appeal-overdue": Operation(asked.appeal_overdue, reporters=True),
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
        outcome = await self._steward.work(while_wanted(self._register.approve), name, version, state, peer.who)
        return outcome.as_dict()

    async def override(self, peer: Peer, request: Mapping[str, Any]) -> Reply:
        match, seconds = request.get("match", "subtree"), request.get("seconds", USUAL)
        if match not in get_args(Match):
            raise RequestError(f"{match!r} is not exact, subtree or below")
        if not isinstance(seconds, int | float) or isinstance(seconds, bool):
            raise RequestError("seconds is not a number")
        allowed = await self._steward.work(
            while_wanted(self._register.people.allow),
            _text(request, "name"),
            match,
            _text(request, "reason"),
            peer.who,
            float(seconds),
            _text(request, "reference", ""),
        )
        before = _shown(allowed.before) if allowed.before else None
        return {**_shown(allowed.new), "before": before, "trouble": allowed.trouble}

    async def lift(self, peer: Peer, request: Mapping[str, Any]) -> Reply:
        lift = while_wanted(self._register.people.lift)
        name, reference = _text(request, "name"), _text(request, "reference", "")
        gone, trouble = await self._steward.work(lift, name, peer.who, reference)
        return {**_shown(gone), "trouble": trouble}

    async def overrides(self, _peer: Peer, _request: Mapping[str, Any]) -> Reply:
        held = await self._steward.work(self._register.people.holding)
        return {"overrides": [_shown(entry) for entry in held.overrides]}

    async def appeal_received(self, _peer: Peer, request: Mapping[str, Any]) -> Reply:
        detail = _told(request)
        return await self._proved(self._register.people.appeal_received, detail)

    async def appeal_decided(self, _peer: Peer, request: Mapping[str, Any]) -> Reply:
        detail = _told(request)
        return await self._proved(self._register.people.appeal_decided, detail)

    async def _proved(self, what: Callable[[str, Mapping[str, Any]], int], detail: Mapping[str, Any]) -> Reply:
        """A leaf, and the proof that it is in the log, for the receipt."""
        leaf = await self._steward.work(while_wanted(what), detail["reference"], detail)
        return {"leaf": leaf, "proof": await self._steward.work(of_leaf, self._register.ledger, leaf)}

    async def appeal_overdue(self, _peer: Peer, request: Mapping[str, Any]) -> Reply:
        detail, name, appeal = _told(request), _text(request, "name"), _text(request, "appeal")
        return {
            "suspended": await self._steward.work(
                while_wanted(self._register.appeal_overdue), detail["reference"], name, appeal, detail
            )
        }

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


def _told(request: Mapping[str, Any]) -> dict[str, Any]:
    """What the web process says of an appeal, as it goes into the leaf's private detail."""
    _text(request, "reference")
    return {key: value for key, value in request.items() if key != "op"}


def _text(request: Mapping[str, Any], key: str, unsaid: str | None = None) -> str:
    value = request.get(key, unsaid)
    if not isinstance(value, str) or len(value) > 4096:
        raise RequestError(f"{key} is not a text")
    return value


def _shown(entry: Override) -> dict[str, Any]:
    return {**entry.model_dump(), "until": as_text(entry.until)}
