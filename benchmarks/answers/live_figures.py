"""What a live run came to: accuracies, differences from the best model so far, calls, calibration.

Figures are named as those of the replay, where they are the same. Accuracies are in points (0 to
100); an interval is of 95 %, resampling items. Differences are of the same items.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np

from benchmarks.answers import baselines, twin
from benchmarks.answers.live import (
    BEST,
    LAYER,
    LOOK_EVERY,
    LOOKS_FROM,
    PROTOCOL,
    SAMPLED,
    Answered,
    Floats,
    LiveError,
    Plan,
    Progress,
    Stream,
    collect,
    points,
)
from benchmarks.answers.recorded import NO_ANSWER
from benchmarks.answers.replay import Figure
from benchmarks.answers.statistics import Estimate, calibration_error, paired_bootstrap
from synapse.core.reasoning.canonical import grouped

EVERY: Final = "all topics"


def run(plan: Plan, progress: Progress = lambda done, sent: None) -> Iterator[dict[str, Any]]:
    """Every figure as a dictionary. Raises LiveError when there is nothing to tell."""
    stream = asyncio.run(collect(plan, progress))
    if not stream.counted:
        raise LiveError(
            f"the budget of {plan.budget} calls ended after {len(stream.done)} of {plan.items} "
            f"items, of which {plan.teaching} only teach; raise it and run again: what is recorded "
            f"in {plan.cassette.name} is not asked twice"
        )
    yield from (asdict(figure) for figure in figures(stream))


def figures(stream: Stream) -> Iterator[Figure]:
    """All of them; the main comparison is the only one that is tested."""
    plan, counted = stream.plan, stream.counted
    team, calls = len(plan.models), float(np.mean([one.calls for one in counted]))
    used = {BEST: 1.0, "mean member": 1.0, "single best, told which": 1.0}
    used |= {PROTOCOL: calls, SAMPLED: calls}
    rights = _rights(counted)
    for rule, right in rights.items():
        name = f"team of {team}: {rule}"
        spent = used.get(rule, float(team))
        yield _figure(plan, name, points(right, seed=plan.seed), counted, calls=spent)
        if rule == PROTOCOL:
            yield _main(stream, name)
        elif rule not in (BEST, "mean member"):
            yield _figure(plan, f"{name} - {BEST}", _gain(right, rights, plan), counted)
    for topic in sorted({one.item.topic for one in counted}):
        about = [one for one in counted if one.item.topic == topic]
        its = _rights(about)
        name = f"team of {team}: {PROTOCOL} - {BEST}"
        yield _figure(plan, name, _gain(its[PROTOCOL], its, plan), about, topic=topic)
    many = np.array([[one.calls for one in counted]], dtype=float)
    yield _figure(plan, f"{PROTOCOL}: calls", paired_bootstrap(many, seed=plan.seed), counted)
    yield from _calibration(plan, counted)


def _main(stream: Stream, name: str) -> Figure:
    """The one comparison a run is made for."""
    plan, counted = stream.plan, stream.counted
    rights = _rights(counted)
    found = _gain(rights[PROTOCOL], rights, plan)
    looks = max(0, (len(counted) - LOOKS_FROM) // LOOK_EVERY + 1)
    note = f"{plan.teaching} items taught before; {looks} looks; ended after {len(counted)}"
    return _figure(plan, f"{name} - {BEST}", found, counted, note=note, p=found.p)


def _gain(right: Floats, rights: dict[str, Floats], plan: Plan) -> Estimate:
    return points(right - rights[BEST], seed=plan.seed)


def _calibration(plan: Plan, counted: Sequence[Answered]) -> Iterator[Figure]:
    """How far the protocol's posterior is from how often it was right."""
    said = [(one.posterior, one.right[PROTOCOL]) for one in counted if one.posterior is not None]
    if not said:
        return
    chances = np.array([chance for chance, _ in said], dtype=float)
    error = calibration_error(chances, np.array([hit for _, hit in said], dtype=np.bool_))
    name = f"ECE of {PROTOCOL}"
    yield Figure(LAYER, EVERY, name, error, None, None, len(said), None, plan.command)


def _figure(
    plan: Plan,
    name: str,
    found: Estimate,
    about: Sequence[Answered],
    *,
    topic: str = EVERY,
    calls: float | None = None,
    note: str = "",
    p: float | None = None,
) -> Figure:
    return Figure(
        LAYER, topic, name, found.value, found.low, found.high, len(about), calls, plan.command,
        note, p,
    )  # fmt: skip


def _rights(counted: Sequence[Answered]) -> dict[str, Floats]:
    """Whether each rule was right, by item."""
    members = np.array([one.members for one in counted], dtype=float).T
    rights = {
        "mean member": members.mean(axis=0),
        "single best, told which": members[members.mean(axis=1).argmax()],
    }
    for rule in counted[0].right:
        rights[rule] = np.array([one.right[rule] for one in counted], dtype=float)
    leaders = baselines.dawid_skene(_groups(counted))
    places = np.arange(len(counted))
    rights["Dawid-Skene"] = np.where(
        leaders != NO_ANSWER, members[np.maximum(leaders, 0), places], 0.0
    )
    rights["any member right"] = members.max(axis=0)
    return rights


def _groups(counted: Sequence[Answered]) -> twin.Ints:
    """Which members say the same, item by item."""
    groups = np.full((len(counted[0].answers), len(counted)), NO_ANSWER, dtype=np.int64)
    for place, one in enumerate(counted):
        spoke = [m for m, answer in enumerate(one.answers) if answer is not None]
        said = [str(one.answers[m]) for m in spoke]
        found = grouped(said, one.item.kind, one.item.choices).groups
        groups[spoke, place] = [spoke[group] for group in found]
    return groups
