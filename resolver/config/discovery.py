"""What this resolver says of itself in the DNS, made from the configuration alone.

Enters: a configuration. Leaves: whole DNS messages for the plane, which answers their names itself; the same facts as
records for the provider's own zone and as options of DHCP and router advertisements. Rules:

- SVCB of `_dns.resolver.arpa` designates what `dns.encrypted` serves (RFC 9462, 4; RFC 9461), with the addresses of the
  name beside it; where nothing is served there is no such message, and the plane says NODATA.
- RESINFO (RFC 9606) says of the resolver what is true here: the extended errors that Stopsign makes by itself,
  `qnamemin` only where the configuration says so, the portal's page where its scheme is https, the
  only one that clients accept. It is answered at `resolver.arpa` and at the resolver's name.
- A canary is a name that a client asks for before it leaves this resolver. One that is configured does not exist here.
- Every message has AA: a client discards RESINFO without it (RFC 9606, 3).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from resolver.config.schema_lists import EDE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from resolver.config.schema import Config
    from resolver.config.schema_dns import Encrypted
    from resolver.config.values import Endpoint

RESOLVER_ARPA = "resolver.arpa"
LOCAL_NAME = f"_dns.{RESOLVER_ARPA}"
TTL = 300  # seconds: a changed certificate name or port reaches clients by then
NO_SUCH_NAME_TTL = 60
RESOLVER_PAGE = "/resolver"  # of the portal
ASKS: Mapping[str, str] = {
    "use-application-dns.net": "Firefox",
    "mask.icloud.com": "iCloud Private Relay",
    "mask-h2.icloud.com": "iCloud Private Relay",
}  # by canary, who asks for it
USUAL_PORTS = {"dot": 853, "h2": 443, "doq": 853}
_STALE, _UNSERVED = (3, 19), (22, 23)  # RFC 8914: stale answers; no upstream
_EMPTY_ZONE = "{name} {ttl} IN SOA {name} nobody.invalid. 1 3600 1200 604800 {ttl}"  # the form of RFC 6303, 3


@dataclass(frozen=True, slots=True)
class Service:
    """One protocol on one port, as SVCB and DNR say it: a lower priority is preferred."""

    priority: int
    alpn: str
    port: int
    dohpath: str = ""

    @property
    def params(self) -> str:
        """SvcParams in presentation form, without addresses, which DNR carries elsewhere (RFC 9463, 3.1.8)."""
        dohpath = f" dohpath={self.dohpath}" if self.dohpath else ""
        return f"alpn={self.alpn} port={self.port}{dohpath}"

    def record(self, target: str, more: str = "") -> dns.rdata.Rdata:
        """SVCB of this service at `target`."""
        return dns.rdata.from_text("IN", "SVCB", f"{self.priority} {target} {self.params}{more}")


def services(encrypted: Encrypted | None) -> list[Service]:
    """What is served, each protocol and port once: DoT first, which costs both sides least."""
    if encrypted is None:
        return []
    found = [("dot", port, "") for port in _ports(encrypted.tls)]
    if encrypted.https is not None:
        path = f"{encrypted.https.path}{{?dns}}"
        found += [("h2", port, path) for port in _ports(encrypted.https.listen)]
    found += [("doq", port, "") for port in _ports(encrypted.quic)]
    return [Service(at, *one) for at, one in enumerate(found, 1)]


def _ports(endpoints: Iterable[Endpoint]) -> list[int]:
    """Those that a client can be told; of port 0 the kernel chooses one."""
    return list(dict.fromkeys(endpoint.port for endpoint in endpoints if endpoint.port))


def addresses(encrypted: Encrypted) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Where clients reach the name: what the configuration says, else what is listened on, if that is not every
    address."""
    if encrypted.addresses:
        return list(encrypted.addresses)
    listens = [*encrypted.tls, *(encrypted.https.listen if encrypted.https else ()), *encrypted.quic]
    own = [ipaddress.ip_address(endpoint.host) for endpoint in listens]
    return list(dict.fromkeys(address for address in own if not address.is_unspecified))


def designation(encrypted: Encrypted, owner: str) -> dns.rrset.RRset | None:
    """SVCB of `owner`; None where nothing is served."""
    hints = ""
    for version, key in ((4, "ipv4hint"), (6, "ipv6hint")):
        own = ",".join(str(one) for one in addresses(encrypted) if one.version == version)
        hints += f" {key}={own}" if own else ""
    records = [service.record(f"{encrypted.name}.", hints) for service in services(encrypted)]
    return dns.rrset.from_rdata_list(owner, TTL, records) if records else None


def information(config: Config) -> list[str]:
    """The keys of RESINFO, each with its value."""
    serving = config.require_dns()
    codes = {EDE[source.reason] for source in config.lists} - {0}
    codes.update(_UNSERVED, _STALE if serving.cache.stale else ())
    keys = ["qnamemin"] if serving.qname_minimisation else []
    keys.append(f"exterr={','.join(_ranges(sorted(codes)))}")
    if config.portal.url.startswith("https://"):
        keys.append(f"infourl={config.portal.url.rstrip('/')}{RESOLVER_PAGE}")
    return keys


def _ranges(codes: Sequence[int]) -> Iterator[str]:
    start = 0
    for at, code in enumerate(codes):
        if at + 1 == len(codes) or codes[at + 1] != code + 1:
            first = codes[start]
            yield str(code) if first == code else f"{first}-{code}"
            start = at + 1


def own_answers(config: Config) -> list[tuple[bytes, bool]]:
    """For the plane: messages, each with whether it answers every type of its name."""
    serving = config.require_dns()
    encrypted = serving.encrypted
    said = dns.rdata.from_text("IN", "RESINFO", " ".join(f'"{key}"' for key in information(config)))
    about = [RESOLVER_ARPA, *([encrypted.name] if encrypted is not None else [])]
    answers = [(_message(dns.rrset.from_rdata(f"{name}.", TTL, said)), False) for name in about]
    if encrypted is not None and (found := designation(encrypted, f"{LOCAL_NAME}.")) is not None:
        answers.append((_message(found, _addresses_of(encrypted)), False))
    answers += [(_no_such_name(name), True) for name in serving.canaries]
    return answers


def answered_here(config: Config, name: str) -> str | None:
    """Why this resolver itself answers every question for a name that no list stops; None where it asks an upstream."""
    if config.dns is None:
        return None
    if name in config.dns.canaries:
        return f"a canary of {ASKS[name]} (dns.canaries): it does not exist here, which asks clients to stay"
    if name == RESOLVER_ARPA or name.endswith(f".{RESOLVER_ARPA}"):
        return f"{RESOLVER_ARPA} is this resolver's own zone, by which clients find its encrypted DNS (RFC 9462)"
    if name == config.dns.health_name:
        return "dns.health_name, by which this host is asked whether it should get queries"
    return None


def _addresses_of(encrypted: Encrypted) -> list[dns.rrset.RRset]:
    """ "The recursive resolver SHOULD include the A and AAAA records for the name of the Designated Resolver in the
    Additional Answers section" (RFC 9462, 4)."""
    records = []
    for version, rtype in ((4, "A"), (6, "AAAA")):
        texts = [str(one) for one in addresses(encrypted) if one.version == version]
        if texts:
            records.append(dns.rrset.from_text(f"{encrypted.name}.", TTL, "IN", rtype, *texts))
    return records


def _message(answer: dns.rrset.RRset, additional: Sequence[dns.rrset.RRset] = ()) -> bytes:
    message = _reply(answer.name, answer.rdtype)
    message.answer.append(answer)
    message.additional.extend(additional)
    return message.to_wire()


def _no_such_name(name: str) -> bytes:
    message = _reply(dns.name.from_text(name), dns.rdatatype.A)
    message.set_rcode(dns.rcode.NXDOMAIN)
    soa = _EMPTY_ZONE.format(name=f"{name}.", ttl=NO_SUCH_NAME_TTL).split(None, 4)
    message.authority.append(dns.rrset.from_text(soa[0], NO_SUCH_NAME_TTL, "IN", "SOA", soa[4]))
    return message.to_wire()


def _reply(name: dns.name.Name, rtype: dns.rdatatype.RdataType) -> dns.message.Message:
    message = dns.message.QueryMessage(id=0)
    message.flags = dns.flags.QR | dns.flags.AA | dns.flags.RA
    message.question = [dns.rrset.RRset(name, dns.rdataclass.IN, rtype)]
    return message
