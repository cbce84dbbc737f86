"""The live layer of `benchmarks/answers`, against scripted models on loopback."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from benchmarks.answers import live, live_figures
from benchmarks.answers.items import Item, items, stories
from benchmarks.answers.live import BEST, PROTOCOL, SAMPLED, LiveError, Plan, Stream
from benchmarks.scripted_server import Answer, ScriptedServer, scripted_server
from synapse.core.reasoning import tools
from synapse.core.reasoning.kinds import Kind

SKILLS = {"amber-1": 0.9, "cobalt-1": 0.6, "jade-1": 0.5}
SEED = 5


def knowing(skills: dict[str, float], count: int) -> Answer:
    """Models that know the first `count` items as well as their skills say."""
    known = {item.text: item for item in items(count, seed=SEED)}

    def answer(model: str, task: str) -> str | None:
        item, rng = known[task], Random(f"{model} {task}")
        if rng.random() < skills[model]:
            return item.right
        return rng.choice(item.choices) if item.choices else str(rng.randint(0, 9_999))

    return answer


def plan(server: ScriptedServer, folder: Path, **changed: object) -> Plan:
    its = {
        "endpoint": server.url,
        "models": tuple(SKILLS),
        "items": 12,
        "budget": 10_000,
        "cassette": folder / "cassette.jsonl",
        "seed": SEED,
        "command": "synapse bench answers --layer live",
    }
    return Plan(**{**its, **changed})  # type: ignore[arg-type]  # of mixed types


def collected(its: Plan) -> Stream:
    return asyncio.run(live.collect(its))


# Items


def test_no_exact_tool_understands_a_question() -> None:
    for item in (*items(300, seed=1), *stories(100, seed=1)):
        assert tools.solve(item.text) is None, item.text
        assert tools.check(item.text, item.right) is None, item.text


def test_items_are_the_same_for_a_seed_and_fewer_are_the_first_of_more() -> None:
    assert items(30, seed=2) == items(90, seed=2)[:30]
    assert items(30, seed=2) != items(30, seed=3)
    assert len({item.text for item in items(300, seed=2)}) == 300


def test_the_right_answer_of_a_story_is_what_happens_in_it() -> None:
    item = Item("stories", "", Kind.NUMBER, "40")
    assert live.is_right(item, "40.0")
    assert not live.is_right(item, "41")
    assert not live.is_right(item, None)


# The budget


@pytest.mark.parametrize("budget", [1, 7, 20])
def test_not_one_request_more_than_the_budget_is_sent(tmp_path: Path, budget: int) -> None:
    with scripted_server(knowing(SKILLS, 12)) as server:
        stream = collected(plan(server, tmp_path, budget=budget))
        assert len(server.asked) == budget
    assert len(stream.done) < 12, "an item that the budget cut short is not counted"


def test_failed_requests_are_paid_for_too(tmp_path: Path) -> None:
    with scripted_server(lambda model, task: None) as server:
        with pytest.raises(LiveError, match="overloaded"):
            collected(plan(server, tmp_path, budget=50))
        assert 0 < len(server.asked) <= 50


def test_a_run_goes_on_where_its_budget_ended_and_asks_nothing_twice(tmp_path: Path) -> None:
    with scripted_server(knowing(SKILLS, 12)) as server:
        first = collected(plan(server, tmp_path, budget=20))
        second = collected(plan(server, tmp_path, budget=10_000))
        asked = len(server.asked)
        again = collected(plan(server, tmp_path, budget=0))
        assert len(server.asked) == asked
    assert len(first.done) < len(second.done) == 12
    assert [one.right for one in again.done] == [one.right for one in second.done]
    assert [one.right for one in first.done] == [one.right for one in second.done][
        : len(first.done)
    ]


def test_a_cassette_alone_answers_when_nobody_may_be_asked(tmp_path: Path) -> None:
    with scripted_server(knowing(SKILLS, 6)) as server:
        recorded = collected(plan(server, tmp_path, items=6))
    played = collected(plan(server, tmp_path, items=6, mode="replay-or-fail"))
    assert [one.answers for one in played.done] == [one.answers for one in recorded.done]


def test_a_failure_is_tried_again_and_not_recorded(tmp_path: Path) -> None:
    answer, failed = knowing(SKILLS, 3), set[str]()

    def moody(model: str, task: str) -> str | None:
        first = f"{model} {task}" not in failed
        failed.add(f"{model} {task}")
        return None if first else answer(model, task)

    with scripted_server(moody) as server:
        stream = collected(plan(server, tmp_path, items=3))
    assert all(one.answers.count(None) == 0 for one in stream.done)
    assert "failure" not in (tmp_path / "cassette.jsonl").read_text()


# Figures


def test_figures_have_the_names_and_fields_of_the_replay(tmp_path: Path) -> None:
    with scripted_server(knowing(SKILLS, 15)) as server:
        found = list(live_figures.run(plan(server, tmp_path, items=15)))
    names = [one["figure"] for one in found]
    for rule in ("mean member", "plurality", "Dawid-Skene", "log-odds", "the count", BEST, SAMPLED):
        assert f"team of 3: {rule}" in names
    main = next(one for one in found if one["p"] is not None)
    assert main["figure"] == f"team of 3: {PROTOCOL} - {BEST}"
    assert {one["layer"] for one in found} == {"live"}
    assert {one["n"] for one in found if one["dataset"] == "all topics"} == {12}
    accuracies = [one for one in found if one["low"] is not None]
    assert all(one["low"] <= one["value"] <= one["high"] for one in accuracies)


def test_the_first_items_teach_and_are_not_counted(tmp_path: Path) -> None:
    with scripted_server(knowing(SKILLS, 10)) as server:
        stream = collected(plan(server, tmp_path, items=10))
    assert len(stream.done) == 10
    assert stream.counted == stream.done[2:]


def test_self_consistency_asks_the_best_model_as_often_as_the_node_asked(tmp_path: Path) -> None:
    wrong = {"amber-1": 0.0, "cobalt-1": 0.0, "jade-1": 0.0}  # they never agree: it asks on
    with scripted_server(knowing(wrong, 3)) as server:
        stream = collected(plan(server, tmp_path, items=3))
    for one in stream.done:
        samples = [model for model, task in server.asked if task == one.item.text]
        assert one.calls > 1
        assert samples.count("amber-1") >= one.calls


def test_without_samples_there_is_no_such_figure(tmp_path: Path) -> None:
    with scripted_server(knowing(SKILLS, 5)) as server:
        stream = collected(plan(server, tmp_path, items=5, sampling=False))
    assert all(SAMPLED not in one.right for one in stream.done)


def test_a_comparison_without_a_difference_is_not_settled_by_a_few_items(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(live, "LOOKS_FROM", 5)
    monkeypatch.setattr(live, "LOOK_EVERY", 5)
    with scripted_server(knowing(dict.fromkeys(SKILLS, 1.0), 15)) as server:
        stream = collected(plan(server, tmp_path, items=15))
    assert len(stream.done) == 15, "nothing differed, which so few items cannot rule out"


def test_a_comparison_stops_when_its_interval_holds_neither_one_point_more_nor_less(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(live, "LOOKS_FROM", 20)
    with scripted_server(knowing(SKILLS, 60)) as server:
        stream = collected(plan(server, tmp_path, items=60))
        for one in stream.done:
            one.right[PROTOCOL], one.right[BEST] = True, False
        del stream.done[37:]
        assert live.settled(stream)


def test_a_budget_that_only_pays_for_the_teaching_says_what_to_do(tmp_path: Path) -> None:
    with (
        scripted_server(knowing(SKILLS, 40)) as server,
        pytest.raises(LiveError, match="raise it and run again"),
    ):
        list(live_figures.run(plan(server, tmp_path, items=40, budget=6)))


def test_the_command_prints_one_object_a_figure_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "answers", "--layer", "live", "--json"]
    command += [
        "--models",
        ",".join(SKILLS),
        "--items",
        "5",
        "--budget",
        "200",
        "--seed",
        f"{SEED}",
    ]
    command += ["--cassette", str(tmp_path / "cassette.jsonl")]
    with scripted_server(knowing(SKILLS, 5)) as server:
        run = subprocess.run(
            [*command, "--endpoint", server.url],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "LLM_API_KEY": "sk-canary-0123456789abcdef"},
            capture_output=True,
            text=True,
            check=True,
        )
    figures = [json.loads(line) for line in run.stdout.splitlines()]
    assert {one["layer"] for one in figures} == {"live"}
    assert "sk-canary" not in run.stdout + run.stderr + (tmp_path / "cassette.jsonl").read_text()
