"""Every path of a running provider, in one frozen value that is computed and never searched for.

`state_dir` is durable, `run_dir` is a tmpfs that a reboot empties, `log_dir` holds what may be published.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def control_socket(run_dir: Path) -> Path:
    """The steward's, for one who knows no more than `run_dir`."""
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
        """What the guards let through: the source of the compiled list."""
        return self.root / "applied"

    @property
    def state(self) -> Path:
        """What the steward knows of this list: versions, additions of the last week, what is held and why."""
        return self.root / "state.json"


@dataclass(frozen=True, slots=True)
class Places:
    state_dir: Path
    run_dir: Path
    log_dir: Path

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
        """Live lists of before, on tmpfs, while counts of theirs are on their way."""
        return self.run_dir / "generations"

    @property
    def lists(self) -> Path:
        """When each list was last confirmed, on tmpfs, for the stop page."""
        return self.run_dir / "lists.json"

    @property
    def decisions(self) -> Path:
        """What issuers decided on appeals, on tmpfs, for the receipts."""
        return self.run_dir / "decisions.json"

    @property
    def overrides(self) -> Path:
        return self.state_dir / "overrides.json"

    @property
    def suspensions(self) -> Path:
        """Entries taken off here because an appeal is overdue."""
        return self.state_dir / "suspensions.json"

    @property
    def appeals(self) -> Path:
        """The appeals of which the log has a leaf, with the steward's own time of each."""
        return self.state_dir / "appeals.json"

    @property
    def words(self) -> Path:
        """What this host said to the others that share its database, and what it heard from them."""
        return self.state_dir / "words.json"

    @property
    def bypass(self) -> Path:
        """The off switch as the operator set it; durable, so that a restart does not undo it."""
        return self.state_dir / "bypass.json"

    @property
    def passes(self) -> Path:
        """Overrides and bypass together, on tmpfs; every worker polls it."""
        return self.run_dir / "passes.json"

    @property
    def reserve(self) -> Path:
        """Room on the tmpfs for the passes, should all other be taken."""
        return self.run_dir / "reserve"

    def rpz(self, origin: str) -> Path:
        """What is durable of a response policy zone: its serial, its rules and its last changes."""
        return self.state_dir / "rpz" / origin

    @property
    def rpz_said(self) -> Path:
        """What the process of the zones says of itself: in the one folder of `run_dir` that it writes to."""
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
        """In a folder of its own: under a user of its own the web process writes nowhere else in `run_dir`."""
        return self.run_dir / "web" / "web.sock"

    @property
    def last_applied(self) -> Path:
        """The configuration that the supervisor applied last, for a command that finds the file itself broken."""
        return self.run_dir / "taken-up.yaml"

    @property
    def addresses(self) -> Path:
        """Where the processes really listen, as their supervisor says."""
        return self.run_dir / "addresses.json"

    @property
    def workers(self) -> Path:
        return self.run_dir / "workers"

    def counters(self, worker: int) -> Path:
        return self.workers / f"{worker}.counters"

    def watched(self, worker: int) -> Path:
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
        """A proof that this list's newest activation stands in the log."""
        return self.log_dir / "activated" / f"{name}.tlog-proof"

    @property
    def report(self) -> Path:
        """The transparency report of the last thirty days, for everybody; beside it the same as CSV."""
        return self.log_dir / "report.json"
