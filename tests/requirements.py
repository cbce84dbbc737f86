"""The twelve promises, one row each: where they come from, and what of them holds today.

A test that holds us to one is marked `@pytest.mark.promise("name")`; `test_requirements.py` sees to
it that every row has such a test, and that the README says what a row says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Requirement:
    """One promise. `later` is what of it does not hold yet, in words the README has too."""

    name: str
    title: str  # as the README writes it
    source: str
    promise: str
    later: str | None = None


REQUIREMENTS: Final = (
    Requirement(
        "durable",
        "Durable",
        "docs/architecture.md, The one idea",
        "A record acknowledged with 2xx survives kill -9 at any instant.",
    ),
    Requirement(
        "convergent",
        "Convergent",
        "docs/decisions/0001-one-replicated-set.md",
        "Spores that can exchange messages end with the same headers, all of history included.",
    ),
    Requirement(
        "never_forgets",
        "Never forgets",
        "docs/decisions/0005-bodies-and-headers.md",
        "No header ever leaves the set; an author may retract a body, and add wins.",
    ),
    Requirement(
        "authored",
        "Authored",
        "docs/protocol.md, Records; docs/decisions/0006-signing-requests.md",
        "One altered byte, a replay or a wrong key is refused and counted, and nothing is stored.",
    ),
    Requirement(
        "private",
        "Private stays private",
        "synapse/core/wall/release.py",
        "Text that has not passed the Knowledge Wall cannot be put in a message: a type says so.",
    ),
    Requirement(
        "hostile_text",
        "Hostile text is data",
        "synapse/core/reasoning/prompts.py",
        "What peers, memories and models wrote is never in system position, run or taken as HTML.",
    ),
    Requirement(
        "no_failure_is_an_answer",
        "No failure is an answer",
        "docs/decisions/0007-failure-classes.md",
        "When every model fails the task says why and when it is tried again, and holds no text.",
    ),
    Requirement(
        "bounded",
        "Bounded",
        "CONTRIBUTING.md",
        "Every body, reply, queue, table, loop, prompt and retry has a limit with a reason.",
    ),
    Requirement(
        "flat",
        "Flat",
        "synapse/retrieval/inverted.py",
        "Retrieval latency does not grow with memory: ten memories or ten million.",
        later="above a million memories it is bounded",
    ),
    Requirement(
        "reproducible",
        "Reproducible",
        "docs/architecture.md, The one idea",
        "The simulator runs the shipped core; one seed gives one trace.",
    ),
    Requirement(
        "one_verb",
        "One verb, many faces",
        "docs/architecture.md, The picture",
        "REST, MCP, the CLI and the pages render the same operations; none knows more.",
    ),
    Requirement(
        "honest",
        "Honest",
        "CONTRIBUTING.md",
        "Progress comes from events, confidence from evidence, figures from a command.",
    ),
)
