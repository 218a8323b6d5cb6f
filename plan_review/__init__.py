"""Read Terraform's plans for people: what in them deserves a human eye, most dangerous first.

`python -m plan_review PLAN.json` reviews the plan of any Terraform project; `plans.py` reviews ours.
The way through it: plan.py reads the JSON, values.py compares and masks, one module per kind of
danger finds (destruction, access, openings, versions, tokens, capacity, outputs), review.py sums up,
markdown.py writes.
Not here: running Terraform, and anything that knows this project's stacks.
"""
