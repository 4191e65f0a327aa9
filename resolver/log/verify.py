"""`audit verify`: recomputes a whole log from nothing but a key, and says what that proved and what it could not.

Enters: a source (a copy, or an address), the log's public key, checkpoints kept from earlier, witnesses. Leaves: a
`Verdict`, or `UntrueError` that names the first bad leaf. Rules:

- every entry is hashed; hashes are held against the tiles from the leaves up, so that a change is found where it is;
- the root must be the signed one, and at the size of each kept checkpoint the kept one: then the old tree is the
  beginning of the new one;
- a leaf of a public type has one published detail, and it is what the leaf commits to; one that is missing or erased
  must have a later leaf that says so. Where that leaf may have come while the log was read, the leaves since are
  verified too, up to a newer checkpoint that continues the one before; the verdict is of the newer one;
- without a kept checkpoint or a quorum of witnesses the log proves that it agrees with itself, and nothing more: a
  rewritten log, or one that is shown differently to others, would look the same.
"""

from __future__ import annotations

from collections import Counter, deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from blocklists.counted import counted
from resolver.log.checkpoint import Checkpoint, open_checkpoint
from resolver.log.errors import MalformedError, MissingError, UntrueError
from resolver.log.leaf import Leaf, parse_leaf, time_of
from resolver.log.merkle import HASH_SIZE, Frontier, complete_root, leaf_hash
from resolver.log.note import MAX_NOTE, Signed, Verifier, parse_vkey
from resolver.log.policy import Policy
from resolver.log.published import Published
from resolver.log.source import cosigned_beside
from resolver.log.tiles import TILE_SIZE, WIDTH, TileReader, bundle_path, tile_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from resolver.log.source import Source


@dataclass(frozen=True)
class Witnessed:
    """A witness, the size of the tree that it cosigned, and when (POSIX seconds)."""

    name: str
    size: int
    timestamp: int | None
    """None for a key that signs no time (type 1)."""


@dataclass(frozen=True)
class Verdict:
    """What was found to be true."""

    checkpoint: Checkpoint
    note: bytes
    """The checkpoint as it was signed: to be kept."""
    key: Verifier
    key_from_copy: bool
    kept: tuple[int, ...]
    """Sizes of the kept checkpoints that this log continues."""
    witnesses: tuple[Witnessed, ...]
    quorum: int
    types: dict[str, int]
    hours: tuple[str, str] | None
    details: int
    """How many published details are what their leaves commit to."""
    erased: int
    remarks: tuple[str, ...]

    @property
    def self_consistent_only(self) -> bool:
        """Neither a kept checkpoint nor a quorum of witnesses ties this log to what others saw."""
        return not self.kept and not (self.quorum and len(self.witnesses) >= self.quorum)

    def as_dict(self) -> dict[str, Any]:
        return {
            "ok": True,
            "origin": self.checkpoint.origin,
            "size": self.checkpoint.size,
            "root": self.checkpoint.root.hex(),
            "key": str(self.key),
            "key_from_copy": self.key_from_copy,
            "self_consistent_only": self.self_consistent_only,
            "kept": list(self.kept),
            "witnesses": [{"name": one.name, "size": one.size, "time": one.timestamp} for one in self.witnesses],
            "quorum": self.quorum,
            "types": self.types,
            "hours": list(self.hours) if self.hours else None,
            "details": self.details,
            "erased": self.erased,
            "remarks": list(self.remarks),
        }


@dataclass
class _Story:
    """What the leaves tell while they pass by."""

    types: Counter[str] = field(default_factory=Counter)
    first: Leaf | None = None
    last: Leaf | None = None
    remarks: list[str] = field(default_factory=list)
    more: int = 0

    def tell(self, index: int, leaf: Leaf) -> None:
        self.types[leaf.type] += 1
        if self.last is not None and leaf.hour != self.last.hour:
            gap = time_of(leaf.hour) - time_of(self.last.hour)
            if gap < timedelta(0):
                self.remark(
                    f"leaf {index} is of {leaf.hour}, the one before it of {self.last.hour}: the clock went back"
                )
            elif gap > timedelta(hours=1) and self.last.type != "stop":
                self.remark(
                    f"silence from {self.last.hour} to {leaf.hour} before leaf {index}: nothing logged, no stop"
                )
        self.first = self.first or leaf
        self.last = leaf

    def remark(self, sentence: str) -> None:
        if len(self.remarks) < 20:
            self.remarks.append(sentence)
        else:
            self.more += 1


def verify(
    source: Source,
    key: Verifier | None = None,
    *,
    kept: Sequence[bytes] = (),
    witnesses: Sequence[Verifier] = (),
    quorum: int = 0,
    policy: Policy | None = None,
    progress: Callable[[int, int], None] = lambda _done, _size: None,
) -> Verdict:
    """Recomputes everything. Raises `UntrueError` at the first thing that is not so, `AuditError` if it cannot read."""
    given, policy = key, policy or Policy.of(witnesses, quorum)
    witnesses = policy.witnesses
    key = key or parse_vkey(source.fetch("log.vkey", MAX_NOTE).decode("utf-8", "replace").strip())
    beside = cosigned_beside(source) if witnesses else None
    note = source.fetch("checkpoint", MAX_NOTE)
    opened = [open_checkpoint(one, key, witnesses) for one in (note, *kept, *([beside] if beside else []))]
    head, earlier = opened[0][0], sorted((_older(old, opened[0][0]) for old, _ in opened[1:]), key=lambda old: old.size)
    seen = _witnessed(opened, key, policy)
    story, published = _Story(), Published(source)
    reader = TileReader(source.fetch, head.size)
    tiles = Frontier()
    waiting = deque(earlier)
    rest = b""
    for number, entries, tile in _pages(reader, source.parallel):
        leaves = _check_page(number, entries, tile, story)
        published.check(number, leaves)
        while waiting and waiting[0].size < number * WIDTH + len(entries):
            old = waiting.popleft()
            _same(tiles.root(tile[: (old.size - number * WIDTH) * HASH_SIZE]), old, earlier)
        if len(entries) == WIDTH:
            tiles.push(complete_root(tile))
            _check_above(reader, number, tile)
        else:
            rest = tile
        progress(number * WIDTH + len(entries), head.size)
    root = tiles.root(rest)
    for old in waiting:
        _same(root, old, earlier)
    if root != head.root:
        since = max((old.size for old in earlier), default=0)
        raise UntrueError(
            f"the {head.size} leaves do not come out at the signed root",
            hint=f"leaves and tiles agree with each other: they were rewritten together, at or after leaf {since}",
        )
    if published.unsettled:
        head, note = _read_on(source, key, (head, note), tiles, rest, story, published)
    published.settle()
    if published.private:
        story.remark(f"details that are not published otherwise are in this copy: of leaves {published.private}")
    if story.more:
        story.remarks.append(f"and {story.more} more remarks")
    return Verdict(
        checkpoint=head,
        note=note,
        key=key,
        key_from_copy=given is None,
        kept=tuple(sorted(old.size for old, _ in opened[1 : 1 + len(kept)])),
        witnesses=seen,
        quorum=policy.quorum.least,
        types=dict(sorted(story.types.items())),
        hours=(story.first.hour, story.last.hour) if story.first and story.last else None,
        details=published.details,
        erased=published.erased,
        remarks=tuple(story.remarks),
    )


def _read_on(
    source: Source, key: Verifier, before: tuple[Checkpoint, bytes], tiles: Frontier, rest: bytes, story: _Story,
    published: Published,
) -> tuple[Checkpoint, bytes]:  # fmt: skip
    """The newest checkpoint, and its note, where the log grew while it was read up to `before`, which `tiles` and
    `rest` are the tree of. The leaves since are checked as those before were."""
    note = source.fetch("checkpoint", MAX_NOTE)
    (head, _), since = open_checkpoint(note, key), before[0].size
    if head.size <= since:
        return before
    reader = TileReader(source.fetch, head.size)
    for number in range(since // WIDTH, -(-head.size // WIDTH)):
        entries, tile = _entries(reader, number), _tile(reader, 0, number)
        leaves = _check_page(number, entries, tile, story, since)
        if not tile.startswith(rest):
            raise UntrueError(
                f"history was rewritten while it was read: leaves from {number * WIDTH} on are not those of before",
                leaf=number * WIDTH,
            )
        published.check(number, leaves, since)
        rest = b"" if len(entries) == WIDTH else tile
        if not rest:
            tiles.push(complete_root(tile))
    if tiles.root(rest) != head.root:
        raise UntrueError(f"the {head.size} leaves do not come out at the signed root", leaf=since)
    return head, note


def _witnessed(
    opened: Sequence[tuple[Checkpoint, tuple[Signed, ...]]], key: Verifier, policy: Policy
) -> tuple[Witnessed, ...]:
    """Each witness once, with the newest tree that it cosigned; raises unless they make the quorum."""
    newest: dict[Verifier, Witnessed] = {}
    for checkpoint, cosigned in sorted(opened, key=lambda one: one[0].size):
        for one in cosigned:
            newest[one.verifier] = Witnessed(one.verifier.name, checkpoint.size, one.time)
    policy.check(key, newest.keys())
    return tuple(newest.values())


def _older(old: Checkpoint, head: Checkpoint) -> Checkpoint:
    if old.size > head.size:
        raise UntrueError(
            f"the log has shrunk: the kept checkpoint speaks of {counted(old.size, 'leaf')}, this one of {head.size}",
            hint="an old copy, or leaves were taken away; both checkpoints are signed, keep them",
            leaf=head.size,
        )
    return old


def _same(root: bytes, old: Checkpoint, earlier: Sequence[Checkpoint]) -> None:
    if root != old.root:
        since = max((other.size for other in earlier if other.size < old.size), default=0)
        raise UntrueError(
            f"history was rewritten: the first {old.size} leaves are not those of the kept checkpoint",
            hint=f"the first bad leaf is one of {since} to {old.size - 1}; the two signed checkpoints are the proof",
        )


def _pages(reader: TileReader, parallel: int) -> Iterator[tuple[int, list[bytes], bytes]]:
    """Bundles and their tiles in order, a few asked for ahead where that helps."""
    count = -(-reader.size // WIDTH)

    def page(number: int) -> tuple[int, list[bytes], bytes]:
        return number, _entries(reader, number), _tile(reader, 0, number)

    if parallel == 1:
        yield from map(page, range(count))
        return
    with ThreadPoolExecutor(parallel) as pool:
        ahead: deque[Future[tuple[int, list[bytes], bytes]]] = deque()
        for number in range(count):
            ahead.append(pool.submit(page, number))
            if len(ahead) > parallel:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _entries(reader: TileReader, number: int) -> list[bytes]:
    """A bundle's entries; where it is damaged, those before the damage, so that the first bad leaf gets its name."""
    try:
        return reader.bundle(number)
    except MissingError as wrong:
        raise UntrueError(f"leaf {number * WIDTH}: {wrong}", leaf=number * WIDTH) from wrong
    except MalformedError as wrong:
        intact = reader.intact_entries(number)
        tile = _tile(reader, 0, number)
        for at, entry in enumerate(intact):
            if leaf_hash(entry) != tile[at * HASH_SIZE : (at + 1) * HASH_SIZE]:
                raise UntrueError(
                    f"leaf {number * WIDTH + at} is not what the tree holds", leaf=number * WIDTH + at
                ) from wrong
        leaf = number * WIDTH + len(intact)
        raise UntrueError(f"leaf {leaf}: {wrong}", leaf=leaf) from wrong


def _tile(reader: TileReader, level: int, number: int) -> bytes:
    try:
        return reader.tile(level, number) if level else reader.read_tile(level, number)
    except (MissingError, MalformedError) as wrong:
        first = number * WIDTH ** (level + 1)
        raise UntrueError(f"leaf {first} and those after it: {wrong}", leaf=first) from wrong


def _check_page(number: int, entries: list[bytes], tile: bytes, story: _Story, since: int = 0) -> list[Leaf]:
    """`since`: the story has the leaves before it."""
    leaves = []
    for at, entry in enumerate(entries):
        index = number * WIDTH + at
        if leaf_hash(entry) != tile[at * HASH_SIZE : (at + 1) * HASH_SIZE]:
            raise UntrueError(
                f"leaf {index} is not what the tree holds: {entry[:100]!r}",
                hint=f"{bundle_path(number)} and {tile_path(0, number)} disagree there",
                leaf=index,
            )
        try:
            leaf = parse_leaf(entry)
        except MalformedError as wrong:
            raise UntrueError(f"leaf {index}: {wrong}", leaf=index) from wrong
        if index >= since:
            story.tell(index, leaf)
        leaves.append(leaf)
    return leaves


def _check_above(reader: TileReader, number: int, tile: bytes) -> None:
    """A full tile's root must be where the tile above has it, and so on up, as each of those comes to be full."""
    level, value = 1, complete_root(tile)
    first = number * WIDTH
    while True:
        above = _tile(reader, level, number // WIDTH)
        at = (number % WIDTH) * HASH_SIZE
        if above[at : at + HASH_SIZE] != value:
            raise UntrueError(
                f"leaves {first} to {first + WIDTH**level - 1} are not those of {tile_path(level, number // WIDTH)}",
                hint="entries and their hashes were changed together",
                leaf=first,
            )
        if number % WIDTH != WIDTH - 1 or len(above) != TILE_SIZE:
            return
        number //= WIDTH
        first = number * WIDTH ** (level + 1)
        level, value = level + 1, complete_root(above)
