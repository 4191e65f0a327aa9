"""Whether the users of the systemd units may do what the configuration asks of them.

Enters: a configuration, and its file. Leaves: findings; none where this machine has no such users, since then the user
who starts Stopsign counts. Rules: root may do everything, so a try by root proves nothing; owner, group and mode of
each folder and file, and of the folders above, decide.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resolver.config.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resolver.config.schema import Config

DNS, STEWARD, WEB, RPZ = "dns", "steward", "web", "rpz"
_READ, _WRITE, _SEARCH = 4, 2, 1


@dataclass(frozen=True)
class User:
    """The user of a unit, with its primary `group` and all groups that it is a member of."""

    name: str
    uid: int
    gids: frozenset[int]

    @classmethod
    def named(cls, name: str, group_name: str) -> User | None:
        try:
            entry, group = pwd.getpwnam(name), grp.getgrnam(group_name)
        except KeyError:
            return None
        return cls(name, entry.pw_uid, frozenset({group.gr_gid, entry.pw_gid, *os.getgrouplist(name, group.gr_gid)}))

    def may(self, path: Path, wanted: int) -> bool:
        status = path.stat()
        if status.st_uid == self.uid:
            given = status.st_mode >> 6
        elif status.st_gid in self.gids:
            given = status.st_mode >> 3
        else:
            given = status.st_mode
        return given & wanted == wanted


def rights(config: Config, file: Path) -> Iterator[Finding]:
    instance = config.places.instance
    group = f"stopsign-{instance}" if instance else "stopsign"
    users = {wing: user for wing in (DNS, STEWARD, WEB, RPZ) if (user := User.named(f"{group}-{wing}", group))}
    for key, wing, path, wanted in _needs(config, file):
        user = users.get(wing)
        try:
            why = None if user is None else _refused(user, path, wanted)
        except PermissionError:
            yield Finding(key, f"{path} cannot be looked at by this user", fatal=False)
            continue
        if user is not None and why is not None:
            yield Finding(key, f"{why} by {user.name}, the user of its unit")
    dns, steward, run_dir = users.get(DNS), users.get(STEWARD), config.places.run_dir
    if dns is not None and steward is not None and _may_replace(dns, steward, run_dir):
        unsafe = f"without the sticky bit {dns.name} may replace lists and exceptions in it: chmod 1771 {run_dir}"
        yield Finding("run_dir", f"{run_dir}: {unsafe}", fatal=False)


def _may_replace(one: User, owner: User, folder: Path) -> bool:
    """Whether `one` may exchange files of `owner` in the folder, as far as this user can see."""
    try:
        return one.uid != owner.uid and one.may(folder, _WRITE) and not folder.stat().st_mode & stat.S_ISVTX
    except OSError:
        return False


def kept(config: Config) -> Iterator[tuple[Path, int]]:
    """What is below `state_dir`, and the rights that the steward needs there; it replaces files, and only reads old
    ones. What the user who asks cannot see is left out."""
    places = config.places
    of_lists = [places.list(source.name).root for source in config.lists]
    documents = [places.kept(source.name) for source in config.lists]
    folders = (places.audit_dir, places.state_dir / "lists", *of_lists, *documents)
    files = (
        places.generation, places.overrides, places.bypass, places.suspensions, places.appeals, places.words,
        places.questions, *(places.list(source.name).state for source in config.lists),
    )  # fmt: skip
    for wanted, paths in ((_READ | _WRITE | _SEARCH, folders), (_READ, files)):
        yield from ((path, wanted) for path in paths if os.path.exists(path))  # noqa: PTH110 - False, not an error


def _needs(config: Config, file: Path) -> Iterator[tuple[str, str, Path, int]]:
    places = config.places
    of_dns, of_rpz = [DNS] if config.dns is not None else [], [RPZ] if config.rpz.zones else []
    for name in (*of_dns, STEWARD, WEB, *of_rpz):
        yield "", name, file.absolute(), _READ
    yield "state_dir", STEWARD, places.state_dir, _READ | _WRITE | _SEARCH
    for path, wanted in kept(config):
        yield "state_dir", STEWARD, path, wanted
    yield "log.dir", STEWARD, places.log_dir, _READ | _WRITE | _SEARCH
    yield "log.dir", WEB, places.log_dir, _READ | _SEARCH
    if config.log.index is not None:
        yield "log.index.dir", WEB, config.log.index.dir, _READ | _SEARCH
    for name in (STEWARD, *of_dns):
        yield "run_dir", name, places.run_dir, _READ | _WRITE | _SEARCH
    url = config.database_url
    if url.startswith("sqlite:") and (config.portal.listen or config.stop_page.listen):
        yield "portal.database", WEB, Path(url.removeprefix("sqlite:///")).parent, _READ | _WRITE | _SEARCH
    for at, source in enumerate(config.lists):
        if source.trusted_root is not None:
            yield f"lists[{at}].trusted_root", STEWARD, source.trusted_root, _READ
        if "://" not in source.repository:
            yield f"lists[{at}].repository", STEWARD, Path(source.repository), _READ
    if config.dns is not None and config.dns.encrypted is not None:
        yield "dns.encrypted.certificate", DNS, config.dns.encrypted.certificate, _READ
        yield "dns.encrypted.key", DNS, config.dns.encrypted.key, _READ
    if config.guards.popular is not None:
        yield "guards.popular", STEWARD, config.guards.popular, _READ
    for key, face in config.faces:
        if face.logo is not None:
            yield f"{key}.logo", WEB, face.logo, _READ
    if of_rpz:
        yield from _needs_of_zones(config)


def _needs_of_zones(config: Config) -> Iterator[tuple[str, str, Path, int]]:
    rpz = config.rpz
    for at, secondary in enumerate(rpz.secondaries):
        if secondary.key is not None:
            yield f"rpz.secondaries[{at}].key", RPZ, secondary.key, _READ
    for key, path in (("certificate", rpz.certificate), ("private_key", rpz.private_key)):
        if path is not None:
            yield f"rpz.{key}", RPZ, path, _READ
    for at, zone in enumerate(rpz.zones):
        if zone.file is not None:
            yield f"rpz.zones[{at}].file", RPZ, zone.file.parent, _WRITE | _SEARCH
    for at, count in enumerate(rpz.counts):
        if count.dnstap is not None:
            yield f"rpz.counts[{at}].dnstap", RPZ, count.dnstap.parent, _WRITE | _SEARCH


def _refused(user: User, path: Path, wanted: int) -> str | None:
    """Why it may not; `None` if it may, or if the path does not exist yet."""
    if not path.exists():
        return None
    for above in reversed(path.parents):
        if not user.may(above, _SEARCH):
            return f"{above} cannot be entered"
    return None if user.may(path, wanted) else refusal(path, wanted)


def refusal(path: Path, wanted: int) -> str:
    return f"{path} cannot be {'written' if wanted & _WRITE else 'read'}"
