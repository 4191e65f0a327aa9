"""Resolvers as upstreams over TLS: real programs, asked by a whole host for clients of datagrams and of streams."""

from __future__ import annotations

import contextlib
import socket
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.rigs.certificates import NAME, Files, made
from tests.rigs.dns_host import Host, ask_tcp, ask_udp, free_port, play, question, running, wait_until
from tests.rigs.program import program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    Resolver = Callable[[Path, int, Files], AbstractContextManager[object]]

A, NOERROR, SERVFAIL = 1, 0, 2
FOUND = bytes([198, 51, 100, 7])


def unbound(folder: Path, port: int, files: Files) -> AbstractContextManager[object]:
    (folder / "unbound.conf").write_text(f"""
server:
    interface: 127.0.0.1@{port}
    tls-port: {port}
    tls-service-pem: "{files.certificate}"
    tls-service-key: "{files.key}"
    username: ""
    chroot: ""
    directory: "{folder}"
    pidfile: ""
    use-syslog: no
    module-config: "iterator"
    local-zone: "." redirect
    local-data: ". A 198.51.100.7"
    local-data: ". NS a."
remote-control:
    control-enable: no
""")
    return program(folder, "unbound", "-d", "-c", folder / "unbound.conf")


def bind(folder: Path, port: int, files: Files) -> AbstractContextManager[object]:
    zone = "$TTL 300\n@ SOA a. b. 1 3600 600 86400 300\n@ NS a.\n* A 198.51.100.7\n"
    (folder / "good.zone").write_text(zone)
    (folder / "root.zone").write_text("$TTL 300\n. SOA a. b. 1 3600 600 86400 300\n. NS a.\na. A 127.0.0.1\n")
    (folder / "named.conf").write_text(f"""
        tls own {{ cert-file "{files.certificate}"; key-file "{files.key}"; }};
        options {{ directory "{folder}"; listen-on port {port} tls own {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
            pid-file none; session-keyfile none; recursion yes; dnssec-validation no; }};
        controls {{ }};
        zone "." {{ type primary; file "root.zone"; }};
        zone "good.example" {{ type primary; file "good.zone"; }};
    """)
    return program(folder, "named", "-g", "-c", folder / "named.conf")


def dnsdist(folder: Path, port: int, files: Files) -> AbstractContextManager[object]:
    (folder / "dnsdist.conf").write_text(f"""
        setLocal("127.0.0.1:{free_port()}")
        addTLSLocal("127.0.0.1:{port}", "{files.certificate}", "{files.key}")
        addAction(QTypeRule(DNSQType.A), SpoofAction("198.51.100.7"))
        addAction(AllRule(), RCodeAction(DNSRCode.NOERROR))
    """)
    return program(folder, "dnsdist", "--supervised", "--disable-syslog", "-C", folder / "dnsdist.conf")


def kresd(folder: Path, port: int, files: Files) -> AbstractContextManager[object]:
    (folder / "kresd.conf").write_text(f"""
net.tls('{files.certificate}', '{files.key}')
net.listen('127.0.0.1', {port}, {{ kind = 'tls' }})
trust_anchors.remove('.')
cache.size = 10 * MB
policy.add(policy.all(policy.ANSWER({{ [kres.type.A] = {{ rdata = kres.str2ip('198.51.100.7'), ttl = 60 }} }})))
""")
    return program(folder, "kresd", "-n", "-c", folder / "kresd.conf", folder)


def over_tls(port: int, **tls: Any) -> dict[str, Any]:
    return {"address": f"127.0.0.1:{port}", "tls": {name: str(value) for name, value in tls.items()}}


@contextlib.contextmanager
def asking(folder: Path, *upstreams: object, patience: float = 2.0) -> Iterator[Host]:
    limits = {"patience": f"{patience}s", "upstream_timeout": f"{patience / 2}s"}
    dns = {"upstreams": list(upstreams), "limits": limits}
    with running(Host(folder / "host", [], more={"dns": dns})) as host:
        yield host


def listens(port: int) -> bool:
    with socket.socket() as trying:
        return trying.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.needs("unbound", "named", "dnsdist", "kresd")
def test_resolvers_over_tls_serve_datagrams_and_streams_and_each_takes_over_from_the_one_before(tmp_path: Path) -> None:
    files = made(tmp_path / "tls")
    resolvers: tuple[Resolver, ...] = (unbound, bind, dnsdist, kresd)
    ports = [free_port() for _ in resolvers]

    async def scene(of: str) -> None:
        for ask, way in ((ask_udp, "udp"), (ask_tcp, "tcp")):
            questions = [question(n, f"{of}-{way}{n}.good.example", A, edns=1232) for n in range(100)]
            answers = await ask(host.address, questions)
            assert {(answer[3] & 15, FOUND in answer) for answer in answers} == {(NOERROR, True)}, (of, way)

    def in_use(number: int) -> bool:
        states = [one["state"] for one in host.said()[0]["upstreams"]]
        return states[: number + 1] == ["down"] * number + ["up"]

    with contextlib.ExitStack() as stack:
        run = []
        for resolver, port in zip(resolvers, ports, strict=True):
            folder = tmp_path / resolver.__name__
            folder.mkdir()
            run.append(stack.enter_context(contextlib.ExitStack()))
            run[-1].enter_context(resolver(folder, port, files))
        for resolver, port in zip(resolvers, ports, strict=True):
            wait_until(partial(listens, port), f"{resolver.__name__} listens")
        upstreams = [over_tls(port, name=NAME, ca=files.root) for port in ports]
        host = stack.enter_context(asking(tmp_path, *upstreams, patience=20.0))
        for number, resolver in enumerate(resolvers):
            play(partial(scene, resolver.__name__))
            wait_until(partial(in_use, number), f"{resolver.__name__} is used")
            run[number].close()
        assert host.counters()["answered_servfail"] == 0


@contextlib.contextmanager
def recording() -> Iterator[tuple[int, list[bytes]]]:
    """What comes to a port in clear, by datagram and by stream. It answers nothing that is TLS."""
    heard: list[bytes] = []
    port = free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.create_server(("127.0.0.1", port)) as tcp:
        udp.bind(("127.0.0.1", port))

        def datagrams() -> None:
            with contextlib.suppress(OSError):
                while True:
                    heard.append(udp.recv(4096))

        def streams() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = tcp.accept()
                    with connection, contextlib.suppress(OSError):
                        heard.append(connection.recv(4096))
                        connection.sendall(b"\0\x0c" + bytes(12))

        for one in (datagrams, streams):
            threading.Thread(target=one, daemon=True).start()
        yield port, heard


def test_where_nobody_proves_anything_no_question_leaves_and_the_reason_is_shown(tmp_path: Path) -> None:
    async def scene() -> None:
        for ask, name in ((ask_udp, "secret.example"), (ask_tcp, "secret.test")):
            (answer,) = await ask(host.address, [question(1, name, A, edns=1232)])
            assert answer[3] & 15 == SERVFAIL

    files = made(tmp_path / "tls")
    with recording() as (port, heard), asking(tmp_path, over_tls(port, name=NAME, ca=files.root)) as host:
        play(scene)
        wait_until(lambda: host.said()[0]["upstreams"][0]["reason"].startswith("not proven: no TLS handshake"), "why")
        assert heard
        assert {said[:1] for said in heard} == {b"\x16"}, "handshakes alone, and no datagram"
        assert not any(b"secret" in said for said in heard)
