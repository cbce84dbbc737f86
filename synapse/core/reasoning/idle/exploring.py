"""Idle exploration: the newest and most novel memories, and one question about them.

What a model makes of them is a thought: a raw note in the log, with what it rests on. It is no
memory, so no prompt is offered it, unless an exact tool finds its answer right; then it is a
finding like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from synapse.core.effects import Quote
from synapse.core.memory.memory import FINDING, Memory
from synapse.core.memory.record import MEMORY, REFS_MAX, Draft
from synapse.core.reasoning import tools
from synapse.core.reasoning.drafts import FINDING_BYTES_MAX
from synapse.core.reasoning.idle.desk import SUMMARY, Desk, Done
from synapse.core.reasoning.idle.measures import marks, novelty
from synapse.core.reasoning.idle.notebook import THOUGHT
from synapse.core.reasoning.prompts import Reply, excerpt
from synapse.core.reasoning.task import ANSWER_BYTES_MAX, CLAIM_BYTES_MAX, LABEL_BYTES_MAX
from synapse.core.reasoning.tools import Result

NOVEL_MAX: Final = 3  # memories in one prompt: a connection has two ends
RELATED_MAX: Final = 3  # older ones that bear on the most novel
QUERY_CHARACTERS_MAX: Final = 200  # of a memory, to find what is related

ASSIGNMENT: Final = (
    "Nobody asked a question. Read these memories and find the one thing about them that is most "
    "worth checking: a question they raise, or a connection between two of them that would matter "
    'if it held. Give it as the first of "claims", in one sentence, citing every memory it is '
    'about. Give in "answer" what you expect the check to find, or "unknown".'
)


def subjects(desk: Desk) -> tuple[list[Memory], list[Memory], int]:
    """The memories to think about, the most novel first; older ones that bear on that one; and how
    many were looked at."""
    pool = [memory for _, memory in desk.recent() if memory.kind != SUMMARY]
    told = [marks(memory.text) for memory in pool]
    scored = [
        (-novelty(told[place], [*told[:place], *told[place + 1 :]]), memory.id, memory)
        for place, memory in enumerate(pool)
        if memory.id not in desk.notebook.explored
    ]
    scored.sort(key=lambda one: one[:2])
    novel = [memory for _, _, memory in scored[:NOVEL_MAX]]
    if not novel:
        return [], [], len(pool)
    chosen = {memory.id for memory in novel}
    hits = desk.search(novel[0].text[:QUERY_CHARACTERS_MAX], NOVEL_MAX + RELATED_MAX)
    related = [one for one in hits if one.shared and one.id not in chosen]
    return novel, related[:RELATED_MAX], len(pool) + len(hits)


def quotes(memories: Sequence[Memory]) -> tuple[Quote, ...]:
    """Memories as data for a prompt."""
    return tuple(Quote(one.id, excerpt(one.text), one.author) for one in memories)


def note(desk: Desk, reply: Reply, *, model: str, family: str) -> Done:
    """What becomes of a reply: a finding when a tool passes it, else a raw thought."""
    claim = reply.claims[0] if reply.claims else None
    if claim is None or not claim.cites:
        return Done(reason="cites_nothing")
    checked = tools.check(claim.text, reply.answer)
    if checked is not None and checked.result is Result.FAIL:
        return Done(reason="refuted")
    if checked is not None and checked.result is Result.PASS:
        return Done((_finding(desk, claim.text, reply.answer, claim.cites),), found=1)
    thought = Draft(
        THOUGHT,
        {
            "claim": desk.share(claim.text, bytes_max=CLAIM_BYTES_MAX),
            "expected": desk.share(reply.answer, bytes_max=ANSWER_BYTES_MAX),
            "cites": claim.cites,
            "model": desk.share(model, bytes_max=LABEL_BYTES_MAX),
            "family": desk.share(family, bytes_max=LABEL_BYTES_MAX),
        },
        refs=claim.cites[:REFS_MAX],
    )
    return Done((thought,), found=1)


def _finding(desk: Desk, question: str, answer: str, cites: tuple[bytes, ...]) -> Draft:
    """A checked answer as a memory. It stands on the check, not on what it cites."""
    text = desk.share(f"{question}\n{answer}", bytes_max=FINDING_BYTES_MAX)
    kind = desk.share(FINDING, bytes_max=LABEL_BYTES_MAX)
    tags = (desk.share("checked", bytes_max=LABEL_BYTES_MAX),)
    return Draft(MEMORY, {"text": text, "kind": kind, "tags": tags, "cites": cites})
