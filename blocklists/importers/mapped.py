"""A register read by a declared mapping: its rows become candidates, each with its own ground, days and match.

Enters: a path, a `Mapping`, an `Intake` (whose `ground` is what a row does not say itself). Leaves: candidates and
grounds in the intake; or `SourceError`: nothing of the file may be used.

Rules
- A withdrawn row is counted and left out; one that is to be withdrawn ends then. A withdrawal that cannot be read
  refuses the file: it must not be stopped because a day had another form. A time outside the years that a list can say
  costs its row alone.
- Rows of the same authority, order and date share one ground, whose key follows from them.
- `match` and `match_by` speak of bare names: what a name's own writing says (`*.name`, `.name`) goes before them.
- A field that no row has, and fewer rows than `expect` says, refuse the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, tzinfo
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from blocklists.counted import counted
from blocklists.entry import as_text
from blocklists.head import Basis
from blocklists.importers import rows, zone
from blocklists.importers.intake import MAX_GROUNDS
from blocklists.importers.mapping import Value
from blocklists.importers.source import Notice, Rejection, SourceError, shown
from blocklists.text import is_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from blocklists.entry import Match
    from blocklists.importers.intake import Intake
    from blocklists.importers.mapping import Ground, Mapping, Name, Withdrawn
    from blocklists.importers.rows import Row

_TEXT = 2000
"""Characters of a ground's text at most, as in a head."""
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE).match
_NO_SLUG = re.compile(r"[^A-Za-z0-9]+").sub


def read(path: Path, mapping: Mapping, intake: Intake, *, now: datetime | None = None) -> None:
    """Take the register into `intake`. Raises SourceError."""
    reading = _Reading(path, mapping, intake, now or datetime.now(UTC))
    if mapping.read.kind == "zone":
        zone.read(path, intake, encoding=mapping.read.encoding)
        reading.expect(len(intake))
        return
    if mapping.name is None:
        raise SourceError(f"{path}: the mapping does not say where the names are", hint="name: {field: …}")
    count = 0
    for row in rows.read(path, mapping, sorted(reading.fields), size=intake.size):
        if isinstance(row, Notice):
            intake.add_notice(row)
            continue
        intake.lines += 1
        if isinstance(row, Rejection):
            intake.add_rejection(row)
            continue
        count += 1
        reading.take(row, mapping.name)
    reading.expect(count)


class _BeyondError(ValueError):
    """A time that no list can say, as the empty date of some programs (0001-01-01) is west or east of Greenwich."""


class _NamelessError(ValueError):
    """A row that stops no name, by the mapping's own word: it stops a page, or an address."""


@dataclass(slots=True)
class _Reading:
    """One file on its way into an intake."""

    path: Path
    mapping: Mapping
    intake: Intake
    now: datetime
    fields: set[str] = field(default_factory=set)
    required: set[str] = field(default_factory=set)
    _times: dict[tuple[str, str, str], str] = field(default_factory=dict)
    _grounds: list[str] = field(default_factory=list)
    """The fields that say the ground."""
    _keys: dict[tuple[str, ...], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        mapping = self.mapping
        optional: set[str] = set()
        for part in (mapping.name, mapping.match_by, mapping.since, mapping.expires, mapping.withdrawn):
            if part is not None:
                (optional if getattr(part, "optional", False) else self.required).add(part.field)
        self._grounds = [value.field for value in _ground_values(mapping.ground)]
        for value in _ground_values(mapping.ground):
            (optional if value.optional else self.required).add(value.field)
        self.fields = self.required | optional

    def take(self, row: Row, name: Name) -> None:
        """One row."""
        self.required -= row.values.keys()
        written = row.values.get(name.field, [])
        shown_as = " ".join(written)
        try:
            withdrawn = self._withdrawn(row)
            if withdrawn is not None and withdrawn <= as_text(self.now):
                self.intake.counts["withdrawn"] += 1
                return
            match = self._match(row, name)
            since, expires = self._day(row, self.mapping.since), self._day(row, self.mapping.expires)
            basis = self._ground(row)
        except _NamelessError as error:
            self._nameless(row, shown_as, str(error))
            return
        except ValueError as error:
            self.intake.reject(row.line, shown_as, str(error))
            return
        names = [one for text in written for one in (text.split(name.split) if name.split else [text]) if one.strip()]
        if not names and written:
            self._nameless(row, shown_as, f"no name in {name.field}")
        elif not names:
            self.intake.reject(row.line, shown_as, f"no {name.field}")
        for text in names:
            self.intake.take(
                row.line, _host(text.strip(), name), bare=match, star=name.star, basis=basis, issued=since,
                expires=expires, withdrawn=withdrawn,
            )  # fmt: skip

    def expect(self, count: int) -> None:
        """Raise SourceError where the file was not what the mapping says."""
        if count and self.required:
            raise SourceError(
                f"{self.path}: no row has {', '.join(sorted(self.required))}", hint="the publisher changed the form?"
            )
        if count < (least := self.mapping.expect.rows_at_least):
            raise SourceError(f"{self.path}: {counted(count, 'row')}; the mapping expects {least:,} at least")

    def _nameless(self, row: Row, shown_as: str, reason: str) -> None:
        self.intake.counts["nameless"] += 1
        self.intake.reject(row.line, shown_as, reason)

    def _withdrawn(self, row: Row) -> str | None:
        """When the row is withdrawn, which may be to come; None: it is not."""
        rule = self.mapping.withdrawn
        if rule is None:
            return None
        values = [value for value in row.values.get(rule.field, []) if value]
        if rule.when == "past" and not rule.equals:
            return min((self._withdrawal(row, value, rule) for value in values), default=None)
        is_withdrawn = any(value in rule.equals for value in values) if rule.equals else bool(values)
        return as_text(self.now) if is_withdrawn else None

    def _withdrawal(self, row: Row, value: str, rule: Withdrawn) -> str:
        try:
            return self._time(value, rule.format, rule.zone)
        except _BeyondError:
            raise
        except ValueError as error:
            raise SourceError(f"{self.path}, line {row.line}: withdrawn: {error}") from None

    def _match(self, row: Row, name: Name) -> Match | None:
        by = self.mapping.match_by
        if by is None:
            return name.match
        said = (row.values.get(by.field) or [""])[0]
        match = by.__pydantic_extra__.get(said, by.default)
        if match == "reject":
            raise _NamelessError(f"{by.field} {shown(said)!r} stops no name" if said else f"no {by.field}")
        return match

    def _day(self, row: Row, value: Value | None) -> str | None:
        if value is None:
            return None
        said = next((text for text in row.values.get(value.field, []) if text), None)
        return said and self._time(said, value.format, value.zone)

    def _time(self, said: str, form: str, place: str) -> str:
        """A time as lists write it. Raises ValueError."""
        known = self._times.get((said, form, place))
        if known is None:
            known = self._times[said, form, place] = as_text(_moment(said, form, place, UTC))
            if len(self._times) > 1 << 16:
                self._times.clear()
        return known

    def _ground(self, row: Row) -> str | None:
        """The key of the row's ground. Rows that say the same in its fields are not looked at twice."""
        rule = self.mapping.ground
        if rule is None:
            return None
        said = tuple([next(filter(None, row.values.get(field, ())), "") for field in self._grounds])
        known = self._keys.get(said)
        if known is None:
            if len(self._keys) >= 1 << 16:
                self._keys.clear()
            known = self._keys[said] = self._new_ground(row, rule)
        return known

    def _new_ground(self, row: Row, rule: Ground) -> str:
        base = self.intake.ground
        texts = {
            name: self._said(row, getattr(rule, name), name) or (getattr(base, name) if base else "")
            for name in ("law", "authority", "order", "date", "territory", "court")
        }
        if missing := sorted(name for name, text in texts.items() if not text and (name != "court" or base is None)):
            raise ValueError(f"the ground has no {', '.join(missing)}: neither the row nor the import says it")
        # 64 bits: an order in Cyrillic leaves nothing of itself in a key, and 100,000 of them must stay apart
        digest = sha256("\0".join(texts.values()).encode()).hexdigest()[:16]
        key = f"{_NO_SLUG('-', texts['order']).strip('-')[:47] or 'order'}-{digest}"
        if key not in self.intake.grounds and len(self.intake.grounds) >= MAX_GROUNDS:
            raise SourceError(
                f"{self.path}: more than {MAX_GROUNDS:,} grounds",
                hint="leave date or order out of the mapping's ground, or make several lists",
            )
        overdue = base.overdue_suspends if base else True
        self.intake.grounds[key] = Basis(**texts, overdue_suspends=overdue)
        return key

    def _said(self, row: Row, rule: str | Value | None, name: str) -> str:
        value = _as_value(rule)
        if value is None:
            return rule if isinstance(rule, str) else ""
        said = next((text for text in row.values.get(value.field, []) if text), "")
        if name == "date" and said:
            return _moment(said, value.format, value.zone, ZoneInfo(value.zone)).date().isoformat()
        if not is_text(said) or len(said) > _TEXT:
            raise ValueError(f"{value.field} is no printable text of at most {_TEXT} characters")
        return said


def _as_value(rule: str | Value | None) -> Value | None:
    """The field that a ground's text stands for; None where it is itself."""
    if isinstance(rule, str):
        return Value(field=rule) if rule.startswith("@") else None
    return rule


def _ground_values(rule: Ground | None) -> Iterator[Value]:
    if rule is not None:
        for name in type(rule).model_fields:
            if (value := _as_value(getattr(rule, name))) is not None:
                yield value


def _host(text: str, name: Name) -> str:
    if name.url == "host" and _URL(text):
        try:
            return urlsplit(text).hostname or text
        except ValueError:
            return text
    return text


def _moment(said: str, form: str, place: str, zone: tzinfo) -> datetime:
    """A time as the zone has it; a day is its beginning at the place, a time without a zone is the place's. Raises
    ValueError."""
    try:
        if form == "epoch":
            found = datetime.fromtimestamp(float(said), UTC)
        else:
            found = _iso(said) if form == "iso" else datetime.strptime(said, form)  # noqa: DTZ007  its zone comes below
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{shown(said)!r} is no time in the form {form}") from None
    try:
        return (found if found.tzinfo is not None else found.replace(tzinfo=ZoneInfo(place))).astimezone(zone)
    except OverflowError:
        raise _BeyondError(f"{shown(said)!r} is a time before the year 1 or after 9999") from None


def _iso(text: str) -> datetime:
    if len(text) == 10:
        day = date.fromisoformat(text)
        return datetime(day.year, day.month, day.day)  # noqa: DTZ001  the place's zone is put on by the caller
    return datetime.fromisoformat(text)
