"""Rows of a workbook's sheet (.xlsx), by openpyxl in its streaming mode.

Enters: a path, a sheet's name (none: the first). Leaves: the texts of each row's cells, with the row's number;
a day or a time as ISO 8601 has it. Rules: formulas give the value that was stored; the archive is bounded.
"""

from __future__ import annotations

import zipfile
from datetime import date, datetime, time
from typing import IO, TYPE_CHECKING

from blocklists.importers.source import SourceError, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CELLS = 256
"""Columns of a row at most."""


def read(path: Path, sheet: str | None, *, size: int) -> Iterator[tuple[int, list[str]]]:
    """The rows that have anything in them. Raises SourceError."""
    try:
        with zipfile.ZipFile(path) as archive:
            total = sum(part.file_size for part in archive.infolist())
        if total > size:
            raise SourceError(f"{path}: {total:,} octets, uncompressed; at most {size:,}")
        # an open file: of a path openpyxl believes the ending and not the octets
        with path.open("rb") as file:
            yield from _rows(path, file, sheet)
    except SourceError:
        raise
    except Exception as error:  # noqa: BLE001  openpyxl has no root of its errors: KeyError, TypeError, zipfile's, its own
        raise SourceError(f"{path}: not a workbook (.xlsx) that is whole: {shown(str(error))}") from None


def _rows(path: Path, file: IO[bytes], sheet: str | None) -> Iterator[tuple[int, list[str]]]:
    from openpyxl import load_workbook  # here: nobody else needs it, and it takes a third of a second

    book = load_workbook(file, read_only=True, data_only=True, keep_links=False)
    try:
        if sheet is not None and sheet not in book.sheetnames:
            raise SourceError(f"{path}: no sheet {sheet!r}; there are: {shown(', '.join(book.sheetnames))}")
        chosen = book[sheet] if sheet is not None else book.worksheets[0]
        # A sheet says how large it is, and many writers say it wrongly: openpyxl would end there, without a word
        chosen.reset_dimensions()
        for number, row in enumerate(chosen.iter_rows(values_only=True, max_col=CELLS), 1):
            cells = [_text(value) for value in row]
            while cells and not cells[-1]:
                cells.pop()
            if cells:
                yield number, cells
    finally:
        book.close()


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
