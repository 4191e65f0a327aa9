"""Structured errors: who asks for them gets JSON, everybody else the text (drafts: resolver/dns/explanations.py)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest

from resolver import _core
from resolver.config.schema import Config
from resolver.config.schema_lists import EDE
from resolver.config.values import contact_uri
from resolver.dns.explanations import TEMPLATE, explanations
from resolver.policy.description import Basis, LiveList
from tests.rigs.list_documents import BASES, entry, numbered, write
from tests.rigs.plane import STOP_PAGE, Rig, Upstream, rig

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PORTAL = "https://stop.isp.example"
BASIS = {"law": "Gambling Act", "authority": "Authority of X", "order": "17/2026", "date": "", "court": ""}
SDE, OF_CHROMIUM = (26, b""), (15, b"\0\0")


def config(**of_list: Any) -> Config:
    raw = {
        "state_dir": "/x",
        "run_dir": "/y",
        "portal": {"url": PORTAL},
        "provider": {"name": "Isp", "contact": "block@isp.example", "language": "de"},
        "dns": {"listen": ["0.0.0.0:53"], "upstreams": ["127.0.0.1:1"], "allow_clients": []},
        "lists": [{"name": "a", "repository": "/l", "trusted_root": "/r", "explain": "json", **of_list}],
    }
    return Config.model_validate(raw, context={"folder": "/"})


def listing(r: Rig, folder: Path, given: Config, categories: Sequence[str] = ("gambling",), **basis: str) -> None:
    """The plane stops `NUMBER.example`, an entry of each category."""
    (source,) = given.lists
    write(folder / "a.zst", [entry(f"{at}.example", at, category=one) for at, one in enumerate(categories)])
    compiling: _core.Source = {
        "document": str(folder / "a.zst"), "action": source.action, "ede": EDE[source.reason], "bases": BASES,
        "suspended": [],
    }  # fmt: skip
    _core.compile([compiling], str(folder / "list"), b"{}")
    r.plane.set_list(_core.CompiledList.open(str(folder / "list")))
    r.plane.explain(
        explanations(given, [LiveList(name="a", bases={BASES[0]: Basis.model_validate({**BASIS, **basis})})])
    )


def asking(name: str, *options: tuple[int, bytes], payload: int = 1232) -> bytes:
    given: list[dns.edns.Option] = [
        dns.edns.GenericOption(dns.edns.OptionType.make(code), value) for code, value in options
    ]
    return dns.message.make_query(name, "A", use_edns=0, payload=payload, options=given).to_wire()


def told(r: Rig, question: bytes) -> tuple[dns.message.Message, int | None, str]:
    """The answer, and its extended error."""
    r.send(question)
    reply = dns.message.from_wire(r.client.recv(65535))
    for option in reply.options:
        if isinstance(option, dns.edns.EDEOption):
            return reply, option.code, option.text or ""
    return reply, None, ""


def records(reply: dns.message.Message) -> list[str]:
    return [record.to_text() for rrset in reply.answer for record in rrset]


@pytest.mark.parametrize(
    ("how", "options", "structured"),
    [
        ("the draft's option", [SDE], True),
        ("the same with data, which is ignored", [(26, b"abc")], True),
        ("an extended error of two zero octets, as Chromium 156 asks", [OF_CHROMIUM], True),
        ("EDNS without a word of it", [], False),
        ("an extended error with a text", [(15, b"\0\0x")], False),
        ("an extended error of another code", [(15, b"\0\x0f")], False),
        ("an empty extended error", [(15, b"")], False),
        ("other options before it", [(10, b"12345678"), (12, bytes(20)), SDE], True),
    ],
)
def test_json_is_for_those_who_ask(
    how: str, options: list[tuple[int, bytes]], structured: bool, tmp_path: Path
) -> None:
    with rig(Upstream(), portal_url=PORTAL) as r:
        listing(r, tmp_path, config())
        reply, code, text = told(r, asking("0.example", *options))
        assert (code, records(reply)) == (16, [STOP_PAGE])
        if not structured:
            assert text == f"{numbered(0)} {PORTAL}", how
            return
        assert json.loads(text) == {
            "c": ["mailto:block@isp.example"],
            "j": "Authority of X, Gambling Act, 17/2026",
            "o": "Isp",
            "l": "de",
            "fdbs": [{"db": "stop.isp.example", "id": numbered(0)}],
        }, how
        assert text == json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":")), "it is minified"
        over_tcp = r.ask_stream(asking("0.example", *options))
        assert isinstance(over_tcp, bytes)
        assert text.encode() in over_tcp


def test_who_has_no_edns_gets_no_extended_error(tmp_path: Path) -> None:
    with rig(Upstream()) as r:
        listing(r, tmp_path, config())
        reply, code, _ = told(r, dns.message.make_query("0.example", "A").to_wire())
        assert (code, records(reply)) == (None, [STOP_PAGE])


@pytest.mark.parametrize(
    ("reason", "subs"),
    [
        ("censored", [None, None, None]),
        ("blocked", [5, 1, 2]),
        ("filtered", [None, 1, 2]),
    ],
)
def test_a_sub_error_goes_with_its_reason_and_never_with_censored(
    reason: str, subs: list[int | None], tmp_path: Path
) -> None:
    with rig(Upstream()) as r:
        listing(r, tmp_path, config(reason=reason), ["gambling", "malware", "phishing"])
        for at, sub in enumerate(subs):
            _, code, text = told(r, asking(f"{at}.example", SDE))
            assert (code, json.loads(text).get("s")) == (EDE[reason], sub)


def test_a_list_without_a_reason_says_nothing_to_anybody(tmp_path: Path) -> None:
    with rig(Upstream()) as r:
        listing(r, tmp_path, config(reason="none"))
        assert told(r, asking("0.example", SDE))[1] is None


def test_what_does_not_fit_goes_in_the_draft_s_order_and_never_into_tc(tmp_path: Path) -> None:
    """First justification and organization, then the whole text."""
    with rig(Upstream()) as r:
        listing(r, tmp_path, config(), law="x" * 400)
        seen = []
        for payload in (1232, 512):
            reply, code, text = told(r, asking("0.example", SDE, payload=payload))
            assert not reply.flags & dns.flags.TC
            assert code == 16
            seen.append(set(json.loads(text)))
        assert seen == [{"c", "j", "o", "l", "fdbs"}, {"c", "fdbs"}]
    with rig(Upstream()) as r:
        listing(r, tmp_path, config(), law="x" * 400)
        long_name = ".".join(["a" * 60] * 3 + ["0.example"])
        given: list[dns.edns.Option] = [dns.edns.GenericOption(dns.edns.OptionType.make(26), b"")]
        question = dns.message.make_query(long_name, "SVCB", use_edns=0, payload=512, options=given).to_wire()
        reply, code, text = told(r, question)
        assert (bool(reply.flags & dns.flags.TC), code, set(json.loads(text))) == (False, 16, {"c", "fdbs"})


@pytest.mark.parametrize(
    ("explained", "rcode", "found"),
    [("stop-page", "NOERROR", [STOP_PAGE]), ("nodata", "NOERROR", []), ("nxdomain", "NXDOMAIN", [])],
)
def test_what_such_a_client_gets_is_a_setting_that_changes_nothing_for_others(
    explained: str, rcode: str, found: list[str], tmp_path: Path
) -> None:
    with rig(Upstream()) as r:
        listing(r, tmp_path, config(explained=explained))
        reply, code, text = told(r, asking("0.example", SDE))
        assert (dns.rcode.to_text(reply.rcode()), records(reply), code) == (rcode, found, 16)
        assert json.loads(text)["fdbs"]
        assert records(told(r, asking("0.example"))[0]) == [STOP_PAGE]
        assert (r.count("blocked"), r.count("blocked_stop_page")) == (2, 2 if explained == "stop-page" else 1)


def test_the_setting_replaces_the_stop_page_alone(tmp_path: Path) -> None:
    with rig(Upstream()) as r:
        listing(r, tmp_path, config(action="refused", explained="nodata"))
        assert told(r, asking("0.example", SDE))[0].rcode() == dns.rcode.REFUSED


def test_a_list_that_explains_itself_in_text_does_so_to_everybody(tmp_path: Path) -> None:
    with rig(Upstream(), portal_url=PORTAL) as r:
        listing(r, tmp_path, config(explain="text"))
        assert told(r, asking("0.example", SDE))[2] == f"{numbered(0)} {PORTAL}"


def test_names_that_an_answer_leads_to_are_explained_the_same_way(tmp_path: Path) -> None:
    upstream = Upstream()
    with rig(upstream) as r:
        listing(r, tmp_path, config())
        r.send(asking("alias.test", SDE))
        message, source = upstream.take()
        reply = dns.message.make_response(dns.message.from_wire(bytes(message.pack())))
        reply.answer.append(dns.rrset.from_text("alias.test.", 60, "IN", "CNAME", "0.example."))
        reply.answer.append(dns.rrset.from_text("0.example.", 60, "IN", "A", "198.51.100.7"))
        upstream.say(reply.to_wire(), source)
        answered = dns.message.from_wire(bytes(r.until_answered().pack()))
        (error,) = [option for option in answered.options if isinstance(option, dns.edns.EDEOption)]
        assert json.loads(error.text or "")["fdbs"] == [{"db": "stop.isp.example", "id": numbered(0)}]


def test_an_upstream_s_text_passes_unchanged_also_from_the_cache_and_forged_answer_never(tmp_path: Path) -> None:
    """What an upstream says is its own. Texts above 512 octets were lost in the cache."""
    upstream = Upstream()
    text = json.dumps({"c": ["mailto:a@b.example"], "j": "j" * 700}, separators=(",", ":"))
    with rig(upstream) as r:
        r.send(asking("filtered.test"))
        message, source = upstream.take()
        reply = dns.message.make_response(dns.message.from_wire(bytes(message.pack())))
        reply.set_rcode(dns.rcode.NXDOMAIN)
        reply.authority.append(dns.rrset.from_text("test.", 60, "IN", "SOA", "a. b. 1 2 3 4 60"))
        said: list[dns.edns.Option] = [
            dns.edns.EDEOption(dns.edns.EDECode.FILTERED, text),
            dns.edns.EDEOption(dns.edns.EDECode.FORGED_ANSWER, "forged"),
        ]
        reply.use_edns(0, payload=1232, options=said)
        upstream.say(reply.to_wire(), source)
        first = dns.message.from_wire(bytes(r.until_answered().pack()))
        for options, codes in (([], [17, 4]), ([SDE], [17]), ([OF_CHROMIUM], [17])):
            r.send(asking("filtered.test", *options))
            cached = dns.message.from_wire(r.client.recv(65535))
            errors = [option for option in cached.options if isinstance(option, dns.edns.EDEOption)]
            assert [error.code for error in errors] == codes
            assert errors[0].text == text
        assert [option.code for option in first.options if isinstance(option, dns.edns.EDEOption)] == [17, 4]
        assert upstream.waiting() == []


@pytest.mark.parametrize(
    ("contact", "uri"),
    [
        ("block@isp.example", "mailto:block@isp.example"),
        ("+49 (30) 123-45", "tel:+49-30-123-45"),
        ("mailto:block@isp.example", "mailto:block@isp.example"),
        ("tel:+49-30-12345", "tel:+49-30-12345"),
        ("tel:112", None),
        ("mailto:+49 30 12345", None),
        ("https://block@isp.example/", None),
        ("https://isp.example/help", None),
        ("ask us", None),
        ("", None),
    ],
)
def test_contacts_are_mail_and_telephone_alone(contact: str, uri: str | None) -> None:
    assert contact_uri(contact) == uri


def test_without_contact_and_justification_a_client_still_finds_the_entry(tmp_path: Path) -> None:
    bare = config().model_copy(update={"provider": Config.model_fields["provider"].default})
    with rig(Upstream()) as r:
        listing(r, tmp_path, bare)
        _, _, text = told(r, asking("0.example", SDE, payload=512))
        assert json.loads(text)["fdbs"] == [{"db": "stop.isp.example", "id": numbered(0)}]
    assert TEMPLATE.format(id=numbered(0)) == f"/?name={numbered(0)}"
