"""The three stacks, each of which depends on the one before it: network → cluster → workloads.

`app.py` puts them together; `settings/` describes the settings. The file of each stack begins with the
outputs that the next stack and other Terraform projects read.
"""

from stacks.lean_imports import load_only_used_modules

STACKS = ("network", "cluster", "workloads")

load_only_used_modules()
