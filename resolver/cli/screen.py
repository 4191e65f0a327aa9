"""The status as one screen of text, made to be left open.

Enters: what `status.py` gathered, and with `--watch` the load of the last minutes. Leaves: something that rich can
print at any width. Rules: what is wrong stands at the top, where no small terminal cuts it off; colour only says again
what a word says already; an age is an age ("3 min"), since nobody subtracts times at night.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.measure import Measurement
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from blocklists.counted import counted
from blocklists.text import shown
from resolver.base.disk_space import SHARE
from resolver.base.timestamps import as_time
from resolver.ipc.worker_counters import LATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.padding import PaddingDimensions

SHARES = {
    "blocked": "red",
    "cached": "green",
    "relayed": "blue",
    "dropped": "yellow",
    "turned_away": "magenta",
    "other": "cyan",
}
TOLD = {"servfail": "SERVFAIL", "refused": "REFUSED", "stale": "stale"}
_BAR, _CURVE = 40, "▁▂▃▄▅▆▇█"
_RIGHT = {"q/s", "entries", "in flight", "answers in", "blocks/s", "restarts", "owners", "transfers"}
_FOLDED = {"", "waiting", "secondaries"}  # words of others
_UNBOUNDED = 1 << 16  # columns of a terminal
_WRONG = ("dead", "hung", "silent")
_DEATHS = 3  # shown at most
_YOUNG = 3600.0  # seconds for which a unit is new
_TOGETHER = 60.0  # who was started within so many seconds was started with the others


def screen(said: Mapping[str, Any], curve: Sequence[float] = ()) -> Group:
    """`curve`: queries per second over the last looks, oldest first."""
    said = _harmless(said)
    parts: list[Any] = [_title(said), *_alarms(said)]
    if said["serves_dns"]:
        parts += _load(said["queries"], curve)
    parts += [_section("dns" if said["serves_dns"] else "processes"), _workers(said), *_deaths(said)]
    if said["serves_dns"]:
        parts += [_section("upstreams"), _upstreams(said["upstreams"])]
    if said["lists"]:
        parts += [_section("lists"), _lists(said["lists"], said["at"])]
    if said["zones"]:
        parts += [_section("zones"), _zones(said["zones"], said["at"])]
    parts += [_section("log, disk"), *_log(said)]
    return Group(*parts)


def _harmless(said: Any) -> Any:
    """With each text as a terminal may show it: some come from who serves strangers' packets, and root may look."""
    if isinstance(said, str):
        return shown(said)
    if isinstance(said, dict):
        return {key: _harmless(value) for key, value in said.items()}
    return [_harmless(one) for one in said] if isinstance(said, list | tuple) else said


def ago(seconds: float) -> str:
    """An age in its largest unit."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _or_dash(number: int | None) -> str:
    return "-" if number is None else f"{number}"


def _octets(number: int | None) -> str:
    """In its largest unit."""
    if number is None:
        return "-"
    for size, unit in ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number} B"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}" if share else "0%"


def _age(text: str | None, now: str) -> str:
    return f"{ago(as_time(now) - as_time(text))} ago" if text else "not yet"


def _title(said: Mapping[str, Any]) -> Text:
    up = f"   up {ago(said['up'])}" if said["up"] is not None else ""
    return Text.assemble(
        ("Stopsign", "bold"), f" {said['version']} on ", (said["host"], "bold"), f"   {said['at']}{up}"
    )


def _alarms(said: Mapping[str, Any]) -> list[Text]:
    if not said["alarms"]:
        return [Text("alarm: none", "green")]
    return [Text(f"alarm: {alarm}", "bold red") for alarm in said["alarms"]]


def _section(name: str) -> Rule:
    return Rule(Text(name, "dim"), align="left", style="dim")


def _load(queries: Mapping[str, Any], curve: Sequence[float]) -> list[Text]:
    bar, legend = Text(), Text(f"  {_period(queries)}:")
    for name, colour in SHARES.items():
        bar.append("█" * round((queries[name] or 0) * _BAR), colour)
        legend.append(f"  {name.replace('_', ' ')} ", "dim")
        legend.append(_percent(queries[name]), colour if queries[name] else "dim")
    parts = [Text.assemble((f"{queries['per_second']:>10,.0f} q/s  ", "bold"), bar), legend]
    told = [f"{word} {queries[name]:.1%}" for name, word in TOLD.items() if queries[name]]
    ways = [f"{name} {share:.1%}" for name, share in queries["transports"].items() if share]
    if len(ways) > 1:
        parts.append(Text(f"  by transport: {', '.join(ways)}", "dim"))
    if told:
        parts.append(Text(f"  of the answers in that time: {', '.join(told)}", "magenta"))
    if len(curve) > 1:
        top = max(*curve, 1.0)
        line = "".join(_CURVE[min(int(value / top * len(_CURVE)), len(_CURVE) - 1)] for value in curve)
        parts.append(Text.assemble(("  ", ""), (line, "cyan"), (f"  of {top:,.0f} q/s at most", "dim")))
    return parts


def _period(queries: Mapping[str, Any]) -> str:
    """Of what the shares are."""
    if not queries["total"]:
        return "nothing was asked yet"
    of = f"all {queries['total']:,} since the start" if queries["over"] is None else f"the last {queries['over']:.2g} s"
    return f"of {of}" if queries["per_second"] else f"nothing was asked in the last {queries['instant']:.2g} s; of {of}"


def _workers(said: Mapping[str, Any]) -> _Table:
    """Who is dead, hung or silent stands first."""
    restarts = {one["name"]: one["restarts"] for one in said["services"]}
    rows: dict[str, tuple[str | Text, ...]] = {
        f"dns-{w['index']}": (
            w["state"], _or_dash(w["pid"]), f"{w['queries_per_second']:,.0f}", f"{w['in_flight']:,}",
            Text(f"{w['heartbeat_age']:.1f} s ago", "red" if w["heartbeat_age"] > LATE else ""),
            f"{w['generation'] or '-'}", f"{w['entries']:,}", _or_dash(restarts.get(f"dns-{w['index']}")),
        )
        for w in said["workers"]
    }  # fmt: skip
    for one in said["services"]:
        pid, again = _or_dash(one["pid"]), _or_dash(one["restarts"])
        rows.setdefault(one["name"], (one["state"], pid, "", "", Text(""), "", "", again))
    columns = ("process", "", "pid", "q/s", "in flight", "heartbeat", "generation", "entries", "restarts")
    ordered = sorted(rows.items(), key=lambda row: row[1][0] not in _WRONG)
    return _Table(columns, (
        (name, Text(str(row[0]), "bold red" if row[0] in _WRONG else "dim"), *row[1:]) for name, row in ordered
    ))  # fmt: skip


def _deaths(said: Mapping[str, Any]) -> list[Text]:
    """How those ended last whom the supervisor started again, the newest first; and which units of their own were
    started after it, and not long ago."""
    died = sorted((one for one in said["services"] if one["died"]), key=lambda one: one["died"]["at"], reverse=True)
    told = [f"{one['name']} {one['died']['how']} {_age(one['died']['at'], said['at'])}" for one in died[:_DEATHS]]
    units = [one for one in said["services"] if one["restarts"] is None and one["up"] is not None]
    told += [
        f"{one['name']} was started {ago(one['up'])} ago: how it ended before is in its journal"
        for one in units
        if one["up"] < _YOUNG and said["up"] is not None and said["up"] - one["up"] > _TOGETHER
    ]
    return [Text(line, "yellow") for line in told]


def _upstreams(upstreams: Sequence[Mapping[str, Any]]) -> _Table:
    colours = {"up": "green", "suspect": "yellow", "down": "red"}
    return _Table(("upstream", "state", "answers in", ""), (
        (
            u["address"], Text(u["state"], colours.get(u["state"], "")),
            "–" if u["rtt_ms"] is None else f"{u['rtt_ms']:.1f} ms",
            u["reason"] or ("mostly SERVFAIL or REFUSED" if u["failing"] else "no TCP" if u["tcp_closed"] else ""),
        ) for u in upstreams
    ))  # fmt: skip


def _lists(lists: Sequence[Mapping[str, Any]], now: str) -> _Table:
    """Where the steward is silent, only what the workers know: name, version, load."""
    rows = []
    for one in lists:
        told = "entries" in one
        action = Text(one["action"], "yellow" if one["stale"] else "") if told else Text("?", "red")
        rows.append((
            one["name"], f"{one['version'] or '-'}", f"{one['entries']:,}" if told else "?", action,
            f"{one['blocked_per_second']:,.0f}", _age(one["confirmed"], now) if told else "?", _waiting(one),
        ))  # fmt: skip
    return _Table(("list", "version", "entries", "action", "blocks/s", "confirmed", "waiting"), rows)


def _zones(zones: Sequence[Mapping[str, Any]], now: str) -> _Table:
    return _Table(("zone", "serial", "owners", "changed", "transfers", "secondaries"), (
        (
            zone["origin"], f"{zone['serial'] or '-'}", f"{zone['owners']:,}",
            f"{ago(as_time(now) - zone['serial'])} ago" if zone["serial"] else "never",
            f"{sum(zone['transfers'].values()):,}", _who_has(zone),
        ) for zone in zones
    ))  # fmt: skip


def _who_has(zone: Mapping[str, Any]) -> Text:
    without = [one["name"] for one in zone["secondaries"] if one["serial"] != zone["serial"]]
    if without:
        return Text(f"not given it: {', '.join(without)}", "yellow")
    return Text(f"{len(zone['secondaries'])} have it" if zone["secondaries"] else "-", "dim")


def _waiting(one: Mapping[str, Any]) -> Text:
    if one.get("refusal"):
        return Text(f"refused: {one['refusal']['code']}", "red")
    if one.get("held") and not one["version"]:
        return Text(f"first load: {one['held']['added']:,} of version {one['held']['version']}", "bold red")
    if one.get("waits"):
        held, waits = one["held"], one["waits"]
        style = "bold red" if waits["kind"] == "stopped" else "yellow"
        return Text(f"{one['stage']}: version {held['version']} {waits['kind']}", style)
    if one.get("held"):
        return Text(f"held: {one['held']['added']:,} of version {one['held']['version']}", "yellow")
    return Text("-", "dim")


def _log(said: Mapping[str, Any]) -> list[Text]:
    line, disk = Text(), said["disk"]
    if said["log"]:
        leaves = said["log"]["leaves"]
        line.append("log: unknown" if leaves is None else f"{counted(leaves, 'leaf')}, {_octets(disk['log'])}")
        if said["log"]["trouble"]:
            line.append(f", {said['log']['trouble']}", "red")
    else:
        line.append("the steward does not say", "red")
    for name in ("state_dir", "run_dir"):
        if (room := disk[name]) is not None:
            scarce = room["free"] < room["of"] * SHARE
            line.append(f"   {name}: ", "dim").append(f"{_octets(room['free'])} free", "red" if scarce else "")
    passing = said["passing"]
    if not passing["bypasses"] and not passing["overrides"]:
        return [line]
    counts = f"bypasses {len(passing['bypasses'])}, overrides {_or_dash(passing['overrides'])}"
    return [line, Text(f"passing by a person's word: {counts}", "yellow")]


class _Table:
    """Columns are never cut: where they do not fit with two blanks between them they stand one apart, and then the last
    one, if it has words, is folded."""

    def __init__(self, columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
        rows = tuple(rows)
        self._wide, self._narrow = (_columns(columns, rows, padding) for padding in ((0, 1), (0, 1, 0, 0)))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self._wide)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wanted = Measurement.get(console, options.update(max_width=_UNBOUNDED), self._wide).maximum
        yield self._wide if wanted <= options.max_width else self._narrow


def _columns(columns: Sequence[str], rows: Sequence[Sequence[str | Text]], padding: PaddingDimensions) -> Table:
    table = Table(box=None, pad_edge=False, padding=padding, header_style="dim")
    for column in columns:
        table.add_column(column, justify="right" if column in _RIGHT else "left", no_wrap=True)
    if columns[-1] in _FOLDED:
        table.columns[-1].no_wrap = False
    for row in rows:
        table.add_row(*row)
    return table
