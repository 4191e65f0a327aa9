"""The values of a configuration: the text that a person writes, and the typed value of it.

Enters: one scalar of the YAML file. Leaves: a frozen value in one canonical form, or `ValueError` whose text says what
is wrong and what would be right. Rules: sizes, times and shares have units (only code may pass bare numbers, in
seconds, bytes and parts of one); an address is never a name, so that nothing here asks the DNS; paths are relative to
the file's folder.
"""

# ruff: noqa: TRY004 - pydantic gathers ValueError; a TypeError would end the report at the first mistake

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import idna
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

TIME_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE_UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "B": 1}
_VKEY = r"[^\s+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]+={0,2}"
_HTTP_PATH = r"/[A-Za-z0-9._~/-]{0,199}"
_COUNTRY, _LANGUAGE, _DAY, _ORIGIN = r"[A-Z]{2}", r"[a-z]{2}", r"\d{4}-\d{2}-\d{2}", r"[^\s+]+"
_PHONE = re.compile(r"\+[0-9][0-9 ().-]{4,30}")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")


class Part(BaseModel):
    """Base of every node: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """An address and a port, `192.0.2.1:53` or `[2001:db8::1]:53`."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: object, *, default_port: int | None = None) -> Endpoint:
        right = "192.0.2.1:53 or [2001:db8::1]:53 would be right"
        if not isinstance(text, str):
            raise ValueError(f"is not an address with a port; {right}")
        host, colon, port = text.rpartition(":")
        bare = _address(text.removeprefix("[").removesuffix("]"))
        if default_port is not None and bare is not None:
            return cls(str(bare), default_port)
        address = _address(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
        if not colon or address is None or (address.version == 6 and not host.startswith("[")):
            raise ValueError(f"{text!r} is not an address with a port; {right}")
        if not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise ValueError(f"{port!r} is not a port; 0 to 65535 would be right")
        return cls(str(address), int(port))

    @property
    def ipv6(self) -> bool:
        return ":" in self.host

    @property
    def is_wildcard(self) -> bool:
        """Whether it stands for all addresses of its family."""
        return self.host in {"0.0.0.0", "::"}

    def shares_an_address(self, other: Endpoint) -> bool:
        """Whether some address is of both, whatever the ports are."""
        return self.ipv6 == other.ipv6 and (self.host == other.host or self.is_wildcard or other.is_wildcard)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.ipv6 else f"{self.host}:{self.port}"

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, cls) else cls.parse(value),
            serialization=core_schema.to_string_ser_schema(),
        )


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def domain_name(text: str) -> str:
    """The A-label form of a name, lower case, without the final dot; `ValueError` where there is none."""
    name = text.strip().removesuffix(".")
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except idna.IDNAError as error:
            raise ValueError(f"{text!r} is not a domain name ({error})") from error
    name = name.lower()
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        raise ValueError(f"{text!r} is not a domain name; example.com would be right")
    return name


def _amount(value: object, info: ValidationInfo, units: dict[str, Any], example: str) -> float:
    if isinstance(value, float | int) and not isinstance(value, bool) and info.context is None:
        return value
    return amount(value, units, example)


def amount(value: object, units: dict[str, Any], example: str) -> float:
    """A number with one of these units, as a text; `ValueError` where it is none."""
    if isinstance(value, str):
        for unit in sorted(units, key=len, reverse=True):
            number = value.removesuffix(unit).strip()
            if value.endswith(unit) and number.isascii() and number.replace(".", "", 1).isdigit():
                return float(number) * float(units[unit])
    raise ValueError(f"{value!r} needs a number with a unit ({', '.join(units)}); {example} would be right")


def _seconds(value: object, info: ValidationInfo) -> float:
    return _amount(value, info, TIME_UNITS, "5m")


def _size(value: object, info: ValidationInfo) -> int:
    return int(_amount(value, info, _SIZE_UNITS, "256MiB"))


def _share(value: object, info: ValidationInfo) -> float:
    share = _amount(value, info, {"%": 0.01}, "10%")
    if share > 1:
        raise ValueError(f"{value!r} is more than everything; 0% to 100% would be right")
    return share


def _workers(value: object) -> int | Literal["auto"]:
    if value == "auto":
        return "auto"
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1024:
        return value
    raise ValueError(f"{value!r} is not a number of workers; auto (one a processor) or 1 to 1024 would be right")


def upstream_address(value: object, *, default_port: int = 53) -> Endpoint:
    """`ValueError` where it is none, or has no port to ask."""
    endpoint = Endpoint.parse(value, default_port=default_port)
    if endpoint.port == 0:
        raise ValueError(f"{value!r} has no port to ask; 192.0.2.1:{default_port} would be right")
    return endpoint


def _prefix(value: object) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    if not isinstance(value, str):
        raise ValueError("is not a prefix; 10.0.0.0/8 or 2001:db8::/32 would be right")
    try:
        return ipaddress.ip_network(value)
    except ValueError:
        try:
            right = str(ipaddress.ip_network(value, strict=False))
        except ValueError:
            right = "10.0.0.0/8 or 2001:db8::/32"
        raise ValueError(f"{value!r} is not a prefix; {right} would be right") from None


def _ipv4(value: object) -> ipaddress.IPv4Address:
    address = _address(value) if isinstance(value, str) else None
    if not isinstance(address, ipaddress.IPv4Address):
        raise ValueError(f"{value!r} is not an IPv4 address; 192.0.2.66 would be right")
    return address


def _any_address(value: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = _address(value) if isinstance(value, str) else None
    if address is None:
        raise ValueError(f'{value!r} is not an address; 192.0.2.53 or "2001:db8::53" would be right')
    return address


def _ipv6(value: object) -> ipaddress.IPv6Address:
    address = _address(value) if isinstance(value, str) else None
    if not isinstance(address, ipaddress.IPv6Address):
        raise ValueError(f'{value!r} is not an IPv6 address; "2001:db8::66" would be right')
    return address


def _web_url(value: object) -> str:
    parts = urlsplit(value) if isinstance(value, str) else None
    if not isinstance(value, str) or parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{value!r} is not a web address; https://stop.isp.example would be right")
    try:
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"{value!r} is not a web address ({error})") from error
    if parts.username or parts.password:
        raise ValueError(f"{parts.hostname!r} carries a user name or password; secrets never stand in this file")
    return value


def _path(value: object, info: ValidationInfo) -> Path:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError(f"{value!r} is not a path")
    return Path(_folder(info), value)


def _folder(info: ValidationInfo) -> Path:
    context = info.context
    return Path(context["folder"]) if isinstance(context, dict) and "folder" in context else Path.cwd()


def _web_url_or_path(value: object, info: ValidationInfo) -> str:
    """A web address or a zone's as it is, a directory as an absolute path."""
    if isinstance(value, str) and value.startswith("dns://"):
        return _zone_url(value)
    if isinstance(value, str) and "://" in value:
        return _web_url(value)
    return str(_path(value, info))


def _zone_url(value: str) -> str:
    """A zone and its primary."""
    parts = urlsplit(value)
    try:
        is_one = bool(parts.hostname) and parts.port != 0 and not (parts.username or parts.query or parts.fragment)
        domain_name(parts.path.removeprefix("/"))
    except ValueError:
        is_one = False
    if not is_one:
        raise ValueError(f"{value!r} is not a zone at its primary; dns://192.0.2.53/rpz.example would be right")
    return value


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a domain name; example.com would be right")
    return domain_name(value)


def _spelt(pattern: str, what: str) -> BeforeValidator:
    """A text that is all of `pattern`. `what`: what another one is not, and what would be right."""

    def check(value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise ValueError(f"{value!r} is not {what}")
        return value

    return BeforeValidator(check)


def _of_pattern(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$"})


def is_mailbox(text: str) -> bool:
    """Whether it is a mail address that a link may carry as it is."""
    local, at, domain = text.partition("@")
    return bool(local and at and "." in domain and text.isprintable() and not set(text) & set(" :?&<>\"'"))


def contact_uri(contact: str) -> str | None:
    """As `mailto:` (RFC 6068) or `tel:` (RFC 3966), whether it is written with that scheme or without; None for what is
    neither a mailbox nor an international telephone number."""
    mailbox, phone = contact.removeprefix("mailto:"), contact.removeprefix("tel:")
    if is_mailbox(mailbox):
        return f"mailto:{mailbox}"
    if _PHONE.fullmatch(phone):
        return "tel:" + re.sub("[ ()]+", "-", phone).strip("-")
    return None


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or any(ord(char) < 32 for char in value):
        raise ValueError(f"{value!r} is not a line of text")
    return value.strip()


def _colour(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", value):
        raise ValueError(f'{value!r} is not a colour; "#0b5394" (with the quotes) would be right')
    return value.lower()


def _day(value: object) -> str:
    right = 'a day as "2026-11-01" (with the quotes) would be right'
    if not isinstance(value, str) or not re.fullmatch(_DAY, value):
        raise ValueError(f"{str(value)!r} is not a day; {right}")
    try:
        date.fromisoformat(value)
    except ValueError:
        raise ValueError(f"{value!r} is on no calendar; {right}") from None
    return value


def database_parts(url: str) -> tuple[str, str, str, str]:
    """Scheme, user, hosts and all behind them of `scheme://user@first:5432,second:5432/name?…`; what is not there is
    empty."""
    scheme, _, rest = url.partition("://")
    # not by urlsplit: Debian's Python 3.11 refuses an address in brackets behind another host
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    user, _, hosts = authority.rpartition("@")
    return scheme, user, hosts, rest[len(authority) :]


def _database(value: object) -> str:
    """`sqlite:///var/lib/x.db` is absolute here: a database in whichever folder one stands in is an accident."""
    if isinstance(value, str):
        scheme, separator, rest = value.partition("://")
        if scheme == "sqlite" and separator and rest.lstrip("/"):
            return "sqlite:////" + rest.lstrip("/")
        _, user, hosts, _ = database_parts(value)
        if scheme == "postgresql" and hosts.partition(":")[0]:
            if user.partition(":")[2]:
                raise ValueError("carries a password; secrets never stand in this file, PGPASSFILE would be right")
            return value
    right = "sqlite:///var/lib/stopsign/portal.db or postgresql://host/name"
    raise ValueError(f"{value!r} is not a database; {right} would be right")


def _time_zone(value: object) -> str:
    try:
        return ZoneInfo(str(value)).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{value!r} is no time zone here (tzdata); Europe/Berlin would be right") from None


_STRING = WithJsonSchema({"type": "string"})
_SHOWN = PlainSerializer(str, return_type=str, when_used="json")

Seconds = Annotated[float, BeforeValidator(_seconds), _STRING]
Size = Annotated[int, BeforeValidator(_size), _STRING]
Share = Annotated[float, BeforeValidator(_share), _STRING]
Listen = Annotated[Endpoint, _STRING]
UpstreamAddress = Annotated[Endpoint, BeforeValidator(upstream_address), _STRING]
Prefix = Annotated[ipaddress.IPv4Network | ipaddress.IPv6Network, BeforeValidator(_prefix), _SHOWN, _STRING]
IPv4 = Annotated[ipaddress.IPv4Address, BeforeValidator(_ipv4), _SHOWN, _STRING]
IPv6 = Annotated[ipaddress.IPv6Address, BeforeValidator(_ipv6), _SHOWN, _STRING]
Address = Annotated[ipaddress.IPv4Address | ipaddress.IPv6Address, BeforeValidator(_any_address), _SHOWN, _STRING]
WebUrl = Annotated[str, BeforeValidator(_web_url), _STRING]
FilePath = Annotated[Path, BeforeValidator(_path), _STRING]
WebUrlOrPath = Annotated[str, BeforeValidator(_web_url_or_path), _STRING]
Name = Annotated[str, BeforeValidator(_name), _STRING]
HttpPath = Annotated[str, _spelt(_HTTP_PATH, "a path; /dns-query would be right"), _of_pattern(_HTTP_PATH)]
Slug = Annotated[
    str,
    _spelt(
        r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?",
        "a short name; lower case letters, digits and hyphens would be right",
    ),
    _STRING,
]
Text = Annotated[str, BeforeValidator(_text), _STRING]
Colour = Annotated[str, BeforeValidator(_colour), _STRING]
Database = Annotated[str, BeforeValidator(_database), _STRING]
Country = Annotated[str, _spelt(_COUNTRY, "the code of a country (ISO 3166); DE would be right"), _of_pattern(_COUNTRY)]
Language = Annotated[
    str, _spelt(_LANGUAGE, "the code of a language (ISO 639); de would be right"), _of_pattern(_LANGUAGE)
]
Day = Annotated[str, BeforeValidator(_day), _of_pattern(_DAY)]
LogOrigin = Annotated[
    str,
    _spelt(_ORIGIN, "a log's name; stop.isp.example/log, without spaces and +, would be right"),
    _of_pattern(_ORIGIN),
]
TimeZone = Annotated[str, BeforeValidator(_time_zone), _STRING]
LogKey = Annotated[
    str,
    _spelt(_VKEY, "the key of a log; the line in its log.vkey would be right"),
    _of_pattern(_VKEY),
]
Workers = Annotated[int | Literal["auto"], PlainValidator(_workers), WithJsonSchema({"type": ["integer", "string"]})]
