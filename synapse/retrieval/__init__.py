"""Full-text search over memories: one analysis, one formula, two engines that agree to the bit."""
