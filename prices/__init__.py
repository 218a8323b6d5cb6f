"""Prices of AWS, each with its date and its source: `python -m prices`.

Intent: a plan's report and `python -m jobs` say what something costs, without AWS.
Not here: discounts, taxes, data transfer. This package knows no other one of the project.
"""
