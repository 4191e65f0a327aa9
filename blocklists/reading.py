"""JSON as heads and reliefs are read: one object at a time, its keys known, each mistake with its place.

Enters: octets, or a value of JSON. Leaves: texts, numbers, times; or `HeadError` that names the key.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from blocklists.entry import check_time
from blocklists.errors import BlocklistError
from blocklists.text import is_text

if TYPE_CHECKING:
    from collections.abc import Callable

FORMAT = 1
_REFERENCE = re.compile(r"[0-9A-HJKMNP-TV-Z]{16}\Z").match


class HeadError(BlocklistError):
    """A head or a relief is not one; the message names the key."""


class Reader:
    """One JSON object whose keys are known: asks for a key's value and names the place when it is not there."""

    def __init__(self, value: object, place: str, keys: set[str]) -> None:
        self.fields, self.place = mapping(value, place), place
        if unknown := self.fields.keys() - keys:
            raise HeadError(f"{place}: unknown key {min(unknown)!r}")
        if missing := keys - self.fields.keys():
            raise HeadError(f"{place}: no {min(missing)}")

    def text(self, key: str, form: Callable[[str], object] | None = None) -> str:
        value = self.fields[key]
        if not isinstance(value, str) or not 0 < len(value) <= 2000 or not is_text(value):
            raise HeadError(f"{self.place}: {key}: not a printable text")
        if form is not None and not form(value):
            raise HeadError(f"{self.place}: {key}: {value!r} has not the form")
        return value

    def texts(self) -> dict[str, str]:
        return {key: self.text(key) for key in self.fields}

    def time(self, key: str) -> str:
        try:
            check_time(key, self.text(key))
        except BlocklistError as error:
            raise HeadError(f"{self.place}: {error}") from None
        return self.text(key)

    def number(self, key: str, low: int, high: int = 1 << 53) -> int:
        value = self.fields[key]
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise HeadError(f"{self.place}: {key}: not a whole number from {low} to {high}")
        return value

    def inner(self, key: str, keys: set[str]) -> Reader:
        return Reader(self.fields[key], f"{self.place}: {key}", keys)


def check_format(top: Reader) -> None:
    if top.number("format", 1) != FORMAT:
        raise HeadError(f"{top.place}: format {top.fields['format']} is not {FORMAT}", hint="update Stopsign")


def check_reference(text: str, place: str) -> None:
    if not _REFERENCE(text):
        raise HeadError(f"{place}: {text!r} is not a reference")


def mapping(value: object, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise HeadError(f"{place}: not an object")
    return value


def load(data: bytes, limit: int | None, what: str) -> object:
    if limit is not None and len(data) > limit:
        raise HeadError(f"{what}: larger than {limit} octets")
    try:
        loaded: object = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise HeadError(f"{what}: not JSON: {error}") from None
    return loaded


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii") + b"\n"
