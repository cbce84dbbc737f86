"""What form an answer takes. The form decides when two answers are the same, and who can check."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """The form of a task's answer."""

    NUMBER = "number"
    CHOICE = "choice"  # one of the labels the task lists
    SET = "set"  # items whose order does not matter
    CODE = "code"  # a literal or a program: compared as written, but for layout
    PLAN = "plan"  # steps whose order matters
    FREE = "free"  # prose: sameness is judged by wording, and marked weak
