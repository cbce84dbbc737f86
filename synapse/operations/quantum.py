"""The quantum-inspired mechanisms of one spore: which are on, their formulas, and what they did.

Pure: reads the driver and its node, changes nothing. Counts are over the shared tasks that this
spore keeps, so they fall when old ones are let go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Final

from synapse.core.reasoning.aggregation import ERROR_CORRELATION
from synapse.core.reasoning.kinds import Kind
from synapse.core.reasoning.session import CHALLENGE_ABOVE, CYCLES_MAX
from synapse.core.reasoning.task import HYPOTHESES_MAX, Task
from synapse.driver.driver import Driver
from synapse.replies import Mechanism, QuantumView
from synapse.retrieval.ranking import DECAY_LEAST

PAIRS_SHOWN: Final = 20  # of families, those graded together most


def settings(driver: Driver) -> dict[str, dict[str, Any]]:
    """Each mechanism's switch, unit, formula and settings. Cheap: health shows them."""
    quantum = driver.node.thinking.deliberations.quantum
    return {
        "annealing": {
            "enabled": quantum.annealing,
            "unit": "sampling temperature",
            "formula": "T_c = cold + (hot - cold)(1 + cos(pi c / (C - 1))) / 2",
            "T_HOT": quantum.schedule.hottest,
            "T_COLD": quantum.schedule.coldest,
            "schedule": [
                quantum.temperature(cycle, cycles=CYCLES_MAX) for cycle in range(CYCLES_MAX)
            ],
        },
        "superposition": {
            "enabled": quantum.superposition,
            "unit": "probability",
            "formula": "h_f(k) = sum of the shares of f's positions for k / max(1, all of f's)",
            "hypotheses": HYPOTHESES_MAX,
        },
        "interference": {
            "enabled": quantum.interference,
            "unit": "nats",
            "formula": "S(k) += T ln((1 - tp) / (1 - fp)) for each failed check or refutation of k",
        },
        "tunneling": {
            "enabled": quantum.tunnelling,
            "unit": "challenges per task, at most one",
            "formula": "the leader is barred for one call; what comes of it wins by checks alone",
            "threshold": CHALLENGE_ABOVE,
        },
        "entanglement": {
            "enabled": quantum.entanglement,
            "unit": "error correlation, -1 to 1",
            "formula": "f's support of k is w_f h_f(k) / (1 + sum of max(0, rho_fu) h_u(k) "
            "min(1, w_u / w_f) over other families u)",
            "prior": ERROR_CORRELATION,
        },
        "decoherence": {
            "enabled": quantum.decoherence,
            "unit": "1/day",
            "formula": "relevance *= max(floor, exp(-lambda days since last verified))",
            "lambda": quantum.decay_per_day,
            "decay_rate": quantum.decay_per_day,
            "half_life_days": quantum.half_life_days,
            "min_factor": DECAY_LEAST,
        },
    }


def told(driver: Driver) -> QuantumView:
    """Each mechanism with its counts and measurements."""
    tasks = [task for task in driver.node.ledger.tasks if not task.wish.private]
    made: Mapping[str, dict[str, Any]] = {
        "annealing": {"counts": {"positions_after_the_first_cycle": _later(tasks)}},
        "superposition": {"counts": {"split_positions": _split(tasks)}},
        "interference": {"counts": _checks(tasks)},
        "tunneling": _challenges(tasks),
        "entanglement": {"pairs": _pairs(driver)},
        "decoherence": {"tracked_keys": len(driver.index)},
    }
    return QuantumView(
        **{name: Mechanism(**told, **made[name]) for name, told in settings(driver).items()}
    )


def _later(tasks: Sequence[Task]) -> int:
    return sum(one.cycle > 0 for task in tasks for one in task.positions)


def _split(tasks: Sequence[Task]) -> int:
    return sum(len(one.hypotheses) > 1 for task in tasks for one in task.positions)


def _checks(tasks: Sequence[Task]) -> dict[str, int]:
    verdicts = [verdict.passed for task in tasks for verdict in task.verdicts]
    return {
        "passed": sum(verdicts),
        "failed": len(verdicts) - sum(verdicts),
        "refutations": sum(len(one.refutes) for task in tasks for one in task.positions),
    }


def _challenges(tasks: Sequence[Task]) -> dict[str, Any]:
    """How many challenges were answered, and how many of the answers prevailed."""
    total = won = 0
    for task in tasks:
        challenges = [one.id for one in task.positions if one.challenge]
        supporters = task.outcome.supporters if task.outcome is not None else ()
        total += len(challenges)
        won += any(one in supporters for one in challenges)
    return {"total": total, "counts": {"answered": total, "prevailed": won}}


def _pairs(driver: Driver) -> list[dict[str, Any]]:
    """How the families we may ask err together, where they were graded together."""
    families, now_ms = sorted(driver.node.thinking.routing.families()), driver.clock()
    rows: list[dict[str, Any]] = []
    for kind in Kind:
        kinship = driver.node.ledger.beliefs.judgement(kind.value, now_ms=now_ms).kinship
        rows += [
            {
                "families": [one, other],
                "kind": kind.value,
                "correlation": kinship.correlation(one, other),
                "tasks": kinship.tasks(one, other),
            }
            for one, other in combinations(families, 2)
            if kinship.tasks(one, other)
        ]
    rows.sort(key=lambda row: -row["tasks"])
    return rows[:PAIRS_SHOWN]
