"""Idle cognition: does what is due when no task is in progress, and says what it did and cost.

One timer, one work at a time, at most one call in flight. A task always goes first: nothing begins
while one is in progress here, and a call that is under way gives its place up when one comes. Calls
are routed as "idle": they never touch the reserve of a day, and stop at half of its quota.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from synapse.core.effects import CallModel, Publish, Quote, SetTimer
from synapse.core.events import ModelFailed, ModelReplied
from synapse.core.memory.record import Record
from synapse.core.reasoning import prompts
from synapse.core.reasoning.asking import TOKENS_A_CHARACTER
from synapse.core.reasoning.cooling import DAY_MS
from synapse.core.reasoning.deliberation import Item
from synapse.core.reasoning.idle import announcing, consolidating, exploring
from synapse.core.reasoning.idle.desk import Desk, Done
from synapse.core.reasoning.idle.measures import Corroboration, Voice, corroboration
from synapse.core.reasoning.idle.notebook import SPOTLIGHT, Notebook, Spotlight
from synapse.core.reasoning.idle.reports import (
    Cognition,
    State,
    Tally,
    Thought,
    read_thought,
    reported,
)
from synapse.core.reasoning.idle.reviewing import Review
from synapse.core.reasoning.idle.schedule import BANDS, IdleSettings, Timetable, Work
from synapse.core.reasoning.model_routing import EXTRACTIVE, Routing, Target
from synapse.core.reasoning.task import ANY_ANSWER

TIMER: Final = "idle"
PURPOSE: Final = "idle"
FREE_MIN: Final = 0.5  # of a day's known quota: below it, all that is left is for tasks
EXPLORING_TEMPERATURE: Final = 1.0  # as hot as a task's first cycle: something is searched
CONSOLIDATING_TEMPERATURE: Final = 0.3  # as cold as its last: nothing is
CORROBORATED_MAX: Final = 32  # memories that are compared with one
QUERY_CHARACTERS_MAX: Final = 400
QUOTA_WINDOW_MS: Final = DAY_MS  # limits of so long a window, or a longer one, are kept half free


@dataclass(slots=True)
class _Flight:
    """The call that is under way."""

    call_id: int
    work: Work
    target: str
    quotes: tuple[Quote, ...]
    lost_ms: int  # by then it has ended and nobody told us
    place_given_up: bool = False


class Idle:
    """One spore's idle cognition."""

    def __init__(
        self,
        settings: IdleSettings,
        desk: Desk,
        routing: Routing,
        *,
        busy: Callable[[], bool],
        rng: Random,
    ) -> None:
        """`busy` says whether a task of anybody's is in progress here."""
        self.settings = settings
        self._desk = desk
        self._routing = routing
        self._busy = busy
        self._timetable = Timetable(settings.calls_per_day, rng)
        self._review = Review()
        self._tallies = {band.work: Tally() for band in BANDS}
        self._asked_ms: deque[int] = deque()  # calls of the last day
        self._flight: _Flight | None = None
        self._calls = 0

    @property
    def notebook(self) -> Notebook:
        """What it may look at."""
        return self._desk.notebook

    @property
    def off_because(self) -> str:
        """Why nothing is done at all; empty when something is."""
        if self.settings.calls_per_day <= 0:
            return "idle_calls_per_day is 0"
        return "" if self._routing.families() else "there is no model"

    # What happens.

    def start(self, now_ms: int) -> list[Item]:
        """Open for business, after the records on our disk were absorbed."""
        if self.off_because:
            return []
        self._timetable.start(now_ms)
        return [SetTimer(TIMER, self._timetable.next_ms(now_ms))]

    def absorb(self, record: Record) -> None:
        """Note a record; those read at the start as well."""
        self.notebook.absorb(record, believed=self._desk.believed(record.header.operator))

    def heard(self, record: Record) -> list[Item]:
        """Note a new record; a spotlight is shown to people, of each operator one a day."""
        before = self.notebook.spotlight_of(record.header.operator)
        self.absorb(record)
        told = self.notebook.spotlight_of(record.header.operator)
        if record.kind != SPOTLIGHT or told is None or told.id != record.id:
            return []
        return (
            [Publish("spotlight", _shown(told))] if announcing.worth_showing(told, before) else []
        )

    def give_way(self, now_ms: int) -> None:
        """A task begins: the call under way holds no place that it may need."""
        flight = self._flight
        if flight is not None and not flight.place_given_up:
            flight.place_given_up = True
            self._routing.released(flight.target, now_ms=now_ms, call=flight.call_id)

    def on_timer(self, now_ms: int) -> list[Item]:
        """Something may be due."""
        if self._flight is not None and now_ms >= self._flight.lost_ms:
            self.give_way(now_ms)
            self._flight = None
        work = self._timetable.due(now_ms)
        if work is None:
            return [SetTimer(TIMER, self._timetable.next_ms(now_ms))]
        if self._busy() or self._flight is not None:
            self._tallies[work].note(
                Done(reason="task_in_progress" if self._busy() else "thinking")
            )
            return [SetTimer(TIMER, self._timetable.look_again_ms())]
        items = self._run(work, now_ms)
        return [*items, SetTimer(TIMER, self._timetable.next_ms(now_ms))]

    def on_reply(self, event: ModelReplied, now_ms: int) -> list[Item]:
        """A model answered our call."""
        flight = self._landed(event.call_id)
        if flight is None:
            return []
        self._routing.replied(
            flight.target,
            now_ms=now_ms,
            call=event.call_id,
            took_ms=event.took_ms,
            tokens_in=event.tokens_in,
            tokens_out=event.tokens_out,
            limits=event.limits,
        )
        tally = self._tallies[flight.work]
        tally.tokens_in += event.tokens_in
        tally.tokens_out += event.tokens_out
        reply = prompts.read(event.text, flight.quotes)
        if reply is None:
            self._routing.failed(flight.target, "bad_reply", now_ms=now_ms, call=event.call_id)
            done = Done(reason="bad_reply")
        else:
            self._routing.understood(flight.target)
            if flight.work is Work.EXPLORING:
                done = exploring.note(self._desk, reply, model=event.model, family=event.family)
            else:
                done = consolidating.summary(self._desk, reply, flight.quotes)
        tally.note(done)
        return list(done.drafts)

    def on_failure(self, event: ModelFailed, now_ms: int) -> list[Item]:
        """It did not. Nothing is asked twice: the next one is asked in its time."""
        flight = self._landed(event.call_id)
        if flight is None:
            return []
        self._routing.failed(
            flight.target,
            event.failure,
            now_ms=now_ms,
            call=event.call_id,
            retry_after_ms=event.retry_after_ms,
            took_ms=event.took_ms,
            limits=event.limits,
        )
        self._tallies[flight.work].failed += 1
        self._tallies[flight.work].note(Done(reason=event.failure))
        return []

    def _landed(self, call_id: int) -> _Flight | None:
        """The flight of this call, which has ended; None when nobody waits for it."""
        flight = self._flight
        if flight is None or flight.call_id != call_id:
            return None
        self._flight = None
        return flight

    # The works.

    def _run(self, work: Work, now_ms: int) -> list[Item]:
        tally = self._tallies[work]
        tally.runs += 1
        tally.last_run_ms = now_ms
        items: list[Item] = []
        match work:
            case Work.EXPLORING | Work.CONSOLIDATING:
                items += self._ask_about_memories(work, now_ms)
            case Work.REVIEWING:
                done = self._review.step(self._desk)
                tally.note(done)
                items += done.drafts
            case Work.ANNOUNCING:
                done = announcing.announcement(self._desk, now_ms=now_ms)
                tally.note(done)
                items += done.drafts
        asks = work in (Work.EXPLORING, Work.CONSOLIDATING)
        self._timetable.done(work, spent=bool(items) or not asks, now_ms=now_ms)
        return items

    def _ask_about_memories(self, work: Work, now_ms: int) -> list[Item]:
        if work is Work.EXPLORING:
            memories, related, looked = exploring.subjects(self._desk)
            assignment, heat = exploring.ASSIGNMENT, EXPLORING_TEMPERATURE
            had_their_turn = self.notebook.explored
        else:
            memories, looked = consolidating.cluster(self._desk)
            related, assignment, heat = [], consolidating.ASSIGNMENT, CONSOLIDATING_TEMPERATURE
            had_their_turn = self.notebook.tried
        tally = self._tallies[work]
        if not memories:
            tally.note(Done(reason="nothing_new", looked=looked))
            return []
        quotes = exploring.quotes([*memories, *related])
        tokens = _tokens(assignment, quotes)
        target, reason = self._target(tokens, now_ms)
        tally.note(Done(reason=reason, looked=looked))
        if target is None:
            return []
        self._calls -= 1  # numbers below zero: those of tasks' calls count upwards from one
        lost_ms = now_ms + 2 * target.timeout_ms
        self._flight = _Flight(self._calls, work, target.name, quotes, lost_ms)
        self._routing.called(target.name, now_ms=now_ms, tokens=tokens, call=self._calls)
        self._count_call(tally, now_ms)
        self.notebook.mark(had_their_turn, [memory.id for memory in memories])
        request = prompts.ask(assignment, quotes, temperature=heat, wish=ANY_ANSWER)
        return [CallModel(self._calls, target.name, request, target.timeout_ms, purpose=PURPOSE)]

    def _target(self, tokens: int, now_ms: int) -> tuple[Target | None, str]:
        """Whom to ask, or why nobody: a target that can serve tasks besides, of whose quota at
        least half is left."""
        fit = [one for one in self._routing.targets if self._may_be_asked(one)]
        if not fit:
            return None, "no_target_for_idle_work"
        free = [one.name for one in fit if self._half_is_left(one, now_ms)]
        if not free:
            return None, "half_of_the_quota_spent"
        without = [one.name for one in self._routing.targets if one.name not in free]
        target = self._routing.choose(
            now_ms=now_ms, without=without, tokens=tokens, purpose=PURPOSE
        )
        return target, "" if target is not None else "no_model_free"

    def _may_be_asked(self, target: Target) -> bool:
        """A call cannot be taken back: a target that serves one at a time is for tasks."""
        one_at_a_time = target.concurrency == 1 or target.name in self.settings.spared
        return target.family != EXTRACTIVE and not one_at_a_time

    def _half_is_left(self, target: Target, now_ms: int) -> bool:
        return all(
            one.limit is None or one.left is None or one.left >= one.limit * FREE_MIN
            for one in self._routing.state(target, now_ms=now_ms).buckets
            if one.window_ms >= QUOTA_WINDOW_MS
        )

    def _count_call(self, tally: Tally, now_ms: int) -> None:
        tally.calls += 1
        self._asked_ms.append(now_ms)
        self._calls_last_day(now_ms)

    def _calls_last_day(self, now_ms: int) -> int:
        while self._asked_ms and self._asked_ms[0] <= now_ms - DAY_MS:
            self._asked_ms.popleft()
        return len(self._asked_ms)

    # Views.

    def snapshot(self, now_ms: int) -> Cognition:
        """What it does, did and cost."""
        state, reason = self._state()
        return Cognition(
            state=state,
            reason=reason,
            calls_per_day=self.settings.calls_per_day,
            calls_last_day=self._calls_last_day(now_ms),
            memories_known=self.notebook.memories,
            thoughts=len(self.notebook.thoughts),
            bands=tuple(
                reported(band.name, band.work, self._tallies[band.work], self._timetable)
                for band in BANDS
            ),
        )

    def _state(self) -> tuple[State, str]:
        if self.off_because:
            return "off", self.off_because
        if self._busy():
            return "yielding", "a task is in progress"
        if self._flight is not None:
            return "thinking", f"{self._flight.work.value}, with {self._flight.target}"
        return "resting", "nothing is due"

    def thoughts(self, limit: int) -> list[Thought]:
        """The newest raw thoughts in the log, newest first: data, whoever wrote it."""
        ids = list(self.notebook.thoughts)[-limit:] if limit > 0 else []
        return [read_thought(one) for one in self._desk.read(ids[::-1]) if one.body is not None]

    def spotlights(self) -> list[Spotlight]:
        """Each operator's newest, newest first. A finding may not be here yet, or not its own."""
        return sorted(self.notebook.spotlights.values(), key=lambda one: (-one.at_ms, one.id))

    def corroboration(self, memory_id: bytes) -> Corroboration | None:
        """How many independently say what a shared memory says; None when it has no text here."""
        found = self._desk.memories((memory_id,))
        if not found:
            return None
        text = found[0][1].text
        hits = self._desk.search(text[:QUERY_CHARACTERS_MAX], CORROBORATED_MAX)
        ids = dict.fromkeys([memory_id, *(one.id for one in hits)])
        voices = [
            Voice(
                id=memory.id,
                operator=record.header.operator,
                text=memory.text,
                family=self._family_of(record),
                at_ms=memory.created_ms,
                refs=record.header.refs,
            )
            for record, memory in self._desk.memories(list(ids))
        ]
        return corroboration(text, voices)

    def _family_of(self, record: Record) -> str:
        """The model family behind a finding: its leading supporter's; empty for a person's word."""
        task = self._desk.tasks.get(record.header.refs[0]) if record.header.refs else None
        if task is None or task.outcome is None:
            return ""
        spoke = [one.family for one in task.positions if one.id in task.outcome.supporters]
        return spoke[0] if spoke else ""


def _tokens(assignment: str, quotes: Sequence[Quote]) -> int:
    """What a call may use, both ways: an estimate to reserve quota by."""
    read = len(assignment) + sum(len(quote.text) for quote in quotes)
    return int(read * TOKENS_A_CHARACTER) + prompts.TOKENS_MAX


def _shown(told: Spotlight) -> dict[str, str]:
    return {
        "id": told.id.hex(),
        "finding": told.finding.hex(),
        "author": told.author.hex(),
        "operator": told.operator.hex(),
    }
