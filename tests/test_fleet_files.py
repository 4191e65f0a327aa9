"""The role for configuration management and the image's recipe: what they name exists, and Ansible accepts the role.

They are carried out on trees of Debian by `make fresh` (tests/fresh/role, tests/fresh/image).
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from resolver.base.paths import Places
from resolver.cli.main import stopsign
from resolver.config.schema import Config

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).resolve().parents[1]
ANSIBLE = ROOT / "packaging" / "ansible"
ROLE = ANSIBLE / "roles" / "stopsign"
KEY = "stop.isp.example/log/dns1+777fa807+AUJjjKEqL0jz3I2yjWHDclHdCmfgLjPfWcFTTcF3qS6A"


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The play in check mode, on this machine as one of the resolvers."""
    inventory = tmp_path / "hosts"
    host = "localhost ansible_connection=local ansible_python_interpreter=/usr/bin/python3"
    inventory.write_text(f"[resolvers]\n{host}\n", encoding="utf-8")
    package = tmp_path / "stopsign_0.1.0-1_all.deb"
    package.write_bytes(b"")

    def played(instance: str, **more: object) -> subprocess.CompletedProcess[str]:
        config = yaml.safe_load((ROOT / "config" / "stopsign.yaml").read_text(encoding="utf-8"))
        config["portal"]["database"] = "postgresql://stopsign@db/appeals"
        config["stages"] = {"stage": "wave-1", "canary": "20m"}
        config["log"] = {"peers": [KEY]}
        variables = {
            "stopsign_package": str(package), "stopsign_config": config, "stopsign_instance": instance,
            "ansible_become": False, **more,
        }  # fmt: skip
        return subprocess.run(
            ["ansible-playbook", "--inventory", inventory, "--check", "-v", "--extra-vars", json.dumps(variables),
             "stopsign.yml"],
            cwd=ANSIBLE, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    return played


@pytest.mark.needs("ansible-playbook")
def test_a_host_can_be_checked_without_a_change(
    play: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    secrets = [tmp_path / name for name in ("stopsign-north.pgpass", "stopsign-north.sealed")]
    for secret in secrets:
        secret.write_bytes(b"")
    done = play(
        "north", stopsign_stage="canary", stopsign_log_index=str(tmp_path), stopsign_log_index_key=KEY,
        stopsign_credentials=[str(secret) for secret in secrets],
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"localhost +: ok=[3-9].* failed=0", done.stdout), done.stdout
    assert not Path("/etc/sysusers.d/stopsign-north.conf").exists()
    (facts,) = re.findall(r'^ok: \[localhost\] => (.*"stopsign_written".*)$', done.stdout, re.MULTILINE)
    written = json.loads(facts)["ansible_facts"]["stopsign_written"]
    config = Config.model_validate(written)
    assert (config.stages.stage, config.stages.canary) == ("canary", 1200.0), "the host's stage, all hosts' times"
    assert config.log.peers == [KEY]
    assert config.log.index is not None
    assert config.log.index.dir == Path("/etc/stopsign/north/logs")


def carry_out(task: Mapping[str, Any], folder: Path, **variables: object) -> None:
    """One task of the role on this machine, not in check mode; the play is written to `folder`."""
    play = {
        "hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task],
        "vars": {**variables, "ansible_python_interpreter": "/usr/bin/python3"},
    }  # fmt: skip
    file = folder / "play.yml"
    file.write_text(yaml.safe_dump([play]), encoding="utf-8")
    command = ["ansible-playbook", "--inventory", "localhost,", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("ansible-playbook")
def test_secrets_come_to_a_folder_that_was_not_there(tmp_path: Path) -> None:
    """What check mode does not see."""
    tasks = yaml.safe_load((ROLE / "tasks" / "main.yml").read_text(encoding="utf-8"))
    (task,) = (task for task in tasks if task["name"] == "Secrets, encrypted for this host")
    told, store = task["ansible.builtin.copy"], tmp_path / "credstore.encrypted"
    told["dest"] = told["dest"].replace("/etc/credstore.encrypted", str(store))
    secret = tmp_path / "stopsign.sealed"
    secret.write_bytes(b"sealed")
    carry_out(task, tmp_path, stopsign_credentials=[str(secret)])
    kept = store / "stopsign.sealed"
    assert (kept.read_bytes(), kept.stat().st_mode & 0o777, store.stat().st_mode & 0o777) == (b"sealed", 0o600, 0o700)


@pytest.mark.needs("ansible-playbook")
def test_the_units_open_the_secrets_of_an_instance(tmp_path: Path) -> None:
    """Under the name that the program asks for, whatever the file's."""
    (task,) = yaml.safe_load((ROLE / "tasks" / "credential.yml").read_text(encoding="utf-8"))
    task["ansible.builtin.copy"]["dest"] = str(tmp_path / "{{ item }}")
    task["loop"] = [credential := "stopsign-north.sealed"]
    carry_out(task, tmp_path, stopsign_credential=credential)
    opens = f"LoadCredentialEncrypted=stopsign.sealed:/etc/credstore.encrypted/{credential}"
    assert opens in (tmp_path / credential).read_text(encoding="utf-8").splitlines()


def test_the_guide_s_sample_is_a_configuration() -> None:
    guide = (ROOT / "docs" / "many-hosts.md").read_text(encoding="utf-8")
    (sample,) = re.findall(r"^```yaml\n(stopsign_package: .*?)^```", guide, re.MULTILINE | re.DOTALL)
    told = yaml.safe_load(sample)
    told["stopsign_config"]["log"]["peers"] = [KEY]
    config = Config.model_validate(told["stopsign_config"])
    assert str(config.portal.database).startswith("postgresql://")
    assert [f"files/{one.trusted_root.name}" for one in config.lists if one.trusted_root] == told["stopsign_roots"]
    defaults = (ROLE / "defaults" / "main.yml").read_text(encoding="utf-8")
    assert f"stopsign_package: {told['stopsign_package']}" in defaults


@pytest.mark.needs("ansible-playbook")
def test_a_name_that_no_instance_can_have_ends_the_play(
    play: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = play("web")
    assert done.returncode == 2
    assert "The instance has a name of its own" in done.stdout


@pytest.mark.parametrize(("name", "fits"), [
    ("north", True), ("web", False), ("North", False), ("a-b", False), ("n" * 15, False), ("x; reboot", False),
])  # fmt: skip
def test_the_role_and_the_program_agree_on_names(tmp_path: Path, name: str, *, fits: bool) -> None:
    tasks = (ROLE / "tasks" / "main.yml").read_text(encoding="utf-8")
    (pattern,) = re.findall(r"match\('(.*)'\)", tasks)
    assert (re.match(pattern, name) is not None) is fits
    assert (Places(tmp_path, Path(f"/run/stopsign-{name}"), tmp_path).instance == name) is fits


def commands_in(text: str) -> list[list[str]]:
    """What is run as `stopsign …`, word by word; an option that takes a value is followed by it."""
    found = re.findall(r"(?:/opt/stopsign/bin/)?stopsign ((?:[a-z-]+)(?: --?[^\n\"']+)?)$", text, re.MULTILINE)
    return [words.split() for words in found]


def test_the_commands_of_role_and_image_exist() -> None:
    files = [*ROLE.rglob("*.yml"), ANSIBLE / "stopsign.yml"]
    said = [words for file in files for line in file.read_text(encoding="utf-8").splitlines()
            for words in commands_in(line.partition("cmd:")[2] or line.partition("validate:")[2])]  # fmt: skip
    assert {words[0] for words in said} == {"check-config", "units", "reload", "health"}
    context = stopsign.make_context("stopsign", ["version"], resilient_parsing=True)
    for command, *options in [*said, ["health"], ["run"]]:
        there = stopsign.get_command(context, command)
        assert there is not None, command
        known = {name for one in there.params for name in one.opts}
        assert {option for option in options if option.startswith("--")} <= known, command


def test_the_image_runs_as_a_user_of_the_package_and_holds_no_secret() -> None:
    recipe = (ROOT / "packaging" / "Containerfile").read_text(encoding="utf-8")
    users = (ROOT / "systemd" / "stopsign.sysusers").read_text(encoding="utf-8")
    (user,) = re.findall(r"^USER (\S+)$", recipe, re.MULTILINE)
    assert f"u {user} " in users
    assert not re.search(r"^(?:COPY|ADD) .*(?:key|pem|yaml)", recipe, re.MULTILINE)
