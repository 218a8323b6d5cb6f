"""The emulated AWS of the local environment: start and stop it, and deploy to it (`make demo`).

Not here: anything that a real account needs. Nothing in this package is used for other environments.
"""
