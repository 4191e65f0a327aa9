"""The shape of a list repository in TUF: its roles, their lifetimes, and the rules on keys that TUF leaves open.

    metadata/  N.root.json  N.targets.json  N.relief.json  N.snapshot.json  timestamp.json
    targets/   <hash>.<list>.head.json  <hash>.<list>.full-<v>.zst  <hash>.<list>.relief.json

| role | keys | threshold | lives | says |
|---|---|---|---|---|
| root | the signers', offline | 2 | 1 year | who may sign what |
| targets | the signers', offline | 2 | 90 days | every list: adding takes two |
| relief (delegated, `*.relief.json`) | one a person, offline | 1 | 90 days | relief takes one: suspensions, decisions |
| snapshot | the desk's, online | 1 | 7 days | which versions belong together |
| timestamp | the desk's, online | 1 | 1 day | that this is the newest |

Rules beyond TUF
- Root and targets ask for at least `min_threshold` signatures.
- No public key stands under two key ids in one role: a threshold counts key ids, and one person would be two.
- No key of root or targets is also one of relief, snapshot or timestamp: those are used alone, or are online.
- Ed25519 and ECDSA on P-256 and P-384 alone.
- TUF has no names. A key carries its holder's in the field `x-stopsign-holder`, so that the name is signed with the
  key; it is for people to read, and decides nothing. It is in NFC: the canonical form of some clients normalises
  texts, that of others does not, and a signature must hold for both.
- A key id is the SHA-256 of the key's canonical form, the name included (TUF 1.0.34, 4.2): strict clients check it.
  Roots of 0.1 have ids computed without the name; they are read, and a change of keys replaces them.
"""

from __future__ import annotations

import hashlib
import unicodedata
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import Key
from tuf.api.metadata import DelegatedRole, Delegations

from blocklists.errors import VerifyError
from blocklists.text import is_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tuf.api.metadata import Root

ROOT, TARGETS, SNAPSHOT, TIMESTAMP, RELIEF = "root", "targets", "snapshot", "timestamp", "relief"
OFFLINE, ONLINE = (ROOT, TARGETS), (SNAPSHOT, TIMESTAMP)
LIFETIMES: Mapping[str, timedelta] = {
    ROOT: timedelta(days=365),
    TARGETS: timedelta(days=90),
    RELIEF: timedelta(days=90),
    SNAPSHOT: timedelta(days=7),
    TIMESTAMP: timedelta(days=1),
}
RELIEF_PATHS, RELIEF_PATHS_FORMERLY = "*.relief.json", "relief/*"
_HOLDER, _LONGEST_NAME = "x-stopsign-holder", 100
SCHEMES = frozenset({
    ("ed25519", "ed25519"), ("ecdsa", "ecdsa-sha2-nistp256"), ("ecdsa", "ecdsa-sha2-nistp384"),
})  # fmt: skip


def check_root(root: Root, min_threshold: int) -> None:
    """Raise VerifyError unless the root's keys keep the rules above."""
    for role in OFFLINE:
        if (threshold := root.roles[role].threshold) < min_threshold:
            raise VerifyError(
                "threshold-too-low",
                f"root {root.version} lets {threshold} signature(s) decide for {role}; {min_threshold} are asked for",
            )
    publics = {role: _distinct(root.keys, root.roles[role].keyids, role) for role in (*OFFLINE, *ONLINE)}
    for offline in OFFLINE:
        for online in ONLINE:
            if publics[offline] & publics[online]:
                raise VerifyError(
                    "key-reuse", f"root {root.version} uses a key of {offline}, kept offline, for {online}"
                )


def check_delegations(root: Root, delegations: Delegations | None) -> None:
    """Raise VerifyError unless the delegated roles' keys keep the rules above."""
    if delegations is None:
        return
    if delegations.succinct_roles is not None:
        raise VerifyError("malformed", "targets delegates to hashed bins, which lists do not use")
    strong = {public_form(root.keys[keyid]) for role in OFFLINE for keyid in root.roles[role].keyids}
    for name, role in (delegations.roles or {}).items():
        if _distinct(delegations.keys, role.keyids, name) & strong:
            raise VerifyError("key-reuse", f"a key of root or targets is also one of {name}, which decides alone")


def is_holder(name: object) -> bool:
    """Whether this can be the name of who holds a key: one short printable line."""
    return isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME and is_text(name)


def held_by(key: Key, name: str) -> Key:
    """The key in its final form: with the name of who holds it, and the key id of both."""
    return final({**key.to_dict(), _HOLDER: unicodedata.normalize("NFC", name)})


def final(fields: Mapping[str, Any]) -> Key:
    """A key from its fields, under the id that they have."""
    return Key.from_dict(hashlib.sha256(canonical(fields)).hexdigest(), dict(fields))


def fingerprint(root: bytes) -> str:
    """What is read out on the telephone: the SHA-256 of a root's file, in groups of eight; `sha256sum` agrees."""
    digest = hashlib.sha256(root).hexdigest()
    return " ".join(digest[at : at + 8] for at in range(0, 64, 8))


def formerly_id(key: Key) -> str:
    """The id that 0.1 gave the key, computed without its holder's name."""
    return final({field: value for field, value in key.to_dict().items() if field != _HOLDER}).keyid


def canonical(fields: Mapping[str, Any]) -> bytes:
    """The canonical form of an object of metadata."""
    return (encode_canonical(dict(fields)) or "").encode()


def delegate_relief(keys: Mapping[str, Key], files: Iterable[str]) -> Delegations:
    """The delegation of role relief to these keys, by key id; `files`: what the role signs so far."""
    paths = [RELIEF_PATHS]
    if any("/" in path for path in files):
        paths.append(RELIEF_PATHS_FORMERLY)
    role = DelegatedRole(RELIEF, sorted(keys), 1, terminating=True, paths=paths)
    return Delegations(keys=dict(keys), roles={RELIEF: role})


def is_plain(delegations: Delegations | None) -> bool:
    """Whether role relief is all that is delegated, to one signature each, and nothing but relief to it."""
    roles = list((delegations.roles or {}).values()) if delegations else []
    return [role.name for role in roles] == [RELIEF] and all(
        role.threshold == 1 and role.terminating and {*(role.paths or ("",))} <= {RELIEF_PATHS, RELIEF_PATHS_FORMERLY}
        for role in roles
    )


def relief_keys(delegations: Delegations | None) -> Mapping[str, Key]:
    """The keys that may sign relief, by key id."""
    role = (delegations.roles or {}).get(RELIEF) if delegations else None
    return {keyid: delegations.keys[keyid] for keyid in role.keyids} if delegations and role else {}


def holder(key: Key) -> str | None:
    """Who holds the key, as its metadata says; None where it says nothing that could be a name."""
    name = key.unrecognized_fields.get(_HOLDER)
    return str(name) if is_holder(name) else None


def public_form(key: Key) -> bytes:
    """The public key itself, whatever its key id and spelling. Raises VerifyError on a type that is not allowed."""
    if (key.keytype, key.scheme) not in SCHEMES:
        raise VerifyError("key-type", f"key {key.keyid[:16]} is of type {key.keytype}/{key.scheme}")
    public = key.keyval.get("public")
    try:
        if not isinstance(public, str):
            raise TypeError
        if key.keytype == "ed25519":
            loaded = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
            return loaded.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        # Decoded and encoded again: a PEM text has many spellings, and so has a point (compressed or not)
        return serialization.load_pem_public_key(public.encode()).public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise VerifyError("malformed", f"key {key.keyid[:16]} is not a public key") from None


def _distinct(keys: Mapping[str, Key], keyids: Iterable[str], role: str) -> set[bytes]:
    seen: dict[bytes, str] = {}
    for keyid in keyids:
        if keyid not in keys:
            raise VerifyError("malformed", f"role {role} names the key {keyid[:16]}, which is not there")
        public = public_form(keys[keyid])
        if public in seen:
            raise VerifyError(
                "duplicate-key", f"role {role}: {seen[public][:16]} and {keyid[:16]} are one key under two key ids"
            )
        seen[public] = keyid
    return set(seen)
