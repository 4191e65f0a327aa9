"""What an import takes of a configuration of Unbound, compared with what the installed Unbound answers from it."""

from __future__ import annotations

import socket
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import dns.message
import dns.rdatatype
import pytest

from blocklists.importers import formats
from blocklists.importers.intake import Intake
from tests.rigs.dns_host import free_port, question, wait_until
from tests.rigs.resolvers import Outside, Resolver, unbound_command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KINDS = (
    "always_deny", "always_nodata", "always_null", "always_nxdomain", "always_refuse", "always_transparent", "deny",
    "inform", "inform_deny", "inform_redirect", "nodefault", "noview", "redirect", "refuse", "static", "transparent",
    "typetransparent",
)  # fmt: skip
# What is written beside a zone of each type; {} is the zone's name
DATA = {
    "nothing": [],
    "wall": ["{} A 0.0.0.0", "{} 60 IN AAAA ::"],
    "half": ["{} 60 A 127.0.0.1"],
    "away": ["{} 1h A 192.0.2.1"],
    "both": ["{} A 0.0.0.0", "{} AAAA 2001:db8::1"],
    "text": ["{} TXT blocked"],
    "apex": ["{} NS localhost.", "{} SOA localhost. nobody.invalid. 1 3600 1200 604800 10800"],
    "said": ["{} A 0.0.0.0", "{} AAAA ::", "{} TXT 192.0.2.1"],
    "inner": ["www.{} A 192.0.2.1"],
    "walled": ["www.{} A 0.0.0.0", "www.{} AAAA ::"],
    "beside": ["www.{} TXT hello"],
}
WALLS = {"0.0.0.0", "127.0.0.1", "::"}


def zones() -> Iterator[tuple[str, str, str]]:
    """Name, type (none: data alone) and data of each zone."""
    for kind in (*KINDS, ""):
        for data, lines in DATA.items():
            if "redirect" in kind and any(line.startswith("www") for line in lines):
                continue  # Unbound refuses it
            yield f"{data}.{kind.replace('_', '-') or 'none'}.example.com", kind, data


def written() -> str:
    lines = ["server:", 'local-zone: "sentinel.example.com" static']
    for name, kind, data in zones():
        lines += [f'local-zone: "{name}" {kind}'] if kind else []
        lines += [f'local-data: "{line.format(name)}"' for line in DATA[data]]
    lines += ['local-zone: "twice.example.com" always_null', 'local-zone: "twice.example.com" transparent']
    lines += ['local-zone: "again.example.com" transparent', 'local-zone: "again.example.com" always_null']
    lines += ['local-zone: "outer.example.com" static', 'local-zone: "open.outer.example.com" transparent']
    lines += ['define-tag: "few"', 'local-zone-tag: "few.example.com" "few"', 'local-zone: "few.example.com" static']
    lines += ['local-data: "www.few.example.com A 0.0.0.0"']
    lines += ['local-zone: "shut.example.com" static', 'local-zone: "left.shut.example.com" nodefault']
    return "\n".join(lines) + "\n"


@contextmanager
def unbound(folder: Path, rules: str) -> Iterator[tuple[str, int]]:
    """A running Unbound with these rules; where no rule stops a name, it has an address."""
    outside, port = Outside(), free_port()
    (folder / "rules.conf").write_text(rules)
    server = ['trust-anchor-file: ""', 'module-config: "iterator"', f'include: "{folder}/rules.conf"']
    command = unbound_command(folder, port, outside.port, server, "remote-control:\n    control-enable: no")
    one = Resolver("unbound", folder, command, port)
    one.start()
    try:
        one.wait("ready.example.net", socket.inet_aton("198.51.100.7"))
        yield one.address
    finally:
        one.stop()
        outside.close()


class Asking:
    """One socket to a resolver. Where a question that was asked later has its answer, the one before was dropped and is
    not slow: one thread answers local questions in order."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(address)
        self.socket.settimeout(0.5)
        self.number = 0

    def close(self) -> None:
        self.socket.close()

    def ask(self, name: str, qtype: int, *, drops: bool) -> set[str]:
        """The addresses of the answer."""
        found: dict[int, bytes] = {}
        self.number += 2
        mine, last = self.number, self.number + 1

        def answered() -> bool:
            self.socket.send(question(mine, name, qtype))
            self.socket.send(question(last, "sentinel.example.com", 1))
            try:
                while last not in found or not (drops or mine in found):
                    message = self.socket.recv(4096)
                    found[int.from_bytes(message[:2])] = message
            except TimeoutError:
                return False
            return True

        wait_until(answered, f"no answer for {name}")
        if mine not in found:
            return set()
        records = dns.message.from_wire(found[mine]).answer
        return {item.to_text() for rrset in records if rrset.rdtype == qtype for item in rrset}


def taken(path: Path) -> Intake:
    intake = Intake()
    formats.read(path, intake, form="unbound")
    return intake


def stopped(intake: Intake, name: str) -> bool:
    return any(
        (name == one.name and one.match != "below") or (name.endswith(f".{one.name}") and one.match != "exact")
        for one in intake.candidates
    )


def said_otherwise(name: str, kind: str, data: str) -> bool:
    """A name that Unbound stops and the import does not: an entry has no hole, and a record that is no address, beside
    which Unbound has no address to answer, is not meant as a block."""
    if name.startswith("x."):
        return name == "x.outer.example.com" or data == "inner"
    return kind in {"", "inform", "nodefault", "noview", "transparent"} and data in {"text", "apex", "beside"}


@pytest.mark.needs("unbound")
def test_every_type_of_zone_with_and_without_data_is_taken_as_unbound_answers(tmp_path: Path) -> None:
    asked = [(f"{label}{name}", kind, data) for name, kind, data in zones() for label in ("", "www.", "x.")]
    for name in ("twice", "again", "outer", "open.outer", "shut", "left.shut", "few", "www.few"):
        asked += [(f"{label}{name}.example.com", "", "nothing") for label in ("", "x.")]
    wide, narrow = set(), set()
    with unbound(tmp_path, written()) as address, closing(Asking(address)) as asking:
        intake = taken(tmp_path / "rules.conf")
        for name, kind, data in asked:
            found = {one for qtype in (1, 28) for one in asking.ask(name, qtype, drops="deny" in kind)}
            if found - WALLS and stopped(intake, name):
                wide.add((name, *found))
            elif not found - WALLS and not stopped(intake, name) and not said_otherwise(name, kind, data):
                narrow.add((name, *found))
    assert (wide, narrow) == (set(), set())


def test_what_is_no_block_of_unbound_is_said_and_lifts_no_other_file_s_block(tmp_path: Path) -> None:
    intake = Intake()
    (tmp_path / "hosts").write_text("0.0.0.0 a.example.com\n0.0.0.0 b.example.com\n")
    (tmp_path / "unbound.conf").write_text(
        "server:\n"
        'local-data: "a.example.com TXT hello"\n'
        'local-data-ptr: "192.0.2.4 7200 b.example.com"\n'
        'local-zone: "c.example.com" always_nxdomain\n'
        'local-data: "c.example.com A 192.0.2.1"\n'
        "local-zone: 'd.example.com.' nodefault\n"
        'local-zone: "e.example.com" static\n'
        'local-data: "e.example.com SOA localhost. nobody.invalid. 1 3600 1200 604800 10800"\n'
        "view:\n"
        'local-zone: "f.example.com" static\n'
        'local-data: "g.example.com A 0.0.0.0"\n'
        "server:\n"
        'local-zone: "h.example.com" typetransparent\n'
        'local-data: "h.example.com A 0.0.0.0"\n'
        'local-zone: "i.example.com" always_null\n'
        'local-zone-tag: "i.example.com" "few"\n'
    )
    for name in ("hosts", "unbound.conf"):
        formats.read(tmp_path / name, intake, form="auto")
    assert {(one.name, one.match) for one in intake.candidates} == {
        ("a.example.com", "exact"), ("b.example.com", "exact"), ("c.example.com", "subtree"),
        ("e.example.com", "subtree"),
    }  # fmt: skip
    assert [(item.line, item.reason) for item in sorted(intake.rejected, key=lambda item: item.line)] == [
        (2, "a record of type TXT is no rule"),
        (3, "no local-zone and no local-data"),
        (5, "Unbound ignores this data: its zone is always_nxdomain"),
        (6, "a local-zone of type nodefault is no block"),
        (9, "no local-zone and no local-data"),
        (10, "holds for the clients of a view alone: as a block it would be wider"),
        (11, "holds for the clients of a view alone: as a block it would be wider"),
        (13, "a local-zone of type typetransparent lets a name pass"),
        (14, "typetransparent: the other of A and AAAA is resolved"),
        (15, "holds for the clients of a tag alone: as a block it would be wider"),
    ]
