"""A whole spore in a process of its own, over HTTP: start, memory, recall at any size, growth.

    python -m benchmarks spore [--memories 10,1000,100000] [--folder FOLDER] [--json]

The store is filled through the storage layer, because filling it over HTTP would measure the same
request a million times. A folder that is named keeps what was filled, and the next run reuses it.
"""

from benchmarks.spore.command import main

__all__ = ["main"]
