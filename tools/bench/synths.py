"""Compare the ways to make a synth of the example environment, in one run and in turn.

The other programs make the same resources: typescript_program.py writes one in TypeScript, and
aws_cdk_program.py is one for the AWS CDK. They have packages of their own in .work/bench (package.json and
requirements.txt beside this file).
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import track

from stacks import STACKS
from stacks.settings.load import PROJECT
from tools.bench.cost import run
from tools.bench.typescript_program import write_program

ROUNDS = 3
PACKAGES = PROJECT / ".work" / "bench"
OURS = "this project"
EAGER = "this project with ordinary imports (LEAN_IMPORTS=0)"


@dataclass(frozen=True)
class Way:
    """A program that synthesizes; it writes to the folder that the variable `output` names."""

    command: list[str]
    env: Mapping[str, str] = field(default_factory=dict)
    folder: Path = PROJECT
    output: str = "CDKTF_OUTDIR"


def compare_synths() -> Iterator[str]:
    """Time each way in turn, and yield the lines of a table in Markdown."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        synthesized = _synthesize(folder)
        ways = _prepare(synthesized)
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for number in track(range(ROUNDS + 1), description="synth, in turn", transient=True):
            for title, way in ways.items():
                output = folder / "output"
                cost = run(way.command, {**way.env, way.output: str(output)}, folder=way.folder)
                if number:  # the first round fills caches and is not counted
                    seconds[title].append(cost.cpu_seconds)
                elif way.folder != PROJECT:
                    _require_the_same(synthesized, output)
    medians = {title: statistics.median(times) for title, times in seconds.items()}
    yield "| a synth of the example environment | processor time, s | compared with this project |"
    yield "| --- | --: | --: |"
    for title, median in medians.items():
        yield f"| {title} | {median:.1f} | {median / medians[OURS]:.2f} |"


def _synthesize(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the JSON of the example environment; write each stack's to a file in `folder`/json."""
    run([sys.executable, "main.py"], {"ENV": "example", "CDKTF_OUTDIR": str(folder / "ours")})
    return {
        stack: json.loads((folder / "ours" / "stacks" / stack / "cdk.tf.json").read_text(encoding="utf-8"))
        for stack in STACKS
    }


def _prepare(synthesized: Mapping[str, dict[str, Any]]) -> dict[str, Way]:
    """Write the other programs, and return all ways by their titles."""
    write_program(synthesized, PACKAGES)
    programs = PACKAGES / "node_modules" / ".bin"
    run([str(programs / "tsc"), "--outDir", "compiled"], folder=PACKAGES)
    written = PACKAGES / "json"
    written.mkdir(exist_ok=True)
    for stack, document in synthesized.items():
        (written / f"{stack}.json").write_text(json.dumps(document), encoding="utf-8")
    ours = [sys.executable, "main.py"]
    aws_cdk = [
        str(PACKAGES / "python" / "bin" / "python"),
        str(Path(__file__).with_name("aws_cdk_program.py")),
    ]
    return {
        OURS: Way(ours, {"ENV": "example", "LEAN_IMPORTS": "1"}),
        EAGER: Way(ours, {"ENV": "example", "LEAN_IMPORTS": "0"}),
        "cdktf in TypeScript, by ts-node as its template has it": Way(
            [str(programs / "ts-node"), "main.ts"], folder=PACKAGES
        ),
        "cdktf in TypeScript, compiled before": Way(["node", "compiled/main.js"], folder=PACKAGES),
        "AWS CDK in Python": Way([*aws_cdk, str(written)], output="CDK_OUTDIR"),
    }


def _require_the_same(ours: Mapping[str, dict[str, Any]], output: Path) -> None:
    """End if another program has not made the same Terraform JSON."""
    for stack, document in ours.items():
        theirs = json.loads((output / "stacks" / stack / "cdk.tf.json").read_text(encoding="utf-8"))
        if _without_comments(document) != _without_comments(theirs):
            sys.exit(f"{stack}: the program in TypeScript makes other Terraform JSON than this project")


def _without_comments(value: Any) -> Any:
    """Return JSON without cdktf's comments, which name the paths of constructs."""
    if isinstance(value, dict):
        return {key: _without_comments(each) for key, each in value.items() if key != "//"}
    if isinstance(value, list):
        return [_without_comments(each) for each in value]
    return value
