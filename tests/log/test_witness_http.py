"""`add-checkpoint`, decided: each answer of c2sp.org/tlog-witness, and cosignatures by ML-DSA-44."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest

from resolver.log.checkpoint import Checkpoint, open_checkpoint
from resolver.log.errors import MalformedError, UntrueError
from resolver.log.merkle import EMPTY_ROOT, consistency_proof, leaf_hash, node_hash, range_root
from resolver.log.note import COSIGNATURE, ED25519, ML_DSA_44, Signer, parse_note, parse_secret, parse_vkey
from resolver.log.witness_http import SIZE, Answer, Request, Seen, answer, cosignatures, known_size, parse_request

ORIGIN = "stop.isp.example/log"
LOG = Signer(ORIGIN, ED25519, sha256(b"log").digest())
OTHER = Signer(ORIGIN, ED25519, sha256(b"other").digest())
WITNESS = Signer("regulator.example/witness", COSIGNATURE, sha256(b"witness").digest())
QUANTUM = Signer("regulator.example/witness", ML_DSA_44, sha256(b"quantum").digest())
NOW = 1795348800
LEAVES = [leaf_hash(str(number).encode()) for number in range(9)]


def below(level: int, index: int) -> bytes:
    if level == 0:
        return LEAVES[index]
    return node_hash(below(level - 1, 2 * index), below(level - 1, 2 * index + 1))


def root(size: int) -> bytes:
    return range_root(0, size, below) if size else EMPTY_ROOT


def head(size: int, signer: Signer = LOG, origin: str = ORIGIN, of: bytes | None = None) -> bytes:
    return Checkpoint(origin, size, of or root(size)).sign(signer)


def body(old: int, size: int, note: bytes | None = None, proof: list[bytes] | None = None) -> bytes:
    made = consistency_proof(old, size, below) if proof is None else proof
    return Request(old, tuple(made), note or head(size), ORIGIN).encode()


def ask(data: bytes, seen: Seen, *keys: Signer) -> Answer:
    return answer(parse_request(data), [LOG.verifier], seen, keys or (WITNESS,), NOW)


FIVE = Seen(5, root(5))


@pytest.mark.parametrize(
    ("data", "seen", "status", "said"),
    [
        (body(0, 5), Seen(), 200, "— regulator.example/witness "),
        (body(0, 0), Seen(), 200, "— regulator.example/witness "),
        (body(5, 9), FIVE, 200, "— regulator.example/witness "),
        (body(5, 5), FIVE, 200, "— regulator.example/witness "),
        (body(5, 9, head(9, OTHER)), FIVE, 403, "no trusted key signed"),
        (body(0, 5, head(5, origin="other.example")), Seen(), 404, "does not know the log"),
        (body(9, 5, proof=[]), FIVE, 400, "the old size 9 is beyond the checkpoint's 5"),
        (body(0, 9), FIVE, 409, "5\n"),  # a stale old size
        (body(4, 9), FIVE, 409, "5\n"),
        (body(0, 4), FIVE, 409, "5\n"),  # a replay of an older checkpoint
        (body(4, 4), FIVE, 409, "5\n"),
        (body(5, 5, head(5, of=root(6))), FIVE, 422, "two different roots for the same size 5"),  # a fork
        (body(0, 0, head(0, of=root(6))), Seen(), 422, "two different roots for the same size 0"),  # no empty tree
        (body(0, 5, head(5, of=root(6))), FIVE, 409, "5\n"),  # a fork
        (body(5, 9, proof=[*consistency_proof(5, 9, below)[:-1], root(3)]), FIVE, 422, "history was rewritten"),
        (body(5, 9, proof=[]), FIVE, 422, "the consistency proof is too short"),
        (body(0, 5, proof=[root(3)]), Seen(), 422, "should be empty"),
        (body(5, 9, head(9, of=root(8))), FIVE, 422, "history was rewritten"),
    ],
)
def test_each_answer_of_the_specification(data: bytes, seen: Seen, status: int, said: str) -> None:
    told = ask(data, seen)
    assert (told.status, said in told.body) == (status, True), told.body
    assert (told.seen is None) == (status != 200), "only what is cosigned is stored"
    forked = any(head(size, of=root(6)) in data for size in (0, 5))
    assert bool(told.note) == (status == 200 or forked), "and what contradicts it is kept"
    if status == 409:
        assert (told.kind, known_size(told.body.encode())) == (SIZE, 5)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"old 0\n" + head(5),  # no empty line
        body(0, 5).replace(b"old 0", b"old 00"),
        body(0, 5).replace(b"old 0", b"old -1"),
        body(0, 5).replace(b"old 0", b"new 0"),
        body(0, 5).replace(b"old 0", "old ٠".encode()),
        body(0, 5, proof=[b"short"]),
        body(0, 5, proof=[root(1)] * 64),
        body(0, 5).replace(b"\n5\n", b"\n5\n\n"),
        b"old 0\n\n" + head(5).partition(b"\n\n")[0] + b"\n",
        body(0, 5) + b"x" * (1 << 16),
    ],
)
def test_what_has_not_the_form_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_request(data)


def test_a_request_is_read_as_it_was_written() -> None:
    asked = parse_request(body(5, 9))
    assert parse_request(asked.encode()) == asked
    assert (asked.old, len(asked.proof), asked.origin) == (5, len(consistency_proof(5, 9, below)), ORIGIN)


def test_the_client_takes_the_cosignatures_of_the_keys_it_was_given_and_no_others() -> None:
    told = ask(body(5, 9), FIVE, WITNESS, QUANTUM)
    for known in ([WITNESS], [QUANTUM], [WITNESS, QUANTUM]):
        found = cosignatures(told.body.encode(), head(9), LOG.verifier, [one.verifier for one in known])
        assert (found[0].size, len(found[1])) == (9, len(known))
    stranger = replace(WITNESS, seed=bytes(32)).verifier
    with pytest.raises(UntrueError, match="no cosignature by a key that was given"):
        cosignatures(told.body.encode(), head(9), LOG.verifier, [stranger])
    with pytest.raises(UntrueError, match="is not valid"):
        cosignatures(told.body.encode(), head(8), LOG.verifier, [WITNESS.verifier])


def test_what_is_stored_is_the_checkpoint_with_both_cosignatures() -> None:
    told = ask(body(5, 9), FIVE, WITNESS, QUANTUM)
    found, signed = open_checkpoint(told.note, LOG.verifier, [WITNESS.verifier, QUANTUM.verifier])
    assert (found.size, [one.time for one in signed]) == (9, [NOW, NOW])


def test_a_cosignature_by_ml_dsa_44_commits_to_name_time_and_tree() -> None:
    key = QUANTUM.verifier
    assert (parse_vkey(str(key)), parse_secret(QUANTUM.secret()), len(key.public)) == (key, QUANTUM, 1312)
    text = parse_note(head(9)).text
    made = QUANTUM.sign(text, NOW)
    assert len(made.value) == 8 + 2420
    assert key.check(text, made).time == NOW
    assert key.check(text + "an extension\n", made).time == NOW, "it says nothing of extension lines"
    later = replace(made, value=(NOW + 1).to_bytes(8, "big") + made.value[8:])
    for wrong_key, wrong_text, wrong in (
        (key, parse_note(head(8)).text, made),
        (key, text, later),
        (key, text, replace(made, value=made.value[:-1])),
        (replace(key, name="other.example"), text, made),
    ):
        with pytest.raises(UntrueError):
            wrong_key.check(wrong_text, wrong)
    with pytest.raises(MalformedError, match="only a checkpoint"):
        QUANTUM.sign("some text\n", NOW)
