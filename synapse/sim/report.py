"""What a simulation found, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

LABEL_CHARACTERS: Final = 24


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one scenario. Times are virtual; nothing here depends on the machine."""

    scenario: str
    nodes: int
    seed: int
    virtual_ms: int
    records: int
    acknowledged: int  # memories and tasks that users were told are kept, private ones included
    lost: int  # of them, those that some honest host lacks at the end; private ones, their own
    converged: bool
    converged_after_ms: int  # from the last write or repair
    exchanges: int
    messages: int
    bytes_sent: int
    idle_bytes_a_node_a_minute: int
    redundancy: float  # payloads that were known already, per payload that was new
    spread_p50_ms: int  # from acknowledgement to the disk of another host
    spread_p99_ms: int
    tasks: int
    tasks_answered: int
    refused: dict[str, int]
    trace: str
    failures: tuple[str, ...]
    trace_tail: tuple[str, ...]

    @property
    def command(self) -> str:
        """What repeats this run, to the byte."""
        return f"synapse sim --nodes {self.nodes} --seed {self.seed} --scenario {self.scenario}"

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {**asdict(self), "command": self.command}

    def render(self) -> str:
        """Aligned lines for a terminal."""
        lines = [f"{label:<{LABEL_CHARACTERS}}{value}" for label, value in self._rows()]
        if self.failures:
            lines += ["", "FAILED", *(f"  {failure}" for failure in self.failures)]
            lines += ["", "The last that happened:", *self.trace_tail]
        return "\n".join(lines)

    def _rows(self) -> list[tuple[str, str]]:
        refused = ", ".join(f"{reason} {count:,}" for reason, count in self.refused.items())
        spread = f"p50 {_seconds(self.spread_p50_ms)}, p99 {_seconds(self.spread_p99_ms)}"
        convergence = f"yes, {_seconds(self.converged_after_ms)} after the last write or repair"
        rows = [
            ("scenario", f"{self.scenario}, {self.nodes} nodes, seed {self.seed}"),
            ("virtual time", _seconds(self.virtual_ms)),
            ("records", f"{self.records:,}"),
            ("acknowledged", f"{self.acknowledged:,}, of which lost: {self.lost:,}"),
            ("converged", convergence if self.converged else "no"),
            ("dissemination", spread),
            ("redundancy", f"{self.redundancy:.2f} known payloads per new one"),
            ("messages", f"{self.messages:,} in {self.exchanges:,} exchanges"),
            ("bytes on the wire", f"{self.bytes_sent:,}"),
            ("idle", f"{self.idle_bytes_a_node_a_minute:,} bytes per node per minute"),
            ("refused", refused or "nothing"),
            ("trace", self.trace),
            ("repeat with", self.command),
        ]
        if self.tasks:
            answered = f"{self.tasks_answered:,} of {self.tasks:,} answered"
            rows.insert(5, ("tasks", answered))
        return rows


def _seconds(ms: int) -> str:
    return f"{ms / 1_000:,.2f} s"
