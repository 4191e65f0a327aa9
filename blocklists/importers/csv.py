"""Tables with a header that says what they are: each row with its own ground. (Other tables: `mapping.py`.)

    name;match;basis;category;expires
    example.com;subtree;order-17;gambling;2027-11-22T00:00:00Z

`name` (or `domain`, `fqdn`, `host`) is required; `match`, `basis`, `category` and `expires` (a time or a day) are used
where they are there; other columns are left alone. The delimiter is what a line `sep=;` says, else what the header
uses: comma, semicolon, tab or bar. The header may be quoted, and may be a comment (`#name;basis`).

A quoted cell may go over several lines (RFC 4180, 2.6), which a notice says: between two stray quotation marks it holds
rows. One that does not end refuses the file: nobody can tell which of the lines that follow are rows.

A column that sounds as if rows were withdrawn refuses the file: a withdrawn name must not be stopped because nobody
said what the column means. A mapping says it.
"""

from __future__ import annotations

import csv
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, cast

from blocklists import entry
from blocklists.importers.source import MAX_LINE, Notice, Rejection, SourceError, lines, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from blocklists.entry import Match
    from blocklists.importers.intake import Intake

NAMES = ("name", "domain", "fqdn", "host", "domain name", "hostname")
KNOWN = frozenset({*NAMES, "match", "basis", "category", "expires"})
_WITHDRAWN = (
    "withdraw",
    "delet",
    "remov",
    "revok",
    "revoc",
    "lifted",
    "unblock",
    "wykre",
    "until",
    "enddate",
    "valid to",
)


class Heading(NamedTuple):
    """Where a table begins, and its columns."""

    line: int
    delimiter: str
    columns: list[str]


def cells_from(
    path: Path, number: int, text: str, rest: Iterator[tuple[int, str] | Rejection], delimiter: str
) -> Iterator[list[str] | Rejection | Notice]:
    """The values of the row that begins in this line, and takes from the `rest` the lines that its quoted cells go on
    in, after a notice of those. Raises SourceError where nobody can tell where it ends."""
    last, size = number, len(text)

    def onward() -> Iterator[str]:
        nonlocal last, size
        for item in rest:
            if isinstance(item, Rejection):
                last = item.line
                return
            last, size = item[0], size + len(item[1])
            if size > MAX_LINE:
                return
            yield f"{item[1]}\n"

    try:
        values = _fields(chain([f"{text}\n"], onward()) if '"' in text else [text], delimiter)
    except csv.Error as error:
        if last == number:
            yield Rejection(number, shown(text), f"not a row: {error}")
            return
        raise SourceError(
            f"{path}, lines {number} to {last}: a quoted cell that does not end: {error}",
            hint="a quotation mark too many, or one too few?",
        ) from None
    if last > number:
        yield Notice(number, shown(text), f"a quoted cell goes on up to line {last}: these lines are one row")
    yield values


def _fields(texts: Iterable[str], delimiter: str) -> list[str]:
    return [value.strip() for value in next(csv.reader(texts, delimiter=delimiter, strict=True), [])]


def heading(path: Path) -> Heading | None:
    """The table's header, where one of its first lines is one with a name and another column. Raises SourceError."""
    delimiter = ""
    for _, (number, text) in zip(range(50), _texts(path), strict=False):
        if text.lower().startswith("sep=") and len(text.strip()) == 5:
            delimiter = text.strip()[4]
            continue
        if not text.strip():
            continue
        found = _columns(number, text.lstrip("# ") if text.startswith("#") else text, delimiter)
        if found is not None and any(name in found.columns for name in NAMES):
            return found
        if not text.startswith("#"):
            return None
    return None


def sounds_withdrawn(column: str) -> bool:
    """Whether a heading, in lower case, sounds as if rows with a value in it were no longer in force."""
    return any(word in column for word in _WITHDRAWN)


def unmapped_withdrawal(path: Path, column: str) -> SourceError:
    """What is wrong with such a column that nobody said the meaning of."""
    return SourceError(
        f"{path}: the column {shown(column)!r} sounds as if its rows were withdrawn",
        hint="a mapping says what it means (withdrawn: …), or that it means nothing (ignore: …): docs/lists.md",
    )


def _columns(number: int, text: str, delimiter: str) -> Heading | None:
    chosen = delimiter or max(",;\t|", key=text.count)
    try:
        columns = [column.lower() for column in _fields([text], chosen)]
    except csv.Error:
        return None
    return Heading(number, chosen, columns) if len(columns) > 1 else None


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    return (item for item in lines(path) if not isinstance(item, Rejection))


def read(path: Path, intake: Intake) -> None:
    """Take every row into `intake`. Raises SourceError when there is no header with a name, or no file."""
    found = heading(path)
    if found is None:
        raise SourceError(f"{path}: the first line has no column 'name'", hint=f"one of {', '.join(NAMES)}, and others")
    columns = found.columns
    key = next(name for name in NAMES if name in columns)
    for column in columns:
        if column not in KNOWN and sounds_withdrawn(column):
            raise unmapped_withdrawal(path, column)
    items = lines(path, size=intake.size)
    for item in items:
        intake.lines += 1
        if isinstance(item, Rejection):
            intake.add_rejection(item)
            continue
        number, text = item
        if number <= found.line or not text.strip() or text.startswith("#"):
            continue
        for values in cells_from(path, number, text, items, found.delimiter):
            if isinstance(values, Notice):
                intake.add_notice(values)
            elif isinstance(values, Rejection):
                intake.add_rejection(values)
            elif any(values) and len(values) != len(columns):
                intake.reject(number, text, f"{len(values)} fields where the header has {len(columns)}")
            elif any(values):
                row = dict(zip(columns, values, strict=True))
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
