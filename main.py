"""Settings in, three stacks out.

`cdktf` runs this file; `ENV` names the environment (a file under environments/, default: local).
"""

import os
import sys
from collections.abc import Mapping
from typing import Any

from cdktf import App

from stacks.backend import BackendError, read_backend
from stacks.cluster import ClusterStack
from stacks.network import NetworkStack
from stacks.settings import Settings
from stacks.settings.file import PROJECT, SettingsError, load_environment
from stacks.state import Environment
from stacks.workloads import WorkloadsStack


def build(app: App, settings: Settings, backend: Mapping[str, Any]) -> None:
    """Add the three stacks of one environment to `app`, each reading the outputs of those before it."""
    environment = Environment(name=settings.environment, aws=settings.aws, backend=backend)
    network = NetworkStack(
        app,
        "network",
        environment=environment,
        settings=settings.network,
        cluster_name=settings.cluster.name,
    )
    cluster = ClusterStack(app, "cluster", environment=environment, settings=settings.cluster)
    workloads = WorkloadsStack(
        app,
        "workloads",
        environment=environment,
        cluster=settings.cluster,
        autoscaler=settings.autoscaler,
        runners=settings.runners,
    )
    cluster.add_dependency(network)
    workloads.add_dependency(cluster)


def main() -> None:
    """Synthesize the environment that `ENV` names; one line on standard error for each mistake."""
    try:
        settings = load_environment(os.environ.get("ENV"))
        backend = read_backend(PROJECT / "backend.tf.json")
    except (SettingsError, BackendError) as error:
        sys.exit(str(error))
    app = App(outdir=os.environ.get("CDKTF_OUTDIR") or str(PROJECT / "cdktf.out"))
    build(app, settings, backend)
    app.synth()


if __name__ == "__main__":
    main()
