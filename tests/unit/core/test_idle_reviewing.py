"""Self-review and the spotlight: what becomes of own answers and findings once more is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from synapse.core import events
from synapse.core.clock import Timestamp
from synapse.core.effects import Acknowledge
from synapse.core.memory.memory import Memory, from_record
from synapse.core.memory.record import (
    GRADE,
    MEMORY,
    OUTCOME,
    POSITION,
    RETRACTION,
    TASK,
    VERDICT,
    Record,
)
from synapse.core.reasoning.idle.notebook import SPOTLIGHT
from synapse.core.reasoning.idle.schedule import Work
from synapse.core.text import SharedText
from synapse.storage.memory_log import MemoryLog
from tests.making import identity, made_up_id, record
from tests.unit.core.idling import DAY_MS, HOUR_MS, answer, band, call_of, idler, told
from tests.unit.core.nodes import Table, notices, persisted

RIVER = "Which river runs through Brill?"


@dataclass(slots=True)
class Past:
    """What an own log holds of answers from before the spore learnt to check."""

    log: MemoryLog = field(default_factory=MemoryLog)
    seq: int = 0

    def write(self, content: dict[str, object], kind: str, *refs: bytes) -> Record:
        self.seq += 1
        made = record(content, kind=kind, seq=self.seq, refs=refs, writer=identity(1))
        self.log.stage((made,))
        return made

    def answered(self, question: str, said: str, *, finding: bool = False) -> bytes:
        """A task with one position and its outcome; the task's id."""
        task = self.write({"text": question}, TASK)
        content = {"answer": said, "confidence": 0.7, "model": "polar-1", "family": "polar"}
        position = self.write(content, POSITION, task.id)
        outcome = {"answer": said, "stop_reason": "decided", "posterior": 0.7}
        self.write({**outcome, "supporters": [position.id]}, OUTCOME, task.id)
        if finding:
            text = f"{question}\n{said}"
            self.write({"text": text, "kind": "finding", "tags": ["checked"]}, MEMORY, task.id)
        return task.id

    def idler(self) -> Table:
        """The spore, with that past."""
        table = idler(log=self.log)
        found = (from_record(one) for one in self.log.scan())
        table.memories += [memory for memory in found if memory is not None]
        return table


def written(table: Table, kind: str) -> list[Record]:
    return [one for one in persisted(table.effects) if one.kind == kind]


def findings(table: Table) -> list[Memory]:
    """The findings that stand, in the order in which they were written."""
    found = (from_record(one) for one in table.log.scan())
    return [memory for memory in found if memory is not None and memory.kind == "finding"]


def grade(table: Table, task_id: bytes, right_answer: str) -> None:
    table.now_ms += 1_000
    effects = table.tell(events.GradeTask(1, task_id, right_answer=right_answer))
    assert [one.refused for one in effects if isinstance(one, Acknowledge)] == [None]


def sources(graded: Sequence[Record]) -> list[tuple[int, str]]:
    return [(one.content()["right"], one.content()["source"]) for one in graded]


def test_an_old_answer_that_a_tool_fails_gets_a_verdict_and_its_finding_is_taken_back() -> None:
    past = Past()
    past.answered("What is 17 * 23?", "401", finding=True)
    table = past.idler()
    assert len(findings(table)) == 1
    table.wait(HOUR_MS)
    assert [one.content()["passed"] for one in written(table, VERDICT)] == [0]
    assert sources(written(table, GRADE)) == [(0, "checker")]
    assert findings(table) == []


def test_an_old_answer_that_a_tool_passes_becomes_a_finding() -> None:
    past = Past()
    past.answered("What is 17 * 23?", "391")
    table = past.idler()
    table.wait(HOUR_MS)
    assert [one.content()["passed"] for one in written(table, VERDICT)] == [1]
    assert sources(written(table, GRADE)) == [(1, "checker")]
    assert [memory.text for memory in findings(table)] == ["What is 17 * 23?\n391"]


def test_what_was_reviewed_is_not_written_again() -> None:
    past = Past()
    past.answered("What is 17 * 23?", "391")
    past.answered("What is 18 * 23?", "1", finding=True)
    table = past.idler()
    table.wait(HOUR_MS)
    records = len(table.log.read([one.id for one in table.log.scan()]))
    table.wait(2 * DAY_MS)
    new = [one for one in list(table.log.scan())[records:] if one.kind != SPOTLIGHT]
    assert new == []


def test_a_later_task_that_asked_the_same_and_was_graded_grades_an_old_answer() -> None:
    past = Past()
    past.answered(RIVER, "The Thame.")
    past.answered(RIVER.upper(), "The Ray.")
    table = past.idler()
    later = table.ask(RIVER)
    table.reply("polar", "The Ray.")
    grade_of_later = written(table, GRADE)
    assert grade_of_later == []
    position = table.task(later).positions[0]
    table.tell(events.GradeTask(1, later, position=position.id, right=True))
    table.wait(8 * HOUR_MS)
    assert sorted(sources(written(table, GRADE))) == [
        (0, "later task"),
        (1, "later task"),
        (1, "user"),
    ]


def test_a_finding_that_a_later_grade_contradicts_is_replaced_by_the_right_one() -> None:
    past = Past()
    task_id = past.answered(RIVER, "The Thame.", finding=True)
    table = past.idler()
    table.wait(HOUR_MS)
    assert [memory.text for memory in findings(table)] == [f"{RIVER}\nThe Thame."]
    table.calls.clear()  # an idle call, which nobody answers
    again = table.ask(RIVER)
    table.reply("polar", "The Ray.")
    grade(table, again, "The Ray.")
    table.wait(8 * HOUR_MS)
    assert f"{RIVER}\nThe Thame." not in [memory.text for memory in findings(table)]
    assert f"{RIVER}\nThe Ray." in [memory.text for memory in findings(table)]
    assert table.task(task_id).outcome is not None, "the outcome stays what it was"


def test_what_strangers_grade_takes_nothing_back() -> None:
    past = Past()
    task_id = past.answered(RIVER, "The Thame.", finding=True)
    table = past.idler()
    position = table.task(task_id).positions[0]
    lie = record(
        {"family": "polar", "task_kind": "free", "right": 0, "source": "user"},
        kind=GRADE,
        writer=identity(7),
        refs=(task_id, position.id),
    )
    table.hear_records(lie)
    table.wait(DAY_MS)
    assert len(findings(table)) == 1


def test_a_step_looks_at_so_many_tasks_and_goes_on_where_it_stopped() -> None:
    past = Past()
    for number in range(40):
        past.answered(f"What is {number} + 1?", str(number + 1))
    table = past.idler()
    passed = []
    for runs in range(1, 5):
        before = len(written(table, VERDICT))
        while band(table, Work.REVIEWING).runs < runs:
            table.wait(HOUR_MS // 4)
        passed.append(len(written(table, VERDICT)) - before)
    assert passed == [16, 16, 8, 0]
    assert band(table, Work.REVIEWING).calls == 0


# The spotlight.


def found_by_thinking(table: Table) -> Record:
    """A finding of today: a thought whose answer a tool passed."""
    told(table, f"The ledger of {table.now_ms} has 17 lamps.")
    [finding] = answer(table, call_of(table, Work.EXPLORING), ("What is 17 * 23?", [1]), said="391")
    return finding


def test_the_most_novel_finding_of_a_day_is_shown_once() -> None:
    table = idler()
    finding = found_by_thinking(table)
    table.wait(3 * DAY_MS)
    assert [one.header.refs for one in written(table, SPOTLIGHT)] == [(finding.id,)]
    assert [one["finding"] for one in notices(table.effects, "spotlight")] == [finding.id.hex()]
    [shown] = table.node.thinking.idle.spotlights()
    assert shown.finding == finding.id


def test_a_day_without_a_finding_has_no_spotlight() -> None:
    table = idler()
    told(table, "The tides follow the moon.")
    table.wait(2 * DAY_MS)
    assert written(table, SPOTLIGHT) == []
    assert band(table, Work.ANNOUNCING).last_reason == "nothing_new"


def test_a_restart_does_not_repeat_the_spotlight() -> None:
    table = idler()
    found_by_thinking(table)
    table.wait(30 * HOUR_MS)
    assert len(written(table, SPOTLIGHT)) == 1
    again = idler(log=table.log)
    again.now_ms = table.now_ms
    again.wait(HOUR_MS)
    assert band(again, Work.ANNOUNCING).last_reason in ("said_today", "nothing_new")
    assert written(again, SPOTLIGHT) == []


def test_a_peer_that_shouts_all_day_is_heard_once() -> None:
    table = Table()  # it shows what peers found, thinking or not
    for seq in range(1, 20):
        shout = record({}, kind=SPOTLIGHT, writer=identity(2), seq=seq, refs=(made_up_id(seq),))
        table.hear_records(shout)
    assert len(notices(table.effects, "spotlight")) == 1
    assert len(table.node.thinking.idle.spotlights()) == 1


def test_remembering_by_hand_is_no_finding() -> None:
    table = idler()
    text = SharedText("What is 2 + 2?\n5")
    table.tell(events.Remember(1, text, SharedText("finding"), (SharedText("idea"),)))
    table.wait(2 * DAY_MS)
    assert written(table, SPOTLIGHT) == []


# At once, when a grade comes.


def texts(table: Table) -> list[str]:
    return [memory.text for memory in findings(table)]


def test_a_right_answer_replaces_a_wrong_finding_at_once() -> None:
    past = Past()
    task_id = past.answered(RIVER, "The Thame.", finding=True)
    table = past.idler()
    [wrong] = findings(table)
    grade(table, task_id, "The Ray.")
    assert texts(table) == [f"{RIVER}\nThe Ray."]
    [right] = written(table, MEMORY)
    assert right.header.refs == (task_id,)
    assert right.content()["replaces"] == [wrong.id]
    assert [one.header.refs for one in written(table, RETRACTION)] == [(wrong.id,)]
    assert table.task(task_id).outcome is not None, "what was once believed stays"
    table.wait(DAY_MS)
    assert texts(table) == [f"{RIVER}\nThe Ray."], "idle work has nothing to add"


def test_a_right_answer_that_the_finding_gives_changes_nothing() -> None:
    past = Past()
    task_id = past.answered(RIVER, "The Thame.", finding=True)
    table = past.idler()
    grade(table, task_id, "the thame")
    assert texts(table) == [f"{RIVER}\nThe Thame."]
    assert written(table, MEMORY) == written(table, RETRACTION) == []


def test_grading_back_and_forth_ends_with_the_last_word() -> None:
    past = Past()
    task_id = past.answered(RIVER, "The Thame.", finding=True)
    table = past.idler()
    for said in ("The Ray.", "The Thame.", "The Cherwell."):
        grade(table, task_id, said)
        assert texts(table) == [f"{RIVER}\n{said}"]


def test_a_right_answer_to_the_same_question_replaces_the_older_finding_at_once() -> None:
    past = Past()
    past.answered(RIVER, "The Thame.", finding=True)
    table = past.idler()
    table.calls.clear()
    again = table.ask(RIVER)
    table.reply("polar", "The Ray.")
    grade(table, again, "The Ray.")
    assert texts(table) == [f"{RIVER}\nThe Ray."]


def refuse(table: Table, task_id: bytes, said: str, *, right: bool = False) -> None:
    [position] = [one for one in table.task(task_id).positions if one.answer == said]
    table.now_ms += 1_000
    table.tell(events.GradeTask(1, task_id, position=position.id, right=right))


def test_a_position_found_wrong_takes_its_finding_with_it_and_names_no_other() -> None:
    past = Past()
    task_id = past.answered(RIVER, "The Thame.", finding=True)
    table = past.idler()
    refuse(table, task_id, "The Thame.")
    assert texts(table) == []


def test_a_position_found_right_replaces_what_was_found_before() -> None:
    past = Past()
    task_id = past.answered(RIVER, "The Thame.", finding=True)
    other = {"answer": "The Ray.", "confidence": 0.7, "model": "solar-1", "family": "solar"}
    past.write(other, POSITION, task_id)
    table = past.idler()
    refuse(table, task_id, "The Ray.", right=True)
    assert texts(table) == [f"{RIVER}\nThe Ray."]


def test_what_was_graded_right_before_takes_the_place_of_what_is_found_wrong_now() -> None:
    past = Past()
    task_id = past.answered(RIVER, "The Thame.", finding=True)
    other = {"answer": "The Ray.", "confidence": 0.7, "model": "solar-1", "family": "solar"}
    ray = past.write(other, POSITION, task_id)
    past.write(
        {"family": "solar", "task_kind": "free", "right": 1, "source": "user"},
        GRADE,
        task_id,
        ray.id,
    )
    table = past.idler()
    refuse(table, task_id, "The Thame.")
    assert texts(table) == [f"{RIVER}\nThe Ray."]


def vouch(table: Table, number: int) -> None:
    says = {"name": "seven", "url": None, "protocol": 1, "software": "x", "families": []}
    table.hear_records(record(says, kind="node", seq=9, writer=identity(number)))
    peer = table.node.ledger.peers.get(identity(number).key)
    assert peer is not None
    peer.vouched = True


def test_strangers_grades_take_no_finding_back_and_those_we_vouched_for_do_at_once() -> None:
    for vouched in (False, True):
        past = Past()
        task_id = past.answered(RIVER, "The Thame.", finding=True)
        table = past.idler()
        position = table.task(task_id).positions[0]
        if vouched:
            vouch(table, 7)
        denial = record(
            {"family": "polar", "task_kind": "free", "right": 0, "source": "user"},
            kind=GRADE,
            writer=identity(7),
            hlc=Timestamp(table.now_ms + 1_000, 0),
            refs=(task_id, position.id),
        )
        table.hear_records(denial)
        assert texts(table) == ([] if vouched else [f"{RIVER}\nThe Thame."])
