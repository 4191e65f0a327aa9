"""An appeal: the form as it comes in, and what may be wrong with it.

Enters: the fields of a form, as text from anywhere. Leaves: a frozen `Form`, and for each field that is wrong the
sentence that says what would be right. Rules: a reference and a reason are all that is needed; sizes are bounded; the
name is the listed entry's, so that the form cannot be used to put a text before somebody's eyes; nothing is refused
for its opinion. Of a sealed entry the author may say the name: it and the reasons are encrypted to the issuer before
they are stored, and nobody at this provider can read them.
"""

from __future__ import annotations

import base64
import hmac
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blocklists.sealed.appeal import Written, seal
from resolver.config.schema_portal import FACT
from resolver.policy.description import Basis, LiveList
from resolver.policy.typed import is_reference, name_in, reference_in
from resolver.portal.catalogue import marked
from resolver.portal.grounds import GROUNDS
from resolver.portal.store import NewAppeal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resolver._core import Match
    from resolver.policy.description import SealPart
    from resolver.portal.live import Snapshot
    from resolver.portal.store import Appeal

MAX_REASON = 8000  # characters; four pages
MIN_REASON = 10
MAX_CONTACT = 254
MOST = 50  # references of one form
MORE_AT_ONCE = 10  # of them cost as much of a connection's allowance as one form

ROLES: Mapping[str, str] = {
    "visitor": marked("I wanted to visit the site"),
    "owner": marked("I run the site"),
    "other": marked("Someone else"),
}

STATES: Mapping[str, str] = {
    "received": marked("Received"),
    "forwarded": marked("Passed on to those who keep the list"),
    "reminded": marked("Those who keep the list were reminded"),
    "suspended": marked("Nobody decided in time: the block is being suspended"),
    "held": marked("Nobody decided in time: a person looks before the block is suspended"),
    "decided": marked("Decided"),
    "withdrawn": marked("Withdrawn by you"),
}

OUTCOMES: Mapping[str, str] = {
    "granted": marked("Your appeal was granted: the block is lifted."),
    "upheld": marked("Your appeal was not granted: the block stays."),
    "mended": marked("It was a mistake. %(provider)s has lifted the block."),
    "withdrawn": marked("You withdrew this appeal."),
}

NO_REFERENCE = marked("The reference has 16 letters and digits. It stands on the page that says the name is blocked.")
SEND_AGAIN = marked("The form was open for too long, or was sent too fast. Nothing is lost: please send it again.")
SAME = marked("This form was sent before with other words. Nothing is lost: please read it again and send it.")
UNLISTED = marked("No list here has this reference now. Please compare it with the page that says the name is blocked.")
MIXED = marked("One of these references is of a sealed list. Please send it in a form of its own.")
FOR_THE_ISSUER = marked("Only those who keep the list can read this: it is encrypted for them as soon as it arrives.")
MANY = marked("Each has 16 letters and digits, 50 at most. Please send what is left in a second form.")
LATER = marked("Many appeals came from this connection. Nothing is lost: please send it again in a few minutes.")

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True)
class Form:
    """The fields as they were sent, cleaned of what no text holds, ready to be shown again."""

    reference: str = ""
    name: str = ""
    role: str = ""
    ground: str = ""
    reason: str = ""
    contact: str = ""
    share_contact: bool = False
    more: str = ""  # further references, as they were typed
    all_the_same: bool = False  # sent although no list has a reference

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> Form:
        first = fields.get("reference", "")
        # several in the field of one: the others are not lost
        words = [word for word in first.replace(",", " ").split() if is_reference(reference_in(word))]
        more = "\n".join([*words[1:], fields.get("more", "")])
        return cls(
            reference=reference_in(words[0] if words else first),
            name=name_in(fields.get("name", "")) or "",
            role=fields.get("role", "") if fields.get("role") in ROLES else "",
            ground=fields.get("ground", "") if fields.get("ground") in GROUNDS else "",
            reason=cleaned(fields.get("reason", ""), lines=True)[: MAX_REASON + 1],
            contact=cleaned(fields.get("contact", ""))[: MAX_CONTACT + 1],
            share_contact=fields.get("share_contact") == "yes",
            more=cleaned(more, lines=True)[: MOST * 40].strip(),
            all_the_same=fields.get("all_the_same") == "yes",
        )

    @property
    def references(self) -> tuple[str, ...]:
        """Every reference that it is about, each once, the first one first."""
        typed = [reference_in(word) for line in self.more.splitlines() for word in line.replace(",", " ").split()]
        return tuple(dict.fromkeys((self.reference, *typed)))

    def wrong(self) -> dict[str, str]:
        """What has to be mended, by field; texts for a `Voice`."""
        found = {}
        if not is_reference(self.reference):
            found["reference"] = NO_REFERENCE
        if len(self.references) > MOST or not all(is_reference(one) for one in self.references[1:]):
            found["more"] = MANY
        if len(self.reason.strip()) < MIN_REASON:
            found["reason"] = marked("Please say in a sentence or two why the block is wrong.")
        elif len(self.reason) > MAX_REASON:
            found["reason"] = marked("That is longer than 8,000 characters. Please shorten it.")
        if len(self.contact) > MAX_CONTACT:
            found["contact"] = marked("That is too long for an address.")
        return found


@dataclass(frozen=True)
class Given:
    """What an appeal is given beside the form: `receipt` is the hash of its secret, `entropy` (10 bytes) makes its
    public id; `others`: how many further ones the form makes."""

    receipt: bytes
    entropy: bytes
    language: str
    now: int
    others: int = 0
    secret: bytes = b""
    """The form's: of its receipt."""


def new_appeal(
    form: Form, reference: str, match: Match | None, snapshot: Snapshot, given: Given, clocks: tuple[int, int]
) -> NewAppeal:
    """The appeal to store about one reference, and about the entry `match` if there is one. `clocks` are the seconds
    for mistakes of fact and for merits."""
    about = snapshot.list_of(match) if match else LiveList()
    basis = about.bases.get(match.basis, Basis()) if match else Basis()
    mended_here = form.ground in FACT and about.seal is None
    return NewAppeal(
        id=appeal_id(given.entropy),
        receipt=given.receipt,
        reference=reference,
        name=match.name if match else "",
        list=about.shadow_of or about.name,
        role=form.role,
        ground=form.ground,
        language=given.language,
        received=given.now,
        due=given.now + (clocks[0] if mended_here else clocks[1]),
        suspends=match is not None and basis.overdue_suspends,
        reason="" if about.seal else form.reason.strip(),
        sealed=_sealed(form, reference, about.seal) if about.seal else "",
        tag=_tag(form, given.secret) if about.seal else "",
        contact=form.contact.strip(),
        share_contact=form.share_contact and bool(form.contact.strip()),
        court=basis.court,
        claimed="" if match else form.name,
        others=given.others,
    )


def is_of(form: Form, stored: Appeal, secret: bytes) -> bool:
    """Whether this is the form that an appeal came from, sent once more."""
    wrote = (_tag(form, secret), stored.tag) if stored.sealed else (form.reason.strip(), stored.reason)
    return (
        (form.reference, form.role, form.ground, wrote[0], form.contact.strip(), len(form.references) - 1)
        == (stored.reference, stored.role, stored.ground, wrote[1], stored.contact, stored.others)
    )  # fmt: skip


def _sealed(form: Form, reference: str, part: SealPart) -> str:
    """Name and reasons for the issuer alone: nobody here reads them again."""
    written = Written(form.name, form.reason.strip())
    return base64.b64encode(seal(written, reference, base64.b64decode(part.appeals_key))).decode()


def _tag(form: Form, secret: bytes) -> str:
    return hmac.new(secret, f"{form.name}\n{form.reason.strip()}".encode(), "sha256").hexdigest()


def appeal_id(entropy: bytes) -> str:
    """A public name for an appeal, as it is spoken of between provider and issuer: `A-` and 12 characters."""
    number = int.from_bytes(entropy[:8], "big")
    return "A-" + "".join(_ALPHABET[number >> (5 * at) & 31] for at in range(12))


def cleaned(text: str, *, lines: bool = False) -> str:
    """Text without control, format and unassigned characters (which could reorder or hide it on a desk's terminal)."""
    text = re.sub("\r\n?|[\u2028\u2029]", "\n", text)
    kept = {"\n", "\t", "\u200c", "\u200d"} if lines else set()  # the joiners are letters in Arabic and Persian
    return "".join(c for c in unicodedata.normalize("NFC", text) if c in kept or unicodedata.category(c)[0] != "C")
