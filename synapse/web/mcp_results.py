"""The shapes of what the MCP tools return: smaller than REST's, because agents pay for every word.

`of` makes a shape from a reply of `operations`. What spores, their users and models wrote is data:
in a shape's lines it is quoted, and short words of theirs are cut to one line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Self

from pydantic import Field

from synapse.replies import (
    Citation,
    CreditView,
    DeltaView,
    Health,
    Scope,
    TaskList,
    TaskStatus,
    TaskSummary,
    TaskView,
    VerdictView,
)
from synapse.web.mcp_fitting import (
    Part,
    Shape,
    clock_time,
    cut_to,
    day,
    ending,
    quotation,
    quoted,
    word,
)
from synapse.web.mcp_memories import CUT, DATA, Written, joined

QUESTION_MAX: Final = 500  # characters of a question that are repeated with its answer
POSITIONS_MAX: Final = 10


class CitedMemory(Written):
    """A memory that an answer rests on."""

    @classmethod
    def of(cls, cited: Citation, cut: int) -> Self:
        """At most `cut` characters of its text."""
        return cls(
            id=cited.id,
            text=cut_to(cited.text, cut),
            author=cited.author,
            author_name=word(cited.author_name),
        )


class Position(Part):
    """What one model answered in one cycle."""

    model: str
    cycle: int
    answer: str

    @classmethod
    def of(cls, delta: DeltaView, cut: int) -> Self:
        """At most `cut` characters of its answer."""
        return cls(
            model=word(delta.model or delta.family),
            cycle=delta.cycle,
            answer=cut_to(delta.hypothesis, cut),
        )


class OtherAnswer(Part):
    """An answer that did not win."""

    answer: str
    posterior: float


class Finding(Part):
    """What a checker found of an answer."""

    tool: str
    passed: bool
    evidence: str

    @classmethod
    def of(cls, verdict: VerdictView, cut: int) -> Self:
        """At most `cut` characters of the evidence."""
        return cls(
            tool=word(verdict.tool), passed=verdict.passed, evidence=cut_to(verdict.evidence, cut)
        )


class Credit(Part):
    """Whose answer it is, in part."""

    family: str
    spore: str
    share: float

    @classmethod
    def of(cls, credit: CreditView) -> Self:
        """The family, and the spore that asked it."""
        return cls(
            family=word(credit.family),
            spore=word(credit.spore_name) or credit.spore[:12],
            share=round(credit.share, 3),
        )


class TaskResult(Shape):
    """A task and its answer."""

    task_id: str
    status: TaskStatus
    task: str
    answer: str | None
    prose: str | None = Field(description="The answer written out, when a model did so.")
    kind: str
    privacy: Scope
    stop_reason: str | None
    posterior: float | None = Field(description="How much the evidence supports the answer, 0-1.")
    agreement: float | None = Field(description="Weighted share of the answer, 0-1.")
    independence: float | None = Field(description="How many independent voices there were.")
    calls: int
    checked: bool = Field(description="The answer passed a check in code.")
    weak: bool = Field(description="True when sameness of answers was judged by wording alone.")
    models: list[str] = Field(description="Models that took part; none for an extract of memory.")
    citations: list[CitedMemory] = Field(description="Memories the answer rests on.")
    other_answers: list[OtherAnswer]
    credit: list[Credit] = Field(description="What the posterior would lose without each.")
    checks: list[Finding]
    graded_right: int
    graded_wrong: int
    positions: list[Position] = Field(description="The newest so far, while there is no outcome.")
    note: str = Field(description="What to do next, if anything.")

    @classmethod
    def of(cls, view: TaskView, rows: int, cut: int) -> Self:
        """At most `rows` of each list, `cut` characters of each text."""
        positions = [] if view.converged else view.deltas[-POSITIONS_MAX:]
        citations = view.citations[:rows]
        texts = [
            view.final_answer or "",
            view.prose or "",
            *(verdict.evidence for verdict in view.verdicts[:rows]),
            *(cited.text for cited in citations),
            *(other.answer for other in view.dissent[:rows]),
            *(delta.hypothesis for delta in positions[:rows]),
        ]
        return cls(
            task_id=view.task_id,
            status=view.status,
            task=cut_to(view.description, min(cut, QUESTION_MAX)),
            answer=_cut(view.final_answer, cut),
            prose=_cut(view.prose, cut),
            kind=view.kind,
            privacy=view.privacy,
            stop_reason=word(view.stop_reason) if view.stop_reason is not None else None,
            posterior=_rounded(view.posterior),
            agreement=_rounded(view.agreement),
            independence=_rounded(view.independence),
            calls=view.calls,
            checked=view.checked,
            weak=view.weak,
            models=[word(model) for model in view.models[:rows]],
            citations=[CitedMemory.of(cited, cut) for cited in citations],
            other_answers=[
                OtherAnswer(answer=cut_to(other.answer, cut), posterior=round(other.posterior, 3))
                for other in view.dissent[:rows]
            ],
            credit=[Credit.of(one) for one in view.credit[:rows]],
            checks=[Finding.of(verdict, cut) for verdict in view.verdicts[:rows]],
            graded_right=sum(grade.right for grade in view.grades),
            graded_wrong=sum(not grade.right for grade in view.grades),
            positions=[Position.of(delta, cut) for delta in positions[:rows]],
            note=joined(
                _next_step(view),
                f"{len(view.citations)} citations in all." if view.citations[rows:] else "",
                CUT if any(len(text) > cut for text in texts) else "",
            ),
        )

    def lines(self) -> Iterator[str]:
        """The answer first, then what it rests on."""
        yield f"Task {self.task_id} is {self.status}. {DATA}"
        yield quotation(self.task)
        if self.answer is not None:
            models = ", ".join(map(quoted, self.models)) or "no model, an extract of memory"
            support = f"support {self.posterior:.2f}, " if self.posterior is not None else ""
            yield f"Answer, {support}by {models}:"
            yield quotation(self.answer)
            if self.prose is not None:
                yield "The same, written out:"
                yield quotation(self.prose)
            yield from self._weighing()
        for memory in self.citations:
            yield f"It rests on memory {memory.id} by {memory.signature()}:"
            yield quotation(memory.text)
        for other in self.other_answers:
            yield f"Another answer, support {other.posterior:.2f}:"
            yield quotation(other.answer)
        for finding in self.checks:
            result = "passed" if finding.passed else "failed"
            yield f"A check by {quoted(finding.tool)} {result}:"
            yield quotation(finding.evidence)
        for position in self.positions:
            yield f"A position, by {quoted(position.model)} in cycle {position.cycle}:"
            yield quotation(position.answer)
        yield from ending(self.note)

    def _weighing(self) -> Iterator[str]:
        """How much the answer is worth, and whose it is."""
        if self.agreement is not None and self.independence is not None:
            checked = "passed a check" if self.checked else "no check passed"
            yield (
                f"{self.agreement:.0%} of the weighed votes, {self.independence:.1f} independent "
                f"voices, {checked}, {self.calls} model calls."
            )
        if self.credit:
            whose = (f"{quoted(one.family)} {one.share:.0%}" for one in self.credit)
            yield f"Credit: {', '.join(whose)}."
        if self.graded_right + self.graded_wrong:
            yield f"Graded: {self.graded_right} positions right, {self.graded_wrong} wrong."


class ListedTask(Part):
    """One task of a list."""

    task_id: str
    status: TaskStatus
    created_ms: int
    task: str
    answer: str | None

    @classmethod
    def of(cls, summary: TaskSummary, cut: int) -> Self:
        """At most `cut` characters of the question and of the answer."""
        return cls(
            task_id=summary.task_id,
            status=summary.status,
            created_ms=summary.created_ms,
            task=cut_to(summary.description, cut),
            answer=_cut(summary.final_answer, cut),
        )


class Tasks(Shape):
    """Tasks, newest first."""

    tasks: list[ListedTask]
    total: int
    cursor: str | None = Field(description="For the next page, when there is one.")

    @classmethod
    def of(cls, listed: TaskList, cut: int) -> Self:
        """At most `cut` characters of each text."""
        return cls(
            tasks=[ListedTask.of(summary, cut) for summary in listed.tasks],
            total=listed.total,
            cursor=listed.cursor,
        )

    def lines(self) -> Iterator[str]:
        """One task after the other."""
        yield f"{len(self.tasks)} of {self.total} tasks, newest first. {DATA}"
        for task in self.tasks:
            yield f"\n{task.status}, {day(task.created_ms)}, task_id {task.task_id}"
            yield quotation(task.task)
            if task.answer is not None:
                yield "Answer:"
                yield quotation(task.answer)
        yield from ending("", self.cursor)


class SwarmHealth(Shape):
    """How this spore is, and the swarm as it sees it."""

    status: str
    problem: str | None
    spore: str
    role: str
    model: str
    version: str
    records: int
    memories: int
    collective_memories: int
    peers_seen: int
    peers_alive: int
    active_tasks: int
    converged_tasks: int
    deltas_produced: int
    deltas_received: int
    uptime: str
    note: str

    @classmethod
    def of(cls, health: Health, note: str) -> Self:
        """The figures an agent can use."""
        return cls(
            collective_memories=health.memories_collective,
            peers_seen=len(health.peers),
            note=note,
            **health.model_dump(include=set(cls.model_fields)),
        )

    def lines(self) -> Iterator[str]:
        """One fact a line."""
        for name, value in self.model_dump(exclude_none=True).items():
            yield f"{name}: {value}"


def _next_step(view: TaskView) -> str:
    match view.status:
        case "open":
            return "It is being worked on. Call get_task with its task_id in a few seconds."
        case "waiting":
            reasons = ", ".join(f"{name}: {why}" for name, why in sorted(view.reasons.items()))
            return (
                f"No model can serve it now ({reasons}). It is tried again at "
                f"{clock_time(view.retry_at_ms or 0)}; call get_task with its task_id after that."
            )
        case "unanswered":
            return "Nothing that the swarm remembers, and no model it has, answers it."
        case "answered":
            return ""


def _rounded(figure: float | None) -> float | None:
    return round(figure, 3) if figure is not None else None


def _cut(text: str | None, cut: int) -> str | None:
    return cut_to(text, cut) if text is not None else None
