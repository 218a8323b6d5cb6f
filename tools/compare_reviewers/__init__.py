"""Compare plan reviewers on a corpus of small plans: `make compare-reviewers`.

corpus/ has the plans, with what a careful engineer must be told by the documentation that each case names.
plans.py builds Terraform's JSON from them, reviewers.py runs the programs, and __main__.py writes the tables
of docs/plan_review.md. The other reviewers have an environment of their own (requirements.txt).
"""
