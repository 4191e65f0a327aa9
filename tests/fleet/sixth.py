"""A sixth host, by the guide: the commands of docs/many-hosts.md, "Add a host", typed in their order.

Enters: a `Fleet` of five hosts. Leaves: one that answers as the others do. A command that the guide has and this module
does not know is a failure, so that both stay the same walk.
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import yaml

from tests.fleet.provider import LISTED, PASSED, STOPPED
from tests.fleet.scenarios import Row, playing
from tests.rigs.dns_host import ROOT, wait_until
from tests.rigs.provider import alarms

if TYPE_CHECKING:
    from tests.fleet.hosts import Resolver
    from tests.fleet.provider import Fleet

GUIDE = ROOT / "docs" / "many-hosts.md"
NAME = "dns6"


def commands() -> list[str]:
    """Of the guide's section, without comments."""
    section = GUIDE.read_text(encoding="utf-8").partition("\n## Add a host\n")[2].partition("\n## ")[0]
    found = re.findall(r"^    (\S.*)$", section, re.MULTILINE)
    assert found
    return [line.partition("  #")[0].strip() for line in found]


def sixth_host(fleet: Fleet, rate: float) -> Row:
    """Said of all hosts before it came, it holds there too."""
    first, *_, last = every = list(fleet.hosts.values())
    last.must("override", "allow", LISTED[105], "--reason", "a test", "--everywhere")
    host = fleet.prepare(NAME, "a")
    host.install()
    (host.folder / "units").mkdir()
    fleet.stack.callback(host.end)
    with playing(fleet, "a sixth host by the guide", rate) as row:
        for command in commands():
            _type(fleet, first, host, command)
        row.at_once("s: what was said before", fleet.everywhere(LISTED[105], PASSED, [host]))
        wait_until(lambda: fleet.announced(host), f"{NAME} is announced")
        assert fleet.ask(host, LISTED[0]) == STOPPED
        assert not [one for each in (*every, host) for one in alarms(each) if "log.peers" in one]
    return row


def _type(fleet: Fleet, first: Resolver, host: Resolver, command: str) -> None:
    """What is said to systemd is done as it would do it; all else is typed."""
    if command.startswith("ssh dns1 tar --create --directory /etc stopsign "):
        shutil.copy(first.config, host.config)
    elif command == "systemctl daemon-reload":
        assert list((host.folder / "units").iterdir())
    elif command == "systemctl enable --now stopsign-dns.socket stopsign-web.socket stopsign.target":
        assert command in host.command("units").stderr
        host.start(announced=False)
    elif command == "systemctl enable --now stopsign-route":
        host.announce()
    elif command == "stopsign reload":
        fleet.introduce()
        for one in fleet.hosts.values():
            one.must("reload", "--no-trial")
    elif command == "stopsign status --all":
        wait_until(lambda: NAME in first.must("status", "--all"), f"{NAME} on the screen of another")
    else:
        there = {"/etc/stopsign/stopsign.yaml": host.config, "/var/lib/stopsign": host.folder / "state",
                 "/etc/systemd/system": host.folder / "units"}  # fmt: skip
        for path, here in there.items():
            command = command.replace(path, str(here))
        host.network.run("sh", "-c", command.replace("stopsign ", f"{host.folder}/bin/stopsign ", 1))
        host.settings = yaml.safe_load(host.config.read_text(encoding="utf-8"))
