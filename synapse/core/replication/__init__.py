"""How two spores come to hold the same records: eager push, and reconciliation as the guarantee."""
