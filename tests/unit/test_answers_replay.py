"""The replay drives the shipped count: its array twin agrees with it, and small runs add up."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from benchmarks.answers import baselines, replay, twin
from benchmarks.answers.asking import Asking
from benchmarks.answers.drift import Drift
from benchmarks.answers.federation import Federation
from benchmarks.answers.recorded import NO_ANSWER, Recorded, recorded
from benchmarks.answers.teaching import NOW_MS, OWN, lessons, taught
from synapse.core.reasoning.aggregation import DECIDED, Mechanisms, Vote, count
from synapse.core.reasoning.ballot import Ballot
from synapse.core.reasoning.kinds import Kind
from synapse.core.reasoning.stopping import worth_asking
from synapse.core.trust.beliefs import Judgement
from synapse.core.trust.calibration import Calibration

MODELS = {
    "claude-3-opus": 0.9, "claude-3-haiku": 0.6, "claude-3-sonnet": 0.75, "gpt-4o": 0.85,
    "gpt-4": 0.8, "gpt-3.5": 0.5, "llama-3": 0.7, "gemini-1.5": 0.75, "qwen2": 0.7,
    "mistral-large": 0.65, "phi-3": 0.4, "o1-preview": 1.0,
}  # fmt: skip


def said(items: int = 150, seed: int = 1) -> dict[str, object]:
    """Made-up answers of models of known skill, who share some of their mistakes."""
    rng = Random(seed)
    gold = [str(rng.randrange(100)) for _ in range(items)]
    hard = [rng.uniform(-0.3, 0.3) for _ in range(items)]
    answers: dict[str, list[str | None]] = {}
    for model, skill in MODELS.items():
        answers[model] = []
        for item in range(items):
            if rng.random() < skill + hard[item]:
                answers[model].append(gold[item])
            else:
                answers[model].append(rng.choice([None, "1000", "1001", str(rng.randrange(2_000))]))
    return {"gold": gold, "answers": answers}


@pytest.fixture(scope="module")
def data() -> Recorded:
    return recorded("gsm", said())


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recorded") / "answers.json.gz"
    with gzip.open(path, "wt", encoding="utf-8") as opened:
        json.dump({"gsm": said(items=260)}, opened)
    return path


def judged(data: Recorded, members: list[int], names: list[str]) -> Judgement:
    beliefs = taught(data, members, range(60), names=names)
    return beliefs.judgement(data.kind, now_ms=NOW_MS)


def test_answers_are_scored_as_they_were_recorded(data: Recorded) -> None:
    assert data.unlike == 0
    assert "o1-preview" not in data.models
    raw = said()
    answers, gold = raw["answers"], raw["gold"]
    assert isinstance(answers, dict) and isinstance(gold, list)
    for row, model in enumerate(data.models):
        exact = [one == wanted for one, wanted in zip(answers[model], gold, strict=True)]
        assert data.right[row].tolist() == exact
        assert (data.groups[row] == NO_ANSWER).tolist() == [one is None for one in answers[model]]


def test_what_a_program_returned_is_compared_character_by_character() -> None:
    rows = {"gold": ["a b", "", "True"], "answers": {"gpt-4": ["a  b", " ", "True"]}}
    assert recorded("crux", rows).right.tolist() == [[False, False, True]]


@pytest.mark.parametrize("entanglement", [True, False])
def test_the_twin_gives_what_the_shipped_count_gives(data: Recorded, entanglement: bool) -> None:
    rng, compared = np.random.default_rng(5), 0
    for _ in range(12):
        size = int(rng.integers(1, 9))
        members = rng.choice(len(data.models), size=size, replace=False)
        names = [data.models[member] for member in members]
        judgement = judged(data, members.tolist(), names)
        weights = np.array([judgement.weight(name) for name in names])
        items = rng.choice(data.items, size=30, replace=False)
        groups = data.groups[members][:, items]
        rho = twin.correlations(judgement, names)
        scored = twin.scores(twin.spread(groups), weights, rho, entanglement=entanglement)
        lead = twin.leaders(scored)
        apart = twin.discord(twin.spread(groups), weights)
        p = twin.posterior(scored, apart, judgement.calibration)
        for column in range(len(items)):
            spoke = [m for m in range(size) if groups[m, column] != NO_ANSWER]
            if not spoke:
                assert lead[column] == NO_ANSWER
                continue
            votes = [Vote(str(groups[m, column]), names[m]) for m in spoke]
            verdict = count(
                votes, judgement, kind=Kind.NUMBER, mechanisms=Mechanisms(entanglement=entanglement)
            )
            assert spoke[verdict.leader] == lead[column]
            assert verdict.posterior == pytest.approx(p[column], abs=1e-12)
            compared += 1
    assert compared > 200


def test_a_team_is_asked_as_the_shipped_gate_asks(data: Recorded) -> None:
    names = [data.models[member] for member in range(7)]
    judgement = replace(judged(data, list(range(7)), names), fitted=True)
    asking = Asking(tuple(names), judgement)
    calls = []
    for item in range(data.items):
        groups = data.groups[:7, item].tolist()
        end = asking.ends(groups)
        calls.append(end.asked)
        spoke = [m for m in range(end.asked) if groups[m] != NO_ANSWER]
        votes = tuple(Vote(str(groups[m]), names[m]) for m in spoke)
        if not votes:
            assert (end.asked, end.leader, end.posterior) == (7, NO_ANSWER, 0.0)
            continue
        ballot = Ballot((), votes, (), Kind.NUMBER, ())
        verdict = ballot.count(judgement)
        assert verdict is not None
        assert (end.leader, end.posterior) == (spoke[verdict.leader], verdict.posterior)
        left = names[end.asked :]
        assert verdict.decided or not worth_asking(ballot, verdict, left, judgement, Mechanisms())
    assert min(calls) < max(calls)
    one_by_one = Asking(tuple(names), judgement, gaining=False)
    alone = [one_by_one.ends(data.groups[:7, item].tolist()) for item in range(data.items)]
    assert all(end.posterior >= DECIDED or end.asked == 7 for end in alone)


def test_a_lesson_is_scored_as_the_replay_scores_it(data: Recorded) -> None:
    members = list(range(5))
    names = [data.models[member] for member in members]
    judgement = judged(data, members, names)
    weights = np.array([judgement.weight(name) for name in names])
    shares = twin.spread(data.groups[:5])
    scored = twin.scores(shares, weights, twin.correlations(judgement, names))
    discord = twin.discord(shares, weights)
    items = [i for i in range(data.items) if (data.groups[:5, i] != NO_ANSWER).any()]
    for item, lesson in zip(items, lessons(data, members, items, names=names), strict=True):
        scores, apart, place = lesson.outcomes(judgement)[0]
        given = np.flatnonzero(np.isfinite(scored[item])).tolist()
        assert list(scores) == pytest.approx(scored[item, given].tolist())
        assert apart == pytest.approx(discord[item])
        right = [given.index(m) for m in given if data.right[m, item]]
        assert place == (right[0] if right else None)


def test_months_pass_and_members_are_swapped(data: Recorded) -> None:
    teams = replay.Replay(data, seed=1, teams=2, command="").draw(5)
    stream = Drift(data, teams, seed=3)
    for rate in (0.0, 0.3):
        rng = np.random.default_rng(4)
        served = stream._served(teams[0].members, rate, rng)
        assert served[0].tolist() == teams[0].members.tolist()
        assert all(len({*models.tolist()}) == 5 for models in served)
        assert (served[-1].tolist() != served[0].tolist()) == (rate > 0)
    months = stream._months(np.random.default_rng(4))
    assert len({item for month in months for item in month.tolist()}) == sum(map(len, months))
    figures = {name: estimate.value for name, estimate, _ in stream.figures(0.3)}
    assert len(figures) == 3
    assert figures["ablation: decoherence of trust on - off, 30% of members swapped a month"] != 0


def test_plurality_counts_heads_and_gives_ties_to_the_first() -> None:
    groups = np.array([[1, 1, NO_ANSWER], [2, 2, NO_ANSWER], [2, 3, NO_ANSWER]])
    assert baselines.plurality(groups).tolist() == [1, 0, NO_ANSWER]


def test_dawid_skene_learns_without_labels_who_is_right() -> None:
    rng = np.random.default_rng(6)
    right = rng.random((5, 400)) < np.array([0.9, 0.85, 0.8, 0.3, 0.3])[:, None]
    groups = np.where(right, 0, rng.integers(1, 4, size=right.shape))
    lead = baselines.dawid_skene(groups)
    hit = right[lead, np.arange(400)].mean()
    assert hit > right[baselines.plurality(groups), np.arange(400)].mean()
    assert hit > 0.93


def test_graded_items_are_never_tested_on(data: Recorded) -> None:
    for team in replay.Replay(data, seed=1, teams=20, command="").draw(5, graded=40):
        assert not {*team.graded.tolist()} & {*team.tested.tolist()}
        assert len(team.graded) + len(team.tested) == data.items
        assert len({*team.names}) == 5


def test_all_nodes_on_one_model_are_one_voter(data: Recorded) -> None:
    swarm = Federation(data, seed=1, seeds=2)
    figures = dict(swarm.sizes())
    for size in (1, 7):
        for popularity in ("uniform", "Zipf, weakest commonest"):
            assert f"{size} nodes, {popularity}: by model x trust" in figures
    alone = {rule: figures[f"1 nodes, uniform: {rule}"].value for rule in ("by node", "by model")}
    assert alone["by node"] == alone["by model"]


def test_what_is_learnt_is_what_was_graded(data: Recorded) -> None:
    names = ["claude", "gpt"]
    beliefs = taught(data, [0, 4], range(50), names=names)
    told = beliefs.explain("family:claude", Kind.NUMBER, now_ms=NOW_MS)
    assert told.right == data.right[0, :50].sum()
    assert told.right + told.wrong == (data.groups[0, :50] != NO_ANSWER).sum()
    assert beliefs.credibility(OWN, now_ms=NOW_MS) == 1.0


def test_a_posterior_of_nothing_is_that_none_is_right() -> None:
    scored = np.full((1, 3), -np.inf)
    assert twin.posterior(scored, np.zeros(1), Calibration(1.0, 1.0)).tolist() == [0.0]


def test_a_small_run_gives_figures_with_intervals(file: Path) -> None:
    figures = list(replay.run("replay", file, 4, sets=["gsm"], command="as run"))
    names = {one["figure"] for one in figures}
    assert {"team of 7: plurality", "5 grades: the count", "ECE, fitted"} <= names
    assert {one["layer"] for one in figures} == {"replay", "replay with drawn checks"}
    for one in figures:
        assert one["low"] is None or one["low"] <= one["value"] <= one["high"]
        assert (one["dataset"], one["command"]) == ("GSM8K", "as run")
    ablations = [one for one in figures if one["figure"].startswith("ablation")]
    assert sorted(one["p"] is None for one in ablations) == [False] * 5 + [True]


def test_without_recorded_answers_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="pass --data or set"):
        list(replay.run("replay", tmp_path / "none.json.gz"))
    with pytest.raises(ValueError, match="not 'live'"):
        list(replay.run("live", tmp_path))
