"""Signing: one person's signatures on a request that was reviewed on this machine.

Enters: a `Review` (so nothing is signed that was not recomputed), the person's keys and passphrase. Leaves: the request
with their signatures added; or `SignError`. The passphrase is asked for only when there is something to sign. A
decision on an appeal is signed by the person whose name stands under it, and by nobody else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from securesystemslib.exceptions import Error as SigningError
from tuf.api.exceptions import RepositoryError

from blocklists.errors import BlocklistError, why
from blocklists.issuer.known import pin
from blocklists.issuer.request import ROLES, merge
from blocklists.repository import RELIEF, ROOT, public_form, relief_keys

if TYPE_CHECKING:
    from securesystemslib.signer import Key
    from tuf.api.metadata import Metadata, Root, Targets

    from blocklists.issuer.keys import Keyring, Passphrase
    from blocklists.issuer.request import Request
    from blocklists.issuer.review import Review


class SignError(BlocklistError):
    """These keys have nothing to sign here, or could not."""


def sign(reviewed: Review, keyring: Keyring, passphrase: Passphrase) -> Request:
    """The request with the person's signatures for every role of it that their keys decide on. Raises SignError."""
    for decision in reviewed.decided:
        if decision.by != keyring.card.name:
            raise SignError(
                f"the decision on appeal {decision.appeal} is {decision.by}'s; {keyring.card.name} cannot sign it"
            )
    request = merge([reviewed.request])
    signed = 0
    for role in ROLES:
        metadata: Metadata[Root] | Metadata[Targets] | None = getattr(request, role)
        own = keyring.card.keys.get(role)
        if metadata is None or own is None:
            continue
        for key in _deciding(reviewed, role):
            # Not by key id: a root may know the key by the id that it had before
            if public_form(key) != public_form(own):
                continue
            try:
                metadata.sign(keyring.signer(role, passphrase, key), append=True)
            except (RepositoryError, SigningError, ValueError, OSError) as error:
                raise SignError(f"{keyring.card.name} could not sign {role}: {why(error)}") from None
            signed += 1
    if not signed:
        raise SignError(f"no key of {keyring.card.name} decides on anything in this request")
    pin(keyring, request)
    return request


def _deciding(reviewed: Review, role: str) -> list[Key]:
    """The keys that count for a role: those of the new root, and of the known one where the root itself changes."""
    if role == RELIEF:
        targets = reviewed.request.targets or None
        delegations = targets.signed.delegations if targets else None
        if delegations is None and reviewed.known.roles is not None:
            delegations = reviewed.known.roles.targets.delegations
        return list(relief_keys(delegations).values())
    roots = [reviewed.root]
    if role == ROOT and reviewed.known.roles is not None:
        roots.append(reviewed.known.roles.root)
    return list({keyid: root.keys[keyid] for root in roots for keyid in root.roles[role].keyids}.values())
