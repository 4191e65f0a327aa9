"""Whether this machine can do what a correct configuration asks for.

Enters: a configuration, and its file. Leaves: findings, each with its key: what does not work, and what might not.
Nothing is changed: ports are bound and released, files are opened for reading, folders are checked for write access;
each upstream is asked for the root's name servers, over UDP and TCP, and by `ways_past` for its designation.
"""

from __future__ import annotations

import grp
import ipaddress
import os
import pwd
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuf.api.metadata import Metadata, Root
from tuf.api.serialization import DeserializationError

from blocklists.errors import why
from blocklists.sealed import keys
from blocklists.sealed.errors import SealError
from resolver.base.dns_question import over_tcp
from resolver.base.proven import reason
from resolver.config.finding import Finding
from resolver.config.preflight.certificate import certificate
from resolver.config.preflight.reasons import reasons
from resolver.config.preflight.remote import far
from resolver.config.preflight.users import kept, refusal, rights
from resolver.config.preflight.ways_past import ways_past

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from resolver.base.paths import Places
    from resolver.config.schema import Config
    from resolver.config.schema_upstreams import Upstream
    from resolver.config.values import Endpoint

PATIENCE, TRIES = 2.0, 2
DNS, DNS_OVER_TLS = 53, 853
LOOPBACK = 1.0  # seconds for a packet from this host to itself
_NETWORK = {4: 8, 6: 16}  # the shortest prefix that one network's clients have, by version of IP
_ROOT_NS = bytes.fromhex("5354 0100 0001 0000 0000 0000 00 0002 0001")
_LOCALE = Path(__file__).parents[2] / "portal" / "locale"
TMPFS_MAGIC = ("tmpfs", "ramfs")


def trial(config: Config, file: Path, own: Callable[[Places], set[str]]) -> list[Finding]:
    """Everything that does not work on this machine now. `file`: the configuration's path. `own`: the addresses that a
    running Stopsign with these paths holds: its configuration may be checked before a reload."""
    return [
        *_folders(config),
        *rights(config, file),
        *_ports(config, own(config.places)),
        *_clients(config),
        *_visitors(config),
        *_upstreams(config),
        *_lists(config),
        *_files(config),
        *certificate(config),
        *_sealed_key(config),
        *_zones_for_unbound(config),
        *_page_behind_https(config),
        *_people(config),
        *reasons(config),
        *far(config),
        *ways_past(config),
    ]


def _folders(config: Config) -> Iterator[Finding]:
    places = config.places
    written = [(f"rpz.zones[{at}].file", zone.file.parent) for at, zone in enumerate(config.rpz.zones) if zone.file]
    own = (("state_dir", places.state_dir), ("run_dir", places.run_dir), ("log.dir", places.log_dir))
    for key, folder in (*own, *written):
        try:
            there = next(above for above in (folder, *folder.parents) if above.exists())
        except PermissionError as error:
            yield _unreadable(key, folder, error)
            continue
        if not there.is_dir():
            yield Finding(key, f"{there} is not a folder")
        elif not os.access(there, os.W_OK | os.X_OK):
            yield Finding(key, f"{there} cannot be written by this user", denied=True)
        elif key == "state_dir":
            for path, needed in kept(config):
                if not os.access(path, needed):
                    yield Finding(key, f"{refusal(path, needed)} by this user", denied=True)
    if _file_system(places.run_dir) not in TMPFS_MAGIC:
        wanted = "a tmpfs would be right: no error or stall of a disk must ever reach a worker"
        yield Finding("run_dir", f"{places.run_dir} is not on a tmpfs; {wanted}", fatal=False)


def _file_system(folder: Path) -> str:
    """The type of the file system that holds (or would hold) the folder."""
    best, kind = "", ""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    for line in mounts:
        _, where, found, *_ = line.split()
        inside = str(folder.absolute()) == where or str(folder.absolute()).startswith(where.rstrip("/") + "/")
        if inside and len(where) >= len(best):
            best, kind = where, found
    return kind


def _ports(config: Config, own: set[str]) -> Iterator[Finding]:
    for key, endpoints, kinds in (
        ("dns.listen", config.dns_listen, (socket.SOCK_DGRAM, socket.SOCK_STREAM)),
        ("dns.encrypted.tls", config.dns_tls_listen, (socket.SOCK_STREAM,)),
        ("dns.encrypted.https.listen", config.dns_https_listen, (socket.SOCK_STREAM,)),
        ("dns.encrypted.quic", config.dns_quic_listen, (socket.SOCK_DGRAM,)),
        ("stop_page.listen", config.stop_page.listen, (socket.SOCK_STREAM,)),
        ("portal.listen", config.portal.listen, (socket.SOCK_STREAM,)),
        ("metrics.listen", config.metrics.listen, (socket.SOCK_STREAM,)),
        ("rpz.listen", config.rpz.listen, (socket.SOCK_DGRAM, socket.SOCK_STREAM)),
        ("rpz.listen_tls", config.rpz.listen_tls, (socket.SOCK_DGRAM, socket.SOCK_STREAM)),
    ):
        for at, endpoint in enumerate(endpoints):
            for kind in kinds if str(endpoint) not in own else ():
                if error := _unbindable(endpoint, kind):
                    closed = f"{endpoint} over {_over(kind)} cannot be opened ({why(error)})"
                    yield Finding(f"{key}[{at}]", closed, denied=isinstance(error, PermissionError))
                elif key == "dns.listen" and (silence := _unheard(endpoint, kind)):
                    deaf = f"{endpoint} over {_over(kind)} does not hear this host's loopback ({silence})"
                    yield Finding(f"{key}[{at}]", f"{deaf}: `stopsign health` would always say no")


def _over(kind: socket.SocketKind) -> str:
    return "UDP" if kind == socket.SOCK_DGRAM else "TCP"


def _unheard(endpoint: Endpoint, kind: socket.SocketKind) -> str | None:
    """Why what `stopsign health` asks, from loopback, would not come to that address, as behind a filter or a rule of
    routing; None: it would."""
    family = socket.AF_INET6 if endpoint.ipv6 else socket.AF_INET
    loopback = "::1" if endpoint.ipv6 else "127.0.0.1"
    try:
        with _bound(endpoint, kind) as listener, socket.socket(family, kind) as asking:
            host = loopback if endpoint.is_wildcard else endpoint.host
            for one in (listener, asking):
                one.settimeout(LOOPBACK)
            asking.bind((loopback, 0))
            if kind == socket.SOCK_STREAM:
                listener.listen(1)
            asking.connect((host, listener.getsockname()[1]))
            if kind == socket.SOCK_DGRAM:
                asking.send(_ROOT_NS)
                listener.recv(len(_ROOT_NS))
    except OSError as error:
        return why(error)
    return None


def _unbindable(endpoint: Endpoint, kind: socket.SocketKind) -> OSError | None:
    try:
        _bound(endpoint, kind).close()
    except OSError as error:
        return error
    return None


def _bound(endpoint: Endpoint, kind: socket.SocketKind) -> socket.socket:
    trying = socket.socket(socket.AF_INET6 if endpoint.ipv6 else socket.AF_INET, kind)
    try:
        trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(kind == socket.SOCK_STREAM))
        if endpoint.ipv6:
            trying.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        trying.bind((endpoint.host, endpoint.port))
    except OSError:
        trying.close()
        raise
    return trying


def _clients(config: Config) -> Iterator[Finding]:
    """An open resolver answers forged questions too, and so floods whomever they name (RFC 5358)."""
    for at, prefix in enumerate(config.allow_clients):
        if prefix.prefixlen < _NETWORK[prefix.version]:
            who = "everybody" if prefix.prefixlen == 0 else "more than any one network has"
            wrong = f"{prefix} lets {who} ask, so that this host can be used against others"
            right = "the prefixes of your clients would be right, unless nobody else reaches it"
            yield Finding(f"dns.allow_clients[{at}]", f"{wrong}; {right}", fatal=False)


def _visitors(config: Config) -> Iterator[Finding]:
    """Behind a web server on loopback all visitors have its address: without a trusted proxy they share one limit."""
    listen = config.portal.listen
    if listen and not config.portal.behind and all(ipaddress.ip_address(one.host).is_loopback for one in listen):
        wrong = "is empty while the portal listens on loopback alone: all visitors together get one visitor's allowance"
        right = "the address of the web server before it would be right, as 127.0.0.1/32"
        yield Finding("portal.behind", f"{wrong}; {right}", fatal=False)


def _upstreams(config: Config) -> Iterator[Finding]:
    upstreams = config.upstreams
    with ThreadPoolExecutor(max(2 * len(upstreams), 1)) as asking:
        said, streams = asking.map(_silent, upstreams), asking.map(_no_stream, upstreams)
        found = list(zip(upstreams, said, streams, strict=True))
    for at, (upstream, silent, no_stream) in enumerate(found):
        key = f"dns.upstreams[{at}]"
        if silent:
            yield Finding(key, f"{upstream} {silent}", fatal=all(why for _, why, _ in found))
        elif no_stream:
            harm = "what is too long for a datagram is SERVFAIL"
            yield Finding(key, f"{upstream} over TCP {no_stream}: {harm}", fatal=False)
        if upstream.tls is None and any(one.tls is not None for one in upstreams):
            wrong = "is asked in clear, also what another one is asked over TLS while that is up"
            yield Finding(key, f"{upstream} {wrong}; tls for each, or for none, would be right", fatal=False)


def _silent(upstream: Upstream) -> str | None:
    if upstream.tls is not None:
        wrong = _over_stream(upstream)
        return wrong and f"over TLS {wrong}"
    family = socket.AF_INET6 if upstream.address.ipv6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.settimeout(PATIENCE / TRIES)
            asking.connect((upstream.host, upstream.port))
            answer = b""
            for attempt in range(TRIES):  # a datagram may get lost
                asking.send(_ROOT_NS)
                try:
                    answer = asking.recv(4096)
                    break
                except TimeoutError:
                    if attempt == TRIES - 1:
                        raise
    except OSError as error:
        return _unasked(error)
    return _wrong(answer)


def _no_stream(upstream: Upstream) -> str | None:
    return _over_stream(upstream) if upstream.tls is None else None


def _over_stream(upstream: Upstream) -> str | None:
    try:
        return _wrong(over_tcp(upstream.host, upstream.port, _ROOT_NS, proof=upstream.proof, patience=PATIENCE))
    except OSError as error:
        return _unasked(error)


def _unasked(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return f"does not answer within {PATIENCE:g} s"
    return f"cannot be asked ({reason(error)})"


def _wrong(answer: bytes) -> str | None:
    if answer[:2] != _ROOT_NS[:2] or len(answer) < 12:
        return "answers with something that is no answer"
    rcode = answer[3] & 15
    return None if rcode == 0 else f"answers with RCODE {rcode}"


def _lists(config: Config) -> Iterator[Finding]:
    for at, source in enumerate(config.lists):
        if source.bridge and "://" not in source.repository:
            yield from _there(f"lists[{at}].repository", Path(source.repository))
        if source.trusted_root is not None:
            yield from _root(f"lists[{at}].trusted_root", source.trusted_root, source.min_threshold)


def _there(key: str, path: Path) -> Iterator[Finding]:
    try:
        path.stat()
    except PermissionError as error:
        yield _unreadable(key, path, error)
    except OSError:
        yield Finding(key, f"{path} is not there")


def _unreadable(key: str, path: Path, error: OSError) -> Finding:
    return Finding(key, f"{path} cannot be read ({error.strerror})", denied=isinstance(error, PermissionError))


def _root(key: str, path: Path, wanted: int) -> Iterator[Finding]:
    try:
        root: Metadata[Any] = Metadata.from_bytes(path.read_bytes())
    except OSError as error:
        yield _unreadable(key, path, error)
        return
    except DeserializationError:
        yield Finding(key, f"{path} is not the root metadata of a repository")
        return
    if not isinstance(root.signed, Root):
        yield Finding(key, f"{path} is {root.signed.type} metadata; the root would be right")
    elif (given := root.signed.roles["targets"].threshold) < wanted:
        yield Finding(key, f"{path} asks for {given} signatures on a list, min_threshold for {wanted}")


def _files(config: Config) -> Iterator[Finding]:
    rpz = config.rpz
    for key, path in (
        ("guards.popular", config.guards.popular),
        *((f"{key}.logo", face.logo) for key, face in config.faces),
        ("rpz.certificate", rpz.certificate),
        ("rpz.private_key", rpz.private_key),
        *((f"rpz.secondaries[{at}].key", one.key) for at, one in enumerate(rpz.secondaries)),
    ):
        if path is not None:
            try:
                path.open("rb").close()
            except OSError as error:
                yield _unreadable(key, path, error)
    languages = sorted({"en", *(found.name for found in _LOCALE.iterdir() if found.is_dir())})
    for key, face in config.faces:
        if face.language not in languages:
            right = f"{', '.join(languages)} would be right"
            yield Finding(f"{key}.language", f"there are no pages in {face.language!r}; {right}")


def _zones_for_unbound(config: Config) -> Iterator[Finding]:
    """Unbound, which is unsigned, asks for the serial at port 53 where the port of TLS is 853 (1.17 and 1.26)."""
    rpz = config.rpz
    if any(one.unsigned for one in rpz.secondaries):
        for at, one in enumerate(rpz.listen_tls):
            if one.port == DNS_OVER_TLS and not any(
                other.port == DNS and one.shares_an_address(other) for other in rpz.listen
            ):
                wrong = f"{one}: Unbound asks for the serial at port {DNS} of it, in clear, and never takes the zone"
                yield Finding(f"rpz.listen_tls[{at}]", f"{wrong}; another port would be right, as 8853", fatal=False)


def _sealed_key(config: Config) -> Iterator[Finding]:
    """Where the configuration names the key. A credential is the services' own, and none of this command's."""
    if config.sealed_key is None:
        return
    try:
        keys.load(config.sealed_key)
    except SealError as wrong:
        denied = isinstance(wrong.__context__, PermissionError)
        yield Finding("sealed_key", f"{wrong}: no sealed list opens", denied=denied)


def _page_behind_https(config: Config) -> Iterator[Finding]:
    """A browser comes to the stop page because 443 of its address refuses."""
    pages = [page for page in (config.stop_page.ipv4, config.stop_page.ipv6) if page is not None]
    for at, endpoint in enumerate(config.dns_https_listen):
        for page in pages if endpoint.port == 443 else ():
            if endpoint.host in (str(page), "0.0.0.0" if page.version == 4 else "::"):
                wrong = f"{endpoint} also answers at the stop page's {page}, where browsers must be refused at once"
                right = "an address that is not the page's would be right"
                yield Finding(f"dns.encrypted.https.listen[{at}]", f"{wrong}; {right}", fatal=False)


def _people(config: Config) -> Iterator[Finding]:
    for key, names in (("operators", config.control.operators), ("reporters", config.control.reporters)):
        for at, name in enumerate(names):
            try:
                pwd.getpwnam(name)
            except KeyError:
                yield Finding(f"control.{key}[{at}]", f"there is no user {name!r} on this machine")
    for at, name in enumerate(config.control.operator_groups):
        try:
            grp.getgrnam(name)
        except KeyError:
            yield Finding(f"control.operator_groups[{at}]", f"there is no group {name!r} on this machine")
