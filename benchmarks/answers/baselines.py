"""What the count is compared with. Each rule names the leading answer of every item.

Self-consistency and debate are missing on purpose: the recorded models answered once each and saw
no other answer, so neither can be replayed.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.answers import twin
from benchmarks.answers.recorded import NO_ANSWER

ROUNDS: Final = 30  # of expectation-maximisation; answers stop changing after about ten
CONFIDENT: Final = 0.99
ANSWERS: Final = 3.0  # wrong answers there are to choose from; the prior of the count's collisions

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def plurality(groups: Ints) -> Ints:
    """The voter whose answer most voters gave, of equals the first."""
    return twin.leaders(_counted(twin.spread(groups), np.ones(len(groups))))


def dawid_skene(groups: Ints) -> Ints:
    """Dawid and Skene (1979) without labels, one accuracy a voter, wrong answers spread evenly.

    Starts from plurality and alternates between what is right and who is right.
    """
    shares = twin.spread(groups)
    present = shares.sum(axis=0) > 0
    spoke = (groups != NO_ANSWER).astype(float)
    believed = _normal(shares.sum(axis=0))
    for _ in range(ROUNDS):
        agreed = np.einsum("vik,ik->v", shares, believed)
        skill = np.clip((agreed + 1) / (spoke.sum(axis=1) + 2), 1 - CONFIDENT, CONFIDENT)
        votes = np.log(skill / (1 - skill)) + np.log(ANSWERS)
        logits = np.einsum("v,vik->ik", votes, shares)
        believed = _normal(np.where(present, np.exp(logits - logits.max(axis=1)[:, None]), 0.0))
    return twin.leaders(np.where(present, believed, -np.inf))


def _counted(shares: Floats, weights: Floats) -> Floats:
    total = (weights[:, None, None] * shares).sum(axis=0)
    return np.where(shares.sum(axis=0) > 0, total, -np.inf)


def _normal(odds: Floats) -> Floats:
    total = odds.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(odds, total, out=np.zeros_like(odds), where=total > 0))
