"""Rows of an XML register: one element each, read by expat as it comes, never as a tree.

Enters: a path, the rows' element, paths of fields within a row (`a/b`, `@attribute`, `a/@attribute`, `.` for the row's
own text). Leaves: line and values of each row. Rules: namespaces are ignored; a DTD, and so every entity, is refused
(defusedxml); depth, text of a row and the file's size are bounded.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import ParseError

import defusedxml
from defusedxml.ElementTree import DefusedXMLParser

from blocklists.importers.source import SourceError, octets, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

DEPTH = 64
ROW = 1 << 20
"""Characters of one row."""


def read(
    path: Path, rows: str | None, fields: Sequence[str], *, size: int, encoding: str | None = None
) -> Iterator[tuple[int, dict[str, list[str]]]]:
    """Line and values of each row. Raises SourceError."""
    if not rows:
        raise SourceError(f"{path}: the mapping does not say which element is a row", hint="rows: …")
    target = _Rows(rows, fields)
    parser: Any = DefusedXMLParser(target=target, encoding=encoding, forbid_dtd=True)
    target.parser = parser.parser
    try:
        for block in octets(path, size=size):
            parser.feed(block)
            yield from target.taken()
        parser.close()
    except defusedxml.DefusedXmlException:
        raise SourceError(f"{path}: it has a DTD, which no register needs: refused") from None
    except (ParseError, ValueError, LookupError) as error:
        raise SourceError(f"{path}: not XML that is whole: {shown(str(error))}") from None
    yield from target.taken()


class _Rows:
    """What the parser calls: gathers one row at a time."""

    def __init__(self, rows: str, fields: Sequence[str]) -> None:
        self.parser: Any = None
        self._row, self._fields = _local(rows.rpartition("/")[2]), frozenset(fields)
        self._path: list[str] = []
        self._depth = self._length = self._line = 0
        self._values: dict[str, list[str]] | None = None
        self._text: list[list[str]] = []
        self._done: list[tuple[int, dict[str, list[str]]]] = []

    def taken(self) -> list[tuple[int, dict[str, list[str]]]]:
        """The rows that are whole by now."""
        done, self._done = self._done, []
        return done

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        self._depth += 1
        if self._depth > DEPTH:
            raise ValueError(f"deeper than {DEPTH} elements")
        name = _local(tag)
        if self._values is None:
            if name != self._row:
                return
            self._values, self._path, self._length = {}, [], 0
            self._line = self.parser.CurrentLineNumber
        else:
            self._path.append(name)
        self._text.append([])
        prefix = "/".join(self._path) + "/" if self._path else ""
        for key, value in attributes.items():
            self._keep(f"{prefix}@{_local(key)}", value)

    def data(self, text: str) -> None:
        """Text within an element."""
        if self._values is not None and self._text:
            self._length += len(text)
            if self._length > ROW:
                raise ValueError(f"a row of more than {ROW:,} characters")
            self._text[-1].append(text)

    def end(self, tag: str) -> None:
        """An element ends."""
        del tag
        self._depth -= 1
        if self._values is None:
            return
        self._keep("/".join(self._path) or ".", "".join(self._text.pop()).strip())
        if self._path:
            self._path.pop()
        else:
            self._done.append((self._line, self._values))
            self._values = None

    def close(self) -> None:
        """The document ends."""

    def _keep(self, field: str, value: str) -> None:
        if field in self._fields and self._values is not None:
            self._values.setdefault(field, []).append(value.strip())


@lru_cache(maxsize=1024)
def _local(tag: str) -> str:
    return tag.rpartition("}")[2].rpartition(":")[2]
