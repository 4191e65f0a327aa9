"""A register as rows: each with the values of the fields that a mapping names. One row at a time, whatever the size.

Enters: a path, a mapping. Leaves: `Row`s in the file's order, or `SourceError`: the file as a whole is not what the
mapping says (a heading is missing, the XML breaks off, a workbook is none).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from blocklists.importers import csv as tables
from blocklists.importers import rows_json, rows_xlsx
from blocklists.importers.source import Notice, Rejection, SourceError, lines, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from blocklists.importers.mapping import Mapping


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `values`: for each field that the row has, its values, empty ones too."""

    line: int
    values: dict[str, list[str]]


def read(path: Path, mapping: Mapping, fields: Sequence[str], *, size: int) -> Iterator[Row | Rejection | Notice]:
    """The rows of the file, with these fields of each. Raises SourceError."""
    kind = mapping.read.kind
    if kind == "xml":
        from blocklists.importers import rows_xml  # here: nobody else needs its parser

        found = rows_xml.read(path, mapping.rows, fields, size=size, encoding=mapping.read.encoding)
    elif kind == "json":
        found = rows_json.read(path, mapping.rows or "", fields, size=size, encoding=mapping.read.encoding)
    elif kind == "xlsx":
        yield from _table(path, rows_xlsx.read(path, mapping.rows, size=size), mapping, fields)
        return
    else:
        yield from _table(path, _texts(path, mapping, size), mapping, fields)
        return
    for line, values in found:
        yield Row(line, values)


def _texts(path: Path, mapping: Mapping, size: int) -> Iterator[tuple[int, list[str]] | Rejection | Notice]:
    """The cells of each line of text, or of each row of a table, which its quoted cells may put over several."""
    how, delimiter = mapping.read, mapping.read.delimiter
    items = lines(path, size=size, encoding=how.encoding)
    for item in items:
        if isinstance(item, Rejection):
            yield item
            continue
        number, text = item
        if number <= how.skip or not text.strip() or (how.comment and text.startswith(how.comment)):
            continue
        if how.kind == "lines":
            yield number, [cell.strip() for cell in text.split(delimiter)]
            continue
        if delimiter is None:
            if text.lower().startswith("sep=") and len(text.strip()) == 5:
                delimiter = text.strip()[4]
                continue
            delimiter = max(",;\t|", key=text.count)
        for cells in tables.cells_from(path, number, text, items, delimiter):
            yield (number, cells) if isinstance(cells, list) else cells


def _table(
    path: Path, cells: Iterator[tuple[int, list[str]] | Rejection | Notice], mapping: Mapping, fields: Sequence[str]
) -> Iterator[Row | Rejection | Notice]:
    header = mapping.read.header and mapping.read.kind != "lines"
    places: dict[str, int] | None = None if header else {field: _number(path, field) for field in fields}
    width = 0
    for item in cells:
        if isinstance(item, (Rejection, Notice)):
            yield item
            continue
        number, row = item
        if mapping.read.kind == "xlsx":
            if number <= mapping.read.skip:
                continue
            row += [""] * (width - len(row))  # a sheet has no cell where nothing stands
        if places is None:
            places, width = _places(path, row, fields, mapping), len(row)
            continue
        if width and len(row) != width:
            yield Rejection(number, shown(";".join(row)), f"{len(row)} fields where the header has {width}")
            continue
        yield Row(number, {field: [row[at]] for field, at in places.items() if at < len(row)})


def _number(path: Path, field: str) -> int:
    if not field.isdigit() or int(field) < 1:
        raise SourceError(
            f"{path}: {field!r} is no number of a column", hint="without a header columns have numbers, from 1"
        )
    return int(field) - 1


def _places(path: Path, row: list[str], fields: Sequence[str], mapping: Mapping) -> dict[str, int]:
    """Where each field is. Raises SourceError for one that is not there, or for a withdrawal that nobody mapped."""
    headings = [cell.lower() for cell in row]
    places: dict[str, int] = {}
    for field in fields:
        if field.lower() in headings:
            places[field] = headings.index(field.lower())
        elif field.isdigit() and 0 < int(field) <= len(row):
            places[field] = int(field) - 1
        else:
            raise SourceError(
                f"{path}: no column {field!r}; there are: {shown(', '.join(row))}",
                hint="the publisher changed the table?",
            )
    mapped = {*places.values(), *(headings.index(name.lower()) for name in mapping.ignore if name.lower() in headings)}
    for at, heading in enumerate(headings):
        if at not in mapped and tables.sounds_withdrawn(heading):
            raise tables.unmapped_withdrawal(path, heading)
    return places
