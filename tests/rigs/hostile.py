"""What holds for every answer of the portal, whatever was sent."""

from __future__ import annotations

import re
from html.parser import HTMLParser

MARK = "zq7marker"


def check(answer: bytes) -> None:
    """What holds for every answer of either site."""
    head, _, _ = answer.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert re.fullmatch(rb"HTTP/1\.[01] [1-4][0-9][0-9] .*", lines[0]), lines[0]
    names = [line.partition(b":")[0].lower() for line in lines[1:]]
    assert b"set-cookie" not in names
    assert MARK.encode() not in b"\r\n".join(line for line in lines if not line.lower().startswith(b"location"))
    for line in lines:
        if line.lower().startswith(b"location:"):
            assert re.fullmatch(rb"location: /receipt/[A-Za-z0-9_-]{22}(\?[a-z=1&]*)?", line, re.IGNORECASE), line


class Structure(HTMLParser):
    """What a browser makes of a page: its elements and where they lead."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def check_markup(answer: bytes) -> None:
    """What was sent stands in a page as text alone, and no link leads where it says."""
    found = Structure(answer.partition(b"\r\n\r\n")[2].decode())
    assert not found.tags & {"script", "img", "iframe", "object", "base"}
    for name, value in found.attributes:
        assert not name.startswith("on")
        assert name != "style"
        if name in ("href", "action", "src"):
            assert value.startswith(("/", "?", "#", "https://", "mailto:", "tel:")), value
            assert not value.startswith("//"), value
            assert MARK not in value.partition("?")[0], value
