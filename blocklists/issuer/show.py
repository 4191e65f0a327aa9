"""A review as a signer reads it, and as a program does.

Enters: a `Review`. Leaves: lines of text, or a JSON-able dictionary. Foreign text (notes, names) is printable by then.

Rules
- All that is signed of an entry can be read: of one that changes each field that differs, before and after; of one that
  comes its fields, and what the issuer says of its impact (`impacts`).
- What somebody wrote in whole sentences has a line of its own, so that it cannot pass for another field.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from blocklists import text
from blocklists.counted import counted
from blocklists.importers.source import shown
from blocklists.issuer.review import SHOWN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blocklists.entry import Entry
    from blocklists.issuer.review import Items, Review

KINDS = ("added", "removed", "widened", "narrowed", "prolonged", "shortened", "reworded", "withdrawn")


def as_text(review: Review, *, limit: int | None = SHOWN) -> Iterator[str]:
    """The review for a person; of each kind the first `limit` entries, None: all that the review has."""
    about, head, meaning = review.request.about, review.head, review.meaning
    yield f"{about.kind} request by {shown(about.author)}, {shown(about.created)}: {shown(about.note)}"
    if head is not None:
        before = review.known.list.head.entries if review.known.list else 0
        yield f"list {head.list}: version {head.version}, {before} -> {head.entries} entries"
    for remark in review.remarks:
        yield f"  {remark}"
    for change in review.keys:
        yield f"  {change.sentence()}"
    for ground in review.grounds:
        yield from (f"  {line}" for line in ground.sentences())
    for basis, (come, gone) in meaning.by_basis.items():
        yield f"  basis {basis}: {come} come, {gone} go"
    for kind in KINDS:
        items: Items[Any] = getattr(meaning, kind)
        if items.count:
            yield f"{kind}: {items.count}" + (", without effect" if kind == "withdrawn" else "")
        listed = items.first[:limit]
        for item in listed:
            if isinstance(item, tuple):
                yield from _pair(*item)
            else:
                yield _one(item) + (_more(item, about.created) if kind == "added" else "")
        if items.count > len(listed):
            yield f"  and {items.count - len(listed)} more (--all shows them)"
    for reference, suspension in review.suspended.items():
        yield f"suspended: {reference}: {shown(suspension.reason)}"
    for decision in review.decided:
        yield (
            f"appeal {shown(decision.appeal)} against {decision.reference}: {decision.outcome}, "
            f"by {shown(decision.by)}: {shown(decision.reasons)}"
        )
    if review.findings:
        yield f"look at: {len(review.findings)}"
    for finding in review.findings[:limit]:
        yield f"  {finding.sentence()}"
    if limit is not None and len(review.findings) > limit:
        yield f"  and {len(review.findings) - limit} more (--all shows them)"


def as_json(review: Review) -> dict[str, Any]:
    """The review for a program."""
    head = review.head
    return {
        "request": asdict(review.request.about),
        "list": head and head.list,
        "version": head and head.version,
        "entries": head and head.entries,
        "state": head and head.state,
        "remarks": list(review.remarks),
        "keys": [asdict(change) for change in review.keys],
        "grounds": [asdict(ground) for ground in review.grounds],
        "by_basis": {
            basis: {"added": come, "removed": gone} for basis, (come, gone) in review.meaning.by_basis.items()
        },
        **{kind: [_plain(item) for item in getattr(review.meaning, kind).first] for kind in KINDS},
        "suspended": {reference: asdict(item) for reference, item in review.suspended.items()},
        "decided": [asdict(item) for item in review.decided],
        "findings": [
            {"kind": f.kind, "name": f.entry.name, "match": f.entry.match, "against": list(f.against), "count": f.count}
            for f in review.findings
        ],
    }


def impacts(review: Review, *, limit: int | None = SHOWN) -> Iterator[str]:
    """What is said to be touched besides by those entries that come and are listed in the text: each sentence once."""
    said: dict[str, list[Entry]] = {}
    for entry in review.meaning.added.first[:limit]:
        if entry.impact is not None:
            said.setdefault(entry.impact, []).append(entry)
    for sentence, entries in said.items():
        yield f"impact of {counted(len(entries), 'entry')}, first {entries[0].name}: {_whole(sentence)}"


def _one(entry: Entry) -> str:
    until = _day(entry.expires)
    return f"  {entry.name} ({entry.match}) {entry.basis} {entry.category} until {until} {entry.reference}"


def _more(entry: Entry, proposed: str) -> str:
    """What is not usual in an entry that comes, in a request of this time."""
    more = f", issued {entry.issued}" if _day(entry.issued) != _day(proposed) else ""
    return more if entry.removal_requested is None else f"{more}, removal requested {entry.removal_requested}"


def _pair(old: Entry, new: Entry) -> Iterator[str]:
    """The line of an entry that changes, and two more where its impact does."""
    changes: list[str] = []
    for field in ("match", "expires", "category", "issued", "removal_requested"):
        before, after = getattr(old, field), getattr(new, field)
        if before != after:
            # A match says for itself what it is, and so does an end where the match stays
            bare = field in {"match", "expires"} and not changes
            changes.append(f"{'' if bare else field.replace('_', ' ') + ' '}{before or 'none'} -> {after or 'none'}")
    yield f"  {new.name} ({', '.join(changes) or new.match}) {new.basis} {new.reference}"
    if old.impact != new.impact:
        yield f"    impact before: {_whole(old.impact or 'none')}"
        yield f"    impact after: {_whole(new.impact or 'none')}"


def _whole(sentence: str) -> str:
    """A sentence to the end: what is signed unread could be the rest of it."""
    return text.shown(sentence, most=None)


def _day(time: str) -> str:
    return time.partition("T")[0]


def _plain(item: Entry | tuple[Entry, Entry]) -> Any:
    return [asdict(entry) for entry in item] if isinstance(item, tuple) else asdict(item)
