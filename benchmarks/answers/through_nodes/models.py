"""Solvers where a node expects language models: they read the request a provider would be sent,
and reply with the JSON it asks for.

What a model draws depends on the seed, its name, the question and how often it was asked that, and
on nothing else: the same call gets the same answer whatever else is being compared.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from benchmarks.answers.solvers.members import Member
from benchmarks.answers.solvers.solver import Answer
from synapse.core.effects import CallModel
from synapse.core.events import ModelFailed, ModelReplied
from synapse.core.reasoning.model_routing import Target
from synapse.core.reasoning.prompts import excerpt

LATENCY_MS: Final = 100  # of every call: nothing here is about speed
FAILED: Final = "fail"  # how a checker's finding begins that an answer is wrong

Ask = tuple[str, tuple[str, ...], tuple[str, ...], str | None]
"""(question, memories, others' answers, barred answer), as a model reads them."""


@dataclass(slots=True)
class Spent:
    """What was asked of models, by question."""

    calls: Counter[str] = field(default_factory=Counter)
    steps: Counter[str] = field(default_factory=Counter)
    reading: Counter[str] = field(default_factory=Counter)  # steps that came on top of these
    shown: dict[str, tuple[str, ...]] = field(default_factory=dict)  # memories, at the last call


@dataclass(frozen=True, slots=True)
class SolverModel:
    """A member, or one of every domain, behind one name.

    `gullible` models copy the answer of a memory that quotes their very question, and ask no
    further: solvers check what they are told, and language models often do not.
    """

    name: str
    family: str
    members: tuple[Member, ...]
    seed: int
    spent: Spent
    gullible: bool = False
    says: Callable[[str], str | None] | None = None  # a liar's answer to a question; None: honest
    reading_costs: bool = False  # whether to read memories takes from the steps of a call
    _asked: Counter[tuple[str, str]] = field(default_factory=Counter, repr=False)

    @property
    def target(self) -> Target:
        """How the core's routing sees it."""
        return Target(self.name, self.family, account=f"account of {self.name}")

    def answer(
        self, call: CallModel, rng: Random, *, now_ms: int
    ) -> tuple[int, ModelReplied | ModelFailed]:
        """After how many milliseconds, and what. The simulator's `rng` is not drawn from."""
        ask = read(call)
        drawn = self.drawn(ask, call.purpose, call.request.temperature)
        self.spent.calls[ask[0]] += 1
        self.spent.steps[ask[0]] += drawn.steps
        self.spent.reading[ask[0]] += drawn.reading
        self.spent.shown[ask[0]] = ask[1]
        if drawn.abstained:
            return LATENCY_MS, ModelFailed(call.call_id, "refused", "nothing to say")
        reply = ModelReplied(
            call.call_id, _written(drawn, ask[1]), self.name, self.family, took_ms=LATENCY_MS
        )
        return LATENCY_MS, reply

    def drawn(self, ask: Ask, purpose: str, temperature: float) -> Answer:
        """The next answer to this question, asked for this purpose."""
        question, memories, others, barred = ask
        lie = self.says(question) if self.says is not None else None
        if lie is not None:
            return Answer(lie, ((lie, 1.0),), 0)
        copied = _told(question, memories) if self.gullible and barred is None else None
        if copied is not None:
            return Answer(copied, ((copied, 1.0),), 0)
        nth = self._asked[question, purpose]
        self._asked[question, purpose] += 1
        for member in self.members:
            answer = member.answer(
                question,
                temperature=temperature,
                rng=Random(f"{self.seed} {self.name} {purpose} {nth} {question}"),
                others=others,
                barred=barred,
                memories=memories,
                reading_costs=self.reading_costs,
            )
            if not answer.abstained or answer.steps:
                return answer  # it was at home in the task, whatever came of it
        return Answer("", (), 0, abstained=True)


def read(call: CallModel) -> Ask:
    """What a request shows: the question, the memories, and answers that no checker refuted."""
    data: dict[str, Any] = json.loads(call.request.user)
    others = tuple(
        one["answer"]
        for one in data.get("other_answers", ())
        if not one.get("check", "").startswith(FAILED)
    )
    memories = tuple(one["text"] for one in data["memories"])
    return data["task"], memories, others, data.get("leading_answer")


def _told(question: str, memories: Sequence[str]) -> str | None:
    """The answer of the first memory that is this question and one line more."""
    for text in memories:
        answer = text.rpartition("\n")[2]
        if answer and text == excerpt(f"{question}\n{answer}"):
            return answer
    return None


def _written(answer: Answer, memories: Sequence[str]) -> str:
    cites = [f"m{at}" for at, text in enumerate(memories, start=1) if answer.answer in text]
    return json.dumps(
        {
            "answer": answer.answer,
            "alternatives": [
                {"answer": text, "weight": weight} for text, weight in answer.hypotheses[1:]
            ],
            "cites": cites,
            "confidence": answer.hypotheses[0][1],
        }
    )
