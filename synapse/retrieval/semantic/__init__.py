"""Meaning beside words: a column of vectors, by which the best matches of the index are reordered.

Nothing is found by it and nothing rests on it. Without it, or where it has nothing to say, the
order of the index stands.
"""
