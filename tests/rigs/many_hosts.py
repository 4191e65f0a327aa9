"""Hosts of one provider on one database: of each the steward, with lists and a log, and the web process's rounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from resolver.base.errors import ResolverError
from resolver.ipc import control
from resolver.lists.operations import operations
from resolver.policy import exceptions
from resolver.portal import clock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resolver.portal.store import Store
    from tests.rigs.lists_world import World


@dataclass
class Host:
    """A steward with its lists and its log, and the rounds of its web process. `away`: the steward does not answer."""

    name: str
    world: World
    store: Store
    exchange: clock.Exchange
    away: bool = False
    refused: list[str] = field(default_factory=list)

    async def steward(self, op: str, **arguments: Any) -> Mapping[str, Any]:
        if self.away:
            raise control.UnreachableError("nobody listens")

        class Asked:
            config, register = self.world.config, self.world.register
            held: Any = type("Held", (), {"operations": staticmethod(dict), "status": staticmethod(dict)})

            async def work(self, what: Any, *args: Any, **kwargs: Any) -> Any:
                return what(*args, **kwargs)

        try:
            return await operations(Asked())[op].handle(control.Peer(1, 0, 0), arguments)  # type: ignore[arg-type]
        except ResolverError as error:
            self.refused.append(str(error))
            raise control.ControlError(str(error)) from error

    async def round(self) -> None:
        now = int(self.world.clock())
        await self.exchange.round(self.store, self.steward)
        await clock.deliver(self.store, self.steward, self.name, now)
        said = await clock.hear_stages(self.store, self.steward, self.name, now)
        await self.store.present(self.name, self.world.config.places.log_vkey.read_text(), now, "", said)
        await clock.learn(self.store, self.steward, now)

    def opened(self, name: str) -> bool:
        return self.world.active(name) == []

    def passes(self, name: str) -> bool:
        return exceptions.read(self.world.config.places.exceptions).covering(name, self.world.clock()) is not None

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.world.leaves()]


async def rounds(*hosts: Host) -> None:
    """As many as it takes for what one says to be with all."""
    for _ in range(2):
        for host in hosts:
            await host.round()


def tick(*hosts: Host) -> None:
    for host in hosts:
        host.world.register.tick()
