"""What one search sees, and how it is asked. Nothing here ever changes or waits."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, cast

import numpy as np

from synapse.ports import Filter, Hit, Hits, Ranking, Share, Why
from synapse.retrieval import bm25, directory, ranking, segment
from synapse.retrieval.analysis import QUERY_TERMS_MAX, STOP_WORDS, analyse, key, keys
from synapse.retrieval.budget import HARD, OTHERS, budget_for, plan
from synapse.retrieval.directory import Directory
from synapse.retrieval.engine import Engine, Heads, Located, Words
from synapse.retrieval.labels import Asked, asked_by
from synapse.retrieval.segment import Segment
from synapse.retrieval.twin import Factors

_REMEMBERED_MAX: Final = 15
HEADS_LEAST: Final = 256  # postings of a term that are copied of newer segments; no source


def words_of(engine: Engine) -> Words:
    """What cuts text into terms."""
    return engine.words(tuple(sorted(STOP_WORDS)))


class _Known(NamedTuple):
    """A term as one snapshot has it."""

    held: int  # by so many living memories
    weight: int
    located: tuple[Located, ...]  # by part of the segments


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The segments at one moment."""

    segments: tuple[Segment, ...]
    blocks: tuple[Any, ...]
    living: int
    lists_max: int  # bytes of copied lists
    directories: tuple[Directory, ...]  # of the full segments and the rest, when there are many
    _remembered: list[tuple[Asked, tuple[Factors, ...]]] = field(default_factory=list)
    _looked_up: dict[int, _Known] = field(default_factory=dict)  # by key of the term

    @property
    def parts(self) -> int:
        """In how many parts the segments are looked up."""
        return len(self.directories) or 1

    def factors(self, asked: Asked) -> tuple[Factors, ...]:
        """What each segment's profiles are worth; searches come with few different filters."""
        for one, found in self._remembered:
            if one.same_as(asked):
                return found
        worked_out = tuple([each.contents.profiles.factors(asked) for each in self.segments])
        self._remembered[:] = [(asked, worked_out), *self._remembered[:_REMEMBERED_MAX]]
        return worked_out

    def search(
        self,
        engine: Engine,
        asked: Counter[int],
        *,
        limit: int,
        wanted: Filter,
        by: Ranking | None,
        budget: int | None,
    ) -> Hits:
        """The best hits for these keys, each asked for so many times."""
        hits, limit = Hits(), min(limit, self.living)
        if limit < 1 or not asked:
            return hits
        terms = list(asked)
        known = self._known(engine, terms)
        located = tuple([[each.located[nth] for each in known] for nth in range(self.parts)])
        weights = [times * each.weight for times, each in zip(asked.values(), known, strict=True)]
        reading, heads, rescored = 0, None, HARD.rescored
        if budget and any(weights):
            held = [each.held for each in known]
            reading, most, rescored = plan(weights, held, len(self.blocks), budget)
            heads = self._heads(engine, terms, located, most)
        found, counts = engine.search(
            self.blocks,
            located,
            heads,
            array("I", weights),
            limit,
            *_terms(self, wanted, by),
            budget or 0,
            reading,
            rescored,
        )
        hits += [Hit(its, ranking.score(total, factor), at) for its, total, factor, at in found]
        hits.exact = not counts[3]
        return hits

    def _known(self, engine: Engine, terms: Sequence[int]) -> list[_Known]:
        """What these terms weigh, and where they are, by part of the segments."""
        found = list(map(self._looked_up.get, terms))
        if None not in found:
            return cast("list[_Known]", found)
        unknown = [term for term, its in zip(terms, found, strict=True) if its is None]
        fresh = []
        for located in zip(*self._located(engine, unknown), strict=True):
            held = sum([its for its, _ in located])
            fresh.append(_Known(held, bm25.weight(held, self.living) if held else 0, located))
        if len(self._looked_up) + len(fresh) > directory.TERMS_MAX:
            self._looked_up.clear()
        self._looked_up.update(zip(unknown, fresh, strict=True))
        after = iter(fresh)
        return [next(after) if its is None else its for its in found]

    def _located(self, engine: Engine, terms: Sequence[int]) -> tuple[list[Located], ...]:
        """Where the terms are, by part of the segments."""
        if not self.directories:
            return (engine.locate(self.blocks, array("I", terms)),)
        return tuple([each.locate(engine, terms) for each in self.directories])

    def _heads(
        self,
        engine: Engine,
        terms: Sequence[int],
        located: Sequence[list[Located]],
        most: Sequence[int],
    ) -> tuple[list[Heads], ...]:
        """For the same parts, the lists of each term as far as so many postings go."""
        if not self.directories:
            return (
                [
                    engine.heads(self.blocks, places, its)
                    for (_, places), its in zip(located[0], most, strict=True)
                ],
            )
        full, newer = self.directories
        wants = list(zip(terms, most, strict=True))
        # Several times its share, for the newer part is never read alone.
        share = 4 * newer.living / max(1, self.living)
        return (
            full.heads(engine, wants, located[0]),
            newer.heads(engine, wants, located[1], share=share, least=HEADS_LEAST),
        )

    def warm(self, engine: Engine) -> None:
        """Copy some lists as searches with a budget will read them."""
        budget = budget_for(self.living)
        if self.directories and budget:
            self.directories[0].warm(engine, int(budget * OTHERS))

    def why(self, engine: Engine, query: str, place: int, by: Ranking | None) -> Why:
        """What the score of the memory at `place` (block << 16 | row) is made of."""
        each, row = self.segments[place >> 16], place & 0xFFFF
        terms = {key(term): term for term in reversed(analyse(query)[:QUERY_TERMS_MAX])}
        asked = Counter(keys(query)[:QUERY_TERMS_MAX])
        known = dict(zip(asked, self._known(engine, list(asked)), strict=True))
        weights = {term: times * known[term].weight for term, times in asked.items()}
        impacts = _impacts(each, row)
        shares = tuple(
            Share(terms[each], times, known[each].held, bm25.score(weights[each] * impacts[each]))
            for each, times in asked.items()
            if each in impacts
        )
        trust = decay = ranking.ONE
        if by is not None and by.trust is not None:
            column = each.contents.view["profiles"]
            profile = each.contents.profiles.profiles[int(column[row]) if len(column) else 0]
            trust = ranking.trust_factor(profile.operator, by.trust, by.trust_unknown)
        if by is not None and by.half_life_days is not None:
            age_s = ranking.seconds(by.now_ms) - int(segment.verified_of(each)[row])
            decay = ranking.decay(by.half_life_days).at(age_s)
        total = sum(weights[each] * impacts[each] for each in asked if each in impacts)
        return Why(
            shares,
            relevance=bm25.score(total),
            decay=decay / ranking.ONE,
            trust=trust / ranking.ONE,
            score=ranking.score(total, ranking.product(decay, trust)),
        )


def snapshot(
    segments: Sequence[Segment],
    before: Snapshot | None = None,
    *,
    lists_max: int = directory.HEADS_BYTES_MAX,
) -> Snapshot:
    """Of these segments. What the one before had looked up is kept as far as it still holds, and
    so is how many bytes of lists may be copied."""
    if before is not None:
        lists_max = before.lists_max
    return Snapshot(
        tuple(segments),
        tuple([each.block for each in segments]),
        sum([each.living for each in segments]),
        lists_max,
        _directories(tuple(segments), () if before is None else before.directories, lists_max),
    )


def _directories(
    segments: tuple[Segment, ...], before: tuple[Directory, ...], lists_max: int
) -> tuple[Directory, ...]:
    """Of the full segments, which hardly ever change, and of those that follow."""
    full = next((nth for nth, each in enumerate(segments) if not each.full), len(segments))
    if full < directory.SEGMENTS_LEAST:
        return ()
    known = before or (Directory.of((), lists_max),) * 2
    return known[0].followed_by(segments[:full]), known[1].followed_by(segments[full:])


def _impacts(each: Segment, row: int) -> dict[int, int]:
    """Of every term the row holds, by key."""
    view = each.contents.view
    ranks, impacts = view.record(row)
    found = dict(zip(view["frequent_keys"][ranks].tolist(), impacts.tolist(), strict=True))
    rare = np.flatnonzero(view["rare_postings"] & 0xFFFF == row)
    for nth in rare.tolist():
        found[int(view["rare_keys"][nth])] = int(view["rare_postings"][nth]) >> 16
    return found


def _terms(
    now: Snapshot, wanted: Filter, by: Ranking | None
) -> tuple[int, bytes | None, int, int, int, int, tuple[Factors, ...] | None]:
    """Filter and ranking as the engine wants them."""
    since_s, until_s = ranking.window_s(wanted)
    asked = asked_by(wanted, by)
    factors = None if asked is None else now.factors(asked)
    if wanted.since_ms is not None or wanted.until_ms is not None:
        known = factors or (ranking.ONE,) * len(now.segments)
        factors = tuple(
            [
                found if _made_within(each, since_s, until_s) else 0
                for each, found in zip(now.segments, known, strict=True)
            ]
        )
    if by is None:
        return 0, None, 0, 1, since_s, until_s, factors
    least, now_s = ranking.least_rank(by.min_score), ranking.seconds(by.now_ms)
    if by.half_life_days is None:
        return least, None, now_s, 1, since_s, until_s, factors
    table = ranking.decay(by.half_life_days)
    return least, table.packed, now_s, table.step_s, since_s, until_s, factors


def _made_within(each: Segment, since_s: int, until_s: int) -> bool:
    """Whether any memory of the segment may have been made then."""
    header = each.contents.header
    return header.last_created_s >= since_s and header.first_created_s < until_s
