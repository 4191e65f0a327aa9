"""A static web host (http, https), within one overall deadline.

Enters: the host, who asks (`Access`), relative paths. Leaves: chunks of octets, or what `blocklists/fetch.py` says.

Rules
- One deadline covers name resolution, connecting, the TLS handshake and every read of head and body: time-outs by
  operation are no bound, as a host that sends an octet a second never runs into one.
- How many octets are too many is the caller's to say (python-tuf stops at the signed length); headers are bounded here.
- A host that answers 403, 404 or 410 has no such file: storage that may not be listed says 403 of what is missing.
- No redirect is followed, no proxy taken from the environment, no content coding accepted: a repository is a plain
  static host at exactly the place that the operator wrote down.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuf.api.exceptions import DownloadHTTPError

from blocklists.errors import VerifyError, why
from blocklists.fetch import CHUNK
from blocklists.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from blocklists.fetch import Deadline


@dataclass(frozen=True, slots=True)
class Access:
    """What a host wants to see of who asks. Files are read at each connection, so that they may be exchanged."""

    ca: Path | None = None
    """Trust these certificates alone, not the system's."""
    certificate: Path | None = None
    key: Path | None = None
    """None: it is in the file of the certificate."""
    bearer: Path | None = None
    """Its first line is the token."""

    def context(self) -> ssl.SSLContext:
        """TLS as this access has it. Raises VerifyError where a file cannot be used."""
        try:
            made = ssl.create_default_context(cafile=self.ca)
            if self.certificate is not None:
                made.load_cert_chain(self.certificate, self.key)
        except (OSError, ValueError) as error:
            raise VerifyError(
                "storage", f"{self.certificate or self.ca} is no certificate to use: {why(error)}"
            ) from None
        return made

    def headers(self) -> dict[str, str]:
        """What is said in each request. Raises VerifyError."""
        if self.bearer is None:
            return {}
        try:
            token = self.bearer.read_text(encoding="ascii").splitlines()[0].strip()
        except (OSError, UnicodeDecodeError, IndexError):
            raise VerifyError("storage", f"{self.bearer}: no token can be read") from None
        return {"Authorization": f"Bearer {token}"}


class MovedError(VerifyError):
    """The host points elsewhere: `where`, as it wrote it."""

    def __init__(self, message: str, where: str) -> None:
        super().__init__("unreachable", message, hint=f"it points to {shown(where)!r}: configure the final address")
        self.where = where


class Web:
    """A repository on a static web host. One connection is kept over all requests."""

    def __init__(
        self, scheme: str, host: str, port: int | None, prefix: str, deadline: Deadline, access: Access | None = None
    ) -> None:
        default = http.client.HTTPS_PORT if scheme == "https" else http.client.HTTP_PORT
        access = access or Access()
        self._tls = access.context() if scheme == "https" else None
        self._headers = access.headers()
        self._host, self._port, self._deadline = host, port or default, deadline
        self._prefix = f"/{prefix}/" if prefix else "/"
        self.name = f"{scheme}://{host}{f':{port}' if port else ''}{self._prefix}"
        self._kept: _Connection | None = None

    def read(self, path: str) -> Iterator[bytes]:
        """As `fetch.Place.read`."""
        with self._answered(path) as response:
            if response.status in {403, 404, 410}:
                raise DownloadHTTPError(f"{self.name}{path}: status {response.status}", response.status)
            if response.status != 200:
                what = f"{self.name}{path}: status {response.status}"
                if where := response.getheader("Location", ""):
                    raise MovedError(what, where)
                raise VerifyError("unreachable", what)
            if response.getheader("Content-Encoding", "identity") != "identity":
                raise VerifyError("unreachable", f"{self.name}{path}: the host compresses what it serves")
            # read1: at most one read of the socket, so that the deadline is met between any two
            while chunk := response.read1(CHUNK):
                self._deadline.left()
                yield chunk

    def post(self, path: str, body: bytes, limit: int) -> tuple[int, str, bytes]:
        """Sends `body`; the answer's status, its type, and its octets, `limit` of them at most. Raises VerifyError."""
        held = bytearray()
        with self._answered(path, body) as response:
            while chunk := response.read1(CHUNK):
                self._deadline.left()
                held += chunk
                if len(held) > limit:
                    raise VerifyError("malformed", f"{self.name}{path}: the answer is longer than {limit} octets")
            kind = response.getheader("Content-Type", "")
        return response.status, kind, bytes(held)

    @contextmanager
    def _answered(self, path: str, body: bytes | None = None) -> Iterator[http.client.HTTPResponse]:
        """An answer to be read; its connection is kept where it was read to the end and may be used again."""
        connection: _Connection | None = None
        try:
            connection, response = self._ask(self._prefix + path, body)
            yield response
            if response.length:
                raise VerifyError("unreachable", f"{self.name}{path}: the connection broke off")
            response.close()
            if not response.will_close:
                self._kept, connection = connection, None
        except TimeoutError:
            raise VerifyError("deadline", f"{self.name}{path}: not done within {self._deadline.seconds:g} s") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise VerifyError("unreachable", f"{self.name}{path}: {error or type(error).__name__}") from None
        finally:
            if connection is not None:
                connection.hang_up()

    def close(self) -> None:
        """As `fetch.Place.close`."""
        if self._kept is not None:
            self._kept.hang_up()
            self._kept = None

    def _ask(self, target: str, body: bytes | None) -> tuple[_Connection, http.client.HTTPResponse]:
        if self._kept is not None:
            kept, self._kept = self._kept, None
            try:
                return kept, _request(kept, target, body, self._headers)
            except ConnectionError:
                pass  # the host closed a connection that lay idle: its right, and no failure
        connection = _Connection(self._host, self._port, _Stream(self._connect(), self._deadline))
        return connection, _request(connection, target, body, self._headers)

    def _connect(self) -> socket.socket:
        failure: OSError = OSError(f"{self._host} has no address")
        addresses = resolve(self._host, self._port, self._deadline)
        for tried, (family, kind, protocol, _, address) in enumerate(addresses):
            stream = socket.socket(family, kind, protocol)
            try:
                # a share each, so that a dead first address leaves time for the next one
                stream.settimeout(self._deadline.left() / (len(addresses) - tried))
                stream.connect(address)
                stream.settimeout(self._deadline.left())
                return stream if self._tls is None else self._tls.wrap_socket(stream, server_hostname=self._host)
            except OSError as error:
                stream.close()
                self._deadline.left()
                failure = error
        raise failure


class _Connection:
    """http.client's protocol over a stream of our own."""

    def __init__(self, host: str, port: int, stream: _Stream) -> None:
        self._http = http.client.HTTPConnection(host, port)
        self._http.sock = stream
        self._stream = stream

    def ask(self, target: str, body: bytes | None, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        method = "GET" if body is None else "POST"
        self._http.request(method, target, body, {"User-Agent": "stopsign", "Accept-Encoding": "identity", **headers})
        return self._http.getresponse()

    def hang_up(self) -> None:
        self._stream.hang_up()


class _Stream(io.RawIOBase):
    """A socket for http.client whose every read and write ends at the deadline, be it header, chunk size or body."""

    def __init__(self, stream: socket.socket, deadline: Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._stream.settimeout(self._deadline.left())
        return self._stream.recv_into(buffer)

    def sendall(self, data: bytes) -> None:
        self._stream.settimeout(self._deadline.left())
        self._stream.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        """What http.client reads a response from (`mode` is always `rb`)."""
        del mode
        return io.BufferedReader(self)

    def close(self) -> None:
        """Nothing: http.client closes while a response is still being read. `hang_up` closes."""

    def hang_up(self) -> None:
        """Close the connection."""
        self._stream.close()


def _request(
    connection: _Connection, target: str, body: bytes | None, headers: Mapping[str, str]
) -> http.client.HTTPResponse:
    try:
        return connection.ask(target, body, headers)
    except BaseException:
        connection.hang_up()
        raise


def resolve(host: str, port: int, deadline: Deadline) -> list[Any]:
    """Addresses of the host. The C library knows no deadline, so it is asked in a thread that may be left behind."""
    answer: list[Any] = []
    failure: list[OSError] = []

    def ask() -> None:
        try:
            answer.extend(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as error:
            failure.append(error)

    thread = threading.Thread(target=ask, daemon=True, name="resolve")
    thread.start()
    thread.join(deadline.left())
    if failure:
        raise failure[0]
    if thread.is_alive():
        deadline.left()
        raise TimeoutError
    return answer
