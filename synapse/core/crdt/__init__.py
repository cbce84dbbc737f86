"""Convergent data types: laws and nothing else.

The only package that imports `crdt_merge`, and it uses only the parts that hold their laws
(`docs/decisions/0003-crdt-merge.md`). Every tag, slot and time is passed in, so that a merge is a
function of its inputs.
"""
