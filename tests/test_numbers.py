"""The numbers in the documents are those of the program.

One table: the document, the sentence's fixed words around the number (`{}`; line breaks count as spaces), and where the
program has it. A sentence that has gone, or is said in other words, fails as a wrong number does. Of `docs/alarms.md`,
which is read at night, no number of seconds is left out.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from resolver.base import disk_space, file_watch
from resolver.cli import lists as lists_command
from resolver.cli import operate, status
from resolver.config.schema_dns import Limits
from resolver.config.schema_portal import Clocks
from resolver.host import apply, run
from resolver.ipc import control, convergence, worker_counters
from resolver.lists import shadow
from resolver.policy import overrides
from resolver.rpz import notify
from tests.rigs.dns_host import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

NUMBER = r"(\d+(?:[.,]\d+)*)"
MiB = 1 << 20


def of_core(file: str, name: str) -> float:
    """A constant of the core."""
    text = (ROOT / "core" / "dnscore" / "src" / file).read_text(encoding="utf-8")
    (value,) = re.findall(rf"^(?:pub )?const {name}: \w+ = (?:SECOND \* )?([\d_]+)(?: \* SECOND)?;", text, re.MULTILINE)
    return float(value.replace("_", ""))


def of_unit(unit: str, key: str) -> float:
    """A number of a unit; of a time, in seconds."""
    text = (ROOT / "systemd" / unit).read_text(encoding="utf-8")
    ((value, part),) = re.findall(rf"^{key}=(\d+)(ms|s|)$", text, re.MULTILINE)
    return float(value) / (1000 if part == "ms" else 1)


def stated(file: str, *keys: str) -> float:
    """A version that the build demands."""
    found: Any = tomllib.loads((ROOT / file).read_text(encoding="utf-8"))
    for key in keys:
        found = found[key]
    return float(str(found).removeprefix(">="))


def default(model: Any, field: str) -> float:
    return float(model.model_fields[field].default)


OPERATOR, ALARMS, README, APPEALS, RPZ = (
    "docs/operator.md", "docs/alarms.md", "README.md", "docs/appeals.md", "docs/rpz.md",
)  # fmt: skip
ARCHITECTURE, DECISIONS = "ARCHITECTURE.md", "docs/decisions"
SILENT, LATE = worker_counters.SILENT, worker_counters.LATE
DNS, STEWARD, WEB = (f"stopsign-{name}.service" for name in ("dns", "steward", "web"))
# Document, words around it, what the program has.
TABLE: list[tuple[str, str, Callable[[], float]]] = [
    (ALARMS, "`dns.limits.upstream_timeout` ({} s)", lambda: default(Limits, "upstream_timeout")),
    (ALARMS, "systemd starts it again after {} ms", lambda: 1000 * of_unit(DNS, "RestartSec")),
    (ALARMS, "(no answer within {} s)", lambda: status.PATIENCE),
    (ALARMS, "the supervisor replaces the others after {} s", lambda: run.SLOW),
    (ALARMS, "without a heartbeat for more than {} s, which is hung", lambda: LATE),
    (ALARMS, "for more than 2 s, which is hung after {}:", lambda: SILENT),
    (ALARMS, "or more than {} s late)", lambda: of_core("relay/mod.rs", "LIFE") / 1e6),
    (ALARMS, "the workers have waited {} s for it", lambda: run.REBOOTED),
    (ALARMS, "It reads the file again every {} s", lambda: file_watch.AGAIN),
    (ALARMS, "is used again at the first query after {} s at most", lambda: of_core("relay/health.rs", "RAREST")),
    (ALARMS, "(it asks every {} s, then every", lambda: of_core("relay/health.rs", "TCP_RARELY")),
    (ALARMS, "(it asks every 30 s, then every {} s)", lambda: of_core("relay/health.rs", "TCP_OFTEN")),
    (ALARMS, "take it out only where {} questions in a row", lambda: of_core("relay/health.rs", "SILENCES")),
    (ALARMS, "More than half of its last {} answers", lambda: of_core("relay/health.rs", "ANSWERS_JUDGED")),
    (ALARMS, "*clients that wait for one question*, more than {} |", lambda: of_core("relay/mod.rs", "MAX_WAITERS")),
    (ALARMS, "It ends within {} s of the port being free", lambda: run.LEAVING),
    (ALARMS, "It is tried again every {} s, so a mended file", lambda: file_watch.AGAIN),
    (ALARMS, "is full: less than {} MiB is free", lambda: disk_space.NOTHING / MiB),
    (ALARMS, "is nearly full: less than {}% and", lambda: 100 * disk_space.SHARE),
    (ALARMS, "% and less than {} MiB are free", lambda: disk_space.LEAST / MiB),
    (OPERATOR, "replaces one that was silent for {} s. Under `stopsign run`", lambda: SILENT),
    (OPERATOR, "that of the zones when one was silent for {} s", lambda: run.SLOW),
    (OPERATOR, "pauses that grow to {} s for DNS", lambda: of_unit(DNS, "RestartMaxDelaySec")),
    (OPERATOR, "for DNS and to {} s for the others", lambda: of_unit(STEWARD, "RestartMaxDelaySec")),
    (OPERATOR, "before that they stay at {}, 1 and 2 s", lambda: of_unit(DNS, "RestartSec")),
    (OPERATOR, "before that they stay at 0.2, {} and 2 s", lambda: of_unit(WEB, "RestartSec")),
    (OPERATOR, "before that they stay at 0.2, 1 and {} s", lambda: of_unit(STEWARD, "RestartSec")),
    (OPERATOR, "does not answer within {} s is named", lambda: apply.AGREE),
    (OPERATOR, "that is starting is waited for, {} s at most", lambda: apply.START),
    (OPERATOR, "Lists that are `urgent` are watched for {} minutes", lambda: shadow.URGENT / 60),
    (OPERATOR, "with fewer than {} clients they prove nothing", lambda: shadow.FEWEST),
    (OPERATOR, "does not follow within {} s they name it and exit 1", lambda: convergence.PATIENCE),
    (OPERATOR, "that the steward does not answer within {} s fails", lambda: control.WAIT),
    (OPERATOR, "fails (`lists approve`: {} s)", lambda: lists_command.LONG),
    (OPERATOR, "(a worker without a heartbeat for {} s, not yet", lambda: LATE),
    (OPERATOR, "without a heartbeat for 2 s, not yet for {})", lambda: SILENT),
    (OPERATOR, "no upstream has answered anything for {} s,", lambda: default(Limits, "patience")),
    (OPERATOR, "has answered anything for `dns.limits.patience` ({} s)", lambda: default(Limits, "patience")),
    (OPERATOR, "after `dns.limits.patience` ({} s)", lambda: default(Limits, "patience")),
    (OPERATOR, "a hung one after {} s without a heartbeat", lambda: SILENT),
    (OPERATOR, "shows it as *silent* after {} s", lambda: LATE),
    (OPERATOR, "systemd starts it again after {} ms", lambda: 1000 * of_unit(DNS, "RestartSec")),
    (OPERATOR, "(after more deaths than {}, 5 s)", lambda: of_unit(DNS, "RestartSteps")),
    (OPERATOR, "(after more deaths than five, {} s)", lambda: of_unit(DNS, "RestartMaxDelaySec")),
    (OPERATOR, "restarted (a hung one after {} s, under systemd", lambda: run.SLOW),
    (OPERATOR, "s, under systemd {} s); DNS", lambda: of_unit(STEWARD, "WatchdogSec")),
    (OPERATOR, "the workers wait up to {} s, from the start", lambda: run.REBOOTED),
    (OPERATOR, "the client gets it after {} s, as RFC 8767", lambda: of_core("relay/mod.rs", "CLIENT_RESPONSE") / 1e6),
    (OPERATOR, "(a quarter of a second, with `--watch` {})", lambda: operate.EVERY),
    (OPERATOR, 'stopsign override allow NAME --reason "…" --for {}h', lambda: overrides.USUAL / 3600),
    (APPEALS, "you correct yourselves, within {} hours", lambda: default(Clocks, "fact") / 3600),
    (APPEALS, "| {} hours (`portal.clocks.fact`)", lambda: default(Clocks, "fact") / 3600),
    (RPZ, "(told {} times, with pauses", lambda: notify.TRIES),
    (RPZ, "(told seven times, with pauses of {} s to", lambda: notify.FIRST),
    (RPZ, "with pauses of 1 s to {} s)", lambda: notify.FIRST * 2 ** (notify.TRIES - 1)),
    (ARCHITECTURE, "receives up to {} datagrams", lambda: of_core("sys/mod.rs", "BATCH")),
    (ARCHITECTURE, "workers wait up to {} s for the steward", lambda: run.REBOOTED),
    (
        f"{DECISIONS}/0009-sockets-belong-to-the-supervisor.md",
        "systemd restarts it after {} ms",
        lambda: 1000 * of_unit(DNS, "RestartSec"),
    ),
    (f"{DECISIONS}/0011-dns-waits-after-a-reboot.md", "Workers wait up to {} s", lambda: run.REBOOTED),
    (
        f"{DECISIONS}/0018-the-worker-asks-upstreams-itself.md",
        "- {} time-outs in a row",
        lambda: of_core("relay/health.rs", "SILENCES"),
    ),
    (
        f"{DECISIONS}/0020-stale-answers.md",
        "gets a stale answer after {} s",
        lambda: of_core("relay/mod.rs", "CLIENT_RESPONSE") / 1e6,
    ),
    (f"{DECISIONS}/0040-short-pauses-of-units.md", "DNS grows to {} s", lambda: of_unit(DNS, "RestartMaxDelaySec")),
    (README, "Python {} or newer", lambda: stated("pyproject.toml", "project", "requires-python")),
    (README, "Rust {} or newer", lambda: stated("core/Cargo.toml", "workspace", "package", "rust-version")),
]
WORDS = {"half": 0.5, "one": 1, "five": 5, "seven": 7, "twenty": 20, "Twenty": 20, "hundred": 100}
# Of alarms.md, seconds that no constant states: measured, or a round figure of how often something is looked at.
MEASURED = ("within {} s where no query comes",)


def said(document: str) -> str:
    return re.sub(r"\s+", " ", (ROOT / document).read_text(encoding="utf-8"))


def matcher(words: str) -> re.Pattern[str]:
    number = rf"({NUMBER[1:-1]}|{'|'.join(WORDS)})"
    return re.compile(number.join(re.escape(part) for part in words.split("{}")))


@pytest.mark.parametrize(("document", "words", "real"), TABLE, ids=[f"{file}: {words}" for file, words, _ in TABLE])
def test_a_number_of_a_document_is_the_program_s(document: str, words: str, real: Callable[[], float]) -> None:
    found = matcher(words).findall(said(document))
    assert found, "the sentence is said in other words: say it here likewise"
    assert {WORDS.get(number) or float(number.replace(",", "")) for number in found} == {real()}


def test_no_number_of_seconds_is_left_out_where_it_is_read_at_night() -> None:
    text = said(ALARMS)
    rows = [words for document, words, _ in TABLE if document == ALARMS] + list(MEASURED)
    held = {found.start(1) for words in rows for found in matcher(words).finditer(text)}
    left = [found for found in re.finditer(r"\b(\d+(?:\.\d+)?) m?s\b", text) if found.start(1) not in held]
    assert [text[max(found.start() - 40, 0) : found.end()] for found in left] == []
