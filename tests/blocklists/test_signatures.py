"""Checksums and detached signatures, on vectors of the publishers' own tools (tests/vectors/signatures/README.md)."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from blocklists import signatures
from blocklists.errors import VerifyError

VECTORS = Path(__file__).parents[1] / "vectors" / "signatures"
KINDS = [
    ("minisign", "list.csv.minisig", "minisign.pub"), ("minisign", "list.csv.legacy.minisig", "minisign.pub"),
    ("signify", "list.csv.sig", "signify.pub"),
    pytest.param("gpg", "list.csv.gpg", "keyring.gpg", marks=pytest.mark.needs("gpgv")),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "beside", "key"), KINDS)
def test_a_signature_by_the_publisher_s_own_tool_is_valid_and_every_change_of_the_file_is_not(
    tmp_path: Path, kind: str, beside: str, key: str
) -> None:
    path = tmp_path / "list.csv"
    shutil.copy(VECTORS / "list.csv", path)
    signatures.check_signature(path, VECTORS / beside, kind, VECTORS / key)
    for changed in (path.read_bytes() + b"c.example\n", path.read_bytes()[:-1], b""):
        path.write_bytes(changed)
        with pytest.raises(VerifyError) as refused:
            signatures.check_signature(path, VECTORS / beside, kind, VECTORS / key)
        assert refused.value.reason == "signature-threshold"


def test_a_trusted_comment_that_was_exchanged_is_refused(tmp_path: Path) -> None:
    forged = tmp_path / "sig"
    text = (VECTORS / "list.csv.minisig").read_text()
    forged.write_text(text.replace("published 2026-11-28", "published 2030-01-01"))
    with pytest.raises(VerifyError, match="not valid"):
        signatures.check_signature(VECTORS / "list.csv", forged, "minisign", VECTORS / "minisign.pub")


@pytest.mark.parametrize(
    ("kind", "beside", "key", "reason"),
    [
        ("minisign", "list.csv.minisig", "signify.pub", "signature-threshold"),
        ("signify", "list.csv.minisig", "minisign.pub", "key-type"),
        ("minisign", "list.csv", "minisign.pub", "malformed"),
        ("minisign", "list.csv.sig", "signify.pub", "malformed"),  # no trusted comment
        ("signify", "list.csv.none", "signify.pub", "storage"),
    ],
)
def test_another_key_another_form_or_no_signature_is_refused(kind: str, beside: str, key: str, reason: str) -> None:
    with pytest.raises(VerifyError) as refused:
        signatures.check_signature(VECTORS / "list.csv", VECTORS / beside, kind, VECTORS / key)
    assert refused.value.reason == reason


def test_a_checksum_is_found_in_the_forms_that_publishers_use() -> None:
    path = VECTORS / "list.csv"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    for text in (digest, f"{digest}  list.csv\n", f"SHA256 (list.csv) = {digest.upper()}\n",
                 hashlib.sha512(path.read_bytes()).hexdigest()):  # fmt: skip
        signatures.check_checksum(path, text.encode(), "list.csv")
    with pytest.raises(VerifyError) as refused:
        signatures.check_checksum(path, hashlib.sha256(b"another").hexdigest().encode(), "list.csv")
    assert refused.value.reason == "hash-mismatch"
    with pytest.raises(VerifyError, match="no SHA-256"):
        signatures.check_checksum(path, b"<html>404</html>", "list.csv")


def test_of_several_checksums_the_one_on_the_line_with_the_file_s_name_counts(tmp_path: Path) -> None:
    path = tmp_path / "fetched"
    path.write_bytes(b"tobacco.example\n")
    ours, other = (hashlib.sha256(data).hexdigest() for data in (path.read_bytes(), b"casino.example\n"))
    sums = f"{other} *gambling.txt\n{ours}  ./old-tobacco.txt\n{ours}  tobacco.txt\n"
    signatures.check_checksum(path, sums.encode(), "tobacco.txt")
    two = f"SHA256: {ours}\nSHA512: {hashlib.sha512(path.read_bytes()).hexdigest()}\n"
    signatures.check_checksum(path, two.encode(), "tobacco.txt")
    signatures.check_checksum(path, f"{ours}  build/export\n".encode(), "tobacco.txt")
    for name, said in (("gambling.txt", "has not the checksum"), ("bacco.txt", "none says"), ("", "none says")):
        with pytest.raises(VerifyError, match=said) as refused:
            signatures.check_checksum(path, sums.encode(), name)
        assert refused.value.reason == "hash-mismatch"


def test_a_key_in_armored_text_is_no_keyring_and_says_how_to_make_one(tmp_path: Path) -> None:
    key = tmp_path / "publisher.asc"
    key.write_text("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDMEZ\n-----END PGP PUBLIC KEY BLOCK-----\n")
    with pytest.raises(VerifyError, match="armored text, no keyring") as refused:
        signatures.check_signature(VECTORS / "list.csv", VECTORS / "list.csv.gpg", "gpg", key)
    assert (refused.value.reason, refused.value.hint) == ("storage", f"gpg --dearmor {key}")
