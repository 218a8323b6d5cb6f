"""Everything that serves a real account: the state bucket, plans, and who may read the state."""
