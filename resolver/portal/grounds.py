"""The grounds of an appeal: what its form and the command line offer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resolver.portal.catalogue import marked

if TYPE_CHECKING:
    from collections.abc import Mapping

GROUNDS: Mapping[str, str] = {
    "mistake": marked("The wrong name is blocked, or too much of it"),
    "removed": marked("What it was blocked for is no longer there"),
    "lawful": marked("What is there is lawful"),
    "rights": marked("The block is out of proportion, or violates rights"),
    "other": marked("Something else"),
}
