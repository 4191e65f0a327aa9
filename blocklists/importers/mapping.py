"""A declared mapping: where a register has its names, grounds, days and withdrawals. No register needs code.

Enters: YAML, the same for `stopsign issuer import --mapping` and for `bridge.mapping` in a provider's configuration.
Leaves: one frozen `Mapping`, or `SourceError` that names each wrong key.

    read: {kind: csv, encoding: cp1251, delimiter: ";", skip: 1}
    name: {field: domain, split: "|", url: host}
    withdrawn: {field: deleted, when: present}
    ground: {order: {field: number}, date: {field: day, format: "%d.%m.%Y"}, law: "Gambling Act"}

Rules
- A `field` is a column's heading or number (csv, xlsx, lines), a path of elements with `@` before an attribute (xml), a
  path of keys (json). Within `ground` a text is itself, unless it begins with `@`.
- A field that no row has refuses the file, unless it is `optional`: a changed heading is never guessed at.
- A column that sounds like a withdrawal must be mapped or named under `ignore`.
"""

from __future__ import annotations

import codecs
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    WithJsonSchema,
)

from blocklists.errors import why
from blocklists.importers.source import SourceError

if TYPE_CHECKING:
    from pathlib import Path

Match = Literal["exact", "subtree", "below"]
Treatment = Literal["exact", "subtree", "below", "reject"]


def _zone(value: object) -> str:
    try:
        return ZoneInfo(str(value)).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{value!r} is no time zone here; Europe/Warsaw would be right") from None


def _share(value: object) -> float:
    text = str(value)
    if text.endswith("%") and 0 <= (share := float(text[:-1]) / 100) <= 1:
        return share
    raise ValueError(f"{value!r} is not a share; 5% would be right")


def _text(value: str) -> str:
    if "\0" in value:
        raise ValueError(f"{value!r} has a zero octet")
    return value


def _some(value: str) -> str:
    if not value:
        raise ValueError("is empty")
    return _text(value)


def _field(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not str(value):
        raise ValueError(f"{value!r} is neither a heading nor a number of a column")
    return _text(str(value))


def _encoding(value: str) -> str:
    try:
        bytes(4).decode(value)  # what is looked up may be no encoding of text: zlib, hex
        return codecs.lookup(value).name
    except (LookupError, ValueError):
        raise ValueError(f"{value!r} is no encoding here; cp1251 would be right") from None


def _delimiter(value: str) -> str:
    if len(value) != 1 or value == "\0":
        raise ValueError(f"{value!r} is not one character")
    return value


_STRING = WithJsonSchema({"type": "string"})
Text = Annotated[str, AfterValidator(_some)]
Place = Annotated[str, AfterValidator(_text)]
Encoding = Annotated[str, AfterValidator(_encoding)]
Delimiter = Annotated[str, AfterValidator(_delimiter)]
Zone = Annotated[str, BeforeValidator(_zone), _STRING]
Share = Annotated[float, BeforeValidator(_share), _STRING]
FieldName = Annotated[str, BeforeValidator(_field), _STRING]


class Part(BaseModel):
    """Base of every node: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Read(Part):
    """How the file becomes rows."""

    kind: Literal["csv", "xml", "json", "xlsx", "lines", "zone"]
    encoding: Encoding | None = None  # none: UTF-8, or UTF-16 or UTF-32 with its mark; XML says its own
    skip: int = Field(default=0, ge=0)  # lines, or rows of a sheet, before the table
    delimiter: Delimiter | None = None  # none: the first row's; lines: blanks
    header: bool = True  # the first row names the columns
    comment: Text | None = None  # how lines begin that are none; csv, lines


class Value(Part):
    """One field of a row."""

    field: FieldName
    optional: bool = False  # no row need have it
    format: Text = "iso"  # of a day or a time: iso, epoch, or as strptime writes it, such as %d.%m.%Y
    zone: Zone = "UTC"  # of a time that names none


class Name(Part):
    """Where the names are, and what they mean."""

    field: FieldName
    split: Text | None = None  # several in one field
    url: Literal["host", "reject"] = "reject"  # host: of a URL its host, whatever the page
    match: Match | None = None  # of a bare name; none: the import's own
    star: Match | None = None  # of *.name; none: the import's own


class MatchBy(Part):
    """A field that says how each row matches: its values, and what they mean."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, Treatment] = Field(init=False)

    field: FieldName
    default: Treatment = "reject"  # a value that is not among them, or none


class Withdrawn(Part):
    """Rows that are no longer in force."""

    field: FieldName
    optional: bool = False
    when: Literal["present", "past"] = "present"  # past: it is a time, and over
    equals: list[Text] = []  # instead: one of these values
    format: Text = "iso"
    zone: Zone = "UTC"


Said = Annotated[
    Annotated[Value, Tag("field")] | Annotated[Text, Tag("text")],
    Discriminator(lambda value: "field" if isinstance(value, (dict, Value)) else "text"),
]


class Ground(Part):
    """What a row says of its ground; the rest is the import's own. Rows that say the same share one ground."""

    order: Said | None = None
    date: Said | None = None
    authority: Said | None = None
    law: Said | None = None
    court: Said | None = None
    territory: Said | None = None


class Expect(Part):
    """Without which the file is refused."""

    rows_at_least: int = Field(default=1, ge=1)
    shrink_at_most: Share | None = None  # of the list's names, from one file to the next; none: the bridge's own


class Mapping(Part):
    """See the module."""

    read: Read
    rows: Place | None = None  # xml: the element; json: the pointer to the array; xlsx: the sheet
    name: Name | None = None  # not for zones, whose records are names
    match_by: MatchBy | None = None
    since: Value | None = None
    expires: Value | None = None
    withdrawn: Withdrawn | None = None
    ground: Ground | None = None
    ignore: list[FieldName] = []  # columns that sound like a withdrawal and are none
    expect: Expect = Expect()


class Preset(Mapping):
    """A mapping that ships, and what it is for."""

    title: str
    publisher: str
    seen: str  # the day on which the publisher's form was last looked at, and where; or that it was not
    note: str = ""


_M = TypeVar("_M", bound=Mapping)


def load(path: Path) -> Mapping:
    """The mapping of a YAML file. Raises SourceError."""
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: {why(error, path)}") from None


def parse(text: str, place: str) -> Mapping:
    """The mapping that this text is. Raises SourceError."""
    return _parse(Mapping, text, place)


def presets() -> dict[str, Preset]:
    """The mappings that ship, by name."""
    folder = resources.files("blocklists.importers") / "presets"
    return {
        file.name.removesuffix(".yaml"): _parse(Preset, file.read_text(encoding="utf-8"), file.name)
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".yaml")
    }


def _parse(model: type[_M], text: str, place: str) -> _M:
    try:
        return model.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise SourceError(f"{place}: not YAML: {error}") from None
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'it'}: {one['msg'].removeprefix('Value error, ')}"
            for one in error.errors()[:5]
        )
        raise SourceError(f"{place}: {wrong}", hint="docs/lists.md has every key") from None
