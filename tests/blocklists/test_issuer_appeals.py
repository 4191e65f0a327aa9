"""Appeals at the issuer's desk: a bundle comes in, waits, is decided by somebody else, and is forgotten."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from blocklists import bundle
from blocklists.bundle import BundleError
from blocklists.head import Decision, Issuer
from blocklists.issuer import appeals
from blocklists.issuer.desk import Desk
from blocklists.issuer.reader import InboxError, reader_key
from resolver.cli.main import stopsign
from tests.rigs.appeal_bundle import APPEAL, SENDER

if TYPE_CHECKING:
    from pathlib import Path

ONE = replace(APPEAL, appeal="A-7ZK3M9Q2XW4T")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk.create(tmp_path / "desk", Issuer("Authority", "list@authority.example", "appeals@authority.example"))
    appeals.trust(made, "nordlicht", bundle.public_line(SENDER))
    return made


def sealed(desk: Desk, *several: bundle.Appeal, sender: Any = SENDER) -> bytes:
    reader = bundle.public_line(reader_key(desk))
    return bundle.seal(several, provider="Nordlicht", portal="https://x.example", made="2026-11-22T00:00:00Z",
                       sender=sender, reader=reader)  # fmt: skip


def test_a_bundle_comes_in_once_and_the_nearest_deadline_waits_first(desk: Desk) -> None:
    later = replace(ONE, appeal="A-8ZK3M9Q2XW4T", due="2027-01-01T00:00:00Z")
    assert appeals.take_in(desk, sealed(desk, later, ONE)) == ("nordlicht", [later, ONE])
    assert appeals.take_in(desk, sealed(desk, ONE)) == ("nordlicht", [])
    assert [one.appeal for one in appeals.waiting(desk)] == [ONE, later]


def test_a_bundle_of_an_unknown_provider_leaves_nothing(desk: Desk) -> None:
    with pytest.raises(BundleError, match="not signed by a provider"):
        appeals.take_in(desk, sealed(desk, ONE, sender=bundle.new_sender_key()))
    assert appeals.inbox(desk) == []


@pytest.mark.parametrize("bad", ["A-1", "../../etc/passwd", "A-7ZK3M9Q2XW4T\n", ""])
def test_an_id_that_is_none_never_becomes_a_file_s_name(desk: Desk, bad: str) -> None:
    with pytest.raises(BundleError):
        appeals.take_in(desk, sealed(desk, ONE, replace(ONE, appeal=bad)))
    assert appeals.inbox(desk) == []


def test_the_desk_s_key_is_made_once_and_for_its_owner_alone(desk: Desk) -> None:
    lines = {bundle.public_line(reader_key(desk)) for _ in range(2)}
    assert len(lines) == 1
    assert oct((desk.folder / "appeals" / "reader.pem").stat().st_mode)[-3:] == "600"


def test_what_is_no_key_is_not_trusted(desk: Desk) -> None:
    with pytest.raises(BundleError, match="is not a key"):
        appeals.trust(desk, "x", "ssh-ed25519 AAAA")


def test_words_are_deleted_half_a_year_after_the_decision(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    appeals.take_in(desk, sealed(desk, ONE))
    made = Decision(ONE.appeal, ONE.reference, "2026-11-23T00:00:00Z", "upheld", "because", "Judge")
    monkeypatch.setattr(appeals, "decisions", lambda _: {made.appeal: made})
    decided = datetime(2026, 11, 23, tzinfo=UTC)
    assert appeals.waiting(desk) == []
    assert appeals.forget(desk, decided + timedelta(days=182)) == 0
    assert appeals.forget(desk, decided + timedelta(days=182, seconds=1)) == 1
    assert appeals.inbox(desk) == []


def test_a_damaged_inbox_is_said_and_never_skipped(desk: Desk) -> None:
    appeals.take_in(desk, sealed(desk, ONE))
    (desk.folder / "appeals" / "inbox" / f"{ONE.appeal}.json").write_text("{")
    with pytest.raises(InboxError, match="cannot be read"):
        appeals.waiting(desk)


def test_what_was_cut_off_while_an_appeal_came_in_is_no_appeal(desk: Desk) -> None:
    appeals.take_in(desk, sealed(desk, ONE))
    path = desk.folder / "appeals" / "inbox" / f"{ONE.appeal}.json"
    for ending in (".json.new", ".sealed.new"):
        path.with_name(f"A-000000000001{ending}").write_bytes(path.read_bytes()[:20])
    assert [waiting.appeal for waiting in appeals.inbox(desk)] == [ONE]


def test_the_commands(desk: Desk, tmp_path: Path) -> None:
    def said(*arguments: str) -> Any:
        command = ["issuer", "appeals", *arguments, "--dir", str(desk.folder)]
        return CliRunner().invoke(stopsign, command, standalone_mode=False)

    assert said("key").output.startswith("stopsign-appeals:")
    assert said("trust", "other", bundle.public_line(bundle.new_sender_key())).exception is None
    (tmp_path / "in.json").write_bytes(sealed(desk, replace(ONE, due="2026-01-01T00:00:00Z")))
    assert ONE.appeal in said("import", str(tmp_path / "in.json")).output
    waiting = said("inbox")
    assert "from nordlicht" in waiting.output
    assert waiting.return_value == 1, "it is overdue"
    assert "| Ich verkaufe Fahrräder." in said("show", ONE.appeal).output
    assert json.loads(said("show", ONE.appeal, "--json").output)["reason"] == ONE.reason
    assert "there is no appeal" in str(said("show", "A-X").exception)
    assert "cannot be read" in str(said("import", str(tmp_path / "none.json")).exception)
