"""Trust, from nothing: three spores, three models of different skill, and grades.

    make demo-trust               python -m scripts.demo_trust [--questions 60] [--picture FILE]

The models are scripted: a server on loopback answers for them, rightly as often as their skill
says. The spores are real: processes of their own, that share over HTTP, and nobody tells them the
skills. The one with the weakest model is asked; the others help. After each answer it is told what
was right. A picture shows what it came to think of each model, and how often it was right itself.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any, Final

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from benchmarks.answers.items import Item, stories
from benchmarks.scripted_server import Answer, scripted_server, skilled
from benchmarks.svg import Curve, Picture, plot
from synapse.core.errors import SynapseError
from synapse.core.reasoning.canonical import grouped
from tests.e2e.processes import Process, eventually, spores

SKILLS: Final[Mapping[str, float]] = {"amber": 0.9, "cobalt": 0.6, "jade": 0.35}
ASKED: Final = "jade"  # the family of the spore that is asked: the weakest, so that it needs help
TONES: Final = {"amber": "a", "cobalt": "b", "jade": "c"}
ROOT: Final = Path(__file__).resolve().parents[1]
PICTURE: Final = ROOT / "data" / "trust.svg"  # of the folder for what is made here
ANSWER_MS: Final = 20_000
HEARD_S: Final = 5.0  # an answer may be found before the last spore has spoken
SHOWN_FROM: Final = 5  # answers; a share of fewer says nothing

out = Console(highlight=False)


@dataclass(frozen=True, slots=True)
class Step:
    """One question: what became of it, and what its grades taught."""

    right: bool  # the swarm
    members: Mapping[str, bool]  # each family alone
    equal: float  # the chance that an equal vote of the three is right; ties are drawn
    trust: Mapping[str, float]  # by family: the chance that its next answer is right
    took_s: float


@dataclass(slots=True)
class Course:
    """Everything up to now."""

    before: Mapping[str, float]  # trust, when nothing is graded yet
    steps: list[Step] = field(default_factory=list)

    def trust(self, family: str) -> list[float]:
        """Before the first grade, and after each question."""
        return [self.before[family], *(step.trust[family] for step in self.steps)]

    def swarm(self) -> list[float]:
        """The share of right answers up to each question."""
        return _running([step.right for step in self.steps])

    def member(self, family: str) -> list[float]:
        """The same of one model alone."""
        return _running([step.members[family] for step in self.steps])

    def equal(self) -> list[float]:
        """The same if every family's vote weighed the same."""
        return _running([step.equal for step in self.steps])


def main() -> None:
    """Run the demo, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--questions", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1, help="decides questions and mistakes")
    parser.add_argument("--picture", type=Path, default=PICTURE, help="where to put it")
    chosen = parser.parse_args()
    began = time.monotonic()
    skills = ", ".join(f"{family} {skill:.0%}" for family, skill in SKILLS.items())
    out.print(f"Three spores start; their scripted models are right: {skills}.")
    out.print("The spores are not told. The one with jade is asked, and graded after each answer.")
    folder = Path(tempfile.mkdtemp(prefix="synapse-trust-"))
    try:
        with Live(console=out, refresh_per_second=8) as live:
            course = run(
                chosen.questions,
                folder,
                seed=chosen.seed,
                watch=lambda course: live.update(shown(course, chosen.questions)),
            )
    except (AssertionError, SynapseError) as error:  # a spore did not do what it must
        raise SystemExit(f"the demo failed: {error}") from None
    out.print()
    shutil.rmtree(folder)
    chosen.picture.parent.mkdir(parents=True, exist_ok=True)
    chosen.picture.write_text(picture(course), "utf-8")
    for line in conclusions(course):
        out.print(line)
    out.print(f"Picture: {chosen.picture.resolve()}  ({time.monotonic() - began:.0f} s)")


def run(
    questions: int, folder: Path, *, seed: int = 1, watch: Callable[[Course], None] = lambda _: None
) -> Course:
    """Ask and grade so many questions at a swarm in this folder."""
    asked = stories(questions, seed=seed)
    right = {one.text: one.right for one in asked}
    answer = skilled(right, {f"{family}-1": skill for family, skill in SKILLS.items()}, seed=seed)
    with scripted_server(answer) as server:
        helpers = [_spore(folder, family, server.url) for family in SKILLS if family != ASKED]
        asker = _spore(folder, ASKED, server.url, [helper.url for helper in helpers])
        with spores(*helpers, asker):
            eventually(
                lambda: all(one.health()["peers_alive"] == 2 for one in (*helpers, asker)),
                seconds=30,
                why="the spores meet",
            )
            course = Course(trusted(asker.client.get("/api/trust")))
            for item in asked:
                course.steps.append(step(asker, item, answer))
                watch(course)
            return course


def _spore(folder: Path, family: str, models: str, peers: Sequence[str] = ()) -> Process:
    """A spore with one family; it writes no prose, which the scripted models could not."""
    return Process(
        folder / family,
        peers=peers,
        LLM_ENDPOINT=models,
        LLM_MODEL=f"{family}-1",
        SYNAPSE_SYNTHESIS="false",
    )


def step(asker: Process, item: Item, answer: Answer) -> Step:
    """Ask one question, wait until all have spoken, and say what was right."""
    began = time.monotonic()
    task_id = asker.client.post("/api/task", {"task": item.text})["task_id"]
    path = f"/api/task/{task_id}"
    task = asker.client.get(path, wait_ms=ANSWER_MS)

    def heard() -> bool:
        said = asker.client.get(path)["deltas"]
        return len({one["family"] for one in said}) == len(SKILLS)

    eventually(heard, seconds=HEARD_S, why="every family speaks")
    took_s = time.monotonic() - began
    asker.client.post(f"{path}/grade", {"right_answer": item.right})
    said = {family: answer(f"{family}-1", item.text) or "" for family in SKILLS}
    return Step(
        right=_same(item, task["final_answer"] or ""),
        members={family: _same(item, one) for family, one in said.items()},
        equal=_equal_vote(item, list(said.values())),
        trust=trusted(asker.client.get("/api/trust")),
        took_s=took_s,
    )


def trusted(view: Mapping[str, Any]) -> dict[str, float]:
    """What a spore thinks of each family."""
    return {family: float(view[family]["overall"]) for family in SKILLS}


def _same(item: Item, answer: str) -> bool:
    return grouped([item.right, answer], item.kind).groups == (0, 0)


def _equal_vote(item: Item, answers: Sequence[str]) -> float:
    """How likely a vote of equals is right: of answers given equally often, one is drawn."""
    groups = grouped(answers, item.kind).groups
    most = max(groups.count(group) for group in groups)
    leading = [group for group in dict.fromkeys(groups) if groups.count(group) == most]
    return mean(_same(item, answers[group]) for group in leading)


def _running(outcomes: Sequence[float]) -> list[float]:
    return [mean(outcomes[: n + 1]) for n in range(len(outcomes))]


# What people see.


def shown(course: Course, questions: int) -> Group:
    """Where it stands."""
    last, done = course.steps[-1], len(course.steps)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("family", "trusted", "", "right so far"):
        table.add_column(heading)
    for family in SKILLS:
        trust = last.trust[family]
        bar = ProgressBar(total=1.0, completed=trust, width=30)
        table.add_row(family, f"{trust:.2f}", bar, f"{course.member(family)[-1]:.0%}")
    table.add_row("[bold]the swarm", "", "", f"[bold]{course.swarm()[-1]:.0%}")
    table.add_row("an equal vote", "", "", f"{course.equal()[-1]:.0%}")
    answers = ProgressBar(total=questions, completed=done, width=40)
    done_bar = Table.grid(padding=(0, 2, 0, 0))
    done_bar.add_row(answers, f"{done} of {questions} questions, graded")
    return Group(done_bar, table)


def conclusions(course: Course) -> list[str]:
    """What was seen, in words, the part that is no merit included."""
    done, best = len(course.steps), max(SKILLS, key=SKILLS.__getitem__)
    apart = separated(course)
    when = f"after {apart} grades each" if apart is not None else "not yet"
    ends = ", ".join(f"{family} {course.steps[-1].trust[family]:.2f}" for family in SKILLS)
    return [
        f"Trust separates: good, middling and bad stand apart for good {when} (now {ends}).",
        f"Right of {done}: the swarm {course.swarm()[-1]:.0%}, its best member {best} "
        f"{course.member(best)[-1]:.0%}, an equal vote {course.equal()[-1]:.0%}.",
        "What this shows: nobody said which model is good; the grades did, and its word came to "
        "weigh more. What it does not: that a swarm beats its best member. With one model this far "
        "ahead the others can seldom outvote it, rightly. Where members are closer, and are real "
        "models: docs/evidence.md.",
    ]


def separated(course: Course) -> int | None:
    """After how many questions the order of trust was that of skill, and stayed so."""
    order = sorted(SKILLS, key=SKILLS.__getitem__)
    since: int | None = None
    for number, one in enumerate(course.steps, start=1):
        values = [one.trust[family] for family in order]
        in_order = all(low < high for low, high in pairwise(values))
        since = (since or number) if in_order else None
    return since


def picture(course: Course) -> str:
    """Trust above, answers below."""
    best = max(SKILLS, key=SKILLS.__getitem__)
    drawn = Picture(
        820,
        640,
        "Above: trust in three models separates with grades. Below: the share of right answers of "
        "the swarm beside its best member and an equal vote.",
    )
    trust = [
        Curve(f"{family} (right {skill:.0%})", course.trust(family), TONES[family])
        for family, skill in SKILLS.items()
    ]
    ticks = (0.0, 0.25, 0.5, 0.75, 1.0)
    plot(
        drawn, trust, top=50, bottom=260, ticks=ticks, below="questions graded", first=0,
        title="What the asking spore thinks: the chance that a model's next answer is right",
    )  # fmt: skip
    lines = (
        ("the swarm", course.swarm(), "d bold"),
        (f"{best}, its best member", course.member(best), f"{TONES[best]} dashed"),
        ("an equal vote", course.equal(), "d dashed"),
    )
    answers = [
        Curve(name, [*[None] * (SHOWN_FROM - 1), *values[SHOWN_FROM - 1 :]], of)
        for name, values, of in lines
    ]
    plot(
        drawn, answers, top=370, bottom=580, ticks=(0.4, 0.6, 0.8, 1.0),
        below="questions asked", title="The share of right answers so far",
    )  # fmt: skip
    return drawn.svg()


if __name__ == "__main__":
    main()
