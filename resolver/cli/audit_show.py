"""What a person reads of a log: leaves with their details, and a verdict in sentences.

Enters: a source, or a verdict. Leaves: lines of text, or what `--json` prints. Nothing is checked here but that leaves
can be read; `verify` checks.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from blocklists.counted import counted
from resolver.base.timestamps import as_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resolver.log.leaf import Detail, Leaf
    from resolver.log.verify import Verdict


def leaf_dict(index: int, leaf: Leaf, detail: Detail | None) -> dict[str, Any]:
    """One leaf for `--json`."""
    told = {"index": index, "hour": leaf.hour, "type": leaf.type, "reference": leaf.reference, "digest": leaf.detail}
    if detail is not None:
        told |= {"erased": detail.erased} if detail.erased else {"salt": detail.salt, "detail": detail.value}
    return told


def leaf_line(index: int, leaf: Leaf, detail: Detail | None) -> str:
    """One leaf for people."""
    if detail is None:
        said = "(detail not published)"
    elif detail.erased:
        said = f"(detail erased {detail.erased})"
    else:
        said = json.dumps(detail.value, ensure_ascii=True)
    return f"{index:>8}  {leaf.hour}  {leaf.type:<16}  {leaf.reference:<16}  {said}"


def verdict_lines(verdict: Verdict) -> Iterator[str]:
    """What was proved, what was not, and what should be asked about."""
    head = verdict.checkpoint
    yield f"{head.origin}: {counted(head.size, 'leaf')}, root {head.root.hex()}"
    if verdict.hours:
        yield f"from {verdict.hours[0]} to {verdict.hours[1]}: " + ", ".join(
            f"{count} {kind}" for kind, count in verdict.types.items()
        )
    yield ""
    yield "Proved:"
    yield f"  - the checkpoint is signed by {verdict.key}"
    yield f"  - each of the {head.size} leaves is there, hashes to the tree and comes out at the signed root"
    if verdict.details:
        yield f"  - {verdict.details} published details are what their leaves commit to"
    for size in verdict.kept:
        yield f"  - the first {size} leaves are those of the checkpoint that was kept"
    for one in verdict.witnesses:
        saw = f"  - {one.name} saw the first {one.size} leaves just so"
        if one.timestamp is None:
            yield f"{saw}; its key signs no time"
        else:
            yield f"{saw}, and as a continuation, at {as_text(min(one.timestamp, 253402300799))}"
    yield "Not proved:"
    if verdict.key_from_copy:
        yield "  - whose log this is: the key came with the copy; give the one you were told with --key"
    if verdict.self_consistent_only:
        yield "  - that others see the same log, or that it was not rewritten: self-consistent only"
        yield "    (keep this checkpoint for --checkpoint next time, or ask for witnesses with --witness and --quorum)"
    elif not verdict.quorum:
        yield "  - that others see the same log: no witnesses were named"
    yield "  - that what the leaves say is what was done: `stopsign audit probe` asks the resolver"
    if verdict.erased:
        yield f"  - what {verdict.erased} erased details said"
    for remark in verdict.remarks:
        yield f"Remark: {remark}"
