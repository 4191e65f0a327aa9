"""The rounds of the web process: what has to happen to appeals without anybody asking for it.

Enters: the store, the time, and a way to speak to this host's steward. Leaves: the steward told, decisions of issuers
and what became overdue written on the receipts, what was due to be deleted gone. Rules: every step can be repeated and
interrupted anywhere (several hosts do the same round on one database, each with its own steward); nothing here makes
an appeal overdue or decides it: the steward keeps the clock and has the decisions.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

from resolver.ipc.control import ControlError, UnreachableError
from resolver.portal import decisions
from resolver.portal.store import Shared

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resolver.ipc.issuer_decisions import Decision
    from resolver.portal.store import Store

log = logging.getLogger("stopsign.portal")

AT_ONCE = 1_000
REPORTS = 100


class Steward(Protocol):
    """How something is said to the steward; `resolver.ipc.control.acall` bound to its socket."""

    async def __call__(self, op: str, **arguments: Any) -> Mapping[str, Any]: ...


async def deliver(store: Store, steward: Steward, host: str, now: int) -> bool:
    """Tell the steward of this host what it has not heard, oldest first. False: it is away, and the rest waits.

    What the steward refuses waits as well, so that nothing is lost: a decision that another host's operator made, which
    this steward learns in a moment; the rest goes on past it, and what comes in meanwhile is of the next round."""
    place = (0, "")
    while messages := await store.messages(host, now, REPORTS, place):
        place = messages[-1].place
        try:
            answers = (await steward("appeal-reports", reports=[one.report for one in messages]))["answers"]
        except ControlError as error:
            log.info("the steward does not hear of %d appeals now: %s", len(messages), error)
            return False
        told = list(zip(messages, answers, strict=True))
        if refused := [(message, answer["error"]) for message, answer in told if "error" in answer]:
            first, why = refused[0]
            what = "the steward does not take %d of %d reports, the first that %s was %s: %s"
            log.info(what, len(refused), len(told), first.appeal, first.what, why)
        await store.heard([(message, answer["proof"] or "") for message, answer in told if "proof" in answer], host)
    return True


async def learn(store: Store, steward: Steward, now: int) -> int:
    """Write on receipts what the steward did about overdue appeals; how many. A steward that is away did nothing."""
    late = [one.id for one in await store.all() if one.due < now and one.suspends and one.suspended is None]
    fates: dict[str, str] = {}
    try:
        for at in range(0, len(late), AT_ONCE):
            fates |= (await steward("appeal-fates", appeals=late[at : at + AT_ONCE]))["fates"]
    except ControlError:
        return 0
    return await store.came_due(fates, now)


class Exchange:
    """What stewards say to each other, carried by way of the database. Proofs and texts are not looked into here."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._delivered: set[tuple[str, str, int]] = set()
        self._refused: dict[tuple[str, str, int], str] = {}  # said once in the journal

    async def round(self, store: Store, steward: Steward) -> None:
        """Store what this host's steward says; deliver to it the words of the others. A word that it does not accept is
        delivered again: its list may be older, or its configuration lack a key."""
        every = await store.shared()
        mine = {one.subject: one for one in every if one.steward == self._host}
        try:
            words = (await steward("shared", known={name: one.leaf for name, one in mine.items()}))["words"]
        except ControlError:
            return
        said = [_said(self._host, word, mine) for word in words if word["proof"] or word["subject"] in mine]
        if {one.subject: one for one in said} != mine:  # in whatever order
            await store.share(self._host, said)
        for one in every:
            what = (one.steward, one.subject, one.leaf)
            if one.steward == self._host or what in self._delivered:
                continue
            try:
                await steward("share", proof=one.proof)
            except UnreachableError:
                return
            except ControlError as refused:
                if self._refused.get(what) != str(refused):
                    log.info("the steward does not follow what host %s says: %s", one.steward, refused)
                self._refused[what] = str(refused)
            else:
                self._delivered.add(what)
        there = {(one.steward, one.subject, one.leaf) for one in every}
        self._delivered &= there
        self._refused = {what: why for what, why in self._refused.items() if what in there - self._delivered}


async def hear_stages(store: Store, steward: Steward, host: str, now: int) -> str:
    """Deliver what hosts of earlier waves say, where this host waits for them; what this one has to say, to be stored.
    A steward that is away says and hears nothing."""
    try:
        told = await steward("stages")
        if told["waits"]:
            await steward("hear-stages", notes=await store.stages(host, now))
    except ControlError as error:
        log.info("stages: %s", error)
        return ""
    return str(told["note"])


def _said(host: str, word: Mapping[str, Any], mine: Mapping[str, Shared]) -> Shared:
    proof = word["proof"] or mine[word["subject"]].proof
    return Shared(host, word["subject"], word["leaf"], proof)


async def round_of(store: Store, decided: list[Decision], now: int, keep: int | None) -> tuple[int, int]:
    """Close what issuers decided, delete what is to be deleted (`keep`: seconds after its end; None: not now); how many
    of each."""
    erased = 0 if keep is None else await store.erase(now - keep, now)
    return await decisions.apply(store, decided), erased
