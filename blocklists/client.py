"""TUF's client with this project's fetcher, clock and rules; its errors become `VerifyError`.

Enters: a place, a bootstrap root, a folder for python-tuf. Leaves: a `Client` with verified metadata, and targets with
verified length and hash; or `VerifyError`. python-tuf's own way to fetch is not loaded (`blocklists/unloaded.py`).
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from securesystemslib.exceptions import StorageError
from tuf.api import exceptions as tuf_errors
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp
from tuf.api.serialization import DeserializationError
from tuf.ngclient import Updater, UpdaterConfig
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.fetcher import FetcherInterface

from blocklists import repository
from blocklists.document import DocumentError, StateError, TooLargeError
from blocklists.errors import VerifyError, why
from blocklists.head import HeadError, formerly, relief_path, spelt
from blocklists.sealed.errors import SealError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from tuf.api.metadata import TargetFile

    from blocklists.fetch import Place

_PATH = re.compile(r"(?:metadata|targets)(?:/[A-Za-z0-9_](?:[A-Za-z0-9._-]|%[0-9A-F]{2})*)+\Z").match


class Fetcher(FetcherInterface):
    """python-tuf's view of a place."""

    def __init__(self, where: Place) -> None:
        self._where = where

    def _fetch(self, url: str) -> Iterator[bytes]:
        if not _PATH(url):
            raise VerifyError("malformed", f"{url!r} is not a path in a repository")
        # from, so that this is a generator: what `_fetch` itself raises python-tuf would wrap
        yield from self._where.read(url)


class _Rules(TrustedMetadataSet):
    """TUF's state machine with the house's rules on keys after each of its steps.

    Their errors are no RepositoryError: python-tuf takes that, from a cached root, for a reason to ask the network.
    """

    min_threshold: int | None
    where: str
    """The repository's name. What is stored here and cannot be read is fetched, so that no message is about it."""

    def update_root(self, data: bytes) -> Root:
        with _reading(f"the root metadata from {self.where}", data):
            root = super().update_root(data)
        if self.min_threshold is not None:
            repository.check_root(root, self.min_threshold)
        return root

    def update_timestamp(self, data: bytes) -> Timestamp:
        with _reading(f"the timestamp metadata from {self.where}", data):
            return super().update_timestamp(data)

    def update_snapshot(self, data: bytes, trusted: bool | None = False) -> Snapshot:
        with _reading(f"the snapshot metadata from {self.where}", data):
            return super().update_snapshot(data, trusted)

    def update_delegated_targets(self, data: bytes, role_name: str, delegator_name: str) -> Targets:
        with _reading(f"the {role_name} metadata from {self.where}", data):
            targets = super().update_delegated_targets(data, role_name, delegator_name)
        if role_name == repository.TARGETS and self.min_threshold is not None:
            repository.check_delegations(self.root, targets.delegations)
        if role_name == repository.RELIEF and self.min_threshold is not None and targets.delegations is not None:
            raise VerifyError("malformed", "role relief delegates to others, which it must not")
        return targets


@contextmanager
def _reading(what: str, data: bytes) -> Iterator[None]:
    """python-tuf says neither which file it could not read nor why."""
    try:
        yield
    except DeserializationError as error:
        why = str(error.__cause__ or error)
        if not data.lstrip().startswith(b"{"):  # a page of a host or of a proxy on the way
            why = f"it is no JSON, and begins with {data[:40].decode(errors='replace')!r}"
        raise DeserializationError(f"{what} cannot be read: {why}") from error


class Client(Updater):
    """python-tuf's client with our fetcher, our clock and our rules.

    `min_threshold` None: TUF's rules alone, which is what its conformance suite asks about. Nothing else asks for it.
    """

    def __init__(self, where: Place, bootstrap: bytes, folder: Path, min_threshold: int | None, now: datetime) -> None:
        config = UpdaterConfig(max_root_rotations=64)
        with _reading("the pinned root metadata", bootstrap):
            super().__init__(
                str(folder), "metadata/", str(folder), "targets/", Fetcher(where), config, bootstrap=bootstrap
            )
            self.trusted = _Rules(bootstrap, config.envelope_type)
            self.trusted.where = where.name
        self._folder = folder
        self.trusted.min_threshold, self.trusted.reference_time = min_threshold, now
        self._trusted_set = self.trusted
        if min_threshold is not None:
            repository.check_root(self.trusted.root, min_threshold)

    def listed(self, path: str) -> TargetFile | None:
        """The file as the top-level targets role has it; what delegations say of it does not count."""
        there = spelt(self.trusted.targets.targets, path)
        return None if there is None else self.trusted.targets.targets[there]

    def relieved(self, name: str) -> TargetFile | None:
        """The relief of a list, as the delegated role has it."""
        path = relief_path(name)
        return self.get_targetinfo(path) or self.get_targetinfo(formerly(path))

    def load(self, info: TargetFile, folder: Path, what: str, limit: int) -> bytes:
        """A small target's octets. Raises VerifyError beyond `limit`."""
        return self.save(info, folder / f".{what}.fetched", what, limit).read_bytes()

    def save(self, info: TargetFile, path: Path, what: str, limit: int) -> Path:
        """Fetch a target to `path`, its signed length and hash proven. Raises VerifyError beyond `limit`."""
        if info.length > limit:
            raise VerifyError("too-large", f"{what} has {info.length} octets; no more than {limit} are taken")
        self.download_target(info, str(path))
        return path

    def signed_by(self) -> tuple[str, ...]:
        """Key ids with a valid signature over the targets role, sorted."""
        targets = Metadata[Targets].from_file(str(self._folder / "targets.json"))
        result = self.trusted.root.get_verification_result(repository.TARGETS, targets.signed_bytes, targets.signatures)
        return tuple(sorted(result.signed))

    def holders(self) -> dict[str, str]:
        """The names of those who signed, by key id, where the root has them."""
        keys = self.trusted.root.keys
        return {keyid: name for keyid in self.signed_by() if (name := repository.holder(keys[keyid])) is not None}

    def relief_signers(self) -> str:
        """Who signed the newest relief, for people: the name and the key, which alone is proven."""
        relief, by = Metadata[Targets].from_file(str(self._folder / "relief.json")), self.trusted.targets
        signed = by.get_verification_result(repository.RELIEF, relief.signed_bytes, relief.signatures).signed
        return ", ".join(
            f"{name} (key {keyid[:16]})" if (name := repository.holder(key)) else f"key {keyid[:16]}"
            for keyid, key in sorted(signed.items())
        )

    def threshold(self) -> int:
        return self.trusted.root.roles[repository.TARGETS].threshold

    def versions(self) -> tuple[int, int, int, int]:
        of = self.trusted
        return of.root.version, of.timestamp.version, of.snapshot.version, of.targets.version


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Foreign errors become VerifyError here, and nowhere else."""
    try:
        yield
    except VerifyError:
        raise
    except SealError as error:
        raise VerifyError(error.reason, f"{name}: {error}", hint=error.hint) from error
    except tuf_errors.UnsignedMetadataError as error:
        raise VerifyError("signature-threshold", f"{name}: {error}") from error
    except tuf_errors.ExpiredMetadataError as error:
        hint = "the issuer did not refresh it, a mirror withholds it, or this machine's clock is wrong"
        raise VerifyError("expired", f"{name}: {error}", hint=hint) from error
    except tuf_errors.BadVersionNumberError as error:
        raise VerifyError("rollback", f"{name}: {error}") from error
    except tuf_errors.LengthOrHashMismatchError as error:
        raise VerifyError("hash-mismatch", f"{name}: {error}") from error
    except (DeserializationError, HeadError) as error:
        raise VerifyError("malformed", f"{name}: {error}") from error
    except tuf_errors.RepositoryError as error:
        raise VerifyError("malformed", f"{name}: {error}") from error
    except (TooLargeError, tuf_errors.DownloadLengthMismatchError) as error:
        raise VerifyError("too-large", f"{name}: {error}") from error
    except StateError as error:
        raise VerifyError("state-hash", f"{name}: {error}") from error
    except DocumentError as error:
        raise VerifyError("malformed", f"{name}: {error}") from error
    except tuf_errors.DownloadHTTPError as error:
        raise VerifyError("missing", f"{name}: {error}") from error
    except tuf_errors.DownloadError as error:
        raise VerifyError("unreachable", f"{name}: {error}") from error
    except (OSError, StorageError) as error:
        raise VerifyError("storage", f"{name}: {why(error)}") from error
