"""Strangers: a thousand made-up operators are worth no more than one, as graders and as voters."""

from __future__ import annotations

import pytest

from synapse.core.memory.record import Record
from synapse.core.reasoning.aggregation import Vote, count
from synapse.core.trust import policy
from synapse.core.trust.beliefs import Beliefs
from synapse.core.trust.policy import STRANGERS, Speaker
from tests.making import START_MS, identity
from tests.unit.core.test_trust import KIND, OWN, beliefs, grade

SYBILS = [bytes([9, number // 256, number % 256]) + b"\x00" * 29 for number in range(1_000)]
FRIEND, LIAR = identity(2), identity(3)


def graded(
    *, right: int, wrong: int, family: str = "polar", by: int = 1, observer: int = 1, start: int = 1
) -> list[Record]:
    """So many grades of one family's answers as one operator's spores gave them."""
    return [
        grade(
            int(number < right),
            seq=start + number,
            family=family,
            by=by,
            observer=observer,
            at_ms=START_MS + start + number,
        )
        for number in range(right + wrong)
    ]


def chance(known: Beliefs, family: str = "polar") -> float:
    return known.judgement(KIND, now_ms=START_MS).chances.get(family, 0.6)


def answer(known: Beliefs, *said: tuple[bytes, str, str]) -> str:
    """What the count makes of (operator, family, answer)."""
    speakers = [Speaker(operator, family) for operator, family, _ in said]
    heard = known.heard(speakers, KIND, now_ms=START_MS)
    votes = [
        Vote(text, one.family, credibility=one.credibility)
        for one, (_, _, text) in zip(heard, said, strict=True)
    ]
    judgement = known.judgement(KIND, now_ms=START_MS)
    return votes[count(votes, judgement).leader].answer


# As graders.


def test_our_own_grades_count_in_full() -> None:
    assert chance(beliefs(*graded(right=8, wrong=2))) == pytest.approx((8 + 1.2) / 12)


def test_a_thousand_unknown_graders_move_a_family_no_further_than_one() -> None:
    one = beliefs(*graded(right=0, wrong=30, observer=5))
    crowd = beliefs(*(grade(0, observer=observer, position=7) for observer in range(5, 1_005)))
    floor = 1.2 / (2 + policy.UNKNOWN_ADVICE)
    assert chance(crowd) == pytest.approx(floor)
    assert chance(one) == pytest.approx(chance(crowd))


def test_unknown_graders_cannot_undo_what_we_saw_ourselves() -> None:
    ours = graded(right=20, wrong=2)
    crowd = [grade(0, observer=observer, position=7) for observer in range(5, 205)]
    assert chance(beliefs(*ours, *crowd)) > 0.75


def test_graders_who_agreed_with_us_are_heard_and_those_who_did_not_are_not() -> None:
    ours, agrees, disagrees = [], [], []
    for number in range(20):
        right, at_ms = number % 2, START_MS + number
        place = {"position": 500 + number, "family": "other", "at_ms": at_ms}
        ours.append(grade(right, seq=1 + number, **place))
        agrees.append(grade(right, seq=1 + number, observer=2, **place))
        disagrees.append(grade(1 - right, seq=1 + number, observer=3, **place))
    known = [*ours, *agrees, *disagrees]
    praise = {"right": 10, "wrong": 0, "start": 101}
    of_friend = beliefs(*known, *graded(**praise, observer=2))
    of_liar = beliefs(*known, *graded(**praise, observer=3))
    worth = 2 * (20 + 1) / (20 + 2) - 1
    assert chance(of_friend) == pytest.approx((10 * worth + 1.2) / (10 * worth + 2))
    assert chance(of_liar) == pytest.approx(0.6)


def test_grades_that_came_after_ours_may_be_copies_and_earn_no_trust() -> None:
    ours = [grade(1, seq=n, position=n, at_ms=START_MS) for n in range(1, 11)]
    copies = [grade(1, seq=n, position=n, observer=2, at_ms=START_MS + 1) for n in range(1, 11)]
    praise = grade(1, seq=99, observer=2)
    told = beliefs(*ours, *copies, praise).explain("family:polar", KIND, now_ms=START_MS)
    assert {one.origin for one in told.portions} == {"own", "unknown"}


def test_all_advice_together_is_bounded_however_good_it_was() -> None:
    shared = []
    for observer in (1, *range(10, 60)):
        shared += [
            grade(1, seq=n, observer=observer, position=n, family="other", at_ms=START_MS)
            for n in range(1, 41)
        ]
    flood = [
        grade(0, seq=100 + n, observer=observer, position=1_000 + n)
        for observer in range(10, 60)
        for n in range(20)
    ]
    floor = 1.2 / (2 + policy.KNOWN_ADVICE)
    assert chance(beliefs(*shared, *flood)) >= floor - 1e-9


# As voters.


def test_a_thousand_strangers_do_not_outweigh_one_voter_of_ours() -> None:
    known = beliefs(*graded(right=3, wrong=2, family="ours"))
    sybils = [(key, f"made up {number}", "Rome") for number, key in enumerate(SYBILS)]
    assert answer(known, (OWN.key, "ours", "Paris"), *sybils) == "Paris"


def test_a_thousand_strangers_do_not_outweigh_one_operator_we_know() -> None:
    known = beliefs(*graded(right=9, wrong=1, by=2))
    sybils = [(key, "polar", "Rome") for key in SYBILS]
    assert answer(known, (FRIEND.key, "polar", "Paris"), *sybils) == "Paris"


def test_all_strangers_together_are_a_quarter_of_a_voter() -> None:
    known = beliefs(*graded(right=9, wrong=1))
    for number in (1, 10, 1_000):
        said = [Speaker(key, "polar") for key in SYBILS[:number]]
        heard = known.heard(said, KIND, now_ms=START_MS)
        assert sum(one.credibility for one in heard) <= policy.UNKNOWN_VOICE + 1e-9


def test_a_stranger_who_runs_many_spores_is_still_one_stranger() -> None:
    known = beliefs(*graded(right=9, wrong=1))
    crowd = [Speaker(SYBILS[0], f"made up {n % 7}") for n in range(100)]
    heard = known.heard([*crowd, Speaker(SYBILS[1], "polar")], KIND, now_ms=START_MS)
    assert sum(one.credibility for one in heard[:-1]) == pytest.approx(policy.UNKNOWN_VOICE / 2)


def test_families_that_only_strangers_speak_for_share_one_vote() -> None:
    known = beliefs(*graded(right=9, wrong=1))
    said = [Speaker(key, f"made up {n}") for n, key in enumerate(SYBILS)]
    assert {one.family for one in known.heard(said, KIND, now_ms=START_MS)} == {STRANGERS}


def test_strangers_praising_their_own_family_do_not_make_it_real() -> None:
    praise = [grade(1, observer=observer, family="made up") for observer in range(5, 105)]
    said = [Speaker(SYBILS[0], "made up")]
    [heard] = beliefs(*praise).heard(said, KIND, now_ms=START_MS)
    assert heard.family == STRANGERS


def test_among_strangers_alone_the_answer_most_of_them_give_leads() -> None:
    said = [(key, f"family {n}", "Rome" if n else "Oslo") for n, key in enumerate(SYBILS[:4])]
    assert answer(beliefs(), *said) == "Rome"


def test_a_stranger_who_claims_a_good_familys_name_gets_no_more_than_a_newcomers_vote() -> None:
    known = beliefs(*graded(right=40, wrong=0))
    judgement = known.judgement(KIND, now_ms=START_MS)
    [heard] = known.heard([Speaker(LIAR.key, "polar")], KIND, now_ms=START_MS)
    newcomer = judgement.weight(STRANGERS)
    assert judgement.weight("polar") > 2 * newcomer
    assert heard.credibility * judgement.weight("polar") == pytest.approx(
        policy.UNKNOWN_VOICE * newcomer
    )


def test_liars_who_were_graded_are_worth_less_than_strangers() -> None:
    known = beliefs(*graded(right=40, wrong=4), *graded(right=0, wrong=10, by=3, start=101))
    said = [Speaker(LIAR.key, "polar")], [Speaker(SYBILS[0], "polar")]
    [liar], [stranger] = (known.heard(one, KIND, now_ms=START_MS) for one in said)
    assert 0 < liar.credibility < stranger.credibility


def test_wrong_answers_of_liars_do_not_ruin_the_family_they_claim() -> None:
    ours = graded(right=18, wrong=2)
    lies = [
        one
        for number in range(40)
        for one in graded(right=0, wrong=5, by=100 + number, start=100 + 10 * number)
    ]
    assert chance(beliefs(*ours)) - chance(beliefs(*ours, *lies)) < 0.16


def test_an_honest_operator_of_a_weak_family_is_believed_about_it() -> None:
    known = beliefs(*graded(right=7, wrong=13), *graded(right=4, wrong=6, by=2, start=101))
    [heard] = known.heard([Speaker(FRIEND.key, "polar")], KIND, now_ms=START_MS)
    assert heard.credibility > 0.8


def test_who_speaks_for_a_family_of_ours_is_heard_beside_us_and_not_above() -> None:
    friends = [
        one
        for number in range(20)
        for one in graded(right=10, wrong=0, by=50 + number, start=1 + 20 * number)
    ]
    known = beliefs(*friends, *graded(right=9, wrong=1, start=901))
    said = [Speaker(OWN.key, "polar")]
    said += [Speaker(identity(50 + n).key, "polar") for n in range(20)]
    ours, *others = known.heard(said, KIND, now_ms=START_MS)
    assert ours.credibility == 1.0
    assert sum(one.credibility for one in others) == pytest.approx(1.0)


def test_what_checkers_say_is_believed_as_their_operators_answers_were() -> None:
    known = beliefs(*graded(right=9, wrong=1, by=2), *graded(right=0, wrong=9, by=3, start=50))
    stranger = known.credibility(SYBILS[0], now_ms=START_MS)
    assert known.credibility(OWN.key, now_ms=START_MS) == 1.0
    assert known.credibility(FRIEND.key, now_ms=START_MS) == pytest.approx(10 / 14)
    assert known.credibility(LIAR.key, now_ms=START_MS) < stranger == 0.25


# Explaining.


def test_every_number_is_explained_down_to_the_grades() -> None:
    ours = graded(right=6, wrong=2)
    strangers = graded(right=0, wrong=9, by=3, start=101)
    advice = graded(right=0, wrong=12, observer=5, start=201)
    elsewhere = [grade(1, seq=301 + n, task_kind="code") for n in range(3)]
    known = beliefs(*ours, *strangers, *advice, *elsewhere)
    told = known.explain("family:polar", KIND, now_ms=START_MS)
    said = {one.origin: (one.right, one.wrong) for one in told.portions}
    assert said == {"own": (6, 2), "own of strangers": (0, 9), "unknown": (0, 12)}
    assert told.right == pytest.approx(sum(one.factor * one.right for one in told.portions))
    assert told.wrong == pytest.approx(2 + policy.STRANGER_GRADES + policy.UNKNOWN_ADVICE)
    assert (told.right_elsewhere, told.wrong_elsewhere) == (3, 0)
    assert told.probability == pytest.approx((6 + 3 + 1.2) / (6 + 3 + 2 + 4 + 3 + 2))
    judgement = known.judgement(KIND, now_ms=START_MS)
    assert told.probability == judgement.chances["polar"]
    assert told.weight == judgement.weight("polar")
    assert len(told.grades) == 8 + 9 + 12
    assert told.grades[0] == advice[-1].id, "the newest first"


def test_an_operator_is_explained_in_the_same_way() -> None:
    known = beliefs(*graded(right=1, wrong=9, by=3))
    told = known.explain(f"operator:{LIAR.key.hex()}", KIND, now_ms=START_MS)
    assert (told.right, told.wrong, len(told.grades)) == (1, 9, 10)


def test_an_explanation_shows_a_bounded_number_of_grades() -> None:
    known = beliefs(*graded(right=60, wrong=0))
    assert len(known.explain("family:polar", KIND, now_ms=START_MS).grades) == 50
