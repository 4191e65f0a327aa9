"""`explain` for a name that passes and leads to one that is listed: what the workers do, in words."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from dnslib import CNAME, MX, QTYPE, RCODE, RR, A, DNSRecord

from blocklists import document
from resolver import _core
from resolver.cli.lists import explain as command
from resolver.config.schema import Config
from resolver.config.schema_dns import Canary, Encrypted
from resolver.policy import exceptions
from resolver.policy.explain import Leads, explain, leads_to
from tests.rigs.dns_host import PATIENCE, free_port
from tests.rigs.list_documents import entry
from tests.rigs.lists_world import settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from resolver._core import Source

LISTS = {"cut": "trim", "whole": "stop", "free": "relay"}
CHAIN = {"alias.example": "cut.example", "worse.example": "whole.example", "kept.example": "free.example"}


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Answers aliases with their target's address, and for other names that there is nothing. Returns its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        monkeypatch.setattr("resolver.base.dns_question.PATIENCE", PATIENCE)  # this thread may be held up
        threading.Thread(target=serve, args=(one,), daemon=True).start()
        yield int(one.getsockname()[1])


def serve(one: socket.socket) -> None:
    while True:
        try:
            data, client = one.recvfrom(4096)
        except OSError:
            return
        question = DNSRecord.parse(data)
        reply, name = question.reply(), str(question.q.qname).rstrip(".").lower()
        if question.q.qtype == QTYPE.MX and name == "mail.example":
            reply.add_answer(RR(name, QTYPE.MX, ttl=60, rdata=MX("cut.example")))
            reply.add_ar(RR("cut.example", QTYPE.A, ttl=60, rdata=A("198.51.100.7")))
        elif (target := CHAIN.get(name)) is not None:
            reply.add_answer(RR(name, QTYPE.CNAME, ttl=60, rdata=CNAME(target)))
            reply.add_answer(RR(target.upper(), QTYPE.A, ttl=60, rdata=A("198.51.100.7")))
        else:
            reply.header.rcode = RCODE.NXDOMAIN
        one.sendto(reply.pack(), client)


@pytest.fixture
def config(tmp_path: Path, upstream: int) -> Config:
    raw: dict[str, Any] = settings(tmp_path, **{name: {"aliases": aliases} for name, aliases in LISTS.items()})
    raw["dns"]["upstreams"] = [f"127.0.0.1:{upstream}"]
    raw["views"] = [{"name": "quiet", "clients": ["127.0.0.9"], "lists": ["free"]}]
    (tmp_path / "stopsign.yaml").write_text(json.dumps(raw))
    made = Config.model_validate(raw, context={"folder": str(tmp_path)})
    made.places.run_dir.mkdir()
    sources: list[Source] = []
    for number, source in enumerate(made.lists):
        name = source.name
        document.write(tmp_path / f"{name}.zst", [entry(f"{name}.example", number, expires="2099-01-01T00:00:00Z")])
        sources.append({
            "document": str(tmp_path / f"{name}.zst"), "action": "stop-page", "aliases": source.aliases, "ede": 0,
            "bases": [], "suspended": [],
        })  # fmt: skip
    about = [{"name": source.name, "version": 1} for source in made.lists]
    meta = {"generation": 1, "compiled": "2026-11-18T06:00:00Z", "lists": about}
    _core.compile(sources, made.places.current, json.dumps(meta).encode())
    return made


def said(config: Config, name: str, **more: Any) -> tuple[str, str]:
    found = explain(config, name, now=time.time(), leads_to=leads_to(config, name) or Leads(), **more)
    return found.verdict, found.why


def test_the_verdict_on_an_alias_is_what_the_target_s_list_says(config: Config) -> None:
    verdict, why = said(config, "alias.example")
    assert (verdict, why.split(",")[0]) == ("trimmed", "it leads to cut.example")
    assert "not listed itself" in why
    verdict, why = said(config, "worse.example")
    assert (verdict, "aliases: stop" in why) == ("stopped", True)
    verdict, why = said(config, "kept.example")
    assert (verdict, why.endswith("it leads to free.example, whose list has aliases: relay")) == ("not listed", True)
    assert said(config, "nothing.example") == ("not listed", "no entry at or above it")
    verdict, why = said(config, "mail.example")
    assert verdict == "not listed"
    assert why.endswith("; its answers come without additional records, since cut.example is listed")
    assert said(config, "alias.example", client="127.0.0.9")[0] == "not listed"
    assert said(config, "alias.example", client="192.0.2.1")[0] == "refused"


def test_names_that_stopsign_itself_answers_are_named_as_such(config: Config) -> None:
    assert config.dns is not None
    encrypted = Encrypted(name="dns.isp.example", certificate="/c", key="/k")  # type: ignore[arg-type]
    canaries: list[Canary] = ["use-application-dns.net"]
    config = config.model_copy(
        update={"dns": config.dns.model_copy(update={"canaries": canaries, "encrypted": encrypted})}
    )
    for name, why in (
        ("use-application-dns.net", "a canary of Firefox (dns.canaries): it does not exist here"),
        ("_dns.resolver.arpa", "resolver.arpa is this resolver's own zone"),
        ("resolver.arpa", "resolver.arpa is this resolver's own zone"),
        ("health.stopsign.invalid", "dns.health_name"),
    ):
        found = explain(config, name, now=time.time())
        assert (found.verdict, found.why.startswith(why)) == ("answered here", True), name
    for name in ("mask.icloud.com", "www.use-application-dns.net", "notresolver.arpa"):
        assert said(config, name)[0] == "not listed", name
    verdict, why = said(config, "dns.isp.example")
    assert (verdict, "RESINFO of it is answered here" in why) == ("not listed", True)
    assert said(config, "resolver.arpa", client="192.0.2.1")[0] == "refused"


def test_a_listed_name_is_stopped_though_it_is_one_that_stopsign_answers(config: Config) -> None:
    assert config.dns is not None
    config = config.model_copy(update={"dns": config.dns.model_copy(update={"health_name": "cut.example"})})
    assert explain(config, "cut.example", now=time.time()).verdict == "stopped"


def test_a_pass_for_the_target_lets_the_alias_pass_and_one_for_the_alias_does_not(config: Config) -> None:
    until = int(time.time()) + 3600
    for name, expected in (("cut.example", "not listed"), ("alias.example", "trimmed")):
        over = (exceptions.NameException(name, "exact", until),)
        exceptions.change(config.places, lambda before, over=over: before.with_overrides(over))  # type: ignore[misc]
        assert said(config, "alias.example")[0] == expected, name


def test_the_command_asks_the_first_upstream_and_says_so_where_that_is_silent(config: Config, tmp_path: Path) -> None:
    file = str(tmp_path / "stopsign.yaml")
    found = CliRunner().invoke(command, ["alias.example", "--config", file])
    assert found.exit_code == 0, found.output
    first, *rest = found.output.splitlines()
    assert first.startswith(
        "alias.example: trimmed: it leads to cut.example, on list cut with aliases: trim, reference "
    )
    assert "     aliases    trim: answers for other names come without this one's records" in rest
    nobody = free_port()
    raw = json.loads((tmp_path / "stopsign.yaml").read_text())
    raw["dns"]["upstreams"] = [f"127.0.0.1:{nobody}"]
    (tmp_path / "stopsign.yaml").write_text(json.dumps(raw))
    found = CliRunner().invoke(command, ["alias.example", "--config", file])
    assert "alias.example: not listed" in found.output
    assert f"whether it leads to a listed name is unknown: 127.0.0.1:{nobody} is silent" in found.output
