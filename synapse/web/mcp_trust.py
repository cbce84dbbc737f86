"""Trust as the MCP tool tells it: every number with what it is made of, in few words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Self

from pydantic import Field

from synapse.replies import TrustDetail, TrustGrade, TrustOnKind, TrustView
from synapse.web.mcp_fitting import Part, Shape, day, ending, quoted, word

SUBJECT_MAX: Final = 80  # characters: "operator:" and a key
IDS_SHOWN: Final = 3  # grades of one kind; with `family` there are more

MORE: Final = (
    "Each grade is a record: synapse://memory/{id}. Grading is done by people: on a task's page, "
    "with `synapse grade`, or POST /api/task/{id}/grade."
)


class KindTrust(Part):
    """What is believed on one kind of task."""

    kind: str
    trust: float
    low: float
    high: float
    weight: float = Field(description="Its vote, in nats.")
    made_of: list[str] = Field(description="Grades after decay, by origin, x what counts of them.")
    grades: list[str] = Field(description="Ids of the newest.")

    @classmethod
    def of(cls, told: TrustOnKind) -> Self:
        """The same, rounded."""
        return cls(
            kind=word(told.kind),
            trust=round(told.probability, 3),
            low=round(told.low, 3),
            high=round(told.high, 3),
            weight=round(told.weight, 3),
            made_of=list(_portions(told)),
            grades=told.grades[:IDS_SHOWN],
        )

    def line(self) -> str:
        """What is believed, and of what it is made."""
        return (
            f"  {quoted(self.kind)}: {self.trust:.2f} ({self.low:.2f} to {self.high:.2f}), vote "
            f"{self.weight:.2f} nats, of {'; '.join(self.made_of)}"
        )


def _portions(told: TrustOnKind) -> Iterator[str]:
    for one in told.portions:
        yield f"{one.right:.4g} right, {one.wrong:.4g} wrong, {one.origin}, x {one.factor:.3g}"
    if told.right_elsewhere + told.wrong_elsewhere:
        yield (
            f"{told.right_elsewhere:.3g} right, {told.wrong_elsewhere:.3g} wrong, other kinds of "
            "task"
        )


class FamilyTrust(Part):
    """What grades say of one model family, or of one operator."""

    family: str
    trust: float = Field(description="The chance that its next answer is right, 0-1.")
    low: float = Field(description="Nine times in ten it lies between this and high.")
    high: float
    weight: float = Field(description="Its vote, in nats.")
    right: int = Field(description="Grades by anybody, unweighed.")
    wrong: int
    kinds: list[KindTrust]

    @classmethod
    def of(cls, family: str, view: TrustView) -> Self:
        """The figures, by kind of task."""
        return cls(
            family=word(family, SUBJECT_MAX),
            trust=round(view.overall, 3),
            low=round(view.low, 3),
            high=round(view.high, 3),
            weight=round(view.weight, 3),
            right=view.right,
            wrong=view.wrong,
            kinds=[KindTrust.of(one) for one in view.kinds],
        )

    def lines(self) -> Iterator[str]:
        """What is believed, then kind by kind why."""
        yield (
            f"{quoted(self.family, SUBJECT_MAX)}: {self.trust:.2f} ({self.low:.2f} to "
            f"{self.high:.2f}), {self.right} right, {self.wrong} wrong"
        )
        for kind in self.kinds:
            yield kind.line()


class GivenGrade(Part):
    """One grade."""

    id: str
    task: str
    position: str
    kind: str
    right: bool
    source: str = Field(description="user, checker or later task.")
    observer: str
    at_ms: int

    @classmethod
    def of(cls, grade: TrustGrade) -> Self:
        """All but whose answer it is about, which was asked for."""
        return cls(
            id=grade.id,
            task=grade.task,
            position=grade.position,
            kind=word(grade.kind),
            right=grade.right,
            source=word(grade.source),
            observer="this spore" if grade.own else grade.observer,
            at_ms=grade.at_ms,
        )


class Trust(Shape):
    """How far model families are trusted, and why."""

    peer_id: str | None
    families: list[FamilyTrust]
    grades: list[GivenGrade] = Field(description="The newest, when one family was asked for.")
    note: str

    @classmethod
    def of(
        cls, trust: Mapping[str, TrustView], rows: int, *, peer_id: str | None, note: str
    ) -> Self:
        """At most `rows` families; the note says what is left out."""
        shown = list(trust.items())[:rows]
        left_out = len(trust) - len(shown)
        more = f"{left_out} more did not fit: ask for one by name, as family." if left_out else ""
        graded = any(view.kinds for _, view in shown)
        return cls(
            peer_id=peer_id,
            families=[FamilyTrust.of(family, view) for family, view in shown],
            grades=[],
            note=" ".join(filter(None, (note, more, MORE if graded else ""))),
        )

    @classmethod
    def of_one(cls, family: str, view: TrustView, detail: TrustDetail, rows: int) -> Self:
        """One family, and at most `rows` of its grades."""
        left_out = len(detail.grades) - rows
        more = f"{left_out} older grades did not fit." if left_out > 0 else ""
        return cls(
            peer_id=None,
            families=[FamilyTrust.of(family, view)],
            grades=[GivenGrade.of(one) for one in detail.grades[:rows]],
            note=f"{more} {MORE}".strip(),
        )

    def lines(self) -> Iterator[str]:
        """One family after the other."""
        for one in self.families:
            yield from one.lines()
        for grade in self.grades:
            yield (
                f"{'right' if grade.right else 'wrong'}, {quoted(grade.kind)}, by "
                f"{quoted(grade.source)}, {grade.observer}, {day(grade.at_ms)}, task "
                f"{grade.task}, grade {grade.id}"
            )
        yield from ending(self.note)
