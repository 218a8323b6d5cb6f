"""Bad input: every program does what it was asked for, or ends with one clear message, in bounded time."""

import json
import os
import random
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import seed as seeded
from hypothesis import settings as bounds
from hypothesis import strategies as some

from stacks import STACKS
from stacks.settings.load import PROJECT
from tests.chaos.conftest import Outcomes
from tests.chaos.figures import Figures
from tests.chaos.input_cases import (
    Kind,
    changed_documents,
    changed_texts,
    command_lines,
    kinds,
    large_inputs,
    noise,
    schema_settings,
)
from tests.chaos.input_worker import MEMORY, SECONDS
from tests.emulator.project import inherited_environment, terraform_environment
from tests.unit.test_plan_review_fuzz import build_plan

KINDS = kinds()
RUNS_OF_A_WORKER = 150  # Node.js keeps what it has synthesized
MAX_LINE, MAX_LINES = 2000, 120  # of a message
ACCEPTED_STATUS = (0, 2, 3)
VALIDATED = 24  # environments, in a full run

Figure = dict[str, Any]


def run_examples(number: int) -> bounds:
    """Return hypothesis' settings for a number of examples, whatever they cost."""
    return bounds(
        max_examples=number,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@dataclass
class Worker:
    """The process that runs the programs, begun again when it has ended."""

    folder: Path
    synthesizes: bool = False
    process: subprocess.Popen[str] | None = None
    runs: int = 0

    def run(self, program: str, arguments: list[str], environment: dict[str, str]) -> dict[str, Any]:
        """Run a program, and return what it did."""
        if self.process is None or (self.synthesizes and self.runs >= RUNS_OF_A_WORKER):
            self.stop()
            self.process = self._start()
        self.runs += 1
        assert self.process.stdin
        assert self.process.stdout
        request = {"program": program, "arguments": arguments, "environment": environment}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], 60 * SECONDS)
        answer = self.process.stdout.readline() if ready else ""
        if answer:
            found: dict[str, Any] = json.loads(answer)
            return found
        self.process.kill()
        status = self.process.wait()
        self.stop()
        return {"failure": f"the process ended with {status}" if not ready else f"it has ended: {status}"}

    def _start(self) -> subprocess.Popen[str]:
        self.runs = 0
        environment = {
            name: text for name, text in os.environ.items() if not name.startswith(("AWS_", "CI_", "ENV"))
        }
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.chaos.input_worker",
                str(self.folder),
                *["synthesize"] * self.synthesizes,
            ],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
            env={
                **environment,
                "AWS_EC2_METADATA_DISABLED": "true",
                "CDKTF_OUTDIR": str(self.folder / "cdktf.out"),
            },
        )

    def stop(self) -> None:
        """End the process."""
        if self.process and self.process.stdin and self.process.stdout:
            self.process.stdin.close()
            self.process.stdout.close()
            self.process.wait()
        self.process = None


@dataclass
class Tally:
    """The results of the runs of one sort of input."""

    name: str
    runs: int = 0
    accepted: int = 0
    most_seconds: float = 0
    most_mib: float = 0
    findings: dict[str, str] = field(default_factory=dict)

    def add(self, given: object, done: Figure, named: str | None) -> None:
        """Count a run, and keep the shortest input of each sort of finding.

        Args:
            given: The input.
            done: What the program did.
            named: The words with which a message names the input; None if argparse words it.

        """
        self.runs += 1
        self.accepted += not done["failure"] and done["status"] in ACCEPTED_STATUS
        self.most_seconds = max(self.most_seconds, done.get("cpu_seconds", SECONDS))
        self.most_mib = max(self.most_mib, done.get("mib", 0))
        reason = judge(done, named)
        text = repr(given)[:1500]
        if reason and len(self.findings.get(reason, text)) >= len(text):
            self.findings[reason] = f"{text}\n{done.get('said', '')}\n{done['failure']}"


def judge(done: Figure, named: str | None) -> str:  # noqa: PLR0911 - one for each sort of fault
    """Return what is wrong with the end of a run; empty if nothing is."""
    if done["failure"]:
        return f"a traceback: {done['failure'].strip().splitlines()[-1][:80]}"
    if done["cpu_seconds"] > SECONDS:
        return "too slow"
    if done["mib"] * 1024**2 > MEMORY:
        return "too much memory"
    if "Traceback" in done["said"]:
        return "a traceback in the message"
    if done["status"] in ACCEPTED_STATUS:
        return ""
    if not done["said"].strip():
        return "no message"
    if named is None:
        return ""
    if done["unprintable"]:
        return "a control character in the message"
    if done["longest"] > MAX_LINE or done["lines"] > MAX_LINES:
        return "a message that is too long"
    return "" if named in done["said"] else "a message that does not name the input"


@dataclass
class Inputs:
    """The folder of a project whose files are the inputs, and the process that reads them."""

    folder: Path
    seed: int
    worker: Worker
    synthesized: dict[str, dict[str, str]] = field(default_factory=dict)

    def prepare(self) -> None:
        """Write valid files."""
        shutil.copytree(PROJECT / "environments", self.folder / "environments")
        for kind in KINDS:
            self.reset(kind)
        (self.folder / "good.json").write_text(json.dumps(build_plan()))
        (self.folder / "prices" / "sources.csv").write_text("source,date,text\na,2026-11-01,AWS\n")
        (self.folder / "plans" / "example" / "a.tfplan").write_text("")

    def reset(self, kind: Kind) -> None:
        """Write a valid input of a kind."""
        path = self.folder / kind.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(kind.valid[0], encoding="utf-8")

    def run(self, kind: Kind, data: bytes) -> Figure:
        """Let the program of a kind read an input."""
        path = self.folder / kind.file
        path.write_bytes(data)
        folder = self.folder if path.parent == self.folder else path.parent
        arguments = [item.format(file=path, folder=folder) for item in kind.arguments]
        return self.worker.run(kind.program, arguments, kind.environment)

    def try_all(self, kind: Kind, strategy: some.SearchStrategy[bytes], tally: Tally, number: int) -> None:
        """Run a number of examples of a strategy."""

        @seeded(self.seed)
        @run_examples(number)
        @given(strategy)
        def run(data: bytes) -> None:
            done = self.run(kind, data)
            tally.add(data, done, kind.named)
            if kind.name == "settings" and done["failure"] == "" and done["status"] == 0:
                self._keep(data, tally)

        run()
        self.reset(kind)

    def _keep(self, data: bytes, tally: Tally) -> None:
        """Read what was synthesized from accepted settings, and keep it for Terraform."""
        if not self.worker.synthesizes:
            return
        folder = self.folder / "cdktf.out" / "stacks"
        texts = {stack: (folder / stack / "cdk.tf.json").read_text(encoding="utf-8") for stack in STACKS}
        for stack, text in texts.items():
            if not json.loads(text)["terraform"]["backend"]["s3"]["key"].endswith(f"/{stack}.tfstate"):
                tally.findings["another state"] = repr(data)
        self.synthesized[data.decode("utf-8", "replace")] = texts


@pytest.fixture
def inputs(tmp_path: Path, seed: int) -> Iterator[Inputs]:
    """Files that read only what they are given; no program synthesizes."""
    yield from _serve(Inputs(tmp_path, seed, Worker(tmp_path)))


@pytest.fixture
def synthesized_inputs(tmp_path: Path, seed: int) -> Iterator[Inputs]:
    """The same, with settings that are synthesized."""
    yield from _serve(Inputs(tmp_path, seed, Worker(tmp_path, synthesizes=True)))


def _serve(inputs: Inputs) -> Iterator[Inputs]:
    inputs.prepare()
    yield inputs
    inputs.worker.stop()


def try_changed(inputs: Inputs, kind: Kind, number: int) -> Tally:
    """Try valid files of a kind that were changed, and noise."""
    tally = Tally(kind.name)
    if not kind.file.endswith(".csv"):
        inputs.try_all(kind, changed_documents(kind.valid), tally, number)
    inputs.try_all(kind, changed_texts(kind.valid), tally, number)
    inputs.try_all(kind, noise(kind.valid), tally, number // 2)
    return tally


def try_few(inputs: Inputs, kind: Kind) -> Tally:
    """Try three changed files of a kind: to begin hypothesis costs more than to run them."""
    tally = Tally(kind.name)
    changed = changed_documents if not kind.file.endswith(".csv") else changed_texts
    inputs.try_all(kind, changed(kind.valid) | changed_texts(kind.valid) | noise(kind.valid), tally, 3)
    return tally


def try_large(inputs: Inputs, sizes: dict[int, tuple[str, ...]]) -> Tally:
    """Try large, deep and expanding files of each kind; an empty tuple stands for all of a size."""
    tally = Tally(LARGE_FILES)
    for kind in KINDS:
        for size, names in sizes.items():
            for name, data in large_inputs(kind.valid[0], size):
                if not names or name in names:
                    tally.add((kind.name, size, name), inputs.run(kind, data), kind.named)
        inputs.reset(kind)
    return tally


def try_command_lines(inputs: Inputs, number: int) -> Tally:
    """Try words, options and environment variables that no command expects."""
    tally = Tally(COMMAND_LINES)

    @seeded(inputs.seed)
    @run_examples(number)
    @given(command_lines(str(inputs.folder), with_node=inputs.worker.synthesizes))
    def run(line: tuple[str, list[str], dict[str, str]]) -> None:
        tally.add(line, inputs.worker.run(*line), None)

    run()
    return tally


def assert_right(tallies: list[Tally]) -> None:
    """Fail with each sort of finding, and the shortest input for it."""
    found = [
        f"{tally.name}: {reason}\n{text}" for tally in tallies for reason, text in tally.findings.items()
    ]
    assert not found, "\n\n".join(found)


def test_a_few_bad_inputs_end_in_a_message(inputs: Inputs) -> None:
    """A small sample of the full run: every kind of input, without the synthesis."""
    tallies = [
        *(try_few(inputs, kind) for kind in KINDS),
        try_large(inputs, {2000: ("one long string", "merge keys")}),
        try_command_lines(inputs, 6),
    ]
    assert_right(tallies)
    assert all(tally.runs for tally in tallies)


HUGE = ("one letter", "NUL", "many keys", "rows", "one long string", "a valid input again and again")
LARGE = {400_000: (), 100_000_000: HUGE}
BY_SCHEMA, LARGE_FILES, COMMAND_LINES = (
    "settings by their schema",
    "large, deep and expanding files",
    "command lines",
)
PARTS = (BY_SCHEMA, *(kind.name for kind in KINDS), LARGE_FILES, COMMAND_LINES)


@pytest.mark.chaos
@pytest.mark.parametrize("part", PARTS)
def test_every_bad_input_ends_in_a_message(
    part: str, request: pytest.FixtureRequest, figures: Figures, outcomes: Outcomes
) -> None:
    """At least 10,000 inputs in all parts together: synthesized as Terraform validates it, or one message."""
    kinds_by_name = {kind.name: kind for kind in KINDS}
    is_simple = part in kinds_by_name and part != "settings"
    inputs: Inputs = request.getfixturevalue("inputs" if is_simple else "synthesized_inputs")
    note = ""
    match part:
        case "settings by their schema":
            tally = Tally(part)
            inputs.try_all(kinds_by_name["settings"], schema_settings(), tally, 120)
            inputs.worker.stop()
            note = validate(inputs, request.getfixturevalue("aws_reattach"), tally)
        case "large, deep and expanding files":
            tally = try_large(inputs, LARGE)
        case "command lines":
            tally = try_command_lines(inputs, 800)
        case _:
            tally = try_changed(inputs, kinds_by_name[part], 350)
    outcomes.add(
        {
            "part": tally.name,
            "runs": tally.runs,
            "accepted": tally.accepted,
            "seconds": tally.most_seconds,
            "mib": tally.most_mib,
            "faults": len(tally.findings),
            "note": note,
        }
    )
    # The worker that ends last finds all parts.
    rows = {row["part"]: row for row in outcomes.read()}
    is_whole = len(rows) == len(PARTS)
    figures.write("input", describe(rows), is_whole=is_whole)
    assert_right([tally])
    assert not is_whole or sum(row["runs"] for row in rows.values()) >= 10_000


def describe(rows: dict[str, Figure]) -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| input | cases | accepted | refused with a message | longest | most memory | faults |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    done = [(name, rows[name]) for name in PARTS if name in rows]
    whole = {key: sum(row[key] for _, row in done) for key in ("runs", "accepted", "faults")}
    most = {key: max(row[key] for _, row in done) for key in ("seconds", "mib")}
    for name, row in [*done, ("together", {**whole, **most})]:
        yield (
            f"| {name} | {row['runs']:,} | {row['accepted']:,} | "
            f"{row['runs'] - row['accepted'] - row['faults']:,} | {row['seconds']:.1f} s | "
            f"{row['mib']:.0f} MiB | {row['faults']} |"
        )
    if notes := [row["note"] for _, row in done if row["note"]]:
        yield from ["", *notes]


def validate(inputs: Inputs, aws_reattach: dict[str, Any], tally: Tally) -> str:
    """Let Terraform validate the stacks of some accepted settings; return what it did in words."""
    chosen = list(inputs.synthesized.items())
    random.Random(inputs.seed).shuffle(chosen)
    assert len(chosen) >= 20
    seen: set[str] = set()
    folder = inputs.folder / "terraform"
    folder.mkdir()
    with terraform_environment(aws_reattach, folder / "record.json") as variables:
        environment = {**inherited_environment(), **variables}
        for text, stacks in chosen[:VALIDATED]:
            for stack, configuration in stacks.items():
                if configuration in seen:
                    continue
                seen.add(configuration)
                if error := _validate(folder / stack, configuration, environment):
                    tally.findings[f"terraform validate {error[:200]}"] = f"{stack}: {error}\n{text}"
    return (
        f"{len(chosen)} settings that were made by the schema were accepted and synthesized. "
        f"`terraform validate` judged the stacks of {len(chosen[:VALIDATED])} of them, {len(seen)} different "
        "ones."
    )


def _validate(folder: Path, configuration: str, environment: dict[str, str]) -> str:
    """Return the error of `terraform validate`, or nothing."""
    is_new = not folder.exists()
    folder.mkdir(exist_ok=True)
    (folder / "cdk.tf.json").write_text(configuration, encoding="utf-8")
    for command in ["init -backend=false -input=false -no-color"] * is_new + ["validate -no-color"]:
        done = subprocess.run(
            ["terraform", *command.split()],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            return done.stderr
    return ""
