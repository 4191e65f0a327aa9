"""What the tests share: which system packages and data a test needs, and a clear word at the end about what is missing.

A test that needs a program says `@pytest.mark.needs("dig")`; one that needs the real names says `needs("data")`. Where
it is missing the test is skipped and the run ends with the one line that installs it; with STOPSIGN_NO_SKIPS=1 (the
gate) a skip is a failure.
"""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

import hypothesis
import pytest

# The program a test runs -> the Debian package that brings it.
PACKAGES = {
    "ansible-playbook": "ansible-core",
    "bird": "bird2",
    "chromium": "chromium",
    "curl": "curl",
    "delv": "bind9-dnsutils",
    "dig": "bind9-dnsutils",
    "dnsdist": "dnsdist",
    "dnsperf": "dnsperf",
    "dnssec-signzone": "bind9-utils",
    "dnstap-read": "bind9-dnsutils",
    "faketime": "faketime",
    "fstrm_capture": "fstrm-bin",
    "gpgv": "gpgv",
    "initdb": "postgresql",
    "ip": "iproute2",
    "kdig": "knot-dnsutils",
    "keepalived": "keepalived",
    "kresd": "knot-resolver lua-cqueues",  # with which it sees a new zone file
    "named": "bind9",
    "named-compilezone": "bind9-utils",
    "nginx": "nginx-light",
    "nsd": "nsd",
    "nsupdate": "bind9-dnsutils",
    "ldns-signzone": "ldnsutils",
    "pdns_recursor": "pdns-recursor",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "softhsm2-util": "softhsm2",
    "sqlite3": "sqlite3",
    "systemd-analyze": "systemd",
    "systemd-creds": "systemd",
    "unbound": "unbound",
    "wrk": "wrk",
    "zzuf": "zzuf",
}
DATA = Path(os.environ.get("STOPSIGN_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
NO_SKIPS = os.environ.get("STOPSIGN_NO_SKIPS") == "1"
# Under this key a skipped test's report carries the package that it lacks: reports travel from worker to main process.
_MISSING = "missing package"


def find_program(program: str) -> str | None:
    """The program's path, also where Debian keeps servers off the user's PATH."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return shutil.which(program, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin", *map(str, versions)]))


# An example may take its time, and so may drawing it: the machine is shared with other tests.
hypothesis.settings.register_profile("stopsign", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("stopsign")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "xdist_group(name): tests of one name never run side by side")
    config.addinivalue_line("markers", 'needs(*programs): skipped unless they are installed; "data" is the real names')


def pytest_runtest_setup(item: pytest.Item) -> None:
    needed = [name for mark in item.iter_markers("needs") for name in mark.args]
    for name in needed:
        if name == "data":
            if not DATA.is_dir():
                pytest.skip("needs the lists of real names: set STOPSIGN_DATA to their directory")
        elif find_program(name) is None:
            item.user_properties.append((_MISSING, PACKAGES[name]))
            pytest.skip(f"needs {name}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> object:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if NO_SKIPS and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be: {report.longrepr}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for found in terminalreporter.stats.values() for report in found]
    properties = [pair for report in reports for pair in getattr(report, "user_properties", ())]
    if missing := {package for key, package in properties if key == _MISSING}:
        terminalreporter.write_line(f"to run what was skipped: apt-get install {' '.join(sorted(missing))}")


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each test, its path shorter than pytest's own: a Unix socket's has 107 octets at most."""
    return tmp_path_factory.mktemp("t")


@pytest.fixture(scope="session")
def real_names() -> list[str]:
    """The 172,000 names of the two real lists, as they stand in the files (junk included)."""
    files = sorted(DATA.glob("stevenblack-*.domains.txt.gz")) + sorted(DATA.glob("ut1-gambling-*.domains.txt.gz"))
    lines = [line.strip() for path in files for line in gzip.decompress(path.read_bytes()).decode().splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


@pytest.fixture(scope="session")
def popular_names() -> list[str]:
    """100,000 popular names, most popular first."""
    (path,) = DATA.glob("top-100k-*.domains.txt.gz")
    return gzip.decompress(path.read_bytes()).decode().split()
