"""A person's keys: one folder on one person's machine, or at the desk for the roles that are signed by machine.

    alice/  card.json            public: the name, and the public key for each role; this travels to the desk
            root.pem             PKCS#8, encrypted with the person's passphrase, mode 0600
            targets.pem          ...
            targets.uri          instead of the .pem where the key is in a PKCS#11 token (`hsm:...`)

Enters: a folder, and a passphrase when something is to be signed. Leaves: `Card`, `Signer`; or `KeyFileError`.

Rules
- Each role has a key of its own: the key of root stays in the safe while that of targets is used weekly.
- A private key is written once, encrypted, and never printed, copied or sent. Only the desk's online keys may lie
  unencrypted, where a timer signs with nobody near.
- Ed25519 by default; ECDSA on P-256 and P-384 for tokens, which rarely know Ed25519.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from securesystemslib.exceptions import Error as SigningError
from securesystemslib.signer import CryptoSigner, Key, SSlibKey

from blocklists import durable
from blocklists.errors import BlocklistError, VerifyError
from blocklists.issuer import token
from blocklists.issuer.schemes import PERSONAL, SCHEMES
from blocklists.repository import formerly_id, held_by, holder, is_holder, public_form

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from securesystemslib.signer import Signer

Passphrase = Callable[[str], "bytes | None"]
"""Asks for the passphrase that protects what the text names; None: it is not encrypted."""

DESK = "the desk"
"""Who holds the keys that sign by machine."""
EXCHANGED = "somebody exchanged a key on the card: compare the ids by telephone, and have the card handed in again"


class KeyFileError(BlocklistError):
    """A key cannot be made, read or used."""


@dataclass(frozen=True, slots=True)
class Card:
    """The public half of a person's keys, by role."""

    name: str
    keys: Mapping[str, Key]
    """As metadata has them: with the name, under the key id of both."""

    def to_bytes(self) -> bytes:
        """The file that travels to the desk."""
        keys = {role: {"keyid": key.keyid, **key.to_dict()} for role, key in self.keys.items()}
        return json.dumps({"format": 1, "name": self.name, "keys": keys}, indent=1, sort_keys=True).encode() + b"\n"

    @staticmethod
    def from_bytes(data: bytes) -> Card:
        """The card of a file. Raises KeyFileError."""
        try:
            card = json.loads(data)
            if card["format"] != 1 or not is_holder(card["name"]):
                raise ValueError("format or name")
            keys = {role: _of_card(role, fields, card["name"]) for role, fields in card["keys"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, VerifyError) as error:
            raise KeyFileError(f"not a card of public keys: {error}") from None
        return Card(unicodedata.normalize("NFC", card["name"]), keys)

    @staticmethod
    def load(path: Path) -> Card:
        """The card in a file. Raises KeyFileError."""
        try:
            return Card.from_bytes(path.read_bytes())
        except OSError as error:
            raise KeyFileError(f"{path}: {error.strerror}") from None


@dataclass(frozen=True, slots=True)
class Keyring:
    """A folder of keys."""

    folder: Path
    card: Card

    @staticmethod
    def create(
        folder: Path, name: str, passphrase: bytes | None, *, roles: Iterable[str] = PERSONAL, scheme: str = "ed25519",
        tokens: Mapping[str, str] | None = None, pin: Passphrase = lambda _: None,
    ) -> Keyring:  # fmt: skip
        """Make new keys for the roles; those of `tokens` (a URI by role) lie in a token already. Raises KeyFileError
        where the folder has a card already, TokenError."""
        tokens, name = tokens or {}, unicodedata.normalize("NFC", name)
        if not is_holder(name):
            raise KeyFileError(
                f"{name!r} cannot be the name of who holds a key", hint="one line, 100 characters at most"
            )
        if (folder / "card.json").exists():
            raise KeyFileError(f"{folder} has keys already", hint="a key is made once; take another folder")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        keys: dict[str, Key] = {role: token.public_key(uri, _pin(pin, name, role)) for role, uri in tokens.items()}
        for role, uri in tokens.items():
            durable.replace(folder / f"{role}.uri", f"{uri}\n".encode(), mode=0o600)
        for role in dict.fromkeys(role for role in roles if role not in tokens):
            private = _generate(scheme)
            protection = (
                serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
            )
            pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
            durable.replace(folder / f"{role}.pem", pem, mode=0o600)
            keys[role] = SSlibKey.from_crypto(private.public_key(), scheme=SCHEMES[scheme])
        card = Card(name, {role: held_by(key, name) for role, key in keys.items()})
        durable.replace(folder / "card.json", card.to_bytes())
        return Keyring(folder, card)

    @staticmethod
    def open(folder: Path) -> Keyring:
        """The keys of a folder, none of them decrypted yet. Raises KeyFileError."""
        try:
            return Keyring(folder, Card.from_bytes((folder / "card.json").read_bytes()))
        except OSError as error:
            raise KeyFileError(
                f"{folder}: no card of keys: {error.strerror}", hint="stopsign issuer keys new makes one"
            ) from None

    def signer(self, role: str, passphrase: Passphrase, known_as: Key | None = None) -> Signer:
        """What signs for a role, under the key id of `known_as`. Raises KeyFileError, also on a wrong passphrase."""
        if role not in self.card.keys:
            raise KeyFileError(f"{self.card.name} has no key for {role}")
        uri = self.folder / f"{role}.uri"
        if uri.exists():
            return token.TokenSigner(
                uri.read_text().strip(), known_as or self.card.keys[role], _pin(passphrase, self.card.name, role)
            )
        path = self.folder / f"{role}.pem"
        try:
            pem = path.read_bytes()
            secret = passphrase(f"{self.card.name}'s key for {role}") if b"ENCRYPTED" in pem else None
            private = serialization.load_pem_private_key(pem, secret)
            return CryptoSigner(private, known_as or self.card.keys[role])  # type: ignore[arg-type]
        except OSError as error:
            raise KeyFileError(f"{path}: {error.strerror}") from None
        except (ValueError, TypeError, UnsupportedAlgorithm, SigningError):
            raise KeyFileError(f"{path}: the passphrase is wrong, or this is not the key of the card") from None


def _of_card(role: str, fields: Mapping[str, Any], name: str) -> Key:
    """A key of the card of `name`. Its id is computed; one that is written beside it must be that one, since the others
    compare what they read in the card. Raises KeyFileError where key, id and holder do not fit."""
    written = Key.from_dict(fields["keyid"], {field: value for field, value in fields.items() if field != "keyid"})
    key = held_by(written, name)
    public_form(key)
    if holder(written) not in {None, holder(key)}:
        raise KeyFileError(f"the card of {name} has a key of {holder(written)} for {role}", hint=EXCHANGED)
    if written.keyid not in {key.keyid, formerly_id(key)}:
        raise KeyFileError(
            f"the card of {name} gives the id {str(written.keyid)[:16]} for {role}, and that key's id is"
            f" {key.keyid[:16]}",
            hint=EXCHANGED,
        )
    return key


def _pin(ask: Passphrase, name: str, role: str) -> Callable[[], str]:
    def pin() -> str:
        return (ask(f"{name}'s token for {role}") or b"").decode()

    return pin


def from_environment() -> bytes | None:
    """The passphrase from the file that STOPSIGN_PASSPHRASE_FILE names, None where it is not set."""
    path = os.environ.get("STOPSIGN_PASSPHRASE_FILE")
    return None if path is None else read_passphrase(Path(path))


def read_passphrase(path: Path) -> bytes:
    """The first line of a file. Raises KeyFileError."""
    try:
        with path.open("rb") as file:
            line = file.readline(4096).rstrip(b"\r\n")
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from None
    if not line:
        raise KeyFileError(f"{path}: no passphrase in the first line")
    return line


def _generate(scheme: str) -> ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey:
    if scheme == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if scheme == "p256":
        return ec.generate_private_key(ec.SECP256R1())
    if scheme == "p384":
        return ec.generate_private_key(ec.SECP384R1())
    raise KeyFileError(f"no scheme {scheme!r}", hint=f"one of {', '.join(SCHEMES)}")
