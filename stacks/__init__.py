"""The three stacks, in the only order in which they depend on each other: network → cluster → workloads.

`main.py` builds them; `settings/` says what may be configured; each stack's file starts with
the outputs that the next one (and other Terraform projects) may read.
"""

from stacks.lean_imports import import_only_used_submodules

STACKS = ("network", "cluster", "workloads")

import_only_used_submodules()
