"""From a task to an outcome: positions, their weights, and the rule that picks one answer."""
