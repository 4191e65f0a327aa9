"""A configuration: what it may say, and that one look shows everything that is wrong with it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from resolver.base.proven import Proof
from resolver.config.reader import Problem
from resolver.config.schema import Config, ConfigError, Endpoint, load, locate
from resolver.log.note import ED25519, Signer
from tests.rigs.config_file import write

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """
state_dir: /var/lib/stopsign
run_dir: /run/stopsign
dns:
  listen: ["0.0.0.0:53", "[::]:53"]
  upstreams: ["127.0.0.1:5335", "9.9.9.9"]
  allow_clients: ["10.0.0.0/8", "2001:db8::/32"]
  cache: {size: 256MiB}
stop_page:
  listen: ["0.0.0.0:80"]
  ipv4: 192.0.2.66
  ipv6: "2001:db8::66"
portal:
  listen: ["127.0.0.1:8080"]
  url: "https://stop.isp.example"
  database: "sqlite:///var/lib/stopsign/portal.db"
lists:
  - name: gambling
    repository: "https://lists.regulator.example/"
    trusted_root: roots/gambling.json
    refresh: 5m
    caps: {update: {number: 100, share: 10%}}
views:
  - {name: youth, clients: ["10.1.0.0/16"], lists: [gambling]}
"""


PIN = "q" * 43 + "="


def test_an_upstream_over_tls_has_a_port_of_its_own_and_what_it_must_prove(tmp_path: Path) -> None:
    new = f"{{address: 9.9.9.1, tls: {{name: Dns.Example, ca: roots.pem, pins: [{PIN}, sha256/{PIN}]}}}}"
    first, second = load(write(tmp_path, changed('"127.0.0.1:5335"', new))).upstreams
    assert (str(first), str(second), second.proof) == ("9.9.9.1:853", "9.9.9.9:53", None)
    assert first.proof == Proof("dns.example", tmp_path / "roots.pem", frozenset({base64.b64decode(PIN)}))


def mistakes(folder: Path, text: str) -> list[str]:
    """Every problem, without the folder."""
    with pytest.raises(ConfigError) as caught:
        load(write(folder, text))
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def test_a_good_configuration_is_typed_values(tmp_path: Path) -> None:
    config = load(write(tmp_path, GOOD))
    assert config.require_dns().listen == [Endpoint("0.0.0.0", 53), Endpoint("::", 53)]
    assert list(map(str, config.upstreams)) == ["127.0.0.1:5335", "9.9.9.9:53"]
    assert config.require_dns().cache.size == 256 << 20
    assert config.lists[0].refresh == 300.0
    assert config.lists[0].caps.update.share == pytest.approx(0.1)
    assert config.lists[0].trusted_root == tmp_path / "roots/gambling.json"
    assert config.database_url == "sqlite:////var/lib/stopsign/portal.db"
    assert config.provider_name == "stop.isp.example"
    assert str(config.places.current) == "/run/stopsign/current.list"


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    config = load(write(tmp_path, changed("/var/lib/stopsign\n", "state\n")))
    assert config.state_dir == tmp_path / "state"
    assert config.places.list("gambling").applied == tmp_path / "state/lists/gambling/applied"


def test_everything_that_is_wrong_stands_in_one_report_in_the_order_of_the_lines(tmp_path: Path) -> None:
    text = """\
state_dir: state
run_dir: run
dns:
  listen: ["127.0.0.1:70000"]
  upstreams: []
  allow_clients: ["10.0.0.1/8"]
  cache: {size: 256}
  wrokers: 3
  workers: 0
stop_page:
  ipv4: "2001:db8::1"
portal:
  url: stop.isp.example
lists:
  - name: Gambling
    trusted_root: root.json
    repository: published
    refresh: 5
    action: drop
views:
  - {name: youth, clients: [everyone], lists: [adult]}
"""
    assert mistakes(tmp_path, text) == [
        "stopsign.yaml:4: dns.listen[0]: '70000' is not a port; 0 to 65535 would be right",
        "stopsign.yaml:5: dns.upstreams: is empty; at least 1 would be right",
        "stopsign.yaml:6: dns.allow_clients[0]: '10.0.0.1/8' is not a prefix; 10.0.0.0/8 would be right",
        "stopsign.yaml:7: dns.cache.size: 256 needs a number with a unit (KiB, MiB, GiB, B); 256MiB would be right",
        "stopsign.yaml:8: dns.wrokers: is not a key here; workers would be right",
        "stopsign.yaml:9: dns.workers: 0 is not a number of workers; auto (one a processor) or 1 to 1024 would be right",  # noqa: E501
        "stopsign.yaml:11: stop_page.ipv4: '2001:db8::1' is not an IPv4 address; 192.0.2.66 would be right",
        "stopsign.yaml:13: portal.url: 'stop.isp.example' is not a web address; https://stop.isp.example would be right",  # noqa: E501
        (
            "stopsign.yaml:15: lists[0].name: 'Gambling' is not a short name; lower case letters, digits and hyphens"
            " would be right"
        ),
        "stopsign.yaml:18: lists[0].refresh: 5 needs a number with a unit (ms, s, m, h, d); 5m would be right",
        (
            "stopsign.yaml:19: lists[0].action: 'drop' is not one of 'stop-page', 'nxdomain', 'nodata', 'refused' or"
            " 'monitor'"
        ),
        "stopsign.yaml:21: views[0].clients[0]: 'everyone' is not a prefix; 10.0.0.0/8 or 2001:db8::/32 would be right",
        "stopsign.yaml:21: views[0].lists[0]: 'adult' is not one of the lists (Gambling)",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("stop_page:", "dns:", "9: dns: is given twice, first in line 4; once would be right"),
        ("run_dir: /run/stopsign\n", "", "1: run_dir: is missing"),
        ("/var/lib/stopsign\n", "/run/stopsign/\n", "state_dir: is in run_dir (/run/stopsign), which a reboot empties"),
        ("portal:", "log: {dir: /run/stopsign/log}\nportal:", "log.dir: is in run_dir (/run/stopsign), which a reboot"),
        ("  url:", "   url:", "15: is not YAML: while parsing a block mapping"),
        ("[gambling]", "[gambling", "is not YAML"),
        ("127.0.0.1:5335", "127.0.0.1:53", "dns.upstreams[0]: 127.0.0.1:53 is where Stopsign itself listens"),
        ('"127.0.0.1:5335"', "{address: 9.9.9.1, tls: {}}", "dns.upstreams[0].tls: proves nothing; the name in its certificate, or pins of its key, would be right"),  # noqa: E501
        ('"127.0.0.1:5335"', "{address: 9.9.9.1, tls: {pins: [abc=]}}", "dns.upstreams[0].tls.pins[0]: 'abc=' is no pin; the SHA-256 of a public key in Base64"),  # noqa: E501
        ('"127.0.0.1:5335"', f"{{address: 9.9.9.1, tls: {{ca: a.pem, pins: [{PIN}]}}}}", "dns.upstreams[0].tls: has ca without a name"),  # noqa: E501
        ('"127.0.0.1:5335"', "{tls: {name: dns.example}}", "dns.upstreams[0].address: is missing"),
        ('"127.0.0.1:5335"', "{address: 9.9.9.1:0, tls: {name: dns.example}}", "dns.upstreams[0].address: '9.9.9.1:0' has no port to ask; 192.0.2.1:853 would be right"),  # noqa: E501
        ('"127.0.0.1:5335"', "{address: 9.9.9.1, tls: {names: [dns.example]}}", "dns.upstreams[0].tls.names: is not a key here; name would be right"),  # noqa: E501
        ('["127.0.0.1:5335", "9.9.9.9"]', '[{address: 9.9.9.1, tls: {name: dns.example}}]\n  proxy_protocol: {send_to: ["9.9.9.1:853"]}', "send_to[0]: 9.9.9.1:853 is asked over TLS, where no header goes"),  # noqa: E501
        ("127.0.0.1:8080", "0.0.0.0:80", "portal.listen[0]: 0.0.0.0:80 is already taken by stop_page.listen"),
        ('"[::]:53"', '"0.0.0.0:53"', "dns.listen[1]: 0.0.0.0:53 is already taken by dns.listen"),
        ("    trusted_root: roots/gambling.json\n", "", "lists[0].trusted_root: is missing; either trusted_root or"),
        ("https://stop", "https://me:secret@stop", "portal.url: 'stop.isp.example' carries a user name or password"),
        ("sqlite:///var/lib/stopsign/portal.db", "postgresql://u:p@db/x", "portal.database: carries a password"),
        ("portal:", "provider: {country: Germany}\nportal:", "provider.country: 'Germany' is not the code of a country (ISO 3166); DE would be right"),  # noqa: E501
        ("portal:", "log: {origin: a log}\nportal:", "log.origin: 'a log' is not a log's name"),
        ("portal:", "rpz: {zones: [{ttl: 0s}]}\nportal:", "rpz.zones[0].ttl: 0s is too small; at least 1s would be right"),  # noqa: E501
        ("portal:", "rpz: {transfers: 300}\nportal:", "rpz.transfers: 300 is too large; at most 256 would be right"),
        ("portal:", "rpz: {transfers: '0'}\nportal:", "rpz.transfers: 0 is too small; at least 1 would be right"),
        ("10%", "0.1", "caps.update.share: 0.1 needs a number with a unit (%); 10% would be right"),
        ("10%", "110%", "'110%' is more than everything"),
        ("256MiB", "-1MiB", "dns.cache.size: '-1MiB' needs a number with a unit"),
        ("state_dir: /var/lib/stopsign", "state_dir: [a]", "state_dir: ['a'] is not a path"),
        ("dns:", "dns: &self\n  cache: *self\n  more:", "contains itself"),
        ("[gambling]}", "[gambling]}\n  - 3", "views[1]: is not a set of keys with values; {name: …, clients: …, lists: …} would be right"),  # noqa: E501
        ("{size: 256MiB}", "256MiB", "dns.cache: is not a set of keys with values; {size: …} would be right"),
        ("portal:", "guards: [2026-01-01]\nportal:", "guards: is not a set of keys with values; {protected: …} would be right"),  # noqa: E501
        ("[gambling]}", '[gambling]}\n  - {name: adult, clients: ["10.0.0.0/8", "10.1.0.0/16"], lists: []}', "stopsign.yaml:25: views[1].clients[1]: 10.1.0.0/16 is also views[0].clients[0], and a client has one view"),  # noqa: E501
        ('["10.1.0.0/16"]', '["::ffff:10.1.0.0/112"]', "views[0].clients[0]: ::ffff:10.1.0.0/112 is IPv4 in IPv6 form, which no client has; 10.1.0.0/16 would be right"),  # noqa: E501
        ('["10.1.0.0/16"]', '["10.1.0.1", "10.1.0.1/32"]', "views[0].clients[1]: 10.1.0.1/32 is also views[0].clients[0]"),  # noqa: E501
        ('["10.1.0.0/16"]', "10.1.0.0/16", "views[0].clients: is not a list"),
        ("https://lists.regulator.example/", "dns://192.0.2.53/rpz.example", "lists[0].repository: a zone is not signed as a list is; bridge would be right"),  # noqa: E501
        ("https://lists.regulator.example/", "dns://192.0.2.53", "is not a zone at its primary; dns://192.0.2.53/rpz.example would be right"),  # noqa: E501
        ("https://lists.regulator.example/", "dns://u:p@192.0.2.53:x/a..b", "is not a zone at its primary"),
        ("refresh: 5m", "bridge: {fetch: {tsig: k}}", "lists[0].bridge.fetch.tsig: is for a zone (repository: dns://…)"),
        ("refresh: 5m", "on_expiry: hold", "lists[0].on_expiry: a signed entry's end is its issuer's word"),
        ("name: gambling\n", "name: gambling\n    approve_first: maybe\n", "'maybe' is not true or false"),
        ("refresh: 5m", "stage: canary", "lists[0].stage: canary needs a portal.database that the hosts share"),
        ("portal:", "stages: {stage: wave-2}\nportal:", "stages.stage: wave-2 needs a portal.database that the hosts"),
        ("portal:", "stages: {wave: 3}\nportal:", "stages.wave: is not a key here; wave_1 would be right"),
        ("[gambling]}", "[gambling]}\n  - {name: youth, clients: [], lists: []}", "views[1].name: 'youth' is also views[0]"),  # noqa: E501
    ],
)  # fmt: skip
def test_each_mistake_is_named_where_it_stands(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert any(expected in problem for problem in mistakes(tmp_path, changed(old, new))), mistakes(
        tmp_path, changed(old, new)
    )


def test_a_later_wave_needs_the_keys_of_the_hosts_before_it(tmp_path: Path) -> None:
    text = changed("sqlite:///var/lib/stopsign/portal.db", "postgresql://db/x")
    wrong = mistakes(tmp_path, text.replace("portal:", "stages: {stage: wave-1}\nportal:", 1))
    assert [one.partition(": ")[2] for one in wrong] == [
        "stages.stage: wave-1 believes the hosts before it by log.peers, which is missing"
    ]


@pytest.mark.parametrize("of_host", [True, False])
def test_a_bridged_list_waits_for_no_wave(tmp_path: Path, *, of_host: bool) -> None:
    bridge = (
        "bridge: {issuer: B, law: L, authority: A, order: '1', date: \"2026-11-01\", territory: DK, category: gambling}"
    )
    text = changed("    trusted_root: roots/gambling.json\n", "").replace("refresh: 5m", bridge, 1)
    text = text.replace("sqlite:///var/lib/stopsign/portal.db", "postgresql://db/x", 1)
    more = "stages: {stage: wave-2}\n" if of_host else ""
    key = Signer("stop.isp.example/log/north", ED25519, bytes(32)).verifier
    text = text.replace("portal:", f"{more}log: {{peers: [{key}]}}\nportal:", 1)
    staged = text if of_host else text.replace("category: gambling}", "category: gambling}\n    stage: wave-2", 1)
    (wrong,) = mistakes(tmp_path, staged)
    assert "lists[0].stage: would be wave-2, but each host makes a bridged list of its own" in wrong
    assert "at-once would be right" in wrong
    at_once = text.replace("category: gambling}", "category: gambling}\n    stage: at-once", 1)
    for right in (at_once, staged.replace("wave-2", "canary")):
        assert load(write(tmp_path, right)).lists[0].bridge is not None


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"\x00", b"a: !!python/object/apply:os.system [ls]", b"- 1", b"x"])
def test_bytes_that_are_no_configuration_are_refused_in_words(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "stopsign.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError):
        load(path)


def test_a_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml: cannot be read \(No such file or directory\)") as caught:
        load(tmp_path / "absent.yaml")
    assert str(caught.value.hint).startswith("--config FILE names another")


def test_a_directory_names_the_configuration_that_demo_made(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    assert locate(None, tmp_path) == locate(path, None)
    with pytest.raises(ConfigError, match="two configurations"):
        locate(path, tmp_path)


def test_the_schema_has_every_part_and_no_python_in_it() -> None:
    schema = Config.model_json_schema()
    assert set(schema["properties"]) == set(Config.model_fields)
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("127.0.0.1:53", "127.0.0.1", 53), ("[::1]:53", "::1", 53), ("[2001:DB8::1]:0", "2001:db8::1", 0)],
)
def test_an_endpoint_is_written_as_it_is_read(text: str, host: str, port: int) -> None:
    endpoint = Endpoint.parse(text)
    assert (endpoint.host, endpoint.port) == (host, port)
    assert Endpoint.parse(str(endpoint)) == endpoint


@pytest.mark.parametrize(
    "text", ["::1:53", "localhost:53", "127.0.0.1", "127.0.0.1:-1", "[127.0.0.1:53", "", ":53", 53]
)
def test_what_is_no_endpoint_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="would be right"):
        Endpoint.parse(text)


def test_a_report_of_mistakes_begins_with_one_and_its_warnings_come_last(tmp_path: Path) -> None:
    """Its first line follows `stopsign: error:`."""
    file = tmp_path / "x.yaml"
    found = [Problem(1, "dns", "is open", file, "warning"), Problem(2, "", "is missing", file)]
    error = ConfigError(found)
    assert str(error) == f"{file}:2: is missing\n{file}:1: dns: is open (a warning)"
    assert list(error.problems) == found
