"""The facts about an entry, for people.

Enters: a match of the compiled list and the lists' own description (head and bases) in its `meta`. Leaves: one frozen
`Facts`, the only thing that page, look-up, appeal and JSON speak of. Rules: only what the signed list says, and what
this provider knows of it; a gap in the list is shown as a gap, never guessed; the name is the entry's, never the one
asked for. An entry of a sealed list has no name here, and which list it is of is not said.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import idna

from resolver.base.timestamps import as_text
from resolver.policy.description import Basis
from resolver.portal.catalogue import marked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resolver._core import Match
    from resolver.portal.live import Snapshot

CATEGORIES: Mapping[str, str] = {
    "gambling": marked("Unlicensed gambling"),
    "child-abuse": marked("Depictions of sexual abuse of children"),
    "terrorism": marked("Terrorist content"),
    "copyright": marked("Infringement of copyright"),
    "phishing": marked("Phishing"),
    "malware": marked("Malicious software"),
    "fraud": marked("Fraud"),
    "medicines": marked("Unlicensed medicines"),
    "drugs": marked("Trade in drugs"),
    "tobacco": marked("Unlicensed tobacco"),
    "counterfeit": marked("Counterfeit goods"),
    "hate": marked("Incitement to hatred"),
    "sanctions": marked("Sanctions"),
    "adult": marked("Content for adults"),
    "advertising": marked("Advertising and tracking"),
}


@dataclass(frozen=True)
class Facts:
    """One entry as it is shown. Times are Unix seconds; an empty string is what the list does not say."""

    name: str
    unicode_name: str  # the U-label form; empty where it is the same
    match: str
    category: str
    reference: str
    since: int
    until: int
    confirmed: int  # when the provider last verified that the list still asks for it; 0: not known
    action: str
    reason: str  # the ground the provider names in DNS: censored, blocked, filtered, none
    list: str
    issuer: str
    issuer_contact: str
    law: str
    authority: str
    order: str
    order_date: str
    territory: str
    court: str
    overdue_suspends: bool
    signatures: int  # how many people had to sign; 1 is said on the page, 0 is not known
    unsigned: bool  # a publication without signatures that the provider itself imports
    sealed: bool = False

    def as_json(self) -> dict[str, object]:
        """The same for programs: times as RFC 3339, gaps as null."""
        return {
            "name": self.name or None,
            "match": None if self.sealed else self.match,
            "category": self.category,
            "reference": self.reference,
            "since": as_text(self.since),
            "until": as_text(self.until),
            "confirmed": as_text(self.confirmed) if self.confirmed else None,
            "list": self.list or None,
            "sealed": self.sealed,
            "issuer": {"name": self.issuer or None, "contact": self.issuer_contact or None},
            "basis": {
                "law": self.law or None,
                "authority": self.authority or None,
                "order": self.order or None,
                "date": self.order_date or None,
                "territory": self.territory or None,
                "court": self.court or None,
            },
            "action": self.action,
            "reason": self.reason,
        }


def facts_of(match: Match, snapshot: Snapshot) -> Facts:
    about = snapshot.list_of(match)
    basis = about.bases.get(match.basis, Basis())
    return Facts(
        name=match.name,
        unicode_name=unicode_of(match.name),
        match=match.match,
        category=match.category,
        reference=match.reference,
        since=match.issued,
        until=match.expires,
        confirmed=unix(snapshot.confirmed.get(about.name) or snapshot.in_force.meta.compiled),
        action=match.action,
        reason=about.reason,
        list="" if about.seal else about.name,
        issuer=about.issuer.name,
        issuer_contact=about.issuer.contact,
        law=basis.law,
        authority=basis.authority,
        order=basis.order,
        order_date=basis.date,
        territory=basis.territory,
        court=basis.court,
        overdue_suspends=basis.overdue_suspends,
        signatures=about.threshold,
        unsigned=about.bridged,
        sealed=about.seal is not None,
    )


def unicode_of(name: str) -> str:
    """The name in its own script, where that differs and is well-formed (RFC 5891); empty otherwise."""
    if "xn--" not in name:
        return ""
    labels = []
    for label in name.split("."):
        try:
            labels.append(idna.decode(label) if label.startswith("xn--") else label)
        except (idna.IDNAError, UnicodeError):
            return ""
    return ".".join(labels)


def unix(text: str) -> int:
    """`YYYY-MM-DDTHH:MM:SSZ` as Unix seconds; 0 for what is no time in UTC."""
    try:
        return int(datetime.fromisoformat(text).timestamp()) if text.endswith("Z") else 0
    except ValueError:
        return 0
