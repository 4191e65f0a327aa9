"""The catalogues that translators edit, and how they are brought up to date.

    python -m resolver.portal.catalogue     writes locale/messages.pot and adds what is new to every .po file

Enters: the texts marked in templates (`_("…")`) and in code (`marked("…")`). Leaves: gettext files, sorted by text so
that a change of one text changes one place. Rules: what is not used any more is removed; what is new stands there empty
(a test fails until it is translated); no guess is made from a similar text.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from babel.messages.catalog import Catalog

PORTAL = Path(__file__).parent
LOCALE = PORTAL / "locale"
_METHODS = [("templates/**.html", "jinja2"), ("**.py", "python")]


def marked(message: str) -> str:
    """This text is to be translated; it is said later, in a language that is not known here."""
    return message


def messages() -> Catalog:
    """Every text there is, with the files it stands in."""
    from babel.messages.catalog import Catalog
    from babel.messages.extract import extract_from_dir

    catalogue = _headed(Catalog(fuzzy=False))
    found = extract_from_dir(
        PORTAL, _METHODS, {"templates/**.html": {"trimmed": "true"}}, keywords={"_": None, "marked": None, "n_": (1, 2)}
    )
    for file, _line, message, comments, _context in found:
        catalogue.add(message, locations=[(file, 0)], auto_comments=comments)
    return catalogue


def catalogue_file(code: str) -> Path:
    return LOCALE / code / "LC_MESSAGES" / "messages.po"


def template() -> bytes:
    """`messages.pot` as it has to be."""
    return _written(messages())


def updated(code: str) -> bytes:
    """The language's catalogue with exactly the texts there are."""
    from babel.messages.catalog import Catalog
    from babel.messages.pofile import read_po

    old: dict[object, _Key] = {}
    if catalogue_file(code).exists():
        with catalogue_file(code).open("rb") as file:
            old = {message.id: message.string for message in read_po(file, locale=code) if message.string}
    catalogue = _headed(Catalog(locale=code, fuzzy=False))
    for message in messages():
        if message.id:
            empty = "" if isinstance(message.id, str) else ("",) * catalogue.num_plurals
            catalogue.add(message.id, old.get(message.id, empty), locations=message.locations)
    return _written(catalogue)


_Key = str | list[str] | tuple[str, ...]


def _headed(catalogue: Catalog) -> Catalog:
    catalogue.mime_headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Transfer-Encoding", "8bit")]
    catalogue.header_comment = "# Texts of Stopsign's portal and stop page. They are plain text: markup is escaped."
    return catalogue


def _written(catalogue: Catalog) -> bytes:
    from babel.messages.pofile import write_po

    buffer = BytesIO()
    write_po(buffer, catalogue, width=110, sort_output=True, include_lineno=False)
    # Babel writes a header of its own (dates, its version); what changes with every run has no place in the tree.
    kept = [line for line in buffer.getvalue().splitlines(keepends=True) if not line.startswith(_UNSTEADY)]
    return b"".join(kept)


_UNSTEADY = tuple(
    b'"' + name
    for name in (
        b"POT-Creation-Date", b"PO-Revision-Date", b"Generated-By", b"Last-Translator", b"Language-Team",
        b"Project-Id-Version", b"Report-Msgid-Bugs-To", b"MIME-Version",
    )
)  # fmt: skip


def main(codes: Sequence[str]) -> None:
    (LOCALE / "messages.pot").write_bytes(template())
    for code in codes:
        catalogue_file(code).parent.mkdir(parents=True, exist_ok=True)
        catalogue_file(code).write_bytes(updated(code))


if __name__ == "__main__":
    main([path.name for path in sorted(LOCALE.iterdir()) if path.is_dir()])
