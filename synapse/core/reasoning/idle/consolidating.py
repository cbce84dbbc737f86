"""Consolidation: memories of one subject, brought together in one that cites them.

A summary replaces nothing. Code refuses it when it cites nothing or says a number or name that its
sources do not, and what cannot be told from their words is left out. It is made from memories
alone, never from summaries, because errors would add up; and only from those of our operator and
of operators it vouched for, because it bears our signature and would lend it to a stranger's word.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from synapse.core.effects import Quote
from synapse.core.memory.memory import Memory
from synapse.core.memory.record import MEMORY, REFS_MAX, Draft, Record
from synapse.core.reasoning.idle.desk import SUMMARY, Desk, Done
from synapse.core.reasoning.idle.exploring import QUERY_CHARACTERS_MAX
from synapse.core.reasoning.idle.measures import COPY_MIN, SUBJECT_MIN, Marks, alike, marks
from synapse.core.reasoning.prompts import Reply
from synapse.core.reasoning.task import CLAIM_BYTES_MAX, LABEL_BYTES_MAX, Claim
from synapse.core.reasoning.tools.citations import supports
from synapse.core.text import Shareable

SOURCES_MIN: Final = 3  # two memories are as easily read as a summary of them
SOURCES_MAX: Final = REFS_MAX  # as many as a record can refer to
SEEDS_MAX: Final = 4  # memories a step tries as the middle of a subject: four searches
HITS_MAX: Final = 8  # of one search
CITES_A_CLAIM_MAX: Final = 4  # together they are short enough to be searched whole for a name
SUMMARY_BYTES_MAX: Final = 4_000  # a page: it must be shorter than what it stands for

ASSIGNMENT: Final = (
    "Nobody asked a question. These memories seem to be about one subject. Summarise them for "
    'somebody who has no time to read them: each of "claims" is one sentence of the summary and '
    "cites the memories it is taken from, at most four. Say nothing that they do not say, use "
    "their words for names and numbers, and where they contradict each other say that they do. "
    'Give in "answer" the subject in a few words. When they share no subject, give no claims.'
)


def cluster(desk: Desk) -> tuple[list[Memory], int]:
    """Memories of one subject that no summary cites yet, and how many were looked at."""
    summarised = desk.notebook.summarised
    fresh = [one for one in desk.recent() if one[0].id not in summarised and _usable(desk, *one)]
    pool = [(memory, marks(memory.text)) for _, memory in fresh]
    looked = len(pool)
    best: list[Memory] = []
    seeds = [one for one in pool if one[0].id not in desk.notebook.tried]
    for seed, its in seeds[:SEEDS_MAX]:
        near = _near(its, pool)
        hits = desk.search(seed.text[:QUERY_CHARACTERS_MAX], HITS_MAX)
        known = {memory.id for memory, _ in near}
        older = [one.id for one in hits if one.id not in known and one.id not in summarised]
        looked += len(hits)
        found = [memory for record, memory in desk.memories(older) if _usable(desk, record, memory)]
        near += _near(its, [(memory, marks(memory.text)) for memory in found])
        sources = _distinct(near)
        if len(sources) > len(best):
            best = sources
    return (best if len(best) >= SOURCES_MIN else []), looked


def summary(desk: Desk, reply: Reply, quotes: Sequence[Quote]) -> Done:
    """What becomes of a reply: a summary whose every sentence its sources bear out, or nothing."""
    texts = {quote.id: quote.text for quote in quotes}
    kept: list[Claim] = []
    for claim in reply.claims:
        if not claim.cites:
            return Done(reason="cites_nothing")
        held = _held(claim, texts)
        if held is False:
            return Done(reason="not_in_its_sources")
        if held:
            kept.append(claim)
    cited = dict.fromkeys(cite for claim in kept for cite in claim.cites)
    if len(cited) < SOURCES_MIN:
        return Done(reason="cites_too_little" if reply.claims else "cites_nothing")
    sources = desk.memories(list(cited))
    if len(sources) < len(cited) or not all(_usable(desk, *one) for one in sources):
        return Done(reason="source_taken_back")  # while the model was thinking
    sentences = [desk.share(_closed(claim.text), bytes_max=CLAIM_BYTES_MAX) for claim in kept]
    content: dict[str, Shareable] = {
        "text": desk.share(" ".join(sentences), bytes_max=SUMMARY_BYTES_MAX),
        "kind": desk.share(SUMMARY, bytes_max=LABEL_BYTES_MAX),
        "tags": (),
        "claims": tuple((text, *one.cites) for text, one in zip(sentences, kept, strict=True)),
    }
    return Done((Draft(MEMORY, content, refs=tuple(cited)),), found=1)


def _usable(desk: Desk, record: Record, memory: Memory) -> bool:
    """Whether a memory may be a source: said by somebody we believe, and no summary itself."""
    believed = desk.believed(record.header.operator)
    return believed and memory.kind != SUMMARY and not desk.derived(record)


def _near(its: Marks, pool: Sequence[tuple[Memory, Marks]]) -> list[tuple[Memory, Marks]]:
    return [(memory, other) for memory, other in pool if alike(its, other) >= SUBJECT_MIN]


def _distinct(near: Sequence[tuple[Memory, Marks]]) -> list[Memory]:
    """The first of each group of copies, in the order of time."""
    kept: list[tuple[Memory, Marks]] = []
    for memory, its in sorted(near, key=lambda one: (one[0].created_ms, one[0].id)):
        if all(alike(its, other) < COPY_MIN for _, other in kept):
            kept.append((memory, its))
    return [memory for memory, _ in kept[-SOURCES_MAX:]]


def _held(claim: Claim, texts: dict[bytes, str]) -> bool | None:
    """Whether the memories a sentence cites bear it out, each alone or all together."""
    if len(claim.cites) > CITES_A_CLAIM_MAX:
        return None
    cited = [texts[cite] for cite in claim.cites]
    if any(supports(claim.text, text) for text in cited):
        return True
    return supports(claim.text, "\n".join(cited))


def _closed(sentence: str) -> str:
    """With a full stop at its end, so that two of them stay two."""
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."
