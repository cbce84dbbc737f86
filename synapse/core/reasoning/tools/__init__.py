"""Exact tools: members of a debate on their own kinds of task, and checkers of others' answers.

A tool speaks only when it has understood the whole task; with one word it does not know, it
abstains. So what it says can be relied on, and most tasks are none of its business.
`docs/tools.md` lists what each understands.
"""

from __future__ import annotations

from typing import Final, Protocol

from synapse.core.reasoning.tools import (
    arithmetic,
    colouring,
    cryptarithm,
    dates,
    formats,
    satisfiability,
    twenty_four,
    units,
)
from synapse.core.reasoning.tools.citations import supports
from synapse.core.reasoning.tools.results import Check, Result, Solution

__all__ = ["TOOLS", "Check", "Result", "Solution", "check", "solve", "supports"]


class _Tool(Protocol):
    NAME: str

    def solve(self, task: str) -> Solution | None: ...
    def check(self, task: str, answer: str) -> Check | None: ...


_MODULES: Final[tuple[_Tool, ...]] = (
    formats,
    arithmetic,
    units,
    dates,
    satisfiability,
    colouring,
    twenty_four,
    cryptarithm,
)
TOOLS: Final = tuple(module.NAME for module in _MODULES)


def solve(task: str) -> Solution | None:
    """The exact answer, or None when no tool understands the task, or it takes too long.

    Up to half a second of work, counted in steps: call it in a thread.
    """
    for module in _MODULES:
        found = module.solve(task)
        if found is not None:
            return found
    return None


def check(task: str, answer: str) -> Check | None:
    """Whether an answer is right, or None when no tool understands the task. A few ms at most."""
    for module in _MODULES:
        found = module.check(task, answer)
        if found is not None:
            return found
    return None
