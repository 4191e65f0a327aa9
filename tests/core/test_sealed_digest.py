"""The digest of a sealed list, held to the vectors that the authors of SipHash publish and to a name's wire form."""

import pytest

from resolver._core import CoreError, ListError, sealed_digest

KEY = bytes(range(16))


def test_a_name_stands_for_its_lower_case_wire_form_by_the_published_hash() -> None:
    # the hash of the one octet 00, the root's wire form, is line 1 of tests/vectors/siphash-2-4-128.txt
    assert sealed_digest(KEY, ".") == bytes.fromhex("da87c1d86b99af44347659119b22fc45")
    assert sealed_digest(KEY, "Example.COM.") == sealed_digest(KEY, "example.com")
    assert sealed_digest(KEY, "example.com") != sealed_digest(KEY[::-1], "example.com")


@pytest.mark.parametrize("key", [b"", bytes(15), bytes(17)])
def test_a_key_of_another_length_is_refused(key: bytes) -> None:
    with pytest.raises(ListError, match="16 octets") as refusal:
        sealed_digest(key, "example.com")
    assert refusal.value.kind == "key"


def test_what_is_no_name_is_refused() -> None:
    with pytest.raises(CoreError):
        sealed_digest(KEY, "a..b")
