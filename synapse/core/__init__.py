"""The pure part of a node: events and the time go in, effects come out.

Nothing below this package does I/O, reads a clock, draws its own randomness or logs. The driver
and the simulator run the very same code.
"""
