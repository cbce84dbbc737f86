"""Runs a node in the real world: time, disk, peers, models and the index, around the pure core."""
