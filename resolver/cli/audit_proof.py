"""`stopsign audit prove | check-proof | cosign | witness-verify`: evidence that goes from hand to hand."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import click

from blocklists.counted import counted
from resolver.cli.audit_options import (
    FILE,
    FOLDER,
    json_option,
    key_option,
    provider_options,
    read_file,
    read_key,
    read_note,
    read_policy,
    readable,
    within_option,
    witness_options,
)
from resolver.cli.options import say
from resolver.log.errors import AuditError

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.argument("leaf", type=click.IntRange(0))
@click.option("--log", help="A copy or an address.  [default: this provider's own]")
@provider_options
@click.option("--output", type=FILE, help="Write it here instead of to standard output.")
def prove(leaf: int, log: str | None, config_file: Path | None, directory: Path | None, output: Path | None) -> None:
    """A proof that LEAF (its index) is in the log, for somebody who has only the log's key (c2sp.org/tlog-proof)."""
    from resolver.log.proof import prove as make
    from resolver.log.tiles import WIDTH

    source, details = readable(log, config_file, directory)
    detail = next((one for one in details(leaf // WIDTH) if one.index == leaf), None)
    _put(make(source, leaf, detail), output)


@click.command("check-proof")
@click.argument("proof", type=FILE)
@key_option(required=True)
@witness_options
@json_option
def check_proof(
    proof: Path, key: str, witness: tuple[str, ...], policy_file: Path | None, quorum: int | None, *, as_json: bool
) -> None:
    """Check a proof offline and say what it proves."""
    from resolver.cli.audit_show import leaf_line
    from resolver.log.proof import check_proof as check

    policy = read_policy(policy_file, witness, quorum)
    proven = check(read_file(proof), read_key(key), policy=policy)
    if as_json:
        click.echo(json.dumps(proven.as_dict()))
        return
    say(leaf_line(proven.index, proven.leaf, proven.detail))
    say(
        f"is in the log {proven.checkpoint.origin}, "
        f"under its signed checkpoint of {counted(proven.checkpoint.size, 'leaf')}"
    )
    for one in proven.witnesses:
        say(f"which {one.verifier.name} saw too")
    if not proven.witnesses:
        click.echo("no witness was asked for: that others see the same checkpoint is not proved")


@click.command()
@click.argument("log")
@key_option(required=True)
@click.option("--witness-key", type=FILE, required=True, help="This witness's signing key.")
@click.option("--new", metavar="NAME", help="Make that key first, under this name (as in regulator.example/witness).")
@click.option("--seen", type=FOLDER, required=True, help="What this witness saw; may be published as it is.")
@click.option("--output", type=FILE, help="Write the cosigned checkpoint here instead of to standard output.")
@within_option
def cosign(
    log: str, key: str, witness_key: Path, new: str | None, seen: Path, output: Path | None, within: int
) -> None:
    """Witness a log: check that it continues what was seen last, and cosign it (c2sp.org/tlog-cosignature)."""
    from resolver.log.source import open_source
    from resolver.log.witness import cosign as sign
    from resolver.log.witness import load_witness, new_witness

    verifier = read_key(key)
    signer = new_witness(witness_key, new, os.urandom) if new else load_witness(witness_key)
    if new:
        click.echo(f"this witness's public key: {signer.verifier}", err=True)
    _put(sign(open_source(log, within=within), verifier, signer, seen, time.time), output)


@click.command("witness-verify")
@click.argument("cosigned", nargs=-1, required=True)
@key_option(required=True)
@witness_options
@click.option("--log", help="The log itself (a copy or an address): does it continue what the witnesses saw?")
@json_option
def witness_verify(
    cosigned: tuple[str, ...], key: str, witness: tuple[str, ...], policy_file: Path | None, quorum: int | None,
    log: str | None, *, as_json: bool,
) -> None:  # fmt: skip
    """Check that a quorum of witnesses saw one log: COSIGNED are their checkpoints, as files or addresses."""
    from resolver.log.source import open_source
    from resolver.log.witness import witness_verify as check

    if not witness and policy_file is None:
        raise AuditError("no witness is named", hint="--witness VKEY, once for each")
    found = check(
        [read_note(where) for where in cosigned],
        read_key(key),
        read_policy(policy_file, witness, quorum),
        open_source(log) if log else None,
    )
    told = [{"name": one.verifier.name, "size": head.size, "time": one.time} for head, one in found]
    if as_json:
        click.echo(json.dumps({"ok": True, "witnesses": told}))
        return
    for head, one in found:
        say(f"{one.verifier.name} saw {counted(head.size, 'leaf')}")
    click.echo("all of them saw one log" + (", and the log continues it" if log else ""))


def _put(data: bytes, output: Path | None) -> None:
    if output is None:
        click.echo(data, nl=False)
        return
    from blocklists.durable import replace

    replace(output, data)
