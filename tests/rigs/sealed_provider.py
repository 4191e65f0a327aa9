"""An issuer of a sealed list, and a provider that follows it from the mirror to the live generation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from blocklists.errors import VerifyError
from blocklists.sealed import keys
from resolver.lists.fetch import Mirror
from resolver.policy import seals
from resolver.policy.in_force import Follower
from tests.rigs.lists_world import Clock, World
from tests.rigs.sealed_world import LIST, SealedWorld

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from resolver._core import CompiledList, Judgement
    from resolver.policy.description import LiveList


class Scene:
    """`issuer` publishes, `isp` follows; both live by one clock."""

    def __init__(
        self,
        folder: Path,
        more: Mapping[str, Any] | None = None,
        clock: Clock | None = None,
        others: Mapping[str, Mapping[str, Any]] | None = None,
        **isp: Any,
    ) -> None:
        """`more`: settings of the list at the provider; `others`: further lists that it follows; `isp`: its others."""
        self.key, clock = folder / "sealed.key", clock or Clock()
        self.issuer = SealedWorld(folder / "issuer", datetime.fromtimestamp(clock(), UTC), north=keys.create(self.key))
        source = {"repository": str(self.issuer.published), "trusted_root": str(self.issuer.desk.trusted_root)}
        lists = {LIST: {**source, **(more or {})}, **(others or {})}
        self.isp = World(folder / "isp", clock, lists, {"sealed_key": str(self.key), **isp})
        self.mirror = self.follow()
        self._follower = Follower(self.isp.config.places, self._unseal)

    def follow(self, at: int = 0) -> Mirror:
        """Where the list of this place in the configuration comes from."""
        config = self.isp.config
        source = config.lists[at]
        return Mirror(source, config.places.list(source.name), sealed_key=seals.key_file(config))

    def later(self, **span: float) -> None:
        """Time goes by, for both."""
        self.isp.clock.forward(**span)
        self.issuer.later(**span)

    def refresh(self) -> str:
        """What the steward does with one list; how it ended."""
        try:
            candidate = self.mirror.fetch(self.isp.clock(), complete=True)
        except VerifyError as error:
            return f"refused: {self.isp.register.refuse(LIST, error).reason}"
        return self.isp.register.take(candidate).kind

    def judge(self, name: str) -> Judgement:
        """What a worker would say of a name; a worker that was there all the time."""
        self._follower.poll()
        assert self._follower.now.trouble is None
        judgement = self._follower.now.judge(name, self.isp.clock())
        assert judgement is not None
        return judgement

    def stopped(self, *names: str) -> set[str]:
        """Which of these the live generation stops."""
        return {name for name in names if self.judge(name).stop is not None}

    def opened_now(self) -> bool:
        """Whether a process that starts now can open what is live."""
        started = Follower(self.isp.config.places, self._unseal)
        started.poll()
        return started.now.trouble is None

    def _unseal(self, compiled: CompiledList, lists: tuple[LiveList, ...]) -> Mapping[str, str]:
        return seals.unseal(seals.key_file(self.isp.config), compiled, lists)
