"""Keys in a PKCS#11 token: SoftHSM's, used through the commands by a person who has them nowhere else."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.rigs.issuer_machines import Machines

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.needs("softhsm2-util")
DRIVER = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "correct horse battery staple"  # as the passphrase of Machines: one file answers both
GENERATE = """
import sys, pkcs11
from pkcs11.util.ec import encode_named_curve_parameters
token = pkcs11.lib(sys.argv[1]).get_token(token_label="Alice")
with token.open(user_pin=sys.argv[2], rw=True) as session:
    for number, curve in ((1, "secp384r1"), (2, "secp256r1")):
        named = {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters(curve)}
        parameters = session.create_domain_parameters(pkcs11.KeyType.EC, named, local=True)
        parameters.generate_keypair(id=bytes([number]), label=curve, store=True)
"""

WALK = """
alice$ stopsign issuer keys new keys --name Alice --token targets='hsm:2?label=Alice' --token root='hsm:1?label=Alice'
bob$ stopsign issuer keys new keys --name Bob && cp keys/card.json /media/usb/bob.json
alice$ stopsign issuer init --dir desk --name A --contact a@a.example --appeals a@a.example --card keys/card.json \
    --card /media/usb/bob.json
alice$ cp desk/requests/setup.request /media/usb/
alice$ stopsign issuer sign /media/usb/setup.request --key keys
bob$ stopsign issuer sign /media/usb/setup.request --key keys
alice$ stopsign issuer publish /media/usb/setup.request --dir desk
alice$ stopsign issuer basis o --dir desk --list g --law L --authority A --order 1 --date 2026-11-01 --territory DE \
    --court C
alice$ stopsign issuer propose --dir desk --list g --add casino.example --basis o --category x --output /media/usb/one
alice$ stopsign issuer sign /media/usb/one --key keys --repository desk/published
alice$ cp -r desk/published /media/usb/published
bob$ stopsign issuer sign /media/usb/one --key keys --repository /media/usb/published
alice$ stopsign issuer publish /media/usb/one --dir desk
"""


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machines:
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path / 'tokens'}\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    monkeypatch.setenv("PYKCS11LIB", DRIVER)
    for command in (
        ["softhsm2-util", "--init-token", "--free", "--label", "Alice", "--pin", PIN, "--so-pin", PIN],
        [sys.executable, "-c", GENERATE, DRIVER, PIN],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return Machines(tmp_path)


def test_a_list_is_signed_by_a_token_and_one_by_a_file_and_verified(machines: Machines) -> None:
    for said in WALK.strip().splitlines():
        person, _, line = said.partition("$ ")
        done = machines.run(person, line)
        assert done.returncode == 0, f"{person}$ {line}\n{done.stdout}{done.stderr}"
    verified = machines.run("alice", "stopsign issuer verify desk/published --list g --root desk/root.json")
    assert verified.stdout.startswith("g version 1: 1 entries, 0 suspended, signed by 2 of at least 2")
    held = {path.name for path in (machines.folder / "alice" / "keys").iterdir() if path.is_file()}
    assert held >= {"card.json", "root.uri", "targets.uri", "relief.pem"}
    assert not held & {"root.pem", "targets.pem"}


def test_what_goes_wrong_with_a_token_is_said_in_a_sentence(machines: Machines, tmp_path: Path) -> None:
    new = "stopsign issuer keys new {} --name Alice --role targets --token targets={}"
    for uri, sentence in (
        ("hsm:2?label=Nobody", "No PKCS#11 token found for label Nobody"),
        ("hsm:7?label=Alice", "could not find ECDSA key on the PKCS#11 token"),
        ("file:2", "is not a key in a token"),
    ):
        done = machines.run("alice", new.format("none", uri))
        assert done.returncode == 2
        assert sentence in done.stderr
        assert not (tmp_path / "alice" / "none" / "card.json").exists()
    assert machines.run("alice", new.format("keys", "hsm:2?label=Alice")).returncode == 0
    (tmp_path / "passphrase").write_text("quite another thing\n")
    program = (
        "from pathlib import Path; from blocklists.issuer.keys import Keyring;"
        "Keyring.open(Path('keys')).signer('targets', lambda _: b'quite another thing').sign(b'x')"
    )
    done = machines.run("alice", f'{sys.executable} -c "{program}"')
    assert "TokenError: hsm:2?label=Alice: PinIncorrect" in done.stderr
    assert os.environ["PYKCS11LIB"] == DRIVER
