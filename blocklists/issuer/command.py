"""`stopsign issuer`: the list maintainer's desk, from a person's keys to a published list.

Enters: the command line. Leaves: results on standard output, all else on standard error; 0 done, 1 checked and found
wanting, 2 could not. Each command is a step of the list's life and calls the file named after it.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blocklists.errors import VerifyError
from blocklists.issuer import command_appeals, command_keys, command_sealed, command_setup, command_upkeep
from blocklists.issuer.options import (
    FILE,
    FOLDER,
    INPUT,
    Duration,
    author_option,
    desk_option,
    json_option,
    list_option,
    note_option,
    now,
    output_option,
    passphrase_from,
    passphrase_option,
    result,
    save,
    say,
    trusted_root_option,
)
from blocklists.issuer.progress import asking, progress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from blocklists.entry import Match
    from blocklists.head import Head
    from blocklists.importers import source
    from blocklists.importers.intake import Intake
    from blocklists.issuer.keys import Keyring
    from blocklists.issuer.review import Review


@click.group()
def issuer() -> None:
    """The list maintainer's desk: import, propose, review, sign, publish."""


for _command in command_appeals.COMMANDS:
    command_upkeep.appeals.add_command(_command)
for _command in (*command_setup.COMMANDS, *command_keys.COMMANDS, *command_sealed.COMMANDS, *command_upkeep.COMMANDS):
    issuer.add_command(_command)


@issuer.command("import")
@click.argument("files", nargs=-1, required=True, type=FILE)
@desk_option
@list_option
@click.option("--basis", "ground", required=True, help="The ground's key (stopsign issuer basis adds one).")
@click.option("--category", required=True, help="One word: gambling, malware …")
@click.option("--expires", "span", type=Duration(), default="365d", show_default=True, help="When the entries lapse.")
@click.option("--format", "form", default="auto", show_default=True, help="One of `stopsign issuer formats`, or auto.")
@click.option("--mapping", type=FILE, help="How a register is read, in YAML (docs/lists.md): names, grounds, days.")
@click.option(
    "--match",
    type=click.Choice(["exact", "subtree", "below"]),
    default="subtree",
    show_default=True,
    help="What a bare name means. A hosts line is that name alone; zones and ad blockers' rules say it themselves.",
)
@click.option(
    "--star", type=click.Choice(["below", "subtree"]), default="below", show_default=True, help="What *.name means."
)
@click.option("--wall", "walls", multiple=True, help="An address or a name that rules lead to and that is a block.")
@click.option("--replace", is_flag=True, help="Also take off the list what is not in the files.")
@click.option("--dry-run", is_flag=True, help="Say what would be taken, and write nothing.")
@click.option("--rejects", type=FILE, help="Write every rejected line to this file: line, reason, text, file.")
@click.option("--notices", type=FILE, help="Write everything that was not taken as written: line, notice, text, file.")
@author_option
@note_option
@output_option
@json_option
def import_(
    files: tuple[Path, ...], folder: Path, name: str, ground: str, category: str, span: timedelta, form: str,
    mapping: Path | None,
    match: Match, star: Match, walls: tuple[str, ...], replace: bool, dry_run: bool, rejects: Path | None,
    notices: Path | None, author: str, note: str, output: Path | None, plain: bool,
) -> None:  # fmt: skip
    """Bring the names of FILES onto a list: makes a request for the signers."""
    from blocklists.entry import as_text
    from blocklists.head import check_bases
    from blocklists.importers import formats, source
    from blocklists.importers.intake import Intake
    from blocklists.importers.mapping import load as load_mapping
    from blocklists.issuer import propose
    from blocklists.issuer.desk import Desk

    desk, time = Desk.open(folder), now()
    intake = Intake(match, star=star, walls=frozenset(wall.lower().rstrip(".") for wall in walls))
    intake.ground = desk.bases(name).get(ground)
    by = load_mapping(mapping) if mapping else None
    if by is None and form not in {"auto", *formats.FORMATS}:
        by = formats.preset(form)
    unfit: list[source.Rejection] = []
    terms = propose.Terms(ground, category, as_text(time), as_text(time + span))
    with _recorded(intake, rejects, notices):
        with progress("reading", lambda: sum(source.count(file) for file in files), lambda: intake.lines):
            for file in files:
                formats.read(file, intake, form=form, by=by)
        taken = len(intake)
        if replace and not taken:
            raise source.SourceError(
                f"nothing in {', '.join(file.name for file in files)} is a name: --replace would empty {name}",
                hint="look at --dry-run without --replace; propose --remove takes single names off",
            )
        table = {**desk.bases(name), **intake.grounds}
        check_bases(table)
        if replace and by is not None:
            _check_shrunk(by.expect.shrink_at_most, taken, desk.head(name))
        with progress("comparing with what is published"):
            steps = propose.from_candidates(
                desk, name, intake, terms, replace=replace, random=os.urandom, rejected=unfit
            )
        intake.file = ""
        for item in unfit:
            intake.add_rejection(item)
    _report(intake, rejects, notices)
    propose.require_bases(name, table, steps)
    counted = {
        "taken": taken - len(unfit),
        "rejected": intake.counts["rejected"],
        "noted": intake.counts["noted"],
        "withdrawn": intake.counts["withdrawn"],
        "grounds": len(intake.grounds),
        "matches": dict(sorted(intake.by_match().items())),
    }
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(intake.by_match().items()))
    path: Path | None = None
    if not dry_run:
        desk.add_bases(name, intake.grounds)
        wanted = note or f"import of {', '.join(file.name for file in files)}"
        held = [steps]
        del intake, steps  # nothing but the request needs the names, and it gives them up when they are written
        with progress("making the request"):
            path = save(propose.propose(desk, name, held.pop(), now=time, author=author, note=wanted), folder, output)
    say(
        f"{counted['taken']} names taken ({kinds or 'none'}), {counted['rejected']} lines rejected, "
        f"{counted['noted']} notices"
        + (f", {counted['withdrawn']} withdrawn" if counted["withdrawn"] else "")
        + (f", {counted['grounds']} grounds" if counted["grounds"] else "")
    )
    result({**counted, "request": path and str(path)}, plain, lambda: str(path or ""))


@issuer.command("formats")
@json_option
def formats_(plain: bool) -> None:
    """The formats that import and a provider's bridge read: the common ones, and presets for registers."""
    from blocklists.importers import formats
    from blocklists.importers.mapping import presets

    found = {name: {"title": formats.TITLES[name], "publisher": "", "seen": "", "note": ""} for name in formats.FORMATS}
    for name, preset in presets().items():
        found[name] = {"title": preset.title, "publisher": preset.publisher, "seen": preset.seen, "note": preset.note}
    text = [
        f"{name:26}{one['publisher'] + ': ' if one['publisher'] else ''}{one['title']}" for name, one in found.items()
    ]
    result(found, plain, lambda: "\n".join(text))


@issuer.command("review")
@click.argument("request", type=FILE)
@click.option("--key", "folder", type=FOLDER, required=True, help="The folder of your keys.")
@click.option("--repository", help="Where the list is published: a directory or a URL.  [default: as last time]")
@trusted_root_option
@click.option("--popular", type=INPUT, help="Names that many people ask for, most popular first.")
@click.option("--all", "everything", is_flag=True, help="Every entry, not the first of each kind.")
@json_option
def review_(
    request: Path, folder: Path, repository: str | None, trusted_root: Path | None, popular: Path | None,
    everything: bool, plain: bool,
) -> None:  # fmt: skip
    """Show what REQUEST means, recomputed on this machine."""
    from blocklists.issuer import review, show
    from blocklists.issuer.keys import Keyring

    limit = None if everything or plain else review.SHOWN
    reviewed = _review(request, Keyring.open(folder), repository, trusted_root, popular, limit)
    result(show.as_json(reviewed) if plain else None, plain, lambda: "\n".join(show.as_text(reviewed, limit=limit)))
    if not plain:
        for line in show.impacts(reviewed, limit=limit):
            say(line)


@issuer.command("sign")
@click.argument("request", type=FILE)
@click.option("--key", "folder", type=FOLDER, required=True, help="The folder of your keys.")
@click.option("--repository", help="Where the list is published: a directory or a URL.  [default: as last time]")
@trusted_root_option
@click.option("--popular", type=INPUT, help="Names that many people ask for, most popular first.")
@click.option("--yes", is_flag=True, help="Do not ask: the review was read elsewhere.")
@click.option("--output", type=FILE, help="Write the signed request here.  [default: in place]")
@passphrase_option
def sign_(
    request: Path, folder: Path, repository: str | None, trusted_root: Path | None, popular: Path | None, yes: bool,
    output: Path | None, passphrase_file: Path | None,
) -> None:  # fmt: skip
    """Show what REQUEST means and sign it."""
    from blocklists.issuer import review, show, sign
    from blocklists.issuer.keys import Keyring

    keyring = Keyring.open(folder)
    reviewed = _review(request, keyring, repository, trusted_root, popular, review.SHOWN)
    for line in show.as_text(reviewed):
        say(line)
    if not yes:
        for line in show.impacts(reviewed):
            say(line)
        click.confirm(f"Sign this as {keyring.card.name}?", abort=True, err=True)
    with progress("signing"):
        sign.sign(reviewed, keyring, passphrase_from(passphrase_file)).save(output or request)
    click.echo(str(output or request))


@issuer.command("publish")
@click.argument("requests", nargs=-1, required=True, type=FILE)
@desk_option
@click.option("--min-threshold", default=2, show_default=True, type=click.IntRange(1), help="What providers ask for.")
@passphrase_option
def publish_(requests: tuple[Path, ...], folder: Path, min_threshold: int, passphrase_file: Path | None) -> None:
    """Publish a change; REQUESTS are the signed copies of one and the same."""
    from blocklists.issuer import publish
    from blocklists.issuer.desk import Desk
    from blocklists.issuer.request import Request

    desk = Desk.open(folder)
    with progress("publishing"):
        copies = [Request.load(path) for path in requests]
        publish.publish(desk, copies, passphrase_from(passphrase_file), now=now(), min_threshold=min_threshold)
    say(f"published; the web host serves what is in {desk.published}; providers pin {desk.trusted_root}")
    click.echo(str(desk.published))


@issuer.command()
@desk_option
@passphrase_option
def timestamp(folder: Path, passphrase_file: Path | None) -> None:
    """Confirm that what is published is the newest: run it by a timer, several times a day."""
    from blocklists.issuer import publish
    from blocklists.issuer.desk import Desk

    publish.refresh_timestamp(Desk.open(folder), passphrase_from(passphrase_file), now=now())


@issuer.command("verify")
@click.argument("repository")
@list_option
@click.option("--root", type=INPUT, required=True, help="The pinned root metadata.")
@click.option("--state", type=FOLDER, help="Remember what was verified here, to notice an older version next time.")
@click.option("--min-threshold", default=2, show_default=True, type=click.IntRange(1))
@click.option("--deadline", default=60.0, show_default=True, help="Seconds for all of it.")
@click.option("--key", type=INPUT, help="Of a sealed list: the key of a provider that subscribes to it.")
@json_option
def verify_(
    repository: str, name: str, root: Path, state: Path | None, min_threshold: int, deadline: float, key: Path | None,
    plain: bool,
) -> int:  # fmt: skip
    """Fetch a list from REPOSITORY as a provider does, and check every entry of it. Exit 1 when it is refused."""
    import tempfile

    from blocklists import verify
    from blocklists.entry import as_text
    from blocklists.sealed import keys

    with tempfile.TemporaryDirectory(prefix="stopsign-verify-") as scratch:
        try:
            with progress("fetching, and checking every entry"):
                verified = verify.refresh(
                    repository,
                    root,
                    state or Path(scratch),
                    name,
                    deadline=deadline,
                    min_threshold=min_threshold,
                    now=now(),
                    opener=verify.with_key(lambda: keys.load(key)) if key else None,
                    every_entry=True,
                )
        except VerifyError as error:
            refusal = {"ok": False, "reason": error.reason, "message": str(error)}
            result(refusal, plain, lambda: f"refused: {refusal['reason']}: {refusal['message']}")
            return 1
    head, relief = verified.head, verified.relief
    suspended = len(relief.suspended) if relief else 0
    result(
        {
            "ok": True, "list": head.list, "version": head.version, "entries": head.entries, "state": head.state,
            "signed_by": verified.signed_by, "holders": dict(verified.holders), "threshold": verified.threshold,
            "suspended": suspended, "timestamp_expires": as_text(verified.timestamp_expires),
        },
        plain,
        lambda: f"{head.list} version {head.version}: {head.entries} entries, {suspended} suspended, "
        f"signed by {len(verified.signed_by)} of at least {verified.threshold}; {head.state}",
    )  # fmt: skip
    return 0


def _check_shrunk(share: float | None, taken: int, published: Head | None) -> None:
    """Raise SourceError where a list would lose more of its names than the mapping expects."""
    from blocklists.importers import source

    if share is not None and published is not None and taken < (1 - share) * published.entries:
        raise source.SourceError(
            f"{taken:,} names where {published.list} has {published.entries:,}: more than {share:.0%} would go",
            hint="if it is right: a mapping with a higher expect: shrink_at_most",
        )


@contextmanager
def _recorded(intake: Intake, rejects: Path | None, notices: Path | None) -> Iterator[None]:
    """Write each rejection and each notice to the file that was asked for, as it comes."""
    from blocklists.importers import source

    with ExitStack() as stack:
        try:
            files = [
                stack.enter_context(path.open("w", encoding="utf-8")) if path else None for path in (rejects, notices)
            ]
        except OSError as error:
            raise click.FileError(error.filename, error.strerror) from None

        def write(item: source.Rejection | source.Notice) -> None:
            rejected = isinstance(item, source.Rejection)
            if (file := files[0 if rejected else 1]) is not None:
                what = item.reason if isinstance(item, source.Rejection) else item.notice
                file.write(f"{item.line}\t{what}\t{item.text}\t{item.file}\n")

        intake.record = write if any(files) else None
        yield
        len(intake)  # what the files let pass is settled, and said, while they are open
    intake.record = None


def _report(intake: Intake, rejects: Path | None, notices: Path | None) -> None:
    """What was not taken as written: the first of it."""
    for rejected in intake.rejected[:10]:
        say(f"{_place(rejected)}: {rejected.reason}: {rejected.text}")
    if (more := intake.counts["rejected"] - 10) > 0:
        say(f"and {more} more rejected lines ({rejects or '--rejects FILE'} has them all)")
    for notice in intake.notices[:10]:
        say(f"{_place(notice)}: {notice.text}: {notice.notice}")
    if (more := intake.counts["noted"] - 10) > 0:
        say(f"and {more} more notices ({notices or '--notices FILE'} has them all)")


def _place(item: source.Rejection | source.Notice) -> str:
    return f"{item.file}, line {item.line}" if item.file else f"line {item.line}"


def _review(
    path: Path, keyring: Keyring, repository: str | None, trusted_root: Path | None, popular: Path | None,
    limit: int | None,
) -> Review:  # fmt: skip
    from blocklists.issuer import known, review
    from blocklists.issuer.request import Request

    request = Request.load(path)
    remembered = keyring.folder / "known" / "repository"
    if repository is None and remembered.exists():
        repository = remembered.read_text().strip()
    with progress("fetching what is published"):
        knowledge = known.look_up(
            keyring, request, repository, now=now(), trusted_root=trusted_root, agree=_agree_to_root
        )
    if repository is not None:
        remembered.parent.mkdir(parents=True, exist_ok=True)
        remembered.write_text(f"{repository}\n")
    try:
        names = popular.read_text(encoding="utf-8").split() if popular else ()
    except UnicodeDecodeError:
        raise click.BadParameter(f"{popular} is no text in UTF-8", param_hint="--popular") from None
    with progress("reviewing"):
        return review.review(request, knowledge, popular=names, own=keyring.card, limit=limit)


def _agree_to_root(text: str) -> bool:
    with asking():
        say(text)
        say("Ask another signer, by telephone, for what `sha256sum root.json` says at the desk.")
        return click.confirm("Is it the same?", err=True)
