"""Measure this machine: python -m benchmarks [spore|retrieval|chain] …

Prints one JSON object a figure. `make bench` runs all with sizes that take about two minutes, and
installs nothing: `chain` beside its peers is to be asked for by name.
"""

from __future__ import annotations

import sys

from benchmarks import chain, retrieval, spore


def main(arguments: list[str]) -> None:
    """Run one benchmark with its own arguments, or each with its defaults."""
    programs = {"spore": spore.main, "retrieval": retrieval.main, "chain": chain.main}
    if arguments and arguments[0] in programs:
        programs[arguments[0]](arguments[1:])
        return
    spore.main([])
    retrieval.main(["--sizes", "10000,100000"])
    chain.main(["--peers", ""])


if __name__ == "__main__":
    main(sys.argv[1:])
