"""Tables with a header: each row with its own ground.

    name;match;basis;category;expires
    example.com;subtree;order-17;gambling;2027-11-22T00:00:00Z

`name` (or `domain`, `fqdn`, `host`) is required; `match`, `basis`, `category` and `expires` (a time or a day) are used
where they are there; other columns are left alone. The delimiter is what the header uses: comma, semicolon or tab.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, cast

from blocklists import entry
from blocklists.importers.source import Rejection, SourceError, lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from blocklists.entry import Match
    from blocklists.importers.intake import Intake

NAMES = ("name", "domain", "fqdn", "host")


def read(path: Path, intake: Intake) -> None:
    """Take every row into `intake`. Raises SourceError when there is no header with a name, or no file."""
    numbers: list[int] = []

    def texts() -> Iterator[str]:
        for item in lines(path):
            intake.lines += 1
            if isinstance(item, Rejection):
                intake.rejected.append(item)
                continue
            numbers.append(item[0])
            # a quoted field may not hold a line end here: one line, one row, so that a reject has a number
            yield item[1]

    rows = texts()
    header = next(rows, "")
    delimiter = max(",;\t", key=header.count)
    columns = [column.strip().lower() for column in next(csv.reader([header], delimiter=delimiter), [])]
    key = next((name for name in NAMES if name in columns), None)
    if key is None:
        raise SourceError(f"{path}: the first line has no column 'name'", hint=f"one of {', '.join(NAMES)}")
    for text in rows:
        number = numbers[-1]
        try:
            values = next(csv.reader([text], delimiter=delimiter, strict=True), [])
        except csv.Error as error:
            intake.reject(number, text, f"not a row: {error}")
            continue
        if not any(value.strip() for value in values):
            continue
        if len(values) != len(columns):
            intake.reject(number, text, f"{len(values)} fields where the header has {len(columns)}")
            continue
        row = {column: value.strip() for column, value in zip(columns, values, strict=True)}
        _take(number, text, row[key], row, intake)


def _take(number: int, text: str, name: str, row: dict[str, str], intake: Intake) -> None:
    match = row.get("match") or None
    if match is not None and match not in entry.MATCHES:
        intake.reject(number, text, f"match {match!r} is none of {', '.join(entry.MATCHES)}")
        return
    expires = row.get("expires") or None
    if expires is not None and "T" not in expires:
        expires = f"{expires}T00:00:00Z"
    try:
        if expires is not None:
            entry.check_time("expires", expires)
        entry.check_key(row.get("basis") or None, row.get("category") or None)
    except entry.EntryError as error:
        intake.reject(number, text, str(error))
        return
    intake.take(
        number, name, match=cast("Match | None", match), basis=row.get("basis") or None,
        category=row.get("category") or None, expires=expires,
    )  # fmt: skip
