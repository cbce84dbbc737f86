"""Solvers as members of real nodes: the shipped protocol, gossip and memory, with exact answers.

Tasks come in two dresses: bare, so that the exact tools recognise and check them, and with a
sentence before them that no tool understands, so that nothing is checked. Both are measured.
"""

from benchmarks.answers.through_nodes.figures import run

__all__ = ["run"]
