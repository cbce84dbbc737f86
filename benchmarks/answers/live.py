"""Live: the shipped protocol with real models, at any endpoint that speaks OpenAI's API.

    synapse bench answers --layer live --endpoint URL --models a,b,c --items 200 --budget 6000

Every question is answered by each model alone, by the shipped node with all of them, and by the
best model so far asked as often as the node asked (self-consistency). Then it is graded, so that
what the node knows of its models is what earlier questions taught. The first few only teach.

Nothing is asked twice: all three ways share their blind answers through a cassette, which also lets
a run that ended with its budget go on another day. The budget counts requests that are sent, and
not one more is: what a cassette plays costs nothing. Failures are not recorded, so they are tried
again. Recall is empty: what is measured is the models, not what they remember of earlier answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import SecretStr

from benchmarks.answers.items import Item, items
from benchmarks.answers.replay import SEED
from benchmarks.answers.statistics import Estimate, paired_bootstrap
from benchmarks.answers.teaching import NOW_MS, Teacher
from synapse.core import events
from synapse.core.effects import ModelRequest
from synapse.core.errors import ProviderError
from synapse.core.memory.record import Identity as NodeIdentity
from synapse.core.node import Node, NodeSettings
from synapse.core.reasoning import prompts
from synapse.core.reasoning.aggregation import Mechanisms, Vote, count
from synapse.core.reasoning.canonical import digest, grouped
from synapse.core.reasoning.mechanisms import DEFAULTS
from synapse.core.reasoning.model_routing import Target
from synapse.core.reasoning.session import CALLS_MAX, CYCLES_MAX
from synapse.core.reasoning.task import Task, Wish
from synapse.core.text import Shareable
from synapse.core.wall.release import Wall, constant
from synapse.driver.clock import MonotonicClock
from synapse.driver.driver import Driver
from synapse.ports import ModelReply, Provider
from synapse.providers.cassettes import Cassette, Identity, Mode
from synapse.providers.catalogue import family_of
from synapse.providers.endpoint import Endpoint
from synapse.providers.openai_compatible import OpenAiCompatible
from synapse.retrieval.scan import ScanIndex
from synapse.storage.memory_log import MemoryLog
from synapse.transport.in_process import InProcessTransport, Neighbourhood

LAYER: Final = "live"
PROTOCOL: Final = "the protocol"
BEST: Final = "best so far"
SAMPLED: Final = "self-consistency of the best so far"
TEACHING: Final = 0.2  # of the items: they are graded and not counted
LOOK_EVERY: Final = 25  # counted items between two looks at the interval
LOOKS_FROM: Final = 50  # an interval of fewer says little about itself
MATTERS: Final = 1.0  # points; a difference below is a null whichever way it goes
TRIES: Final = 3  # of one member's own answer, when calls fail
PATIENCE_S: Final = 120.0  # for one answer: two deadlines of a task
CALL_MS: Final = 60_000

Floats = NDArray[np.float64]
Progress = Callable[[int, int], None]
"""Takes how many items are done and how many calls were made."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, and what it may cost."""

    endpoint: str
    models: tuple[str, ...]
    items: int
    budget: int  # requests that may be sent
    cassette: Path
    mode: Mode = "replay"  # what is recorded is played; the rest is asked and recorded
    key: SecretStr | None = None
    seed: int = SEED
    sampling: bool = True  # self-consistency, which costs calls of its own
    command: str = ""

    @property
    def teaching(self) -> int:
        """How many items only teach."""
        return int(self.items * TEACHING)


class LiveError(Exception):
    """The run cannot go on; the message says why."""


# The way to the models.


class _BudgetSpent(Exception):
    """One request more than was allowed was about to be sent."""


class _Failed(Exception):
    """A provider's error on its way past the cassette, which would write it down."""

    def __init__(self, error: ProviderError) -> None:
        super().__init__(str(error))
        self.error = error


class Metered:
    """Sends at most `budget` requests."""

    def __init__(self, inner: Provider, budget: int) -> None:
        self._inner = inner
        self._budget = budget
        self.sent = 0

    async def complete(self, target: str, request: ModelRequest, *, timeout_ms: int) -> ModelReply:
        """Count the request, then send it. Raises _BudgetSpent instead of sending one too many."""
        if self.sent >= self._budget:
            raise _BudgetSpent
        self.sent += 1
        try:
            return await self._inner.complete(target, request, timeout_ms=timeout_ms)
        except ProviderError as error:
            raise _Failed(error) from None

    async def close(self) -> None:
        """Let go of connections."""
        await self._inner.close()


class Gate:
    """What the node and we ask: the cassette, and behind it whoever sends requests."""

    def __init__(self, cassette: Provider) -> None:
        self._cassette = cassette
        self.spent = False

    async def complete(self, target: str, request: ModelRequest, *, timeout_ms: int) -> ModelReply:
        """Ask. Raises ProviderError; once the budget is spent that is all it does."""
        try:
            return await self._cassette.complete(target, request, timeout_ms=timeout_ms)
        except _Failed as failed:
            raise failed.error from None
        except _BudgetSpent:
            self.spent = True
            raise ProviderError("quota_day", "the budget of this run is spent") from None

    async def close(self) -> None:
        """Let go of connections."""
        await self._cassette.close()


def sample(model: str, number: int) -> str:
    """The target of a model's further samples: the same model, other recordings."""
    return model if number == 1 else f"{model} (sample {number})"


def way(plan: Plan) -> tuple[Gate, Metered]:
    """To all models of a plan, and to each of their samples."""
    names = {
        sample(model, number): model for model in plan.models for number in range(1, CALLS_MAX + 1)
    }
    endpoints = {
        name: Endpoint(plan.endpoint, model, api_key=plan.key) for name, model in names.items()
    }
    clock = MonotonicClock()
    metered = Metered(OpenAiCompatible(endpoints, now_ms=clock.now_ms), plan.budget)
    cassette = Cassette(
        metered,
        plan.cassette,
        mode=plan.mode,
        identities={name: Identity(name, plan.endpoint) for name in names},
        secrets=[plan.key.get_secret_value()] if plan.key is not None else [],
    )
    return Gate(cassette), metered


# The node.


@dataclass(frozen=True, slots=True)
class Spore:
    """The shipped node and driver with these models, alone and without memory."""

    driver: Driver
    gate: Gate

    async def answer(self, item: Item) -> Task | None:
        """Put an item to it; None when no answer came in time, or the budget ended."""
        wish: dict[str, Shareable] = {
            "kind": constant(item.kind.value),
            "choices": tuple(constant(choice) for choice in item.choices),
        }
        text = constant(item.text)
        seen = self.driver.news.latest_number()
        made = await self.driver.submit(lambda token: events.SubmitTask(token, text, wish))
        assert made is not None, "a task that was acknowledged has an id"
        task = self.driver.node.ledger.tasks.get(made)
        assert task is not None, "it was just made"
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                while task.outcome is None and not self.gate.spent:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(0.2):  # a spent budget is no news
                            seen = (await self.driver.news.after(seen))[-1].number
        return task if task.outcome is not None else None

    async def grade(self, task: Task, right: str) -> None:
        """Tell it what was right."""
        await self.driver.submit(lambda token: events.GradeTask(token, task.id, right_answer=right))


@asynccontextmanager
async def spore(plan: Plan, gate: Gate) -> AsyncIterator[Spore]:
    """A spore that runs until the block ends."""
    rng = Random(plan.seed)
    identity, log = NodeIdentity(rng.randbytes(32)), MemoryLog()
    targets = [
        Target(model, family_of(model), account=plan.endpoint, timeout_ms=CALL_MS)
        for model in plan.models
    ]
    node = Node(
        identity,
        NodeSettings("live", None, "synapse/live", targets=tuple(targets)),
        rng=rng,
        read=log.read,
        search=lambda query, limit: (),
        wall=Wall([plan.key.get_secret_value()] if plan.key is not None else []),
    )
    driver = Driver(
        node,
        log=log,
        index=ScanIndex(),
        transport=InProcessTransport(Neighbourhood(), own_key=identity.key),
        providers=dict.fromkeys(plan.models, gate),
        clock=MonotonicClock().now_ms,
    )
    run = asyncio.create_task(driver.run())
    try:
        yield Spore(driver, gate)
    finally:
        run.cancel()
        with suppress(asyncio.CancelledError):
            await run


# One item.


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of one item."""

    item: Item
    answers: tuple[str | None, ...]  # each model's own
    right: dict[str, bool]  # by rule
    members: tuple[bool, ...]  # which models were right
    calls: int
    posterior: float | None


@dataclass(slots=True)
class Stream:
    """Items asked and graded one after another."""

    plan: Plan
    gate: Gate
    spore: Spore
    done: list[Answered] = field(default_factory=list)
    teacher: Teacher = field(default_factory=Teacher)

    @property
    def counted(self) -> list[Answered]:
        """Items that figures are about: all but the first, which only taught."""
        return self.done[self.plan.teaching :]

    @property
    def best(self) -> int:
        """The model that was right most often so far, of equals the first."""
        scores = [sum(one.members[m] for one in self.done) for m in range(len(self.plan.models))]
        return scores.index(max(scores))

    async def next(self, item: Item) -> bool:
        """Ask and grade one item; False when the budget ended before it was done."""
        asked = (self._own_answer(model, item) for model in self.plan.models)
        own = await asyncio.gather(*asked)
        if self._ended():
            return False
        if not self.done and not any(own):
            raise LiveError(f"no model answers at {self.plan.endpoint}: {await self._why(item)}")
        rules = self._rules(item, own)
        task = await self.spore.answer(item)
        if self._ended():
            return False
        outcome = task.outcome if task is not None else None
        answer = outcome.answer if outcome is not None else None
        rules[PROTOCOL] = is_right(item, answer)
        calls = outcome.calls if outcome is not None else 0
        rules[BEST] = is_right(item, own[self.best])
        if self.plan.sampling:
            samples = await self._samples(item, own[self.best], calls)
            if self._ended():
                return False
            rules[SAMPLED] = is_right(item, _most(item, samples))
        members = tuple(is_right(item, one) for one in own)
        self.done.append(
            Answered(
                item, tuple(own), rules, members, calls, outcome.posterior if outcome else None
            )
        )
        self._teach(item, own, members)
        if task is not None:
            await self.spore.grade(task, item.right)
        return True

    def _teach(self, item: Item, own: Sequence[str | None], members: Sequence[bool]) -> None:
        for model, answer, right in zip(self.plan.models, own, members, strict=True):
            if answer is not None:
                self.teacher.grade(
                    family=family_of(model),
                    item=len(self.done),
                    right=right,
                    kind=item.kind.value,
                    answer=digest(answer, item.kind, item.choices) or b"",
                )

    def _ended(self) -> bool:
        return self.gate.spent

    async def _own_answer(self, model: str, item: Item) -> str | None:
        """What a model says alone, to the prompt the node would use; None when it says nothing."""
        for _ in range(TRIES):
            try:
                reply = await self.gate.complete(model, _request(item), timeout_ms=CALL_MS)
            except ProviderError as error:
                if self.gate.spent or error.failure in ("auth", "gone", "no_credit", "quota_day"):
                    return None
                await asyncio.sleep(min((error.retry_after_ms or 0) / 1_000, PATIENCE_S))
                continue
            read = prompts.read(reply.text, ())
            return read.answer if read is not None else None
        return None

    async def _samples(self, item: Item, first: str | None, calls: int) -> list[str | None]:
        """As many answers of the best model so far as the node used calls."""
        model = self.plan.models[self.best]
        more = [sample(model, number) for number in range(2, min(calls, CALLS_MAX) + 1)]
        return [first, *await asyncio.gather(*(self._own_answer(one, item) for one in more))]

    def _rules(self, item: Item, own: Sequence[str | None]) -> dict[str, bool]:
        """Which rules are right that count the models' own answers, after all these were graded.

        The node learns less: it grades whom it asked.
        """
        judgement = self.teacher.beliefs().judgement(item.kind.value, now_ms=NOW_MS)
        votes = [
            Vote(answer, family_of(model))
            for model, answer in zip(self.plan.models, own, strict=True)
            if answer is not None
        ]
        found = {"plurality": _most(item, own), "log-odds": None, "the count": None}
        for rule, mechanisms in (
            ("log-odds", Mechanisms(entanglement=False)),
            ("the count", Mechanisms()),
        ):
            if votes:
                verdict = count(
                    votes, judgement, kind=item.kind, choices=item.choices, mechanisms=mechanisms
                )
                found[rule] = votes[verdict.leader].answer
        return {rule: is_right(item, answer) for rule, answer in found.items()}

    async def _why(self, item: Item) -> str:
        """What the first model's endpoint says is wrong."""
        try:
            await self.gate.complete(self.plan.models[0], _request(item), timeout_ms=CALL_MS)
        except ProviderError as error:
            return f"{error.failure}: {error}"
        return "replies that hold no answer"


def _request(item: Item) -> ModelRequest:
    """What the node asks blind, without memories."""
    return prompts.ask(
        item.text,
        (),
        temperature=DEFAULTS.temperature(0, cycles=CYCLES_MAX),
        wish=Wish(kind=item.kind, choices=item.choices),
    )


def is_right(item: Item, answer: str | None) -> bool:
    """Whether this is the right answer, as the shipped code compares answers."""
    if answer is None:
        return False
    return grouped([item.right, answer], item.kind, item.choices).groups == (0, 0)


def _most(item: Item, answers: Sequence[str | None]) -> str | None:
    """The answer given most often, of equals the first."""
    said = [one for one in answers if one is not None]
    if not said:
        return None
    groups = grouped(said, item.kind, item.choices).groups
    return said[max(groups, key=lambda group: (groups.count(group), -group))]


# The run.


async def collect(plan: Plan, progress: Progress = lambda done, sent: None) -> Stream:
    """Ask and grade until the items, the budget or the doubt is spent. Raises LiveError."""
    gate, metered = way(plan)
    try:
        async with spore(plan, gate) as node:
            stream = Stream(plan, gate, node)
            for item in items(plan.items, seed=plan.seed):
                if not await stream.next(item):
                    break
                progress(len(stream.done), metered.sent)
                if settled(stream):
                    break
            return stream
    finally:
        await gate.close()


def settled(stream: Stream) -> bool:
    """Whether the interval of the main comparison holds neither +1 nor -1 point.

    Looking often makes the interval a little too sure of itself; a figure says how often one
    looked.
    """
    counted = stream.counted
    if len(counted) < LOOKS_FROM or len(counted) % LOOK_EVERY:
        return False
    gains = [one.right[PROTOCOL] - one.right[BEST] for one in counted]
    # One item more each way: where no two answers differed yet, an interval of no width would be
    # sure of what it has not seen (as half an item in each cell does, Agresti and Min 2005).
    found = points([*gains, 1.0, -1.0], seed=stream.plan.seed)
    return not any(found.low <= edge <= found.high for edge in (MATTERS, -MATTERS))


def points(outcomes: Sequence[float] | Floats, *, seed: int) -> Estimate:
    """The mean of one row of outcomes, in points."""
    return paired_bootstrap(100 * np.array([outcomes], dtype=float), seed=seed)
