"""The keys of sealed lists: each process that looks names up opens the keys of its own compiled list (`in_force`, and
through `resolver/dns/in_use.py` a worker).

Enters: an open compiled list, what its `meta` says of its lists, the provider's own key. Leaves: the list's keys in the
core, in locked memory; or `SealedError`. Rules:

- The provider's key is a credential of the service, or the file that the configuration names. It is read when a list is
  opened and kept nowhere.
- No key lies readable in `run_dir` or `state_dir`. `meta`, the description inside the compiled file, holds two things
  as the list's signed head has them: the stanza for this provider (docs/sealed.md) and the names' key, each encrypted.
- What opened is wiped where Python lets it. docs/sealed.md says what stays.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import TYPE_CHECKING

from blocklists import verify
from blocklists.sealed import appeal, keys, seal
from blocklists.sealed.errors import SealError
from blocklists.sealed.memory import moved, wipe
from resolver import _core
from resolver.base.errors import ResolverError
from resolver.policy.description import SealPart

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from blocklists.sealed.seal import Seal
    from blocklists.verify import Opener
    from resolver._core import CompiledList
    from resolver.config.schema import Config
    from resolver.policy.description import LiveList

CREDENTIAL = "stopsign.sealed"
"""What a service's unit calls the key (`LoadCredentialEncrypted=`)."""
ROOT = "."


class SealedError(ResolverError):
    """A sealed list cannot be opened here; the message names the list, never what is in it."""


def key_file(config: Config) -> Path | None:
    """Where this process finds the provider's key; None: nowhere."""
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials is not None and (held := Path(credentials) / CREDENTIAL).exists():
        return held
    return config.sealed_key


def opener(file: Path | None) -> Opener:
    """Opens a sealed version as it is fetched."""
    return verify.with_key(lambda: keys.load(_there(file)))


def part_of(head: Seal, state: str, file: Path | None) -> SealPart:
    """What is kept of a sealed head, after its key was opened once. Raises `SealError`."""
    appeal.seal(appeal.Written("", ""), "", head.appeals_key)  # refused here, not when somebody writes
    key = keys.load(_there(file))
    stanza, opened = head.stanza(key), seal.keys_of(head, state, key)
    check = _core.sealed_digest(opened.name, ROOT).hex()
    wipe(opened.file, opened.name)
    return SealPart(
        keyid=stanza.keyid,
        share=_text(stanza.share),
        wrapped=_text(stanza.wrapped),
        name_key=_text(head.name_key),
        number=head.name_key_number,
        state=state,
        appeals_key=_text(head.appeals_key),
        check=check,
    )


def name_key(part: SealPart, file: Path | None) -> bytearray:
    """The names' key. Raises `SealError`."""
    key = keys.load(_there(file))
    stanza = seal.Stanza("", part.keyid, base64.b64decode(part.share), base64.b64decode(part.wrapped))
    file_key = seal.unwrap(stanza, key, part.state)
    opened = moved(seal.open_name_key(base64.b64decode(part.name_key), file_key))
    wipe(file_key)
    return opened


def unseal(file: Path | None, compiled: CompiledList, lists: Iterable[LiveList]) -> Mapping[str, str]:
    """Give each sealed list its key. Leaves, by the names of the lists that do not open here, why."""
    closed: dict[str, str] = {}
    for index, one in enumerate(lists):
        if one.seal is None:
            continue
        try:
            compiled.unseal(index, name_key(one.seal, file))
        except (SealError, _core.CoreError) as error:
            closed.setdefault(one.name, f"list {one.name} is sealed, and does not open here: {error}")
    return closed


def unseal_all(file: Path | None, compiled: CompiledList, lists: Iterable[LiveList]) -> None:
    """As `unseal`. Raises `SealedError` where one does not open."""
    for why in unseal(file, compiled, lists).values():
        raise SealedError(why)


def _there(file: Path | None) -> Path:
    if file is None:
        hint = "set `sealed_key`, or give the service the credential stopsign.sealed; docs/sealed.md"
        raise SealError("seal-key", "there is no key for sealed lists on this host", hint=hint)
    return file


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode()
