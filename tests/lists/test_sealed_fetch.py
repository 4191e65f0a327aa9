"""A sealed list at the provider, from the mirror to the live generation; and what of it is on the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from blocklists.errors import VerifyError
from blocklists.sealed import keys
from blocklists.sealed import seal as seals_of
from resolver.lists import fetch
from tests.rigs.sealed_provider import Scene
from tests.rigs.sealed_world import LIST, NAMES, cheap

if TYPE_CHECKING:
    from pathlib import Path


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
