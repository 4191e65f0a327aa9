"""The certificate of encrypted DNS, given to the plane: at the start, and whenever its files change.

Enters: the two files that `dns.encrypted` names, looked at twice a second, so that what an ACME client writes holds by
itself. Leaves: calls of the plane; alarms. Rules:

- Files that cannot be used change nothing: the certificate before them goes on, and that is an alarm. They are tried
  again every other second, since one file may come after the other.
- Open connections keep the certificate that they began with.
- From `LAST_DAYS` before its end a certificate is an alarm, also once it has ended.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from resolver._core import CoreError
from resolver.base.file_watch import Changed
from resolver.base.journal import about
from resolver.config.certificate import LAST_DAYS, Certificate, CertificateError, certificate_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from resolver._core import Plane
    from resolver.config.schema_dns import Encrypted

log = logging.getLogger("stopsign.dns")


class Identity:
    """`alarm`: what about, and what is wrong; None: nothing."""

    def __init__(
        self, encrypted: Encrypted, plane: Plane, alarm: Callable[[str, str | None], None], index: int
    ) -> None:
        self._encrypted, self._plane, self._alarm = encrypted, plane, alarm
        self._index, self._changed = index, Changed()
        self._in_use: Certificate | None = None

    @property
    def ends(self) -> int | None:
        """When the certificate in use does, in Unix time."""
        return None if self._in_use is None else int(self._in_use.ends.timestamp())

    def look(self) -> None:
        """Use what stands in the files, where that has changed."""
        files = (self._encrypted.certificate, self._encrypted.key)
        now = datetime.now(UTC)
        changed = [self._changed.look(file) for file in files]
        if any(changed):
            try:
                found = certificate_of(self._encrypted, now)
                self._plane.set_identity(found.chain, found.key)
            except (CertificateError, CoreError) as wrong:
                if self._in_use is None:
                    self._alarm("certificate", f"encrypted DNS is refused: {wrong}")
                else:
                    self._alarm("certificate", f"the certificate of encrypted DNS stays the one before: {wrong}")
                for file in files:
                    self._changed.unread(file)
            else:
                self._use(found)
        if self._in_use is not None and self._in_use.days_left(now) < LAST_DAYS:
            ends = f"{self._in_use.ends:%Y-%m-%d %H:%M} UTC"
            self._alarm("certificate's end", f"the certificate of encrypted DNS ends on {ends}")
        else:
            self._alarm("certificate's end", None)

    def _use(self, found: Certificate) -> None:
        for file in (self._encrypted.certificate, self._encrypted.key):
            self._changed.read(file)
        self._alarm("certificate", None)
        if self._in_use is None or found.chain != self._in_use.chain:
            log.info(
                "the certificate for %s is in use, until %s", self._encrypted.name, found.ends.isoformat(),
                extra=about(worker=self._index),
            )  # fmt: skip
        self._in_use = found
