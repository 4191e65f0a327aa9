"""The provider's desk: which appeals wait, for whom, how long; and what is said about them to people and to programs.

Enters: appeals from the store. Leaves: them grouped by entry, the nearest deadline first; text that a terminal, a
spreadsheet and a mail program can show without harm; bundles for the issuer. Rules: the provider decides on mistakes of
fact and on lists that are its own decision; merits are for the issuer; whatever a citizen wrote is text and stays text.
"""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blocklists import bundle, durable
from blocklists.errors import why
from blocklists.text import shown
from resolver.base.errors import ResolverError
from resolver.base.timestamps import as_text
from resolver.config.schema_portal import FACT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from resolver.config.schema import Config
    from resolver.portal.store import Appeal

DAY = 86400
REMIND_BEFORE = 3 * DAY
REMIND_EVERY = DAY
_FORMULA = frozenset("=+-@\t\r\n|%")


class DeskError(ResolverError):
    """Something cannot be done at the desk."""


@dataclass(frozen=True)
class Entry:
    """The appeals against one entry: a flood is one line with a number."""

    reference: str
    name: str
    list: str
    appeals: tuple[Appeal, ...]

    @property
    def due(self) -> int:
        """The nearest deadline among the open ones; of closed ones alone, the last."""
        waiting = [one.due for one in self.appeals if one.closed is None]
        return min(waiting) if waiting else max(one.due for one in self.appeals)


def by_entry(appeals: Iterable[Appeal]) -> list[Entry]:
    """Grouped by entry; entries with something open first, the nearest deadline before the others."""
    groups: dict[str, list[Appeal]] = {}
    for one in appeals:
        groups.setdefault(one.reference, []).append(one)
    entries = [
        Entry(reference, _first(one.name for one in group), _first(one.list for one in group), tuple(group))
        for reference, group in groups.items()
    ]
    return sorted(entries, key=lambda e: (all(a.closed is not None for a in e.appeals), e.due, e.reference))


def _first(texts: Iterable[str]) -> str:
    return next((text for text in texts if text), "")


def state_of(appeal: Appeal) -> str:
    """In a word: what happened last."""
    if appeal.closed is not None:
        return appeal.outcome or "closed"
    for state in ("suspended", "held", "reminded", "forwarded"):
        if getattr(appeal, state) is not None:
            return state
    return "received"


def left(due: int, now: int) -> str:
    """How long there is, or how long it is overdue, in the largest fitting unit."""
    seconds = abs(due - now)
    number, unit = (seconds // DAY, "d") if seconds >= 2 * DAY else (seconds // 3600, "h")
    return f"overdue by {number} {unit}" if due < now else f"in {number} {unit}"


def may_decide(appeal: Appeal, outcome: str, own: bool) -> None:
    """Raises DeskError unless the provider may decide so: mistakes of fact, and lists that are its own decision."""
    if appeal.closed is not None:
        raise DeskError(f"{appeal.id} is closed: {appeal.outcome}")
    if outcome == "mended" and not (appeal.name or appeal.sealed):
        raise DeskError(f"{appeal.id} is about a reference that is on no list here: there is nothing to let through",
                        hint="--outcome upheld says so to its author")  # fmt: skip
    if outcome == "upheld" and (appeal.sealed or (appeal.ground not in FACT and appeal.name)) and not own:
        raise DeskError(f"{appeal.id} is about the merits of an order: those who keep list {appeal.list} decide",
                        hint=f"stopsign appeals forward {appeal.id} --key KEY --output FILE")  # fmt: skip


def is_for_the_issuer(appeal: Appeal) -> bool:
    """Whether it is to be passed on, and was not yet: merits, what only the issuer can read, and mistakes that were
    mended here, since an override ends while the entry stays on the list."""
    if appeal.forwarded is not None:
        return False
    return appeal.outcome == "mended" or (appeal.closed is None and (appeal.ground not in FACT or bool(appeal.sealed)))


def to_remind(appeals: Iterable[Appeal], now: int) -> list[Appeal]:
    """Open ones that were passed on, are due soon or overdue, and were not brought up in the last day."""
    return [
        one
        for one in appeals
        if one.closed is None
        and one.forwarded is not None
        and one.due - now < REMIND_BEFORE
        and now - (one.reminded or 0) >= REMIND_EVERY
    ]


def reminder(appeals: Sequence[Appeal], provider: str, now: int) -> str:
    """The text of a reminder to those who keep a list. It holds no word of a citizen."""
    lines = [f"{provider} passed on these appeals against entries of list {appeals[0].list}. They wait:", ""]
    for one in appeals:
        due = f"due {as_text(one.due)} ({left(one.due, now)})"
        lines.append(f"  {one.id}  entry {one.reference}  {one.name}  {due}")
    lines += ["", "An entry whose appeal is overdue is suspended here, unless its legal basis says otherwise.",
              "To decide: stopsign issuer appeals decide APPEAL --outcome upheld|granted --reasons TEXT"]  # fmt: skip
    return "\n".join(shown(line, most=None) for line in lines) + "\n"


# -- the bundle


def bundled(appeals: Iterable[Appeal], config: Config, key: Ed25519PrivateKey, reader: str, now: int) -> bytes:
    """The bundle for the issuer whose reading key is `reader`. Contacts go along only where their owners want it."""
    return bundle.seal(
        (
            bundle.Appeal(
                appeal=one.id,
                list=one.list,
                reference=one.reference,
                name=one.name,
                role=one.role,
                ground=one.ground,
                language=one.language,
                received=as_text(one.received),
                due=as_text(one.due),
                reason=one.reason,
                contact=one.contact if one.share_contact else "",
                sealed=one.sealed,
            )
            for one in appeals
        ),
        provider=config.provider_name,
        portal=config.portal.url,
        made=as_text(now),
        sender=key,
        reader=reader,
    )


def desk_key(folder: Path) -> Ed25519PrivateKey:
    """The key that signs this provider's bundles; made on first use, readable by its owner alone."""
    path = folder / "desk.pem"
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except FileNotFoundError:
        key = bundle.new_sender_key()
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        durable.make_folder(folder, mode=0o700)
        durable.replace(path, pem, mode=0o600)
    except (OSError, ValueError) as error:
        raise DeskError(f"the desk's key {path} cannot be read ({why(error)})") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise DeskError(f"the desk's key {path} is not an Ed25519 key")
    return key


# -- harmless text


def cell(text: str) -> str:
    """Text for a spreadsheet: what would be taken for a formula is led by an apostrophe, which spreadsheets hide."""
    text = shown(text.replace("\n", " "), most=None)
    return f"'{text}" if text[:1] in _FORMULA else text


COLUMNS = ("due", "id", "state", "list", "name", "reference", "ground", "role", "language", "received", "outcome")


def as_csv(appeals: Iterable[Appeal]) -> str:
    """A table for a spreadsheet; without reasons and contacts, which have no place in one."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for one in appeals:
        fields = as_json(one)
        writer.writerow([cell(str(fields[column] or "")) for column in COLUMNS])
    return buffer.getvalue()


def as_json(appeal: Appeal) -> dict[str, object]:
    """For programs: times as RFC 3339, the state in a word."""
    times = ("received", "due", "forwarded", "reminded", "held", "suspended", "closed", "erased")
    fields = {k: as_text(v) if k in times and isinstance(v, int) else v for k, v in asdict(appeal).items()}
    del fields["tag"]
    return {**fields, "state": state_of(appeal)}
