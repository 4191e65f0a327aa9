"""`stopsign units`: drop-ins for the units, made from the configuration.

Enters: a configuration. Leaves: one drop-in for each socket unit, so that addresses stand in one place alone; one for
each service that writes outside the folders of its unit, or has nothing to do; and what is to be enabled. Rules:

- DNS has a UDP and a TCP socket a worker and address, all of one SO_REUSEPORT group (systemd binds them all as root;
  later a process of another user could not join). An address that the configuration does not name is not opened: an
  empty assignment takes back what the unit itself says (systemd.socket(5)).
- A service names every socket unit that the configuration has work for (`Sockets=`). So its start opens those that are
  new, before it runs; by itself a socket unit refuses to open while its service runs, and somebody who asks at port 53
  starts that again at once.
- A sandbox is opened for the very folders that the configuration names, and no further; state_dir and run_dir as a
  whole stay closed to all but their owners, whatever file is named in them.
- A unit that the configuration has no work for (DNS on a host for policy zones alone) is skipped when it is started
  (`ConditionPathExists`), which is no failure.
- One of several providers on this host has units of its own, `stopsign-dns@NAME.service`: it is the one whose `run_dir`
  is /run/stopsign-NAME.
- Every drop-in is written each time, so that none of an earlier configuration stays in force.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from resolver.base.errors import ResolverError
from resolver.base.wings import WINGS
from resolver.cli.options import located

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from resolver.config.schema import Config, Endpoint

DROP_IN = "10-listen.conf"
_MADE = "# Made by `stopsign units` from the configuration; after a change of addresses, workers, folders: again."
_A_PROVIDER_S = re.compile(r"/(?:run|var/lib)/(stopsign(?:-[a-z0-9]+(?:-web)?)?)(?:/|\Z)").match
_DATAGRAM, _STREAM = ("ListenDatagram",), ("ListenStream",)
_BOTH = (*_DATAGRAM, *_STREAM)
_IDLE = ("[Unit]", "# The configuration has no work for it.", "ConditionPathExists=!/")


def _writes(wing: str, instance: str) -> tuple[str, ...]:
    """What the unit in systemd/ may write, or its template for several providers (`packaging/instances.py`)."""
    name = f"stopsign-{instance}" if instance else "stopsign"
    return {
        "dns": (f"/run/{name}",),
        "steward": (f"/run/{name}", f"/var/lib/{name}"),
        "web": (f"/run/{name}/web", f"/var/lib/{name}-web"),
        "rpz": (f"/run/{name}/rpz", f"/run/{name}/workers", f"/var/lib/{name}/rpz"),
    }[wing]


@dataclass(frozen=True)
class Units:
    """`drop_ins`: unit -> text. `enable`: what `systemctl enable --now` gets, sockets first."""

    drop_ins: dict[str, str]
    enable: tuple[str, ...]

    @property
    def hints(self) -> list[str]:
        """What to type: where nothing runs yet, and to open ports of encrypted DNS beside those that are open."""
        reads = "systemctl daemon-reload"
        first = f"{reads}; systemctl enable --now {' '.join(self.enable)}"
        encrypted = " ".join(unit for unit in self.enable if unit.startswith("stopsign-dns-"))
        if not encrypted:
            return [first]
        service = next(unit for unit in self.drop_ins if re.fullmatch(r"stopsign-dns(@.*)?\.service", unit))
        opens = f"{reads}; systemctl enable {encrypted}; systemctl restart {service.removesuffix('.service')}"
        return [first, f"where it runs and ports of encrypted DNS are new: {opens}"]


def of(config: Config) -> Units:
    """The drop-ins of every unit, and the units that this configuration has work for."""
    from resolver.host.service import count_workers

    rpz, works = config.rpz, _works(config)
    for wing in works:
        for folder in _folders(config, wing):
            _refuse_another_s(folder.absolute(), config.places.instance)
    listening = {
        "dns": (config.dns_listen, count_workers(config.dns), _BOTH),
        "dns-tls": (config.dns_tls_listen, count_workers(config.dns), _STREAM),
        "dns-https": (config.dns_https_listen, count_workers(config.dns), _STREAM),
        "dns-quic": (config.dns_quic_listen, count_workers(config.dns), _DATAGRAM),
        "web": (config.stop_page.listen, 1, _STREAM),
        "rpz": (rpz.listen if rpz.zones else [], 1, _BOTH),
        "rpz-tls": (rpz.listen_tls if rpz.zones else [], 1, _BOTH),  # Unbound asks for the SOA by UDP there
    }
    at = f"@{config.places.instance}" if config.places.instance else ""
    made = {f"stopsign-{name}{at}.socket": _text(_socket(*how)) for name, how in listening.items()}
    sockets = tuple(f"stopsign-{name}{at}.socket" for name, (endpoints, _, _) in listening.items() if endpoints)
    for wing in WINGS:
        own = [unit for unit in sockets if unit.startswith((f"stopsign-{wing}{at}.", f"stopsign-{wing}-"))]
        made[f"stopsign-{wing}{at}.service"] = _text(_service(config, wing, own, idle=wing not in works))
    more = (f"stopsign-rpz{at}.service",) if "rpz" in works else ()
    return Units(made, (*sockets, *more, f"stopsign{at}.target"))


def _works(config: Config) -> set[str]:
    there = {
        "dns": config.dns is not None,
        "steward": True,
        "web": bool(config.stop_page.listen or config.portal.listen),
        "rpz": bool(config.rpz.zones),
    }
    return {wing for wing, has_work in there.items() if has_work}


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in (_MADE, *lines))


def _socket(endpoints: Sequence[Endpoint], sockets: int, kinds: Sequence[str]) -> Iterator[str]:
    if not endpoints:
        yield from _IDLE
        return
    yield from ("[Socket]", *(f"{kind}=" for kind in kinds))
    for endpoint in endpoints:
        yield from [f"{kind}={endpoint}" for kind in kinds] * sockets


def _service(config: Config, wing: str, sockets: Sequence[str], *, idle: bool) -> Iterator[str]:
    if idle:
        yield from _IDLE
        return
    lines = ["Sockets=" + " ".join(sockets)] if sockets else []
    own = _writes(wing, config.places.instance)
    folders = [one.absolute() for one in _folders(config, wing) if not _within(one, own)]
    if wing not in ("dns", "steward"):
        kept = (config.state_dir.absolute(), config.run_dir.absolute())
        folders = [folder for folder in folders if not any(own.is_relative_to(folder) for own in kept)]
    if folders:
        lines.append("ReadWritePaths=" + " ".join(_quoted(one) for one in dict.fromkeys(folders)))
    if lines:
        yield from ("[Service]", *lines)


def _folders(config: Config, wing: str) -> Iterator[Path]:
    """What the process writes to."""
    places, url = config.places, config.database_url
    if wing == "dns" and config.dns is not None:
        yield places.run_dir
        if config.dns.dnstap.socket is not None:
            yield config.dns.dnstap.socket.parent
    elif wing == "steward":
        yield from (places.run_dir, places.state_dir, places.log_dir)
    elif wing == "web":
        yield places.web_socket.parent
        if url.startswith("sqlite:"):
            yield Path(url.removeprefix("sqlite:///")).parent
    elif wing == "rpz":
        yield from (places.rpz_socket.parent, places.workers, places.state_dir / "rpz")
        yield from (zone.file.parent for zone in config.rpz.zones if zone.file is not None)
        yield from (count.dnstap.parent for count in config.rpz.counts if count.dnstap is not None)


def _refuse_another_s(folder: Path, instance: str) -> None:
    """Raise `ResolverError` where a folder of one of several providers is that of another."""
    name, whose = f"stopsign-{instance}", _A_PROVIDER_S(str(folder))
    if instance and whose is not None and whose[1] not in {name, f"{name}-web"}:
        raise ResolverError(
            f"{folder} is a folder of another provider on this host",
            hint=f"with run_dir /run/{name}: /var/lib/{name}, and /var/lib/{name}-web for the portal's database",
        )


def _within(path: Path, folders: Sequence[str]) -> bool:
    return any(path.absolute().is_relative_to(folder) for folder in folders)


def _quoted(path: Path) -> str:
    """As systemd reads it: blanks, and what it would expand (systemd.syntax(7), systemd.unit(5))."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"' if " " in text else text


@click.command()
@located
@click.option(
    "--output", "folder", type=click.Path(path_type=Path, file_okay=False),
    help="Write them there, as /etc/systemd/system.  [default: print them]",
)  # fmt: skip
def units(path: Path | None, directory: Path | None, folder: Path | None) -> None:
    """Drop-ins that let systemd open the configuration's ports and folders; and what is to be enabled."""
    from blocklists import durable
    from resolver.config.schema import load, located_at

    made = of(load(located_at(path, directory)))
    for unit, text in made.drop_ins.items():
        if folder is None:
            click.echo(f"# {unit}.d/{DROP_IN}\n{text}")
            continue
        target = folder / f"{unit}.d" / DROP_IN
        durable.replace(target, text.encode())
        click.echo(str(target))
    for hint in made.hints:
        click.echo(f"hint: {hint}", err=True)
