"""Settings in, three stacks out.

`cdktf` runs this file; `ENV` names the environment (a file under environments/, default: local).
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cdktf import App

from stacks.backend import BackendError, forget_other_environments, read_backend
from stacks.cluster import ClusterStack
from stacks.environment_stack import EnvironmentStack
from stacks.existing_network import ExistingNetworkStack
from stacks.network import NetworkStack
from stacks.settings import Settings
from stacks.settings.load import PROJECT, SettingsError, load_environment
from stacks.state import Environment
from stacks.workloads import WorkloadsStack


def build(app: App, settings: Settings, backend: Mapping[str, Any]) -> None:
    """Add the three stacks of one environment to `app`, each reading the outputs of those before it."""
    environment = Environment(
        name=settings.environment,
        name_prefix=settings.resource_prefix,
        aws=settings.aws,
        backend=backend,
    )
    network = _network(app, settings, environment)
    cluster = ClusterStack(
        app,
        "cluster",
        environment=environment,
        settings=settings.cluster,
        availability_zones=settings.network.availability_zones,
        protect_running_jobs=settings.protect_running_jobs,
    )
    workloads = WorkloadsStack(
        app,
        "workloads",
        environment=environment,
        cluster=settings.cluster,
        autoscaler=settings.autoscaler,
        runners=settings.runners,
        cache_expiration_days=settings.cache_expiration_days,
        protect_running_jobs=settings.protect_running_jobs,
    )
    cluster.add_dependency(network)
    workloads.add_dependency(cluster)


def _network(app: App, settings: Settings, environment: Environment) -> EnvironmentStack:
    if settings.network.existing:
        return ExistingNetworkStack(
            app,
            "network",
            environment=environment,
            availability_zones=settings.network.availability_zones,
            settings=settings.network.existing,
        )
    return NetworkStack(
        app,
        "network",
        environment=environment,
        settings=settings.network,
        cluster_name=settings.cluster.name,
    )


def main() -> None:
    """Synthesize the environment that `ENV` names; one line on standard error for each mistake."""
    try:
        settings = load_environment(os.environ.get("ENV"))
        backend = read_backend(PROJECT / "backend.tf.json")
    except (SettingsError, BackendError) as error:
        sys.exit(str(error))
    output = Path(os.environ.get("CDKTF_OUTDIR") or PROJECT / "cdktf.out")
    app = App(outdir=str(output))
    build(app, settings, backend)
    app.synth()
    forget_other_environments(output, is_local=settings.aws.is_local)


if __name__ == "__main__":
    main()
