"""The node's half that reasons: it turns what happens into moves of the machines in `reasoning`,
and signs what they draft. What is said of a private task is kept in memory and never signed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from synapse.core import events
from synapse.core.effects import Acknowledge, Effect, Publish
from synapse.core.ledger import Ledger, Read
from synapse.core.memory.record import (
    ABSTENTION,
    COMMITMENT,
    GRADE,
    OUTCOME,
    POSITION,
    RETRACTION,
    VERDICT,
    Draft,
    Record,
)
from synapse.core.memory.record_set import dot_text
from synapse.core.reasoning import drafts, grading
from synapse.core.reasoning.aggregation import Judgement, Verdict
from synapse.core.reasoning.ballot import Ballot
from synapse.core.reasoning.calibrating import LESSONS_MAX, Lesson, Lessons, lesson
from synapse.core.reasoning.deliberation import Deliberations, Item
from synapse.core.reasoning.drafts import Share
from synapse.core.reasoning.findings import Findings
from synapse.core.reasoning.helping import Helping
from synapse.core.reasoning.idle.desk import Desk, Ruling
from synapse.core.reasoning.idle.idle import Idle
from synapse.core.reasoning.idle.notebook import Notebook
from synapse.core.reasoning.idle.reviewing import corrections
from synapse.core.reasoning.idle.schedule import OFF, IdleSettings
from synapse.core.reasoning.kinds import Kind
from synapse.core.reasoning.leases import Leases
from synapse.core.reasoning.mechanisms import DEFAULTS, Quantum
from synapse.core.reasoning.model_routing import EXTRACTIVE, Routing, Target
from synapse.core.reasoning.session import Search
from synapse.core.reasoning.task import (
    Outcome,
    Position,
    Task,
    read_outcome,
    read_position,
    read_verdict,
    read_wish,
)
from synapse.core.trust.policy import Speaker
from synapse.core.wall.release import dot as shared_dot

TOOL_FAMILY: Final = "tool:"  # what an exact tool found is found again at no cost
NEWEST_OWN: Final = 256  # own records that idle work looks at after a start
NEWEST_OF_ANOTHER: Final = 64
OPERATORS_LOOKED_AT: Final = 8  # of others, those heard of last: reading them takes some 10 ms

Write = Callable[[Draft, int], list[Effect]]
"""Sign a draft at this time; what follows from the record."""


@dataclass(frozen=True, slots=True)
class ThinkingSettings:
    """What an operator decides about reasoning."""

    targets: tuple[Target, ...] = ()
    task_deadline_ms: int = 60_000
    quantum: Quantum = DEFAULTS
    synthesis: bool = False
    idle: IdleSettings = OFF


class Thinking:
    """One spore's reasoning. Its parts are public to read, for views."""

    def __init__(
        self,
        ledger: Ledger,
        settings: ThinkingSettings,
        *,
        write: Write,
        read: Read,
        search: Search,
        share: Share,
        rng: Random,
    ) -> None:
        self._ledger = ledger
        self._write = write
        self._read = read
        self._share = share
        self._rng = rng
        self.routing = Routing(settings.targets, Random(rng.getrandbits(64)))
        trust = _Trust(ledger)
        self.deliberations = Deliberations(
            key=ledger.key,
            routing=self.routing,
            search=search,
            share=share,
            trust=trust,
            helpers=self._helpers,
            rng=Random(rng.getrandbits(64)),
            deadline_ms=settings.task_deadline_ms,
            quantum=settings.quantum,
            synthesis=settings.synthesis,
        )
        self._helping = Helping(self.deliberations, self.routing, Random(rng.getrandbits(64)))
        self._leases = Leases(
            self.deliberations,
            alive=self._alive,
            deadline_ms=settings.task_deadline_ms,
            rng=Random(rng.getrandbits(64)),
        )
        self._lessons = Lessons(self._calibrate)
        self._mechanisms = settings.quantum.count
        self._findings = Findings(ledger.key, read, search, share, _retraction)
        self._desk = Desk(
            key=ledger.key,
            notebook=Notebook(ledger.key),
            tasks=ledger.tasks,
            read=read,
            search=search,
            share=share,
            believed=self._believed,
            rulings=self._rulings,
            retraction=_retraction,
            findings=self._findings,
        )
        self.idle = Idle(
            settings.idle,
            self._desk,
            self.routing,
            busy=lambda: len(self.deliberations) > 0,
            rng=Random(rng.getrandbits(64)),
        )

    # Commands.

    def begin(self, task: Task, now_ms: int) -> list[Effect]:
        """Answer a task of our own."""
        self.idle.give_way(now_ms)
        return self._finish(self.deliberations.begin(task, now_ms=now_ms), now_ms)

    def begin_privately(self, command: events.AskPrivately, now_ms: int) -> list[Effect]:
        """Answer a task that stays here: nothing of it is written or sent."""
        key = self._ledger.key
        wish = replace(read_wish(command.wish), private=True)
        task = Task(self._rng.randbytes(32), command.text, key, key, now_ms, wish)
        self._ledger.tasks.keep(task)
        return [Acknowledge(command.token, task.id), *self.begin(task, now_ms)]

    def resume(self, now_ms: int) -> list[Effect]:
        """After a restart: go on with our own open tasks, and look after those of others."""
        effects: list[Effect] = []
        graded = {one.task for one in self._ledger.evidence.grades() if one.source != "checker"}
        lessons = [task for task in self._ledger.tasks if task.id in graded][:LESSONS_MAX]
        for task in reversed(lessons):
            self._learn(task, self.deliberations.standing(task, now_ms=now_ms), now_ms)
        for task in self._ledger.tasks:
            if task.outcome is None and task.author == self._ledger.key:
                effects += self.begin(task, now_ms)
            elif task.outcome is None:
                effects += self._finish(self._leases.watch(task, now_ms=now_ms), now_ms)
        self._look_back()
        return effects + self._finish(self.idle.start(now_ms), now_ms)

    def grade(self, command: events.GradeTask, now_ms: int) -> list[Effect]:
        """Write down who was right, and what follows from it."""
        task = self._ledger.tasks.get(command.task_id)
        problem = _problem(task, command)
        if task is None or problem is not None:
            reason, message = problem or ("not_found", "")
            return [Acknowledge(command.token, refused=reason, message=message)]
        alike = grading.later_tasks(task, self._ledger.tasks)
        graded: list[Draft] = []
        right, wrong = command.right_answer, None
        if right is not None:
            graded += grading.by_right_answer(task, right, source="user", share=self._share)
            for like in alike:
                graded += grading.by_right_answer(
                    like, right, source="later task", share=self._share
                )
        elif (position := task.position(command.position or b"")) is not None:
            graded += grading.by_position(task, position, right=command.right, share=self._share)
            if command.right:
                right = position.answer
            else:
                wrong, right = position.answer, self._known_right(task, position.answer)
        graded += self._findings.corrected(task, alike, right=right, wrong=wrong)
        stood = self.deliberations.standing(task, now_ms=now_ms)  # before we knew
        effects = self._finish(graded, now_ms)
        self._learn(task, stood, now_ms)
        return [*effects, Acknowledge(command.token, task.id)]

    def _known_right(self, task: Task, wrong: str) -> str | None:
        """The answer to a task that grades found right before, other than the one just refused."""
        right = {one.position for one in self._rulings(task) if one.right}
        return grading.right_besides(task, wrong, right)

    def _learn(self, task: Task, stood: tuple[Ballot, Verdict | None], now_ms: int) -> None:
        """Note how sure we were of a task that our own user has graded."""
        ballot, verdict = stood
        right = {
            one.position: one.right
            for one in self._ledger.evidence.of_task(task.id)
            if one.observer == self._ledger.key and one.source != "checker"
        }
        right = grading.carried(ballot, task, right)
        known = any(right.values()) or all(one.id in right for one in ballot.positions)
        if right and known and verdict is not None:
            learnt = lesson(ballot, verdict, right)
            self._lessons.add(ballot.kind, task.id, learnt, now_ms=now_ms)

    def _calibrate(self, kind: str, lessons: Sequence[Lesson], now_ms: int) -> None:
        """Fit how sure to be of one kind of task to the lessons, scored as we would now."""
        judgement = self._ledger.beliefs.judgement(kind, now_ms=now_ms)
        met = [one.outcomes(judgement, self._mechanisms) for one in lessons]
        self._ledger.beliefs.calibrate(kind, met, now_ms=now_ms)

    # What happens.

    def react(self, record: Record, now_ms: int) -> list[Effect]:
        """What a record makes us do, beyond keeping it."""
        items: list[Item] = self.idle.heard(record)
        task = self._ledger.tasks.get(record.header.refs[0] if record.header.refs else record.id)
        if task is None:
            return self._finish(items, now_ms)
        author, own = record.header.writer, record.header.writer == self._ledger.key
        if record.kind in (POSITION, OUTCOME, VERDICT, GRADE):
            items.append(Publish("task", _notice(record, task.id)))
        match record.kind:
            case "task" if not own:
                self.idle.give_way(now_ms)
                items += self._helping.contribute(
                    task, asker_families=self._families_of(task.author), now_ms=now_ms
                )
                items += self._leases.watch(task, now_ms=now_ms)
            case "commitment" if own:
                items += self._helping.on_commitment(task)
            case "lease":
                items += self._leases.on_lease(task, now_ms=now_ms)
            case "outcome" if own:
                items += self._remembered(task)
            case "grade" if not own and self._believed(record.header.operator):
                items += corrections(self._desk, task)
        if record.kind in (POSITION, COMMITMENT, ABSTENTION):
            spoke = author if record.kind == POSITION else b""
            items += self.deliberations.on_news(task, author=spoke, now_ms=now_ms)
            items += self._helping.on_news(task, now_ms=now_ms)
        return self._finish(items, now_ms)

    def on_timer(self, kind: str, task_id: bytes, now_ms: int) -> list[Effect]:
        """A timer of a task is due: `task`, `check` or `lease`."""
        task = self._ledger.tasks.get(task_id)
        if kind == "task":
            helped = self._helping.on_timer(task_id, now_ms=now_ms)
            items = (
                helped
                if helped is not None
                else self.deliberations.on_timer(task_id, now_ms=now_ms)
            )
            return self._finish(items, now_ms)
        if task is None:
            return []
        if kind == "check":
            return self._finish(self._helping.check(task, now_ms=now_ms), now_ms)
        self.idle.give_way(now_ms)
        return self._finish(self._leases.on_timer(task, now_ms=now_ms), now_ms)

    def on_idle(self, now_ms: int) -> list[Effect]:
        """The timer of idle cognition is due."""
        return self._finish(self.idle.on_timer(now_ms), now_ms)

    def on_reply(self, event: events.ModelReplied, now_ms: int) -> list[Effect]:
        """A model answered."""
        if event.call_id < 0:
            return self._finish(self.idle.on_reply(event, now_ms), now_ms)
        return self._finish(self.deliberations.on_reply(event, now_ms=now_ms), now_ms)

    def on_failure(self, event: events.ModelFailed, now_ms: int) -> list[Effect]:
        """A model did not answer."""
        if event.call_id < 0:
            return self._finish(self.idle.on_failure(event, now_ms), now_ms)
        return self._finish(self.deliberations.on_failure(event, now_ms=now_ms), now_ms)

    # Signing.

    def _finish(self, items: Iterable[Item], now_ms: int) -> list[Effect]:
        """Sign the drafts among `items`; what follows from a record comes after it."""
        effects: list[Effect] = []
        for item in items:
            if not isinstance(item, Draft):
                effects.append(item)
                continue
            task = self._ledger.tasks.get(item.refs[0]) if item.refs else None
            if task is not None and task.wish.private:
                effects += self._keep_privately(task, item, now_ms)
            else:
                effects += self._write(item, now_ms)
        return effects

    def _keep_privately(self, task: Task, draft: Draft, now_ms: int) -> list[Effect]:
        """What is said of a private task: kept until we stop, and signed by nobody."""
        made, key = self._rng.randbytes(32), self._ledger.key
        items: list[Item] = []
        if draft.kind == POSITION:
            position = read_position(
                draft.content, position_id=made, author=key, operator=key, at_ms=now_ms
            )
            assert position is not None, "a draft of a position is one"
            task.add(position)
            items += self.deliberations.on_news(task, author=key, now_ms=now_ms)
        elif draft.kind == VERDICT:
            verdict = read_verdict(
                draft.content,
                verdict_id=made,
                author=key,
                operator=key,
                refs=draft.refs,
                at_ms=now_ms,
            )
            assert verdict is not None, "a draft of a verdict is one"
            task.verdicts.append(verdict)
        elif draft.kind == OUTCOME:
            task.outcome = read_outcome(draft.content, outcome_id=made, author=key, at_ms=now_ms)
        notice = {"id": task.id.hex(), "status": draft.kind, "record": made.hex()}
        return [Publish("task", notice), *self._finish(items, now_ms)]

    # What we know.

    def _remembered(self, task: Task) -> list[Item]:
        """Our own outcome that passed a check becomes a memory; other answers stay in the log."""
        outcome = task.outcome
        if outcome is None or outcome.answer is None or not outcome.checked:
            return []
        if self._ledger.key in task.findings.values() or _by_tools_alone(task, outcome):
            return []
        return [drafts.finding(task, outcome.answer, how="checked", share=self._share)]

    def _families_of(self, key: bytes) -> tuple[str, ...]:
        peer = self._ledger.peers.get(key)
        return tuple(peer.said.families) if peer is not None else ()

    def _helpers(self, now_ms: int) -> Sequence[bytes]:
        """Live peers with a model family that we lack."""
        own = set(self.routing.families())
        alive = self._ledger.peers.alive(now_ms=now_ms)
        return [peer.key for peer in alive if set(peer.said.families) - own]

    def _alive(self, key: bytes, now_ms: int) -> bool:
        return any(peer.key == key for peer in self._ledger.peers.alive(now_ms=now_ms))

    # What idle work rests on.

    def _believed(self, operator: bytes) -> bool:
        """Whether an operator's word counts as ours: our own, and those we vouched for."""
        peer = self._ledger.peers.get(operator)
        return operator == self._ledger.key or (peer is not None and peer.vouched)

    def _rulings(self, task: Task) -> list[Ruling]:
        """Grades on a task by those whose word counts as ours."""
        return [
            Ruling(one.position, one.right, one.observer == self._ledger.key, one.source, one.at_ms)
            for one in self._ledger.evidence.of_task(task.id)
            if self._believed(one.observer)
        ]

    def _look_back(self) -> None:
        """After a start: show idle work the newest records, which it may otherwise never meet."""
        if self.idle.off_because:
            return
        records, own = self._ledger.records, self._ledger.key
        others = [one for one in records.operators() if one != own and len(records.index(one))]
        others.sort(key=lambda one: (records.index(one).key_at(len(records.index(one)) - 1), one))
        for operator in [*others[-OPERATORS_LOOKED_AT:], own]:
            index = records.index(operator)
            newest = NEWEST_OWN if operator == own else NEWEST_OF_ANOTHER
            keys = index.keys(max(0, len(index) - newest), len(index))
            for record in self._read([key[8:] for key in keys]):
                self.idle.absorb(record)
        for grade in self._ledger.evidence.grades():
            if self._believed(grade.observer):
                self.idle.notebook.note_graded(grade.task)


class _Trust:
    """Beliefs as a deliberation asks for them. Peers the operator vouched for speak as ours do."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._beliefs = ledger.beliefs

    def judgement(self, kind: Kind, *, now_ms: int) -> Judgement:
        return self._beliefs.judgement(kind.value, now_ms=now_ms)

    def hear(
        self, speakers: Sequence[tuple[bytes, str]], kind: Kind, *, now_ms: int
    ) -> Sequence[tuple[str, float]]:
        own = self._ledger.key
        vouched = {peer.key for peer in self._ledger.peers if peer.vouched}
        heard = self._beliefs.heard(
            [
                Speaker(own if operator in vouched else operator, family)
                for operator, family in speakers
            ],
            kind.value,
            now_ms=now_ms,
        )
        return [(one.family, one.credibility) for one in heard]

    def order(self, families: Sequence[str], kind: Kind, *, now_ms: int) -> list[str]:
        return self._beliefs.order(families, kind.value, now_ms=now_ms)


def _problem(task: Task | None, command: events.GradeTask) -> tuple[str, str] | None:
    if task is None:
        return "not_found", "this spore knows no such task"
    if command.right_answer is None and task.position(command.position or b"") is None:
        return "not_found", "the task has no such position"
    if task.wish.private:
        return "private", "a private task leaves nothing behind, grades neither"
    return None


def _retraction(record: Record) -> Draft:
    """Take back a record of our own."""
    dots = (shared_dot(dot_text(record.header.dot)),)
    return Draft(RETRACTION, {"dots": dots}, refs=(record.id,))


def _by_tools_alone(task: Task, outcome: Outcome) -> bool:
    spoke: list[Position] = [one for one in task.positions if one.id in outcome.supporters]
    return all(one.family.startswith(TOOL_FAMILY) or one.family == EXTRACTIVE for one in spoke)


def _notice(record: Record, task_id: bytes) -> dict[str, str]:
    return {"id": task_id.hex(), "status": record.kind, "record": record.id.hex()}
