"""Real answers of real models, recorded once, and which of them say the same.

The file holds three sets: GSM8K (grade school arithmetic), CRUXEval-O (what does this program
return) and MATH level 5, each with the right answers and one greedy reply of 41 to 51 models of
2024. It is derived from WildEval/ZeroEval (Apache-2.0).
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from synapse.core.reasoning.canonical import digest, grouped
from synapse.core.reasoning.kinds import Kind
from synapse.providers.catalogue import family_of

NO_ANSWER: Final = -1
KINDS: Final = {"gsm": Kind.NUMBER, "crux": Kind.CODE, "math-l5": Kind.NUMBER}
NAMES: Final = {"gsm": "GSM8K", "crux": "CRUXEval", "math-l5": "MATH-5"}
FAMILIES: Final = {"athene": "llama"}  # fine-tuned from Llama 3 70B
REASONERS: Final = ("o1-",)  # they think for thousands of tokens: not the same call


@dataclass(frozen=True, slots=True)
class Recorded:
    """One set of questions: `groups[m, i]` is what model m answered to item i, as a number."""

    name: str
    kind: Kind
    models: tuple[str, ...]
    families: tuple[str, ...]  # of each model
    groups: NDArray[np.int64]  # equal numbers in a column are the same answer; NO_ANSWER for none
    right: NDArray[np.bool_]
    digests: Mapping[tuple[int, int], bytes]  # (model, item): of the canonical answer
    unlike: int  # cells that exact comparison of the recorded text would score differently

    @property
    def items(self) -> int:
        """How many questions."""
        return int(self.groups.shape[1])

    def accuracy(self) -> NDArray[np.float64]:
        """The share of right answers of each model; no answer is a wrong one."""
        return np.asarray(self.right.mean(axis=1))


def load(path: Path, name: str) -> Recorded:
    """One set, answers grouped by the shipped `canonical`."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return recorded(name, json.load(file)[name])


def recorded(name: str, said: Mapping[str, object]) -> Recorded:
    """The set of this name from what the file holds under it."""
    gold, answers = said["gold"], said["answers"]
    assert isinstance(gold, list) and isinstance(answers, dict)
    kind = KINDS[name]
    models = tuple(model for model in sorted(answers) if not model.startswith(REASONERS))
    groups = np.full((len(models), len(gold)), NO_ANSWER, dtype=np.int64)
    right = np.zeros(groups.shape, dtype=np.bool_)
    digests: dict[tuple[int, int], bytes] = {}
    unlike = 0
    for item, wanted in enumerate(gold):
        spoke = [m for m, model in enumerate(models) if answers[model][item] is not None]
        texts = [written(wanted, kind), *(written(answers[models[m]][item], kind) for m in spoke)]
        for m, group, text in zip(spoke, _groups(texts, kind)[1:], texts[1:], strict=True):
            groups[m, item], right[m, item] = group, group == 0
            unlike += bool(right[m, item]) != (answers[models[m]][item] == wanted)
            digests[m, item] = digest(text, kind) or b""
    families = tuple(FAMILIES.get(family_of(model), family_of(model)) for model in models)
    return Recorded(name, kind, models, families, groups, right, digests, unlike)


def written(answer: str, kind: Kind) -> str:
    """An answer as a model would have to write it down.

    What a program returned was recorded bare and scored character by character, spaces included;
    quoted it is a literal, which `canonical` compares in the same way.
    """
    return repr(answer) if kind is Kind.CODE else answer


def _groups(texts: Sequence[str], kind: Kind) -> tuple[int, ...]:
    return grouped(texts, kind).groups
