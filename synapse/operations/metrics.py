"""What this spore counts, as /metrics tells it: names, types and samples.

Everything is read when somebody asks, from what the spore counts anyway; only the lag of the event
loop and the time tasks took are watched. A label is one of our own words, never a text of a peer's:
any of those would be a series of its own, as many as the peer likes. `docs/operating.md` says what
each number is.
"""

from __future__ import annotations

import os
import re
import resource
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from synapse import __version__
from synapse.core.membership.failure_detector import State
from synapse.core.memory import record
from synapse.core.reasoning.idle.notebook import SPOTLIGHT, THOUGHT
from synapse.driver.driver import Driver
from synapse.operations.latency import QUICK_S, Histogram
from synapse.operations.watch import Watch

SERIES_MAX: Final = 64  # of one name: more of our own words than that are no words of ours
OTHER: Final = "other"
VERBS: Final = ("recall", "remember")
KINDS: Final = (
    record.MEMORY, record.TASK, record.POSITION, record.COMMITMENT, record.ABSTENTION,
    record.VERDICT, record.LEASE, record.OUTCOME, record.GRADE, record.RETRACTION, record.NODE,
    record.CERTIFICATE, THOUGHT, SPOTLIGHT,
)  # fmt: skip
_WORD: Final = re.compile(r"[a-z][a-z0-9_ ]{0,39}")

Labels = Mapping[str, str]
Samples = Iterable[tuple[Labels, float]]
NONE: Final[Labels] = {}


@dataclass(frozen=True, slots=True)
class Metric:
    """One name and all its samples."""

    name: str
    type: Literal["counter", "gauge"]
    help: str
    samples: Samples


@dataclass(frozen=True, slots=True)
class Timings:
    """One histogram, or one for each value of a label."""

    name: str
    help: str
    histograms: Sequence[tuple[Labels, Histogram]]


def every_metric(
    driver: Driver, watch: Watch, latency: Mapping[str, Histogram]
) -> list[Metric | Timings]:
    """Every metric. `latency` is that of the verbs."""
    return [
        *_memory(driver, latency),
        *_peers(driver, watch),
        *_tasks(driver, watch),
        *_models(driver),
        *_inside(driver, watch),
        *_process(),
    ]


def _memory(driver: Driver, latency: Mapping[str, Histogram]) -> Iterator[Metric | Timings]:
    records = driver.node.ledger.records
    private = driver.log.counts()[1]
    by_kind = records.counts_by_kind
    kinds = {kind: by_kind.get(kind, 0) for kind in KINDS}
    kinds[OTHER] = len(records) - sum(kinds.values())
    memories = {"shared": len(driver.index) - private, "private": private}
    yield _gauge("records", "Records held, by kind.", _by("kind", kinds))
    yield _gauge("records_parked", "Records that wait for others.", _one(records.parked))
    yield _counter(
        "equivocations_total",
        "Numbers that a writer used twice.",
        _one(sum(records.equivocations.values())),
    )
    yield _gauge("memories", "Memories that recall can find.", _by("scope", memories))
    yield _gauge("index_complete", "1 when every memory is indexed.", _one(driver.indexer.filled))
    timed = [({"verb": one}, latency.get(one, Histogram(QUICK_S))) for one in VERBS]
    yield Timings("synapse_verb_duration_seconds", "Time that verbs took, by verb.", timed)


def _peers(driver: Driver, watch: Watch) -> Iterator[Metric]:
    now_ms = driver.clock()
    states = Counter(peer.state(now_ms=now_ms).value for peer in driver.node.peers)
    ways, traffic = ("in", "out"), watch.traffic
    messages = dict(zip(ways, (traffic.messages_in, traffic.messages_out), strict=True))
    sizes = dict(zip(ways, (traffic.bytes_in, traffic.bytes_out), strict=True))
    yield _gauge(
        "peers", "Peers known, by state.", _by("state", {s.value: states[s] for s in State})
    )
    yield _counter("gossip_messages_total", "Messages of gossip.", _by("direction", messages))
    yield _counter("gossip_bytes_total", "Bodies of gossip, packed.", _by("direction", sizes))
    yield _counter(
        "refused_total",
        "Records and requests refused, by reason.",
        _by("reason", _words(driver.node.ledger.refused)),
    )


def _tasks(driver: Driver, watch: Watch) -> Iterator[Metric | Timings]:
    status: Counter[str] = Counter()
    for task in driver.node.ledger.tasks:
        if not task.wish.private:
            answered = task.outcome is not None and task.outcome.answer is not None
            status["answered" if answered else "unanswered" if task.outcome else "open"] += 1
    kept = {one: status[one] for one in ("open", "answered", "unanswered")}
    yield _gauge("tasks", "Shared tasks kept, by status.", _by("status", kept))
    yield _counter(
        "tasks_finished_total",
        "Own tasks that ended, by why they stopped.",
        _by("reason", _words(watch.finished)),
    )
    yield Timings(
        "synapse_task_duration_seconds",
        "From the question to the outcome, of own tasks.",
        [(NONE, watch.tasks)],
    )


def _models(driver: Driver) -> Iterator[Metric]:
    totals = sorted(driver.attempts.totals().items())[:SERIES_MAX]
    calls: list[tuple[Labels, float]] = []
    tokens: list[tuple[Labels, float]] = []
    for target, one in totals:
        outcomes = {"ok": one.replies, **_words(one.failures)}
        calls += [({"target": target, "outcome": name}, outcomes[name]) for name in outcomes]
        for direction, number in (("in", one.tokens_in), ("out", one.tokens_out)):
            tokens.append(({"target": target, "direction": direction}, number))
    yield _counter("model_calls_total", "Calls to models, by target and outcome.", calls)
    yield _counter("model_tokens_total", "Tokens read and written by models.", tokens)
    yield _counter(
        "model_duration_seconds_total",
        "Time that models took.",
        [({"target": target}, one.took_ms / 1_000) for target, one in totals],
    )
    yield _counter(
        "model_cost_dollars_total",
        "What calls cost, where providers say so.",
        [({"target": target}, one.cost_usd) for target, one in totals],
    )
    left: list[tuple[Labels, float]] = []
    states = driver.node.thinking.routing.view(driver.clock())[:SERIES_MAX]
    for state in states:
        for bucket in state.buckets:
            window = {"unit": bucket.unit, "window_seconds": str(bucket.window_ms // 1_000)}
            if bucket.left is not None:
                left.append(({"target": state.name, **window}, bucket.left))
    yield _gauge("model_quota_left", "What may still be asked in a window of time.", left)
    yield _gauge(
        "model_ready",
        "1 when a target may be asked now.",
        [({"target": one.name}, one.state == "ready") for one in states],
    )


def _inside(driver: Driver, watch: Watch) -> Iterator[Metric | Timings]:
    yield _gauge("queue_depth", "What waits inside, by queue.", _by("queue", driver.queues))
    yield _gauge("storage_stalled", "1 while nothing can be written.", _one(bool(driver.stalled)))
    yield Timings(
        "synapse_event_loop_lag_seconds", "How late the event loop was.", [(NONE, watch.lag)]
    )
    yield _gauge("build_info", "Always 1; the version.", [({"version": __version__}, 1)])


def _process() -> Iterator[Metric]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    names = "process_cpu_seconds_total", "process_resident_memory_bytes"
    yield Metric(
        names[0], "counter", "Time of processors used.", _one(used.ru_utime + used.ru_stime)
    )
    yield Metric(names[1], "gauge", "Memory held.", _one(_resident_bytes(used.ru_maxrss)))


def _resident_bytes(most: int) -> int:
    """What is held now; where the system does not say so, the most there ever was."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return most if sys.platform == "darwin" else most * 1_024


def _counter(name: str, text: str, samples: Samples) -> Metric:
    return Metric(f"synapse_{name}", "counter", text, samples)


def _gauge(name: str, text: str, samples: Samples) -> Metric:
    return Metric(f"synapse_{name}", "gauge", text, samples)


def _one(value: float) -> Samples:
    return [(NONE, value)]


def _by(label: str, values: Mapping[str, float]) -> Samples:
    return [({label: name}, value) for name, value in values.items()]


def _words(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts by words that may be labels; what else there is, together."""
    words: dict[str, int] = {}
    for name in sorted(counts):
        known = _WORD.fullmatch(name) is not None and len(words) < SERIES_MAX
        words[name if known else OTHER] = words.get(name if known else OTHER, 0) + counts[name]
    return words
