"""A name that is on no list gets what the upstream answered: shown on 10,000 popular names against nsd's own answers.

The upstream's zones are made for this test from the popular names: addresses, aliases, delegations, sets too large for
a datagram, names that are not there, TTL 0, and a zone signed by dnspython. Each question is asked twice through
Stopsign (the second answer comes from the cache) and once of nsd itself. What may differ is written in `Parts`.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.conftest import find_program
from tests.rigs.certificates import NAME, Files, made
from tests.rigs.dns_host import Host, ask_tcp, ask_udp, nsd, question, running
from tests.rigs.quic import ask_quic

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    Address = tuple[str, int]


class World(NamedTuple):
    """`since` when the cache of `host` ages, on this process's clock."""

    upstream: Address
    host: Host
    since: float
    files: Files


TYPES = {"A": 1, "AAAA": 28, "HTTPS": 65, "MX": 15, "TXT": 16, "NS": 2, "SOA": 6}
VARIANTS: dict[str, dict[str, int | bool]] = {
    "plain": {},
    "EDNS": {"edns": 1232},
    "DO": {"edns": 1232, "do": True},
    "CD": {"edns": 1232, "cd": True},
    "CD without EDNS": {"cd": True},
    "RD=0": {"rd": False},
    "RD=0, DO": {"rd": False, "edns": 1232, "do": True},
    "small EDNS": {"edns": 512},
}
pytestmark = pytest.mark.needs("nsd", "data")


@dataclass(frozen=True)
class Parts:
    """A message without what belongs to a hop or a moment: id, OPT's payload size, the TTLs (kept beside)."""

    flags: int
    rcode: int
    question: bytes
    sections: tuple[tuple[tuple[bytes, int, bytes], ...], ...]
    opt: tuple[int, bytes] | None
    ttls: tuple[int, ...]


def parts(message: bytes) -> Parts:
    counts = [int.from_bytes(message[i : i + 2]) for i in (4, 6, 8, 10)]
    flags, rcode = int.from_bytes(message[2:4]) & 0xFFF0, message[3] & 15
    name, at = read_name(message, 12)
    asked = message[12 : at + 4] if counts[0] else b""
    at = at + 4 if counts[0] else 12
    sections: list[tuple[tuple[bytes, int, bytes], ...]] = []
    ttls: list[tuple[bytes, int, int]] = []
    opt = None
    for count in counts[1:]:
        records = []
        for _ in range(count):
            name, at = read_name(message, at)
            kind, ttl = int.from_bytes(message[at : at + 2]), int.from_bytes(message[at + 4 : at + 8])
            size = int.from_bytes(message[at + 8 : at + 10])
            data = rdata(message, at + 10, size, kind)
            at += 10 + size
            if kind == 41:
                opt, rcode = (ttl & 0xFFFF, data), rcode | ttl >> 24 << 4
            else:
                records.append((name.lower(), kind, data))
                ttls.append((name.lower() + data, kind, ttl))
        sections.append(tuple(sorted(records)))
    assert at == len(message)
    return Parts(flags, rcode, asked, tuple(sections), opt, tuple(ttl for _, _, ttl in sorted(ttls)))


def read_name(message: bytes, at: int) -> tuple[bytes, int]:
    """The name without compression, and where it ends."""
    labels, end = [], None
    while (length := message[at]) != 0:
        if length >= 0xC0:
            end = end or at + 2
            at = (length & 0x3F) << 8 | message[at + 1]
            continue
        labels.append(message[at : at + 1 + length])
        at += 1 + length
    return b"".join(labels) + b"\0", end or at + 1


def rdata(message: bytes, at: int, size: int, kind: int) -> bytes:
    """With the names in it uncompressed (RFC 3597, section 4: only in these types may they be compressed)."""
    if kind in (2, 5, 12):
        return read_name(message, at)[0].lower()
    if kind == 15:
        return message[at : at + 2] + read_name(message, at + 2)[0].lower()
    if kind == 6:
        primary, at = read_name(message, at)
        mailbox, at = read_name(message, at)
        return primary.lower() + mailbox.lower() + message[at : at + 20]
    return message[at : at + size]


def zone(names: Sequence[str]) -> str:
    """The root zone of this test's world."""
    lines = [
        "$ORIGIN .\n$TTL 300\n@ SOA a.root. h.root. 1 3600 900 604800 300\n@ NS a.root.\na.root. A 127.0.0.1",
        "signed.example. NS a.root.",
    ]
    for name in names:
        number = zlib.crc32(name.encode())
        ttl = (0, 5, 60, 300, 86_400)[number // 64 % 5]
        match number % 16:
            case 0 | 1:
                continue  # NXDOMAIN
            case 2:
                lines.append(f"{name}. {ttl} CNAME alias-{number % 97}.target.")
            case 3:
                lines += [f"{name}. NS ns{i}.{name}.\nns{i}.{name}. A 203.0.113.{i}" for i in (1, 2)]
            case 4:
                text = "x" * 190
                lines += [f'{name}. {ttl} TXT "{i:02}{text}"' for i in range(4 + number // 16 % 12)]
            case _:
                lines += [f"{name}. {ttl} A 198.51.100.{i}" for i in range(1, 2 + number % 4)]
                lines.append(f"{name}. {ttl} HTTPS 1 . alpn=h2,h3 ipv4hint=198.51.100.1")
                if number % 3:
                    lines += [f"{name}. {ttl} AAAA 2001:db8::{number % 9999:x}", f"{name}. {ttl} MX 10 mx.{name}."]
                if number % 5:
                    lines += [f"mx.{name}. A 198.51.100.25", f'{name}. {ttl} TXT "v=spf1 -all" "{number}"']
    lines += [f"alias-{i}.target. 30 A 198.51.100.{i}" for i in range(0, 97, 2)]
    return "\n".join(dict.fromkeys(lines)) + "\n"


def signed_zone() -> str:
    """A signed zone with its denials, made by dnspython."""
    import dns.dnssec
    import dns.zone
    from cryptography.hazmat.primitives.asymmetric import ec
    from dns.dnssectypes import Algorithm

    text = "@ 300 SOA ns hostmaster 1 3600 900 604800 300\n@ 300 NS ns\nns 300 A 127.0.0.1\n* 300 A 198.51.100.9\n"
    text += "".join(f"n{i} 300 A 198.51.100.{i}\nn{i} 300 AAAA 2001:db8::{i}\n" for i in range(100))
    made = dns.zone.from_text(text, "signed.example.", relativize=False)
    private = ec.generate_private_key(ec.SECP256R1())
    key = dns.dnssec.make_dnskey(private.public_key(), Algorithm.ECDSAP256SHA256, flags=257)
    with made.writer() as writer:
        dns.dnssec.sign_zone(made, writer, keys=[(private, key)], add_dnskey=True, dnskey_ttl=300, lifetime=86_400)
    return str(made.to_text(relativize=False))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, popular_names: list[str]) -> Iterator[World]:
    """nsd, and a worker in front of it."""
    folder = tmp_path_factory.mktemp("transparency")
    files = made(folder / "tls")
    with (
        nsd(folder / "nsd", {".": zone(popular_names[:10_000]), "signed.example": signed_zone()}) as upstream,
        running(host(folder, upstream, files)) as provider,
    ):
        yield World(upstream, provider, time.monotonic(), files)


def host(folder: Path, upstream: Address, files: Files) -> Host:
    encrypted = {"name": NAME, "certificate": str(files.certificate), "key": str(files.key), "tls": ["127.0.0.1:0"]}
    more = {"dns": {"encrypted": {**encrypted, "https": {"listen": ["127.0.0.1:0"]}, "quic": ["127.0.0.1:0"]}}}
    return Host(folder / "host", [f"{upstream[0]}:{upstream[1]}"], more=more)


def differences(
    queries: Sequence[bytes], own: Sequence[tuple[int, Parts]], ours: Sequence[bytes], *, udp: bool, since: float
) -> list[str]:
    """In words, for every answer that is not the upstream's own (length, parts), aged by no more than `since`."""
    gone = int(time.monotonic() - since) + 1
    found = []
    for query, (length, expected), mine in zip(queries, own, ours, strict=True):
        got = parts(mine)
        wrong = [
            f"{what}: {getattr(got, what)!r} instead of {getattr(expected, what)!r}"
            for what in ("rcode", "question", "opt")
            if getattr(got, what) != getattr(expected, what)
        ]
        # RFC 4035, section 3.2.2: CD is copied from the query, which nsd, an authoritative server, does not do.
        if (got.flags ^ expected.flags) & ~0x0210 or (got.flags ^ int.from_bytes(query[2:4])) & 0x0010:
            wrong.append(f"flags: {got.flags:04x} instead of {expected.flags:04x}")
        if udp and got.flags & 0x0200:
            # Truncated: the client asks over TCP, where the sections are compared. Allowed only where it does not fit.
            if not expected.flags & 0x0200 and length <= 480:
                wrong.append(f"truncated, though the upstream's own answer has {length} octets")
        else:
            if got.flags & 0x0200 != expected.flags & 0x0200:
                wrong.append("not truncated, though the upstream's own answer is")
            if got.sections != expected.sections:
                wrong.append(f"sections: {got.sections} instead of {expected.sections}")
            elif not aged(expected.ttls, got.ttls, gone):
                wrong.append(f"TTLs: {got.ttls} of {expected.ttls}")
        if wrong:
            found.append(f"{query.hex()}: {'; '.join(wrong)}")
    return found


def aged(before: Sequence[int], now: Sequence[int], gone: int) -> bool:
    """No TTL is longer than the upstream said, none shorter than the message's shortest, less the time gone by."""
    return all(max(min(before) - gone, 0) <= b <= a for a, b in zip(before, now, strict=True))


def compare(world: World, queries: Sequence[bytes]) -> None:
    upstream, since = world.upstream, world.since
    ours = world.host.address

    async def scene() -> None:
        for ask, udp in ((ask_udp, True), (ask_tcp, False)):
            own = [(len(answer), parts(answer)) for answer in await ask(upstream, queries)]
            for _ in ("relayed", "from the cache"):
                wrong = differences(queries, own, await ask(ours, queries), udp=udp, since=since)
                assert not wrong, f"{len(wrong)} of {len(queries)} differ\n" + "\n".join(wrong[:10])

    asyncio.run(scene())


async def ask_https(world: World, queries: Sequence[bytes]) -> list[bytes]:
    """All of them by curl, in parallel on one connection of HTTP/2."""
    folder = world.host.folder / "https"
    folder.mkdir(exist_ok=True)
    address, port = world.host.addresses("dns_https")[0]
    lines = []
    for number, query in enumerate(queries):
        text = base64.urlsafe_b64encode(query).rstrip(b"=").decode()
        lines.append(f'url = "https://{NAME}:{port}/dns-query?dns={text}"\noutput = "{number}"')
    (folder / "asked").write_text("\n".join(lines))
    command = [find_program("curl") or "", "-sS", "--http2", "--parallel", "--cacert", str(world.files.root)]
    command += ["--resolve", f"{NAME}:{port}:{address}", "-K", "asked"]
    asking = await asyncio.create_subprocess_exec(*command, cwd=folder)
    assert await asking.wait() == 0
    return [(folder / str(number)).read_bytes() for number in range(len(queries))]


@pytest.mark.needs("curl")
def test_under_a_seal_they_are_the_same_answers(world: World, popular_names: list[str]) -> None:
    queries = [
        question(0, name, qtype, **VARIANTS[variant])  # type: ignore[arg-type]
        for number, name in enumerate([*popular_names[:60], *(f"n{i}.signed.example" for i in range(20))])
        for qtype in (*TYPES.values(), 48)
        for variant in (list(VARIANTS)[number % len(VARIANTS)],)
    ]

    async def scene() -> None:
        tls = ssl.create_default_context(cafile=str(world.files.root))
        own = [(len(answer), parts(answer)) for answer in await ask_tcp(world.upstream, queries)]
        for answers in (
            await ask_tcp(world.host.addresses("dns_tls")[0], queries, tls=tls),
            await ask_https(world, queries),
            ask_quic(world.host.addresses("dns_quic")[0], world.files, queries),
        ):
            wrong = differences(queries, own, answers, udp=False, since=world.since)
            assert not wrong, f"{len(wrong)} of {len(queries)} differ\n" + "\n".join(wrong[:10])

    asyncio.run(scene())


def test_ten_thousand_popular_names_get_the_upstreams_own_answers(world: World, popular_names: list[str]) -> None:
    """Every name with every type; the variants take turns."""
    variants = list(VARIANTS.values())
    queries = [
        question(0, name, qtype, **variants[(number + order) % len(variants)])  # type: ignore[arg-type]
        for number, name in enumerate(popular_names[:10_000])
        for order, qtype in enumerate(TYPES.values())
    ]
    compare(world, queries)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_each_variant_of_each_type_gets_the_upstreams_own_answers(
    world: World, popular_names: list[str], variant: str
) -> None:
    queries = [
        question(0, name.swapcase() if number % 2 else name, qtype, **VARIANTS[variant])  # type: ignore[arg-type]
        for number, name in enumerate(popular_names[10_000:10_100] + popular_names[:300])
        for qtype in (*TYPES.values(), 33, 99, 65_280)
    ]
    compare(world, queries)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_signed_names_and_their_denials_get_the_upstreams_own_answers(world: World, variant: str) -> None:
    names = [f"n{i}.signed.example" for i in range(0, 100, 3)] + [f"other{i}.signed.example" for i in range(20)]
    names += ["signed.example", "a.n1.signed.example"]
    queries = [
        question(0, name, qtype, **VARIANTS[variant])  # type: ignore[arg-type]
        for name in names
        for qtype in (*TYPES.values(), 43, 47, 48)
    ]
    compare(world, queries)
