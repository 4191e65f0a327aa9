"""Lists as a stranger hands them over: what is none is refused with a type."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from resolver.log.errors import AuditError
from resolver.log.reading import published_details
from resolver.log.source import Folder
from resolver.stats.documents import read_document, read_object, tally
from resolver.stats.report import report
from tests.rigs.log_world import World

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("text", ["[" * 100_000, "5", "[]", "{}", '{"name": 5}', "\x1b[2J", '{"name":' * 50_000])
def test_a_line_that_is_no_entry_is_refused_with_a_type(tmp_path: Path, text: str) -> None:
    path = tmp_path / "full-1.zst"
    path.write_bytes(zstandard.compress(text.encode() + b"\n"))
    with pytest.raises(AuditError, match="is not a list document"):
        list(read_document(path))
    with pytest.raises(AuditError, match="is not a list document"):
        tally(path)
    path.write_text(text if text != "{}" else "[1]")
    if text != '{"name": 5}':
        with pytest.raises(AuditError, match="JSON"):
            read_object(path)


def test_what_is_not_compressed_is_refused_with_a_type(tmp_path: Path) -> None:
    path = tmp_path / "full-1.zst"
    path.write_bytes(b"\x1b[2J plain text")
    with pytest.raises(AuditError) as wrong:
        list(read_document(path))
    assert "\x1b" not in str(wrong.value)


@pytest.mark.parametrize(
    ("kind", "detail"),
    [
        ("counts", {"lists": 5}),
        ("counts", {"lists": {"gambling": "many"}}),
        ("bands", {"month": "2026-11", "list": "gambling", "entries": [], "met": 1, "bands": {}}),
        ("list-activated", {"list": "gambling", "version": 1, "signed_by": 5}),
        ("list-activated", {"list": "gambling", "version": 1, "added": "all"}),
        ("list-held", {"list": "gambling", "reasons": 5}),
    ],
)
def test_a_detail_of_wrong_types_is_named_by_its_leaf(tmp_path: Path, kind: str, detail: dict[str, Any]) -> None:
    world = World(tmp_path)
    with world.open() as log:
        log.append("start", "", {})
        log.append(kind, "2026-11-22", detail)
    source = Folder(world.log_dir)
    with pytest.raises(AuditError, match=f"leaf 1 is not in the form of a {kind}"):
        report(source, published_details(source), date(2026, 11, 1), date(2026, 11, 30))
