"""What every idle work is handed: ways to look things up, and to make what may be signed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from synapse.core.memory.memory import Memory, from_record
from synapse.core.memory.record import MEMORY, Draft, Record
from synapse.core.reasoning.drafts import Share
from synapse.core.reasoning.findings import Findings
from synapse.core.reasoning.idle.notebook import Notebook
from synapse.core.reasoning.session import Search
from synapse.core.reasoning.task import Task
from synapse.core.reasoning.task_book import TaskBook

POOL_MAX: Final = 32  # memories one step reads and compares with each other: about 10 ms
SUMMARY: Final = "summary"  # a kind of memory, as its author calls it

Read = Callable[[Sequence[bytes]], Sequence[Record]]


@dataclass(frozen=True, slots=True)
class Ruling:
    """A grade by somebody whose word counts as ours."""

    position: bytes
    right: bool
    own: bool  # we signed it
    source: str  # user, checker, later task
    at_ms: int


@dataclass(frozen=True, slots=True)
class Done:
    """What a step came to. `reason` says why it was nothing; `looked` how many items it saw."""

    drafts: tuple[Draft, ...] = ()
    reason: str = ""
    looked: int = 0
    found: int = 0  # records worth something to others, of those written


@dataclass(frozen=True, slots=True)
class Desk:
    """`key` is this spore's; `believed` says whether an operator's word counts as ours; `rulings`
    are such operators' grades on a task; `retraction` drafts the taking back of an own record;
    `findings` looks up ours."""

    key: bytes
    notebook: Notebook
    tasks: TaskBook
    read: Read
    search: Search
    share: Share
    believed: Callable[[bytes], bool]
    rulings: Callable[[Task], Sequence[Ruling]]
    retraction: Callable[[Record], Draft]
    findings: Findings

    def recent(self) -> list[tuple[Record, Memory]]:
        """The newest memories that have a text, newest first."""
        return self.memories(self.notebook.recent(POOL_MAX))

    def memories(self, ids: Sequence[bytes]) -> list[tuple[Record, Memory]]:
        """The shared memories among these, each with its record."""
        found = ((record, from_record(record)) for record in self.read(ids))
        return [(record, memory) for record, memory in found if memory is not None]

    def derived(self, record: Record) -> bool:
        """Whether a memory is made from memories, whatever its author calls it."""
        refs = record.header.refs
        return bool(refs) and any(one.kind == MEMORY for one in self.read(refs))
