"""What is known of a list, as one frozen value from its verification to the stop page.

Enters: a verified head, stored JSON, or the `meta` of a compiled file. Leaves: a `ListDescription`; a `LiveList`, with
what this provider does with the list; a `Generation`, which is all of a compiled file's `meta`. Rules:

- The stored form is flat. `applied/head.json` and `meta` have the same keys, but `bridged` is `unsigned` in `meta`.
- `meta` of another version is read as far as it is understood: while an upgrade replaces processes one by one, each
  reads what the other wrote. The steward compares it with what it would write, and compiles again where they differ.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field

from resolver.base.stored import Stored
from resolver.policy.verdict import mask

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT = 1


class Basis(Stored):
    """The ground of an entry, as the issuer's head has it."""

    law: str = ""
    authority: str = ""
    order: str = ""
    date: str = ""
    territory: str = ""
    court: str = ""
    overdue_suspends: bool = True


class Issuer(Stored):
    """Who answers for a list."""

    name: str = ""
    contact: str = ""
    appeals: str = ""


class SealPart(Stored):
    """What this provider's key needs to open the names' key of a sealed list, as the head has it; the key is not here.

    Octets stand in base64."""

    keyid: str
    share: str
    wrapped: str
    name_key: str
    number: int
    """Which names' key it is: under another one every digest is another."""
    state: str
    """Of the version that the stanza is from."""
    appeals_key: str
    """The issuer's: what somebody writes in an appeal is encrypted to it."""
    check: str
    """The root's digest under the names' key, 32 hexadecimal digits: another key is refused."""


class ListDescription(Stored):
    """One version of a list: who issued it, on which grounds, proven by whom; and the step that applied it."""

    version: int = 0
    state: str = ""
    """State hash of the issuer's document of that version; `less` says when not all of a later one is applied."""
    entries: int = 0
    issuer: Issuer = Issuer()
    bases: dict[str, Basis] = Field(default_factory=dict)
    relief: int = 0
    """Version of the relief that was applied last."""
    signed_by: tuple[str, ...] = ()
    holders: dict[str, str] = Field(default_factory=dict)
    """Who holds the keys of `signed_by`, by key id, as far as the issuer's root says."""
    threshold: int = 0
    bridged: bool = False
    """Nobody signed it: the provider itself imports a publication."""
    seal: SealPart | None = None
    """Of a sealed list, whose document holds digests."""
    document: str | None = None
    """File name beside `applied/head.json`; it names the content, so that two documents never share one."""
    less: int | None = None
    """The later version whose removals are applied while its additions are held."""
    approved_by: str | None = None
    since: str = ""
    base: str | None = None
    """The document that this one was judged against."""
    added: int = 0
    """By the step that led here, with `removed`."""
    removed: int = 0

    def described(self) -> dict[str, Any]:
        """The fields of the description alone, to make another value of."""
        return {key: getattr(self, key) for key in ListDescription.model_fields}


class LiveList(ListDescription):
    """A list of a compiled file, with what the provider does with it. Lists in shadow evaluation come after all
    others."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    name: str = ""
    action: str = ""
    configured: str = ""
    """The action without regard to `stale`."""
    stale: bool = False
    reason: str = "none"
    aliases: str = "relay"
    repository: str = ""
    bridged: bool = Field(default=False, alias="unsigned")
    suspended: int = 0
    """How many entries the issuer's relief suspends, and `suspensions`, a digest of which."""
    suspensions: str = ""
    here: int = 0
    """The same for what this provider suspends."""
    suspensions_here: str = ""
    counter: int | None = None
    """The number under which workers count it (0 to 63): its own wherever it stands among the others, and again when it
    comes back. None: an earlier version made the file, and it is the core's index."""
    shadow_of: str | None = Field(default=None, validation_alias="watched", serialization_alias="watched")
    """Of additions in shadow evaluation: the list that they would join."""


def counters_of(lists: Iterable[LiveList]) -> list[int]:
    """The number under which each of the lists of a compiled file counts."""
    return [index if one.counter is None else one.counter for index, one in enumerate(lists)]


class Generation(Stored):
    """What a compiled file says of itself."""

    model_config = ConfigDict(extra="ignore")

    format: int = FORMAT
    generation: int = 0
    compiled: str = ""
    lists: tuple[LiveList, ...] = ()
    departed: tuple[tuple[str, int], ...] = ()
    """Lists that were live before, and the number of each: workers keep its sums. The earliest to depart is first."""

    @staticmethod
    def parse(meta: bytes) -> Generation:
        """Raises `ValueError`."""
        return Generation.model_validate_json(meta)

    @property
    def names(self) -> list[str]:
        """The names of the lists, by the core's indices."""
        return [one.name for one in self.lists]

    @property
    def counters(self) -> list[int]:
        """The number under which each list counts, by the core's indices."""
        return counters_of(self.lists)

    def mask(self, wanted: Iterable[str] | None) -> int:
        """The lists of these names as the core's bits; None: all. What is in shadow evaluation counts as its list."""
        return mask([one.shadow_of or one.name for one in self.lists], wanted)

    def to_bytes(self) -> bytes:
        told = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
