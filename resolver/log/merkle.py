"""The Merkle tree of RFC 6962, section 2.1, as arithmetic: no file, no clock, no state but a `Frontier`.

Enters: leaf hashes and node hashes (32 bytes each). Leaves: roots, inclusion and consistency proofs, or `UntrueError`.
Rules: leaves and nodes are hashed with different first bytes, so that neither can stand for the other; a node named
`(level, n)` is the complete subtree over leaves `n * 2**level` up to `(n + 1) * 2**level`; proofs are checked by the
algorithms of RFC 9162, 2.1.3.2 and 2.1.4.2, which never recurse on what a stranger sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256

from resolver.log.errors import UntrueError

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()

NodeReader = Callable[[int, int], bytes]
"""`(level, n)` to the hash of that complete subtree."""


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(0x00 || entry)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


def complete_root(hashes: bytes) -> bytes:
    """The root over a power of two of concatenated hashes."""
    row = [hashes[i : i + HASH_SIZE] for i in range(0, len(hashes), HASH_SIZE)]
    while len(row) > 1:
        row = [sha256(b"\x01" + row[i] + row[i + 1]).digest() for i in range(0, len(row), 2)]
    return row[0]


def complete_parts(start: int, end: int) -> Iterator[tuple[int, int]]:
    """`(level, n)` of the complete subtrees that tile leaves `start` to `end`, left to right; `start` is where RFC 6962
    would split, that is, a multiple of the largest power of two that fits."""
    while start < end:
        level = (end - start).bit_length() - 1
        yield level, start >> level
        start += 1 << level


def join_parts(parts: Sequence[bytes]) -> bytes:
    """The root over complete subtrees given largest (leftmost) first."""
    root = parts[-1]
    for part in reversed(parts[:-1]):
        root = node_hash(part, root)
    return root


def range_root(start: int, end: int, node: NodeReader) -> bytes:
    """MTH(D[start:end]) for a range at which RFC 6962 splits."""
    return join_parts([node(level, n) for level, n in complete_parts(start, end)])


def tree_root(size: int, node: NodeReader) -> bytes:
    """MTH(D[0:size])."""
    return range_root(0, size, node) if size else EMPTY_ROOT


def parts_of(hashes: bytes) -> list[bytes]:
    """The complete subtrees over concatenated hashes, largest first."""
    width = len(hashes) // HASH_SIZE
    return [
        complete_root(hashes[(n << level) * HASH_SIZE : ((n + 1) << level) * HASH_SIZE])
        for level, n in complete_parts(0, width)
    ]


class Frontier:
    """The right edge of a growing tree: one hash for each set bit of the size, whatever the size."""

    def __init__(self) -> None:
        self.size = 0
        self._parts: list[bytes] = []

    def push(self, leaf: bytes) -> None:
        """Appends one leaf hash."""
        size = self.size
        while size & 1:
            leaf = node_hash(self._parts.pop(), leaf)
            size >>= 1
        self._parts.append(leaf)
        self.size += 1

    def root(self, rest: bytes = b"") -> bytes:
        """MTH of all that was pushed, followed by concatenated hashes of the same height or, where what was pushed are
        roots of full tiles, by hashes of an unfinished one."""
        parts = self._parts + parts_of(rest)
        return join_parts(parts) if parts else EMPTY_ROOT


def inclusion_proof(index: int, size: int, node: NodeReader) -> list[bytes]:
    """PATH(index, D[size]): from the leaf's sibling up to the root's child."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    proof: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        split = start + (1 << ((end - start - 1).bit_length() - 1))
        if index < split:
            proof.append(range_root(split, end, node))
            end = split
        else:
            proof.append(range_root(start, split, node))
            start = split
    proof.reverse()
    return proof


def consistency_proof(old: int, size: int, node: NodeReader) -> list[bytes]:
    """PROOF(old, D[size]) of RFC 6962, 2.1.2; empty for an old size of zero or of `size`."""
    if not 0 <= old <= size:
        raise ValueError(f"a tree of {old} is not the beginning of one of {size}")
    if old in (0, size):
        return []
    proof: list[bytes] = []
    start, end, whole = 0, size, True
    while end != old:
        split = start + (1 << ((end - start - 1).bit_length() - 1))
        if old <= split:
            proof.append(range_root(split, end, node))
            end = split
        else:
            proof.append(range_root(start, split, node))
            start, whole = split, False
    if not whole:
        proof.append(range_root(start, end, node))
    proof.reverse()
    return proof


def check_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raises `UntrueError` unless the leaf hash is at `index` of the tree with that size and root."""
    if not 0 <= index < size:
        raise UntrueError(f"leaf {index} is not in a tree of {size}")
    _check_sizes(leaf, root, *proof)
    here, last, value = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise UntrueError("the inclusion proof is too long")
        if here & 1 or here == last:
            value = node_hash(sibling, value)
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            value = node_hash(value, sibling)
        here, last = here >> 1, last >> 1
    if last:
        raise UntrueError("the inclusion proof is too short")
    if value != root:
        raise UntrueError(f"leaf {index} is not what the tree of {size} holds there")


def check_consistency(old: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Raises `UntrueError` unless the old tree is the beginning of the new one."""
    if old > size:
        raise UntrueError(f"a tree of {old} cannot be the beginning of one of {size}")
    _check_sizes(*proof)
    if old in (0, size):
        # c2sp.org/tlog-witness: "the empty tree is consistent with any tree, so no proof is necessary"
        if proof:
            raise UntrueError("the consistency proof should be empty")
        if old_root != (EMPTY_ROOT if old == 0 else root) or (size == 0 and root != EMPTY_ROOT):
            raise UntrueError(f"two different roots for the same size {old}")
        return
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        raise UntrueError("the consistency proof is too short")
    here, last = old - 1, size - 1
    while here & 1:
        here, last = here >> 1, last >> 1
    first = second = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise UntrueError("the consistency proof is too long")
        if here & 1 or here == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        here, last = here >> 1, last >> 1
    if last:
        raise UntrueError("the consistency proof is too short")
    if first != old_root or second != root:
        raise UntrueError(f"the tree of {old} is not the beginning of the tree of {size}: history was rewritten")


def _check_sizes(*hashes: bytes) -> None:
    if any(len(one) != HASH_SIZE for one in hashes):
        raise UntrueError(f"a hash does not have {HASH_SIZE} bytes")
