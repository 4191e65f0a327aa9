"""A zone as its primary hands it over: AXFR (RFC 5936), IXFR (RFC 1995), signed by TSIG (RFC 8945); dnspython's client.

Enters: `dns://host[:port]/zone`, the file of a TSIG key, the file of the last transfer. Leaves: that file, brought up
to date; or `VerifyError`, and the file is as it was.

Rules
- An unchanged serial costs one question, for the SOA.
- What changed comes as steps from the file's own serial (IXFR) where the primary has them, else whole. Steps that do
  not fit the file are dropped, and the zone is transferred whole.
- A transfer ends with the SOA that it began with; one that breaks off is refused.
- With a key, the answer for the SOA and the first and last message of a transfer must be signed by it.
- A serial that went back (RFC 1982) is refused: an old copy on the way would bring back what was withdrawn.
- One deadline spans all of it; the octets of the records' text are bounded.
- The file is a master file: a comment that says where it comes from, the SOA, then a record a line, without TTLs.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.serial
import dns.tsig
import dns.xfr

from blocklists import durable, tsig
from blocklists.errors import VerifyError
from blocklists.web import resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from dns.name import Name

    from blocklists.fetch import Deadline

PORT = 53
_SIGNATURE = (dns.tsig.BadSignature, dns.tsig.BadTime, dns.tsig.BadKey, dns.tsig.BadAlgorithm, dns.tsig.PeerError,
              dns.message.UnknownTSIGKey)  # fmt: skip


@contextmanager
def _on_disk(path: Path | str) -> Iterator[None]:
    """What fails here is this machine's disk, not the primary."""
    try:
        yield
    except OSError as error:
        raise VerifyError("storage", f"{path}: {error.strerror}") from error


class _MisfitError(Exception):
    """Steps that do not fit the file that they should change."""


def transfer(address: str, to: Path, key: Path | None, deadline: Deadline, *, most: int) -> None:
    """Bring the file at `to` up to date. Raises VerifyError."""
    parts = urlsplit(address)
    host, port, zone = parts.hostname or "", parts.port or PORT, parts.path.strip("/")
    try:
        signer = tsig.read(key) if key is not None else None
        _Primary(address, dns.name.from_text(zone), signer, deadline, host, port).refresh(to, most)
    except _SIGNATURE as error:
        raise VerifyError("signature-threshold", f"{address}: TSIG: {error}") from error
    except dns.xfr.TransferError as error:
        raise VerifyError("missing", f"{address}: the primary refuses the transfer ({error})") from error
    except (dns.exception.Timeout, TimeoutError) as error:
        raise VerifyError("deadline", f"{address}: not done within {deadline.seconds:g} s") from error
    except EOFError as error:
        raise VerifyError("unreachable", f"{address}: the transfer broke off") from error
    except tsig.TsigKeyError as error:
        raise VerifyError("storage", str(error), hint=error.hint) from error
    except (dns.exception.DNSException, ValueError) as error:
        raise VerifyError("malformed", f"{address}: {error or type(error).__name__}") from error
    except OSError as error:
        raise VerifyError("unreachable", f"{address}: {error.strerror or error}") from error


@dataclass(slots=True)
class _Primary:
    """Where the zone comes from."""

    address: str
    origin: Name
    key: dns.tsig.Key | None
    deadline: Deadline
    host: str
    port: int
    where: str = ""
    """The address that answered."""

    def refresh(self, to: Path, most: int) -> None:
        """Look, and transfer what is new."""
        serial, known = self._serial(), self._known(to)
        if known == serial:
            return
        if known is not None and dns.serial.Serial(serial) < dns.serial.Serial(known):
            raise VerifyError(
                "rollback", f"{self.address}: serial {serial} after serial {known}",
                hint=f"if the primary began again: rm {to}",
            )  # fmt: skip
        try:
            self._take(to, known, most)
        except dns.xfr.SerialWentBackwards:
            raise
        except (_MisfitError, dns.xfr.TransferError, dns.exception.FormError):
            if known is None:
                raise
            self._take(to, None, most)

    def _serial(self) -> int:
        failure: OSError = OSError(f"{self.host} has no address")
        for *_, address in resolve(self.host, self.port, self.deadline):
            self.where = address[0]
            try:
                return self._asked()
            except TimeoutError:
                raise
            except OSError as error:
                failure = error
        raise failure

    def _asked(self) -> int:
        question = self._signed(dns.message.make_query(self.origin, dns.rdatatype.SOA))
        answer = dns.query.tcp(question, self.where, timeout=self.deadline.left(), port=self.port)
        if self.key is not None and not answer.had_tsig:
            raise VerifyError("signature-threshold", f"{self.address}: the answer is not signed by the TSIG key")
        found = answer.get_rrset(answer.answer, self.origin, dns.rdataclass.IN, dns.rdatatype.SOA)
        if found is None:
            raise VerifyError("missing", f"{self.address}: no such zone there ({dns.rcode.to_text(answer.rcode())})")
        return int(cast("Any", found[0]).serial)

    def _known(self, to: Path) -> int | None:
        """The serial of the file, where it was transferred from here."""
        try:
            with to.open(encoding="ascii") as file:
                if file.readline() != self._heading():
                    return None
                return int(file.readline().split()[5])
        except (OSError, ValueError, IndexError):
            return None

    def _take(self, to: Path, known: int | None, most: int) -> None:
        """Transfer, by steps from a serial or whole, and put the result at `to`."""
        with tempfile.TemporaryFile("w+", encoding="ascii", dir=to.parent) as whole:
            taken = _Taken(self.origin, whole, most)
            question, _ = dns.xfr.make_query(cast("Any", taken), known)
            dns.query.inbound_xfr(
                self.where, cast("Any", taken), self._signed(question), port=self.port, lifetime=self.deadline.left()
            )
            if taken.soa is None:
                return  # the primary changed its mind: nothing is new
            with _on_disk(to), durable.replaced(to) as part, part.open("w", encoding="ascii") as file:
                file.write(self._heading() + taken.soa)
                if taken.steps is None:
                    whole.seek(0)
                    shutil.copyfileobj(whole, file, 1 << 20)
                else:
                    with to.open(encoding="ascii") as old:
                        file.writelines(_stepped(islice(old, 2, None), taken.steps))

    def _signed(self, question: dns.message.Message) -> Any:
        if self.key is not None:
            question.use_tsig(self.key)
        return question

    def _heading(self) -> str:
        return f"; {self.address}\n"


@dataclass(slots=True)
class _Taken:
    """What dnspython's client writes into, in place of a zone and its transaction: lines, or steps between lines."""

    origin: Name
    whole: IO[str]
    most: int
    steps: dict[str, bool] | None = field(default_factory=dict)
    """Line to whether it comes (True) or goes; None: the zone came whole."""
    soa: str | None = None
    _size: int = 0

    def origin_information(self) -> tuple[Name, bool, Name]:
        """Names stay absolute."""
        return self.origin, False, self.origin

    def get_class(self) -> dns.rdataclass.RdataClass:
        """As a zone has it."""
        return dns.rdataclass.IN

    def from_wire_origin(self) -> None:
        """Names stay absolute."""

    def writer(self, replacement: bool) -> _Taken:
        """A transaction; `replacement`: of the whole zone."""
        self.steps, self._size = None if replacement else {}, 0
        self.whole.seek(0)
        self.whole.truncate()
        return self

    def add(self, name: Name, rdataset: Iterable[Any]) -> None:
        """Records that come."""
        for line in self._lines(name, rdataset):
            if self.steps is None:
                with _on_disk(self.whole.name):
                    self.whole.write(line)
            elif self.steps.get(line) is False:
                del self.steps[line]
            else:
                self.steps[line] = True

    def delete_exact(self, name: Name, rdataset: Iterable[Any]) -> None:
        """Records that go."""
        for line in self._lines(name, rdataset):
            if self.steps is None or self.steps.get(line) is False:
                raise _MisfitError(line)
            if self.steps.get(line):
                del self.steps[line]
            else:
                self.steps[line] = False

    def replace(self, name: Name, rdataset: Iterable[Any]) -> None:
        """The SOA: nothing else is ever replaced."""
        (self.soa,) = self._lines(name, rdataset)

    def commit(self) -> None:
        """The transfer is whole."""

    def rollback(self) -> None:
        """It is not, or begins again with the whole zone."""
        self.soa = None

    def _lines(self, name: Name, rdataset: Iterable[Any]) -> list[str]:
        owner = name.canonicalize()
        lines = [f"{owner} IN {dns.rdatatype.to_text(data.rdtype)} {data}\n" for data in rdataset]
        self._size += sum(map(len, lines))
        if self._size > self.most:
            raise VerifyError("too-large", f"more than {self.most:,} octets of records")
        return lines


def _stepped(old: Iterable[str], steps: dict[str, bool]) -> Iterable[str]:
    """The lines of a file after these steps. Raises _MisfitError where they are not of this file."""
    gone = 0
    for line in old:
        comes = steps.get(line)
        if comes is None:
            yield line
        elif comes:
            raise _MisfitError(line)
        else:
            gone += 1
    if gone != sum(not comes for comes in steps.values()):
        raise _MisfitError("records that are not there should go")
    yield from (line for line, comes in steps.items() if comes)
