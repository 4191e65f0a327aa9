"""Real resolvers behind: what one client asks of them costs no other client anything."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import pytest

from tests.rigs.dns_host import (
    Host,
    ask_tcp,
    ask_udp,
    bound_sockets,
    free_port,
    play,
    question,
    running,
    wait_until,
    wire_name,
)
from tests.rigs.program import program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    Resolver = Callable[[Path, int, int], AbstractContextManager[object]]

A, TXT, MAILB = 1, 16, 253
RCODE, NOERROR, REFUSED, NOTIMP = 15, 0, 5, 4
LONG = " ".join(f'"{number:0200}"' for number in range(9))
ROOT = "$TTL 300\n. SOA a. b. 1 3600 600 86400 300\n. NS a.\na. A 127.0.0.1\ndead.example. NS a.\n"
GOOD = f"$TTL 300\n$ORIGIN good.example.\n@ SOA a. b. 1 3600 600 86400 300\n@ NS a.\n* A 198.51.100.7\n* TXT {LONG}\n"


def bind(folder: Path, port: int, dead: int) -> AbstractContextManager[object]:
    (folder / "named.conf").write_text(f"""
        options {{ directory "{folder}"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
            pid-file none; session-keyfile none; recursion yes; dnssec-validation no; minimal-responses yes; }};
        controls {{ }};
        zone "." {{ type primary; file "root.zone"; }};
        zone "good.example" {{ type primary; file "good.zone"; }};
        zone "dead.example" {{ type forward; forward only; forwarders {{ 127.0.0.1 port {dead}; }}; }};
    """)
    return program(folder, "named", "-g", "-c", folder / "named.conf")


def unbound(folder: Path, port: int, dead: int) -> AbstractContextManager[object]:
    (folder / "unbound.conf").write_text(f"""
server:
    interface: 127.0.0.1@{port}
    username: ""
    chroot: ""
    directory: "{folder}"
    pidfile: ""
    use-syslog: no
    num-threads: 1
    module-config: "iterator"
    do-not-query-localhost: no
    local-zone: "." transparent
    local-data: ". NS a."
    local-zone: "good.example" redirect
    local-data: "good.example A 198.51.100.7"
    local-data: 'good.example TXT {LONG}'
forward-zone:
    name: "dead.example"
    forward-addr: 127.0.0.1@{dead}
remote-control:
    control-enable: no
""")
    return program(folder, "unbound", "-d", "-c", folder / "unbound.conf")


def recursor(folder: Path, port: int, dead: int) -> AbstractContextManager[object]:
    (folder / "recursor").mkdir(exist_ok=True)
    return program(
        folder, "pdns_recursor", f"--config-dir={folder}/recursor", f"--socket-dir={folder}/recursor", "--daemon=no",
        "--threads=1", "--local-address=127.0.0.1", f"--local-port={port}", "--allow-from=127.0.0.0/8", "--dnssec=off",
        f"--auth-zones=.={folder}/root.zone,good.example={folder}/good.zone", "--disable-syslog=yes", "--setuid=",
        f"--forward-zones=dead.example=127.0.0.1:{dead}", "--setgid=", "--write-pid=no", "--security-poll-suffix=",
    )  # fmt: skip


def dnsdist(folder: Path, port: int, dead: int) -> AbstractContextManager[object]:
    (folder / "dnsdist.conf").write_text(f"""
        setLocal("127.0.0.1:{port}")
        newServer({{address="127.0.0.1:{dead}", pool="dead"}}):setUp()
        addAction("dead.example.", PoolAction("dead"))
        addAction(AndRule({{QTypeRule(DNSQType.TXT), TCPRule(false)}}), TCAction())
        addAction(QTypeRule(DNSQType.A), SpoofAction("198.51.100.7"))
        addAction(AllRule(), RCodeAction(DNSRCode.NOERROR))
    """)
    return program(folder, "dnsdist", "--supervised", "--disable-syslog", "-C", folder / "dnsdist.conf")


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """A port where everything is taken and nothing answered."""
    udp, tcp = bound_sockets()
    with udp, tcp:
        tcp.listen(512)
        yield udp.getsockname()[1]


def answers(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, contextlib.suppress(OSError):
        one.settimeout(0.2)
        one.connect(("127.0.0.1", port))
        one.send(question(1, "up.good.example", A))
        return len(one.recv(4096)) > 12
    return False


def files(folder: Path) -> None:
    (folder / "root.zone").write_text(ROOT)
    (folder / "good.zone").write_text(GOOD)


async def only_asked(address: tuple[str, int], queries: list[bytes]) -> asyncio.StreamWriter:
    """Asks without waiting for an answer."""
    _, writer = await asyncio.open_connection(*address)
    for query in queries:
        writer.write(len(query).to_bytes(2) + query)
    await writer.drain()
    return writer


RESOLVERS = [
    pytest.param(bind, True, marks=pytest.mark.needs("named"), id="bind"),
    pytest.param(unbound, True, marks=pytest.mark.needs("unbound"), id="unbound"),
    pytest.param(recursor, True, marks=pytest.mark.needs("pdns_recursor"), id="recursor"),
    pytest.param(dnsdist, False, marks=pytest.mark.needs("dnsdist"), id="dnsdist"),
]


@pytest.mark.parametrize(("resolver", "has_long"), RESOLVERS)
def test_dead_names_of_one_client_over_tcp_starve_nobody(tmp_path: Path, resolver: Resolver, has_long: bool) -> None:
    files(tmp_path)
    port = free_port()

    async def scene() -> None:
        dead = [question(number, f"n{number}.z{number}.dead.example", A) for number in range(180)]
        flood = [await only_asked(host.address, dead[at : at + 60]) for at in range(0, 180, 60)]
        await asyncio.to_thread(wait_until, lambda: host.counters()["in_flight_now"] >= 150, "they wait")
        good = [question(number, f"n{number}.good.example", A) for number in range(100)]
        assert {answer[3] & RCODE for answer in await ask_tcp(host.address, good)} == {NOERROR}
        if has_long:
            long = [question(number, f"long{number}.good.example", TXT) for number in range(30)]
            told = await ask_tcp(host.address, long)
            assert {(answer[3] & RCODE, answer[2] & 2) for answer in told} == {(NOERROR, 0)}
            assert min(map(len, told)) > 1800
        for writer in flood:
            writer.transport.abort()

    with silent() as nobody, resolver(tmp_path, port, nobody):
        wait_until(lambda: answers(port), "the resolver answers")
        with running(Host(tmp_path / "host", [f"127.0.0.1:{port}"])) as host:
            play(scene)
            assert host.counters()["upstream_down"] == 0


@pytest.mark.parametrize(
    ("resolver", "refused", "rcode"),
    [
        pytest.param(unbound, (A, False), REFUSED, marks=pytest.mark.needs("unbound"), id="unbound-rd0"),
        pytest.param(bind, (MAILB, True), NOTIMP, marks=pytest.mark.needs("named"), id="bind-type253"),
    ],
)
def test_what_a_resolver_refuses_one_client_keeps_it_up_for_the_others(
    tmp_path: Path,
    resolver: Resolver,
    refused: tuple[int, bool],
    rcode: int,
) -> None:
    files(tmp_path)
    port = free_port()
    qtype, rd = refused

    async def scene() -> None:
        for number in range(20):
            kept = question(number, f"kept{number}.good.example", A)
            choice = question(number, f"n{number}.elsewhere.example", qtype, rd=rd)
            (answer,) = await ask_udp(host.address, [choice])
            assert answer[3] & RCODE == rcode
            (answer,) = await ask_udp(host.address, [kept])
            assert (answer[3] & RCODE, answer[-4:]) == (NOERROR, bytes([198, 51, 100, 7]))

    with silent() as nobody, resolver(tmp_path, port, nobody):
        wait_until(lambda: answers(port), "the resolver answers")
        with running(Host(tmp_path / "host", [f"127.0.0.1:{port}"])) as host:
            play(scene)
            wait_until(lambda: host.said()[0]["upstreams"][0]["state"] == "up", "it is up")
            assert host.counters()["upstream_down"] == 0


@pytest.mark.needs("unbound")
def test_a_resolver_that_is_restarted_costs_nobody_an_answer_over_tcp(tmp_path: Path) -> None:
    files(tmp_path)
    port = free_port()

    async def whole(number: int) -> None:
        name = f"long{number}.good.example"
        (answer,) = await ask_tcp(host.address, [question(number, name, TXT)])
        assert (answer[3] & RCODE, answer[2] & 2) == (NOERROR, 0)
        assert wire_name(name) in answer

    async def scene(*numbers: int) -> None:
        await asyncio.gather(*(whole(number) for number in numbers))

    with silent() as nobody:
        with unbound(tmp_path, port, nobody):
            wait_until(lambda: answers(port), "the resolver answers")
            more = {"dns": {"limits": {"patience": "30s"}}}  # however long it takes to start
            host = Host(tmp_path / "host", [f"127.0.0.1:{port}"], more=more)
            host.start()
        try:
            with unbound(tmp_path, port, nobody):
                play(lambda: scene(*range(20)))
            with unbound(tmp_path, port, nobody):
                play(lambda: scene(*range(20, 40)))  # its connections of before are gone; it may not be there yet
            assert host.counters()["answered_servfail"] == 0
        finally:
            host.stop()
