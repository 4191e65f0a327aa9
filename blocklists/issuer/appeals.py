"""Appeals at the issuer's desk: bundles of providers come in, wait for a person, and are forgotten after the decision.

    DIR/appeals/  reader.pem       opens the bundles; readable by its owner alone
                  providers.json   the keys of the providers whose bundles are believed, by name
                  inbox/           one file an appeal, <id>.json; against a sealed list <id>.sealed (`vault`)

Enters: a bundle (`blocklists/bundle.py`). Leaves: appeals that wait, the nearest deadline first. Rules: what is not
signed by a provider named here is refused; an appeal that came twice is there once; a signer of the entry cannot
decide (that is `withdraw.decide`); what a citizen wrote is deleted half a year after the decision; what came encrypted
(`sealed.appeal`) stays so in the inbox, and is opened for who reads it.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from blocklists import bundle, durable
from blocklists.bundle import Appeal, BundleError
from blocklists.entry import as_time
from blocklists.errors import why
from blocklists.issuer import sealing, vault
from blocklists.issuer.reader import InboxError, reader_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from blocklists.head import Decision
    from blocklists.issuer.desk import Desk

KEPT = timedelta(days=182)
_ID = re.compile(r"A-[0-9A-HJKMNP-TV-Z]{12}\Z").match


@dataclass(frozen=True, slots=True)
class Waiting:
    """An appeal in the inbox: who passed it on, and what it says."""

    provider: str
    appeal: Appeal


def trust(desk: Desk, name: str, line: str) -> None:
    """Believe the bundles that are signed with this key. Raises BundleError for what is no key."""
    bundle.check_sender(line)
    with desk.locked():
        known = {**providers(desk), name: line.strip()}
        path = desk.folder / "appeals" / "providers.json"
        durable.replace(path, json.dumps(known, indent=1, sort_keys=True).encode())


def providers(desk: Desk) -> Mapping[str, str]:
    """The keys that are believed, by name."""
    path = desk.folder / "appeals" / "providers.json"
    try:
        return {str(name): str(line) for name, line in json.loads(path.read_bytes()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise InboxError(f"{path} cannot be read ({why(error, path)})") from error


def take_in(desk: Desk, data: bytes) -> tuple[str, list[Appeal]]:
    """Put a bundle's appeals into the inbox; who sent it, and those that were new. Raises BundleError."""
    known = providers(desk)
    key = reader_key(desk)
    opened = bundle.unseal(data, key, list(known.values()))
    provider = next(name for name, line in known.items() if bundle.key_id(line) == opened.sender)
    for appeal in opened.appeals:
        if not _ID(appeal.appeal):
            raise BundleError(f"{appeal.appeal!r} is not the id of an appeal")
    with desk.locked():  # not while another passphrase comes: what is sealed under the old one would be left
        new = [appeal for appeal in opened.appeals if not _file(desk, appeal.appeal).exists()]
        for appeal in new:
            path = _file(desk, appeal.appeal)
            kept = json.dumps({"provider": provider, **asdict(appeal)}, indent=1, sort_keys=True).encode()
            if (sealed := sealing.header_of(desk, appeal.list)) is not None:  # it says a name of the list
                path, kept = path.with_suffix(".sealed"), vault.seal(sealed, desk.ask(), [kept])
            durable.replace(path, kept, mode=0o600)
    return provider, [bundle.read(appeal, key) for appeal in new]


def inbox(desk: Desk) -> list[Waiting]:
    """Every appeal that is kept, the nearest deadline first."""
    found, key = [], reader_key(desk)
    folder = desk.folder / "appeals" / "inbox"
    # By their endings: a file that was cut off while it was written has another one
    for path in (*folder.glob("A-*.json"), *folder.glob("A-*.sealed")):
        try:
            data = path.read_bytes()
            fields = json.loads(data if path.suffix == ".json" else vault.opened(data, desk.ask()))
            found.append(Waiting(fields.pop("provider"), bundle.read(Appeal(**fields), key)))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InboxError(f"{path} cannot be read ({why(error, path)})") from error
    return sorted(found, key=lambda one: (one.appeal.due, one.appeal.appeal))


def find(desk: Desk, appeal: str) -> Waiting:
    """One appeal of the inbox. Raises InboxError."""
    for one in inbox(desk):
        if one.appeal.appeal == appeal:
            return one
    raise InboxError(
        f"there is no appeal {appeal!r} in the inbox",
        hint="stopsign issuer appeals inbox lists them; decide --unreceived answers one that no provider passed on",
    )


def against(desk: Desk, appeal: str, name: str | None, reference: str | None) -> tuple[str, str]:
    """The list and the entry that an appeal of the inbox is against. Raises InboxError where nobody received it,
    or what is said of it is not so."""
    it = find(desk, appeal).appeal
    if (name or it.list, reference or it.reference) != (it.list, it.reference):
        raise InboxError(f"appeal {appeal} is against {it.reference} of {it.list}")
    return it.list, it.reference


def decisions(desk: Desk) -> Mapping[str, Decision]:
    """What was decided and published, by appeal."""
    reliefs = [relief for name in desk.lists() if (relief := desk.relief(name)) is not None]
    return {decision.appeal: decision for relief in reliefs for decision in relief.decisions}


def waiting(desk: Desk) -> list[Waiting]:
    """Those that nobody has decided."""
    decided = decisions(desk)
    return [one for one in inbox(desk) if one.appeal.appeal not in decided]


def forget(desk: Desk, now: datetime) -> int:
    """Delete what was written in appeals that were decided half a year ago; how many."""
    gone = 0
    for appeal, decision in decisions(desk).items():
        path = _file(desk, appeal) if _ID(appeal) else None
        if path is not None and path.exists() and as_time(decision.decided) + KEPT < now:
            path.unlink()
            gone += 1
    return gone


def _file(desk: Desk, appeal: str) -> Path:
    path = desk.folder / "appeals" / "inbox" / f"{appeal}.json"
    sealed = path.with_suffix(".sealed")
    return sealed if sealed.exists() else path
