"""The bundle of appeals: whom it opens for, whom it believes, and what a courier can do to it."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from blocklists import bundle
from blocklists.bundle import Appeal, BundleError
from tests.rigs.appeal_bundle import APPEAL, READER, SENDER


def sealed(*appeals: Appeal, **more: Any) -> bytes:
    given = {"provider": "Nordlicht", "portal": "https://stop.example", "made": "2026-11-22T01:00:00Z",
             "sender": SENDER, "reader": bundle.public_line(READER), **more}  # fmt: skip
    return bundle.seal(appeals, **given)


def opened(data: bytes, **more: Any) -> bundle.Bundle:
    return bundle.unseal(data, more.get("reader", READER), more.get("providers", [bundle.public_line(SENDER)]))


def test_what_was_sealed_is_read_by_the_issuer_it_is_for() -> None:
    read = opened(sealed(APPEAL, replace(APPEAL, appeal="A-2")))
    assert read.appeals == (APPEAL, replace(APPEAL, appeal="A-2"))
    assert (read.provider, read.sender) == ("Nordlicht", bundle.key_id(bundle.public_line(SENDER)))


def test_a_courier_sees_neither_words_nor_sender() -> None:
    data = sealed(APPEAL)
    inside = base64.b64decode("".join(json.loads(data)["sealed"]))
    for word in (b"Fahrr", b"Nordlicht", b"example.com", b"7ZK3", bundle.key_id(bundle.public_line(SENDER)).encode()):
        assert word not in data
        assert word not in inside


def test_its_lines_are_short_enough_for_any_mail() -> None:
    assert max(len(line) for line in sealed(*[APPEAL] * 50).splitlines()) < 100


def test_another_reader_cannot_open_it() -> None:
    with pytest.raises(BundleError, match="is for the key"):
        opened(sealed(APPEAL), reader=bundle.new_reader_key())


def test_a_provider_that_is_not_known_is_not_believed() -> None:
    with pytest.raises(BundleError, match="not signed by a provider") as refused:
        opened(sealed(APPEAL, sender=bundle.new_sender_key()))
    with pytest.raises(BundleError, match="not signed by a provider"):
        opened(sealed(APPEAL), providers=[])
    assert "stopsign issuer appeals trust NAME KEY --dir DIR" in str(refused.value.hint)


def test_a_reader_cannot_pass_it_on_as_if_it_had_been_sent_to_another() -> None:
    other = bundle.new_reader_key()
    signed = bundle._SUITE.decrypt(
        base64.b64decode("".join(json.loads(sealed(APPEAL))["sealed"])), READER, bundle._INFO
    )
    again = bundle._SUITE.encrypt(signed, other.public_key(), bundle._INFO)
    forged = {"format": 1, "kind": bundle.KIND, "to": bundle.key_id(bundle.public_line(other)),
              "sealed": [base64.b64encode(again).decode()]}  # fmt: skip
    with pytest.raises(BundleError, match="for somebody else"):
        opened(json.dumps(forged).encode(), reader=other)


def test_a_flipped_bit_anywhere_is_noticed() -> None:
    document = json.loads(sealed(APPEAL))
    raw = bytearray(base64.b64decode("".join(document["sealed"])))
    for at in range(0, len(raw), 97):
        raw[at] ^= 1
        document["sealed"] = [base64.b64encode(bytes(raw)).decode()]
        with pytest.raises(BundleError):
            opened(json.dumps(document).encode())
        raw[at] ^= 1


@pytest.mark.parametrize("data", [
    b"", b"{}", b"[]", b"null", b"\xff", b'{"kind":"stopsign-appeals","format":2}',
    b'{"kind":"stopsign-appeals","format":1}',
    b'{"kind":"stopsign-appeals","format":1,"to":1,"sealed":[]}', b"[" * 100_000,
])  # fmt: skip
def test_what_is_no_bundle_is_refused_in_one_sentence(data: bytes) -> None:
    with pytest.raises(BundleError):
        opened(data)


@pytest.mark.parametrize("wrong", [
    replace(APPEAL, reason="x" * 16_001), replace(APPEAL, reason="\x1b[2J"), replace(APPEAL, name="a\u202eb"),
    replace(APPEAL, reference="x" * 17), replace(APPEAL, contact=7),  # type: ignore[arg-type]
])  # fmt: skip
def test_an_appeal_with_what_no_portal_sends_is_refused(wrong: Appeal) -> None:
    with pytest.raises(BundleError):
        opened(sealed(wrong))


@pytest.mark.parametrize(
    "line", ["", "stopsign-appeals:", "stopsign-appeals:AAAA", "ssh-ed25519 AAAA", "stopsign-appeals:" + "A" * 43 + "!"]
)
def test_a_key_that_is_none_is_said_to_be_none(line: str) -> None:
    with pytest.raises(BundleError, match="is not a key"):
        sealed(APPEAL, reader=line)
