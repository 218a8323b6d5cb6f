"""Review Terraform plans: a report for people that begins with the most dangerous changes.

`python -m plan_review PLAN.json` reviews the plan of any Terraform project; `deployment/` reviews ours.
plan.py reads the JSON, values.py compares and masks values, one module for each category yields findings
(destruction, escalation, access, exposure, ...), review.py adds them up,
and markdown.py writes the report.
Not here: running Terraform, and anything that knows this project's stacks.
"""
