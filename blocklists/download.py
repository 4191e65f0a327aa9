"""A register's file as its publisher serves it, and what stands beside it.

Enters: an address (or a path), how it is to be fetched. Leaves: the file, checked; or `VerifyError`. Rules

- A client certificate and a bearer token go to the host that the operator wrote down, never to one that it points to.
- Redirects are followed where the operator allows some: to http or https alone, and never from https to http.
- "The newest link on this page": of the links to the page's own host whose address matches, the greatest by what the
  expression's first group matched (else by the whole match), so that a day in a file's name decides and not its place.
- A checksum or a signature beside the file is fetched within the same deadline; without it the file is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urljoin, urlsplit

from tuf.api.exceptions import DownloadHTTPError

from blocklists import signatures
from blocklists.errors import VerifyError
from blocklists.fetch import place
from blocklists.web import Access, MovedError, Web

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from blocklists.fetch import Deadline

PAGE = 4 << 20
BESIDE = 1 << 20
_NOTHING = Access()


@dataclass(frozen=True, slots=True)
class Signature:
    """A detached signature: where it is (`.minisig` is appended, else a name beside the file), its kind, whose key."""

    beside: str
    kind: Literal["minisign", "signify", "gpg"]
    key: Path


@dataclass(frozen=True, slots=True)
class How:
    """How a publisher serves its file."""

    access: Access = _NOTHING
    redirects: int = 0
    newest: str | None = None
    """An expression for the links of the page that the address names."""
    checksum: str | None = None
    """As `Signature.beside`."""
    signature: Signature | None = None


def download(address: str, to: Path, how: How, deadline: Deadline, *, most: int) -> None:
    """Put the file at `to`. Raises VerifyError; what is at `to` is then of no use."""
    if how.newest is not None:
        page = b"".join(_octets(address, how, deadline, PAGE)).decode("utf-8", "replace")
        address = newest_link(address, page, how.newest)
    try:
        with to.open("wb") as file:
            for chunk in _octets(address, how, deadline, most):
                file.write(chunk)
        if how.checksum is not None:
            beside = b"".join(_octets(_beside(address, how.checksum), how, deadline, BESIDE))
            signatures.check_checksum(to, beside, unquote(urlsplit(address).path).rpartition("/")[2])
        if (signature := how.signature) is not None:
            path = to.with_name(f"{to.name}.signature")
            path.write_bytes(b"".join(_octets(_beside(address, signature.beside), how, deadline, BESIDE)))
            signatures.check_signature(to, path, signature.kind, signature.key)
    except OSError as error:
        raise VerifyError("storage", f"{to}: {error.strerror}") from error


def newest_link(address: str, page: str, pattern: str) -> str:
    """The address of the newest matching link. Raises VerifyError where none matches."""
    links = _Links()
    links.feed(page)
    best: tuple[str, str] | None = None
    for link in links.found:
        target = urljoin(address, link)
        if urlsplit(target)[:2] != urlsplit(address)[:2] or (match := re.search(pattern, target)) is None:
            continue
        rank = match[1] if match.re.groups and match[1] is not None else match[0]
        best = max(best, (rank, target)) if best is not None else (rank, target)
    if best is None:
        raise VerifyError("missing", f"{address}: no link on the page matches {pattern!r}", hint="did the page change?")
    return best[1]


def _beside(address: str, name: str) -> str:
    return address + name if name.startswith(".") else urljoin(address, name)


def _octets(address: str, how: How, deadline: Deadline, most: int) -> Iterator[bytes]:
    access, size = how.access, 0
    for _ in range(how.redirects + 1):
        try:
            for chunk in _served(address, access, deadline):
                size += len(chunk)
                if size > most:
                    raise VerifyError("too-large", f"{address}: more than {most:,} octets")
                yield chunk
        except MovedError as moved:
            if how.redirects == 0:
                raise
            old, address = address, urljoin(address, moved.where)
            allowed = ("https",) if urlsplit(old).scheme == "https" else ("https", "http")
            if urlsplit(address).scheme not in allowed:
                what = f"{old}: it points to {address}, which is not {' or '.join(allowed)}"
                raise VerifyError("unreachable", what) from None
            if urlsplit(old)[:2] != urlsplit(address)[:2]:
                access = Access(ca=access.ca)
        except DownloadHTTPError as error:
            raise VerifyError("missing", f"{address}: {error}") from error
        else:
            return
    raise VerifyError("unreachable", f"{address}: more than {how.redirects} redirects")


def _served(address: str, access: Access, deadline: Deadline) -> Iterator[bytes]:
    parts = urlsplit(address)
    folder, _, name = parts.path.rpartition("/")
    if parts.scheme in {"http", "https"} and parts.hostname and not parts.username:
        web = Web(parts.scheme, parts.hostname, parts.port, folder.strip("/"), deadline, access)
        try:
            yield from web.read(name + (f"?{parts.query}" if parts.query else ""))
        finally:
            web.close()
        return
    folder, _, name = address.rpartition("/")
    yield from place(folder or "/", deadline).read(name)


class _Links(HTMLParser):
    """The addresses that a page links to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """As HTMLParser calls it."""
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]
