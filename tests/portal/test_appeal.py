"""An appeal's way: the form, what may be wrong with it, the receipt, its state; and the guards on the way."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from resolver.log.note import parse_vkey
from resolver.log.proof import check_proof
from resolver.log.writer import Log
from resolver.policy.typed import reference_in
from resolver.portal import form_token
from resolver.portal.abuse import Buckets
from resolver.portal.appeal import MAX_REASON, Form, Given, appeal_id, cleaned, new_appeal
from resolver.portal.clock import deliver
from resolver.portal.live import Snapshot
from resolver.portal.site import APPEALS
from resolver.portal.store import Store
from resolver.portal.web import Answer, Ask, from_here
from tests.rigs.portal_world import (
    ENTRIES,
    META,
    NOW,
    REFERENCE,
    Clock,
    Counter,
    ListedName,
    World,
    configuration,
    standard_pages,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine

    from resolver._core import Match

REASON = "This is my own shop and has nothing to do with gambling."


class Visitor:
    """Somebody with a browser, who fills in what the page offers."""

    def __init__(self, world: World, address: str = "203.0.113.7") -> None:
        self.world, self.address = world, address

    async def get(self, url: str, **more: Any) -> Answer:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query))
        return await self.world.portal.answer(Ask("GET", parts.path, query, address=self.address, **more))

    async def post(self, path: str, fields: dict[str, str], **more: Any) -> Answer:
        return await self.world.portal.answer(Ask("POST", path, {}, fields, address=self.address, **more))

    async def fill_in(self, **fields: str) -> dict[str, str]:
        page = await self.get(f"/appeal?reference={REFERENCE}&name=example.com")
        offered = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.body.decode()))
        shown = re.search(r'name="reference"[^>]* value="([^"]*)"', page.body.decode())
        assert shown is not None
        self.world.clock.now += 30
        return {**offered, "reference": shown[1], "reason": REASON, **fields}

    async def appeal(self, **fields: str) -> str:
        answer = await self.post("/appeal", await self.fill_in(**fields))
        assert answer.status == 303, answer.body.decode()
        return answer.location


def with_store(work: Callable[[World, Visitor], Coroutine[Any, Any, None]], directory: Path) -> None:
    async def run() -> None:
        world = World(directory)
        world.portal.store = await Store.open(f"sqlite:///{directory / 'portal.db'}")
        try:
            await work(world, Visitor(world))
        finally:
            await world.portal.store.close()

    asyncio.run(run())


def test_an_appeal_leads_to_a_receipt_that_only_its_link_opens(tmp_path: Path) -> None:
    async def work(world: World, visitor: Visitor) -> None:
        link = await visitor.appeal(role="owner", ground="lawful", contact="owner@shop.example")
        assert re.fullmatch(r"/receipt/[A-Za-z0-9_-]{22}\?new=1", link)
        page = await visitor.get(link)
        text = page.body.decode()
        assert page.status == 200
        assert "Keep this link" in text
        assert REASON in text
        assert "owner@shop.example" in text
        assert "example.com" in text
        assert (await visitor.get("/receipt/" + "A" * 22)).status == 404
        stored = (tmp_path / "portal.db").read_bytes() + (tmp_path / "portal.db-wal").read_bytes()
        assert link[9:31].encode() not in stored, "the secret is kept as a hash alone"

    with_store(work, tmp_path)


def test_an_appeal_against_an_addition_in_shadow_evaluation_is_of_the_list_that_it_would_join(tmp_path: Path) -> None:
    reference = "EZK3M9Q2XW4T8RBC"
    listed = META["lists"][0]
    shadow = {**listed, "name": "gambling+new", "watched": "gambling", "action": "monitor"}
    entries = (*ENTRIES, ListedName("new.example", list=2, reference=reference))
    snapshot = World(tmp_path, entries, {**META, "lists": [*META["lists"], shadow]}).live.snapshot
    match, given = snapshot.entries([reference], NOW).get(reference), Given(bytes(32), bytes(10), "en", NOW)
    assert match is not None
    assert match.list == 2
    assert new_appeal(Form(reference, reason=REASON), reference, match, snapshot, given, (1, 2)).list == "gambling"


def test_the_receipt_hands_out_the_proof_that_the_appeal_stands_in_the_log(tmp_path: Path) -> None:
    async def work(world: World, visitor: Visitor) -> None:
        assert world.config is not None
        assert world.portal.store is not None
        link = (await visitor.appeal()).partition("?")[0]
        assert "tlog-proof" not in (await visitor.get(link)).body.decode()
        with Log.open(world.config.places, world.clock) as log:

            async def steward(op: str, **arguments: Any) -> dict[str, Any]:
                assert op == "appeal-reports"
                (report,) = arguments["reports"]
                leaf = log.append(f"appeal-{report['what']}", report["reference"], report)
                return {"answers": [{"leaf": leaf, "proof": log.proof(leaf).decode()}]}

            assert await deliver(world.portal.store, steward, "a", NOW)
            key = parse_vkey(log.vkey)
        assert f'href="{link}/received.tlog-proof"' in (await visitor.get(link)).body.decode()
        proof = await visitor.get(f"{link}/received.tlog-proof")
        proven = check_proof(proof.body, key)
        (one,) = await world.portal.store.all()
        assert proven.detail is not None
        assert (proven.leaf.type, proven.detail.value["appeal"]) == ("appeal-received", one.id)
        for other in (
            f"{link}/decided.tlog-proof",
            f"{link}/received",
            f"{link}/",
            "/receipt/" + "A" * 22 + "/received",
        ):
            assert (await visitor.get(other)).status == 404 or other.endswith("/")
        await world.portal.store.withdraw(one.id, bytes(16), NOW)
        assert await world.portal.store.proofs(one.id, "a") == {}, "it goes with what was said"

    with_store(work, tmp_path)


def test_the_appeal_s_id_says_nothing_of_its_receipt(tmp_path: Path) -> None:
    async def work(world: World, visitor: Visitor) -> None:
        link = await visitor.appeal()
        assert world.portal.store is not None
        (one,) = await world.portal.store.all()
        assert one.id not in link
        assert (await visitor.get(f"/receipt/{one.id}")).status == 404

    with_store(work, tmp_path)


def test_a_form_that_is_sent_twice_is_one_appeal_with_one_receipt(tmp_path: Path) -> None:
    async def work(world: World, visitor: Visitor) -> None:
        fields = await visitor.fill_in()
        first, second = [await visitor.post("/appeal", fields) for _ in range(2)]
        assert first.location == second.location
        assert world.portal.store is not None
        assert len(await world.portal.store.all()) == 1

    with_store(work, tmp_path)


@pytest.mark.parametrize("other", [
    {"reason": "Another text, which is not to be lost."}, {"reference": "8ZK3M9Q2XW4T8RBC"}, {"ground": "lawful"},
    {"contact": "me@home.example"}, {"more": "8ZK3M9Q2XW4T8RBC"},
])  # fmt: skip
def test_a_form_that_is_sent_again_with_other_words_comes_back_and_becomes_another_appeal(
    tmp_path: Path, other: dict[str, str]
) -> None:
    async def work(world: World, visitor: Visitor) -> None:
        fields = await visitor.fill_in()
        assert (await visitor.post("/appeal", fields)).status == 303
        again = await visitor.post("/appeal", {**fields, **other})
        text = again.body.decode()
        assert again.status == 409
        assert "sent before with other words" in text
        assert next(iter(other.values())) in text or "checked" in text
        token = dict(re.findall(r'name="(\w+)" value="([^"]*)"', text))["token"]
        world.clock.now += 30
        assert (await visitor.post("/appeal", {**fields, **other, "token": token})).status == 303
        assert world.portal.store is not None
        assert len(await world.portal.store.all()) == (3 if "more" in other else 2)

    with_store(work, tmp_path)


def test_an_id_that_is_taken_costs_nobody_an_appeal(tmp_path: Path) -> None:
    async def work(world: World, visitor: Visitor) -> None:
        ids = iter([b"x" * 10, b"x" * 10, b"y" * 10])
        world.portal.random = lambda count: next(ids) if count == 10 else world.random(count)
        links = [await visitor.appeal() for _ in range(2)]
        assert [(await visitor.get(link)).status for link in links] == [200, 200]
        world.portal.random = lambda count: b"y" * 10 if count == 10 else world.random(count)
        answer = await visitor.post("/appeal", await visitor.fill_in())
        assert (answer.status, REASON in answer.body.decode()) == (409, True), "kept, not lost"

    with_store(work, tmp_path)


def test_one_form_for_several_names_is_an_appeal_for_each_under_links_of_its_author(tmp_path: Path) -> None:
    async def work(world: World, visitor: Visitor) -> None:
        more = f"8zk3-m9q2-xw4t-8rbc, {REFERENCE}\nAZK3M9Q2XW4T8RBC\n"
        link = await visitor.appeal(more=more, ground="mistake")
        assert world.portal.store is not None
        every = await world.portal.store.all()
        assert {one.name for one in every} == {"example.com", "exact.example", "xn--bcher-kva.example"}
        assert {one.reason for one in every} == {REASON}
        text = (await visitor.get(link)).body.decode()
        others = re.findall(r'href="(/receipt/[A-Za-z0-9_-]{22})"', text)
        assert len(set(others)) == 2
        pages = [(await visitor.get(one)).body.decode() for one in others]
        assert ["exact.example" in pages[0], "xn--bcher-kva.example" in pages[1]] == [True, True]
        assert others[1] not in pages[0], "one of them leads to no other"

    with_store(work, tmp_path)


@pytest.mark.parametrize(("typed", "meant"), [
    (f"{REFERENCE} 8zk3-m9q2-xw4t-8rbc", 2), (f"{REFERENCE},8ZK3M9Q2XW4T8RBC\n", 2), ("7ZK3 M9Q2 XW4T 8RBC", 1),
])  # fmt: skip
def test_two_references_in_the_field_of_one_are_two_appeals(typed: str, meant: int) -> None:
    """The field was cut after the first, and nothing said that the second had gone."""
    form = Form.of({"reference": typed})
    assert (form.reference, form.references) == (REFERENCE, (REFERENCE, "8ZK3M9Q2XW4T8RBC")[:meant])


@pytest.mark.parametrize("more", ["not a reference", "\n".join(f"{number:016}" for number in range(50))])
def test_further_references_that_are_none_or_too_many_are_said_so_and_kept(tmp_path: Path, more: str) -> None:
    async def work(world: World, visitor: Visitor) -> None:
        answer = await visitor.post("/appeal", await visitor.fill_in(more=more))
        assert answer.status == 422
        assert "50 at most. Please send what is left" in answer.body.decode()
        assert more.splitlines()[-1] in answer.body.decode()

    with_store(work, tmp_path)


def test_the_steward_is_told_with_the_appeal_and_without_its_words(tmp_path: Path) -> None:
    async def work(world: World, visitor: Visitor) -> None:
        woken = []
        world.portal.wake = lambda: woken.append(1)
        await visitor.appeal(contact="me@home.example")
        assert world.portal.store is not None
        (message,) = await world.portal.store.messages("a", NOW)
        assert message.report["what"] == "received"
        assert message.report["reference"] == REFERENCE
        assert message.report["list"] == "gambling"
        assert REASON not in str(message)
        assert "me@home.example" not in str(message)
        assert woken

    with_store(work, tmp_path)


@pytest.mark.parametrize(("ground", "seconds"), [("mistake", 48 * 3600), ("lawful", 14 * 86400), ("", 14 * 86400)])
def test_the_clock_is_that_of_the_ground(tmp_path: Path, ground: str, seconds: int) -> None:
    async def work(world: World, visitor: Visitor) -> None:
        await visitor.appeal(ground=ground)
        assert world.portal.store is not None
        (one,) = await world.portal.store.all()
        assert one.due - one.received == seconds

    with_store(work, tmp_path)


@pytest.mark.parametrize(("fields", "said"), [
    ({"reference": ""}, "The reference has 16 letters"),
    ({"reference": "7ZK3M9Q2XW4T8RB"}, "The reference has 16 letters"),
    ({"reference": "' OR 1=1 --"}, "The reference has 16 letters"),
    ({"reason": ""}, "Please say in a sentence or two"),
    ({"reason": " \n\t \x00\u202e"}, "Please say in a sentence or two"),
    ({"reason": "x" * (MAX_REASON + 1)}, "longer than 8,000 characters"),
    ({"contact": "x" * 255}, "too long for an address"),
])  # fmt: skip
def test_what_is_wrong_with_a_form_is_said_beside_the_field_and_nothing_is_lost(
    tmp_path: Path, fields: dict[str, str], said: str
) -> None:
    async def work(world: World, visitor: Visitor) -> None:
        answer = await visitor.post("/appeal", await visitor.fill_in(role="owner", **fields))
        assert answer.status == 422
        assert said in answer.body.decode()
        assert 'value="owner" checked' in answer.body.decode()
        if "reason" not in fields:
            assert REASON in answer.body.decode()
        assert world.portal.store is not None
        assert await world.portal.store.all() == []

    with_store(work, tmp_path)


@pytest.mark.parametrize(
    ("token", "wait"), [("", 0), ("x", 0), ("A" * 54, 0), (None, -30), (None, 2 * 86400), ("\u00fc", 0)]
)
def test_a_form_without_a_fresh_token_of_ours_comes_back_filled_in(
    tmp_path: Path, token: str | None, wait: int
) -> None:
    async def work(world: World, visitor: Visitor) -> None:
        fields = await visitor.fill_in()
        world.clock.now += wait
        answer = await visitor.post("/appeal", fields if token is None else {**fields, "token": token})
        assert answer.status == 409
        assert "please send it again" in answer.body.decode()
        assert REASON in answer.body.decode()
        again = dict(re.findall(r'name="(\w+)" value="([^"]*)"', answer.body.decode()))
        world.clock.now += 30
        assert (await visitor.post("/appeal", {**fields, "token": again["token"]})).status == 303

    with_store(work, tmp_path)


def test_a_form_from_another_site_is_refused(tmp_path: Path) -> None:
    async def work(world: World, visitor: Visitor) -> None:
        assert (await visitor.post("/appeal", await visitor.fill_in(), same_origin=False)).status == 403

    with_store(work, tmp_path)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://stop.isp.example", "https://stop.isp.example"),
        ("https://stop.isp.example:443", "https://stop.isp.example"),
        ("http://stop.isp.example:80/", "http://stop.isp.example"),
        ("https://stop.isp.example:/", "https://stop.isp.example"),
        ("https://stop.isp.example:80", "https://stop.isp.example:80"),
        ("HTTPS://STOP.isp.example:8443/portal", "https://stop.isp.example:8443"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://[2001:DB8:0:0::1]:443", "https://[2001:db8::1]"),
        ("http://192.0.2.1:8080", "http://192.0.2.1:8080"),
    ],
)
def test_a_form_is_taken_from_the_origin_that_a_browser_makes_of_the_portal_s_url(url: str, origin: str) -> None:
    own = standard_pages().branded(configuration(Path("/nowhere"), portal={"url": url})).origin
    assert own == origin
    assert from_here(origin, "same-origin", own)
    assert not from_here(f"{origin}0", "same-origin", own)


def test_the_field_that_people_do_not_see_stays_empty(tmp_path: Path) -> None:
    async def work(world: World, visitor: Visitor) -> None:
        assert (await visitor.post("/appeal", await visitor.fill_in(website="https://spam.example"))).status == 400

    with_store(work, tmp_path)


def test_floods_of_one_connection_wait_and_others_go_on(tmp_path: Path) -> None:
    async def work(world: World, visitor: Visitor) -> None:
        answers = []
        for _ in range(12):
            fields = await visitor.fill_in()
            world.clock.now -= 30
            fields["token"] = form_token.issue((await world.portal._form_keys(NOW))[form_token.day_of(NOW)], NOW - 60,
                                               world.random(16))  # fmt: skip
            answers.append(await visitor.post("/appeal", fields))
        assert [answer.status for answer in answers] == [303] * 10 + [429] * 2
        assert REASON in answers[-1].body.decode()
        other = Visitor(world, "198.51.100.9")
        assert (await other.post("/appeal", {**fields, "token": fields["token"]})).status == 303

    with_store(work, tmp_path)


@pytest.mark.parametrize(("households", "allowed"), [
    ([f"2001:db8:1:{number:x}00::1" for number in range(60)], 40),  # sixty /56 of one /48
    ([f"2001:db8:{number:x}::1" for number in range(60)], 60),  # sixty /48
    ([f"203.0.113.{number}" for number in range(60)], 40),
    ([f"203.0.{number}.1" for number in range(60)], 60),
    (["2001:db8:1:100::1", "2001:db8:1:1ff::2"] * 10, 10),  # one /56
    (["::ffff:203.0.113.7", "203.0.113.7"] * 10, 10),
    (["nobody", ""] * 10, 10),
])  # fmt: skip
def test_a_household_has_an_allowance_and_the_network_around_it_four_of_them(
    households: list[str], allowed: int
) -> None:
    clock = Clock()
    buckets = Buckets(APPEALS, clock, Counter())
    assert [buckets.take(address) > 0 for address in households].count(False) == allowed
    wait = max(buckets.take(address) for address in households)
    clock.now += wait
    assert buckets.take(households[-1]) == 0.0


def test_many_references_take_more_of_an_allowance_and_never_more_than_there_is() -> None:
    buckets = Buckets(APPEALS, Clock(), Counter())
    assert [buckets.take("203.0.113.7", 4) > 0 for _ in range(3)] == [False, False, True]
    assert buckets.take("198.51.100.7", 1_000) == 0.0


def test_a_flood_of_forms_costs_no_scans(tmp_path: Path) -> None:
    async def work(world: World, visitor: Visitor) -> None:
        scans: list[Collection[str]] = []

        class Counted(Snapshot):
            def entries(self, references: Collection[str], now: int) -> dict[str, Match]:
                scans.append(references)
                return super().entries(references, now)

        live = world.live.snapshot
        world.live.snapshot = Counted(live.in_force)
        fields = await visitor.fill_in(more=" ".join(f"{number:016}" for number in range(49)))
        scans.clear()
        forms = [await visitor.post("/appeal", fields) for _ in range(30)]
        assert [answer.status for answer in forms] == [422] * 2 + [429] * 28
        assert [len(references) for references in scans if len(references) > 1] == [50] * 2, "one scan a form"
        world.clock.now += 3600
        scans.clear()
        answers = [await visitor.get(f"/appeal?reference={REFERENCE}") for _ in range(100)]
        assert {answer.status for answer in answers} == {200}, "the form itself is always there"
        assert len(scans) == 60
        assert b"It is about" in answers[0].body
        assert b"It is about" not in answers[-1].body

    with_store(work, tmp_path)


def test_a_reference_that_is_on_no_list_is_said_so_before_the_receipt_and_can_be_sent_all_the_same(
    tmp_path: Path,
) -> None:
    async def work(world: World, visitor: Visitor) -> None:
        fields = {**await visitor.fill_in(reference="0000000000000000"), "name": "shop.example"}
        answer = await visitor.post("/appeal", fields)
        text = answer.body.decode()
        assert answer.status == 422
        assert "No list here has this reference now" in text
        assert 'name="name" value="shop.example"' in text
        assert REASON in text
        assert world.portal.store is not None
        assert await world.portal.store.all() == []
        token = dict(re.findall(r'name="(\w+)" value="([^"]*)"', text))["token"]
        world.clock.now += 30
        sent = await visitor.post("/appeal", {**fields, "token": token, "all_the_same": "yes"})
        assert sent.status == 303
        (one,) = await world.portal.store.all()
        assert (one.name, one.list, one.suspends, one.claimed) == ("", "", False, "shop.example")
        assert "shop.example" in (await visitor.get(sent.location)).body.decode()

    with_store(work, tmp_path)


def test_the_name_shown_is_the_entry_s_and_never_what_the_link_says(tmp_path: Path) -> None:
    async def work(world: World, visitor: Visitor) -> None:
        page = await visitor.get(f"/appeal?reference={REFERENCE}&name=evil-marker.example")
        assert "example.com" in page.body.decode()
        assert ">evil-marker" not in page.body.decode()

    with_store(work, tmp_path)


def test_a_decision_shows_on_the_receipt_with_its_reasons(tmp_path: Path) -> None:
    async def work(world: World, visitor: Visitor) -> None:
        link = await visitor.appeal()
        assert world.portal.store is not None
        (one,) = await world.portal.store.all()
        assert await world.portal.store.decide(
            [one.id], "granted", "Ms Judge", "You are right.\n<b>Sorry.</b>", NOW + 90
        )
        text = (await visitor.get(link)).body.decode()
        assert "Your appeal was granted" in text
        assert "You are right." in text
        assert "&lt;b&gt;Sorry" in text
        assert "Ms Judge" in text

    with_store(work, tmp_path)


@pytest.mark.parametrize(("fate", "said"), [
    (None, ""), ("suspended", "The block is suspended until somebody decides"), ("held", "a person looks at each"),
])  # fmt: skip
def test_an_overdue_appeal_says_so_and_what_was_done_about_it(tmp_path: Path, fate: str | None, said: str) -> None:
    async def work(world: World, visitor: Visitor) -> None:
        link = await visitor.appeal()
        assert world.portal.store is not None
        (one,) = await world.portal.store.all()
        world.clock.now += 15 * 86400
        if fate is not None:
            assert await world.portal.store.came_due({one.id: fate}, int(world.clock.now)) == 1
        text = (await visitor.get(link)).body.decode()
        assert "The decision is overdue since" in text
        assert said in text
        assert ("The block is suspended" in text) is (fate == "suspended"), "what is not done yet is not promised"

    with_store(work, tmp_path)


def test_the_court_is_shown_before_and_after_even_when_the_entry_is_gone(tmp_path: Path) -> None:
    async def work(world: World, visitor: Visitor) -> None:
        assert b"Administrative Court, Halle" in (await visitor.get(f"/appeal?reference={REFERENCE}")).body
        link = await visitor.appeal()
        world.live.snapshot = Snapshot()
        assert b"go to court at any time: Administrative Court, Halle" in (await visitor.get(link)).body
        assert json.loads((await visitor.get(link, accept="application/json")).body)["court"]

    with_store(work, tmp_path)


def test_its_author_can_withdraw_it_and_its_words_are_gone(tmp_path: Path) -> None:
    async def work(world: World, visitor: Visitor) -> None:
        link = (await visitor.appeal()).partition("?")[0]
        assert (await visitor.post(link, {"withdraw": "yes"})).status == 303
        text = (await visitor.get(link)).body.decode()
        assert "You withdrew this appeal" in text
        assert REASON not in text
        assert world.portal.store is not None
        (message,) = await world.portal.store.messages("a", NOW)
        await world.portal.store.heard([(message, "")], "a")
        (message,) = await world.portal.store.messages("a", NOW)
        assert message.report["what"] == "withdrawn"
        assert form_token.receipt_code(bytes.fromhex(message.report["secret"])) == link[9:], "its author's proof"

    with_store(work, tmp_path)


def test_the_receipt_s_link_can_be_typed_in(tmp_path: Path) -> None:
    async def work(world: World, visitor: Visitor) -> None:
        link = (await visitor.appeal()).partition("?")[0]
        for typed in (link[9:], "https://stop.nordlicht.example" + link, f" {link}?new=1 "):
            answer = await world.portal.answer(Ask("GET", "/receipt", {"code": typed}))
            assert (answer.status, answer.location) == (303, link)
        for typed in ("//evil.example/receipt/x", "https://evil.example", "/receipt/../x", "x" * 22 + "\r\nX: y"):
            answer = await world.portal.answer(Ask("GET", "/receipt", {"code": typed}))
            assert (answer.status, answer.location) == (200, "")

    with_store(work, tmp_path)


def test_without_the_database_appeals_say_where_else_to_go_and_look_up_goes_on(tmp_path: Path) -> None:
    async def work() -> None:
        visitor = Visitor(World(tmp_path))
        page = await visitor.get("/appeal")
        assert page.status == 503
        assert "blocking@nordlicht.example" in page.body.decode()
        assert (await visitor.get("/?name=example.com")).status == 200
        assert (await visitor.get("/transparency")).status == 200

    asyncio.run(work())


def test_programs_are_told_in_json_why_not(tmp_path: Path) -> None:
    async def work() -> None:
        visitor = Visitor(World(tmp_path))
        for path, status, error in (
            ("/appeal", 503, "away"),
            ("/none", 404, "missing"),
            ("/?name=.", 400, "not a name"),
        ):
            answer = await visitor.get(path, accept="application/json")
            assert (answer.status, answer.kind, json.loads(answer.body)) == (
                status,
                "application/json",
                {"error": error},
            )

    asyncio.run(work())


def test_the_press_finds_whom_to_ask_and_the_way_to_the_records(tmp_path: Path) -> None:
    async def work() -> None:
        page = (await Visitor(World(tmp_path)).get("/press")).body.decode()
        for said in ("blocking@nordlicht.example", "lists@authority.example", 'href="/transparency"', "Watcher"):
            assert said in page

    asyncio.run(work())


def test_an_operator_of_a_network_finds_what_the_resolver_does(tmp_path: Path) -> None:
    """Where RESINFO's infourl leads; the encrypted protocols are shown where there are some."""

    async def work() -> None:
        visitor = Visitor(World(tmp_path))
        page = (await visitor.get("/resolver")).body.decode()
        for said in ("blocking@nordlicht.example", "without encryption only", "RFC 8914"):
            assert said in page

    asyncio.run(work())


@pytest.mark.parametrize(("typed", "reference"), [
    ("7zk3m9q2xw4t8rbc", REFERENCE), (" 7ZK3-M9Q2 XW4T-8RBC ", REFERENCE), ("OIL0000000000000", "0110000000000000"),
    ("<b>", "<B>"), ("x" * 10_000, "X" * 16),
])  # fmt: skip
def test_a_reference_is_understood_as_people_write_it(typed: str, reference: str) -> None:
    assert reference_in(typed) == reference


def test_text_keeps_its_letters_and_loses_what_could_reorder_or_hide_it() -> None:
    assert cleaned("a\u202eb\x1b[31mc\x00d\u200be\ufeff\ud800") == "ab[31mcde"
    assert cleaned("می\u200cخواهم\r\nدو", lines=True) == "می\u200cخواهم\nدو"
    assert cleaned("one\ntwo") == "onetwo"


def test_an_unknown_choice_is_none() -> None:
    form = Form.of({"role": "admin", "ground": "x", "share_contact": "on"})
    assert (form.role, form.ground, form.share_contact) == ("", "", False)


def test_an_id_has_a_form_that_can_be_read_aloud() -> None:
    assert re.fullmatch(r"A-[0-9A-HJKMNP-TV-Z]{12}", appeal_id(bytes(range(10))))
