"""One task in progress at this spore: what was asked, what came back, and what it amounts to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from synapse.core.effects import Quote
from synapse.core.memory.memory import Memory
from synapse.core.memory.record import Draft
from synapse.core.reasoning.aggregation import Verdict
from synapse.core.reasoning.ballot import Ballot, Checker, Hear, gather
from synapse.core.reasoning.model_routing import EXTRACTIVE
from synapse.core.reasoning.phases import Progress
from synapse.core.reasoning.prompts import QUOTES_MAX, Shown, excerpt
from synapse.core.reasoning.task import Position, Task

CYCLES_MAX: Final = 3  # later cycles were never seen to change a right answer for the better
CALLS_MAX: Final = 20  # three cycles of five families, a challenge, a synthesis, and retries
ATTEMPTS_MAX: Final = 6
HELP_MS: Final = 10_000  # how long a family only a peer has is waited for
REVEAL_MS: Final = 3_000  # how long one that committed is waited for: it has its answer
STABLE_WITHIN: Final = 0.02  # of the posterior, from one cycle to the next
CHALLENGE_ABOVE: Final = 0.6  # weighted share of a leader that nothing has passed


class Role(StrEnum):
    """Why this spore works on a task."""

    ASKED = "asked"  # it was asked by its own user
    LEASED = "leased"  # whoever was asked is gone
    HELPING = "helping"  # another drives; we lend a model


class Purpose(StrEnum):
    """What a model call is for."""

    POSITION = "position"
    REVISION = "revision"
    CHALLENGE = "challenge"
    SYNTHESIS = "synthesis"


@dataclass(frozen=True, slots=True)
class Call:
    """A call that is under way."""

    target: str
    family: str
    purpose: Purpose


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task that no model can serve now."""

    retry_at_ms: int
    reasons: dict[str, str]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a cycle ended."""

    cycle: int
    answer: str
    posterior: float


Decided = tuple[str, tuple[Position, ...], tuple[str, ...]]
"""What is to be written out: the answer, the positions for it, and the other answers."""


@dataclass(slots=True)
class Session:
    """The state of one deliberation."""

    task: Task
    role: Role
    quotes: tuple[Quote, ...]
    started_ms: int
    deadline_ms: int
    checker: Checker
    term: int = 0
    team: list[str] = field(default_factory=list)  # families still to be asked, blind
    cycle: int = 0
    calls: int = 0  # of models, not of the tools and the extractor
    attempts: int = 0
    challenged: bool = False
    nothing_recalled: bool = False
    pending: dict[int, Call] = field(default_factory=dict)
    tried: set[str] = field(default_factory=set)  # targets, this cycle
    asked_again: set[str] = field(default_factory=set)  # targets, once each, for a better reply
    shown: tuple[Shown, ...] = ()  # what this cycle's members see
    held: list[tuple[Draft, Position]] = field(default_factory=list)  # blind, not shown yet
    unwritten: int = 0  # of those being shown, how many have not come back as records
    shown_ms: int | None = None  # when we first showed an answer
    blind: frozenset[bytes] = frozenset()  # positions, and digests of them, known before that
    leaders: list[Standing] = field(default_factory=list)  # the last one of each cycle
    waiting: Waiting | None = None
    written_out: bool = False  # the synthesis was asked for
    prose: str | None = None
    decided: Decided = ("", (), ())

    @property
    def drives(self) -> bool:
        """Whether this spore decides what the task comes to."""
        return self.role is not Role.HELPING

    @property
    def budget_left(self) -> int:
        """Model calls that may still be made."""
        return min(self.task.wish.budget or CALLS_MAX, CALLS_MAX) - self.calls

    def show(self, now_ms: int) -> None:
        """From now on our answers can be copied by whoever has not committed to its own."""
        if self.shown_ms is None:
            self.shown_ms = now_ms
            self.blind = frozenset(
                [one.id for one in self.task.positions]
                + [one.author + one.digest for one in self.task.commitments]
            )

    def _may_be_copied(self, position: Position) -> bool:
        """Whether it came after ours were shown, from a spore that had not committed to it."""
        known = position.id in self.blind or position.author + position.digest in self.blind
        return self.shown_ms is not None and not known

    def positions(self) -> list[Position]:
        """Everything said, our hidden answers included."""
        return [*self.task.positions, *(position for _, position in self.held)]

    def ballot(self, *, own: bytes, hear: Hear) -> Ballot:
        """What would be counted now."""
        return gather(
            self.task,
            self.positions(),
            copyable=lambda one: one.author != own and self._may_be_copied(one),
            hear=hear,
            checker=self.checker,
        )

    def progress(
        self,
        ballot: Ballot,
        verdict: Verdict | None,
        *,
        helpers: Sequence[bytes],
        has_models: bool,
        tunnelling: bool,
        settled: bool,
        now_ms: int,
    ) -> Progress:
        """What the table of moves looks at. `helpers` are peers that are expected to speak."""
        cycles_left = CYCLES_MAX - self.cycle - 1 if has_models else 0
        refuted = verdict is not None and verdict.checked.get(verdict.leader) is False
        return Progress(
            votes=len(ballot.votes),
            families=verdict.families if verdict is not None else 0,
            decided=verdict is not None and verdict.decided and settled,
            unanimous=verdict is not None and len(verdict.shares) == 1,
            refuted=refuted,
            extract_only=all(one.family == EXTRACTIVE for one in ballot.positions),
            hidden=bool(self.held) or (self.shown_ms is None and bool(self.task.commitments)),
            calls_pending=bool(self.pending),
            members_left=bool(self.team),
            settled=bool(self.team) and settled,
            help_awaited=self.awaits(helpers, now_ms=now_ms),
            nothing_recalled=self.nothing_recalled and not has_models,
            past_deadline=now_ms >= self.deadline_ms,
            attempts_left=self.attempts + 1 < ATTEMPTS_MAX,
            budget_left=self.budget_left > 0,
            challenge_due=tunnelling and self._challenge_due(verdict, cycles_left),
            stable=self._stable(),
            cycles_left=cycles_left,
        )

    def awaits(self, helpers: Sequence[bytes], *, now_ms: int) -> bool:
        """Before we show ours: peers that have neither committed, spoken nor declined. After: those
        that have committed."""
        if self.task.wish.private:
            return False
        done = {one.author for one in self.task.positions}
        done |= {one.author for one in self.task.abstentions}
        committed = {one.author for one in self.task.commitments}
        if self.shown_ms is not None:
            return bool(committed - done) and now_ms < self.shown_ms + REVEAL_MS
        missing = [key for key in helpers if key not in done and key not in committed]
        return bool(missing) and now_ms < self.started_ms + HELP_MS

    def _challenge_due(self, verdict: Verdict | None, cycles_left: int) -> bool:
        """Tunnelling: once, with two cycles left, when a checker knows such tasks, most agree and
        nothing has passed. Without a checker a challenge costs right answers."""
        return (
            not self.challenged
            and cycles_left >= 2
            and verdict is not None
            and verdict.agreement > CHALLENGE_ABOVE
            and verdict.checked.get(verdict.leader) is not True
            and self.checker.knows
        )

    def _stable(self) -> bool:
        """Whether the last two cycles ended with the same leader, as sure as before."""
        if len(self.leaders) < 2:
            return False
        before, now = self.leaders[-2:]
        same = before.answer == now.answer
        return same and abs(now.posterior - before.posterior) < STABLE_WITHIN

    def note_leader(self, ballot: Ballot, verdict: Verdict | None) -> None:
        """Remember how this cycle stands: the last standing of each cycle counts."""
        if verdict is None:
            return
        answer = ballot.votes[verdict.leader].answer
        if self.leaders and self.leaders[-1].cycle == self.cycle:
            self.leaders.pop()
        self.leaders.append(Standing(self.cycle, answer, verdict.posterior))

    def next_look_ms(self, now_ms: int) -> int:
        """When something may have changed although nothing came."""
        ends = [self.deadline_ms, self.started_ms + HELP_MS]
        if self.shown_ms is not None:
            ends.append(self.shown_ms + REVEAL_MS)
        return max(1, min(end for end in ends if end > now_ms or end == self.deadline_ms) - now_ms)


Search = Callable[[str, int], Sequence[Memory]]
"""The shared memories that bear most on a text, so many at most."""


def recalled(search: Search, task: Task) -> tuple[Quote, ...]:
    """What memory holds about a task, as data for its members."""
    return tuple(
        Quote(memory.id, excerpt(memory.text), memory.author)
        for memory in search(task.text, QUOTES_MAX)
        if memory.shared
    )
