"""Which characters a signed text may hold: one table, `text.table`, which the core includes as it stands; and the
border that foreign text passes before a person or a journal sees it.

Enters: a text. Leaves: whether every character of it is allowed, or what of it may be shown.

Rules
- The table names ranges that are refused: controls, blanks other than U+0020, characters that are not seen or reorder
  their neighbours, halves of a character, private use, what Unicode promises never to assign.
- Everything else is allowed, a character that Unicode assigns next year too: the verdict on a signed document must
  not depend on the version of Unicode that a reader was built with (`str.isprintable` does).
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

REFUSED: tuple[tuple[int, int], ...] = tuple(ast.literal_eval(Path(__file__).with_name("text.table").read_text()))
"""First and last code point of each range, in order."""
_REFUSED = re.compile("[" + "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in REFUSED) + "]")
SHOWN = 300
"""Characters of a foreign text that are shown, unless its reader wants it whole."""
_BLANKS = dict.fromkeys([0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000], " ")


def is_text(text: str) -> bool:
    """Whether a signed file may hold this text."""
    # most texts are ASCII, of which the table refuses what cannot be printed
    return (text.isascii() and text.isprintable()) or _REFUSED.search(text) is None


def shown(foreign: object, *, most: int | None = SHOWN) -> str:
    """What a person may see of a text that somebody else wrote: one line, inert and bounded (`most=None`: whole). A
    blank of another width is a blank; other characters that no signed text may hold stand there as U+FFFD, so that what
    was tried stays visible; of a long text its beginning and its length."""
    text = str(foreign)
    cut = _REFUSED.sub("\ufffd", text[:most].translate(_BLANKS))
    return cut if most is None or len(text) <= most else f"{cut}… ({len(text)} characters)"
