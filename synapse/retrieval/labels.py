"""Who made a memory and what about: the profiles of one segment, and which of them a filter lets
through at which trust. Rows name their profile by number; most segments have a handful."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from synapse.core.memory.memory import Memory
from synapse.ports import ANY, Filter, Labels, Ranking
from synapse.retrieval.layout import Profile
from synapse.retrieval.ranking import ONE, trust_factor
from synapse.retrieval.twin import Factors

_NO_LABELS: Final = Labels()
_REMEMBERED_MAX: Final = 16  # questions come with few different filters
_FIELDS: Final = ("kind", "author", "operator", "family", "task", "shared")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a search asks of profiles."""

    wanted: Filter  # without times
    trust: Mapping[str, float] | None
    unknown: float

    def same_as(self, other: Asked) -> bool:
        """Whether both have one answer; mappings are the same only if they are one object."""
        return (
            self.trust is other.trust
            and self.unknown == other.unknown
            and self.wanted == other.wanted
        )


def asked_by(wanted: Filter, ranking: Ranking | None) -> Asked | None:
    """What this search asks of profiles; None when it takes all of them alike."""
    timeless = wanted if wanted == ANY else replace(wanted, since_ms=None, until_ms=None)
    if ranking is None or ranking.trust is None:
        return None if timeless == ANY else Asked(timeless, None, 0.0)
    return Asked(timeless, ranking.trust, ranking.trust_unknown)


def profile_of(memory: Memory, labels: Labels = _NO_LABELS) -> Profile:
    """What filters and trust ask about this memory."""
    return Profile(
        memory.kind,
        memory.author,
        labels.operator or memory.operator or memory.author,
        labels.family or memory.family,
        labels.task or memory.task,
        tuple(sorted(set(memory.tags))),
        memory.shared,
    )


def passes(profile: Profile, wanted: Filter) -> bool:
    """Whether the filter lets memories of this profile through; times are not looked at."""
    return (
        wanted.kind in (None, profile.kind)
        and wanted.author in (None, profile.author)
        and wanted.operator in (None, profile.operator)
        and wanted.family in (None, profile.family)
        and wanted.task in (None, profile.task)
        and wanted.shared in (None, profile.shared)
        and (wanted.tag is None or wanted.tag in profile.tags)
        and profile.operator not in wanted.operators_left_out
    )


def number(profiles: Iterable[Profile]) -> tuple[npt.NDArray[np.uint16], tuple[Profile, ...]]:
    """The number of each profile, and the profiles by number."""
    numbers: dict[Profile, int] = {}
    rows = [numbers.setdefault(profile, len(numbers)) for profile in profiles]
    return np.array(rows, dtype=np.uint16), tuple(numbers)


class ProfileTable:
    """The profiles of a segment, ready to be asked."""

    def __init__(self, profiles: Sequence[Profile]) -> None:
        self.profiles = profiles
        self._columns: dict[str, dict[object, npt.NDArray[np.intp]]] = {}
        for name in _FIELDS:
            self._columns[name] = _rows_by([getattr(each, name) for each in profiles])
        self._tagged = _rows_by_tag(profiles)
        self._remembered: list[tuple[Asked, Factors]] = []

    def factors(self, asked: Asked) -> Factors:
        """The trust factor or 0, by profile or of all; what differs has to be looked up by row."""
        for one, found in self._remembered:
            if one.same_as(asked):
                return found
        worked_out = self._work_out(asked)
        self._remembered = [(asked, worked_out), *self._remembered[: _REMEMBERED_MAX - 1]]
        return worked_out

    def _work_out(self, asked: Asked) -> Factors:
        factors = np.full(len(self.profiles), ONE, dtype="<u4")
        if asked.trust is not None:
            for operator, rows in self._columns["operator"].items():
                assert isinstance(operator, str)
                factors[rows] = trust_factor(operator, asked.trust, asked.unknown)
        for operator in sorted(asked.wanted.operators_left_out):
            factors[self._columns["operator"].get(operator, [])] = 0
        for name in _FIELDS:
            value = getattr(asked.wanted, name)
            if value is not None:
                _keep_only(factors, self._columns[name].get(value))
        if asked.wanted.tag is not None:
            _keep_only(factors, self._tagged.get(asked.wanted.tag))
        greatest = int(factors.max(initial=0))
        return greatest if (factors == greatest).all() else (factors.tobytes(), greatest)


def _keep_only(factors: npt.NDArray[np.uint32], rows: npt.NDArray[np.intp] | None) -> None:
    kept = np.zeros(len(factors), dtype=np.bool_)
    if rows is not None:
        kept[rows] = True
    factors[~kept] = 0


def _rows_by(values: Sequence[object]) -> dict[object, npt.NDArray[np.intp]]:
    rows: dict[object, list[int]] = {}
    for row, value in enumerate(values):
        rows.setdefault(value, []).append(row)
    return {value: np.array(each, dtype=np.intp) for value, each in rows.items()}


def _rows_by_tag(profiles: Sequence[Profile]) -> dict[str, npt.NDArray[np.intp]]:
    rows: dict[str, list[int]] = {}
    for row, profile in enumerate(profiles):
        for tag in profile.tags:
            rows.setdefault(tag, []).append(row)
    return {tag: np.array(each, dtype=np.intp) for tag, each in rows.items()}
