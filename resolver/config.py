"""The configuration as a typed tree.

Enters: a YAML file. Leaves: one frozen `Config`, or `ConfigError` that names every mistake at once with its line.
Rules: unknown keys are errors; sizes and times carry units; relative paths are relative to the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_UNITS_TIME = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_UNITS_SIZE = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "B": 1}


def _with_unit(value: object, units: dict[str, float], what: str) -> object:
    if isinstance(value, str):
        for unit in sorted(units, key=len, reverse=True):
            number = value.removesuffix(unit).strip()
            if value.endswith(unit) and number.replace(".", "", 1).isdigit():
                return float(number) * units[unit]
    raise ValueError(f"needs a number with a unit ({', '.join(units)}), as in {what}")


Seconds = Annotated[float, BeforeValidator(lambda v: _with_unit(v, _UNITS_TIME, "5m"))]
Size = Annotated[int, BeforeValidator(lambda v: int(_with_unit(v, dict(_UNITS_SIZE), "256MiB")))]


class Part(BaseModel):
    """Base of every node: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Cache(Part):
    size: Size = 256 << 20


class Dns(Part):
    listen: list[str]
    workers: int | Literal["auto"] = "auto"
    upstreams: list[str]
    allow_clients: list[str]
    cache: Cache = Cache()


class StopPage(Part):
    listen: list[str] = []
    ipv4: str | None = None
    ipv6: str | None = None


class Portal(Part):
    listen: list[str] = []
    url: str
    database: str


class ListSource(Part):
    name: str
    repository: str
    trusted_root: Path
    refresh: Seconds = 300.0
    action: Literal["stop-page", "nxdomain", "nodata", "refused", "monitor"] = "stop-page"
    reason: Literal["blocked", "censored", "filtered", "none"] = "censored"
    min_threshold: int = Field(default=2, ge=1)


class View(Part):
    name: str
    clients: list[str]
    lists: list[str]


class Log(Part):
    dir: Path | None = None


class Config(Part):
    state_dir: Path
    run_dir: Path
    dns: Dns
    stop_page: StopPage
    portal: Portal
    lists: list[ListSource] = []
    views: list[View] = []
    log: Log = Log()
