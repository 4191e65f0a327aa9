"""A new passphrase for all that the desk keeps of sealed lists.

Enters: the desk, whose `ask` says the passphrase until now, and the new one. Leaves: every file of the vault under the
new one; or `VaultError`, and no file has changed.

Rules
- The vault's key is a new one too: who had the old passphrase and an old file has the old key, and with it every file
  that a new passphrase alone would have been put before.
- Nothing is written before each file opened, by the old passphrase or by the new one.
- A file is replaced whole. Killed in between, some files open by the one and some by the other; the same command again
  leaves those of the new passphrase as they are, and ends the work.
- What is not at the desk (a request on its way, a backup) opens by the old passphrase as before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from blocklists import durable
from blocklists.issuer import sealing, vault
from blocklists.issuer.publish import recover
from blocklists.issuer.request import Request

if TYPE_CHECKING:
    from pathlib import Path

    from blocklists.issuer.desk import Desk

FILES = ("ledger/*/*.sealed", "appeals/inbox/*.sealed", "requests/*.request")
"""What at a desk a passphrase opens, besides the headers in `sealed/`."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """One file of the vault, or a request that has one inside."""

    path: Path

    def data(self) -> bytes | None:
        """The file of the vault; None where a request has none."""
        return self._request().names if self._is_request() else self.path.read_bytes()

    def store(self, data: bytes) -> None:
        if self._is_request():
            data = replace(self._request(), names=data).to_bytes()
        durable.replace(self.path, data, mode=self.path.stat().st_mode & 0o777)

    def _is_request(self) -> bool:
        return self.path.suffix == ".request"

    def _request(self) -> Request:
        return Request.load(self.path)


def reseal(desk: Desk, new: bytes) -> int:
    """Change the passphrase; how many files were sealed again. Raises VaultError, SealError, RequestError."""
    with desk.locked():
        recover(desk)  # what a publication that was cut off has staged is of the ledger
        lists = sorted(path.stem for path in (desk.folder / "sealed").glob("*.json"))
        if not lists:
            raise vault.VaultError("the desk has no sealed list")
        old, header = desk.ask(), vault.create(new)
        if old == new:
            raise vault.VaultError("the new passphrase is the one until now")
        left, known = [], _Known(old, new)
        for kept in (_Kept(path) for part in FILES for path in sorted(desk.folder.glob(part))):
            if (data := kept.data()) is not None:
                passphrase = known.of(vault.header_of(data), kept.path)
                vault.opened(data, passphrase)
                if passphrase == old:
                    left.append(kept)
        heads = [name for name in lists if known.of(sealing.required(desk, name).vault, desk.folder / "sealed") == old]
        for kept in left:
            kept.store(vault.seal(header, new, [vault.opened(kept.data() or b"", old)]))
        # Last: with them, what is sealed from now on is under the new one
        for name in heads:
            sealing.rewrap(desk, name, header)
        return len(left) + len(heads)


class _Known:
    """Which of two passphrases opens a vault's header: asked once each, for scrypt takes its time."""

    def __init__(self, old: bytes, new: bytes) -> None:
        self._both, self._found = (old, new), dict[str, bytes]()

    def of(self, header: str, path: Path) -> bytes:
        if header not in self._found:
            opening = [passphrase for passphrase in self._both if vault.opens(header, passphrase)]
            if not opening:
                raise vault.VaultError(
                    f"{path}: neither the passphrase until now nor the new one opens it; nothing was changed",
                    hint="a request that was sealed by another one: publish it, or delete it, first",
                )
            self._found[header] = opening[0]
        return self._found[header]
