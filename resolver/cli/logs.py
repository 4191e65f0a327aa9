"""`stopsign logs`: the provider's index of its hosts' logs, made at a desk that is none of the hosts.

Enters: the command line, the desk's folder. Leaves: a draft, then a signed version in `published/`. Rules: a log is
verified from its first leaf before it comes into the draft or is retired; what signs reads no network.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import click

from blocklists.counted import counted
from resolver.cli.audit_options import FILE, FOLDER, progress, read_key, within_option
from resolver.cli.options import say
from resolver.log.errors import AuditError, UntrueError

if TYPE_CHECKING:
    from pathlib import Path

    from resolver.log.note import Verifier
    from resolver.log.source import Source
    from resolver.log.verify import Verdict

AT = "Where it is published: an address, or a path below the index."


@click.group()
def logs() -> None:
    """The provider's index of its hosts' logs: what auditors begin with, signed off the hosts."""


@logs.command()
@click.argument("desk", type=FOLDER)
@click.argument("name")
def init(desk: Path, name: str) -> None:
    """Make a desk in the folder DESK, with a new key. NAME is that of the index, as in isp.example/logs."""
    from resolver.log.index_desk import new_desk

    click.echo(str(new_desk(desk, name, os.urandom)))


@logs.command()
@click.argument("desk", type=FOLDER)
@click.argument("log")
@click.option("--key", required=True, help="The log's public key (a vkey, or a file that holds one), from the host.")
@click.option("--at", help=f"{AT}  [default: LOG]")
@within_option
def add(desk: Path, log: str, key: str, at: str | None, within: int) -> None:
    """Put a host's LOG (an address or a folder) into the draft; one that is there gets this address."""
    from resolver.log.index import LogThere, check_address
    from resolver.log.index_desk import opened
    from resolver.log.source import open_source
    from resolver.log.verify_all import check_end

    verifier, address = read_key(key), check_address(at or log)
    with opened(desk) as index:
        verdict = _verified(open_source(log, within=within), verifier)
        for known in index.draft:
            if known.key == verifier:
                check_end(known, verdict)
        index.put(LogThere(verifier, address, float(int(time.time()))))
    _say(verdict, desk)


@logs.command()
@click.argument("desk", type=FOLDER)
@click.argument("origin")
@click.option("--log", help="A copy or an address.  [default: where the index says it is]")
@click.option("--at", help=f"{AT}  [default: as before]")
@click.option("--dead", is_flag=True, help="The host died, or was cut off, without a last word.")
@within_option
def retire(desk: Path, origin: str, log: str | None, at: str | None, within: int, *, dead: bool) -> None:
    """Say for good how the log ORIGIN ended. Nothing that is appended to it or cut from it later is believed."""
    from dataclasses import replace

    from resolver.log.index import End, check_address
    from resolver.log.index_desk import opened
    from resolver.log.reading import leaves
    from resolver.log.source import open_source

    with opened(desk) as index:
        known = index.log(origin)
        web = known.address.startswith(("http://", "https://"))
        source = open_source(log or (known.address if web else str(index.published / known.address)), within=within)
        verdict = _verified(source, known.key)
        last = next((leaf for _, leaf, _ in leaves(source, lambda _number: [], backwards=True)), None)
        if not dead and (last is None or last.type != "stop"):
            told = f"the last leaf of {origin} is {last.type if last else 'none'} and not stop"
            raise AuditError(told, hint="stop the host first; --dead where it will never write again")
        head = verdict.checkpoint
        end = End(float(int(time.time())), head.size, head.root)
        index.put(replace(known, end=end, address=check_address(at or known.address)))
    _say(verdict, desk)


@logs.command()
@click.argument("desk", type=FOLDER)
@click.option("--key-file", type=FILE, help="The index's signing key.  [default: DESK/index.key]")
def sign(desk: Path, key_file: Path | None) -> None:
    """Sign the draft as the index's next version, in DESK/published."""
    from resolver.log.index_desk import KEY, load_key, opened

    with opened(desk) as index:
        changes = index.changes()
        version = index.sign(load_key(key_file or desk / KEY), time.time())
        for one in changes:
            say(one.line())
        logs_there = counted(len(version.logs), "log")
        say(f"version {version.version} of {version.name} is in {index.published}: {logs_there}")


def _verified(source: Source, key: Verifier) -> Verdict:
    from resolver.log.verify import verify

    try:
        with progress("leaves") as told:
            return verify(source, key, progress=told)
    except UntrueError as wrong:
        raise AuditError(f"this log does not verify: {wrong}", hint=wrong.hint) from wrong


def _say(verdict: Verdict, desk: Path) -> None:
    head = verdict.checkpoint
    leaves = counted(head.size, "leaf")
    say(f"{head.origin}: {leaves} verified; `stopsign logs sign {desk}` puts it into the index")
