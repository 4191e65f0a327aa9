"""A review as a signer reads it, and as a program does.

Enters: a `Review`. Leaves: lines of text, or a JSON-able dictionary. Foreign text (notes, names) is printable by then.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

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
            yield f"  {_one(item)}"
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


def _one(item: Entry | tuple[Entry, Entry]) -> str:
    if isinstance(item, tuple):
        old, new = item
        what = f"{old.match} -> {new.match}" if old.match != new.match else f"{old.expires} -> {new.expires}"
        return f"{new.name} ({what}) {new.basis} {new.reference}"
    until = item.expires.partition("T")[0]
    return f"{item.name} ({item.match}) {item.basis} {item.category} until {until} {item.reference}"


def _plain(item: Entry | tuple[Entry, Entry]) -> Any:
    return [asdict(entry) for entry in item] if isinstance(item, tuple) else asdict(item)
