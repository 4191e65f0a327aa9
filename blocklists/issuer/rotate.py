"""Keys that come and go: a new signer, one who leaves, a key that was lost or stolen, the desk's own keys.

Enters: the desk, cards that come, people that go. Leaves: a `Request` of kind `keys` with the next root, and the next
targets role under it.

Rules
- The next root is signed by the threshold of the old root and by that of the new one (TUF 5.3.4): with three signers
  of whom two decide, one lost key is replaced by the other two.
- The targets role is signed again with it: what a removed key signed must not depend on that key.
- A version of the relief role that somebody counted up beyond all measure starts again where the online keys change
  too: then clients forget the snapshot that holds them to it (TUF 5.3.11).
- New online keys are in `online.next/` until the root that names them is published.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tuf.api.metadata import Metadata, Root, Targets

from blocklists.entry import as_text
from blocklists.errors import BlocklistError
from blocklists.head import MAX_JUMP
from blocklists.issuer.keys import DESK, Keyring
from blocklists.issuer.request import About, Request
from blocklists.repository import (
    LIFETIMES,
    OFFLINE,
    ONLINE,
    RELIEF,
    ROOT,
    TARGETS,
    check_delegations,
    check_root,
    delegate_relief,
    final,
    holder,
    relief_keys,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from securesystemslib.signer import Key
    from tuf.api.metadata import Delegations

    from blocklists.issuer.desk import Current, Desk
    from blocklists.issuer.keys import Card


class RotateError(BlocklistError):
    """The wished-for keys cannot be."""


def known_keys(desk: Desk) -> Mapping[str, Key]:
    """Every key that was ever to sign for this desk, by key id: of all its roots, and of its newest targets role."""
    current = desk.current()
    if current is None:
        return {}
    roots: list[Metadata[Root]] = [Metadata.from_bytes(path.read_bytes()) for path in desk.roots()]
    found = {keyid: key for root in roots for keyid, key in root.signed.keys.items()}
    return {**found, **relief_keys(current.targets.signed.delegations)}


def holders(desk: Desk) -> Mapping[str, str]:
    """Who holds which key, by key id, as the signed metadata says it."""
    named = {keyid: holder(key) for keyid, key in known_keys(desk).items()}
    current = desk.current()
    online = [keyid for role in ONLINE for keyid in current.root.signed.roles[role].keyids] if current else []
    return {keyid: name for keyid, name in named.items() if name} | dict.fromkeys(online, DESK)


def rotate(
    desk: Desk, *, come: Sequence[Card] = (), go: Collection[str] = (), threshold: int | None = None,
    online: bool = False, online_passphrase: bytes | None = None, now: datetime, author: str,
) -> Request:  # fmt: skip
    """The request that changes keys. `go`: names of people, or beginnings of key ids. Raises RotateError."""
    current = desk.current()
    if current is None:
        raise RotateError(f"{desk.folder} has published no root yet")
    root = Root.from_dict(current.root.signed.to_dict())
    root.version, root.expires = root.version + 1, (now + LIFETIMES[ROOT]).replace(microsecond=0)
    going = _going(desk, current, go)
    for role in OFFLINE:
        for keyid in [keyid for keyid in root.roles[role].keyids if keyid in going]:
            root.revoke_key(keyid, role)
        for card in come:
            if role in card.keys:
                root.add_key(card.keys[role], role)
        root.roles[role].threshold = threshold or root.roles[role].threshold
        if len(root.roles[role].keyids) < root.roles[role].threshold:
            raise RotateError(
                f"{len(root.roles[role].keyids)} key(s) of {role} would be left for a threshold of "
                f"{root.roles[role].threshold}", hint="let another signer come in the same step: --add card.json"
            )  # fmt: skip
    if online:
        _renew_online(desk, root, online_passphrase)
    _finalise(root)
    before = current.targets.signed
    delegations = _delegations(before, come, going, current.relief.signed.targets)
    check_root(root, 1)
    check_delegations(root, delegations)
    targets = Targets(
        before.version + 1, expires=(now + LIFETIMES[TARGETS]).replace(microsecond=0), targets=before.targets,
        delegations=delegations,
    )  # fmt: skip
    relief = current.relief.signed
    counted = 0 if online and relief.version > MAX_JUMP else relief.version
    note = "; ".join(
        part
        for part in (
            f"{', '.join(card.name for card in come)} come" if come else "", f"{', '.join(go)} go" if go else "",
            "new online keys" if online else "", f"{threshold} decide" if threshold else "",
        )
        if part
    )  # fmt: skip
    return Request(
        About("keys", None, author, as_text(now), note), root=Metadata(root), targets=Metadata(targets),
        relief=Metadata(
            Targets(counted + 1, expires=(now + LIFETIMES[RELIEF]).replace(microsecond=0),
                    targets=relief.targets)
        ),
    )  # fmt: skip


def _going(desk: Desk, current: Current, go: Collection[str]) -> set[str]:
    root, delegations = current.root.signed, current.targets.signed.delegations
    names = holders(desk)
    keyids = set(root.keys) | set(delegations.keys if delegations else ())
    going: set[str] = set()
    for wanted in go:
        found = {
            keyid
            for keyid in keyids
            if names.get(keyid) == wanted or (len(wanted) >= 8 and keyid.startswith(wanted.lower()))
        }
        if not found:
            known = ", ".join(sorted(set(names.values()))) or "none"
            raise RotateError(f"nobody called {wanted!r}, and no such key", hint=f"known: {known}")
        going |= found
    return going


def _delegations(before: Targets, come: Sequence[Card], going: set[str], files: Collection[str]) -> Delegations:
    stay = [final(key.to_dict()) for keyid, key in relief_keys(before.delegations).items() if keyid not in going]
    keys = {key.keyid: key for key in (*stay, *(card.keys[RELIEF] for card in come if RELIEF in card.keys))}
    if not keys:
        raise RotateError("nobody would be left who can withdraw an entry")
    return delegate_relief(keys, files)


def _finalise(root: Root) -> None:
    """Every key under the id that its fields have: roots of 0.1 computed it without the holder's name."""
    ids = {keyid: final(key.to_dict()) for keyid, key in root.keys.items()}
    root.keys = {key.keyid: key for key in ids.values()}
    for role in root.roles.values():
        role.keyids = [ids[keyid].keyid for keyid in role.keyids]


def _renew_online(desk: Desk, root: Root, passphrase: bytes | None) -> None:
    shutil.rmtree(desk.folder / "online.next", ignore_errors=True)
    keyring = Keyring.create(desk.folder / "online.next", DESK, passphrase, roles=ONLINE)
    for role in ONLINE:
        for keyid in list(root.roles[role].keyids):
            root.revoke_key(keyid, role)
        root.add_key(keyring.card.keys[role], role)
