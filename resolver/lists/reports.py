"""What the web process reports of appeals, many at once: each is read and judged alone.

Enters: `{"what": "received" | "withdrawn" | "decision", "appeal": …, …}` and so on, and what the steward knows of
appeals. Leaves: for each report its `Report`, or the error that refuses it; then what is new. No I/O. Rules:

- A report has known fields of their shape and nothing else: it goes into the leaf's private detail and the steward's
  state, which is written each time that it changes.
- What is wrong with one report is its own matter: the others of its batch are judged as if it were not there.
- A report that comes again is answered as it was, with the leaf that it has.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from resolver.base.errors import ResolverError
from resolver.ipc import receipts
from resolver.lists.overdue import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from resolver.lists.overdue import Appeals

What = Literal["received", "withdrawn", "decision"]
AT_ONCE = 500
_UNSAID: Mapping[str, str | None] = {"reference": None, "name": "", "list": "", "ground": "", "receipt": ""}
_SHAPES: Mapping[str, Callable[[str], object]] = {
    "appeal": re.compile(r"A-[0-9A-HJKMNP-TV-Z]{12}").fullmatch,
    "reference": re.compile(r"[0-9A-HJKMNP-TV-Z]{16}").fullmatch,
    "name": re.compile(r"[!-~]{0,253}").fullmatch,
    "list": re.compile(r"[!-~]{0,64}").fullmatch,
    "ground": re.compile(r"[a-z]{0,20}").fullmatch,
    "receipt": re.compile(r"([0-9a-f]{64})?").fullmatch,
    "secret": re.compile(r"([0-9a-f]{2}){0,64}").fullmatch,
}


class AppealError(ResolverError):
    """What is said of an appeal is not so, or cannot be done."""


@dataclass(frozen=True, slots=True)
class Report:
    """`detail`: what the leaf of one that came in commits to. `secret`: the receipt's, of one that is withdrawn."""

    what: What
    appeal: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    receipt: str = ""
    secret: bytes = b""


def read(said: object) -> list[Report | AppealError]:
    """The reports that somebody sent; for what is none, why."""
    if not isinstance(said, list) or len(said) > AT_ONCE:
        return [AppealError(f"that is no list of reports, {AT_ONCE} at most")]
    return [_read(one) for one in said]


def _read(said: object) -> Report | AppealError:
    try:
        return _report(said)
    except AppealError as refused:
        return refused


def _report(said: object) -> Report:
    if not isinstance(said, dict) or said.get("what") not in get_args(What):
        raise AppealError("that is no report of an appeal")
    what, appeal = said["what"], _shaped(said, "appeal", None)
    if what == "withdrawn":
        return Report(what, appeal, secret=bytes.fromhex(_shaped(said, "secret", None)))
    if what == "decision":
        return Report(what, appeal)
    told = {key: _shaped(said, key, unsaid) for key, unsaid in _UNSAID.items()}
    receipt = told.pop("receipt")
    times = {key: _time(said[key]) for key in ("received", "due") if key in said}
    return Report(what, appeal, {"appeal": appeal, **told, **times}, receipt)


def _shaped(said: Mapping[str, Any], key: str, unsaid: str | None) -> str:
    value = said.get(key, unsaid)
    if not isinstance(value, str) or _SHAPES[key](value) is None:
        raise AppealError(f"{key} is not as an appeal has it")
    return value


def _time(value: object) -> int:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1 << 53:
        raise AppealError("that is no time")
    return int(value)


def came_in(
    known: Appeals, reports: Mapping[int, Report], room: int
) -> tuple[dict[str, Report], dict[int, AppealError]]:
    """Of reports that an appeal came in (by their number in the batch): those that need a leaf, by appeal, and those
    that are refused. `room`: how many may wait in all."""
    new: dict[str, Report] = {}
    refused: dict[int, AppealError] = {}
    for number, one in reports.items():
        appeal, reference = one.appeal, one.detail["reference"]
        before = known.waiting.get(appeal) or known.decided.get(appeal)
        about = before.reference if before else new.get(appeal, one).detail["reference"]
        if about != reference:
            refused[number] = AppealError(f"{appeal} was received as one about {about}")
        elif leaf_of(known, appeal) is not None or appeal in new:
            continue
        elif before is None and len(known.waiting) + len(new) >= room:
            refused[number] = AppealError(f"{room:,} appeals wait already")
        else:
            new[appeal] = one
    return new, refused


def withdrawn(
    known: Appeals, reports: Mapping[int, Report], room: int
) -> tuple[dict[str, str], dict[int, AppealError]]:
    """Of reports that an author withdraws an appeal: the appeals with their references, and those that are refused.
    Who has the receipt's secret is its author. `room`: how many may be withdrawn now."""
    gone: dict[str, str] = {}
    refused: dict[int, AppealError] = {}
    for number, one in reports.items():
        before = known.waiting.get(one.appeal)
        if before is None:
            if one.appeal not in known.decided:
                refused[number] = AppealError(f"no appeal {one.appeal} was received here")
        elif not before.receipt or not hmac.compare_digest(receipts.hash_of(one.secret).hex(), before.receipt):
            refused[number] = AppealError(f"that is not the receipt of {one.appeal}")
        elif one.appeal not in gone and len(gone) >= room:
            refused[number] = AppealError("as many appeals as may be were withdrawn within a day")
        else:
            gone[one.appeal] = before.reference
    return gone, refused


def leaf_of(known: Appeals, appeal: str) -> int | None:
    """The leaf of its coming in."""
    before = known.waiting.get(appeal) or known.decided.get(appeal)
    return before.leaf if isinstance(before, Waiting) else before.received if before else None
