"""A swarm in one process: the shipped core on a virtual clock, a bad network and forgetful disks.

Everything that happens is drawn from one seed, so a failure is a command that anybody can repeat.
"""
