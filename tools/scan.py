"""Scan the stacks, a plan, the charts and the packages for known weaknesses: `make scan`.

checkov judges what Terraform and Kubernetes would get; pip-audit and `npm audit` look for advisories of the
pinned packages. checkov asks no platform, downloads nothing and looks for no update of its own.
Not here: the findings that the project accepts (scan_accepted.yaml).
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from deployment.command_line import run_command
from stacks import STACKS
from stacks.errors import UserError
from stacks.settings.load import PROJECT
from tools.charts import ARCHIVES, read_as_helm, render_chart, unpack_charts
from tools.scan_accepted import ACCEPTED_FILE, Finding, ScanName, judge, read_accepted

SCANS: tuple[ScanName, ...] = get_args(ScanName)
PROGRAMS = PROJECT / ".work" / "scan" / "bin"
PLANS = PROJECT / "plans" / "local"
# checkov has rules for these blocks. Its parser of JSON (checkov 3.3.30, terraform_json/parser.py) gives up a
# whole file at `terraform.required_version` and at a list of `import` blocks.
SCANNED_BLOCKS = ("data", "locals", "provider", "resource")
# checkov reads options and keys of its platform from them.
OPTIONS_OF_CHECKOV = ("BC_", "CHECKOV_", "CKV_", "LOG_LEVEL", "PRISMA_")


class NotScannedError(Exception):
    """A scan that can't be done here; the message says what is missing."""


def main() -> None:
    """Do every scan, print what is left of it, and end with 1 if anything is."""
    parser = argparse.ArgumentParser(prog="python -m tools.scan", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--require",
        nargs="+",
        choices=SCANS,
        default=[],
        metavar="SCAN",
        help=f"scans that must be done; without this option only stacks must be: {', '.join(SCANS)}",
    )
    arguments = parser.parse_args()
    run_command(lambda: scan(required=arguments.require))


def scan(*, required: Collection[str]) -> int:
    """Do every scan, print what is left of it, and return the exit status."""
    accepted = read_accepted(ACCEPTED_FILE)
    done: dict[ScanName, list[Finding]] = {}
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        stacks = synthesize(Path(folder))
        scans: dict[ScanName, Callable[[], list[Finding]]] = {
            "stacks": lambda: scan_stacks(stacks),
            "plan": lambda: scan_plan(PLANS),
            "charts": lambda: scan_charts(stacks),
            "python": lambda: audit_python(PROJECT / "constraints.txt"),
            "node": lambda: audit_node(PROJECT),
        }
        for name, run in scans.items():
            try:
                done[name] = run()
            except NotScannedError as error:
                print(f"{name}: NOT SCANNED: {error}", flush=True)
                if name in required:
                    problems.append(f"{name}: the scan is required, and was not done")
            else:
                print(f"{name}: scanned, {len(done[name])} findings", flush=True)
    problems += judge(done, accepted)
    found = "every finding is accepted, for a reason in tools/scan_accepted.yaml"
    print("\n".join(problems) or f"{', '.join(done)}: {found}")
    return int(bool(problems))


def synthesize(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the Terraform JSON of each stack of the example environment."""
    env = {**os.environ, "ENV": "example", "CDKTF_OUTDIR": str(folder)}
    command = [sys.executable, str(PROJECT / "main.py")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if done.returncode:
        raise UserError(f"main.py, ENV=example: {done.stderr.strip()}")
    return {stack: json.loads((folder / "stacks" / stack / "cdk.tf.json").read_text()) for stack in STACKS}


def scan_stacks(stacks: Mapping[str, dict[str, Any]]) -> list[Finding]:
    """Return what checkov finds in the synthesized stacks."""
    files = {
        f"{name}.tf.json": json.dumps({block: stack[block] for block in SCANNED_BLOCKS if block in stack})
        for name, stack in stacks.items()
    }
    addresses = dict(pair for stack in stacks.values() for pair in list_addresses(stack))
    return run_checkov("terraform_json", files, lambda name: addresses.get(name, name))


def list_addresses(stack: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield each name that checkov uses for a resource or data source, with its address.

    Some rules leave out the type: `resource.cluster`. A construct id is unique in its stack.
    """
    for block, prefix in (("resource", ""), ("data", "data.")):
        for kind, items in stack.get(block, {}).items():
            for name in items:
                yield f"{block}.{name}", f"{prefix}{kind}.{name}"


def scan_plan(folder: Path) -> list[Finding]:
    """Return what checkov finds in the plans of the local environment."""
    files = {f"{stack}.json": folder / f"{stack}.json" for stack in STACKS}
    if lacking := [name for name, file in files.items() if not file.exists()]:
        raise NotScannedError(
            f"{folder.relative_to(PROJECT)} has no {' and '.join(lacking)}: `make demo`, then `make plan`"
        )
    return run_checkov("terraform_plan", {name: file.read_text() for name, file in files.items()})


def scan_charts(stacks: Mapping[str, dict[str, Any]]) -> list[Finding]:
    """Return what checkov finds in the objects of both charts, with the values of the stacks."""
    helm = os.environ.get("HELM") or shutil.which("helm")
    source = os.environ.get("CHARTS_FOLDER")
    if not helm or not source:
        raise NotScannedError(
            f"it needs HELM (or helm on the PATH), and CHARTS_FOLDER with {' and '.join(ARCHIVES)}"
        )
    (cluster,) = stacks["cluster"]["resource"]["aws_eks_cluster"].values()
    with tempfile.TemporaryDirectory() as folder:
        unpack_charts(Path(source), Path(folder))
        files = {
            f"{name}.yaml": render_chart(
                helm,
                Path(folder, release["chart"]),
                namespace=release["namespace"],
                values=read_as_helm(release["values"][0]),
                version=cluster["version"],
            )
            for name, release in stacks["workloads"]["resource"]["helm_release"].items()
        }
    # checkov adds the labels to the name of a pod template.
    return run_checkov("kubernetes", files, lambda name: ".".join(name.split(".")[:3]))


def run_checkov(
    framework: str, files: Mapping[str, str], find_address: Callable[[str], str] = lambda name: name
) -> list[Finding]:
    """Return what checkov finds in files of the given names and texts."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            Path(folder, name).write_text(text, encoding="utf-8")
        env = {name: value for name, value in os.environ.items() if not name.startswith(OPTIONS_OF_CHECKOV)}
        env |= {"BC_SKIP_MAPPING": "TRUE", "CKV_SKIP_PACKAGE_UPDATE_CHECK": "TRUE"}
        # checkov reads .checkov.yaml of the user's home.
        env |= {"HOME": folder}
        options = ["--framework", framework, "--directory", folder, "--output", "json", "--compact"]
        printed = run_program("checkov", *options, "--skip-download", env=env, folder=Path(folder))
    return [
        Finding(finding.check, find_address(finding.resource), finding.title)
        for finding in read_checkov(printed, files)
    ]


def read_checkov(printed: str, files: Iterable[str]) -> list[Finding]:
    """Return the findings in a report of checkov.

    Raises:
        UserError: If checkov could not read a file. It ends with 0 after that.

    """
    try:
        results = json.loads(printed)["results"]
    except (ValueError, LookupError, TypeError):
        raise UserError(f"checkov: no report: {printed.strip()[-500:]}") from None
    judged = results["passed_checks"] + results["failed_checks"]
    read = {check["file_path"].rpartition("/")[2] for check in judged}
    if unread := sorted({*results["parsing_errors"], *(set(files) - read)}):
        raise UserError(f"checkov: no rule was tried on {', '.join(unread)}")
    return [
        Finding(check["check_id"], check["resource"], check["check_name"])
        for check in results["failed_checks"]
    ]


def audit_python(requirements: Path) -> list[Finding]:
    """Return the advisories of the pinned Python packages."""
    options = ["--requirement", str(requirements), "--no-deps", "--disable-pip", "--format", "json"]
    return read_pip_audit(run_program("pip-audit", *options, "--progress-spinner", "off"))


def read_pip_audit(printed: str) -> list[Finding]:
    """Return the advisories in a report of pip-audit.

    Raises:
        NotScannedError: If pip-audit got no answer for a package. It ends with 0 after that.

    """
    try:
        packages = json.loads(printed)["dependencies"]
    except (ValueError, LookupError, TypeError):
        reason = printed.strip().rpartition("\n")[2][:300]
        raise NotScannedError(f"pip-audit got no advisories: {reason}") from None
    if skipped := [package["skip_reason"] for package in packages if "skip_reason" in package]:
        raise NotScannedError(
            f"pip-audit got no advisories of {len(skipped)} packages of {len(packages)}: {skipped[0]}"
        )
    return [
        Finding(advisory["id"], package["name"], f"{package['version']}: fixed in {advisory['fix_versions']}")
        for package in packages
        for advisory in package["vulns"]
    ]


def audit_node(folder: Path) -> list[Finding]:
    """Return the advisories of the packages of the cdktf command line."""
    command = ["npm", "audit", "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    return read_npm_audit(done.stdout)


def read_npm_audit(printed: str) -> list[Finding]:
    """Return the advisories in a report of `npm audit`.

    Raises:
        NotScannedError: If the registry gave no advisories.

    """
    try:
        report = json.loads(printed)
        packages = report["vulnerabilities"]
    except ValueError:
        raise NotScannedError(f"npm audit: no report: {printed.strip()[-300:]}") from None
    except (LookupError, TypeError):
        raise NotScannedError(f"npm audit got no advisories: {report.get('message', report)}") from None
    # A name in `via` stands for the advisories of that package, which has its own entry.
    return [
        Finding(advisory["url"].rpartition("/")[2], advisory["name"], advisory["title"])
        for package in packages.values()
        for advisory in package["via"]
        if not isinstance(advisory, str)
    ]


def run_program(
    name: str, *arguments: str, env: Mapping[str, str] | None = None, folder: Path | None = None
) -> str:
    """Run a program of requirements-scan.txt, and return what it prints, or else its errors."""
    command = [str(PROGRAMS / name), *arguments]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout or done.stderr


if __name__ == "__main__":
    main()
