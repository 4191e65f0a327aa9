"""What the Debian package holds beside its program, and what it leaves behind: `packaging/`, without building one.

A package is built, installed, removed and purged in clean trees of Debian by `make fresh`.
"""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from resolver.cli.main import COMMANDS, stopsign

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).resolve().parents[1]
PACKAGING = ROOT / "packaging"
DOCUMENTS = "usr/share/doc/stopsign"


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("package")
    subprocess.run([PACKAGING / "stage", root], check=True, timeout=120)
    return root


def test_what_the_guides_name_is_in_the_package(staged: Path) -> None:
    guides = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    named = {
        name
        for guide in guides
        for name in re.findall(r"\b(?:config|docs)/[\w./-]*\w", guide.read_text(encoding="utf-8"))
        if (ROOT / name).exists()
    }
    assert {"config/prometheus/stopsign.rules.yml", "config/grafana/stopsign.json", "config/rpz/dnsdist.conf"} <= named
    assert not [name for name in named if not (staged / DOCUMENTS / name).exists()]


def test_every_link_between_installed_documents_leads_somewhere(staged: Path) -> None:
    dead = [
        (str(page.relative_to(staged)), link)
        for page in (staged / DOCUMENTS).rglob("*.md")
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)|<img src=\"([^\":]+)\"", page.read_text(encoding="utf-8"))
        if not (page.parent / "".join(link)).exists()
    ]
    assert not dead


def test_every_unit_and_every_example_is_in_it(staged: Path) -> None:
    units = {path.name for path in (ROOT / "systemd").iterdir()} - {"stopsign.sysusers", "stopsign.tmpfiles"}
    templates = {name.replace(".", "@.") for name in units if "timestamp" not in name}
    assert {path.name for path in (staged / "lib/systemd/system").iterdir()} == units | templates
    for folder in ("config", "docs"):
        files = {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file()}
        assert not [path for path in files if not (staged / DOCUMENTS / path).exists()]
    assert (staged / "etc/stopsign/stopsign.yaml").is_file()
    assert (staged / "usr/bin/stopsign").readlink() == Path("/opt/stopsign/bin/stopsign")


def commands(command: click.Command, *above: str) -> set[str]:
    name = "-".join((*above, command.name or ""))
    if not isinstance(command, click.Group):
        return {name}
    context = click.Context(command)
    parts = (command.get_command(context, each) for each in command.list_commands(context))
    return {name}.union(*(commands(part, *above, command.name or "") for part in parts if part and not part.hidden))


def test_every_command_has_its_page_and_every_option_its_line(staged: Path) -> None:
    folder = staged / "usr/share/man/man1"
    assert {path.name.removesuffix(".1.gz") for path in folder.iterdir()} == commands(stopsign)
    page = gzip.decompress((folder / "stopsign-issuer-sign.1.gz").read_bytes()).decode()
    assert ".SH NAME\nstopsign\\-issuer\\-sign \\- " in page
    assert ".TP\n.B \\-\\-key DIRECTORY\n" in page
    root = gzip.decompress((folder / "stopsign.1.gz").read_bytes()).decode()
    for name in COMMANDS:
        assert f"\n.B stopsign\\-{name.replace('-', chr(92) + '-')}(1)\n" in root


@pytest.mark.parametrize("text", [".TH starts a request", "'so does this", "fine\n.but not here"])
def test_no_line_of_a_help_text_is_read_as_a_request(text: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import manual, sys; print(manual.escaped(sys.argv[1]))", text],
        env={"PYTHONPATH": f"{PACKAGING}:{ROOT}"}, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert not [line for line in done.stdout.splitlines() if line.startswith((".", "'"))]


@pytest.mark.parametrize("file", [
    "usr/share/bash-completion/completions/stopsign",
    "usr/share/zsh/vendor-completions/_stopsign",
    "usr/share/fish/vendor_completions.d/stopsign.fish",
])  # fmt: skip
def test_each_shell_completes_the_commands(staged: Path, file: str) -> None:
    assert "_STOPSIGN_COMPLETE=" in (staged / file).read_text(encoding="utf-8")


def test_bash_completes_a_command_by_the_installed_file(staged: Path, tmp_path: Path) -> None:
    command = tmp_path / "stopsign"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -P -m resolver.cli.main "$@"\n')
    command.chmod(0o755)
    script = (staged / "usr/share/bash-completion/completions/stopsign").read_text(encoding="utf-8")
    asked = f'COMP_WORDS=(stopsign iss) COMP_CWORD=1; _stopsign_completion {command}; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", script + asked], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["issuer"]


@pytest.mark.parametrize(("release", "version"), [
    ('ID=debian\nVERSION_ID="12"', "0.1.0-1~deb12u1"),
    ('ID=debian\nVERSION_ID="13"', "0.1.0-1~deb13u1"),
    ("ID=debian\nVERSION_CODENAME=forky", "0.1.0-1"),
    ('ID=ubuntu\nVERSION_ID="26.04"', "0.1.0-1~ubuntu26.04"),
])  # fmt: skip
def test_the_version_says_for_which_debian(tmp_path: Path, release: str, version: str) -> None:
    (tmp_path / "os-release").write_text(release + "\n")
    done = subprocess.run(
        [PACKAGING / "debian-version", "0.1.0", tmp_path / "os-release"], capture_output=True, text=True, check=True
    )
    assert done.stdout == version + "\n"


def test_an_upgrade_of_debian_is_an_upgrade_of_the_package() -> None:
    rising = ["0.1.0-1~deb12u1", "0.1.0-1~deb13u1", "0.1.0-1", "0.1.1-1~deb12u1"]
    for older, newer in pairwise(rising):
        subprocess.run(["dpkg", "--compare-versions", older, "lt", newer], check=True)


# The state of a host that ran for a while, and whether a purge leaves it: it does where nothing could make it again.
STATE = {
    "etc/stopsign/stopsign.yaml": False,
    "etc/credstore/stopsign.pgpass": False,
    "etc/systemd/system/stopsign-dns.socket.d/10-listen.conf": False,
    "etc/systemd/system/stopsign-web.service.d/mine.conf": True,
    "run/stopsign/current.list": False,
    "var/lib/stopsign/generation.list": False,
    "var/lib/stopsign/lists/gambling/tuf/root.json": False,
    "var/lib/stopsign/lists/gambling/applied/head.json": False,
    "var/lib/stopsign/lists/gambling/bridge/head.json": False,
    "var/lib/stopsign/lists/gambling/bridge/secret": True,
    "var/lib/stopsign/rpz/rpz.stopsign/serial": False,
    "var/lib/stopsign/log/checkpoint": True,
    "var/lib/stopsign/audit/log.key": True,
    "var/lib/stopsign/desk/sender.key": True,
    "var/lib/stopsign/overrides.json": True,
    "var/lib/stopsign-web/portal.db": True,
    "var/lib/stopsign-issuer/desk/desk.json": True,
    "var/lib/systemd/timers/stamp-stopsign-timestamp.timer": False,
    "var/lib/systemd/timers/stamp-stopsign-collect.timer": False,
}
USERS = ["stopsign-dns", "stopsign-issuer", "stopsign-rpz", "stopsign-steward", "stopsign-web"]
DATABASES = {f"{kind}:{user}" for kind in ("passwd", "group") for user in USERS} | {"group:stopsign"}


class Machine:
    """A root folder on which the package's script works, and the names that it deletes there."""

    def __init__(self, folder: Path, owner: str, files: Iterable[str]) -> None:
        self.root, self.names = folder / "root", folder / "deleted"
        for file in files:
            (self.root / file).parent.mkdir(parents=True, exist_ok=True)
            (self.root / file).touch()
        # `owner` has our ids, so that the files are theirs; nobody else has any. There is no user `stopsign`.
        getent = (
            f'test "$1" = group || test "$2" != stopsign || exit 2\ngrep -qsx "$1:$2" {self.names} && exit 2\n'
            f'test "$2" = {owner} && echo "$2:x:{os.getuid()}:{os.getgid()}" || echo "$2:x:4000000:4000000"\n'
        )
        tools = {
            "userdel": f'echo "passwd:$1" >>{self.names}\n',
            "groupdel": f'echo "group:$1" >>{self.names}\n',
            "getent": getent,
        }
        self.tools = folder / "tools"
        self.tools.mkdir()
        for name, script in tools.items():
            (self.tools / name).write_text(f"#!/bin/sh\n{script}")
            (self.tools / name).chmod(0o755)

    def run(self, what: str) -> str:
        environment = {"DPKG_ROOT": str(self.root), "PATH": f"{self.tools}:/usr/bin:/bin"}
        done = subprocess.run(
            [PACKAGING / "postrm", what], env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        return done.stderr

    def left(self) -> set[str]:
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file()}

    def deleted(self) -> set[str]:
        """Of users and groups, as `passwd:NAME` and `group:NAME`."""
        return set(self.names.read_text().split()) if self.names.exists() else set()


def test_purge_leaves_what_cannot_be_made_again_and_says_where_it_is(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "stopsign-steward", STATE)
    said = machine.run("purge")
    assert machine.left() == {file for file, stays in STATE.items() if stays}
    homes = [machine.root / "var/lib" / name for name in ("stopsign", "stopsign-web", "stopsign-issuer")]
    assert said.endswith(f"to delete them: rm -r {' '.join(map(str, homes))}\n")
    assert said.count("\n") == 1
    assert machine.deleted() == DATABASES - {"passwd:stopsign-steward", "group:stopsign-steward"}


def test_purge_leaves_nothing_of_a_program_that_never_ran(tmp_path: Path) -> None:
    files = [file for file, stays in STATE.items() if not stays]
    machine = Machine(tmp_path, "stopsign-steward", files)
    assert machine.run("purge") == ""
    assert machine.left() == set()
    assert machine.deleted() == DATABASES


def test_remove_takes_the_volatile_alone(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "stopsign-steward", STATE)
    assert machine.run("remove") == ""
    assert machine.left() == set(STATE) - {"run/stopsign/current.list"}
    assert machine.deleted() == set()


def test_purge_knows_every_user_and_every_folder() -> None:
    script = (PACKAGING / "postrm").read_text(encoding="utf-8")
    sysusers = (ROOT / "systemd/stopsign.sysusers").read_text(encoding="utf-8")
    users = set(re.findall(r"^[ug] (\S+)", sysusers, re.MULTILINE))
    folders = set(re.findall(r"^d (/\w+/\w+/[\w-]+)", (ROOT / "systemd/stopsign.tmpfiles").read_text(), re.MULTILINE))
    folders |= set(re.findall(r"^u .* (/\S+) -$", sysusers, re.MULTILINE))
    folders -= {"/run/stopsign/generations", "/run/stopsign/workers", "/run/stopsign/web", "/run/stopsign/rpz"}
    folders = {re.sub(r"^(/run/stopsign|/var/lib/stopsign)/.*", r"\1", folder) for folder in folders}
    assert "/var/lib/stopsign-web" in folders
    words = set(re.split(r"[\s;\"]+", script.replace("$root", "")))
    assert users <= words, users - words
    assert folders <= words, folders - words
