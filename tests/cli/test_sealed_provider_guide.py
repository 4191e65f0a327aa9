"""docs/sealed.md, the provider's part: typed as it stands there, in its order; what the page says a command prints, it
prints, and no name of the list gets to a disk."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from blocklists.sealed import keys
from resolver.config.schema import load
from resolver.policy import look_up, seals
from tests.rigs.command_line import run
from tests.rigs.dns_host import Host, running
from tests.rigs.issuer_world import BASIS
from tests.rigs.lists_world import settings
from tests.rigs.sealed_world import LIST, SealedWorld, cheap
from tests.rigs.steward import serving
from tests.rigs.walk import check, steps, words

if TYPE_CHECKING:
    from resolver.config.schema import Config

GUIDE = Path(__file__).parents[2] / "docs" / "sealed.md"
MANY = GUIDE.with_name("many-hosts.md")
NAME = "wrong.example"
WALK = steps(GUIDE, "provider")


class Worker(Host):
    def write_config(self) -> None:
        """It is there already."""


def test_the_page_can_be_walked_and_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The key is a credential, as systemd hands it to a service."""
    cheap(monkeypatch)
    of_the_page = replace(BASIS, law="Criminal Code, § 207a", authority="Example Police", order="17")
    monkeypatch.setattr("tests.rigs.sealed_world.BASIS", of_the_page)
    assert len(WALK) > 12
    isp, key = tmp_path / "isp", tmp_path / "credentials" / "stopsign.sealed"
    for folder in (isp, key.parent):
        folder.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(key.parent))
    issuer = SealedWorld(tmp_path / "issuer", datetime.now(UTC), north=keys.create(key))
    issuer.rehearsal.change(LIST, add=[NAME], basis="order-17", category="abuse")
    source = {"repository": str(issuer.published), "trusted_root": str(issuer.desk.trusted_root)}
    tree = settings(isp, **{LIST: {**source, "approve_first": False}})
    tree["dns"]["workers"], tree["rpz"] = 1, {"zones": [{"origin": "rpz.isp.example"}]}
    file = isp / "stopsign.yaml"
    file.write_text(yaml.safe_dump(tree))
    config = load(file)
    told: dict[str, str] = {}
    with serving(file), running(Worker(isp, [])):
        for step in WALK:
            if "HASH" in step.command:
                state = json.loads(config.places.list(LIST).state.read_text())["held"]["state"]
                told["HASH"] = state.removeprefix("sha256:")[:8]
            if "wrong" in step.command and "REFERENCE" not in told:
                told["REFERENCE"] = reference(config)
            if "DATE" in step.command:
                told["DATE"] = time.strftime("%Y-%m-%d", time.gmtime())
            check(step, told, run(capsys, *words(step, told), "--dir", isp))
    written = [path for path in isp.rglob("*") if path.is_file()]
    assert len(written) > 20
    assert not [path for path in written if b"wrong" in path.read_bytes()]


def reference(config: Config) -> str:
    """The one that the stop page shows for the name."""
    compiled, meta = look_up.live(config.places)
    seals.unseal_all(seals.key_file(config), compiled, meta.lists)
    return compiled.look_up(NAME)[0].reference


@pytest.mark.needs("systemd-creds")
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts folders")
def test_the_key_becomes_a_credential_that_opens_here_alone(tmp_path: Path) -> None:
    """The lines of the page, as root types them; the host's key of systemd is one of the test's own."""
    lines = [line.strip() for line in GUIDE.read_text("utf-8").splitlines() if line.startswith("    ")]
    typed = lines[lines.index("install --directory --mode=0700 /etc/credstore.encrypted") :][:3]
    assert [line.split()[0] for line in typed] == ["install", "systemd-creds", "shred"]
    store, key = tmp_path / "credstore.encrypted", tmp_path / "sealed.key"
    keys.create(key)
    secret = key.read_bytes()

    def run_as_root(host: str, *commands: str) -> subprocess.CompletedProcess[bytes]:
        own = tmp_path / host
        own.mkdir(exist_ok=True)
        lines = (f"mount --bind {own} /var/lib/systemd", f"cd {tmp_path}", *commands)
        program = "\n".join(lines).replace("/etc/credstore.encrypted", str(store))
        command = ["unshare", "--mount", "sh", "-ec", program]
        return subprocess.run(command, capture_output=True, check=False, timeout=60)

    done = run_as_root("host", *typed)
    assert done.returncode == 0, done.stderr
    assert not key.exists()
    assert (store.stat().st_mode & 0o777, secret in (store / "stopsign.sealed").read_bytes()) == (0o700, False)
    opens = "systemd-creds decrypt --name=stopsign.sealed /etc/credstore.encrypted/stopsign.sealed -"
    assert run_as_root("host", opens).stdout == secret
    elsewhere = run_as_root("other", "systemd-creds encrypt --name=any /dev/null any", opens)
    assert (elsewhere.returncode, elsewhere.stdout) == (1, b"")

    # and a further host gets it by the line of docs/many-hosts.md
    (line,) = (
        one.strip() for one in MANY.read_text("utf-8").splitlines() if one.startswith("    ssh dns1 systemd-creds")
    )
    ssh, _, encrypt = line.partition(" | ")
    own = run_as_root("host", ssh.removeprefix("ssh dns1 ")).stdout
    (tmp_path / "pipe").write_bytes(own)
    done = run_as_root("other", f"{encrypt} < pipe", opens)
    assert (done.returncode, done.stdout) == (0, secret), done.stderr


def test_each_unit_that_needs_the_key_gets_it(tmp_path: Path) -> None:
    loop = GUIDE.read_text("utf-8").partition("\n    for unit in")[2].partition("\n    done\n")[0]
    program = f"for unit in{loop}\ndone".replace("/etc/systemd/system", str(tmp_path))
    subprocess.run(["sh", "-ec", program], check=True)
    written = {path.parent.name: path.read_text() for path in tmp_path.glob("*/*.conf")}
    opens = "[Service]\nLoadCredentialEncrypted=stopsign.sealed\n"
    assert written == {f"stopsign-{unit}.service.d": opens for unit in ("dns", "steward", "web")}
