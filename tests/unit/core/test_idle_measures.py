"""Novelty, subjects, and independent corroboration."""

from __future__ import annotations

from synapse.core.reasoning.idle.measures import (
    SUBJECT_MIN,
    Corroboration,
    Voice,
    alike,
    corroboration,
    marks,
    novelty,
)
from tests.making import made_up_id

CLAIM = "The harbour of Oban froze over in 1895."


def voice(number: int, text: str, *, operator: int, at_ms: int = 0, family: str = "") -> Voice:
    return Voice(made_up_id(number), bytes([operator]) * 32, text, family, at_ms or number)


def test_what_was_never_said_is_new_and_what_was_just_said_is_not() -> None:
    known = [marks("The tides follow the moon.")]
    assert novelty(marks("The tides follow the moon!"), known) == 0.0
    assert novelty(marks("Bells are cast from bronze."), known) == 1.0
    assert novelty(marks("Anything."), []) == 1.0


def test_a_text_is_as_new_as_its_nearest_neighbour_lets_it_be() -> None:
    text = marks("alpha bravo charly delta")
    near, far = marks("alpha bravo charly echo"), marks("alpha sierra tango")
    assert novelty(text, [far, near]) == 1 - alike(text, near) == 1 - 3 / 5


def test_little_words_and_endings_make_no_subject() -> None:
    bell = marks("The bell of the church was cast in 1780.")
    assert alike(bell, marks("In 1780 a bell was cast for a church.")) == 1.0
    assert alike(bell, marks("Churches cast no bells.")) > SUBJECT_MIN
    assert alike(bell, marks("The tides of the sea were in the way.")) < SUBJECT_MIN


def test_a_text_of_little_words_alone_has_marks_too() -> None:
    assert marks("It is so.") == {"it", "is", "so"}


def test_independent_operators_are_counted_and_copies_are_not() -> None:
    voices = [
        voice(1, CLAIM, operator=1),
        voice(2, CLAIM, operator=2),  # pushed on, word for word
        voice(3, CLAIM.upper(), operator=3),
        voice(4, "In 1895 the harbour at Oban froze.", operator=4),
        voice(5, "Oban: harbour froze over, 1895, twice.", operator=4),  # the same operator again
        voice(6, "The moon pulls the tides.", operator=5),
    ]
    assert corroboration(CLAIM, voices) == Corroboration(operators=2, families=0, copies=2)


def test_who_cites_a_record_does_not_corroborate_it() -> None:
    first = voice(1, CLAIM, operator=1)
    summary = Voice(
        made_up_id(2), b"b" * 32, "Oban's harbour froze over in 1895, hard.", "", 2, (first.id,)
    )
    assert corroboration(CLAIM, [first, summary]).operators == 1


def test_families_count_among_what_models_found() -> None:
    voices = [
        voice(1, CLAIM, operator=1, family="polar"),
        voice(2, "In 1895 the harbour at Oban froze.", operator=2, family="polar"),
        voice(3, "Oban: harbour froze over, 1895, twice.", operator=3, family="solar"),
    ]
    assert corroboration(CLAIM, voices) == Corroboration(operators=3, families=2, copies=0)


def test_the_count_does_not_depend_on_the_order_of_arrival() -> None:
    voices = [voice(n, f"{CLAIM} {'very ' * (n % 3)}", operator=n % 4) for n in range(1, 9)]
    assert corroboration(CLAIM, voices) == corroboration(CLAIM, voices[::-1])
