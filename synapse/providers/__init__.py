"""Ways to ask a model: over HTTP, from memory with no model at all, and by a script in tests."""
