"""Trust policies, as c2sp.org/tlog-policy has them: read whole, and what they refuse."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import pytest

from resolver.log.errors import MalformedError, UntrueError
from resolver.log.note import COSIGNATURE, ED25519, Note, Signer, parse_note
from resolver.log.policy import parse_policy
from tests.rigs.command_line import run
from tests.rigs.log_world import World

if TYPE_CHECKING:
    from pathlib import Path

SIGNERS = {name: Signer(f"{name}.example", COSIGNATURE, bytes([at] * 32)) for at, name in enumerate("ABCDE", 1)}
LOG = Signer("stop.isp.example/log", ED25519, bytes([9] * 32)).verifier
WITNESSES = "".join(f"witness {name} {one.verifier} https://{name}.example/\n" for name, one in SIGNERS.items())
GROUPS = f"# who counts\n\t log  {LOG}\n{WITNESSES}group x 2 A B C\ngroup y any D E\ngroup all all x y\nquorum all\n"


def test_groups_of_groups_count_as_they_say() -> None:
    policy = parse_policy(GROUPS.encode())
    assert (len(policy.logs), len(policy.witnesses)) == (1, 5)
    for size in range(6):
        for chosen in combinations(SIGNERS, size):
            enough = len(set(chosen) & set("ABC")) >= 2 and bool(set(chosen) & set("DE"))
            assert policy.quorum.met([SIGNERS[name].verifier for name in chosen]) == enough
    with pytest.raises(UntrueError, match="does not know the log"):
        policy.check(SIGNERS["A"].verifier, [])


def test_none_asks_for_nobody() -> None:
    parse_policy(b"quorum none\n").check(LOG, [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no quorum"),
        ("quorum A\n", "nothing above is called"),
        ("quorum none\nquorum none\n", "line 2 .*already"),
        (WITNESSES + f"witness F {SIGNERS['A'].verifier}\nquorum none\n", "line 6 .*stands above"),
        (f"log {LOG}\nlog {LOG}\nquorum none\n", "line 2 .*stands above"),
        (f"witness none {SIGNERS['A'].verifier}\nquorum none\n", "taken"),
        (f"witness L {LOG}\nquorum L\n", "type 1"),
        (WITNESSES + "group x 0 A\nquorum x\n", "members"),
        (WITNESSES + "group x 3 A B\nquorum x\n", "members"),
        (WITNESSES + "group x any A A\nquorum x\n", "member of a group already"),
        (WITNESSES + "group x any A\ngroup y any A B\nquorum y\n", "member of a group already"),
        (WITNESSES + "group x any none\nquorum x\n", "nothing above"),
        (WITNESSES + "group x any\nquorum x\n", "neither"),
        ("quorum none\r\n", "control character"),
        (f"log {LOG}\nwitness W {Signer('w', COSIGNATURE, bytes([9] * 32)).verifier}\nquorum W\n", "key of the log"),
    ],
)
def test_what_is_no_policy_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(MalformedError, match=said):
        parse_policy(text.encode())


def test_as_typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path)
    with world.open() as log:
        log.append("start", "", {})
    path, policy = world.log_dir / "checkpoint", tmp_path / "policy"
    note = parse_note(path.read_bytes())
    policy.write_text(GROUPS.replace(str(LOG), world.vkey()))
    for chosen, status in (("AD", 1), ("ABD", 0)):
        signed = [SIGNERS[name].sign(note.text, 1_795_348_800) for name in chosen]
        path.write_bytes(Note(note.text, (*note.signatures, *signed)).encode())
        typed = ("audit", "verify", world.log_dir, "--key", world.vkey(), "--policy", policy)
        assert run(capsys, *typed)[0] == status
    assert run(capsys, *typed, "--quorum", "1")[0] == 2
