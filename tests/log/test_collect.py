"""`audit collect` against `audit witness`, over loopback: what is cosigned, what is published, what is refused."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

from blocklists.fetch import Deadline
from blocklists.web import Web
from resolver.log.checkpoint import open_checkpoint, parse_checkpoint
from resolver.log.collect import Collected, collect
from resolver.log.errors import LogBusyError, UntrueError
from resolver.log.export import export
from resolver.log.note import COSIGNATURE, ML_DSA_44, Signer, Verifier, parse_note, parse_secret, parse_vkey
from resolver.log.policy import Policy
from resolver.log.reading import published_details
from resolver.log.source import COSIGNED, Folder
from resolver.log.verify import verify
from resolver.log.witness_http import Request, known_size
from resolver.log.witness_store import Memory
from tests.rigs.command_line import run
from tests.rigs.log_world import NOON, World
from tests.rigs.witness_http import witness

if TYPE_CHECKING:
    from pathlib import Path

ONE = Signer("one.example/witness", COSIGNATURE, sha256(b"one").digest())
TWO = Signer("two.example/witness", ML_DSA_44, sha256(b"two").digest())


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    grow(world, 3)
    return world


def grow(world: World, leaves: int) -> None:
    with world.open() as log:
        for number in range(leaves):
            log.append("list-activated", "gambling", {"version": number})


def key_of(world: World) -> Verifier:
    return parse_vkey(world.vkey())


def ask(world: World, url: str, *keys: Verifier) -> Collected:
    return collect(world, key_of(world), {url: keys}, Policy.of(keys, len(keys)))


def cosigned(world: World, *keys: Signer) -> tuple[int, list[str]]:
    note = (world.log_dir / COSIGNED).read_bytes()
    head, signed = open_checkpoint(note, key_of(world), [one.verifier for one in keys])
    return head.size, sorted(one.verifier.name for one in signed)


def sent(url: str, request: Request) -> tuple[int, str, bytes]:
    place = Web("http", "127.0.0.1", int(url.rpartition(":")[2]), "", Deadline(60))
    try:
        return place.post("add-checkpoint", request.encode(), 1 << 16)
    finally:
        place.close()


def test_a_log_is_cosigned_as_it_grows_and_verify_finds_it(world: World, tmp_path: Path) -> None:
    keys = (ONE.verifier, TWO.verifier)
    with witness(tmp_path / "seen", [key_of(world)], ONE, TWO) as url:
        for size, more in ((3, 300), (303, 1), (304, 0), (304, 0)):
            found = ask(world, url, *keys)
            assert (found.size, found.enough, found.published) == (size, True, True), found.said
            assert cosigned(world, ONE, TWO) == (size, [ONE.name, TWO.name])
            grow(world, more)
        folder = sha256(world.origin.encode()).hexdigest()
        with urlopen(f"{url}/{folder}/checkpoint", timeout=60) as shown:
            assert open_checkpoint(shown.read(), key_of(world), keys)[0].size == 304
    before = (world.log_dir / "checkpoint").read_bytes()
    grow(world, 2)
    assert (world.log_dir / "checkpoint").read_bytes() != before, "the writer goes on by itself"
    verdict = verify(Folder(world.log_dir), key_of(world), witnesses=keys, quorum=2)
    assert sorted((one.name, one.size) for one in verdict.witnesses) == [(ONE.name, 304), (TWO.name, 304)]
    assert (verdict.kept, verdict.self_consistent_only) == ((), False)
    copy = Folder(tmp_path / "copy")
    export(Folder(world.log_dir), tmp_path / "copy", published_details(Folder(world.log_dir)))
    assert verify(copy, key_of(world), witnesses=keys, quorum=2).checkpoint.size == 306


def test_a_stale_size_is_mended_by_the_witness_s_own(world: World, tmp_path: Path) -> None:
    with witness(tmp_path / "seen", [key_of(world)], ONE) as url:
        assert ask(world, url, ONE.verifier).enough
        (world.log_dir / COSIGNED).unlink()  # the log no longer knows what the witness saw, and begins at 0
        grow(world, 4)
        assert ask(world, url, ONE.verifier).enough
    assert cosigned(world, ONE) == (7, [ONE.name])


def test_a_replay_of_an_older_checkpoint_and_a_forged_proof_get_no_cosignature(world: World, tmp_path: Path) -> None:
    old = (world.log_dir / "checkpoint").read_bytes()
    with witness(tmp_path / "seen", [key_of(world)], ONE) as url:
        grow(world, 4)
        assert ask(world, url, ONE.verifier).enough
        status, kind, body = sent(url, Request(0, (), old, world.origin))
        assert (status, kind, known_size(body)) == (409, "text/x.tlog.size", 7)
        grow(world, 2)
        new = (world.log_dir / "checkpoint").read_bytes()
        status, _, body = sent(url, Request(7, (bytes(32),) * 4, new, world.origin))
        assert (status, b"\xe2\x80\x94" in body) == (422, False)
        assert ask(world, url, ONE.verifier).enough, "and the true proof still does"
        assert sent(url, Request(0, (), b"not a checkpoint", ""))[0] == 400


def test_a_forked_log_is_named_and_the_contradiction_is_kept(world: World, tmp_path: Path) -> None:
    told: list[str] = []
    fork = World(tmp_path / "fork")
    fork.audit_dir.mkdir(parents=True)
    (fork.audit_dir / "log.key").write_bytes((world.audit_dir / "log.key").read_bytes())
    with fork.open() as log:
        for _ in range(3):
            log.append("list-activated", "other", {"version": 9})
    with witness(tmp_path / "seen", [key_of(world)], ONE, told=told) as url:
        assert ask(world, url, ONE.verifier).enough
        found = ask(fork, url, ONE.verifier)
        assert (found.enough, found.published) == (False, False)
        assert isinstance(found.said[0].error, UntrueError)
        assert "the log is forked" in str(found.said[0].error)
    with closing(sqlite3.connect(tmp_path / "seen")) as state:
        ((size, note),) = state.execute("SELECT size, note FROM contradiction").fetchall()
    assert (size, note) == (3, (fork.log_dir / "checkpoint").read_bytes())
    assert "contradicts" in told[0]


@pytest.mark.parametrize(
    ("known", "answers_with", "said"),
    [
        ("log", replace(ONE, seed=bytes(32)), "no cosignature by a key that was given"),  # a wrong key
        ("other", ONE, "status 404"),  # a witness that does not know the log
        ("forged", ONE, "status 403"),  # the log's name with another key
    ],
)
def test_a_failure_is_the_witness_s_own_and_changes_nothing(
    world: World, tmp_path: Path, known: str, answers_with: Signer, said: str
) -> None:
    signer = Signer(world.origin if known == "forged" else "other.example", 1, sha256(b"x").digest())
    logs = [key_of(world)] if known == "log" else [signer.verifier]
    with witness(tmp_path / "bad", logs, answers_with) as bad, witness(tmp_path / "good", [key_of(world)], TWO) as good:
        asked = {
            bad: [ONE.verifier],
            good: [TWO.verifier],
            "http://127.0.0.1:1": [replace(ONE, seed=b"3" * 32).verifier],
        }
        policy = Policy.of([key for keys in asked.values() for key in keys], 1)
        found = collect(world, key_of(world), asked, policy)
    errors = {one.url: str(one.error) for one in found.said if one.error}
    assert said in errors[bad]
    assert set(errors) == {bad, "http://127.0.0.1:1"}
    assert (found.enough, cosigned(world, ONE, TWO)) == (True, (3, [TWO.name]))


def test_a_fork_is_named_in_the_words_of_version_1_1_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """There a known size with another root is 422."""
    answers = [(409, "text/x.tlog.size; charset=utf-8", b"3\n"), (422, "text/plain", b"another root")]
    monkeypatch.setattr(Web, "post", lambda *_: answers.pop(0))
    (said,) = ask(world, "http://127.0.0.1:1", ONE.verifier).said
    assert isinstance(said.error, UntrueError)
    assert "the log is forked" in str(said.error)


def test_what_suffices_is_not_replaced_by_what_does_not(world: World, tmp_path: Path) -> None:
    both = Policy.of([ONE.verifier, TWO.verifier], 2)
    log = key_of(world)
    with witness(tmp_path / "1", [log], ONE) as one:
        with witness(tmp_path / "2", [log], TWO) as two:
            asked = {one: [ONE.verifier], two: [TWO.verifier]}
            assert collect(world, log, asked, both).published
        grow(world, 1)
        found = collect(world, log, asked, both)
    assert (found.enough, found.published, cosigned(world, ONE, TWO)[0]) == (False, False, 3)


def test_a_witness_that_says_nothing_holds_nobody_beyond_the_deadline(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        found = collect(world, key_of(world), {url: [ONE.verifier]}, Policy.of([ONE.verifier], 1), within=0.2)
    assert "not done within" in str(found.said[0].error)


def test_two_collectors_do_not_run_at_a_time(world: World) -> None:
    from resolver.log.disk import lock, unlock

    held = lock(world.audit_dir / "collect.lock")
    try:
        with pytest.raises(LogBusyError):
            ask(world, "http://127.0.0.1:1", ONE.verifier)
    finally:
        unlock(held)


def test_of_requests_at_a_time_one_alone_moves_the_size(world: World, tmp_path: Path) -> None:
    """Each starts from the empty tree; whichever comes first is stored, and no other one rolls it back."""
    notes = []
    for _ in range(4):
        notes.append((world.log_dir / "checkpoint").read_bytes())
        grow(world, 1)
    memory = Memory(tmp_path / "seen", [key_of(world)], [ONE], lambda: NOON)
    statuses: list[tuple[int, bytes]] = []

    def send(note: bytes) -> None:
        statuses.append((memory.answer(Request(0, (), note, world.origin)).status, note))

    threads = [threading.Thread(target=send, args=[note]) for note in notes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(status for status, _ in statuses) == [200, 409, 409, 409]
    (won,) = (note for status, note in statuses if status == 200)
    kept = memory.checkpoint(sha256(world.origin.encode()).hexdigest())
    assert kept is not None
    assert parse_checkpoint(parse_note(kept).text) == parse_checkpoint(parse_note(won).text)


def test_the_witness_as_a_program_ends_when_it_is_asked_to(world: World, tmp_path: Path) -> None:
    key = tmp_path / "w.key"
    key.write_text(ONE.secret() + "\n")
    command = [sys.executable, "-P", "-m", "resolver.cli.main", "audit", "witness", "--listen", "127.0.0.1:0"]
    command += ["--state", str(tmp_path / "seen"), "--key", str(key), "--log", world.vkey()]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = process.stderr.readline()
            assert said.startswith(f"{ONE.name} answers at 127.0.0.1:")
            assert ask(world, f"http://127.0.0.1:{said.strip().rpartition(':')[2]}", ONE.verifier).enough
            process.terminate()
            assert process.wait(60) == 0
        finally:
            process.kill()


def test_the_commands(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "w.key"
    status, vkey, _ = run(capsys, "audit", "witness-key", key, "w.example", "--type", "ml-dsa-44")
    signer = parse_secret(key.read_text().strip())
    assert (status, parse_vkey(vkey.strip())) == (0, signer.verifier)
    status, _, err = run(capsys, "audit", "witness", "--listen", "nowhere", "--state", key, "--key", key, "--log", "x")
    assert (status, "is not an address with a port" in err) == (2, True)
    config = tmp_path / "stopsign.yaml"
    config.write_text(
        f"{{state_dir: '{tmp_path}/state', run_dir: '{tmp_path}/run', portal: {{url: 'http://127.0.0.1'}},"
        " stop_page: {listen: ['192.0.2.66:80']},"
        " dns: {listen: ['192.0.2.53:53'], upstreams: [127.0.0.1], allow_clients: []}}"
    )
    (tmp_path / "state" / "log").symlink_to(world.log_dir)
    asking = ("audit", "collect", "--config", config)
    assert run(capsys, *asking)[0] == 2
    with witness(tmp_path / "seen", [key_of(world)], signer) as url:
        status, out, err = run(capsys, *asking, "--witness", f"{url}={vkey.strip()}")
        assert (status, err) == (0, "")
        assert out == f"{url}: cosigned 3 leaves as w.example\n"
        policy = tmp_path / "policy"
        policy.write_text(f"witness w {vkey.strip()} {url}\nquorum w\n")
        assert run(capsys, *asking, "--policy", policy)[:2] == (0, out)
    gone = (*asking, "--witness", f"{url}={vkey.strip()}")
    status, _, err = run(capsys, *gone)
    assert (status, err.startswith(f"{url}: ")) == (0, True), "this tree is cosigned already"
    grow(world, 1)
    status, out, err = run(capsys, *gone)
    assert (status, out) == (2, "")
    assert "the cosignatures are not enough; what is published stays" in err
