"""How fast, how large and how good retrieval is, beside other engines, in one run.

    synapse bench retrieval --sizes 10000,1000000 --engines synapse,tantivy,bm25s --json
    synapse bench quality --corpus corpus.jsonl --queries queries.jsonl --qrels qrels.tsv
    synapse bench quality --judged FOLDER [--mixed 1000000]
    synapse bench quality --convert FOLDER OUT     SMART's layout into BEIR's

(`python -m benchmarks retrieval …` is the same.) Every engine runs in a process of its own, on one
thread, on the same generated memories (`corpus`). Absolute figures depend on the machine; ratios
measured in the same run are what to compare. docs/memory.md has the results.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the arguments ask for. Workers never call it, so they need none of its imports."""
    from benchmarks.retrieval import command

    command.main(list(arguments or ()))
