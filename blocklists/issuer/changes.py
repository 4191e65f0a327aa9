"""What a request changes besides entries: who may sign what, and the grounds.

Enters: roles and heads, before and after. Leaves: `KeyChange` and `GroundChange`, frozen, for people and for programs.

Rules: a signer signs all of it, so all of it is there: each key of each role with its holder and its id, also at the
first root and also for relief; every field of a ground, the old one beside the new. Keys are compared as such, whatever
their ids.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from blocklists.repository import RELIEF, holder, public_form, relief_keys

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from securesystemslib.signer import Key
    from tuf.api.metadata import Root, Targets

    from blocklists.head import Basis


@dataclass(frozen=True, slots=True)
class KeyChange:
    """A key that comes to a role or leaves it."""

    role: str
    change: str
    """`comes` or `goes`."""
    keyid: str
    holder: str | None
    """As the signed metadata has it."""

    def sentence(self) -> str:
        """For a person."""
        of = f" of {self.holder}" if self.holder else " that names no holder"
        return f"{self.role}: key {self.keyid[:16]}{of} {self.change}"


@dataclass(frozen=True, slots=True)
class GroundChange:
    """A ground that comes, goes or changes."""

    key: str
    before: Basis | None
    after: Basis | None
    entries: int | None
    """Of the new version that are in force and stand on it; None: they are sealed for others."""

    def sentences(self) -> Iterator[str]:
        """For a person: every field, the old one beside the new."""
        change = "comes" if self.before is None else "goes" if self.after is None else "changes its words"
        standing = "entries that nobody can count here" if self.entries is None else f"{self.entries:,} entries"
        touched = f"{standing} stand on it; readers of their stop pages see this"
        yield f"basis {self.key} {change}" + (f": {touched}" if self.after else "")
        old, new = asdict(self.before) if self.before else {}, asdict(self.after) if self.after else {}
        for name in new or old:
            words = name.replace("_", " ") if name != "overdue_suspends" else "an overdue appeal suspends"
            if self.before is None or self.after is None:
                yield f"  {words}: {_said((new or old)[name])}"
            elif old[name] != new[name]:
                yield f"  {words}: {_said(old[name])} -> {_said(new[name])}"


def _said(value: str | bool) -> str:
    return value if isinstance(value, str) else "yes" if value else "no"


def of_root(before: Root | None, after: Root) -> Iterator[KeyChange]:
    """What changes in the roles that the root names."""
    for role in sorted(after.roles):
        old = [before.keys[keyid] for keyid in before.roles[role].keyids] if before else []
        yield from _of(role, old, [after.keys[keyid] for keyid in after.roles[role].keyids])


def of_relief(before: Targets | None, after: Targets) -> Iterator[KeyChange]:
    """What changes in who may sign relief."""
    old = relief_keys(before.delegations if before else None).values()
    yield from _of(RELIEF, old, relief_keys(after.delegations).values())


def of_thresholds(before: Root | None, after: Root) -> Iterator[str]:
    """How many decide, where that changes."""
    for name, role in sorted(after.roles.items()):
        if before is None or before.roles[name].threshold != role.threshold:
            was = f", {before.roles[name].threshold} before" if before else ""
            yield f"{name}: {role.threshold} of {len(role.keyids)} signature(s) decide{was}"


def of_relief_threshold(before: Targets | None, after: Targets) -> Iterator[str]:
    """How many decide on relief, where that changes."""
    old, new = (_deciding(targets) for targets in (before, after))
    if new is not None and (old is None or old[0] != new[0]):
        was = f", {old[0]} before" if old else ""
        yield f"{RELIEF}: {new[0]} of {new[1]} signature(s) decide{was}"


def _deciding(targets: Targets | None) -> tuple[int, int] | None:
    role = (targets.delegations.roles or {}).get(RELIEF) if targets and targets.delegations else None
    return (role.threshold, len(role.keyids)) if role else None


def of_grounds(
    before: Mapping[str, Basis], after: Mapping[str, Basis], entries: Mapping[str, int] | None
) -> Iterator[GroundChange]:
    """What changes in a list's grounds. `entries`: how many stand on each; None: that cannot be seen."""
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            yield GroundChange(key, before.get(key), after.get(key), None if entries is None else entries.get(key, 0))


def posing(changes: Iterable[KeyChange], name: str, own: Collection[bytes], keys: Mapping[str, Key]) -> list[KeyChange]:
    """Keys that come under this name and are not this person's own."""
    return [
        change
        for change in changes
        if change.change == "comes" and change.holder == name and public_form(keys[change.keyid]) not in own
    ]


def _of(role: str, before: Iterable[Key], after: Iterable[Key]) -> Iterator[KeyChange]:
    old, new = ({public_form(key): key for key in keys} for keys in (before, after))
    for change, keys, others in (("comes", new, old), ("goes", old, new)):
        for public, key in keys.items():
            if public not in others:
                yield KeyChange(role, change, key.keyid, holder(key))
