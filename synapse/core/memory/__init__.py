"""Records and the replicated set they live in. This package does not know there is a network."""
