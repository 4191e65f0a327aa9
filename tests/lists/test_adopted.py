"""A list that authorities adopt from each other: who opens it, what its page says, and whose withdrawals hold."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from blocklists import adopted, delta, document
from blocklists.errors import VerifyError
from blocklists.head import Basis, Issuer, Relief
from blocklists.issuer import adopt, history, propose, publish, renew, rotate, sealing, withdraw
from blocklists.issuer.adopt import AdoptError
from blocklists.issuer.keys import Keyring
from blocklists.issuer.known import at_desk
from blocklists.issuer.rehearsal import PASSPHRASE, Rehearsal
from blocklists.issuer.restore import restore
from blocklists.issuer.review import ReviewError, review
from blocklists.issuer.sealing import SealingError
from blocklists.issuer.sign import sign
from blocklists.repository import fingerprint
from blocklists.sealed import keys
from resolver.lists import fetch
from resolver.lists.fetch import Mirror
from resolver.policy import seals
from tests.rigs.issuer_world import BASIS, ISSUER, Counted
from tests.rigs.lists_world import Clock, World
from tests.rigs.sealed_world import LIST, NAMES, SealedWorld, cheap

if TYPE_CHECKING:
    from pathlib import Path

    from blocklists.issuer.desk import Desk
    from blocklists.issuer.request import Request

OWN = Basis("Own Act, § 1", "Own Authority", "own order", "2026-11-02", "AT", "Own Court")


class Chain:
    """The authority that made a list, one that adopts it, one that adopts it from that; and a provider."""

    def __init__(self, folder: Path, *, sealed: bool) -> None:
        self.key, self.clock, self.folder, self.sealed = folder / "sealed.key", Clock(), folder, sealed
        now = datetime.fromtimestamp(self.clock(), UTC)
        if sealed:
            self.first = SealedWorld(folder / "first", now, north=keys.create(self.key)).rehearsal
        else:
            self.first = Rehearsal.create(folder / "first", ISSUER, clock=lambda: now, random=Counted())
            self.first.add_basis(LIST, "order-17", BASIS)
            self.first.change(LIST, add=NAMES, basis="order-17", category="abuse")
        self.second, self.third = self.desk("Second"), self.desk("Third")
        self.adopt(self.second, self.first.desk, LIST)
        self.adopt(self.third, self.second.desk, "adopted")
        source = {"repository": str(self.third.desk.published), "trusted_root": str(self.third.desk.trusted_root)}
        more = {"sealed_key": str(self.key)} if sealed else {}
        self.isp = World(folder / "isp", self.clock, {"adopted": source}, more)
        config = self.isp.config
        self.mirror = Mirror(config.lists[0], config.places.list("adopted"), sealed_key=seals.key_file(config))

    def desk(self, name: str) -> Rehearsal:
        now = datetime.fromtimestamp(self.clock(), UTC)
        made = Rehearsal.create(self.folder / name, Issuer(name, "x@x.example", "y@x.example"), clock=lambda: now)
        made.add_basis("adopted", "own", OWN)
        return made

    def request(self, desk: Desk, source: Desk, name: str) -> Request:
        now, root = datetime.fromtimestamp(self.clock(), UTC), source.trusted_root.read_bytes()
        return adopt.adopt(desk, "adopted", str(source.published), name, root, "own", now=now, author="x")

    def adopt(self, by: Rehearsal, source: Desk, name: str) -> None:
        by.publish(self.request(by.desk, source, name))

    def suspend(self, by: Rehearsal, name: str, reference: str) -> None:
        now = datetime.fromtimestamp(self.clock(), UTC)
        by.publish(withdraw.suspend(by.desk, name, [reference], reason="a slip", now=now, author="alice"))

    def refresh(self) -> fetch.Candidate:
        candidate = self.mirror.fetch(self.clock())
        assert self.isp.register.take(candidate).kind in {"active", "unchanged"}
        return candidate


@pytest.fixture(params=[False, True], ids=["readable", "sealed"])
def chain(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chain:
    cheap(monkeypatch)
    return Chain(tmp_path, sealed=request.param)


def test_adoption_and_withdrawal_cross_three_repositories(chain: Chain) -> None:
    first = chain.refresh()
    assert (first.entries, dict(first.suspended)) == (len(NAMES), {})
    assert first.issuer.name == "Third"
    ground = first.bases["order-17"]
    assert ground.authority == f"Own Authority / Own Authority / {BASIS.authority}"
    assert (ground.territory, ground.court) == ("AT", "Own Court")
    lines = document.read_lines(first.lines, size=first.size)
    one, two, three = (delta.reference(line) for line in lines)
    for by, name, reference in (
        (chain.first, LIST, one),
        (chain.second, "adopted", two),
        (chain.third, "adopted", three),
    ):
        chain.suspend(by, name, reference)
        seen = chain.refresh()
        assert reference in seen.suspended
    assert set(seen.suspended) == {one, two, three}
    assert seen.suspended[one].reason == f"{ISSUER.name}: a slip"
    stored = fetch.stored(chain.isp.config.lists[0], chain.isp.config.places.list("adopted"))
    assert stored is not None
    assert set(stored.suspended) == {one, two, three}
    chain.first.desk.published.rename(chain.folder / "away")
    gone = chain.refresh()
    assert set(gone.suspended) == {one, two, three}
    assert f"what {ISSUER.name} has withdrawn of {LIST} cannot be seen" in str(gone.relief_refused)


def references(candidate: fetch.Candidate) -> list[str]:
    return [delta.reference(line) for line in document.read_lines(candidate.lines, size=candidate.size)]


def kept(chain: Chain) -> list[Path]:
    """The relief that is kept of each source that published one."""
    return sorted((chain.isp.config.places.list("adopted").root / "sources").glob("*/relief.json"))


def test_a_source_withdraws_also_where_the_list_that_adopted_it_is_away_or_refused(chain: Chain) -> None:
    one, two, *_ = references(chain.refresh())
    chain.third.desk.published.rename(chain.folder / "away")

    def refused(reason: str) -> str:
        with pytest.raises(VerifyError) as caught:
            chain.mirror.fetch(chain.clock())
        assert chain.isp.register.refuse("adopted", caught.value).reason == reason
        return str(caught.value)

    chain.suspend(chain.first, LIST, one)
    assert "cannot be seen" not in refused("missing")
    assert set(chain.isp.register.applied["adopted"].suspended) == {one}
    assert chain.isp.register.applied["adopted"].suspended[one].reason == f"{ISSUER.name}: a slip"
    (chain.folder / "away").rename(chain.third.desk.published)
    (chain.third.desk.published / "metadata" / "timestamp.json").write_text("{}")
    chain.suspend(chain.second, "adopted", two)
    refused("malformed")
    assert set(chain.isp.register.applied["adopted"].suspended) == {one, two}
    chain.first.desk.published.rename(chain.folder / "away")
    assert f"what {ISSUER.name} has withdrawn of {LIST} cannot be seen" in refused("malformed")
    assert set(chain.isp.register.applied["adopted"].suspended) == {one, two}


def test_nothing_is_kept_of_a_source_but_withdrawals_of_entries(chain: Chain) -> None:
    one, *_ = references(chain.refresh())
    chain.first.change(LIST, add=["planted-new.example"])
    published = chain.first.desk.head(LIST)
    assert published is not None
    listed = {delta.reference(line) for line in chain.first.desk.listing(published).lines()}
    (new,) = listed - set(references(chain.refresh()))
    chain.suspend(chain.first, LIST, new)
    assert chain.refresh().relief_refused is None
    assert [sorted(Relief.from_bytes(path.read_bytes()).suspended) for path in kept(chain)] == [[]]
    chain.suspend(chain.first, LIST, one)
    assert set(chain.refresh().suspended) == {one}
    assert [sorted(Relief.from_bytes(path.read_bytes()).suspended) for path in kept(chain)] == [[one]]


def test_a_damaged_file_of_a_source_is_said_and_fetched_again(chain: Chain) -> None:
    one, *_ = references(chain.refresh())
    chain.suspend(chain.first, LIST, one)
    chain.refresh()
    (path,) = kept(chain)
    whole = path.read_bytes()
    path.write_bytes(b"{")
    chain.first.desk.published.rename(chain.folder / "away")
    assert f"what {ISSUER.name} has withdrawn of {LIST} cannot be seen" in str(chain.refresh().relief_refused)
    stored = fetch.stored(chain.isp.config.lists[0], chain.isp.config.places.list("adopted"))
    assert stored is not None
    assert "relief.json is damaged" in str(stored.relief_refused)
    assert set(chain.isp.register.applied["adopted"].suspended) == {one}, "what was withdrawn stays so"
    (chain.folder / "away").rename(chain.first.desk.published)
    assert chain.refresh().relief_refused is None
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("own", "source", "asked"),
    [
        ("https://a.example/l", "https://b.example/l", True),
        ("https://a.example/l", "http://b.example/l", False),
        ("https://a.example/l", "/etc", False),
        ("https://a.example/l", "file:///etc", False),
        ("http://a.example/l", "https://b.example/l", True),
        ("http://a.example/l", "ftp://b.example/l", False),
        ("/srv/list", "/srv/other", True),
        ("/srv/list", "https://b.example/l", True),
    ],
)
def test_a_source_is_asked_no_other_way_than_the_list(own: str, source: str, *, asked: bool) -> None:
    if asked:
        adopted._check_way(own, source)
    else:
        with pytest.raises(VerifyError, match="does not lead to"):
            adopted._check_way(own, source)


def test_a_list_that_was_adopted_is_changed_at_its_source_alone_which_each_signer_asks(chain: Chain) -> None:
    desk = chain.second.desk
    with pytest.raises(AdoptError, match="publishes already"):
        chain.request(desk, chain.first.desk, LIST)
    with pytest.raises(propose.ProposeError, match="is adopted from"):
        propose.propose(desk, "adopted", [], now=datetime.now(UTC), author="x", note="")
    with pytest.raises(AdoptError, match="knows no ground"):
        adopt.adopt(
            desk, "other", str(chain.first.desk.published), LIST, b"{}", "own", now=datetime.now(UTC), author="x"
        )
    chain.first.change(LIST, add=["planted-new.example"], remove=[NAMES[0]])
    chain.adopt(chain.second, chain.first.desk, LIST)
    if not chain.sealed:
        assert len(history.between(desk, "adopted", 1, 2)) == 2
    chain.adopt(chain.third, desk, "adopted")
    assert chain.refresh().version == 2
    with pytest.raises(AdoptError, match="a list of this desk's own"):
        adopt.adopt(
            chain.first.desk, LIST, str(desk.published), "adopted", b"{}", "own", now=datetime.now(UTC), author="x"
        )

    # and a signer sees what is adopted, and asks the source itself
    chain.first.change(LIST, add=["planted-more.example"])
    chain.second.add_basis("adopted", "own", replace(OWN, authority="Another court"))
    request = chain.request(chain.second.desk, chain.first.desk, LIST)
    signer = chain.second.signers[0]
    reviewed = chain.second.review(request, signer)
    told = " ".join(reviewed.remarks)
    assert f"adopts {LIST} version 3 of {ISSUER.name}" in told
    assert "4 entries" in told
    (ground,) = reviewed.grounds
    assert ground.entries == (None if chain.sealed else 4)
    assert ("entries that nobody can count here" in next(ground.sentences())) == chain.sealed
    assert [entry.name for entry in reviewed.meaning.added.first] == ([] if chain.sealed else ["planted-more.example"])
    chain.first.change(LIST, add=["planted-most.example"])
    with pytest.raises(ReviewError, match="the source publishes version 4"):
        chain.second.review(request, signer)
    chain.first.desk.published.rename(chain.folder / "away")
    with pytest.raises(VerifyError):
        chain.second.review(request, signer)


@pytest.fixture
def readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chain:
    cheap(monkeypatch)
    return Chain(tmp_path, sealed=False)


def test_a_source_that_was_founded_again_is_adopted_under_the_same_name(readable: Chain) -> None:
    desk, first = readable.second.desk, readable.first
    first.change(LIST, add=["planted-new.example"])
    readable.adopt(readable.second, first.desk, LIST)
    again = Rehearsal.create(readable.folder / "again", ISSUER, clock=first.clock)
    again.add_basis(LIST, "order-17", BASIS)
    again.change(LIST, add=["planted-again.example"], basis="order-17", category="abuse")
    readable.adopt(readable.second, again.desk, LIST)
    head = desk.head("adopted")
    assert head is not None
    assert (head.version, head.adopted[0].version, head.entries) == (3, 1, 1)


def test_what_was_seen_of_a_source_before_its_root_was_in_the_folder_s_name_still_counts(readable: Chain) -> None:
    source, now = readable.first, datetime.fromtimestamp(readable.clock(), UTC)
    source.change(LIST, add=["planted-new.example"])
    older = readable.folder / "older"
    shutil.copytree(source.desk.published, older)
    source.change(LIST, add=["planted-more.example"])
    readable.adopt(readable.second, source.desk, LIST)
    for machine in (readable.second.desk.folder, *(one.folder / "known" for one in readable.second.signers)):
        (folder,) = (machine / "adopted").iterdir()
        folder.rename(machine / "adopted" / "adopted")
    root = source.desk.trusted_root.read_bytes()
    with pytest.raises(VerifyError) as refusal:
        adopt.adopt(readable.second.desk, "adopted", str(older), LIST, root, "own", now=now, author="x")
    assert refusal.value.reason == "rollback"
    source.change(LIST, add=["planted-most.example"])
    readable.adopt(readable.second, source.desk, LIST)
    assert not (readable.second.desk.folder / "adopted" / "adopted").exists()


def test_a_signer_sees_by_which_root_a_source_is_asked_and_where_it_is_another_one(readable: Chain) -> None:
    chain = readable
    desk, signer, true = chain.second.desk, chain.second.signers[0], chain.first.desk
    chain.first.change(LIST, add=["planted-new.example"])
    told = chain.second.review(chain.request(desk, true, LIST), signer).remarks
    mark = fingerprint(true.trusted_root.read_bytes())
    assert f"the source's root has the SHA-256 {mark}: compare it by telephone" in told
    assert not [line for line in told if line.startswith("another")]
    false = Rehearsal.create(chain.folder / "false", ISSUER, clock=chain.first.clock)
    false.add_basis("other", "order-17", BASIS)
    for names in ([*NAMES, "victim.example"], ["second.example"], ["third.example"]):
        false.change("other", add=names, basis="order-17", category="abuse")
    told = chain.second.review(chain.request(desk, false.desk, "other"), signer).remarks
    other = fingerprint(false.desk.trusted_root.read_bytes())
    assert f"the source's root has the SHA-256 {other}: compare it by telephone" in told
    assert [line for line in told if line.startswith("another")] == [
        f"another root than before: that of {ISSUER.name} had the SHA-256 {mark}",
        f"another address than before: {true.published}",
        f"another list than before: {LIST}",
    ]


def test_a_desk_says_what_is_due_also_where_it_adopted_a_list_that_nobody_there_reads(chain: Chain) -> None:
    desk, now, span = chain.second.desk, datetime.fromtimestamp(chain.clock(), UTC), timedelta(days=400)
    due = renew.due(desk, now=now, within=span)
    assert {role for role, _ in due.roles} == {"root", "targets", "relief"}
    assert len(due.entries) == (0 if chain.sealed else len(NAMES))
    terms = propose.Terms("own", "abuse", "2026-11-01T00:00:00Z", "2027-11-01T00:00:00Z")
    for refused in (
        lambda: renew.prolong(desk, "adopted", now=now, within=span, span=span),
        lambda: propose.by_hand(desk, "adopted", add=["other.example"], terms=terms),
        lambda: propose.by_hand(desk, "adopted", remove=[NAMES[0]], terms=terms),
        lambda: propose.from_candidates(desk, "adopted", [], terms, random=Counted()),
    ):
        with pytest.raises(propose.ProposeError, match=r"is adopted from .*: nothing is proposed on it"):
            refused()
    if chain.sealed:
        for asked in (sealing.begin, sealing.required, sealing.retire):
            with pytest.raises(SealingError, match=f"adopted is adopted sealed from {ISSUER.name}"):
                asked(desk, "adopted")


def test_a_desk_that_adopted_a_list_comes_back_from_the_web_host(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "KEEP", 1)
    desk, now = chain.second.desk, datetime.fromtimestamp(chain.clock(), UTC)
    for number in range(3):
        chain.first.change(LIST, add=[f"planted-{number}.example"], remove=[NAMES[number]])
        chain.adopt(chain.second, chain.first.desk, LIST)
    assert len(list(desk.published.glob("targets/*.adopted.full-*.zst"))) == 4
    again = restore(tmp_path / "again", desk.published, desk.trusted_root, now=now)
    for version in range(1, 5):
        if chain.sealed:
            with pytest.raises(history.HistoryError, match="no record"):
                history.between(again, "adopted", version - 1, version)
            continue
        steps = history.between(again, "adopted", version - 1, version)
        assert steps == history.between(desk, "adopted", version - 1, version)
        assert len(steps) == (2 if version > 1 else len(NAMES))
        history.document_of(again, "adopted", version, tmp_path / "made.zst")


def test_somebody_who_signed_no_version_decides_on_an_appeal_at_the_desk_that_adopted(
    chain: Chain, tmp_path: Path
) -> None:
    desk, now = chain.second.desk, datetime.fromtimestamp(chain.clock(), UTC)
    one, *_ = references(chain.refresh())
    chain.first.change(LIST, add=["planted-new.example"])
    chain.adopt(chain.second, chain.first.desk, LIST)
    judge = Keyring.create(tmp_path / "judge", "Judge", PASSPHRASE, roles=["relief"])
    chain.second.publish(rotate.rotate(desk, come=[judge.card], now=now, author="x"))
    decision = {"appeal": "A-000000000000", "reference": one, "outcome": "upheld", "reasons": "our own order"}
    for signer in chain.second.signers:
        with pytest.raises(withdraw.WithdrawError, match=f"{signer.card.name} signed {one}"):
            withdraw.decide(desk, "adopted", **decision, officer=signer.card, now=now)
    request = withdraw.decide(desk, "adopted", **decision, officer=judge.card, now=now)
    signed = sign(review(request, at_desk(desk, judge, request, now=now)), judge, lambda _: PASSPHRASE)
    publish.publish(desk, [signed], lambda _: None, now=now)
    relief = desk.relief("adopted")
    assert relief is not None
    assert [one.by for one in relief.decisions] == ["Judge"]
