"""Measure this machine: python -m benchmarks NAME …, with a name of `PROGRAMS`.

`synapse bench` runs the same programs. Prints one JSON object a figure. `make bench` runs those
that measure speed with sizes that take about two minutes, and installs nothing: `chain` beside its
peers is to be asked for by name.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Final

# Each has a `main(arguments)`; the words before it are put before what was typed.
PROGRAMS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "answers": ("benchmarks.answers.__main__", ()),
    "retrieval": ("benchmarks.retrieval", ()),
    "quality": ("benchmarks.retrieval", ("quality",)),
    "spore": ("benchmarks.spore", ()),
    "chain": ("benchmarks.chain", ()),
    "overhead": ("benchmarks.overhead", ()),
    "store": ("benchmarks.store", ()),
}
QUICK: Final = (
    ("spore", ()),
    (
        "retrieval",
        ("--sizes", "10000,100000", "--engines", "synapse,synapse-numpy,fts5,sklearn", "--json"),
    ),
    ("chain", ("--peers", "")),
    ("overhead", ()),
)


def run(name: str, arguments: Sequence[str]) -> None:
    """Run one benchmark with its own arguments. It is imported only then: some are large."""
    module, words = PROGRAMS[name]
    importlib.import_module(module).main([*words, *arguments])


def main(arguments: Sequence[str]) -> None:
    """Run one benchmark, or the quick ones."""
    if arguments and arguments[0] in PROGRAMS:
        run(arguments[0], arguments[1:])
        return
    if arguments:
        sys.exit(f"there is no benchmark {arguments[0]!r}; there are {', '.join(PROGRAMS)}")
    for name, its in QUICK:
        run(name, its)


if __name__ == "__main__":
    main(sys.argv[1:])
