"""`python -m tools.compare_reviewers`: run the reviewers, and write their answers to docs/plan_review.md."""

import argparse
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from stacks.settings.load import PROJECT
from tools.compare_reviewers.plans import Case, read_corpus
from tools.compare_reviewers.reviewers import ENVIRONMENT, Run, Told, run_all
from tools.sections import write_section

DOCUMENT = PROJECT / "docs" / "plan_review.md"
_TOPICS = {
    "destruction": "deleted or replaced",
    "access": "more rights",
    "exposure": "reachable from outside",
    "safety": "protection, backups, audit",
    "kubernetes": "Kubernetes, Helm, capacity",
    "refusals": "the apply will fail",
}


def main() -> None:
    """Write the tables."""
    parser = argparse.ArgumentParser(prog="python -m tools.compare_reviewers", description=__doc__)
    parser.add_argument("--each", action="store_true", help="also print what each reviewer says of each plan")
    arguments = parser.parse_args()
    cases = read_corpus()
    with tempfile.TemporaryDirectory() as folder:
        runs = run_all(cases, Path(folder))
    if arguments.each:
        for index, case in enumerate(cases):
            told = ", ".join(f"{run.name} {run.answers[index]}" for run in runs)
            print(f"{case.topic}: {case.name}: {told}")
    write_section(DOCUMENT, "compared", _write(cases, runs))


def _write(cases: Sequence[Case], runs: Sequence[Run]) -> Iterator[str]:
    dangers = sum(case.is_danger for case in cases)
    yield (
        f"| reviewer | dangers stopped, of {dangers} | only mentioned | not told | false alarms, of "
        f"{len(cases) - dangers} harmless plans | seconds a plan |"
    )
    yield "| --- | --: | --: | --: | --: | --: |"
    for run in runs:
        found = [answer for case, answer in zip(cases, run.answers, strict=True) if case.is_danger]
        alarms = _count(cases, run, "harmless")
        counts = [found.count(told) for told in Told]
        seconds = run.seconds / len(cases)
        yield f"| {_describe(run)} | {' | '.join(map(str, counts))} | {alarms} | {seconds:.2f} |"
    yield ""
    yield f"| dangers stopped | plans | {' | '.join(run.name for run in runs)} |"
    yield f"| --- | --: | {' | '.join('--:' for _ in runs)} |"
    for topic, title in _TOPICS.items():
        number = sum(case.topic == topic for case in cases)
        yield f"| {title} | {number} | {' | '.join(str(_count(cases, run, topic)) for run in runs)} |"
    yield ""
    ours = runs[0]
    for title, is_danger in (("Ours does not stop", True), ("Ours stops without need", False)):
        names = [
            f"{case.name}{' (mentioned)' if answer == Told.MENTIONED and is_danger else ''}"
            for case, answer in zip(cases, ours.answers, strict=True)
            if case.is_danger == is_danger and (answer == Told.STOPPED) != is_danger
        ]
        yield f"- {title}: {'; '.join(names) or 'none'}."


def _count(cases: Sequence[Case], run: Run, topic: str) -> int:
    """Return the number of plans of a topic that a reviewer stops."""
    answers = zip(cases, run.answers, strict=True)
    return sum(case.topic == topic and answer == Told.STOPPED for case, answer in answers)


def _describe(run: Run) -> str:
    if run.name == "plan_review":
        return "`plan_review`"
    done = subprocess.run(  # noqa: S603 # pip of the reviewers' environment
        [ENVIRONMENT / "bin" / "pip", "show", run.name], capture_output=True, text=True, check=True
    )
    version = re.search(r"^Version: (.*)$", done.stdout, re.MULTILINE)
    return f"{run.name} {version[1] if version else ''}"


if __name__ == "__main__":
    main()
