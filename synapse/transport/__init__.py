"""How messages reach a peer: over HTTP, or within one process for tests."""
