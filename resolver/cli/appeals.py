"""`stopsign appeals`: the provider's desk on the command line.

Results go to standard output, everything else to standard error. It opens the appeals database beside the web process;
the web process reports changes to the steward, so that the log has them. Exit 1: something is overdue (`list`,
`remind`).
"""

from __future__ import annotations

import getpass
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

import click

from blocklists.counted import counted
from blocklists.errors import why
from resolver.cli.choosing import Which, choosing, chosen
from resolver.cli.options import Span, as_json, located, say, use_password

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from resolver.config.schema import Config
    from resolver.portal import desk
    from resolver.portal.store import Appeal, Store

T = TypeVar("T")
LONG = 120.0  # seconds for the steward to make a generation of a long list
AT_ONCE = 5_000
MOST_SHOWN = 5

FILE = click.Path(path_type=Path, dir_okay=False)


def with_store(config: Config, work: Callable[[Store], Awaitable[T]]) -> T:
    import asyncio

    from resolver.portal.store import Store

    use_password(config)

    async def run() -> T:
        store = await Store.open(config.database_url)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


def now() -> int:
    return int(time.time())


@click.group()
def appeals() -> None:
    """The appeals that reached the provider."""


@appeals.command("list")
@choosing
@click.option("--all", "closed", is_flag=True, help="Closed ones too.")
@click.option("--csv", "in_csv", is_flag=True, help="For a spreadsheet.")
@located
@as_json
def list_(
    closed: bool, in_csv: bool, path: Path | None, directory: Path | None, in_json: bool, **which: Unpack[Which]
) -> int:
    """What waits, by entry, the nearest deadline first. Exit 1 when something is overdue."""
    from resolver.config.schema import locate
    from resolver.portal import desk

    config, choice, moment = locate(path, directory), chosen(**which), now()
    every = with_store(config, lambda store: store.all(closed=closed))
    _check_list(config, choice.of_list, every)
    found = choice.of(every, moment)
    if in_json:
        click.echo(json.dumps([desk.as_json(one) for one in found], indent=1))
    elif in_csv:
        click.echo(desk.as_csv(found), nl=False)
    elif not found:
        click.echo("no appeal waits")
    else:
        for entry in desk.by_entry(found):
            _print_entry(entry, moment)
    return 1 if any(one.closed is None and one.due < moment for one in found) else 0


def _check_list(config: Config, name: str | None, every: Iterable[Appeal]) -> None:
    """Raises where no list here has that name, and no appeal is about one that had it."""
    from resolver.portal.desk import DeskError

    if name is not None and config.list_named(name) is None and all(one.list != name for one in every):
        there = ", ".join(source.name for source in config.lists) or "none"
        raise DeskError(f"there is no list {name!r}", hint=f"there are: {there}")


def _print_entry(entry: desk.Entry, moment: int) -> None:
    from blocklists.text import shown
    from resolver.base.timestamps import as_text
    from resolver.portal import desk

    name = entry.name or _on_no_list(entry.appeals[0])
    waiting = sum(one.closed is None for one in entry.appeals)
    left = desk.left(entry.due, moment)
    due = (left if entry.due < moment else f"due {left}") if waiting else "closed"
    say(f"{shown(name)}  list {shown(entry.list or '-')}  entry {entry.reference}  {waiting} waiting, {due}")
    for one in entry.appeals:
        about = ", ".join(word for word in (one.ground, one.role, one.language) if word)
        say(f"  {one.id}  {desk.state_of(one):10}  due {as_text(one.due)}  {about}")


def _on_no_list(one: Appeal) -> str:
    if one.list:
        return "(a name of a sealed list)"
    return f"(on no list here; its author says {one.claimed})" if one.claimed else "(on no list here)"


@appeals.command()
@click.argument("appeal", metavar="APPEAL")
@located
@as_json
def show(appeal: str, path: Path | None, directory: Path | None, in_json: bool) -> None:
    """One appeal, with what its author wrote and what happened to it."""
    from blocklists.text import shown
    from resolver.base.timestamps import as_text
    from resolver.config.schema import locate
    from resolver.portal import desk

    async def find(store: Store) -> tuple[Appeal, Any]:
        return await _found(store, appeal)

    one, happened = with_store(locate(path, directory), find)
    if in_json:
        events = [{"at": as_text(each.at), "what": each.what, "note": each.note} for each in happened]
        click.echo(json.dumps({**desk.as_json(one), "events": events}, indent=1))
        return
    say(f"{one.id}  {desk.state_of(one)}  due {as_text(one.due)} ({desk.left(one.due, now())})")
    say(f"entry {one.reference}  {shown(one.name or _on_no_list(one))}  list {shown(one.list or '-')}")
    say(f"from: {one.role or 'not said'}; ground: {one.ground or 'not said'}; language: {one.language}")
    if one.contact:
        shared = "the issuer may have it" if one.share_contact else "for the provider alone"
        say(f"contact: {one.contact} ({shared})")
    if one.sealed:
        say("what its author wrote is encrypted for those who keep the list: stopsign appeals forward")
    for line in one.reason.splitlines():
        say(f"| {line}")
    if one.erased:
        say(f"its words were deleted on {as_text(one.erased)}")
    for each in happened:
        say(f"{as_text(each.at)}  {each.what}  {each.note}".rstrip())
    if one.reasons:
        say(f"decided by {one.decided_by or '?'}: {one.reasons}")


async def _found(store: Store, appeal: str) -> tuple[Appeal, Any]:
    from blocklists.text import shown
    from resolver.portal.desk import DeskError

    found = await store.by_id(appeal.upper())
    if found is None:
        raise DeskError(f"there is no appeal {shown(appeal)[:40]}", hint="stopsign appeals list --all")
    return found


@appeals.command()
@click.argument("wanted", nargs=-1, metavar="[APPEAL]…")
@click.option("--list", "name", help="Which list's; needed where no APPEAL is named.")
@click.option("--key", "reader", type=FILE, required=True, help="The issuer's key for appeals (issuer appeals key).")
@click.option("--output", type=FILE, required=True, help="The bundle, to be sent to the issuer.")
@located
def forward(
    wanted: tuple[str, ...], name: str | None, reader: Path, output: Path, path: Path | None, directory: Path | None
) -> None:
    """Pass appeals on to those who keep the list, sealed for them: those named, or all that wait for it. Mistakes that
    were mended here go too: only those who keep the list can take the entry off."""
    from blocklists import durable
    from blocklists.text import shown
    from resolver.config.schema import locate
    from resolver.portal import desk
    from resolver.portal.desk import DeskError

    config, moment = locate(path, directory), now()
    if not wanted and name is None:
        raise DeskError("neither an appeal nor a list is named", hint="stopsign appeals forward --list NAME …")

    async def choose(store: Store) -> list[Appeal]:
        if wanted:
            chosen = [(await _found(store, appeal))[0] for appeal in wanted]
        else:
            every = await store.all(closed=True)
            _check_list(config, name, every)
            chosen = [one for one in every if one.list == name and desk.is_for_the_issuer(one)]
        return [one for one in chosen if one.closed is None or one.outcome == "mended"]

    chosen = with_store(config, choose)
    if len({one.list for one in chosen}) > 1:
        raise DeskError("these appeals are about several lists; a bundle is for one issuer")
    if not chosen:
        click.echo("nothing waits to be passed on")
        return
    try:
        line = reader.read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise DeskError(f"the issuer's key {reader} cannot be read ({why(error)})") from error
    key = desk.desk_key(config.places.state_dir / "desk")
    durable.replace(output, desk.bundled(chosen, config, key, line, moment))

    async def mark(store: Store) -> None:
        for one in chosen:
            if one.forwarded is None:
                await store.mark(one.id, "forwarded", moment)

    with_store(config, mark)
    contact = _where_appeals_go(config, chosen[0].list)
    say(
        f"{counted(len(chosen), 'appeal')} sealed into {output}"
        + (f", to be sent to {shown(contact)}" if contact else "")
    )


def _where_appeals_go(config: Config, name: str) -> str:
    """The address that the list's head gives for appeals; empty where no list is live."""
    from resolver.policy.in_force import Follower

    live = Follower(config.places)
    live.poll()
    return next((one.issuer.appeals for one in live.now.lists if one.name == name), "")


@appeals.command()
@choosing
@click.option("--outcome", type=click.Choice(["mended", "upheld"]), required=True,
              help="mended: it was a mistake, the entry is taken off here; upheld: the block stays.")  # fmt: skip
@click.option("--reasons", required=True, help="A person's reasons, in words for the appellant.")
@click.option("--by", default=getpass.getuser, help="Who decides. Default: the user.")
@click.option("--for", "span", type=Span(), default="72h", show_default=True,
              help="How long the entry is off, as 72h.")  # fmt: skip
@located
def answer(
    outcome: str,
    reasons: str,
    by: str,
    span: float,
    path: Path | None,
    directory: Path | None,
    **which: Unpack[Which],
) -> None:
    """Decide on a mistake of fact (or on a list of our own), with reasons. The receipt shows it at once.

    One decision may answer many: appeals by name, all on an entry, those of a file, or what a filter leaves. `mended`
    takes off the entry that was appealed against and nothing else: other lists that hold the name go on.
    """
    from resolver.config.schema import locate
    from resolver.portal import desk
    from resolver.portal.desk import DeskError
    from resolver.portal.tables import DECIDED_BY

    config, choice = locate(path, directory), chosen(**which)
    if len(by) > DECIDED_BY:
        raise DeskError(f"--by has {len(by):,} characters; {DECIDED_BY} at most would be right")
    if not reasons.strip():
        raise DeskError("a decision needs reasons")
    if choice.is_empty:
        raise DeskError("nothing says which appeals", hint="stopsign appeals answer APPEAL … or --entry REFERENCE …")

    async def work(store: Store) -> None:
        every = await store.all(closed=bool(choice.named))
        _check_list(config, choice.of_list, every)
        meant = choice.of(every, now())
        if not meant:
            click.echo("no appeal that waits is meant")
        for one in meant:
            source = config.list_named(one.list)
            desk.may_decide(one, outcome, own=source is not None and source.reason in ("blocked", "none"))
        for at in range(0, len(meant), AT_ONCE):
            await _decide(config, store, meant[at : at + AT_ONCE], outcome, by, reasons, span)

    with_store(config, work)


async def _decide(
    config: Config, store: Store, group: list[Appeal], outcome: str, by: str, reasons: str, span: float
) -> None:
    from resolver.base.timestamps import as_text
    from resolver.ipc import control
    from resolver.portal.desk import DeskError

    about = {one.id: one.reference for one in group}
    names = {one.reference: one.name for one in group}
    told = await control.acall(config.places.control_socket, "decide", timeout=LONG, appeals=about, by=by,
                               outcome=outcome, names=names, seconds=span)  # fmt: skip
    for mended in told["mended"]:
        until = as_text(mended["until"])
        say(f"the entry of {mended['name'] or 'a name not known here'} on list {mended['list']} is off until {until}")
    if told["trouble"]:
        raise DeskError(
            f"{len(group)} {'appeal stays' if len(group) == 1 else 'appeals stay'} open: {told['trouble']}",
            hint="say it again when the log is",
        )
    for appeal in await store.decide(list(about), outcome, by, reasons, now()):
        say(f"{appeal} closed: {outcome}")


@appeals.command()
@choosing
@located
def suspend(path: Path | None, directory: Path | None, **which: Unpack[Which]) -> None:
    """Suspend entries whose overdue appeals are held: a person looked at them. `--held` means all of them."""
    from resolver.config.schema import locate
    from resolver.ipc import control
    from resolver.portal.desk import DeskError

    config, choice = locate(path, directory), chosen(**which)
    if choice.is_empty:
        raise DeskError("nothing says which entries", hint="stopsign appeals suspend REFERENCE … or --held")
    every = with_store(config, lambda store: store.all())
    _check_list(config, choice.of_list, every)
    meant = choice.of(every, now())
    if not meant:
        click.echo("nothing of it is held and blocked now")
    references = sorted({one.reference for one in meant})
    for at in range(0, len(references), AT_ONCE):
        part = references[at : at + AT_ONCE]
        done = control.call(config.places.control_socket, "suspend", timeout=LONG, references=part)["suspended"]
        say(*([f"{reference} is suspended" for reference in done] or ["nothing of it is held and blocked now"]))


@appeals.command("drop-unknown")
@click.option("--really", is_flag=True, help="Drop them. Without it: only say how many there are.")
@click.option("--reason", default="the desk does not know them", show_default=True, help="Why, for the log.")
@located
def drop_unknown(really: bool, reason: str, path: Path | None, directory: Path | None) -> None:
    """Drop appeals that wait at this host's steward and are not in the appeals database: a web process that somebody
    has taken over reports appeals that nobody sent. Each has its leaf in the log, and what such appeals alone suspended
    is blocked again. Without --really nothing is changed."""
    from resolver.base.timestamps import as_text
    from resolver.config.schema import locate
    from resolver.ipc import control

    config = locate(path, directory)

    async def look(store: Store) -> dict[str, float]:
        unknown: dict[str, float] = {}
        after = ""
        while True:
            answer = await control.acall(config.places.control_socket, "appeals-waiting", timeout=LONG, after=after)
            waiting: dict[str, float] = answer["appeals"]
            if not waiting:
                return unknown
            known = await store.known(list(waiting))
            unknown |= {appeal: at for appeal, at in waiting.items() if appeal not in known}
            after = max(waiting)

    unknown = with_store(config, look)
    if not unknown:
        click.echo("the desk knows every appeal that waits")
        return
    between = f"came in between {as_text(min(unknown.values()))} and {as_text(max(unknown.values()))}"
    say(f"{counted(len(unknown), 'appeal')} that the desk does not know {between}")
    ids = list(unknown)
    if not really:
        say(*ids[:MOST_SHOWN], *([f"and {len(ids) - MOST_SHOWN:,} more"] if len(ids) > MOST_SHOWN else []))
        click.echo("nothing is changed: --really drops them")
        return
    for at in range(0, len(ids), AT_ONCE):
        part = ids[at : at + AT_ONCE]
        done = control.call(config.places.control_socket, "drop-appeals", timeout=LONG, appeals=part, reason=reason)
        click.echo(f"{done['dropped']:,} are dropped")


@appeals.command()
@click.option("--json", "in_json", is_flag=True, help="For programs.")
@located
def remind(path: Path | None, directory: Path | None, in_json: bool) -> int:
    """Texts for those who let appeals wait, one a list, to be sent by mail. Exit 1 when something is overdue."""
    from resolver.config.schema import locate
    from resolver.portal import desk

    config, moment = locate(path, directory), now()

    async def work(store: Store) -> list[Appeal]:
        late = desk.to_remind(await store.all(), moment)
        for one in late:
            await store.mark(one.id, "reminded", moment)
        return late

    late = with_store(config, work)
    texts = {
        name: desk.reminder([one for one in late if one.list == name], config.provider_name, moment)
        for name in sorted({one.list for one in late})
    }
    if in_json:
        click.echo(json.dumps(texts, indent=1))
    else:
        click.echo("\n".join(texts.values()) if texts else "nobody has to be reminded")
    return 1 if any(one.due < moment for one in late) else 0


@appeals.command()
@located
def key(path: Path | None, directory: Path | None) -> None:
    """This provider's public key, by which issuers know its bundles. Give it to them in person or by telephone."""
    from blocklists import bundle
    from resolver.config.schema import locate
    from resolver.portal import desk

    config = locate(path, directory)
    click.echo(bundle.public_line(desk.desk_key(config.places.state_dir / "desk")))
