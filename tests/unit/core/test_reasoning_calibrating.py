"""Lessons in how sure to be: kept as they were said, scored as they would be now."""

from __future__ import annotations

import math

import pytest

from synapse.core.reasoning.aggregation import Check, Untaught, Vote, count
from synapse.core.reasoning.ballot import Ballot
from synapse.core.reasoning.calibrating import FIT_EVERY, LESSONS_MAX, Lesson, Lessons, lesson
from synapse.core.reasoning.kinds import Kind
from synapse.core.reasoning.task import Position, read_position

JUDGED = Untaught({"a": 2.0, "b": 1.0, "c": 1.0}.__getitem__, temperature=1.0)


def position(number: int, family: str, answer: str) -> Position:
    content = {"answer": answer, "family": family, "model": family}
    made = read_position(
        content, position_id=bytes([number]) * 32, author=b"k", operator=b"k", at_ms=1
    )
    assert made is not None
    return made


def ballot(*said: tuple[str, str], checks: tuple[Check, ...] = ()) -> Ballot:
    positions = tuple(position(n, family, answer) for n, (family, answer) in enumerate(said))
    votes = tuple(Vote(answer, family) for family, answer in said)
    return Ballot(positions, votes, checks, Kind.NUMBER, ())


def test_a_lesson_says_which_answer_was_right() -> None:
    said = ballot(("a", "7"), ("b", "8"), ("c", "8"))
    verdict = said.count(JUDGED)
    assert verdict is not None
    graded = {said.positions[0].id: False, said.positions[1].id: True}
    (scores, discord, right), _ = lesson(said, verdict, graded).outcomes(JUDGED)
    assert right is not None
    assert discord == 0.5
    assert scores[right] == pytest.approx(2 / 1.35)
    assert sorted(scores) == pytest.approx(sorted((2.0, scores[right])))
    assert lesson(said, verdict, {said.positions[0].id: False}).right is None


def test_the_scores_of_a_lesson_give_the_posterior_that_was_counted() -> None:
    check = Check("8", True, 0.8, 0.2)
    said = ballot(("a", "7"), ("b", "8"), checks=(check,))
    verdict = said.count(JUDGED)
    assert verdict is not None
    learnt = lesson(said, verdict, {})
    odds = [math.exp(score) for score in learnt.outcomes(JUDGED)[0][0]]
    assert max(odds) / (1 + sum(odds)) == pytest.approx(verdict.posterior)


def test_a_lesson_is_scored_by_what_is_believed_when_it_is_fitted() -> None:
    said = [Vote("7", "a"), Vote("8", "b")]
    verdict = count(said, JUDGED)
    learnt = Lesson(tuple((said[i], k) for k, each in verdict.members.items() for i in each), 0)
    later = Untaught({"a": 0.5, "b": 3.0}.__getitem__, temperature=1.0)
    assert learnt.outcomes(JUDGED)[0] == ((2.0, 1.0), pytest.approx(1 / 3), 0)
    assert learnt.outcomes(later)[0] == ((0.5, 3.0), pytest.approx(1 / 7), 0)


def test_a_lesson_also_teaches_what_its_best_voice_alone_would_have_come_to() -> None:
    ballot = tuple((Vote("", family), answer) for family, answer in (("b", 0), ("a", 1), ("c", 0)))
    checked = {0: 1.5, 1: -0.5}
    for right, place in ((0, None), (1, 0), (None, None)):
        _, alone = Lesson(ballot, right, checked).outcomes(JUDGED)
        assert alone == ((2.0 - 0.5,), 0.0, place)
    assert len(Lesson(ballot[:1], 0).outcomes(JUDGED)) == 1


def test_the_newest_lessons_are_fitted_now_and_then() -> None:
    fitted: list[list[Lesson]] = []
    lessons = Lessons(lambda kind, learnt, now_ms: fitted.append(learnt))
    for number in range(LESSONS_MAX + 2 * FIT_EVERY):
        lessons.add("number", b"%d" % number, Lesson((), number), now_ms=1)
    assert len(fitted) == LESSONS_MAX // FIT_EVERY + 2
    assert len(fitted[-1]) == LESSONS_MAX
    assert [one.right for one in fitted[-1][:2]] == [2 * FIT_EVERY, 2 * FIT_EVERY + 1]
