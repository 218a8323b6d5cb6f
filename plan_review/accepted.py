"""Findings that a project accepts, from a YAML file in its repository.

An entry names an address (with `*` and `?`), a category, a reason and the last day on which it counts. The
report lists accepted findings apart, and they do not count for the exit status.
Not here: rules of a project's own, and the clock. The command passes the day.
"""

import datetime as dt
import re
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from ruamel.yaml.error import MarkedYAMLError

from plan_review.findings import Category, Finding
from plan_review.plan import PlanError
from plan_review.values import compile_wildcards, escape_invisible
from plan_review.yaml_text import ERRORS, load_yaml

MAX_SHOWN = 100  # characters of a value in a message
_FIELDS = ("address", "category", "reason", "until")
_CATEGORIES = ", ".join(category.name.lower() for category in Category)


@dataclass(frozen=True)
class Acceptance:
    """One entry.

    Attributes:
        address: The address of the findings; `*` stands for any characters and `?` for one.
        category: Their category.
        reason: Why the project accepts them.
        until: The last day on which the entry counts.

    """

    address: str
    category: Category
    reason: str
    until: dt.date

    def matches(self, finding: Finding) -> bool:
        """Return whether the entry names a finding."""
        return finding.category == self.category and bool(
            compile_wildcards(self.address, re.DOTALL).fullmatch(finding.address)
        )


@dataclass(frozen=True)
class Accepted:
    """The entries of a file, and the day of the review."""

    entries: Sequence[Acceptance] = ()
    today: dt.date = dt.date.min

    def find(self, finding: Finding) -> Acceptance | None:
        """Return the entry that accepts a finding; None if no entry that still counts does."""
        return next(
            (item for item in self.entries if self.today <= item.until and item.matches(finding)), None
        )

    @property
    def expired(self) -> list[Acceptance]:
        """The entries that no longer count."""
        return [item for item in self.entries if item.until < self.today]


def read_accepted(text: str | bytes, name: str, today: dt.date) -> Accepted:
    """Return the accepted findings in the text of a YAML file.

    Args:
        text: The text.
        name: The file's name, for messages.
        today: The day of the review.

    Raises:
        PlanError: If the file is wrong; the message names the field, the value and what is accepted.

    """
    try:
        document = load_yaml(text)
    except MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise PlanError(f"{name}{line}: not YAML: {_show(str(error.problem))}") from None
    except ERRORS as error:
        raise PlanError(f"{name}: not YAML: {_show(' '.join(str(error).split()))}") from None
    if not isinstance(document, dict) or set(document) != {"accepted"}:
        raise PlanError(f"{name}: one key is expected. Accepted: accepted, with a list of entries")
    entries = document["accepted"]
    if not isinstance(entries, list | None):
        _refuse(name, "accepted", entries, "a list of entries")
    return Accepted(
        [_read_entry(item, name, f"accepted[{index}]") for index, item in enumerate(entries or [])], today
    )


def _read_entry(item: Any, name: str, place: str) -> Acceptance:
    if not isinstance(item, dict):
        _refuse(name, place, item, f"the keys {', '.join(_FIELDS)}")
    for key in [*(key for key in item if key not in _FIELDS), *(key for key in _FIELDS if key not in item)]:
        problem = "unknown" if key in item else "missing"
        raise PlanError(f"{name}: {place}.{_show(key)}: {problem}. Each entry has {', '.join(_FIELDS)}")
    for key in ("address", "reason"):
        if not isinstance(item[key], str) or not item[key].strip():
            _refuse(name, f"{place}.{key}", item[key], "text that is not empty")
    category = item["category"]
    if not isinstance(category, str) or category not in _CATEGORIES.split(", "):
        _refuse(name, f"{place}.category", category, _CATEGORIES)
    until = _read_day(item["until"])
    if until is None:
        _refuse(name, f"{place}.until", item["until"], "a day such as 2027-03-31")
    return Acceptance(item["address"], Category[category.upper()], " ".join(item["reason"].split()), until)


def _read_day(value: Any) -> dt.date | None:
    """Return the day in a value; None if there is none. In YAML a day has no quotes."""
    if isinstance(value, str):
        try:
            return dt.date.fromisoformat(value)
        except ValueError:
            return None
    # A time is a day, too.
    return value if isinstance(value, dt.date) and not isinstance(value, dt.datetime) else None


def _refuse(name: str, place: str, value: Any, accepted: str) -> NoReturn:
    raise PlanError(f"{name}: {place}: {_show(value)}: refused. Accepted: {accepted}")


def _show(value: Any) -> str:
    """Return the beginning of a value. Aliases of YAML can repeat its parts without end."""
    text = value if isinstance(value, str) else reprlib.repr(value)
    return escape_invisible(text[:MAX_SHOWN]) + ("…" if len(text) > MAX_SHOWN else "")
