"""The demo of trust, with few questions: real spores, scripted models, grades over REST."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from scripts import demo_trust
from scripts.demo_trust import SKILLS, Course
from synapse.core.trust import weights

QUESTIONS = 10


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    return demo_trust.run(QUESTIONS, tmp_path_factory.mktemp("trust"))


def test_before_any_grade_the_spore_thinks_the_same_of_every_family(course: Course) -> None:
    assert len(set(course.before.values())) == 1


def test_every_position_is_graded_once(course: Course) -> None:
    for family in SKILLS:
        right = sum(step.members[family] for step in course.steps)
        expected = weights.probability(right, QUESTIONS - right)
        assert course.trust(family)[-1] == pytest.approx(expected, abs=0.02)


def test_good_and_bad_members_stand_apart_within_ten_grades(course: Course) -> None:
    amber, cobalt, jade = (course.trust(family)[-1] for family in SKILLS)
    assert amber > cobalt > jade
    assert demo_trust.separated(course) is not None


def test_the_swarm_is_never_worse_than_an_equal_vote_of_its_members(course: Course) -> None:
    assert sum(step.right for step in course.steps) >= sum(step.equal for step in course.steps)


def test_the_picture_is_whole_and_names_everyone_it_draws(course: Course) -> None:
    drawn = ElementTree.fromstring(demo_trust.picture(course))
    svg = "{http://www.w3.org/2000/svg}"
    assert len(drawn.findall(f"{svg}polyline")) == len(SKILLS) + 3
    said = " ".join(text.text or "" for text in drawn.findall(f"{svg}text"))
    assert all(family in said for family in (*SKILLS, "the swarm", "an equal vote"))
    assert "http" not in demo_trust.picture(course).replace(svg.strip("{}"), "")


def test_what_is_said_of_it_claims_no_win_over_the_best_member(course: Course) -> None:
    said = " ".join(demo_trust.conclusions(course))
    assert "does not: that a swarm beats its best member" in said
