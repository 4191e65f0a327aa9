"""A sealed list at the provider, from the mirror to the live generation; and what of it is on the disk."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from blocklists.errors import VerifyError
from blocklists.sealed import keys
from blocklists.sealed import seal as seals_of
from resolver._core import CompiledList
from resolver.lists import fetch
from resolver.lists.fetch import Mirror
from resolver.policy import seals
from resolver.policy.description import Generation
from tests.rigs.lists_world import Clock, World
from tests.rigs.sealed_world import LIST, NAMES, SealedWorld, cheap

if TYPE_CHECKING:
    from pathlib import Path


class Scene:
    """An issuer, and a provider that follows it."""

    def __init__(self, folder: Path) -> None:
        self.key, clock = folder / "sealed.key", Clock()
        now = datetime.fromtimestamp(clock(), UTC)
        self.issuer = SealedWorld(folder / "issuer", now, north=keys.create(self.key))
        source = {"repository": str(self.issuer.published), "trusted_root": str(self.issuer.desk.trusted_root)}
        self.isp = World(folder / "isp", clock, {LIST: source}, {"sealed_key": str(self.key)})
        self.mirror = self.follow()

    def follow(self) -> Mirror:
        config = self.isp.config
        return Mirror(config.lists[0], config.places.list(LIST), sealed_key=seals.key_file(config))

    def refresh(self) -> str:
        """What the steward does with one list; how it ended."""
        try:
            candidate = self.mirror.fetch(self.isp.clock(), complete=True)
        except VerifyError as error:
            return f"refused: {self.isp.register.refuse(LIST, error).reason}"
        return self.isp.register.take(candidate).kind

    def stopped(self, *names: str) -> set[str]:
        """Which of these the live generation finds, for a process that has the key."""
        compiled = CompiledList.open(self.isp.config.places.current)
        seals.unseal(seals.key_file(self.isp.config), compiled, Generation.parse(compiled.meta).lists)
        return {name for name in names if compiled.look_up(name)}


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    cheap(monkeypatch)
    return Scene(tmp_path)


def test_a_sealed_list_is_fetched_applied_and_kept_without_what_opens_it(scene: Scene) -> None:
    assert scene.refresh() == "active"
    assert scene.stopped(*NAMES, "harmless.example") == set(NAMES)
    published = scene.issuer.head
    assert published.seal is not None
    opened = seals_of.keys_of(published.seal, published.state, scene.issuer.north)
    for path in scene.isp.folder.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        for secret in (opened.file, opened.name, opened.name.hex().encode(), b"planted"):
            assert secret not in data, path
    scene.key.unlink()
    candidate = fetch.stored(scene.isp.config.lists[0], scene.isp.config.places.list(LIST))
    assert candidate is not None
    assert candidate.seal is not None
    (scene.isp.config.places.list(LIST).verified / fetch.SEAL).unlink()
    with pytest.raises(VerifyError, match="missing"):
        fetch.stored(scene.isp.config.lists[0], scene.isp.config.places.list(LIST))


def test_what_does_not_open_is_refused_and_the_last_good_list_goes_on(scene: Scene) -> None:
    scene.refresh()
    scene.issuer.rehearsal.change(LIST, add=["planted-new.example"], basis="order-17", category="abuse")
    pem = scene.key.read_bytes()
    scene.key.chmod(0o644)
    assert scene.refresh() == "refused: seal-key"
    scene.key.unlink()
    assert scene.refresh() == "refused: seal-key"
    keys.create(scene.key)
    assert scene.refresh() == "refused: not-a-recipient"
    scene.key.write_bytes(pem)
    assert scene.stopped(*NAMES, "planted-new.example") == set(NAMES)
    told = scene.isp.register.fetching[LIST].refusal
    assert told is not None
    assert "planted" not in told.text
    assert ("list-refused", LIST) in scene.isp.leaves()
    assert scene.refresh() == "active"
    assert scene.stopped("planted-new.example") == {"planted-new.example"}
