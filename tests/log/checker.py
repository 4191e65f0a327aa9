"""A checker written from docs/auditor.md and the C2SP texts that it names, by somebody who has none of our code.

Standard library only. `python checker.py LOG` reads a log's folder; `zstd -dc PROOF/document.zst | python checker.py
PROOF` what `was-blocked` wrote. It prints what it found to be so, and raises `Wrong` at what is not. Signatures it
leaves to another program: the standard library has no Ed25519. What it shows is that leaves, details, tree and
documents are what the checkpoint's root says.
"""

from __future__ import annotations

import base64
import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

PUBLIC = {
    "start", "stop", "configuration-refused", "list-activated", "list-refused", "list-held", "list-approved",
    "list-stage", "relief-applied", "suspended-here", "bypass", "heartbeat", "counts", "bands", "resolving",
    "detail-erased",
}  # fmt: skip


class Wrong(Exception):  # noqa: N818 - the name that the document's reader would choose
    """Something is not as the document says."""


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def root_of(hashes: list[bytes]) -> bytes:
    """RFC 6962, 2.1: the largest power of two below the size goes to the left."""
    if len(hashes) < 2:
        return hashes[0] if hashes else sha256(b"").digest()
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return node(root_of(hashes[:split]), root_of(hashes[split:]))


def checkpoint(note: str) -> tuple[int, bytes]:
    _, size, root = note.split("\n")[:3]
    return int(size), base64.b64decode(root)


def check_detail(leaf: dict[str, str], salt: str, detail: Any) -> None:
    if leaf["detail"] != "sha256:" + sha256(bytes.fromhex(salt) + canonical(detail)).hexdigest():
        raise Wrong(f"the detail is not what the leaf {leaf} commits to")


def number_path(number: int) -> str:
    """tlog-tiles: groups of three digits, all but the last with an x."""
    groups = [f"{number % 1000:03}"]
    while number := number // 1000:
        groups.insert(0, f"x{number % 1000:03}")
    return "/".join(groups)


def entries(log: Path, size: int) -> list[bytes]:
    found: list[bytes] = []
    for number in range(-(-size // 256)):
        width = min(256, size - 256 * number)
        data = (log / "tile/entries" / (number_path(number) + (f".p/{width}" if width < 256 else ""))).read_bytes()
        while data:
            length = int.from_bytes(data[:2], "big")
            found.append(data[2 : 2 + length])
            data = data[2 + length :]
    return found


def check_log(log: Path) -> int:
    """How many details there are; each is held against its leaf, and all leaves against the root."""
    size, root = checkpoint((log / "checkpoint").read_text("utf-8"))
    found = entries(log, size)
    if len(found) != size or root_of([sha256(b"\0" + one).digest() for one in found]) != root:
        raise Wrong("the leaves do not come out at the root")
    leaves = [json.loads(one) for one in found]
    named = {(at, int(leaf["reference"])) for at, leaf in enumerate(leaves) if leaf["type"] == "detail-erased"}
    erased = {index for at, index in named if index < at}
    seen: set[int] = set()
    for path in sorted((log / "details").rglob("*.jsonl")):
        for line in path.read_text("ascii").splitlines():
            told = json.loads(line)
            if told["index"] in seen:
                raise Wrong(f"two details of leaf {told['index']}")
            if "erased" not in told:
                seen.add(told["index"])
                check_detail(leaves[told["index"]], told["salt"], told["detail"])
    missing = {at for at, leaf in enumerate(leaves) if leaf["type"] in PUBLIC} - seen - erased
    if missing:
        raise Wrong(f"no detail of the leaves {sorted(missing)}")
    return len(seen)


def check_proof(text: str) -> tuple[int, dict[str, str], Any]:
    """A tlog-proof: the index, the leaf and its detail."""
    head, _, note = text.partition("\n\n")
    _, extra, index, *path = head.split("\n")
    told, at = json.loads(base64.b64decode(extra.removeprefix("extra "))), int(index.removeprefix("index "))
    size, root = checkpoint(note)
    value, place, last = sha256(b"\0" + canonical(told["leaf"])).digest(), at, size - 1
    for step in (base64.b64decode(one) for one in path):  # RFC 9162, 2.1.3.2
        if place % 2 or place == last:
            value = node(step, value)
            while place % 2 == 0 and place:
                place, last = place >> 1, last >> 1
        else:
            value = node(value, step)
        place, last = place >> 1, last >> 1
    if last or value != root:
        raise Wrong("the path does not lead to the root")
    check_detail(told["leaf"], told["salt"], told["detail"])
    return at, told["leaf"], told["detail"]


def check_blocked(folder: Path, lines: bytes) -> list[str]:
    """The names of a document (`lines`, uncompressed) that a leaf names, with its grounds beside it."""
    _, _, detail = check_proof((folder / "leaf.tlog-proof").read_text("utf-8"))
    for key, data in (("applied", lines), ("head", (folder / "head.json").read_bytes())):
        if detail[key] != "sha256:" + sha256(data).hexdigest():
            raise Wrong(f"{key} is not what the leaf names")
    return [json.loads(line)["name"] for line in lines.splitlines()]


if __name__ == "__main__":
    given = Path(sys.argv[1])
    if (given / "leaf.tlog-proof").exists():
        print(*check_blocked(given, sys.stdin.buffer.read()), "are what the leaf activated, on the grounds beside it")
    else:
        print(f"{check_log(given)} details, and all leaves, are under the root")
