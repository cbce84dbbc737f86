"""The shipped count for many items at once, on arrays: `aggregation.scores` and nothing more.

A test checks it against the shipped code on random teams; what it is given (weights,
correlations, temperature) always comes from the shipped code.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.answers.recorded import NO_ANSWER
from synapse.core.reasoning.aggregation import Judgement
from synapse.core.trust.calibration import Calibration

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def spread(groups: Ints) -> Floats:
    """H[voter, item, answer]: 1 where this voter gave the answer, named by its first voter."""
    voters, items = groups.shape
    same = (groups[:, None, :] == groups[None, :, :]) & (groups != NO_ANSWER)[:, None, :]
    first = np.where(same.any(axis=1), same.argmax(axis=1), NO_ANSWER)
    shares = np.zeros((voters, items, voters))
    voter, item = np.nonzero(first != NO_ANSWER)
    shares[voter, item, first[voter, item]] = 1.0
    return shares


def scores(
    shares: Floats, weights: Floats, correlations: Floats, *, entanglement: bool = True
) -> Floats:
    """S[item, answer] in nats; -inf where nobody gave the answer."""
    ratio = np.zeros((len(weights), len(weights)))
    heavy = weights > 0
    if entanglement:
        ratio[heavy] = np.minimum(1.0, weights[None, :] / weights[heavy, None])
    overlap = np.maximum(0.0, correlations) * ratio
    np.fill_diagonal(overlap, 0.0)
    divisor = 1.0 + np.tensordot(overlap, shares, axes=1)
    total = (weights[:, None, None] * shares / divisor).sum(axis=0)
    return np.where(shares.sum(axis=0) > 0, total, -np.inf)


def leaders(scored: Floats) -> Ints:
    """The best answer of each item, of equals the first; NO_ANSWER where nobody answered."""
    best = scored.argmax(axis=1)
    return np.where(np.isfinite(scored.max(axis=1)), best, NO_ANSWER)


def discord(shares: Floats, weights: Floats) -> Floats:
    """The weighted share of each item's voices that are not for what most are for."""
    said = np.tensordot(weights, shares, axes=1)
    total = said.sum(axis=1)
    most = np.divide(said.max(axis=1), total, out=np.ones(len(said)), where=total > 0)
    return np.asarray(1 - most)


def posterior(scored: Floats, discord: Floats, calibration: Calibration) -> Floats:
    """P(leader) of each item, beside "none of these"."""
    score_of_none = calibration.none + calibration.doubt * discord
    top = np.maximum(scored.max(axis=1), score_of_none)
    odds = np.exp((scored - top[:, None]) / calibration.temperature)
    none = np.exp((score_of_none - top) / calibration.temperature)
    return np.asarray(odds.max(axis=1) / (none + odds.sum(axis=1)))


def correlations(judgement: Judgement, names: Sequence[str]) -> Floats:
    """The matrix of a judgement's correlations between these voters, 1 on the diagonal."""
    matrix = np.eye(len(names))
    for i, one in enumerate(names):
        for j in range(i):
            matrix[i, j] = matrix[j, i] = judgement.correlation(one, names[j])
    return matrix
