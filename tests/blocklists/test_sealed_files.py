"""Sealed files: the payload's chunks, the stanzas of a head, and the key that opens them."""

from __future__ import annotations

import io
import os
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from blocklists.head import Adopted, Head, HeadError, Issuer, full_path
from blocklists.sealed import keys, seal, stream
from blocklists.sealed.errors import SealError
from blocklists.sealed.keys import Card
from blocklists.sealed.seal import Keys

FILE_KEY, NAME_KEY = bytes(range(32)), bytes(range(16))
STATE = "sha256:" + 64 * "a"
OWN, OTHER = X25519PrivateKey.generate(), X25519PrivateKey.generate()
APPEALS_KEY = OTHER.public_key().public_bytes_raw()
SIZES = [0, 1, stream.CHUNK - 1, stream.CHUNK, stream.CHUNK + 1, 2 * stream.CHUNK, 2 * stream.CHUNK + 7]


def sealed(data: bytes) -> bytes:
    return b"".join(stream.seal(FILE_KEY, [data[:5], data[5:]]))


def opened(data: bytes, file_key: bytes = FILE_KEY) -> bytes:
    return b"".join(stream.opened(file_key, io.BytesIO(data)))


def made(*cards: Card) -> seal.Seal:
    return seal.make(cards or [keys.card_of(OWN, "Nordlicht")], Keys(FILE_KEY, NAME_KEY), 1, STATE, APPEALS_KEY)


@pytest.mark.parametrize("size", SIZES)
def test_what_was_sealed_opens(size: int) -> None:
    data = os.urandom(size)
    assert opened(sealed(data)) == data
    assert len(sealed(data)) == stream.sealed_size(size)
    assert sealed(data) != sealed(data)


@pytest.mark.parametrize("size", [1, stream.CHUNK, 2 * stream.CHUNK, 2 * stream.CHUNK + 7])
def test_no_cut_and_no_other_order_opens(size: int) -> None:
    data = sealed(b"a" * size)
    step = stream.CHUNK + stream.TAG
    cuts = {0, 1, stream.NONCE - 1, stream.NONCE, stream.NONCE + 1, stream.NONCE + step, len(data) - 1}
    chunks = [data[at : at + step] for at in range(stream.NONCE, len(data), step)]
    bad = [data[:cut] for cut in cuts if cut < len(data)] + [data + b"\0", data + chunks[-1]]
    if len(chunks) > 1:
        bad += [data[: stream.NONCE] + b"".join(order) for order in (chunks[::-1], chunks[:1], chunks[1:])]
    bad += [data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in (0, stream.NONCE, len(data) - 1)]
    for one in bad:
        with pytest.raises(SealError) as refusal:
            opened(one)
        assert refusal.value.reason == "seal-broken"


def test_an_empty_chunk_after_the_last_is_refused_though_it_is_authentic() -> None:
    cipher = stream._cipher(FILE_KEY, bytes(16))
    full = cipher.encrypt(stream._place(0, last=False), b"a" * stream.CHUNK, None)
    data = bytes(16) + full + cipher.encrypt(stream._place(1, last=True), b"", None)
    with pytest.raises(SealError, match="empty chunk"):
        opened(data)


def test_another_file_key_opens_nothing() -> None:
    with pytest.raises(SealError):
        opened(sealed(b"a"), bytes(32))


def test_each_recipient_comes_to_both_keys_and_nobody_else() -> None:
    both = made(keys.card_of(OTHER, "Suedlicht"), keys.card_of(OWN, "Nordlicht"))
    assert [one.provider for one in both.recipients] == ["Nordlicht", "Suedlicht"]
    for key in (OWN, OTHER):
        assert seal.keys_of(both, STATE, key) == Keys(FILE_KEY, NAME_KEY)
    with pytest.raises(SealError) as refusal:
        seal.keys_of(made(), STATE, OTHER)
    assert refusal.value.reason == "not-a-recipient"


def test_a_stanza_opens_for_its_own_key_and_version_alone() -> None:
    ours = made()
    (stanza,) = ours.recipients
    foreign = replace(made(keys.card_of(OTHER, "x")).recipients[0], keyid=stanza.keyid)
    for bad, state in (
        (stanza, STATE.replace("a", "b")),
        (replace(stanza, wrapped=bytes(48)), STATE),
        (replace(stanza, share=stanza.wrapped[:32]), STATE),
        (foreign, STATE),
    ):
        with pytest.raises(SealError) as refusal:
            seal.keys_of(replace(ours, recipients=(bad,)), state, OWN)
        assert refusal.value.reason == "seal-broken"
    with pytest.raises(SealError, match="names' key"):
        seal.keys_of(replace(ours, name_key=bytes(32)), STATE, OWN)


def test_what_other_programs_wrote_opens() -> None:
    """age's payload under its file key; HPKE's share and ciphertext."""
    lines = (Path(__file__).parents[1] / "vectors" / "sealed.txt").read_text().splitlines()
    of = {name: bytes.fromhex(octets) for name, octets in (line.split() for line in lines if line[0] != "#")}
    assert opened(of["age_payload"], of["age_file_key"]) == b"Stopsign reads what age wrote."
    key = X25519PrivateKey.from_private_bytes(of["hpke_key"])
    assert seal.unwrap(seal.Stanza("x", "x", of["hpke_share"], of["hpke_wrapped"]), key, STATE) == bytes(range(32))


# -- in the head -------------------------------------------------------------------------------------------------------


def head(one: seal.Seal | None) -> Head:
    issuer = Issuer("Authority", "list@authority.example", "appeals@authority.example")
    return Head("crime", 1, 0, STATE, issuer, {}, full_path("crime", 1), 0, seal=one)


def test_a_sealed_head_is_read_as_it_was_written() -> None:
    for one in (made(), made(*[]), seal.make([], Keys(FILE_KEY, NAME_KEY), 7, STATE, APPEALS_KEY)):
        data = head(one).to_bytes()
        assert Head.from_bytes(data).seal == one
        assert b'"sealed":1' in data
    assert b'"sealed":null' in head(None).to_bytes()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"sealed":1', b'"sealed":2'),
        (b'"sealed":1', b'"sealed":true'),
        (b'"sealed":1', b'"sealed":null'),
        (b'"name_key_number":1', b'"name_key_number":0'),
        (b'"name_key_number":1', b'"name_key_number":true'),
        (b'"provider":"Nordlicht"', b'"provider":""'),
        (b'"provider":"Nordlicht"', b'"provider":"a\\u202eb"'),
        (b'"keyid":"', b'"keyid":"x'),
        (b'"share":"', b'"share":"AAAA'),
        (b'"wrapped":"', b'"wrapped":"!'),
        (b'"name_key":"', b'"name_key":"AA=='),
        (b'"appeals_key":"', b'"appeals_key":"AA=='),
        (b'"appeals_key":', b'"appeal_key":'),
        (b'"recipients":[', b'"recipients":[7,'),
    ],
)
def test_a_seal_in_another_form_is_refused(old: bytes, new: bytes) -> None:
    data = head(made()).to_bytes()
    assert old in data
    with pytest.raises(HeadError):
        Head.from_bytes(data.replace(old, new))


def test_where_a_list_comes_from_is_read_as_it_was_written_and_in_no_other_form() -> None:
    plain = head(None)
    one = Adopted("source", 3, plain.issuer, {}, "https://source.example/lists", b"{}")
    data = replace(plain, adopted=(one, one)).to_bytes()
    assert Head.from_bytes(data).adopted == (one, one)
    many = replace(plain, adopted=(one,) * 9).to_bytes()
    spoilt = [(b'"version":3', b'"version":0'), (b'"root":"e30="', b'"root":"?"'), (b'"root":"e30="', b'"root":""'),
              (b'"list":"source"', b'"list":"../x"'), (b'"root":', b'"more":1,"root":'),
              (b'"repository":"https', b'"repository":"\\u202ehttps')]  # fmt: skip
    for bad in (
        many,
        *(data.replace(old, new) for old, new in spoilt),
        plain.to_bytes().replace(b"{", b'{"adopted":[],', 1),
    ):
        assert bad != data
        with pytest.raises(HeadError):
            Head.from_bytes(bad)


def test_a_key_that_stands_twice_is_refused() -> None:
    with pytest.raises(HeadError, match="twice"):
        Head.from_bytes(head(made(keys.card_of(OWN, "a"), keys.card_of(OWN, "b"))).to_bytes())


# -- the key -----------------------------------------------------------------------------------------------------------


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "sealed.key"
    key = keys.create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert keys.card_of(keys.load(path), "a") == keys.card_of(key, "a")
    with pytest.raises(SealError, match="is there already"):
        keys.create(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_is_refused_by_name(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "sealed.key"
    keys.create(path)
    path.chmod(mode)
    with pytest.raises(SealError, match=rf"sealed\.key can be read by others .*mode {mode:04o}") as refusal:
        keys.load(path)
    assert refusal.value.reason == "seal-key"
    assert f"chmod 600 {path}, or make it" in str(refusal.value.hint)


def acl(*entries: tuple[int, int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY = 0xFFFFFFFF
OWNER, GROUP, MASK, REST = (1, 4, NOBODY), (4, 0, NOBODY), (16, 4, NOBODY), (32, 0, NOBODY)


@pytest.mark.parametrize(
    ("entries", "taken"),
    [
        ([OWNER, (2, 4, os.geteuid()), GROUP, MASK, REST], True),  # as systemd hands a credential over
        ([OWNER, (2, 4, 54321), GROUP, MASK, REST], False),
        ([OWNER, (2, 4, os.geteuid()), (4, 4, NOBODY), MASK, REST], False),
        ([OWNER, (2, 4, os.geteuid()), GROUP, (8, 4, 54321), MASK, REST], False),
    ],
)
def test_an_access_list_that_lets_this_service_alone_read_is_no_reason_to_refuse(
    tmp_path: Path, entries: list[tuple[int, int, int]], taken: bool
) -> None:
    path = tmp_path / "sealed.key"
    keys.create(path)
    os.setxattr(path, "system.posix_acl_access", acl(*entries))
    assert path.stat().st_mode & 0o070 == 0o040
    if taken:
        keys.load(path)
    else:
        with pytest.raises(SealError, match="read by others"):
            keys.load(path)


@pytest.mark.parametrize(
    "text",
    [b"", b"no key", bytes(range(32)), b"-----BEGIN PRIVATE KEY-----\nAA==\n"],
)
def test_what_is_no_key_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "sealed.key"
    path.write_bytes(text)
    path.chmod(0o600)
    with pytest.raises(SealError):
        keys.load(path)
    for absent in (tmp_path / "absent", tmp_path):
        with pytest.raises(SealError):
            keys.load(absent)


def test_a_card_is_read_as_it_was_written_and_in_no_other_form() -> None:
    card = keys.card_of(OWN, "Nordlicht")
    assert Card.from_bytes(card.to_bytes()) == card
    spoilt = [(b"sealed-card", b"card"), (b'"key": "', b'"key": "AAAA'), (b"Nordlicht", b"a\\nb")]
    for bad in (b"{}", b"[]", b"7", b"", *(card.to_bytes().replace(old, new) for old, new in spoilt)):
        with pytest.raises(SealError):
            Card.from_bytes(bad)
