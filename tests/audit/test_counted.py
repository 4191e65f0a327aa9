"""From a subscriber's query to the count: a real worker, a real list, and nothing of the subscriber on the way."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING

import zstandard

from resolver import _core
from resolver.audit.hits import waiting
from resolver.audit.question import ask
from tests.dns.house import Host

if TYPE_CHECKING:
    from pathlib import Path


def compiled(folder: Path, *names: str) -> None:
    lines = "".join(
        json.dumps(
            {
                "basis": "order-1",
                "category": "gambling",
                "expires": "2035-01-01T00:00:00Z",
                "issued": "2026-11-22T00:00:00Z",
                "match": "subtree",
                "name": name,
                "reference": name[0].upper() * 16,
            },
            sort_keys=True,
            separators=(",", ":"),
        )
        + "\n"
        for name in names
    ).encode()
    document = folder / "full.zst"
    document.write_bytes(zstandard.compress(lines))
    _core.check_document(document, size=len(lines), state=f"sha256:{sha256(lines).hexdigest()}", bases=["order-1"])
    source: _core.Source = {
        "document": str(document), "action": "stop-page", "ede": 16, "bases": ["order-1"], "suspended": [],
    }  # fmt: skip
    meta = {"generation": 1, "lists": [{"name": "gambling", "version": 1}]}
    (folder / "run").mkdir()
    _core.compile([source], folder / "run" / "current.list", json.dumps(meta).encode())


def test_a_worker_that_ends_hands_over_what_it_stopped_and_nothing_else(tmp_path: Path) -> None:
    compiled(tmp_path, "a.example", "b.example")
    host = Host(tmp_path, upstreams=["127.0.0.1:1"])
    host.start()
    try:
        (address, port), *_ = host.addresses()
        for name in ("a.example", "deep.below.a.example", "b.example"):
            answer = ask(address, port, name)
            assert answer is not None
            assert answer.records == ("192.0.2.66",)
        assert ask(address, port, "a.example", tcp=True) is not None
        ask(address, port, "never.listed.example")
    finally:
        assert host.stop() == 0
    (batch,) = waiting(host.run_dir / "workers")
    assert batch.lists == {"gambling": 4}
    assert {(name, reference): count for name, reference, count in batch.hits} == {
        ("gambling", "A" * 16): 3,
        ("gambling", "B" * 16): 1,
    }
    assert batch.dropped == 0
    written = b"".join(path.read_bytes() for path in host.run_dir.rglob("*") if path.is_file())
    assert b"never.listed" not in written
    assert b"deep.below" not in written
