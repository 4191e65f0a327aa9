"""What a process that opened a sealed list has in memory, as a core dump or a debugger would find it."""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path

from resolver.lists import compile as compiling
from resolver.policy.description import Generation, LiveList
from tests.rigs.list_documents import BASES, entry
from tests.rigs.planted import dumped
from tests.rigs.sealed_lists import FILE_KEY, NAME_KEY, Provider, write_sealed

ROOT = Path(__file__).resolve().parents[2]
CHILD = """
import gc, sys
from pathlib import Path
from resolver._core import CompiledList
from resolver.policy import seals
from resolver.policy.description import Generation
compiled = CompiledList.open(sys.argv[1])
seals.unseal_all(Path(sys.argv[2]), compiled, Generation.parse(compiled.meta).lists)
gc.collect()
assert len(compiled.look_up("www.asked.example")) == 1
print("opened", flush=True)
sys.stdin.read()
"""


def test_neither_a_key_nor_a_name_is_in_what_a_core_dump_would_hold(tmp_path: Path) -> None:
    provider = Provider(tmp_path / "credentials" / "sealed.pem")
    names = [f"planted-{at}.example" for at in range(1000)] + ["asked.example"]
    summary = write_sealed(tmp_path / "0.zst", [entry(name, at) for at, name in enumerate(names)])
    part = provider.part(summary.state)
    source = compiling._sealed(compiling._source(tmp_path / "0.zst", "stop-page", "trim", 15, BASES, []), part)
    plan = compiling.Plan((source,), (LiveList(name="police", action="stop-page", seal=part),))
    compiling.build(plan, tmp_path / "list", generation=1, now=0.0)
    assert Generation.parse(b"{}").lists == ()
    pem = provider.key.read_bytes()
    private = base64.b64decode(pem.splitlines()[1])[-32:]
    command = [sys.executable, "-c", CHILD, str(tmp_path / "list"), str(provider.key)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        try:
            assert child.stdout.readline() == b"opened\n"
            try:
                memory = dumped(child.pid)
            except PermissionError:
                memory = b""  # not root: nobody else of this user reads the process, nor would the kernel dump it
            assert b"asked" in memory or not memory, "the memory that was read is the process's"
            for what, secret in {
                "the names' key": NAME_KEY, "the file key": FILE_KEY, "the provider's key": private,
                "its file": pem.splitlines()[1], "a name": b"planted-",
            }.items():  # fmt: skip
                assert secret not in memory, what
        finally:
            child.stdin.close()
