"""Rows of a JSON register: the elements of one array, decoded one at a time.

Enters: a path, a JSON pointer to the array (empty: the document itself, or one object a line), paths of keys of fields
within a row (`a/b`). Leaves: number and values of each row. Rules: one value in memory at a time, each bounded;
a document that breaks off, or that goes on after its end, is refused.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from blocklists.importers.source import SourceError, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

VALUE = 16 << 20
"""Characters of one row, or of a value beside the rows."""
_BLANK = " \t\r\n"


def read(
    path: Path, pointer: str, fields: Sequence[str], *, size: int, encoding: str | None = None
) -> Iterator[tuple[int, dict[str, list[str]]]]:
    """Number (from 1) and values of each row. Raises SourceError."""
    reader = _Reader(path, text(path, size=size, encoding=encoding))
    steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.strip("/").split("/") if step]
    paths = {field: field.split("/") for field in fields}
    for number, row in enumerate(reader.rows(steps), 1):
        values: dict[str, list[str]] = {}
        for field, keys in paths.items():
            if (found := _values(row, keys)) is not None:
                values[field] = found
        yield number, values


def _values(value: Any, keys: list[str]) -> list[str] | None:
    """The texts at a path of keys (`.`: of the value itself); None where a key is missing."""
    keys = [] if keys == ["."] else keys
    for at, key in enumerate(keys):
        if isinstance(value, list):
            found = [_values(one, keys[at:]) for one in value]
            return None if all(one is None for one in found) else [text for one in found for text in one or []]
        if not isinstance(value, dict) or key not in value:
            return None
        value = value[key]
    return [_text(one) for one in (value if isinstance(value, list) else [value])]


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else json.dumps(value)


class _Reader:
    """A window on the text, and the decoder of values in it."""

    def __init__(self, path: Path, blocks: Iterator[str]) -> None:
        self._path, self._blocks = path, blocks
        self._buffer, self._at, self._ended = "", 0, False
        self._decode = json.JSONDecoder().raw_decode

    def rows(self, steps: list[str]) -> Iterator[Any]:
        """The elements of the array at the pointer."""
        for step in steps:
            self._expect("{")
            while self._value() != step:
                self._expect(":")
                self._value()
                if self._next() != ",":
                    raise self._wrong(f"no {step!r} on the way to the rows")
            self._expect(":")
        if not steps and self._peek() == "{":
            while self._peek():
                yield self._value()
            return
        self._expect("[")
        if self._peek() == "]":
            self._next()
        else:
            while True:
                yield self._value()
                if (sign := self._next()) == "]":
                    break
                if sign != ",":
                    raise self._wrong("the array of rows breaks off")
        self._rest(len(steps))

    def _rest(self, depth: int) -> None:
        """What comes after the rows: other keys, the ends of the objects, and nothing more."""
        while depth:
            sign = self._next()
            if sign == "}":
                depth -= 1
            elif sign == ",":
                self._value()
                self._expect(":")
                self._value()
            else:
                raise self._wrong("it breaks off")
        if self._peek():
            raise self._wrong("it goes on after its end")

    def _value(self) -> Any:
        self._peek()
        while True:
            try:
                value, end = self._decode(self._buffer, self._at)
            except RecursionError:
                raise self._wrong("nested too deeply") from None
            except ValueError as error:
                if not self._more():
                    raise self._wrong(str(error)) from None
                continue
            # a number at the end of the window may go on
            if end == len(self._buffer) and self._more():
                continue
            self._at = end
            return value

    def _peek(self) -> str:
        while True:
            while self._at < len(self._buffer) and self._buffer[self._at] in _BLANK:
                self._at += 1
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if not self._more():
                return ""

    def _next(self) -> str:
        sign = self._peek()
        self._at += 1
        return sign

    def _expect(self, sign: str) -> None:
        if (found := self._next()) != sign:
            raise self._wrong(f"{found or 'the end'!r} where {sign!r} should be")

    def _more(self) -> bool:
        if len(self._buffer) - self._at > VALUE:
            raise self._wrong(f"a value of more than {VALUE:,} characters")
        block = next(self._blocks, None)
        if block is None:
            return False
        self._buffer, self._at = self._buffer[self._at :] + block, 0
        return True

    def _wrong(self, what: str) -> SourceError:
        return SourceError(f"{self._path}: not the JSON that the mapping says: {what}")
