"""`stopsign units`: what the socket units listen on, made from the configuration.

Enters: a configuration. Leaves: one drop-in for each socket unit, so that addresses stand in one place alone. Rules: a
UDP and a TCP socket a worker and address, all of one SO_REUSEPORT group (systemd binds them all as root; later a
process of another user could not join); an address of neither is not named, and an empty part leaves no socket.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from resolver import durable
from resolver.config import load, located_at
from resolver.dns.supervisor import count_workers
from resolver.options import located

if TYPE_CHECKING:
    from resolver.config import Config

DROP_IN = "10-listen.conf"
_MADE = "# Made by `stopsign units` from the configuration; after a change of addresses or workers make it anew.\n"


def drop_ins(config: Config) -> dict[str, str]:
    """Unit -> text. An empty assignment takes back what the unit itself says (systemd.socket(5))."""
    dns = ["ListenDatagram=", "ListenStream="]
    for endpoint in config.dns.listen:
        dns += [f"ListenDatagram={endpoint}", f"ListenStream={endpoint}"] * count_workers(config.dns)
    web = ["ListenStream=", *(f"ListenStream={endpoint}" for endpoint in config.stop_page.listen)]
    return {
        unit: _MADE + "[Socket]\n" + "\n".join(lines) + "\n"
        for unit, lines in (("stopsign-dns.socket", dns), ("stopsign-web.socket", web))
    }


@click.command()
@located
@click.option(
    "--output", "folder", type=click.Path(path_type=Path, file_okay=False),
    help="Write them there, as /etc/systemd/system.  [default: print them]",
)  # fmt: skip
def units(path: Path | None, directory: Path | None, folder: Path | None) -> None:
    """Drop-ins that let systemd open the configuration's ports: one UDP socket a worker and address."""
    for unit, text in drop_ins(load(located_at(path, directory))).items():
        if folder is None:
            click.echo(f"# {unit}.d/{DROP_IN}\n{text}")
            continue
        target = folder / f"{unit}.d" / DROP_IN
        durable.replace(target, text.encode())
        click.echo(str(target))
