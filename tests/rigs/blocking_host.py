"""A provider's host that blocks one name, with the stop page: DNS alone, on a list that no steward has fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resolver import _core
from resolver.policy.description import Basis, Generation, LiveList
from tests.rigs.dns_host import Host, free_port
from tests.rigs.list_documents import BASES, entry, write

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BLOCKED, STOP_PAGE = "bet.example", "192.0.2.66"
LAW = Basis(law="Gambling Act", authority="Authority", order="17")


def blocking_host(folder: Path, dns: Mapping[str, Any], of_list: Mapping[str, Any] | None = None, **more: Any) -> Host:
    """`dns`, `of_list`: keys of the configuration's `dns` and of its list, and `more` of all of it."""
    listed = {"name": "a", "repository": "lists", "trusted_root": "root.json", **(of_list or {})}
    host = Host(folder, [f"127.0.0.1:{free_port()}"], more={"dns": dict(dns), "lists": [listed], **more})
    host.run_dir.mkdir(parents=True)
    write(folder / "a.zst", [entry(BLOCKED, 0)])
    source: _core.Source = {
        "document": str(folder / "a.zst"), "action": "stop-page", "ede": 16, "bases": BASES, "suspended": []
    }  # fmt: skip
    lists = (LiveList(name="a", action="stop-page", bases={BASES[0]: LAW}),)
    _core.compile([source], str(host.run_dir / "current.list"), Generation(generation=1, lists=lists).to_bytes())
    return host
