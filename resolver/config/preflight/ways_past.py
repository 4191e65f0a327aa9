"""What takes clients past the lists, or hides the reason from people: looked for on the network, beside this host too.

Enters: a configuration without mistakes. Leaves: warnings alone, since DNS works in spite of each. Rules:

- An open port 853 where Stopsign does not serve it is found by clients without any configuration:
  systemd-resolved and Android try it on the address of their resolver, and send their questions there.
- An upstream that designates itself (RFC 9462) has clients that ask it directly come back encrypted, past the lists.
- A client that finds this resolver by DDR wants the address that it asked in the certificate (RFC 9462, 4.2).
- A browser that meets silence at 443 of the stop page's address says that the site is slow; refused at once it falls
  back to HTTP, and shows the page.
- REFUSED is no answer to a client with a second resolver.
"""

from __future__ import annotations

import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import dns.exception
import dns.message
import dns.query
import dns.rdatatype
from cryptography import x509

from resolver.config.discovery import LOCAL_NAME, addresses
from resolver.config.finding import Finding
from resolver.config.values import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from resolver.config.schema import Config

PATIENCE = 1.0  # seconds for an answer from this host or the next
DOT, HTTPS = 853, 443
# RFC 9462, 4.3: RFC 1918, RFC 3927, RFC 4193 and fe80::/10; loopback for trials. Python's `is_private` has more.
_PRIVATE = [
    *map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8")),
    *map(ipaddress.ip_network, ("fc00::/7", "fe80::/10", "::1/128")),
]
_LOCAL_V4, _LOCAL_V6 = Path("/proc/thread-self/net/fib_trie"), Path("/proc/thread-self/net/if_inet6")


def ways_past(config: Config) -> Iterator[Finding]:
    looks = (_open_853, _designated_elsewhere, _certificate, _silence, _refusing)
    with ThreadPoolExecutor(len(looks)) as looking:
        for found in looking.map(lambda look: list(look(config)), looks):
            yield from found


def _open_853(config: Config) -> Iterator[Finding]:
    asked = [
        (at, address)
        for at, endpoint in enumerate(config.dns_listen)
        for address in _reached_by(endpoint)
        if not _serves(config.dns_tls_listen, address, DOT)
    ]
    with ThreadPoolExecutor(max(len(asked), 1)) as trying:
        states = trying.map(lambda one: _tcp(one[1], DOT), asked)
        for (at, address), state in zip(asked, states, strict=True):
            if state == "answers":
                wrong = f"{address} port {DOT} is open and not Stopsign's: clients find it and pass the lists"
                right = "dns.encrypted.tls there, or a closed port, would be right"
                yield Finding(f"dns.listen[{at}]", f"{wrong}; {right}", fatal=False)


def _reached_by(endpoint: Endpoint) -> list[str]:
    """Addresses at which clients can ask there."""
    if not endpoint.is_wildcard:
        return [endpoint.host]
    return [address for address in local_addresses() if (":" in address) == endpoint.ipv6]


def local_addresses() -> list[str]:
    """Of this machine, those of links (fe80::) aside."""
    found: list[str] = []
    for text, of in ((_LOCAL_V4, _v4_of), (_LOCAL_V6, _v6_of)):
        try:
            found += of(text.read_text(encoding="ascii"))
        except OSError:
            continue  # no such family on this machine
    return list(dict.fromkeys(address for address in found if not ipaddress.ip_address(address).is_link_local))


def _v4_of(trie: str) -> Iterator[str]:
    before = ""
    for line in trie.splitlines():
        if "/32 host LOCAL" in line:
            yield before.rsplit(maxsplit=1)[-1]
        before = line


def _v6_of(table: str) -> Iterator[str]:
    for line in table.splitlines():
        yield str(ipaddress.IPv6Address(bytes.fromhex(line.split()[0])))


def _serves(listens: Iterable[Endpoint], address: str, port: int) -> bool:
    return any(one.port == port and one.shares_an_address(Endpoint(address, port)) for one in listens)


def _tcp(address: str, port: int) -> str:
    return _met(lambda: socket.create_connection((address, port), PATIENCE).close())


def _udp(address: str, port: int) -> str:
    def ask() -> None:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(PATIENCE)
            asking.connect((address, port))
            asking.send(b"\0")
            asking.recv(1)

    return _met(ask)


def _met(ask: Callable[[], None]) -> str:
    """`answers`, `silent` (a datagram that no host rejects is silence), `rejects`, or `unreachable` from here."""
    try:
        ask()
    except TimeoutError:
        return "silent"
    except ConnectionRefusedError:
        return "rejects"
    except OSError:
        return "unreachable"
    return "answers"


def _designated_elsewhere(config: Config) -> Iterator[Finding]:
    # One over TLS is elsewhere, and clients reach it whatever it says of itself.
    asked = [(at, upstream) for at, upstream in enumerate(config.upstreams) if upstream.tls is None]
    with ThreadPoolExecutor(max(len(asked), 1)) as asking:
        for (at, upstream), names in zip(
            asked, asking.map(lambda one: _designates(one[1].address), asked), strict=True
        ):
            if names:
                shown = ", ".join(names)
                wrong = f"{upstream} designates {shown}: clients that reach it by themselves pass the lists, encrypted"
                right = "a resolver that only Stopsign can reach would be right"
                yield Finding(f"dns.upstreams[{at}]", f"{wrong}; {right}", fatal=False)


def _designates(upstream: Endpoint) -> list[str]:
    """The names in its designation; none where it has none, or does not answer."""
    question = dns.message.make_query(LOCAL_NAME, dns.rdatatype.SVCB)
    host, port = upstream.host, upstream.port
    try:
        with socket.socket(socket.AF_INET6 if upstream.ipv6 else socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.connect((host, port))  # a port that nobody has: what rejects it shows that rejections reach us
            asking.setblocking(False)
            reply = dns.query.udp(question, host, PATIENCE, port, ignore_trailing=True, sock=asking)
    except (OSError, dns.exception.DNSException):
        return []
    found = [record for rrset in reply.answer if rrset.rdtype == dns.rdatatype.SVCB for record in rrset]
    return list(dict.fromkeys(record.target.to_text(omit_final_dot=True) for record in found))


def _certificate(config: Config) -> Iterator[Finding]:
    encrypted = None if config.dns is None else config.dns.encrypted
    if encrypted is None:
        return
    try:
        certificate = x509.load_pem_x509_certificate(encrypted.certificate.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        proven = set(names.get_values_for_type(x509.IPAddress))
    except (OSError, ValueError, x509.ExtensionNotFound):
        return  # that it cannot be read, or names nothing, is said elsewhere
    # Clients take a private address without proof, where it is the one that they asked (RFC 9462, 4.3).
    lacking = [
        str(one) for one in addresses(encrypted) if one not in proven and not any(one in net for net in _PRIVATE)
    ]
    if lacking:
        wrong = f"does not name {', '.join(lacking)}, so that clients which ask there do not upgrade by DDR"
        right = "iPAddress beside the name would be right; DNR and configured names do without"
        yield Finding("dns.encrypted.certificate", f"{wrong}; {right}", fatal=False)


def _silence(config: Config) -> Iterator[Finding]:
    page, serving = config.stop_page, config.dns_https_listen
    own = [(key, str(one)) for key, one in (("ipv4", page.ipv4), ("ipv6", page.ipv6)) if one is not None]
    with ThreadPoolExecutor(4) as trying:
        over = {(key, try_): trying.submit(try_, address, HTTPS) for key, address in own for try_ in (_tcp, _udp)}
        for key, address in own:
            tcp, udp = over[key, _tcp].result(), over[key, _udp].result()
            if _serves(serving, address, HTTPS):
                wrong = f"{address} serves DNS over HTTPS too: https:// of a blocked name meets its certificate there"
                right = "another address for one of them would be right"
            elif silent := " and ".join(name for name, state in (("TCP", tcp), ("UDP", udp)) if state == "silent"):
                wrong = f"{address} is silent at {silent} {HTTPS}: browsers wait and never come to the stop page"
                right = "reset and ICMP reject, as docs/people.md has the rules, would be right"
            elif tcp == "answers":
                wrong = (
                    f"{address} answers at TCP {HTTPS}: browsers warn of its certificate instead of showing the page"
                )
                right = "reset would be right"
            else:
                continue
            yield Finding(f"stop_page.{key}", f"{wrong}; {right}", fatal=False)


def _refusing(config: Config) -> Iterator[Finding]:
    for at, source in enumerate(config.lists):
        if source.action == "refused":
            wrong = "refused is no block where a client has a second resolver: glibc, musl, Go and c-ares ask that one"
            more = "and systemd-resolved asks it for all other names too"
            yield Finding(f"lists[{at}].action", f"{wrong}, {more}; stop-page would be right", fatal=False)
