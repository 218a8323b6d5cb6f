"""The commands that serve a real account: the state bucket, plans, deployments and their locks."""
