"""A plane's answers as dnslib reads them: an oracle that shares no line with the core."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from dnslib import EDNS0, QTYPE, DNSRecord

from tests.rigs.plane import Rig, unlistened

if TYPE_CHECKING:
    import socket

    from resolver import _core

STOP4, STOP6 = "192.0.2.66", "2001:db8::66"
PORTAL = "https://stop.isp.example"


def plane(list_: _core.CompiledList | None, **settings: Any) -> Rig:
    """One whose sockets close once the test has it no more."""
    made = Rig(unlistened().address, **{"portal_url": PORTAL, "stop_ipv4": None} | settings)
    weakref.finalize(made, close_all, [made.listener, *made.sockets])
    made.plane.set_list(list_)
    return made


def close_all(sockets: list[socket.socket]) -> None:
    for one in sockets:
        one.close()


def question(name: str, qtype: str = "A", *, edns: int | None = None, do: bool = False, **bits: int) -> DNSRecord:
    record = DNSRecord.question(name)
    record.q.qtype = int(qtype[4:]) if qtype.startswith("TYPE") else getattr(QTYPE, qtype)
    record.header.rd = bits.get("rd", 1)
    record.header.ad = bits.get("ad", 0)
    record.header.cd = bits.get("cd", 0)
    if edns is not None:
        record.add_ar(EDNS0(udp_len=edns, flags="do" if do else ""))
    return record


def decided(on: Rig, asked: DNSRecord) -> DNSRecord:
    """What a plane answers, with what holds for every answer checked."""
    decision = on.ask_stream(asked)
    assert isinstance(decision, bytes)
    reply = DNSRecord.parse(decision)
    header = reply.header
    assert (header.id, header.qr, header.opcode, header.tc, header.ad, header.ra) == (asked.header.id, 1, 0, 0, 0, 1)
    assert (header.rd, header.cd) == (asked.header.rd, asked.header.cd)
    assert (reply.q.qname.label, reply.q.qtype, reply.q.qclass) == (asked.q.qname.label, asked.q.qtype, 1)
    opts = [rr for rr in reply.ar if rr.rtype == QTYPE.OPT]
    assert len(opts) == len([rr for rr in asked.ar if rr.rtype == QTYPE.OPT])
    assert len(reply.ar) == len(opts)
    for opt in opts:
        assert (opt.rclass, opt.edns_do) == (1232, asked.ar[0].edns_do)
    return reply


def extended_error(reply: DNSRecord) -> tuple[int, str] | None:
    """Code and text of the extended DNS error (RFC 8914)."""
    options = [option for rr in reply.ar if rr.rtype == QTYPE.OPT for option in rr.rdata]
    if not options:
        return None
    [option] = options
    assert option.code == 15
    return int.from_bytes(option.data[:2], "big"), option.data[2:].decode()
