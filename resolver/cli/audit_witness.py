"""`stopsign audit witness | collect`: witnesses over HTTP (c2sp.org/tlog-witness), from either side."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import click

from blocklists.counted import counted
from resolver.cli.audit_options import FILE, locate, provider_options, read_key, read_policy
from resolver.cli.options import say
from resolver.log.errors import AuditError, UntrueError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from resolver.log.collect import Collected
    from resolver.log.note import Verifier
    from resolver.log.policy import Policy

KINDS = ("ed25519", "ml-dsa-44")
"""As `COSIGNATURES` of `resolver.log.note` has them."""


@click.command("witness-key")
@click.argument("file", type=FILE)
@click.argument("name")
@click.option("--type", "kind", type=click.Choice(KINDS), default="ed25519", show_default=True)
def witness_key(file: Path, name: str, kind: str) -> None:
    """Make a witness's key in FILE under NAME (as in regulator.example/witness), and print its public one."""
    from resolver.log.note import COSIGNATURES
    from resolver.log.witness import new_witness

    click.echo(str(new_witness(file, name, os.urandom, COSIGNATURES[KINDS.index(kind)]).verifier))


@click.command()
@click.option("--listen", metavar="ADDR:PORT", required=True, help="Where to answer, as 192.0.2.1:8080.")
@click.option("--state", type=FILE, required=True, help="What was seen: one SQLite file, made where it is missing.")
@click.option("--key", "key_files", type=FILE, multiple=True, required=True, help="This witness's signing key.")
@click.option("--log", "logs", multiple=True, required=True, help="The vkey of a log that is witnessed.")
def witness(listen: str, state: Path, key_files: tuple[Path, ...], logs: tuple[str, ...]) -> None:
    """Be a witness that logs ask over HTTP (c2sp.org/tlog-witness), until it is ended."""
    import asyncio

    from resolver.cli.witness_server import serve
    from resolver.config.values import Endpoint
    from resolver.log.witness import load_witness
    from resolver.log.witness_store import Memory

    try:
        where = Endpoint.parse(listen)
    except ValueError as wrong:
        raise AuditError(f"--listen {wrong}") from wrong
    keys = [load_witness(path) for path in key_files]
    memory = Memory(state, [read_key(one) for one in logs], keys, time.time)

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await serve(memory, where.host, where.port, stop, ready=ready, tell=lambda said: click.echo(said, err=True))

    def ready(port: int) -> None:
        click.echo(f"{', '.join(key.name for key in keys)} answers at {Endpoint(where.host, port)}", err=True)

    asyncio.run(run())


@click.command()
@click.option("--witness", "named", multiple=True, metavar="URL=VKEY", help="Where a witness answers, and its key.")
@click.option("--quorum", type=click.IntRange(0), help="How many suffice.  [default: all named]")
@click.option("--policy", "policy_file", type=FILE, help="A trust policy with addresses instead of --witness.")
@click.option("--within", type=click.IntRange(1), default=60, show_default=True, help="Seconds for all of them.")
@provider_options
def collect(
    named: tuple[str, ...], quorum: int | None, policy_file: Path | None, within: int, config_file: Path | None,
    directory: Path | None,
) -> None:  # fmt: skip
    """Ask witnesses for cosignatures on the newest checkpoint, and publish them beside it (checkpoint.cosigned)."""
    from resolver.log.collect import collect as gather

    places = locate(config_file, directory).places
    if not places.checkpoint.is_file():
        raise AuditError(f"there is no log in {places.log_dir}", hint="`stopsign run` begins one")
    policy, pairs = _asked(named, quorum, policy_file)
    asked: dict[str, list[Verifier]] = {}
    for url, key in pairs:
        asked.setdefault(url.rstrip("/"), []).append(key)
    if not asked:
        raise AuditError("no witness is named", hint="--witness URL=VKEY, or --policy with the address of each")
    log = read_key(str(places.log_dir / "log.vkey"))
    _tell(gather(places, log, asked, policy, within=within))


def _asked(
    named: tuple[str, ...], quorum: int | None, policy_file: Path | None
) -> tuple[Policy, Sequence[tuple[str, Verifier]]]:
    """Which cosignatures suffice, and whom to ask for them."""
    from resolver.log.policy import Policy

    if policy_file is not None:
        policy = read_policy(policy_file, named, quorum)
        return policy, policy.urls
    pairs = [_pair(one) for one in named]
    return Policy.of([key for _, key in pairs], len(pairs) if quorum is None else quorum), pairs


def _pair(text: str) -> tuple[str, Verifier]:
    from resolver.log.note import COSIGNATURES

    url, equals, key = text.partition("=")
    if not equals or not url.startswith(("http://", "https://")):
        raise AuditError(f"{text[:100]!r} is not URL=VKEY", hint="as in https://witness.example=witness.example+1234…")
    verifier = read_key(key)
    if verifier.kind not in COSIGNATURES:
        raise AuditError(f"the key of {verifier.name} is not a witness's (type 4 or 6)")
    return url, verifier


def _tell(found: Collected) -> None:
    for one in found.said:
        names = ", ".join(signature.name for signature in one.signatures)
        if one.error is None:
            say(f"{one.url}: cosigned {counted(found.size, 'leaf')} as {names}")
        else:
            click.echo(f"{one.url}: {one.error}" + (f" ({one.error.hint})" if one.error.hint else ""), err=True)
    for one in found.said:
        if isinstance(one.error, UntrueError):
            raise one.error
    if not found.enough:
        kept = "they are published" if found.published else "what is published stays"
        raise AuditError(f"the cosignatures are not enough; {kept}")
