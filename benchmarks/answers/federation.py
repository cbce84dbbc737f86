"""Does a swarm of many nodes answer better, and what do hostile nodes cost?

Every node serves one recorded model, drawn by popularity: all alike, or Zipf with the weakest
model the commonest, as free models are. Three ways to count are compared: one vote a node, one
vote a model, and the shipped count, one vote a model by trust. The hostile part gives every node
an operator of its own and lets a fifth of them claim the most trusted model, all giving the same
wrong answer: the one that most models that err give.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.answers import twin
from benchmarks.answers.recorded import NO_ANSWER, Recorded
from benchmarks.answers.statistics import Estimate, paired_bootstrap
from benchmarks.answers.teaching import NOW_MS, OWN, Teacher, operator
from synapse.core.trust.beliefs import Beliefs, Judgement
from synapse.core.trust.policy import Speaker

SIZES: Final = (1, 7, 15, 39, 100, 300, 1_000)
GRADED: Final = 100  # items, of every model
NODES: Final = 1_000
HOSTILE: Final = 0.2
MET: Final = 10  # graded items of each operator that is known
HOSTILE_STATES: Final = ("new here", f"graded on {MET} items", "believed as everybody")
POPULARITY: Final = ("uniform", "Zipf, weakest commonest")

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Draw:
    """One seed: what is graded and tested, and how often each model is served."""

    graded: Ints
    tested: Ints
    nodes: Ints  # by model
    rng: np.random.Generator


class Federation:
    """The experiments on one set of recorded answers."""

    def __init__(self, data: Recorded, *, seed: int, seeds: int) -> None:
        """`seeds` draws of items and nodes, all from `seed`."""
        self.data = data
        self.seed = seed
        self.seeds = seeds
        self._taught: dict[int, Judgement] = {}

    def sizes(self) -> Iterator[tuple[str, Estimate]]:
        """Accuracy by number of nodes, popularity and way of counting, in points."""
        for popularity in POPULARITY:
            for size in SIZES:
                right = {
                    rule: np.full((self.seeds, self.data.items), np.nan)
                    for rule in ("by node", "by model", "by model x trust")
                }
                for row in range(self.seeds):
                    draw = self._draw(row, size, popularity)
                    for rule, hit in self._count(row, draw).items():
                        right[rule][row, draw.tested] = hit
                for rule, cells in right.items():
                    name = f"{size} nodes, {popularity}: {rule}"
                    yield name, paired_bootstrap(100 * cells, seed=self.seed)

    def hostile(self) -> Iterator[tuple[str, Estimate]]:
        """What a fifth of all nodes costs, new here or graded before, and what it would without
        the policy on strangers."""
        for popularity in POPULARITY:
            cells = {
                state: np.full((self.seeds, self.data.items), np.nan)
                for state in ("none", *HOSTILE_STATES)
            }
            for row in range(self.seeds):
                draw = self._draw(row, round(NODES * (1 - HOSTILE)), popularity)
                for state, hit in self._beset(draw):
                    cells[state][row, draw.tested] = hit
            name = f"{HOSTILE:.0%} hostile of {NODES:,} nodes, {popularity}"
            yield f"{name}: without them", paired_bootstrap(100 * cells["none"], seed=self.seed)
            for state in HOSTILE_STATES:
                lost = 100 * (cells["none"] - cells[state])
                yield f"{name}: loss, {state}", paired_bootstrap(lost, seed=self.seed)

    def _draw(self, row: int, size: int, popularity: str) -> Draw:
        rng = np.random.default_rng((self.seed, row))
        order = rng.permutation(self.data.items)
        share = np.ones(len(self.data.models))
        if popularity != POPULARITY[0]:
            weakest_first = np.argsort(self.data.accuracy(), kind="stable")
            share[weakest_first] = 1 / np.arange(1, len(share) + 1)
        nodes = rng.multinomial(size, share / share.sum())
        return Draw(order[:GRADED], order[GRADED:], nodes, rng)

    def _count(self, row: int, draw: Draw) -> dict[str, Floats]:
        met = np.flatnonzero(draw.nodes)
        shares = self._shares(met, draw.tested)
        judgement = self._judgement(row, draw)
        names = [self.data.models[model] for model in met]
        weights = np.array([judgement.weight(name) for name in names])
        scored = twin.scores(shares, weights, twin.correlations(judgement, names))
        by_node = (draw.nodes[met][:, None, None] * shares).sum(axis=0)
        return {
            "by node": _right(by_node, draw.rng),
            "by model": _right(shares.sum(axis=0), draw.rng),
            "by model x trust": _right(scored, draw.rng),
        }

    def _judgement(self, row: int, draw: Draw) -> Judgement:
        """What the graded items teach of every model. A seed grades the same items each time."""
        if row not in self._taught:
            teacher = self._teacher(draw)
            self._taught[row] = teacher.beliefs().judgement(self.data.kind, now_ms=NOW_MS)
        return self._taught[row]

    def _teacher(self, draw: Draw) -> Teacher:
        teacher = Teacher()
        for item in draw.graded.tolist():
            for model in range(len(self.data.models)):
                self._grade(teacher, model, item, by=OWN)
        return teacher

    def _grade(self, teacher: Teacher, model: int, item: int, *, by: bytes) -> None:
        if self.data.groups[model, item] != NO_ANSWER:
            teacher.grade(
                family=self.data.models[model],
                item=item,
                right=bool(self.data.right[model, item]),
                kind=self.data.kind.value,
                by=by,
                answer=self.data.digests[model, item],
            )

    def _beset(self, draw: Draw) -> Iterator[tuple[str, Floats]]:
        """Whether the count is right by tested item, without hostile nodes and beside them."""
        teacher = self._teacher(draw)
        served = np.repeat(np.arange(len(draw.nodes)), draw.nodes)
        for node, model in enumerate(served.tolist()):
            for item in draw.graded[:MET].tolist():
                self._grade(teacher, model, item, by=operator(node))
        beliefs = teacher.beliefs()
        judged = beliefs.judgement(self.data.kind, now_ms=NOW_MS)
        target = int(np.argmax([judged.weight(model) for model in self.data.models]))
        liars = [operator(NODES + i) for i in range(round(NODES * HOSTILE))]
        honest = [(operator(node), int(model)) for node, model in enumerate(served)]
        beset = [*honest, *((liar, target) for liar in liars)]
        new, graded, believed = HOSTILE_STATES
        for state, said in (("none", honest), (new, beset), (believed, beset)):
            heard = self._credibility(beliefs, said, equal=state == believed)
            yield state, self._weigh(beliefs, draw, said, heard, {*liars})
        for liar in liars:
            for item in draw.graded[:MET].tolist():
                teacher.grade(
                    family=self.data.models[target], item=item, right=False,
                    kind=self.data.kind.value, by=liar,
                )  # fmt: skip
        heard = self._credibility(beliefs, beset, equal=False)
        yield graded, self._weigh(beliefs, draw, beset, heard, {*liars})

    def _credibility(
        self, beliefs: Beliefs, said: Sequence[tuple[bytes, int]], *, equal: bool
    ) -> Floats:
        if equal:
            return np.ones(len(said))
        speakers = [Speaker(key, self.data.models[model]) for key, model in said]
        heard = beliefs.heard(speakers, self.data.kind, now_ms=NOW_MS)
        assert all(one.family == s.family for one, s in zip(heard, speakers, strict=True))
        return np.array([one.credibility for one in heard])

    def _weigh(
        self,
        beliefs: Beliefs,
        draw: Draw,
        said: Sequence[tuple[bytes, int]],
        believed: Floats,
        liars: set[bytes],
    ) -> Floats:
        """The shipped count with each model's voice divided as its speakers are believed."""
        judgement = beliefs.judgement(self.data.kind, now_ms=NOW_MS)
        met = sorted({model for _, model in said})
        honest, lies = np.zeros(len(met)), np.zeros(len(met))
        for (key, model), part in zip(said, believed, strict=True):
            (lies if key in liars else honest)[met.index(model)] += part
        whole = np.maximum(1.0, honest + lies)[:, None, None]
        lure = np.zeros((draw.tested.size, len(self.data.models) + 2))
        lure[np.arange(draw.tested.size), self._lures(draw.tested)] = 1.0
        shares = self._shares(np.array(met), draw.tested) * honest[:, None, None]
        shares = (shares + lies[:, None, None] * lure[None]) / whole
        names = [self.data.models[model] for model in met]
        weights = np.array([judgement.weight(name) for name in names])
        scored = twin.scores(shares, weights, twin.correlations(judgement, names))
        return _right(scored, draw.rng)

    def _lures(self, items: Ints) -> Ints:
        """The wrong answer that most models give to each item; one that nobody gives if all are
        right."""
        shares = self._shares(np.arange(len(self.data.models)), items).sum(axis=0)
        shares[:, 0] = 0.0  # the right one
        fabricated = shares.shape[1] - 1
        return np.asarray(np.where(shares.max(axis=1) > 0, shares.argmax(axis=1), fabricated))

    def _shares(self, models: Ints, items: Ints) -> Floats:
        """1 where a model gave an answer; answer 0 is the right one, the last is nobody's."""
        groups = self.data.groups[models][:, items]
        shares = np.zeros((*groups.shape, len(self.data.models) + 2))
        model, item = np.nonzero(groups != NO_ANSWER)
        shares[model, item, groups[model, item]] = 1.0
        return shares


def _right(scored: Floats, rng: np.random.Generator) -> Floats:
    """Whether the best answer is the right one; equals are told apart by chance."""
    present = np.isfinite(scored) & (scored.max(axis=1, keepdims=True) > 0)
    jitter = scored + 1e-9 * rng.random(scored.shape)
    best = np.where(present, jitter, -np.inf).argmax(axis=1)
    return np.asarray((best == 0) & present.any(axis=1), dtype=np.float64)
