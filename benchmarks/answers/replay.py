"""Replay: what the shipped count makes of real answers that were recorded once.

    python -m benchmarks.answers --layer replay --data FILE --json

Teams are drawn at random, one model a family. Some items are graded, the shipped evidence and
beliefs learn from those grades, and the count answers the rest. Nothing is revised or challenged:
the models are not here. An accuracy is in points (0 to 100); an interval is of 95 %, resampling
items and then teams; `calls` is answers used per item.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.answers import baselines, twin
from benchmarks.answers.asking import Asking
from benchmarks.answers.drift import DRIFTS, Drift
from benchmarks.answers.federation import Federation
from benchmarks.answers.recorded import NAMES, NO_ANSWER, Recorded, load
from benchmarks.answers.statistics import (
    Estimate,
    calibration_interval,
    holm,
    paired_bootstrap,
)
from benchmarks.answers.teaching import NOW_MS, lessons, taught
from synapse.core.reasoning.aggregation import DECIDED, Check
from synapse.core.trust.beliefs import Beliefs
from synapse.core.trust.calibration import Calibration

LAYER: Final = "replay"
DATA_NAME: Final = "SYNAPSE_RECORDED_ANSWERS"  # the environment variable that names the file
TEAM: Final = 7
TEAMS: Final = 200
SWARMS: Final = 30
STREAMS: Final = 24
GRADED: Final = 100
GRADES: Final = (5, 10, 20, 50, 100, 200)
CHECK_RIGHT, CHECK_WRONG = 0.8, 0.2  # a fair checker, drawn by chance: see `interference`
ALONE: Final = f"posterior of {DECIDED} alone"
SHIPPED: Final = "stop when calls add too little"
MATCHED: Final = 0.02  # how far accuracies of matched models may lie apart
MATCHES_TRIED: Final = 2_000
SEED: Final = 20_260_101

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number with its interval, as it is printed."""

    layer: str
    dataset: str
    figure: str
    value: float | None
    low: float | None
    high: float | None
    n: int  # items; team-items for a calibration error
    calls: float | None
    command: str
    note: str = ""
    p: float | None = None  # two-sided, where hypotheses are tested; corrected (Holm)


@dataclass(frozen=True, slots=True)
class Team:
    """A team, what was graded for it and what it is tested on."""

    members: Ints  # models
    names: tuple[str, ...]  # what each is voted for as
    graded: Ints  # items
    tested: Ints

    def reordered(self, names: list[str]) -> Team:
        """The same team in another order."""
        places = [self.names.index(name) for name in names]
        return Team(self.members[places], tuple(names), self.graded, self.tested)


@dataclass(slots=True)
class Outcomes:
    """Whether a rule was right, by team and item; NaN where a team was not tested."""

    right: Floats

    @classmethod
    def empty(cls, teams: int, items: int) -> Outcomes:
        """Nothing tested yet."""
        return cls(np.full((teams, items), np.nan))


@dataclass(slots=True)
class Run:
    """A rule for stopping: calls used, whether it was right, and what it said, by team and item."""

    calls: Floats
    right: Floats
    said: Floats

    @classmethod
    def empty(cls, teams: int, items: int) -> Run:
        """Nothing asked yet."""
        return cls(*(np.full((teams, items), np.nan) for _ in range(3)))

    def play(self, row: int, team: Team, asking: Asking, groups: Ints, right: Bools) -> None:
        """Ask about every tested item until asking ends."""
        for item, said, hit in zip(team.tested, groups.T.tolist(), right.T, strict=True):
            end = asking.ends(said)
            self.calls[row, item], self.said[row, item] = end.asked, end.posterior
            self.right[row, item] = end.leader != NO_ANSWER and hit[end.leader]


class Replay:
    """All experiments on one set of recorded answers."""

    def __init__(self, data: Recorded, *, seed: int, teams: int, command: str) -> None:
        """`seed` decides which teams are drawn; `command` is what to print beside figures."""
        self.data = data
        self.seed = seed
        self.teams = teams
        self.command = command

    def figures(self) -> Iterator[Figure]:
        """Every figure of this set, one experiment after another."""
        yield self._plain("answers scored unlike the recorded text", float(self.data.unlike))
        accuracy = 100 * self.data.accuracy()
        yield self._plain("best single model", float(accuracy.max()))
        yield from self.main()
        yield from self.few_grades()
        yield from self.stopping()
        yield from self.ablations()
        yield from self.diversity()
        yield from self.federation()
        yield from self.drift()

    # Teams.

    def draw(self, size: int, *, graded: int = GRADED, held_out: int | None = None) -> list[Team]:
        """Random teams, one model a family, with `graded` items to learn from.

        The same seed draws the same teams and items, whatever is graded.
        """
        rng = np.random.default_rng(self.seed)
        families = sorted(set(self.data.families))
        drawn = []
        for _ in range(self.teams):
            chosen = rng.choice(len(families), size=size, replace=False)
            members = []
            for family in chosen:
                of = [m for m, one in enumerate(self.data.families) if one == families[family]]
                members.append(int(rng.choice(of)))
            order = rng.permutation(self.data.items)
            names = tuple(self.data.families[member] for member in members)
            held = held_out if held_out is not None else graded
            drawn.append(Team(np.array(members), names, order[:graded], order[held:]))
        return drawn

    def learn(self, team: Team) -> Beliefs:
        """What the graded items teach of this team."""
        return taught(self.data, team.members.tolist(), team.graded.tolist(), names=team.names)

    # Experiments.

    def main(self) -> Iterator[Figure]:
        """Every rule on teams of seven and of three, against the best member as graded."""
        for size in (TEAM, 3):
            outcomes: dict[str, Outcomes] = {}
            for row, team in enumerate(self.draw(size)):
                for rule, right in self._rules(team).items():
                    cells = outcomes.setdefault(rule, Outcomes.empty(self.teams, self.data.items))
                    cells.right[row, team.tested] = right
            best = outcomes["best on calibration"].right
            for rule, cells in outcomes.items():
                calls = 1.0 if "member" in rule or "best" in rule else float(size)
                name = f"team of {size}: {rule}"
                yield self._accuracy(name, cells.right, calls=calls)
                if rule not in ("best on calibration", "mean member"):
                    yield self._accuracy(f"{name} - best on calibration", cells.right - best)
        for rule in ("self-consistency", "debate"):
            yield self._figure(f"team of {TEAM}: {rule}", None, note="one reply a model, no rounds")

    def _rules(self, team: Team) -> dict[str, Floats]:
        """Whether each rule is right, by tested item."""
        groups, right = self._answers(team, team.tested)
        graded = self.data.right[team.members][:, team.graded]
        judgement = self.learn(team).judgement(self.data.kind, now_ms=NOW_MS)
        weights = np.array([judgement.weight(name) for name in team.names])
        rho = twin.correlations(judgement, team.names)
        shares = twin.spread(groups)
        leading = {
            "plurality": baselines.plurality(groups),
            "Dawid-Skene": baselines.dawid_skene(groups),
            "log-odds": twin.leaders(twin.scores(shares, weights, rho, entanglement=False)),
            "the count": twin.leaders(twin.scores(shares, weights, rho)),
        }
        return {
            "mean member": right.mean(axis=0),
            "single best, told which": right[right.mean(axis=1).argmax()].astype(float),
            "best on calibration": right[graded.mean(axis=1).argmax()].astype(float),
            **{rule: _right(lead, right) for rule, lead in leading.items()},
            "any member right": right.any(axis=0).astype(float),
        }

    def few_grades(self) -> Iterator[Figure]:
        """The count against the best member so far, after a few grades a member."""
        for graded in GRADES:
            ours = Outcomes.empty(self.teams, self.data.items)
            best = Outcomes.empty(self.teams, self.data.items)
            for row, team in enumerate(self.draw(TEAM, graded=graded, held_out=max(GRADES))):
                groups, right = self._answers(team, team.tested)
                lead = twin.leaders(self._scores(team, groups))
                ours.right[row, team.tested] = _right(lead, right)
                so_far = self.data.right[team.members][:, team.graded].mean(axis=1).argmax()
                best.right[row, team.tested] = right[so_far]
            name = f"{graded} grades: the count"
            yield self._accuracy(name, ours.right, calls=TEAM)
            yield self._accuracy(f"{name} - best so far", ours.right - best.right)

    def stopping(self) -> Iterator[Figure]:
        """Members asked in order of trust until asking more does not pay, and the calibration."""
        full = Outcomes.empty(self.teams, self.data.items)
        runs = {rule: Run.empty(self.teams, self.data.items) for rule in (SHIPPED, ALONE)}
        said = {of: np.full(full.right.shape, np.nan) for of in ("fitted", "default")}
        fits: list[Calibration] = []
        for row, drawn in enumerate(self.draw(TEAM)):
            beliefs = self.learn(drawn)
            order = beliefs.order(drawn.names, self.data.kind, now_ms=NOW_MS)
            team = drawn.reordered(order)
            before = beliefs.judgement(self.data.kind, now_ms=NOW_MS).calibration
            fit = self._calibrate(drawn, beliefs)
            fits.append(fit)
            groups, right = self._answers(team, team.tested)
            scored = self._scores(team, groups, beliefs)
            full.right[row, team.tested] = _right(twin.leaders(scored), right)
            apart = self._discord(team, groups, beliefs)
            said["fitted"][row, team.tested] = twin.posterior(scored, apart, fit)
            said["default"][row, team.tested] = twin.posterior(scored, apart, before)
            judgement = beliefs.judgement(self.data.kind, now_ms=NOW_MS)
            for rule, run in runs.items():
                asking = Asking(team.names, judgement, gaining=rule == SHIPPED)
                run.play(row, team, asking, groups, right)
        for rule, run in runs.items():
            calls = float(np.nanmean(run.calls))
            yield self._accuracy(rule, run.right, calls=calls)
            yield self._accuracy(f"{rule} - all {TEAM}", run.right - full.right, calls=calls)
            yield self._figure(f"{rule}: calls", paired_bootstrap(run.calls, seed=self.seed))
        for of, cells in said.items():
            yield self._calibration(f"ECE, {of}", cells, full.right)
        yield self._calibration("ECE when asking stopped", runs[SHIPPED].said, runs[SHIPPED].right)
        for name, values in (
            ("temperature", [one.temperature for one in fits]),
            ("score of none, nats", [one.none for one in fits]),
            ("doubt, nats", [one.doubt for one in fits]),
        ):
            yield self._plain(f"median fitted {name}", float(np.median(values)), n=self.teams)

    def _calibrate(self, team: Team, beliefs: Beliefs) -> Calibration:
        """Fit the posterior to the graded items, scored by what is believed now, after all of them
        were graded."""
        judgement = beliefs.judgement(self.data.kind, now_ms=NOW_MS)
        learnt = lessons(self.data, team.members.tolist(), team.graded.tolist(), names=team.names)
        met = [one.outcomes(judgement) for one in learnt]
        return beliefs.calibrate(self.data.kind, met, now_ms=NOW_MS)

    def _calibration(self, name: str, said: Floats, right: Floats) -> Figure:
        """How far what was said is from how often it was so, over all teams and items."""
        estimate = calibration_interval(said, right > 0, seed=self.seed)
        figure = self._figure(name, estimate)
        return replace(figure, n=int((~np.isnan(said)).sum()))

    def ablations(self) -> Iterator[Figure]:
        """Each mechanism that recorded answers can show, on and off, p corrected for all sets."""
        entangled = Outcomes.empty(self.teams, self.data.items)
        signed = Outcomes.empty(self.teams, self.data.items)
        checked = Outcomes.empty(self.teams, self.data.items)
        rng = np.random.default_rng(self.seed + 1)
        for row, team in enumerate(self.draw(TEAM)):
            groups, right = self._answers(team, team.tested)
            beliefs = self.learn(team)
            on, off = (
                _right(twin.leaders(self._scores(team, groups, beliefs, entanglement=term)), right)
                for term in (True, False)
            )
            entangled.right[row, team.tested] = on - off
            scored = self._scores(team, groups, beliefs)
            fit = self._calibrate(team, beliefs)
            evidence = fit.temperature * _drawn_checks(scored, right, rng)
            both = _right(twin.leaders(scored + evidence), right)
            positive = _right(twin.leaders(scored + np.maximum(evidence, 0.0)), right)
            signed.right[row, team.tested] = both - positive
            checked.right[row, team.tested] = both
        yield self._accuracy("ablation: entanglement on - off", entangled.right, tested=True)
        note = f"checks drawn by chance: pass right {CHECK_RIGHT}, wrong {CHECK_WRONG}"
        drawn = "replay with drawn checks"
        yield self._accuracy("the count with checks", checked.right, note=note, layer=drawn)
        yield self._accuracy(
            "ablation: interference on - off", signed.right, tested=True, note=note, layer=drawn
        )
        yield self._figure(
            "ablation: superposition on - off", None, note="one answer a model, no hypotheses"
        )

    def diversity(self) -> Iterator[Figure]:
        """Three families against one: each member matched by one of the same accuracy."""
        rng, data = np.random.default_rng(self.seed + 2), self.data
        name = "three families - one, members matched"
        large = [one for one in sorted(set(data.families)) if data.families.count(one) >= 3]
        one, three = (Outcomes.empty(self.teams, data.items) for _ in range(2))
        for row in range(self.teams):
            matched = _matched(data, large, rng)
            if matched is None:
                yield self._figure(
                    name, None, note="no models of other families are as often right"
                )
                return
            alike, mixed = matched
            order = rng.permutation(data.items)
            for cells, members in ((one, alike), (three, mixed)):
                names = tuple(data.models[member] for member in members)
                team = Team(np.array(members), names, order[:GRADED], order[GRADED:])
                groups, right = self._answers(team, team.tested)
                lead = twin.leaders(self._scores(team, groups))
                cells.right[row, team.tested] = _right(lead, right)
        yield self._accuracy(name, three.right - one.right, calls=3.0)

    def federation(self) -> Iterator[Figure]:
        """1 to 1,000 nodes, and hostile ones; at least 30 draws."""
        swarm = Federation(self.data, seed=self.seed, seeds=min(self.teams, SWARMS))
        for experiment in (swarm.sizes, swarm.hostile):
            for name, estimate in experiment():
                yield self._figure(name, estimate)

    def drift(self) -> Iterator[Figure]:
        """Decoherence of trust: months pass, and providers swap models without saying so."""
        stream = Drift(self.data, self.draw(TEAM)[:STREAMS], seed=self.seed)
        for rate in DRIFTS:
            for name, estimate, tested in stream.figures(rate):
                yield self._figure(name, estimate, tested=tested)

    # Helpers.

    def _answers(self, team: Team, items: Ints) -> tuple[Ints, NDArray[np.bool_]]:
        return (
            self.data.groups[team.members][:, items],
            self.data.right[team.members][:, items],
        )

    def _scores(
        self,
        team: Team,
        groups: Ints,
        beliefs: Beliefs | None = None,
        *,
        entanglement: bool = True,
    ) -> Floats:
        judgement = (beliefs or self.learn(team)).judgement(self.data.kind, now_ms=NOW_MS)
        weights = np.array([judgement.weight(name) for name in team.names])
        rho = twin.correlations(judgement, team.names)
        return twin.scores(twin.spread(groups), weights, rho, entanglement=entanglement)

    def _discord(self, team: Team, groups: Ints, beliefs: Beliefs) -> Floats:
        judgement = beliefs.judgement(self.data.kind, now_ms=NOW_MS)
        weights = np.array([judgement.weight(name) for name in team.names])
        return twin.discord(twin.spread(groups), weights)

    def _accuracy(
        self,
        name: str,
        cells: Floats,
        *,
        calls: float | None = None,
        note: str = "",
        layer: str = LAYER,
        tested: bool = False,
    ) -> Figure:
        estimate = paired_bootstrap(100 * cells, seed=self.seed)
        return self._figure(name, estimate, calls=calls, note=note, layer=layer, tested=tested)

    def _figure(
        self,
        name: str,
        estimate: Estimate | None,
        *,
        calls: float | None = None,
        note: str = "",
        layer: str = LAYER,
        tested: bool = False,
    ) -> Figure:
        return Figure(
            layer, NAMES[self.data.name], name,
            estimate.value if estimate else None,
            estimate.low if estimate else None,
            estimate.high if estimate else None,
            self.data.items, calls, self.command, note,
            estimate.p if estimate and tested else None,
        )  # fmt: skip

    def _plain(self, name: str, value: float, *, n: int | None = None) -> Figure:
        items = self.data.items if n is None else n
        return Figure(
            LAYER, NAMES[self.data.name], name, value, None, None, items, None, self.command
        )


def _right(leaders: Ints, right: NDArray[np.bool_]) -> Floats:
    """Whether each item's leader, named by its first voter, is right; no leader is wrong."""
    items = np.arange(len(leaders))
    return np.where(leaders != NO_ANSWER, right[np.maximum(leaders, 0), items], False).astype(float)


def _drawn_checks(scored: Floats, right: NDArray[np.bool_], rng: np.random.Generator) -> Floats:
    """What a fair checker would say of every answer, in nats, drawn by chance."""
    passes = rng.random(scored.shape) < np.where(right.T, CHECK_RIGHT, CHECK_WRONG)
    passed, failed = (Check("", one, CHECK_RIGHT, CHECK_WRONG).evidence for one in (True, False))
    return np.where(np.isfinite(scored), np.where(passes, passed, failed), 0.0)


def _matched(
    data: Recorded, large: list[str], rng: np.random.Generator
) -> tuple[list[int], list[int]] | None:
    """Three models of one family, and for each one of another family that is as often right; None
    when so many draws find none."""
    accuracy = data.accuracy()
    for _ in range(MATCHES_TRIED if large else 0):
        family = large[int(rng.integers(len(large)))]
        of = [m for m, one in enumerate(data.families) if one == family]
        alike = [int(one) for one in rng.choice(of, size=3, replace=False)]
        mixed: list[int] = []
        for member in alike:
            met = {data.families[one] for one in mixed}
            near = [
                m
                for m, one in enumerate(data.families)
                if one not in met and abs(accuracy[m] - accuracy[member]) <= MATCHED
            ]
            if near:
                mixed.append(int(rng.choice(near)))
        if len(mixed) == 3:
            return alike, mixed
    return None


def run(
    layer: str,
    data: Path,
    seeds: int = TEAMS,
    *,
    sets: Sequence[str] = tuple(NAMES),
    seed: int = SEED,
    processes: int = 2,
    command: str = "",
) -> Iterator[dict[str, Any]]:
    """Every figure as a dictionary, set by set; ablations last, p corrected over all of them.

    `data` is the file of recorded answers, `seeds` how many teams are drawn. Raises
    FileNotFoundError when there is no such file and ValueError for another layer.
    """
    if layer != LAYER:
        raise ValueError(f"this runs the layer {LAYER!r}, not {layer!r}")
    if not data.is_file():
        raise FileNotFoundError(f"no recorded answers at {data}: pass --data or set {DATA_NAME}")
    jobs = [(data, name, seed, seeds, command) for name in sets]
    tested: list[Figure] = []
    with multiprocessing.get_context("spawn").Pool(min(processes, len(jobs))) as pool:
        for figures in pool.imap(_one_set, jobs):
            tested += [figure for figure in figures if figure.p is not None]
            yield from (asdict(figure) for figure in figures if figure.p is None)
    corrected = holm([figure.p for figure in tested if figure.p is not None])
    for figure, p in zip(tested, corrected, strict=True):
        yield asdict(replace(figure, p=p))


def _one_set(job: tuple[Path, str, int, int, str]) -> list[Figure]:
    """Every figure of one set of recorded answers, p not corrected."""
    path, name, seed, teams, command = job
    return list(Replay(load(path, name), seed=seed, teams=teams, command=command).figures())
