"""Who the peers are, which of them answer, and whom to talk to next."""
