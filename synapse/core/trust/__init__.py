"""Evidence about who was right, and what it is worth. Grades in, weights out."""
