"""Zone transfers, asked for by dnspython: who gets them, what is in them, and how a zone moves on."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
import time
from typing import TYPE_CHECKING

import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.xfr
import pytest

from resolver.config.schema import load
from resolver.policy import exceptions
from resolver.rpz import keys
from resolver.rpz.primary import Primary
from resolver.rpz.zone import RpzError
from tests.rigs.dns_host import free_port, wait_until
from tests.rigs.list_documents import entry
from tests.rigs.resolvers import Outside, unbound
from tests.rigs.rpz_world import NAMES, ORIGIN, STOP, World, listed, running

if TYPE_CHECKING:
    from pathlib import Path


def state(world: World) -> str:
    one = world.said()["zones"][0]["secondaries"][0]
    return f"has serial {one['serial']} ({one['by']})"


def wait_for_serial_after(world: World, before: int) -> None:
    wait_until(lambda: world.serial() > before, "there is no new serial")


def test_a_signed_transfer_is_the_exported_zone_and_moves_on_by_what_changed(world: World) -> None:
    zone = world.transfer(key=world.key())
    assert len(zone.nodes) == 1 + 2 * len(NAMES)
    assert zone == world.exported()
    first = world.serial()
    for number in range(3):
        before = world.serial()
        world.activate(listed([*NAMES[number + 1 :], f"new-{number}.test"], 10_000 * (number + 1)))
        wait_for_serial_after(world, before)
    world.transfer(zone, key=world.key())
    wait_until(lambda: state(world) == f"has serial {world.serial()} (IXFR)", "it was not an IXFR")
    assert zone == world.exported()
    assert zone.get_node("*.casino-1.test") is None
    assert world.serial() > first


def test_serials_grow_over_a_restart_and_what_changed_meanwhile_is_still_incremental(world: World) -> None:
    zone, first = world.transfer(key=world.key()), world.serial()
    world.stop()
    (world.run_dir / "rpz" / "said.json").unlink()
    world.start()
    assert world.serial() == first
    world.stop()
    (world.run_dir / "rpz" / "said.json").unlink()
    world.activate(listed(NAMES[10:]))
    world.start()
    assert world.serial() > first
    world.transfer(zone, key=world.key())
    wait_until(lambda: state(world).endswith("(IXFR)"), "it was not an IXFR")
    assert zone == world.exported()


def test_an_entry_leaves_at_its_end_and_an_override_at_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    stay = [entry("b.soon.test", 3, "exact"), entry("kept.test", 2)]
    world.activate(stay)
    with running(world):
        before, end = world.serial(), time.time() + 10
        lapsing = entry("soon.test", 1, expires=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(end)))
        world.activate([*stay, lapsing])
        wait_for_serial_after(world, before)
        zone = world.transfer(key=world.key())
        assert {str(name) for name in zone.nodes} == {"@", "kept.test", "*.kept.test", "soon.test", "*.soon.test"}
        before = world.serial()
        wait_for_serial_after(world, before)
        assert time.time() >= int(end)
        world.transfer(zone, key=world.key())
        assert {str(name) for name in zone.nodes} == {"@", "kept.test", "*.kept.test", "b.soon.test"}
        before = world.serial()
        world.stopsign("bypass", "on", "www.kept.test", "--config", str(world.config))
        wait_for_serial_after(world, before)
        world.transfer(zone, key=world.key())
        assert zone == world.exported()
        assert str(zone.get_rdataset("www.kept.test", "CNAME")[0]) == "rpz-passthru."  # type: ignore[index]


def test_a_bypass_leaves_the_zone_at_its_end(tmp_path: Path) -> None:
    world, now = World(tmp_path), int(time.time())
    world.activate([entry("kept.test", 2)])
    config = load(world.config)
    exceptions.change(config.places, lambda live: live.on(exceptions.Bypass("all", "", now, now + 60, "somebody")))

    async def scene() -> list[int]:
        primary, owners = Primary(config), []
        (kept,) = primary._zones.values()
        for later in (0, 59, 61, 0):
            await primary.look(now + later)
            assert kept.written is not None
            owners.append(kept.written.owners)
        return owners

    assert asyncio.run(scene()) == [0, 0, 2, 0], "at last by a clock that was set back"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('// made by hand\nkey "a" { algorithm hmac-sha256; secret "ab//cdefghijklmnopqrstu+"; };\n', None),
        ("key a { algorithm hmac-md5; secret abcdefghijklmnopqrstuvwx; };", "hmac-md5 is too weak"),
        ('key "a" { algorithm hmac-sha256; secret "abcd"; };', "shorter than 128 bits"),
        ("secret abcd", "is not a TSIG key"),
    ],
    ids=["good", "md5", "short", "no-key"],
)
def test_a_key_file_is_read_or_refused_in_a_sentence(text: str, wrong: str | None, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o640)
    if wrong is None:
        assert keys.read(path).name == dns.name.from_text("a")
    else:
        with pytest.raises(RpzError, match=wrong):
            keys.read(path)
    path.chmod(0o644)
    with pytest.raises(RpzError, match="can be read by everybody"):
        keys.read(path)


def test_a_state_directory_that_cannot_be_written_keeps_nothing_in_force(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.activate(listed(NAMES))
    with running(world):
        zone, first = world.transfer(key=world.key()), world.serial()
        folder = tmp_path / "state" / "rpz"
        folder.rename(tmp_path / "elsewhere")
        folder.write_text("in the way")
        world.activate(listed(NAMES[1:]))
        wait_for_serial_after(world, first)
        zone = world.transfer(zone, key=world.key())
        assert zone.get_node("casino-0.test") is None
        assert any(str(folder) in alarm for alarm in world.said()["alarms"])


def test_an_unsigned_or_wrongly_signed_request_gets_nothing(world: World) -> None:
    right = world.key()
    wrong = dns.tsig.Key(right.name, base64.b64encode(b"x" * 32).decode(), right.algorithm)
    unknown = dns.tsig.Key("nobody", base64.b64encode(b"x" * 32).decode(), right.algorithm)
    for qtype in ("AXFR", "IXFR", "SOA"):
        refused = world.ask(dns.message.make_query(ORIGIN, qtype))
        assert (refused.rcode(), refused.answer, refused.authority) == (dns.rcode.REFUSED, [], [])
    for key, error in ((wrong, dns.tsig.PeerBadSignature), (unknown, dns.tsig.PeerBadKey)):
        query = dns.message.make_query(ORIGIN, "AXFR")
        query.use_tsig(key)
        with pytest.raises(error):
            world.ask(query)
        with socket.create_connection(("127.0.0.1", world.port), timeout=30) as one:
            dns.query.send_tcp(one, query.to_wire())
            size = int.from_bytes(one.recv(2, socket.MSG_WAITALL))
            told = dns.message.from_wire(one.recv(size, socket.MSG_WAITALL), keyring=False)
        assert (told.rcode(), told.answer, told.authority) == (dns.rcode.NOTAUTH, [], [])
    # the right key for a zone that is not served
    query = dns.message.make_query("other.zone", "AXFR")
    query.use_tsig(right)
    assert world.ask(query).rcode() == dns.rcode.REFUSED
    # AXFR over UDP is no transfer (RFC 5936, 4.2)
    query = dns.message.make_query(ORIGIN, "AXFR")
    query.use_tsig(right)
    assert dns.query.udp(query, "127.0.0.1", port=world.port, timeout=30).rcode() == dns.rcode.REFUSED
    # a stranger's address hears nothing at all, whether it asks or not
    with socket.create_connection(("127.0.0.1", world.port), timeout=30, source_address=("127.0.0.2", 0)) as one:
        assert one.recv(2) == b""


def test_transfer_over_tls_with_the_protocol_named_dot(tmp_path: Path) -> None:
    port = free_port()
    certificate, private_key = make_certificate(tmp_path)
    more = {"listen_tls": [f"127.0.0.1:{port}"], "certificate": str(certificate), "private_key": str(private_key)}
    world = World(tmp_path, more)
    world.activate(listed(NAMES[:5]))
    context = ssl.create_default_context(cafile=str(certificate))
    context.set_alpn_protocols(["dot"])
    with running(world), socket.create_connection(("127.0.0.1", port), timeout=30) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as one:
            assert (one.selected_alpn_protocol(), one.version()) == ("dot", "TLSv1.3")
            query = dns.message.make_query(ORIGIN, "AXFR")
            query.use_tsig(world.key())
            dns.query.send_tcp(one, query.to_wire())
            size = int.from_bytes(one.recv(2))
            data = b""
            while len(data) < size:
                data += one.recv(size - len(data))
            answer = dns.message.from_wire(data, keyring=query.keyring, request_mac=query.mac or b"", xfr=True)
        assert len(answer.answer) == 3 + 5 * 4
        old = ssl.create_default_context(cafile=str(certificate))
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with (
            socket.create_connection(("127.0.0.1", port), timeout=30) as again,
            pytest.raises(ssl.SSLError),
            old.wrap_socket(again, server_hostname="localhost"),
        ):
            pass


@pytest.mark.needs("unbound")
def test_unbound_which_has_no_tsig_transfers_over_tls(tmp_path: Path) -> None:
    port = free_port()
    certificate, private_key = make_certificate(tmp_path)
    more = {
        "listen_tls": [f"127.0.0.1:{port}"],
        "certificate": str(certificate),
        "private_key": str(private_key),
        "secondaries": [{"name": "unbound", "addresses": ["127.0.0.1/32"], "unsigned": True}],
    }
    world, outside = World(tmp_path, more), Outside()
    world.activate([entry("casino.bet", 1)])
    folder = tmp_path / "unbound"
    folder.mkdir()
    with running(world):
        resolver = unbound(world, folder, free_port(), outside.port)
        settings = (folder / "unbound.conf").read_text()
        settings = settings.replace(f"127.0.0.1@{world.port}", f"127.0.0.1@{port}#localhost")
        (folder / "unbound.conf").write_text(f'server:\n    tls-cert-bundle: "{certificate}"\n{settings}')
        resolver.start()
        try:
            resolver.wait("www.casino.bet", socket.inet_aton(STOP))
        finally:
            resolver.stop()


def test_a_notify_is_repeated_until_it_is_heard(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as secondary:
        secondary.bind(("127.0.0.1", 0))
        secondary.settimeout(30)
        told = f"127.0.0.1:{secondary.getsockname()[1]}"
        one = {"name": "one", "addresses": ["127.0.0.1/32"], "key": "secondary.key", "notify": [told]}
        world = World(tmp_path, {"secondaries": [one]})
        world.activate(listed(NAMES[:5]))
        with running(world):
            key = world.key()
            (first, _), (second, sender) = secondary.recvfrom(4096), secondary.recvfrom(4096)
            assert first[:2] == second[:2]
            notify = dns.message.from_wire(second, keyring={key.name: key})
            assert (notify.opcode(), notify.had_tsig) == (dns.opcode.NOTIFY, True)
            assert notify.answer[0][0].serial == world.serial()
            secondary.sendto(dns.message.make_response(notify).to_wire(), sender)
            world.activate(listed(NAMES[:6]))
            anew = dns.message.from_wire(secondary.recv(4096), keyring={key.name: key})
            while anew.id == notify.id:
                anew = dns.message.from_wire(secondary.recv(4096), keyring={key.name: key})
            assert anew.answer[0][0].serial > notify.answer[0][0].serial


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """For `localhost`, signed by itself."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private_key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private_key, hashes.SHA256())
    )
    paths = folder / "rpz.pem", folder / "rpz.private"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return paths
