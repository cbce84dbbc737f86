"""The Knowledge Wall: what may leave this spore. The only maker of `SharedText`."""
