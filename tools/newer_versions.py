"""Report what is newer than the versions that this project tests: `make newer-versions`.

It asks the registries where the versions come from, and names each one that does not answer. It only reports,
so its exit status is always 0.
Not here: raising a version (CONTRIBUTING.md says what to run then).
"""

import argparse
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from ruamel.yaml import YAML

from stacks.settings.load import PROJECT
from stacks.versions import (
    AWS_PROVIDER,
    CLUSTER_AUTOSCALER_CHART,
    CLUSTER_AUTOSCALER_IMAGE_TAGS,
    CLUSTER_AUTOSCALER_REPOSITORY,
    GITLAB_RUNNER_CHART,
    GITLAB_RUNNER_REPOSITORY,
    HELM_PROVIDER,
    KUBERNETES_PROVIDER,
    TERRAFORM_REGISTRY,
)

TIMEOUT_SECONDS = 20  # of one answer
COMMAND_TIMEOUT_SECONDS = 300  # pip asks for one package after the other
AUTOSCALER_TAG = "refs/tags/cluster-autoscaler-"


@dataclass(frozen=True)
class Addresses:
    """URLs of what the report asks. pip and npm know their own."""

    runner_charts: str = GITLAB_RUNNER_REPOSITORY
    autoscaler_charts: str = CLUSTER_AUTOSCALER_REPOSITORY
    # Terraform, "Provider Registry Protocol"; `/v1/providers/` is what this registry names for it.
    providers: str = f"https://{TERRAFORM_REGISTRY}/v1/providers"
    # GitHub REST API, "List matching references".
    autoscaler_tags: str = "https://api.github.com/repos/kubernetes/autoscaler/git/matching-refs/tags"


@dataclass(frozen=True)
class Newer:
    """One version of this project, and the newest one."""

    name: str
    ours: str
    newest: str


@dataclass(frozen=True)
class Source:
    """A place that knows newer versions."""

    name: str
    find: Callable[[], list[Newer]]


def main(addresses: Addresses = Addresses()) -> None:
    """Print what is newer, and which sources gave no answer."""
    argparse.ArgumentParser(
        prog="python -m tools.newer_versions", description=__doc__.partition("\n")[0]
    ).parse_args()
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(_ask, list_sources(addresses)))
    found = [item for answer in answers if isinstance(answer, list) for item in answer]
    failed = [answer for answer in answers if isinstance(answer, str)]
    width = max((len(item.name) for item in found), default=0)
    print("Newer than the tested versions:" if found else "No newer version was found.")
    for item in found:
        print(f"  {item.name:{width}}  {item.ours} → {item.newest}")
    for line in failed:
        print(f"Not compared: {line}")


def list_sources(addresses: Addresses) -> list[Source]:
    """Return the sources of all versions."""
    charts = {
        "gitlab-runner": (addresses.runner_charts, GITLAB_RUNNER_CHART),
        "cluster-autoscaler": (addresses.autoscaler_charts, CLUSTER_AUTOSCALER_CHART),
    }
    providers = {"aws": AWS_PROVIDER, "helm": HELM_PROVIDER, "kubernetes": KUBERNETES_PROVIDER}
    return [
        *(
            Source(f"chart {name}", partial(_find_chart, url, name, ours))
            for name, (url, ours) in charts.items()
        ),
        *(
            Source(f"provider {name}", partial(_find_provider, addresses.providers, name, ours))
            for name, ours in providers.items()
        ),
        Source("releases of cluster-autoscaler", partial(_find_autoscalers, addresses.autoscaler_tags)),
        Source("Python packages", _find_python_packages),
        Source("npm packages", _find_npm_packages),
    ]


def _ask(source: Source) -> list[Newer] | str:
    """Return what a source knows, or one line that says why it gave no answer."""
    try:
        return source.find()
    except Exception as error:  # noqa: BLE001 - no answer of a server may end the report
        reason = " ".join(str(error).split()) or type(error).__name__
        return f"{source.name}: {reason[:200]}"


def _find_chart(repository: str, name: str, ours: str) -> list[Newer]:
    index = YAML(typ="safe").load(_read(f"{repository}/index.yaml"))
    return _compare(f"chart {name}", ours, (entry["version"] for entry in index["entries"][name]))


def _find_provider(registry: str, name: str, ours: str) -> list[Newer]:
    answer = json.loads(_read(f"{registry}/hashicorp/{name}/versions"))
    return _compare(f"provider {name}", ours, (item["version"] for item in answer["versions"]))


def _find_autoscalers(tags: str) -> list[Newer]:
    """Return the newest release of each minor version from our oldest one on.

    A release is tagged before its image is published: look for the image before you use it.
    """
    answer = json.loads(_read(f"{tags}/cluster-autoscaler-1."))
    newest = {}
    for numbers in sorted(_parse(item["ref"].removeprefix(AUTOSCALER_TAG)) for item in answer):
        newest[numbers[:2]] = numbers
    ours = {_parse(minor): tag for minor, tag in CLUSTER_AUTOSCALER_IMAGE_TAGS.items()}
    return [
        Newer(
            f"cluster-autoscaler for Kubernetes {'.'.join(map(str, minor))}",
            ours.get(minor, "none"),
            f"v{'.'.join(map(str, numbers))}",
        )
        for minor, numbers in newest.items()
        if minor >= min(ours) and numbers > _parse(ours.get(minor, ""))
    ]


def _find_python_packages() -> list[Newer]:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--retries", "0"]
    # `pip list` also ends well if no index answers. This command then fails.
    _run([*pip, "index", "versions", "pip"])
    listed = _run(
        [*pip, "list", "--outdated", "--format", "json", "--exclude", "pip", "--exclude", "setuptools"]
    )
    return [
        Newer(f"Python package {item['name']}", item["version"], item["latest_version"])
        for item in json.loads(listed)
    ]


def _find_npm_packages() -> list[Newer]:
    # npm's exit status is 1 also if a package is outdated.
    answer = json.loads(_run(["npm", "outdated", "--json", "--fetch-retries=0"], accepted=(0, 1)) or "{}")
    if "summary" in answer.get("error", {}):
        raise ValueError(answer["error"]["summary"])
    return [
        Newer(f"npm package {name}", item.get("current", "none"), item["latest"])
        for name, item in answer.items()
    ]


def _read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - the URLs above
        content: bytes = answer.read()
    return content


def _run(command: list[str], *, accepted: Iterable[int] = (0,)) -> str:
    done = subprocess.run(  # noqa: S603 - pip and npm
        command, cwd=PROJECT, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_SECONDS, check=False
    )
    if done.returncode not in accepted:
        raise ValueError(done.stderr.strip().rpartition("\n")[2])
    return done.stdout


def _compare(name: str, ours: str, versions: Iterable[str]) -> list[Newer]:
    newest = max(versions, key=_parse)
    return [Newer(name, ours, newest)] if _parse(newest) > _parse(ours) else []


def _parse(version: str) -> tuple[int, ...]:
    """Return the numbers of a version; none of a release candidate, so that it is never the newest."""
    if not re.fullmatch(r"v?\d+(\.\d+)*", version):
        return ()
    return tuple(map(int, version.removeprefix("v").split(".")))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
