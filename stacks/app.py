"""The app of one environment: three stacks, each with the part of the settings that it needs.

Importing this module imports cdktf and the provider packages, which takes seconds.
"""

from cdktf import App

from stacks.backend import Backend
from stacks.cluster import ClusterStack
from stacks.environment import Environment
from stacks.environment_stack import EnvironmentStack
from stacks.existing_network import ExistingNetworkStack
from stacks.network import NetworkStack
from stacks.settings import Settings
from stacks.versions import TERRAFORM
from stacks.workloads import WorkloadsStack


def build(app: App, settings: Settings, backend: Backend) -> None:
    """Add the three stacks of one environment to `app`, each reading the outputs of those before it."""
    # cdktn refuses what old versions of Terraform can't do, unless the app excludes them. cdktf ignores it.
    app.node.set_context("targetVersions", {"terraform": TERRAFORM, "opentofu": TERRAFORM})
    network, cluster, workloads = (add(app, settings, backend) for add in ADD_STACK.values())
    cluster.add_dependency(network)
    workloads.add_dependency(cluster)


def _add_network(app: App, settings: Settings, backend: Backend) -> EnvironmentStack:
    environment = _make_environment(settings, backend)
    network: EnvironmentStack
    if settings.network.existing:
        network = ExistingNetworkStack(
            app,
            "network",
            environment=environment,
            availability_zones=settings.network.availability_zones,
            settings=settings.network.existing,
        )
    else:
        network = NetworkStack(
            app,
            "network",
            environment=environment,
            settings=settings.network,
            cluster_name=settings.cluster.name,
        )
    network.warn_of_untested_versions(_find_untested(settings, "versions.aws_provider"))
    return network


def _add_cluster(app: App, settings: Settings, backend: Backend) -> EnvironmentStack:
    cluster = ClusterStack(
        app,
        "cluster",
        environment=_make_environment(settings, backend),
        settings=settings.cluster,
        availability_zones=settings.network.availability_zones,
        protect_running_jobs=settings.protect_running_jobs,
        nat_gateway_per_zone=settings.network.nat_gateways == "one_per_zone",
        alarms=settings.alarms,
    )
    cluster.warn_of_untested_versions(
        _find_untested(settings, "versions.aws_provider", "cluster.kubernetes_version")
    )
    return cluster


def _add_workloads(app: App, settings: Settings, backend: Backend) -> EnvironmentStack:
    workloads = WorkloadsStack(
        app,
        "workloads",
        environment=_make_environment(settings, backend),
        cluster=settings.cluster,
        availability_zones=settings.network.availability_zones,
        autoscaler=settings.autoscaler,
        runners=settings.runners,
        cache_expiration_days=settings.cache_expiration_days,
        protect_running_jobs=settings.protect_running_jobs,
    )
    workloads.warn_of_untested_versions(_find_untested(settings))
    return workloads


# By their names, each after the stacks whose outputs it reads. A stack has the same JSON without the others.
ADD_STACK = {"network": _add_network, "cluster": _add_cluster, "workloads": _add_workloads}


def _make_environment(settings: Settings, backend: Backend) -> Environment:
    return Environment(
        name=settings.environment,
        resource_prefix=settings.resource_prefix,
        aws=settings.aws,
        backend=backend,
        versions=settings.versions,
    )


def _find_untested(settings: Settings, *paths: str) -> dict[str, tuple[str, list[str]]]:
    """Return the versions that this project does not test, of all settings or of some."""
    untested = settings.versions.find_untested(settings.cluster.kubernetes_version)
    return {path: found for path, found in untested.items() if not paths or path in paths}
