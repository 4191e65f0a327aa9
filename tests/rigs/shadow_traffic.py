"""Clients that ask a worker while additions are in shadow evaluation."""

from __future__ import annotations

import socket
import weakref
from typing import TYPE_CHECKING

from resolver._core import CompiledList, Plane
from resolver.ipc import shadow_sketches
from resolver.policy import seals
from resolver.policy.description import Generation
from tests.rigs.dns_host import question
from tests.rigs.streams import proxy_header

if TYPE_CHECKING:
    from tests.rigs.lists_world import World


class Traffic:
    """Clients that ask a worker, or several, of which each says what it saw."""

    def __init__(self, world: World, key: tuple[int, int] = (3, 5), worker: int = 0) -> None:
        self._places, self._worker, self._key = world.config.places, worker, shadow_sketches.Key(key)
        self._sealed_key = seals.key_file(world.config)
        self._plane = Plane({"allow_clients": ["10.0.0.0/8"], "sketch_key": key, "proxy_from": ["127.0.0.1"]})
        self._door, self._balancer = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        weakref.finalize(self, lambda *sockets: [one.close() for one in sockets], self._door, self._balancer)
        self._door.bind(("127.0.0.1", 0))
        self._balancer.connect(self._door.getsockname())
        self._plane.listen(self._door.fileno())

    def take_up(self) -> None:
        """The worker takes up the generation that is live."""
        compiled = CompiledList.open(self._places.current)
        lists = Generation.parse(compiled.meta).lists
        seals.unseal(self._sealed_key, compiled, lists)
        self._plane.set_list(compiled)
        self._plane.set_shadow_lists(shadow_sketches.shadow_lists(lists))

    def flow(self, clients: range, *names: str) -> None:
        """Each of these clients asks for each of these names."""
        for name in names:
            message = question(1, name, 1)
            for number in clients:
                client = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
                self._balancer.send(proxy_header(client, "udp") + message)
                self._plane.pump()
        self._places.workers.mkdir(parents=True, exist_ok=True)
        shadow_sketches.write(self._places.sketches(self._worker), self._key, self._plane.shadow_sketches())
