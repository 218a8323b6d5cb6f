"""The objects of the charts, rendered by real Helm with the values of the stacks."""

import re
import subprocess
import tarfile
from pathlib import Path

from stacks.errors import UserError
from stacks.versions import CLUSTER_AUTOSCALER_CHART, GITLAB_RUNNER_CHART

ARCHIVES = (
    f"gitlab-runner-{GITLAB_RUNNER_CHART}.tgz",
    f"cluster-autoscaler-{CLUSTER_AUTOSCALER_CHART}.tgz",
)


def unpack_charts(source: Path, folder: Path) -> None:
    """Unpack both charts, in the versions that the stacks install, from `source` into `folder`."""
    for name in ARCHIVES:
        with tarfile.open(source / name) as archive:
            archive.extractall(folder, filter="data")


def read_as_helm(text: str) -> str:
    """Return a string of the configuration as Helm gets it: references are resolved, escapes removed.

    Each reference becomes a number, as the version of a token is one.
    """
    resolved = re.sub(r"(?<!\$)\$\{[^}]*\}", "1", text)
    return resolved.replace("$${", "${").replace("%%{", "%{")


def render_chart(helm: str, chart: Path, *, namespace: str, values: str, version: str) -> str:
    """Return the objects of a chart as YAML, for one version of Kubernetes.

    Raises:
        UserError: If Helm refuses the chart or the values.

    """
    done = subprocess.run(  # noqa: S603 - the program that the caller names
        [
            *(helm, "template", chart.name, str(chart), "--namespace", namespace),
            *("--values", "-", "--kube-version", version),
        ],
        input=values,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise UserError(f"helm template {chart.name}: {done.stderr.strip()}")
    return done.stdout
