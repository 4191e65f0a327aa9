"""Every path of a running provider, in one frozen value that is computed and never searched for.

`state_dir` is durable, `run_dir` is a tmpfs that a reboot empties, `log_dir` holds what may be published.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# Three are parts of a provider, and so of names of users and folders; a user's name has 31 characters (useradd(8)).
_INSTANCE = re.compile(r"/run/stopsign-(?!(?:dns|steward|web|rpz|issuer)\Z)([a-z0-9]{1,14})\Z").match


def control_socket(run_dir: Path) -> Path:
    """The steward's, for a caller that knows `run_dir` only."""
    return run_dir / "control.sock"


@dataclass(frozen=True, slots=True)
class ListPlaces:
    """One list's part of the state directory."""

    root: Path

    @property
    def tuf(self) -> Path:
        """The verifying client's trusted metadata."""
        return self.root / "tuf"

    @property
    def verified(self) -> Path:
        """The last verified head, document and relief, as published."""
        return self.root / "verified"

    @property
    def applied(self) -> Path:
        """The applied document: the source of the compiled list."""
        return self.root / "applied"

    @property
    def state(self) -> Path:
        """The state of this list: versions, additions of the last week, held additions with reasons."""
        return self.root / "state.json"


@dataclass(frozen=True, slots=True)
class Places:
    state_dir: Path
    run_dir: Path
    log_dir: Path

    @property
    def instance(self) -> str:
        """The short name of one of several providers on this host: its `run_dir` is /run/stopsign-NAME. Else empty."""
        found = _INSTANCE(str(self.run_dir))
        return found[1] if found else ""

    def kept(self, name: str) -> Path:
        """Every document of a list that the log names."""
        return self.state_dir / "kept" / name

    def list(self, name: str) -> ListPlaces:
        return ListPlaces(self.state_dir / "lists" / name)

    @property
    def generation(self) -> Path:
        """The durable copy of the compiled list."""
        return self.state_dir / "generation.list"

    @property
    def current(self) -> Path:
        """The live compiled list, on tmpfs, renamed into place; every worker reads it."""
        return self.run_dir / "current.list"

    @property
    def generations(self) -> Path:
        """The one folder on tmpfs that the steward alone writes in: compiled lists before they are live, and after it
        until their counts have arrived."""
        return self.run_dir / "generations"

    @property
    def lists(self) -> Path:
        """When each list was last confirmed, on tmpfs, for the stop page."""
        return self.run_dir / "lists.json"

    @property
    def soaking(self) -> Path:
        """Since when which versions run here, on tmpfs, by a clock that begins at the boot."""
        return self.run_dir / "soaking.json"

    @property
    def decisions(self) -> Path:
        """Issuers' decisions on appeals, on tmpfs, for the receipts."""
        return self.run_dir / "decisions.json"

    @property
    def steward_lock(self) -> Path:
        return self.state_dir / "steward.lock"

    @property
    def overrides(self) -> Path:
        return self.state_dir / "overrides.json"

    @property
    def questions(self) -> Path:
        """When names were asked for while sealed lists are active."""
        return self.state_dir / "questions.json"

    @property
    def suspensions(self) -> Path:
        """Entries suspended here because an appeal is overdue."""
        return self.state_dir / "suspensions.json"

    @property
    def appeals(self) -> Path:
        """The appeals that have a leaf, with the steward's time of each."""
        return self.state_dir / "appeals.json"

    @property
    def words(self) -> Path:
        """Words to and from the other hosts that share the database."""
        return self.state_dir / "words.json"

    @property
    def bypass(self) -> Path:
        """The off switch as the operator set it; durable, so that a restart does not undo it."""
        return self.state_dir / "bypass.json"

    @property
    def exceptions(self) -> Path:
        """Overrides and bypass together, on tmpfs; every worker polls it."""
        return self.run_dir / "passes.json"

    @property
    def reserve(self) -> Path:
        """Room on the tmpfs for the exceptions when it is full."""
        return self.run_dir / "reserve"

    def rpz(self, origin: str) -> Path:
        """The durable part of a response policy zone: serial, rules, last changes."""
        return self.state_dir / "rpz" / origin

    @property
    def rpz_said(self) -> Path:
        """The status of the process of the zones, in the one folder of `run_dir` that it writes to."""
        return self.run_dir / "rpz" / "said.json"

    @property
    def rpz_socket(self) -> Path:
        return self.run_dir / "rpz" / "rpz.sock"

    @property
    def control_socket(self) -> Path:
        return control_socket(self.run_dir)

    @property
    def supervisor_socket(self) -> Path:
        return self.run_dir / "supervisor.sock"

    @property
    def supervisor_lock(self) -> Path:
        """Held by the supervisor from its first moment to its last."""
        return self.run_dir / "supervisor.lock"

    @property
    def web_socket(self) -> Path:
        """In its own folder: the web process, under its own user, writes nowhere else in `run_dir`."""
        return self.run_dir / "web" / "web.sock"

    @property
    def last_applied(self) -> Path:
        """The configuration that the supervisor applied last, for a command that finds the file itself broken."""
        return self.run_dir / "taken-up.yaml"

    @property
    def addresses(self) -> Path:
        """The addresses of the processes, by their supervisor."""
        return self.run_dir / "addresses.json"

    @property
    def workers(self) -> Path:
        return self.run_dir / "workers"

    def counters(self, worker: int) -> Path:
        return self.workers / f"{worker}.counters"

    def sketches(self, worker: int) -> Path:
        return self.workers / f"{worker}.watched"

    @property
    def audit_dir(self) -> Path:
        """The log's private half: `log.key` and the details."""
        return self.state_dir / "audit"

    @property
    def log_details(self) -> Path:
        return self.audit_dir / "details"

    @property
    def log_vkey(self) -> Path:
        return self.log_dir / "log.vkey"

    @property
    def checkpoint(self) -> Path:
        return self.log_dir / "checkpoint"

    def activated(self, name: str) -> Path:
        """A proof that the log has this list's newest activation."""
        return self.log_dir / "activated" / f"{name}.tlog-proof"

    @property
    def report(self) -> Path:
        """The transparency report of the last thirty days, for everybody; beside it the same as CSV."""
        return self.log_dir / "report.json"
