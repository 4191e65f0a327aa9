"""What the commands of this part have in common: their options, and how what was typed becomes values."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from resolver.log.errors import AuditError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from resolver.config.schema import Config
    from resolver.log.leaf import Detail
    from resolver.log.note import Verifier
    from resolver.log.policy import Policy
    from resolver.log.source import Source

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)
Command = TypeVar("Command", bound="Callable[..., Any]")


def provider_options(command: Command) -> Command:
    """`--config` and `--dir`."""
    command = click.option("--dir", "directory", type=FOLDER, help="A tree that `demo` made.")(command)
    return click.option("--config", "config_file", type=FILE, help="The provider's configuration.")(command)


def witness_options(command: Command) -> Command:
    """`--witness` and `--quorum`."""
    command = click.option(
        "--quorum", type=click.IntRange(0), help="How many must have cosigned.  [default: all named]"
    )(command)
    command = click.option(
        "--policy", "policy_file", type=FILE, help="A trust policy (c2sp.org/tlog-policy) instead of --witness."
    )(command)
    return click.option("--witness", multiple=True, help="The vkey of a witness whose cosignature counts.")(command)


def json_option(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="For programs.")(command)


def within_option(command: Command) -> Command:
    """`--within`."""
    from resolver.log.limits import WITHIN

    told = "Seconds that an address may take for all of its files together."
    kind = click.IntRange(1)
    return click.option("--within", type=kind, default=int(WITHIN), show_default=True, help=told)(command)


def key_option(*, required: bool = False) -> Callable[[Command], Command]:
    """`--key`."""
    told = "The log's public key (a vkey, or a file that holds one), from somebody you trust."
    return click.option("--key", required=required, help=told)


def locate(config_file: Path | None, directory: Path | None) -> Config:
    """The provider that `--config` or `--dir` names."""
    from resolver.config.schema import locate as find

    return find(config_file, directory)


def read_key(text: str) -> Verifier:
    """A vkey as typed, or the file that holds one."""
    from resolver.log.note import parse_vkey

    if "+" not in text and Path(text).is_file():
        text = read_file(Path(text)).decode("utf-8", "replace")
    return parse_vkey(text.strip())


def read_policy(path: Path | None, witness: tuple[str, ...], quorum: int | None) -> Policy:
    """Who has to have cosigned: what a policy file says, or so many of the witnesses that were named."""
    from resolver.log.policy import Policy, parse_policy

    if path is None:
        witnesses = [read_key(one) for one in witness]
        return Policy.of(witnesses, len(witnesses) if quorum is None else quorum)
    if witness or quorum is not None:
        raise AuditError("--policy says which witnesses and how many", hint="leave --witness and --quorum out")
    return parse_policy(read_file(path))


def read_note(where: str) -> bytes:
    """A checkpoint from a file or an address."""
    from resolver.log.note import MAX_NOTE

    if where.startswith(("http://", "https://")):
        from resolver.log.source import Web

        prefix, _, name = where.rpartition("/")
        return Web(prefix).fetch(name, MAX_NOTE)
    return read_file(Path(where))


def read_file(path: Path) -> bytes:
    """A small file."""
    from resolver.log.note import MAX_NOTE

    try:
        with path.open("rb") as file:
            return file.read(2 * MAX_NOTE + 1)
    except OSError as wrong:
        raise AuditError(f"{path}: {wrong.strerror}") from wrong


def progress(what: str) -> AbstractContextManager[Callable[[int, int], None]]:
    """A line on standard error for what takes longer than a second; `with` gives the function to tell it."""
    from resolver.cli.progress import bar

    return bar(what, sys.stderr)


def readable(
    log: str | None, config_file: Path | None, directory: Path | None
) -> tuple[Source, Callable[[int], list[Detail]]]:
    """A log and what is known of its details: of a copy or an address what is published, of one's own all."""
    from resolver.log.details import Details
    from resolver.log.disk import Disk
    from resolver.log.reading import published_details
    from resolver.log.source import Folder, open_source

    if log is not None:
        source = open_source(log)
        return source, published_details(source)
    places = locate(config_file, directory).places
    if not places.checkpoint.is_file():
        raise AuditError(f"there is no log in {places.log_dir}", hint="`stopsign run` begins one")
    private = Details(Disk(), places.log_details, places.log_dir / "details")
    return Folder(places.log_dir), private.bundle
