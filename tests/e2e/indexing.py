"""Feeds an index on disk until it is told to stop or killed: `python -m tests.e2e.indexing FOLDER`.

Prints a line for every step, so that whoever kills it knows that it was at work.
"""

import sys
from pathlib import Path

from synapse.core.memory.memory import Memory
from synapse.retrieval.inverted import InvertedIndex

COUNT = 6_000
HEAD_ROWS = 32  # so small that something is merged nearly all the time
STEP = 50


def memory(number: int) -> Memory:
    """What the log holds at this position."""
    text = f"apple {'pie ' * (number % 4)} word{number % 97} own{number}"
    return Memory(number.to_bytes(32, "big"), text, "note", (), "ada", number * 1000, True)


def feed(index: InvertedIndex) -> None:
    """Give the index what it lacks, and keep merging."""
    for after, upto in index.missing(COUNT):
        for first in range(after, upto, STEP):
            last = min(first + STEP, upto)
            index.add([memory(n) for n in range(first + 1, last + 1)], covers=(first, last))
            index.maintain()
            print(last, flush=True)


if __name__ == "__main__":
    feed(InvertedIndex(Path(sys.argv[1]), head_rows=HEAD_ROWS))
