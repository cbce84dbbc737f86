"""What a tool says: a solution that can be verified, or the outcome of verifying an answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Solution:
    """An exact answer. `explanation` is one line on how anyone can verify it."""

    tool: str
    answer: str
    explanation: str


class Result(StrEnum):
    """What came of verifying an answer. UNKNOWN: not understood, or not worth the work."""

    PASS = "pass"
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Check:
    """Whether an answer is right, and why, in a few words."""

    tool: str
    result: Result
    evidence: str
