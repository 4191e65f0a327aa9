"""Sealed lists at the desk: who subscribes, the version that is made for them, and what signers check of it.

    DIR/sealed/<list>.json   {"format": 1, "vault": header, "subscribers": [cards], "retired": number}: the list is
                             sealed; names' keys up to that number are not used for another version

Enters: the desk, and changes with names. Leaves: the parts of a request (`Parts`); or `SealingError` where its parts
are not of one version.

Rules
- Names are on no disk but in files of the vault (`vault`, `names`): the request's `names.sealed`, the ledger.
- Each version has a file key of its own. The names' key stays while nobody leaves: a version after a subscriber was
  removed, or after its key was retired, has a new one, and no step, so that what a former subscriber or a thief of the
  key has opens nothing and compares with nothing.
- A signer believes no part of a request: the names before come to the state that was signed last, the names after to
  the one that would be, the files open to exactly those digests, the recipients are the cards that travel with them.
  That a stanza holds the file key, its owner alone can see; a provider whose stanza does not open alarms.
"""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from blocklists import delta, document, durable
from blocklists.delta import ADDED, REMOVED
from blocklists.errors import BlocklistError, why
from blocklists.head import check_list
from blocklists.issuer import names, vault
from blocklists.issuer.names import Names
from blocklists.issuer.reader import appeals_key, encrypted_to
from blocklists.sealed import lines as sealed_lines
from blocklists.sealed import seal as seals
from blocklists.sealed import stream
from blocklists.sealed.errors import SealError
from blocklists.sealed.keys import Card
from blocklists.sealed.seal import FILE_KEY, NAME_KEY, Keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from blocklists.document import Summary
    from blocklists.head import Head
    from blocklists.issuer.desk import Desk
    from blocklists.issuer.request import Request
    from blocklists.sealed.seal import Seal
    from resolver._core import Steps as MadeSteps

Steps = list[tuple[bytes, bytes]]
_OTHER = {ADDED: REMOVED, REMOVED: ADDED}


class SealingError(BlocklistError):
    """A sealed list cannot be made, or a request's parts are not of one version."""


@dataclass(frozen=True, slots=True)
class Sealing:
    """What the desk knows of a sealed list besides its names."""

    vault: str
    """The header of the vault's files."""
    appeals_key: bytes
    """What is written in appeals is encrypted to it (`reader`)."""
    subscribers: tuple[Card, ...] = ()
    retired: int = 0
    """The newest number of a names' key that makes no further version."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a version of a sealed list adds to a request, and to its head."""

    summary: Summary
    """Of the lines with digests."""
    seal: Seal
    full: bytes
    delta: bytes | None
    delta_size: int
    names: bytes


def begin(desk: Desk, name: str) -> None:
    """Make a list that is not there yet a sealed one. Raises SealingError."""
    with desk.locked():
        if sealing(desk, name) is not None:
            raise SealingError(f"{name} is a sealed list already")
        _refuse_adopted(desk, name)
        if desk.head(name) is not None:
            raise SealingError(
                f"{name} is published as a readable list, and stays one", hint="what was readable once cannot be sealed"
            )
        others = sorted((desk.folder / "sealed").glob("*.json"))
        header = json.loads(others[0].read_bytes())["vault"] if others else vault.create(desk.ask())
        vault.seal(header, desk.ask(), [])  # a wrong passphrase shows now, not at the first version
        _store(desk, name, Sealing(header, appeals_key(desk)))


def sealing(desk: Desk, name: str) -> Sealing | None:
    """What the desk knows of a sealed list; None where the list is readable. Raises SealingError."""
    path = desk.folder / "sealed" / f"{check_list(name)}.json"
    try:
        fields = json.loads(path.read_bytes())
        cards = tuple(Card.from_bytes(json.dumps(one).encode()) for one in fields["subscribers"])
        return Sealing(fields["vault"], appeals_key(desk), cards, int(fields.get("retired", 0)))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, SealError) as error:
        raise SealingError(f"{path} cannot be read ({why(error, path)})") from None


def header_of(desk: Desk, name: str) -> str | None:
    """The header of the vault's files for a list that somebody names; None where it is no sealed list."""
    there = {path.stem for path in (desk.folder / "sealed").glob("*.json")}
    known = sealing(desk, name) if name in there else None
    return known.vault if known is not None else None


def required(desk: Desk, name: str) -> Sealing:
    """As `sealing`, of a list that must be sealed. Raises SealingError."""
    known = sealing(desk, name)
    if known is None:
        _refuse_adopted(desk, name)
        raise SealingError(
            f"{name} is not a sealed list", hint="stopsign issuer seal makes one, before its first version"
        )
    return known


def _refuse_adopted(desk: Desk, name: str) -> None:
    published = desk.head(name)
    if published is not None and published.adopted and published.seal is not None:
        source = published.adopted[0].issuer.name
        raise SealingError(
            f"{name} is adopted sealed from {source}", hint="its source says who subscribes, and changes its keys"
        )


def subscribe(desk: Desk, name: str, card: Card) -> None:
    """Put a provider on the list of subscribers, from the next version on. Raises SealingError."""
    with desk.locked():
        known = required(desk, name)
        if any(one.keyid == card.keyid for one in known.subscribers):
            raise SealingError(f"the key {card.keyid} subscribes to {name} already")
        _store(desk, name, replace(known, subscribers=(*known.subscribers, card)))


def unsubscribe(desk: Desk, name: str, wanted: str) -> tuple[Card, ...]:
    """Take a provider (its name or a key's id) off, from the next version on; who went. Raises SealingError."""
    with desk.locked():
        known = required(desk, name)
        gone = tuple(one for one in known.subscribers if wanted in {one.provider, one.keyid})
        if not gone:
            raise SealingError(
                f"nobody subscribes to {name} as {wanted!r}", hint="stopsign issuer subscribe list shows who"
            )
        _store(desk, name, replace(known, subscribers=tuple(one for one in known.subscribers if one not in gone)))
        return gone


def retire(desk: Desk, name: str) -> int:
    """Give the next version a new names' key; the number of the one that goes. Raises SealingError."""
    with desk.locked():
        known, published = required(desk, name), desk.head(name)
        if published is None or published.seal is None:
            raise SealingError(f"{name} is not published yet, and has no names' key that could go")
        _store(desk, name, replace(known, retired=published.seal.name_key_number))
        return published.seal.name_key_number


def rewrap(desk: Desk, name: str, header: str) -> None:
    """Make the list's next files under another vault; the caller has locked the desk. Raises SealingError."""
    _store(desk, name, replace(required(desk, name), vault=header))


def changed(known: Sealing, before: Head | None) -> bool:
    """Whether the published version is for others than those who subscribe now, under a names' key that was retired, or
    has another key for appeals."""
    if before is None or before.seal is None:
        return True
    retired, other = before.seal.name_key_number <= known.retired, before.seal.appeals_key != known.appeals_key
    return _ids(known.subscribers) != _published_ids(before) or retired or other


def parts(desk: Desk, name: str, known: Sealing, before: Head | None, made: MadeSteps) -> Parts:
    """The next version. Raises SealingError, VaultError, DocumentError."""
    published = desk.names(name, before.version) if before else None
    old, plain = published.listing() if published else None, names.in_memory()
    delta.stepped(delta.Before(old.path, old.size) if old else None, made, plain.path)
    steps = list(made)
    nobody_left = before is not None and _published_ids(before) <= _ids(known.subscribers)
    stays = published is not None and nobody_left and published.number > known.retired
    name_key = published.keys.name if published is not None and stays else os.urandom(NAME_KEY)
    number = (published.number + (not stays)) if published else 1
    keys = Keys(os.urandom(FILE_KEY), name_key)
    full, summary = names.packed(iter(sealed_lines.seal_all(plain.lines(), name_key)))
    step = step_size = None
    if stays:
        step, step_size = _packed_step(steps, name_key)
    packed_steps, _ = names.packed(sign + line for sign, line in steps)
    kept = Names(
        keys,
        number,
        published.keys.name if published else None,
        known.subscribers,
        plain.path.read_bytes(),
        packed_steps,
    )
    return Parts(
        summary, seals.make(known.subscribers, keys, number, summary.state, known.appeals_key), _sealed(keys, full),
        None if step is None else _sealed(keys, step), step_size or 0, kept.seal(known.vault, desk.ask()),
    )  # fmt: skip


def checked(request: Request, head: Head, before: Head | None, inside: Names) -> Iterator[str]:
    """What changes in the seal, in sentences; raises SealingError, SealError, DocumentError where the parts of the
    request are not what the head announces, or do not begin at `before`, the head that was signed last."""
    if head.seal is None or request.full is None:
        raise SealingError("the request brings names, and no sealed document")
    steps, old = inside.steps(), before.seal if before else None
    lines = sealed_lines.seal_all(inside.listing().lines(), inside.keys.name)
    if before is not None and (old is None or before.summary() != _before(inside, steps, lines)):
        raise SealingError("the names in the request do not begin at the list that was signed last")
    if before is None and sorted(line for _, line in steps) != sorted(inside.listing().lines()):
        raise SealingError("the names in the request are not those of a first version")
    if document.summarise(lines) != head.summary():
        raise SealingError("the names in the request are not those that the head announces")
    _check_file(request.full, inside.keys.file, lines, "the document")
    stays = old is not None and old.name_key_number == head.seal.name_key_number
    if stays != (head.delta is not None):
        raise SealingError("a version has a step exactly where it keeps the names' key")
    if stays and request.delta is not None:
        _check_file(
            request.delta,
            inside.keys.file,
            [sign + line for sign, line in _digested(steps, inside.keys.name)],
            "the step",
        )
    yield from _check_seal(head.seal, old, inside)


def _check_seal(seal: Seal, old: Seal | None, inside: Names) -> Iterator[str]:
    if (
        seals.open_name_key(seal.name_key, inside.keys.file) != inside.keys.name
        or seal.name_key_number != inside.number
    ):
        raise SealingError("the head holds another names' key than the request")
    stays = old is not None and old.name_key_number == seal.name_key_number
    if seal.name_key_number != (old.name_key_number if old else 0) + (not stays) or stays != (
        inside.base == inside.keys.name
    ):
        raise SealingError("the number of the names' key does not say whether it is a new one")
    announced = {(one.provider, one.keyid) for one in seal.recipients}
    if announced != {(card.provider, card.keyid) for card in inside.subscribers}:
        raise SealingError("the head is sealed for others than the cards in the request")
    earlier = {(one.provider, one.keyid) for one in old.recipients} if old else set()
    if stays and {keyid for _, keyid in earlier} - {keyid for _, keyid in announced}:
        raise SealingError("a subscriber goes, and the names' key stays: they could go on testing names")
    for change, ones in (("comes", announced - earlier), ("goes", earlier - announced)):
        for provider, keyid in sorted(ones):
            yield f"subscriber {provider}, key {keyid}, {change}"
    if old is None or old.appeals_key != seal.appeals_key:
        yield encrypted_to(seal.appeals_key)
    if old is not None and not stays:
        yield "the names' key is a new one: every digest changes"


def _check_file(data: bytes, file_key: bytes, lines: Iterable[bytes], what: str) -> None:
    inside = names.in_memory(b"".join(stream.opened(file_key, io.BytesIO(data))))
    if list(inside.lines()) != list(lines):
        raise SealingError(f"{what} in the request does not hold the digests of its names")


def _before(inside: Names, steps: Steps, lines: Sequence[bytes]) -> Summary | None:
    """What the version before comes to, from this one (`lines` are its digests) and the step taken back."""
    back = [(_OTHER[sign], line) for sign, line in steps]
    if inside.base is None:
        return None
    if inside.base == inside.keys.name:  # then only the step's names have to be hashed again
        blocks = (b"".join(lines[at : at + delta.LINES]) for at in range(0, len(lines), delta.LINES))
        return document.summarise(delta.merged(blocks, _digested(back, inside.base)))
    undone = delta.merged(inside.listing().blocks(), sorted(back, key=_place))
    return document.summarise(sealed_lines.seal_all(undone, inside.base))


def _digested(steps: Sequence[tuple[bytes, bytes]], key: bytes) -> Steps:
    """The same changes with digests, in the order of the sealed document."""
    return sorted(((sign, sealed_lines.seal(line, key)) for sign, line in steps), key=_place)


def _packed_step(steps: Sequence[tuple[bytes, bytes]], key: bytes) -> tuple[bytes, int]:
    packed, summary = names.packed(sign + line for sign, line in _digested(steps, key))
    return packed, summary.size


def _place(change: tuple[bytes, bytes]) -> tuple[tuple[bytes, bytes, bytes], bool]:
    return delta.order(change[1]), change[0] == ADDED


def _sealed(keys: Keys, data: bytes) -> bytes:
    return b"".join(stream.seal(keys.file, [data]))


def _ids(cards: Iterable[Card]) -> set[str]:
    return {card.keyid for card in cards}


def _published_ids(head: Head) -> set[str]:
    return {one.keyid for one in head.seal.recipients} if head.seal else set()


def _store(desk: Desk, name: str, known: Sealing) -> None:
    fields = {
        "format": 1, "vault": known.vault, "retired": known.retired,
        "subscribers": [json.loads(card.to_bytes()) for card in known.subscribers],
    }  # fmt: skip
    durable.make_folder(desk.folder / "sealed")
    durable.replace(desk.folder / "sealed" / f"{check_list(name)}.json", json.dumps(fields, indent=1).encode() + b"\n")
