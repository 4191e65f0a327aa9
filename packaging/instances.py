"""instances.py UNITS SHARE: what several providers on one host need, made from `systemd/`, so that it is said once.

Enters: the units, users and folders of the host's one provider. Leaves: in UNITS a template of each unit
(`stopsign-dns@.service` of `stopsign-dns.service`), whose instance is the provider's short name; in SHARE
`instance.sysusers` and `instance.tmpfiles`, in which NAME stands for it. Rules: an instance has users, groups, folders,
a configuration, sockets and a credential of its own; what it shares with others is the program. The desk of an issuer
is no part of it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[1] / "systemd"
OF_A_DESK = "stopsign-timestamp"
KINDS = (".service", ".socket", ".target", ".timer")


def of_instance(text: str, name: str) -> str:
    """`text` of a unit, of sysusers or of tmpfiles, for the instance `name`, which may be a specifier."""
    for found, instead in (
        (r"(?<![\w/-])stopsign((?:-[a-z]+)*)\.(service|socket|target|timer)\b", rf"stopsign\1@{name}.\2"),
        (r"/etc/stopsign/", f"/etc/stopsign/{name}/"),
        (r"/(run|var/lib)/stopsign\b", rf"/\1/stopsign-{name}"),
        (r"(?m)^(User|Group|SupplementaryGroups)=stopsign\b", rf"\1=stopsign-{name}"),
        (r"(?m)^(Description=Stopsign)\b", rf"\1 {name}"),
        (r"\bstopsign\.pgpass\b", f"stopsign-{name}.pgpass"),
    ):
        text = re.sub(found, instead, text)
    return text


def users_and_folders(text: str, name: str) -> str:
    """Lines of sysusers.d and tmpfiles.d: besides paths they hold names of users and groups."""
    kept = [line for line in text.splitlines(keepends=True) if "stopsign-issuer" not in line]
    return re.sub(r"(?m)(?<![\w/-])stopsign(?=[ -]|$)", f"stopsign-{name}", of_instance("".join(kept), name))


def main(units: Path, share: Path) -> None:
    for folder in (units, share):
        folder.mkdir(parents=True, exist_ok=True)
    for source in sorted(SOURCES.iterdir()):
        text = source.read_text(encoding="utf-8")
        if source.suffix in KINDS and source.stem != OF_A_DESK:
            (units / f"{source.stem}@{source.suffix}").write_text(of_instance(text, "%i"), encoding="utf-8")
        elif source.suffix in (".sysusers", ".tmpfiles"):
            (share / f"instance{source.suffix}").write_text(users_and_folders(text, "NAME"), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
