"""The command `stopsign ask`: asks this resolver as a browser does, and prints what a person should know of the answer.

Enters: a name, how to ask, which server (else the one of the configuration). Leaves: the answers to A, AAAA and HTTPS
in one report, the extended error and the structured reason; for support desks and as the eyes of tests. Rules:

- Each question says that structured errors are read, by the draft's option and by Chromium's (the core's
  `wire/structured.rs`).
- Encrypted transports are authenticated by the server's name, as strict clients do; a certificate that does not fit is
  a failure, never a warning.
- Exit 0: there are answers, whatever they say; 2: there are none.
"""

from __future__ import annotations

import base64
import json
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import click

from resolver.base.errors import ResolverError
from resolver.cli.options import as_json, legible, located, print_json

if TYPE_CHECKING:
    import dns.edns
    import dns.message

    from resolver.config.schema import Config
    from resolver.config.values import Endpoint

Over = Literal["udp", "tcp", "tls", "https", "quic"]
TYPES = ("A", "AAAA", "HTTPS")  # in the order in which browsers ask
PORTS = {"udp": 53, "tcp": 53, "tls": 853, "https": 443, "quic": 853}
ALPN = {"tls": "dot", "https": "h2", "quic": "doq"}
DNS_MESSAGE = "application/dns-message"
PATIENCE, PAYLOAD, PADDED = 5.0, 1232, 128  # RFC 8467: clients pad to 128 octets
SDE, EDE = 26, 15
OWN_AUTHORITY = "--ca FILE, for an authority of your own"
_UNKNOWN_AUTHORITY = range(18, 22)  # X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT to …_UNABLE_TO_VERIFY_LEAF_SIGNATURE
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True, slots=True)
class Server:
    """Where to ask; `name`: what its certificate must say, empty where nobody looks."""

    endpoint: Endpoint
    name: str = ""
    authorities: Path | None = None
    path: str = "/dns-query"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, as far as people and programs want it."""

    type: str
    rcode: str
    records: tuple[str, ...]
    ede: int | None = None
    text: str = ""

    @property
    def reason(self) -> dict[str, Any] | None:
        """The structured error; None where the text is none."""
        try:
            found = json.loads(self.text)
        except ValueError:
            return None
        return found if isinstance(found, dict) else None


@click.command("ask")
@click.argument("name")
@click.option("--over", type=click.Choice(get_args(Over)), default="udp", help="How to ask.  [udp]")
@click.option("--server", help="ADDRESS[:PORT] to ask instead of the one of the configuration.")
@click.option("--server-name", help="What the server's certificate must say, with --server.")
@click.option("--ca", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Authorities to believe, PEM.")
@located
@as_json
def ask(
    name: str,
    over: Over,
    server: str | None,
    server_name: str | None,
    ca: Path | None,
    path: Path | None,
    directory: Path | None,
    in_json: bool,
) -> None:
    """Ask as a browser does, and show the answer with the reason of a block. NAME may be a web address."""
    from blocklists.text import shown
    from resolver.policy.typed import name_in

    asked_for = name_in(name)
    if asked_for is None:
        raise ResolverError(f"{shown(name)!r} is not a name", hint="example.com, or a web address")
    name = asked_for
    if server is None:
        asked = of_config(legible(path, directory), over, ca)
    else:
        asked = Server(_endpoint(server, over), server_name or "", ca)
    answers = [one(name, rtype, over, asked) for rtype in TYPES]
    if in_json:
        found = [{**asdict(answer), "reason": answer.reason} for answer in answers]
        print_json({"name": name, "over": over, "server": str(asked.endpoint), "answers": found})
        return
    click.echo(f"{name} over {over} from {asked.endpoint}" + (f" ({asked.name})" if asked.name else ""))
    for line in report(answers):
        click.echo(line)


def of_config(config: Config, over: Over, authorities: Path | None = None) -> Server:
    """The first address that serves this."""
    from resolver.config.values import Endpoint

    encrypted = config.require_dns().encrypted
    encrypting = {"tls": config.dns_tls_listen, "https": config.dns_https_listen, "quic": config.dns_quic_listen}
    listens = encrypting.get(over, config.dns_listen)
    if not listens:
        raise ResolverError(f"nothing is served over {over} here", hint="dns.encrypted; or --server ADDRESS")
    first = listens[0]
    endpoint = Endpoint(_LOOPBACK.get(first.host, first.host), first.port)
    if encrypted is None or over not in ALPN:
        return Server(endpoint)
    path = encrypted.https.path if encrypted.https is not None else ""
    return Server(endpoint, encrypted.name, authorities, path)


def _endpoint(text: str, over: Over) -> Endpoint:
    from resolver.config.values import Endpoint

    try:
        return Endpoint.parse(text, default_port=PORTS[over])
    except ValueError as wrong:
        raise click.UsageError(f"--server {wrong}") from wrong


def question(name: str, rtype: str, *, padded: bool) -> dns.message.QueryMessage:
    """As a browser that reads structured errors asks it."""
    import dns.edns
    import dns.message

    options: list[dns.edns.Option] = [
        dns.edns.GenericOption(dns.edns.OptionType.make(EDE), b"\0\0"),
        dns.edns.GenericOption(dns.edns.OptionType.make(SDE), b""),
    ]
    pad = PADDED if padded else 0
    return dns.message.make_query(name, rtype, use_edns=0, payload=PAYLOAD, options=options, pad=pad)


def one(name: str, rtype: str, over: Over, server: Server) -> Answer:
    """The answer to one question. Raises `ResolverError` where there is none."""
    import dns.exception
    import dns.query

    from resolver._core import CoreError

    sent = question(name, rtype, padded=over in ALPN)
    host, port = server.endpoint.host, server.endpoint.port
    try:
        if over == "udp":
            reply, _ = dns.query.udp_with_fallback(sent, host, PATIENCE, port)
        elif over == "tcp":
            reply = dns.query.tcp(sent, host, PATIENCE, port)
        else:
            reply = _encrypted(sent, over, server)
    except (OSError, CoreError, dns.exception.DNSException) as wrong:
        unknown = server.authorities is None and _of_an_unknown_authority(wrong)
        said = f"no answer from {server.endpoint} over {over}: {_why(wrong)}"
        raise ResolverError(said, hint=OWN_AUTHORITY if unknown else None) from wrong
    return read(rtype, reply)


def _why(wrong: Exception) -> str:
    """Without the line of Python's source that OpenSSL's words end with."""
    import ssl

    from resolver.base import proven

    if isinstance(wrong, ssl.SSLCertVerificationError):
        return f"the certificate is not verified: {proven.reason(wrong)}"
    return str(wrong) or type(wrong).__name__


def _of_an_unknown_authority(wrong: Exception) -> bool:
    import ssl

    if isinstance(wrong, ssl.SSLCertVerificationError):
        return wrong.verify_code in _UNKNOWN_AUTHORITY
    return "UnknownIssuer" in str(wrong)  # rustls


def _encrypted(sent: dns.message.QueryMessage, over: Over, server: Server) -> dns.message.Message:
    import ssl
    from ipaddress import ip_address

    import dns.query

    from resolver.base import http2

    if over == "quic":
        return _over_quic(sent, server)
    context = ssl.create_default_context(cafile=None if server.authorities is None else str(server.authorities))
    context.set_alpn_protocols([ALPN[over]])
    host, port = server.endpoint.host, server.endpoint.port
    name = server.name or str(ip_address(host))
    if over == "tls":
        return dns.query.tls(sent, host, PATIENCE, port, ssl_context=context, server_hostname=name)
    sent.id = 0  # RFC 8484, 4.1
    asked = base64.urlsafe_b64encode(sent.to_wire()).rstrip(b"=").decode()
    with (
        socket.create_connection((host, port), PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname=name) as link,
    ):
        if link.selected_alpn_protocol() != ALPN[over]:
            raise ConnectionError("the server speaks no HTTP/2")
        authority = name if port == PORTS[over] else f"{name}:{port}"
        return _reply(sent, http2.get(link, authority, f"{server.path}?dns={asked}", DNS_MESSAGE))


def _over_quic(sent: dns.message.QueryMessage, server: Server) -> dns.message.Message:
    from ipaddress import ip_address

    from resolver._core import ask_quic

    sent.id = 0  # RFC 9250, 4.2.1
    name = server.name or str(ip_address(server.endpoint.host))
    authorities = [server.authorities] if server.authorities is not None else _of_the_system()
    pem = b"\n".join(file.read_bytes() for file in authorities)
    return _reply(sent, ask_quic(sent.to_wire(), str(server.endpoint), name, pem, PATIENCE))


def _of_the_system() -> list[Path]:
    """Where OpenSSL looks: a file, or a folder with one for each authority."""
    import ssl

    paths = ssl.get_default_verify_paths()
    return [Path(paths.cafile)] if paths.cafile else sorted(Path(paths.capath or "/etc/ssl/certs").glob("*.0"))


def _reply(sent: dns.message.QueryMessage, octets: bytes) -> dns.message.Message:
    import dns.message

    reply = dns.message.from_wire(octets)
    if not sent.is_response(reply):
        raise ConnectionError("the answer is to another question")
    return reply


def read(rtype: str, reply: dns.message.Message) -> Answer:
    """What a message says."""
    import dns.edns
    import dns.rcode

    records = tuple(record.to_text() for rrset in reply.answer for record in rrset)
    errors = [option for option in reply.options if isinstance(option, dns.edns.EDEOption)]
    rcode = dns.rcode.to_text(reply.rcode())
    if not errors:
        return Answer(rtype, rcode, records)
    return Answer(rtype, rcode, records, int(errors[0].code), errors[0].text or "")


def report(answers: list[Answer]) -> list[str]:
    """For people: a line an answer, then the reason once."""
    import dns.edns

    from blocklists.text import shown

    lines = [f"{one.type:<6} {one.rcode:<9} {shown(' '.join(one.records) or '-')}" for one in answers]
    said = next((one for one in answers if one.ede is not None), None)
    if said is None or said.ede is None:
        return [*lines, "no reason is given"]
    lines.append(f"{dns.edns.EDECode.make(said.ede).name.replace('_', ' ').capitalize()} (EDE {said.ede})")
    reason = said.reason
    if reason is None:
        return [*lines, f"  {shown(said.text)}"] if said.text else lines
    titles = {"j": "why", "o": "by", "c": "contact", "s": "sub-error", "fdbs": "entry"}
    return [*lines, *(f"  {titles.get(key, shown(key))}: {_plain(value)}" for key, value in reason.items())]


def _plain(value: object) -> str:
    from blocklists.text import shown

    return shown(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
