"""Grades of recorded answers, folded by the shipped evidence into the shipped beliefs.

The records are unsigned: a signature is checked where records enter, which is not here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Final

from benchmarks.answers.recorded import NO_ANSWER, Recorded
from synapse.core.clock import Timestamp
from synapse.core.memory.record import GRADE, Header, Record, body_hash, encode_body
from synapse.core.reasoning.aggregation import Vote
from synapse.core.reasoning.calibrating import Lesson
from synapse.core.trust.beliefs import Beliefs
from synapse.core.trust.evidence import Evidence

OWN: Final = b"\x01" * 32  # the operator whose view is measured
NOW_MS: Final = 1_700_000_000_000


def operator(number: int) -> bytes:
    """The key of the operator with this number; never OWN."""
    return b"\x02" + number.to_bytes(31, "big")


class Teacher:
    """Writes grades as one operator."""

    def __init__(self, observer: bytes = OWN) -> None:
        """`observer` is who grades."""
        self.evidence = Evidence()
        self._observer = observer
        self._rng = Random(0)
        self._seq = 0

    def grade(
        self,
        *,
        family: str,
        item: int,
        right: bool,
        kind: str,
        by: bytes = OWN,
        answer: bytes = b"",
        at_ms: int = NOW_MS,
    ) -> None:
        """One grade of what `by`'s spore answered to this item."""
        self._seq += 1
        content: Mapping[str, object] = {
            "family": family, "operator": by, "task_kind": kind, "right": int(right),
            "source": "user", "answer": answer,
        }  # fmt: skip
        body = encode_body(content, rng=self._rng)
        refs = (item.to_bytes(32, "big"), self._seq.to_bytes(32, "big"))
        header = Header(
            operator=self._observer, writer=self._observer, epoch=1, epoch_start_ms=0,
            seq=self._seq, previous=b"", hlc=Timestamp(at_ms, self._seq), kind=GRADE,
            body_hash=body_hash(body), body_bytes=len(body), refs=refs,
        )  # fmt: skip
        record = Record(self._seq.to_bytes(32, "little"), header, b"", b"", body)
        assert self.evidence.absorb(record) is not None

    def beliefs(self) -> Beliefs:
        """What these grades come to."""
        return Beliefs(self.evidence, own=OWN)


def taught(
    data: Recorded, members: Sequence[int], items: Iterable[int], *, names: Sequence[str]
) -> Beliefs:
    """Beliefs after these models' answers to these items were graded, each under its name.

    Who gave no answer is not graded: there is no position to grade.
    """
    teacher = Teacher()
    for item in items:
        for member, name in zip(members, names, strict=True):
            if data.groups[member, item] != NO_ANSWER:
                teacher.grade(
                    family=name,
                    item=item,
                    right=bool(data.right[member, item]),
                    kind=data.kind.value,
                    answer=data.digests[member, item],
                )
    return teacher.beliefs()


def lessons(
    data: Recorded, members: Sequence[int], items: Iterable[int], *, names: Sequence[str]
) -> list[Lesson]:
    """What each of these graded items teaches of how sure to be, as the shipped code keeps it."""
    learnt = []
    for item in items:
        ballot: list[tuple[Vote, int]] = []
        first: dict[int, int] = {}  # answer: the vote that named it
        right = None
        for member, name in zip(members, names, strict=True):
            group = int(data.groups[member, item])
            if group != NO_ANSWER:
                answer = first.setdefault(group, len(ballot))
                ballot.append((Vote("", name), answer))
                right = answer if data.right[member, item] else right
        if ballot:
            learnt.append(Lesson(tuple(ballot), right))
    return learnt
