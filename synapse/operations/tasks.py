"""The verbs of tasks: asking, looking, grading."""

from __future__ import annotations

import asyncio
import re
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from synapse.core.errors import NotFound, Refused
from synapse.core.events import AskPrivately, GradeTask, SubmitTask
from synapse.core.reasoning.kinds import Kind
from synapse.core.reasoning.task import (
    ANSWER_BYTES_MAX,
    BUDGET_MAX,
    CHOICE_BYTES_MAX,
    CHOICES_MAX,
    DEADLINE_MS_MAX,
    TASK_BYTES_MAX,
    Task,
)
from synapse.core.text import clean
from synapse.driver.news import Notice, Stopped
from synapse.operations import rendering
from synapse.operations.verbs import PAGE_MAX, Verbs, id_of
from synapse.replies import (
    Convergence,
    Graded,
    TaskConvergence,
    TaskList,
    TaskSubmitted,
    TaskView,
    TrustChange,
)

SETTLED_WITHIN_S: Final = 0.1  # twice what a memory needs to be searchable, nearly always
DEADLINE_S_MAX: Final = DEADLINE_MS_MAX / 1_000
PRIVATE_NOTE: Final = (
    "this spore alone answers it; nothing of it is written or sent but to its models, it takes no "
    "grade, and it is gone when the spore stops"
)

_TASK_CURSOR: Final = re.compile(r"([0-9]{1,15})-([0-9]{1,5})")

Tell = Callable[[Notice], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the asker wants of an answer, beyond the question."""

    kind: str | None = None
    choices: tuple[str, ...] = ()
    budget: int | None = None
    deadline_ms: int | None = None
    private: bool = False


ANYTHING: Final = Wanted()


class TaskVerbs(Verbs):
    """What a user can do with tasks."""

    async def submit_task(self, text: str, wanted: Wanted = ANYTHING) -> TaskSubmitted:
        """Ask the swarm, or this spore alone when the task is private. Returns once a shared task
        is durable; the answer comes later.

        Raises TextError, Refused (`credential`, `wish`), Busy, StorageError.
        """
        wish = self._wish(wanted)
        # What was remembered before is to be found now.
        await self.driver.indexer.settled(within_s=SETTLED_WITHIN_S)
        if wanted.private:
            private = clean(text, bytes_max=TASK_BYTES_MAX, name="the task")
            task_id = await self.driver.submit(lambda token: AskPrivately(token, private, wish))
        else:
            shared = self._gate.released(text, bytes_max=TASK_BYTES_MAX, name="the task")
            task_id = await self.driver.submit(lambda token: SubmitTask(token, shared, wish))
        assert task_id is not None, "a task that was acknowledged has an id"
        return TaskSubmitted(
            task_id=task_id.hex(),
            url=f"/api/task/{task_id.hex()}",
            privacy="private" if wanted.private else "shared",
            note=PRIVATE_NOTE if wanted.private else "",
        )

    def _wish(self, wanted: Wanted) -> dict[str, Any]:
        """As a task's body holds it. Raises Refused (`wish`) for what cannot be."""
        if wanted.kind is not None and wanted.kind not in tuple(Kind):
            raise Refused("wish", f"kind is one of {', '.join(Kind)}")
        if len(wanted.choices) == 1 or len(wanted.choices) > CHOICES_MAX:
            raise Refused("wish", f"choices are 2 to {CHOICES_MAX} texts")
        if wanted.choices and wanted.kind not in (None, Kind.CHOICE):
            raise Refused("wish", f"a {wanted.kind} has no choices; leave out one of the two")
        if wanted.kind == Kind.CHOICE and not wanted.choices:
            raise Refused("wish", "a choice needs its choices")
        if wanted.budget is not None and not 1 <= wanted.budget <= BUDGET_MAX:
            raise Refused("wish", f"budget is 1 to {BUDGET_MAX} model calls")
        if wanted.deadline_ms is not None and not 1 <= wanted.deadline_ms <= DEADLINE_MS_MAX:
            raise Refused("wish", f"deadline_ms is 1 to {DEADLINE_MS_MAX}")
        taken = clean if wanted.private else self._gate.released
        choices = tuple(
            taken(one, bytes_max=CHOICE_BYTES_MAX, name="a choice") for one in wanted.choices
        )
        said = {
            "kind": self._gate.wall.label(wanted.kind, name="kind") if wanted.kind else None,
            "choices": choices or None,
            "budget": wanted.budget,
            "deadline_ms": wanted.deadline_ms,
        }
        return {name: value for name, value in said.items() if value is not None}

    async def grade_task(
        self,
        task_id: str,
        *,
        right_answer: str | None = None,
        position: str | None = None,
        right: bool | None = None,
    ) -> Graded:
        """Say who was right: by the right answer, or by one position and whether it is right.

        Raises NotFound, TextError, Refused (`grade`, `private`), Busy, StorageError.
        """
        if (right_answer is None) == (position is None) or (position is None) != (right is None):
            raise Refused("grade", "give right_answer, or position and right, and not both")
        wanted = id_of(task_id)
        answer = None
        if right_answer is not None:
            answer = self._gate.released(
                right_answer, bytes_max=ANSWER_BYTES_MAX, name="the right answer"
            )
        about = id_of(position) if position is not None else None
        task = self._node.ledger.tasks.get(wanted)
        families = {one.family for one in task.positions} if task is not None else set()
        before = self._chances(task, families)
        known = len(self._node.ledger.evidence)
        await self.driver.submit(
            lambda token: GradeTask(token, wanted, answer, about, right is not False)
        )
        after = self._chances(task, families)
        return Graded(
            task_id=task_id,
            grades=len(self._node.ledger.evidence) - known,
            trust={
                family: TrustChange(before=before[family], after=after[family])
                for family in sorted(families)
            },
        )

    def _chances(self, task: Task | None, families: set[str]) -> dict[str, float]:
        """What is believed of these families on this kind of task."""
        if task is None:
            return {}
        now_ms = self.driver.clock()
        kind = rendering.kind_of_task(task)
        beliefs = self._node.ledger.beliefs
        return {
            one: beliefs.explain(f"family:{one}", kind, now_ms=now_ms).probability
            for one in families
        }

    def task(self, task_id: str, *, private: bool = False) -> TaskView:
        """A task with its positions and outcome. Raises NotFound, also for a private one unless
        the caller may see `private` tasks."""
        task = self._node.ledger.tasks.get(id_of(task_id))
        if task is None or (task.wish.private and not private):
            raise NotFound(f"this spore knows no task {task_id}")
        cites = task.outcome.cites if task.outcome is not None else ()
        cited = [self.driver.log.memory(cite) for cite in cites]
        return rendering.task_view(
            task,
            self._node.thinking.deliberations.waiting(task.id),
            [memory for memory in cited if memory is not None and memory.shared],
            self._node.ledger.evidence.of_task(task.id),
            own_key=self._node.key,
            name_of=self.name_of,
        )

    async def finished_task(
        self,
        task_id: str,
        *,
        wait_ms: int,
        tell: Tell | None = None,
        since: int | None = None,
        private: bool = False,
    ) -> TaskView:
        """The task once it has an outcome or waits for a model, or as it is after `wait_ms`.

        `tell` hears every notice about the task after number `since` (by default from now on).
        """
        seen = self.news.latest_number() if since is None else since
        view = self.task(task_id, private=private)
        try:
            async with asyncio.timeout(wait_ms / 1_000):
                while view.status == "open":
                    for notice in await self.news.after(seen):
                        seen = notice.number
                        if tell is not None and notice.data.get("id") == task_id:
                            await tell(notice)
                    view = self.task(task_id, private=private)
        except (TimeoutError, Stopped):
            pass  # the caller asked for what there is by now
        return view

    def tasks(
        self, *, limit: int = 20, cursor: str | None = None, private: bool = False
    ) -> TaskList:
        """Tasks, newest first, `private` ones only if wanted. Raises Refused for a bad cursor."""
        everything = self._visible(private)
        start = _start(everything, cursor) if cursor is not None else 0
        size = max(1, min(limit, PAGE_MAX))
        page = everything[start : start + size]
        return TaskList(
            tasks=[
                rendering.task_summary(
                    task, self._node.thinking.deliberations.waiting(task.id), own_key=self._node.key
                )
                for task in page
            ],
            total=len(everything) + self._node.ledger.tasks.forgotten,
            cursor=_cursor(everything, start + size) if start + size < len(everything) else None,
        )

    def private_news(self, notice: Notice) -> bool:
        """Whether a notice is about a private task: others are told nothing of it."""
        task_id = notice.data.get("id", "") if notice.topic == "task" else ""
        task = self._node.ledger.tasks.get(bytes.fromhex(task_id))
        return task is not None and task.wish.private

    def _visible(self, private: bool) -> list[Task]:
        return [one for one in self._node.ledger.tasks if private or not one.wish.private]

    def convergence(self) -> Convergence:
        """How far the positions on each of the newest tasks agree."""
        rows = []
        for task in self._visible(private=False)[:PAGE_MAX]:
            history = rendering.agreement_history(task.positions)
            rows.append(
                TaskConvergence(
                    task_id=task.id.hex(),
                    description=task.text,
                    cycle=len(history),
                    agreement=history[-1] if history else 0.0,
                    converged=task.outcome is not None,
                    delta_count=len(task.positions),
                    history=history[-10:],
                )
            )
        with_positions = [row for row in rows if row.delta_count]
        return Convergence(
            tasks=rows,
            global_agreement=sum(row.agreement for row in with_positions) / len(with_positions)
            if with_positions
            else 0.0,
            active_tasks=sum(not row.converged for row in rows),
            converged_tasks=sum(row.converged for row in rows),
        )


# A page of tasks ends at a time, and after so many of the tasks of that time, so that tasks which
# come meanwhile move nothing.


def _cursor(newest_first: Sequence[Task], shown: int) -> str:
    last_ms = newest_first[shown - 1].created_ms
    return f"{last_ms}-{shown - bisect_left(newest_first, -last_ms, key=_age)}"


def _start(newest_first: Sequence[Task], cursor: str) -> int:
    found = _TASK_CURSOR.fullmatch(cursor)
    if found is None:
        raise Refused("cursor", "that cursor is not one this spore gave out")
    return bisect_left(newest_first, -int(found[1]), key=_age) + int(found[2])


def _age(task: Task) -> int:
    return -task.created_ms
