"""What a command imports before it begins: its own words, and nothing that takes long to load."""

from __future__ import annotations

import gc
import subprocess
import sys

import click
import pytest

from blocklists.issuer.command import issuer
from resolver.cli import main

HEAVY = (
    "aiohttp", "alembic", "asyncio", "asyncpg", "babel", "cryptography", "dns", "idna", "jinja2", "prometheus_client",
    "pydantic", "resolver._core", "rich", "securesystemslib", "sqlalchemy", "ssl", "tuf", "uvloop", "yaml",
    "zstandard",
)  # fmt: skip
EVERY = f"""
import sys
import click
from resolver.cli.main import stopsign

def helped(command, context):
    seen = 1
    command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            seen += helped(inner, click.Context(inner, info_name=name, parent=context))
    return seen

seen = helped(stopsign, click.Context(stopsign, info_name="stopsign"))
print(seen, *sorted(sys.modules.keys() & set({HEAVY!r})))
"""


def test_help_of_every_command_loads_none_of_the_heavy_packages() -> None:
    run = subprocess.run([sys.executable, "-c", EVERY], capture_output=True, text=True, check=True, timeout=60)
    seen, *loaded = run.stdout.split()
    assert int(seen) > 60
    assert loaded == []


def test_a_list_is_fetched_and_verified_by_one_http_client_which_only_a_url_loads() -> None:
    program = """
import sys
from blocklists import fetch, verify
for address in ("/srv/lists", "https://lists.example/"):
    fetch.place(address, fetch.Deadline(1))
    print("urllib3" in sys.modules, "http.client" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout == "False False\nFalse True\n"


def test_python_pkcs11_is_loaded_by_the_first_use_of_a_token_and_not_before() -> None:
    program = """
import sys
from blocklists.issuer import keys, token
print(sys.modules["pkcs11"], "asn1crypto" in sys.modules)
try:
    token.public_key("hsm:2", lambda: "")
except token.TokenError:
    print(sys.modules["pkcs11"].__name__)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout == "None False\npkcs11\n"


# What a step of a readable list from a directory imports, and what it can do without.
STEPS = {
    "propose": ("desk", "propose", "request"),
    "sign": ("keys", "known", "request", "review", "show", "sign"),
    "publish": ("desk", "publish", "request"),
    "withdraw": ("desk", "withdraw"),
}
SPARED = {"asn1crypto", "ctypes", "difflib", "email", "http", "pkcs11", "socket", "ssl", "urllib3"}
SPARED_BY = {
    "propose": {"blocklists.bundle", "blocklists.client"},
    "sign": {"blocklists.bundle", "blocklists.importers.intake", "blocklists.issuer.propose"},
    "publish": {"blocklists.bundle", "blocklists.issuer.sealing", "idna", "publicsuffixlist"},
    "withdraw": {"blocklists.bundle", "blocklists.client", "blocklists.issuer.sealing", "idna", "publicsuffixlist"},
}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_of_the_desk_imports_only_what_a_readable_list_in_a_directory_needs(step: str) -> None:
    modules = ", ".join(f"blocklists.issuer.{name}" for name in ("command", *STEPS[step]))
    program = f"import sys, resolver.cli.main, {modules}; print(*(name for name in sys.modules if sys.modules[name]))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert set(run.stdout.split()) & (SPARED | SPARED_BY[step]) == set()


def test_a_desk_s_command_never_looks_for_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    look = click.Command("look", callback=lambda: seen.append(gc.isenabled()))
    monkeypatch.setitem(issuer.commands, "look", look)
    monkeypatch.setitem(main.stopsign.commands, "look", look)
    for words in (["issuer", "look"], ["look"]):
        with pytest.raises(SystemExit):
            main.main(words)
        gc.enable()
        gc.unfreeze()
    assert seen == [False, True]
