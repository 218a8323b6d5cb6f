"""The emulated AWS of the local environment: start and stop it, and deploy to it (`make demo`).

Only the local environment and the tests use this package. deployment/ serves real accounts.
"""
