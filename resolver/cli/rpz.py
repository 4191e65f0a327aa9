"""The commands of the response policy zones: `stopsign rpz export`, `status`, `key`.

`export` reads files alone: it works with every process dead. Results go to standard output.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blocklists.counted import counted
from blocklists.errors import why
from resolver.cli.options import as_json, legible, located, say, warn

if TYPE_CHECKING:
    from resolver._core import Policies
    from resolver.config.schema import Config
    from resolver.config.schema_rpz import RpzZone


@click.group()
def rpz() -> None:
    """The lists as response policy zones, for Unbound, BIND, PowerDNS Recursor and Knot Resolver."""


@rpz.command()
@located
@as_json
@click.option("--zone", "origin", help="The zone's name; needed where several are configured.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="A file; none: standard output.")
def export(path: Path | None, directory: Path | None, in_json: bool, origin: str | None, output: Path | None) -> None:
    """Write a zone file of what is active now; with --output, run the zone's command after it."""
    import tempfile

    from resolver.config.schema import locate
    from resolver.policy.in_force import Follower
    from resolver.rpz import export as zone_file
    from resolver.rpz.history import next_serial, stored
    from resolver.rpz.rules import left_out, lists_of, write_rules
    from resolver.rpz.zone import zone_of

    if in_json and output is None:
        raise click.UsageError("--json tells of a file that is written: give --output")
    config = locate(path, directory)
    source = chosen(config, origin)
    zone, live = zone_of(config, source), Follower(config.places)
    live.poll()
    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder) / "rules"
        written = write_rules(live.now, zone, lists_of(config, source), rules, time.time())
        kept = stored(config.places.rpz(zone.origin), zone)
        if kept is not None and kept.same(rules):
            serial = kept.serial
        else:
            known = max(0 if kept is None else kept.serial, 0 if output is None else zone_file.serial_in(output))
            serial = next_serial(known, time.time())
        if output is None:
            unsaid = zone_file.write(zone, serial, rules, sys.stdout)
        else:
            unsaid = zone_file.put(zone, serial, rules, output)
            zone_file.run_after(source.run)
    for line in (*complaints(written), *unsaid, *left_out(live.now)):
        warn(line)
    if output is not None:
        told = {"zone": zone.origin, "serial": serial, "names": written.names, "owners": written.owners}
        if in_json:
            click.echo(json.dumps({**told, "unsayable": written.unsayable, "names_unsayable": written.told}))
        else:
            click.echo(f"{output}: {zone.origin}, serial {serial}, {counted(written.owners, 'owner')}")


@rpz.command()
@located
@as_json
def status(path: Path | None, directory: Path | None, in_json: bool) -> None:
    """Every zone: serial, size, what each secondary has; what the process of the zones complains of."""
    from resolver.ipc import rpz_status
    from resolver.rpz.zone import RpzError

    config = legible(path, directory)
    places = config.places
    try:
        said = rpz_status.read(places)
    except FileNotFoundError:
        told = "the process of the zones has said nothing yet" if config.rpz.zones else "no zones are configured"
        hint = "does `stopsign run` run?" if config.rpz.zones else "rpz.zones, as docs/rpz.md has it"
        raise RpzError(told, hint=hint) from None
    except (OSError, ValueError) as error:
        raise RpzError(f"{places.rpz_said} cannot be read ({why(error)})") from error
    if in_json:
        click.echo(json.dumps({"zones": said.zones, "alarms": said.complaints, "refused": said.refused}))
        return
    for zone in said.zones:
        kept = f"{counted(zone['owners'], 'owner')}, {counted(zone['steps'], 'change')} kept"
        say(f"{zone['origin']}: serial {zone['serial']}, {kept}")
        if zone["unsayable"]:
            say(f"  {zone['unsayable']:,} owners cannot be said, as {', '.join(zone['told'][:3])}")
        for without in zone.get("without", ()):  # a primary from before an upgrade says nothing of it
            say(f"  without {without}")
        for secondary in zone["secondaries"]:
            state = f"has serial {secondary['serial']} ({secondary['by']})"
            say(f"  {secondary['name']} {state if secondary['by'] else 'has asked for nothing yet'}")
    for refused in said.refused:
        who = refused["secondary"] or "somebody"
        say(f"refused: {counted(refused['times'], 'request')} of {who}: {refused['why']}")
    for alarm in said.complaints:
        say(f"alarm: {alarm}")


@rpz.command()
@click.argument("name")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="A file; none: standard output.")
def key(name: str, output: Path | None) -> None:
    """Make a TSIG key (hmac-sha256) as BIND's tsig-keygen writes it: for `rpz.secondaries` and for named.conf."""
    from resolver.rpz.zone import RpzError

    secret = base64.b64encode(os.urandom(32)).decode()
    text = f'key "{name}" {{\n\talgorithm hmac-sha256;\n\tsecret "{secret}";\n}};\n'
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    except OSError as error:
        raise RpzError(f"{output} cannot be made ({error.strerror})") from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)


def chosen(config: Config, origin: str | None) -> RpzZone:
    """The configured zone of that name; where none is configured, one of all lists."""
    from resolver.config.schema_rpz import RpzZone
    from resolver.rpz.zone import RpzError

    sources = config.rpz.zones
    if origin is None and len(sources) > 1:
        raise click.UsageError(f"which zone? --zone {' or --zone '.join(one.origin for one in sources)}")
    if not sources:
        return RpzZone() if origin is None else RpzZone(origin=origin)
    wanted = origin.rstrip(".").lower() if origin is not None else sources[0].origin
    for one in sources:
        if one.origin == wanted:
            return one
    raise RpzError(f"{origin} is not one of rpz.zones", hint=", ".join(one.origin for one in sources))


def complaints(written: Policies) -> list[str]:
    """What the zone cannot say, in sentences."""
    if not written.unsayable:
        return []
    several = f" and {written.unsayable - len(written.told):,} more" if written.unsayable > len(written.told) else ""
    return [f"{written.unsayable:,} owners are too long for the zone, or reserved: {', '.join(written.told)}{several}"]
