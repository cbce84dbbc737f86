"""Drives the tasks this spore was asked, and lends its models to those of others.

Positions are blind first: no model sees another's answer. Only when families disagree are they
asked again, cooler, with the answers shown but neither names nor counts, which cost accuracy.
Everything that is decided becomes a record, so that every spore can show it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final, Protocol

from synapse.core.effects import CallModel, Effect, Publish, Quote, SetTimer
from synapse.core.memory.memory import Memory
from synapse.core.memory.record import OUTCOME, POSITION, REFS_MAX, Draft
from synapse.core.reasoning import aggregation, prompts
from synapse.core.reasoning.aggregation import DISSENT_MIN, Verdict, Vote
from synapse.core.reasoning.model_routing import EXTRACTIVE, Routing
from synapse.core.reasoning.phases import Move, Progress, next_move
from synapse.core.reasoning.schedule import Annealing
from synapse.core.reasoning.task import (
    ANSWER_BYTES_MAX,
    CLAIM_BYTES_MAX,
    LABEL_BYTES_MAX,
    Position,
    Task,
)
from synapse.core.text import Shareable, SharedText

CYCLES_MAX: Final = 3  # later cycles were never seen to change a right answer for the better
TEAM_MAX: Final = 5  # families asked a cycle; a sixth adds less than its call costs
HELP_MS: Final = 10_000  # how long a family only a peer has is waited for
ATTEMPTS_MAX: Final = 6
DISSENT_MAX: Final = 4  # with the answer this keeps an outcome well within a body
DISSENT_BYTES_MAX: Final = 4_000
RETRY_MS_MIN: Final = 1_000
CONTRIBUTE_WITHIN_MS: Final = 60_000  # an older task has been answered, or given up
CONTRIBUTIONS_MAX: Final = 16  # at once: what strangers may make us ask models beside our own

Search = Callable[[str, int], Sequence[Memory]]


class Share(Protocol):
    """Makes a model's words fit to leave, in at most so many bytes."""

    def __call__(self, text: str, *, bytes_max: int) -> SharedText:
        """The text, fit and cut."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task that no model can serve now."""

    retry_at_ms: int
    reasons: Mapping[str, str]


@dataclass(slots=True)
class _Deliberation:
    task: Task
    own: bool
    quotes: tuple[Quote, ...]
    started_ms: int
    deadline_ms: int
    cycle: int = 0
    attempts: int = 0
    nothing_recalled: bool = False
    pending: dict[int, str] = field(default_factory=dict)  # call id -> target
    tried: set[str] = field(default_factory=set)  # targets, this cycle
    mended: set[str] = field(default_factory=set)  # targets asked again without a refused field
    waiting: Waiting | None = None


class Deliberations:
    """All tasks in progress at this spore."""

    def __init__(
        self,
        *,
        routing: Routing,
        search: Search,
        share: Share,
        weight: Callable[[str], float],
        help_expected: Callable[[int], Sequence[bytes]],
        deadline_ms: int,
        annealing: Annealing,
    ) -> None:
        """`weight` is a family's vote in nats; `help_expected` gives, at a time, the keys of live
        peers with a family we lack."""
        self._routing = routing
        self._search = search
        self._share = share
        self._weight = weight
        self._help_expected = help_expected
        self._deadline_ms = deadline_ms
        self.annealing = annealing
        self.cycles_max = CYCLES_MAX
        self._running: dict[bytes, _Deliberation] = {}
        self._calls: dict[int, bytes] = {}
        self._call_ids = count(1)

    def waiting(self, task_id: bytes) -> Waiting | None:
        """Why a task of ours waits, and until when."""
        running = self._running.get(task_id)
        return running.waiting if running is not None else None

    def __len__(self) -> int:
        return len(self._running)

    def begin(self, task: Task, *, now_ms: int) -> list[Effect | Draft]:
        """Answer a task of our own."""
        if task.id in self._running or task.outcome is not None:
            return []
        quotes = self._recall(task)
        running = _Deliberation(
            task, own=True, quotes=quotes, started_ms=now_ms, deadline_ms=now_ms + self._deadline_ms
        )
        self._running[task.id] = running
        return self._ask_team(running, now_ms=now_ms)

    def contribute(
        self, task: Task, *, asker_families: Sequence[str], now_ms: int
    ) -> list[Effect | Draft]:
        """Give another spore's task one position, if we have a family that it lacks."""
        families = [one for one in self._routing.families() if one not in asker_families]
        fresh = now_ms - task.created_ms <= CONTRIBUTE_WITHIN_MS
        lent = sum(not running.own for running in self._running.values())
        if not families or not fresh or task.outcome is not None or task.id in self._running:
            return []
        if lent >= CONTRIBUTIONS_MAX:
            return []
        running = _Deliberation(
            task,
            own=False,
            quotes=self._recall(task),
            started_ms=now_ms,
            deadline_ms=now_ms + self._deadline_ms,
        )
        self._running[task.id] = running
        effects = self._ask(running, families[0], now_ms=now_ms)
        if not effects:
            del self._running[task.id]
            return []
        return [*effects, SetTimer(_timer(task.id), self._deadline_ms)]

    def on_reply(
        self, call_id: int, text: str, *, model: str, family: str, now_ms: int
    ) -> list[Effect | Draft]:
        """A model answered one of our calls."""
        running = self._running.get(self._calls.pop(call_id, b""))
        if running is None:
            return []  # the task ended without it
        target = running.pending.pop(call_id)
        reply = prompts.read(text, running.quotes)
        answer = self._share(reply.answer if reply else "", bytes_max=ANSWER_BYTES_MAX)
        if reply is None or not answer.strip():
            return self._failed(running, target, "bad_reply", None, now_ms=now_ms)
        self._routing.replied(target)
        asked = self._routing.target(target).family
        if family == EXTRACTIVE:
            family = asked  # a model may call itself anything, but only quoting is quoting
        draft = Draft(
            POSITION,
            {
                "answer": answer,
                "claims": tuple(
                    self._share(claim, bytes_max=CLAIM_BYTES_MAX) for claim in reply.claims
                ),
                "cites": reply.cites,
                "confidence": reply.confidence,
                "model": self._share(model, bytes_max=LABEL_BYTES_MAX),
                "family": self._share(family, bytes_max=LABEL_BYTES_MAX),
                "cycle": running.cycle,
            },
            refs=(running.task.id, *reply.cites)[:REFS_MAX],
        )
        if not running.own:
            del self._running[running.task.id]
        return [draft]  # the node signs it and hands it back through `on_position`

    def on_failure(
        self, call_id: int, failure: str, *, retry_after_ms: int | None, now_ms: int
    ) -> list[Effect | Draft]:
        """A model did not answer one of our calls."""
        running = self._running.get(self._calls.pop(call_id, b""))
        if running is None:
            return []
        target = running.pending.pop(call_id)
        return self._failed(running, target, failure, retry_after_ms, now_ms=now_ms)

    def on_position(self, task: Task, *, now_ms: int) -> list[Effect | Draft]:
        """A position, ours or another's, has been added to a task."""
        running = self._running.get(task.id)
        return self._advance(running, now_ms=now_ms) if running is not None and running.own else []

    def on_timer(self, task_id: bytes, *, now_ms: int) -> list[Effect | Draft]:
        """A task's deadline, help window or retry is due."""
        running = self._running.get(task_id)
        if running is None:
            return []
        if running.waiting is not None:
            running.waiting = None
            running.started_ms, running.deadline_ms = now_ms, now_ms + self._deadline_ms
            return self._ask_team(running, now_ms=now_ms)
        if now_ms >= running.deadline_ms:
            for call_id in running.pending:
                self._calls.pop(call_id, None)
            running.pending.clear()
            if not running.own:
                del self._running[task_id]
                return []
        return self._advance(running, now_ms=now_ms)

    def _recall(self, task: Task) -> tuple[Quote, ...]:
        return tuple(
            Quote(
                memory.id,
                memory.text[: prompts.QUOTE_CHARACTERS_MAX],
                memory.author,
            )
            for memory in self._search(task.text, prompts.QUOTES_MAX)
            if memory.shared
        )

    def _ask_team(self, running: _Deliberation, *, now_ms: int) -> list[Effect | Draft]:
        """One call to each family, or to the extractor when there is no model."""
        running.tried.clear()
        families = self._routing.families()[:TEAM_MAX] or [EXTRACTIVE]
        effects: list[Effect | Draft] = []
        for family in families:
            effects += self._ask(running, family, now_ms=now_ms)
        wake_ms = min(running.deadline_ms - now_ms, HELP_MS)
        effects.append(SetTimer(_timer(running.task.id), wake_ms))
        return effects + ([] if running.pending else self._advance(running, now_ms=now_ms))

    def _ask(self, running: _Deliberation, family: str, *, now_ms: int) -> list[Effect]:
        target = self._routing.choose(now_ms=now_ms, family=family, without=running.tried)
        left_ms = running.deadline_ms - now_ms
        if target is None or left_ms <= 0:
            return []
        if not running.own and target.family != family:
            return []  # what the asker has itself is not worth a call of ours
        call_id = next(self._call_ids)
        self._calls[call_id] = running.task.id
        running.pending[call_id] = target.name
        running.tried.add(target.name)
        self._routing.called(target.name)
        before = [one for one in running.task.positions if one.cycle == running.cycle - 1]
        request = prompts.ask(
            running.task.text,
            running.quotes,
            temperature=self.annealing.temperature(running.cycle, cycles=CYCLES_MAX),
            others=sorted({one.answer for one in before}),
        )
        return [CallModel(call_id, target.name, request, min(target.timeout_ms, left_ms))]

    def _failed(
        self,
        running: _Deliberation,
        target: str,
        failure: str,
        retry_after_ms: int | None,
        *,
        now_ms: int,
    ) -> list[Effect | Draft]:
        """Let the target rest and ask the next; when there is none, see what we have."""
        self._routing.failed(target, failure, now_ms=now_ms, retry_after_ms=retry_after_ms)
        family = self._routing.target(target).family
        if family == EXTRACTIVE and failure == "refused":
            running.nothing_recalled = True
        if failure == "request" and retry_after_ms == 0 and target not in running.mended:
            running.mended.add(target)  # the provider has learnt which field to leave out
            running.tried.discard(target)
        retried = self._ask(running, family, now_ms=now_ms)
        if retried:
            return list(retried)
        if running.own:
            return self._advance(running, now_ms=now_ms)
        if not running.pending:
            del self._running[running.task.id]
        return []

    def _advance(self, running: _Deliberation, *, now_ms: int) -> list[Effect | Draft]:
        positions = _latest(running.task.positions)
        votes = [Vote(one.answer, one.family) for one in positions]
        verdict = aggregation.count(votes, self._weight) if votes else None
        spoken = {one.author for one in positions}
        helpers = [key for key in self._help_expected(now_ms) if key not in spoken]
        move, reason = next_move(
            Progress(
                votes=len(votes),
                families=verdict.families if verdict is not None else 0,
                decided=verdict is not None and verdict.decided,
                unanimous=verdict is not None and len(verdict.shares) == 1,
                extract_only=all(one.family == EXTRACTIVE for one in positions),
                calls_pending=bool(running.pending),
                help_awaited=bool(helpers) and now_ms < running.started_ms + HELP_MS,
                nothing_recalled=running.nothing_recalled and not self._routing.families(),
                past_deadline=now_ms >= running.deadline_ms,
                attempts_left=running.attempts + 1 < ATTEMPTS_MAX,
                cycles_left=CYCLES_MAX - running.cycle - 1,
            )
        )
        match move:
            case Move.STAY:
                return [SetTimer(_timer(running.task.id), self._next_look_ms(running, now_ms))]
            case Move.REVISE:
                running.cycle += 1
                return self._ask_team(running, now_ms=now_ms)
            case Move.WAIT:
                return self._wait(running, now_ms=now_ms)
            case Move.COLLAPSE | Move.GIVE_UP:
                del self._running[running.task.id]
                return [_outcome(running, positions, verdict, reason, self._share)]

    def _wait(self, running: _Deliberation, *, now_ms: int) -> list[Effect | Draft]:
        unavailable = self._routing.unavailable(now_ms=now_ms)
        running.attempts += 1
        after_ms = max(unavailable.retry_at_ms - now_ms, RETRY_MS_MIN)
        running.waiting = Waiting(now_ms + after_ms, unavailable.reasons)
        return [
            SetTimer(_timer(running.task.id), after_ms),
            Publish(
                "task",
                {
                    "id": running.task.id.hex(),
                    "status": "waiting",
                    "retry_at_ms": running.waiting.retry_at_ms,
                    "reasons": dict(unavailable.reasons),
                },
            ),
        ]

    @staticmethod
    def _next_look_ms(running: _Deliberation, now_ms: int) -> int:
        help_ends_ms = running.started_ms + HELP_MS
        end_ms = help_ends_ms if now_ms < help_ends_ms else running.deadline_ms
        return max(1, min(end_ms, running.deadline_ms) - now_ms)


def _timer(task_id: bytes) -> str:
    return f"task/{task_id.hex()}"


def _latest(positions: Sequence[Position]) -> list[Position]:
    """The last position of each spore's each family: revisions replace what they revise."""
    newest: dict[tuple[bytes, str], Position] = {}
    for one in positions:
        key = (one.author, one.family)
        if key not in newest or one.cycle >= newest[key].cycle:
            newest[key] = one
    return sorted(newest.values(), key=lambda one: (one.created_ms, one.id))


def _outcome(
    running: _Deliberation,
    positions: Sequence[Position],
    verdict: Verdict | None,
    reason: str,
    share: Share,
) -> Draft:
    said: dict[str, Shareable] = {
        "stop_reason": share(reason, bytes_max=LABEL_BYTES_MAX),
        "cycles": running.cycle + 1,
    }
    if verdict is None:
        return Draft(OUTCOME, said, (running.task.id,))
    supporters = [positions[i] for i in verdict.supporters]
    cites = tuple(dict.fromkeys(cite for one in supporters for cite in one.cites))
    dissent = tuple(
        (
            share(positions[first].answer, bytes_max=DISSENT_BYTES_MAX),
            posterior,
            tuple(
                share(family, bytes_max=LABEL_BYTES_MAX)
                for family in sorted({positions[i].family for i in verdict.members[first]})[:8]
            ),
        )
        for first, posterior in verdict.shares[1:][:DISSENT_MAX]
        if posterior >= DISSENT_MIN
    )
    return Draft(
        OUTCOME,
        {
            **said,
            "answer": share(positions[verdict.leader].answer, bytes_max=ANSWER_BYTES_MAX),
            "posterior": verdict.posterior,
            "weak": int(verdict.weak),
            "cites": cites[:64],
            "supporters": tuple(one.id for one in supporters),
            "dissent": dissent,
        },
        refs=(running.task.id, *cites)[:REFS_MAX],
    )
