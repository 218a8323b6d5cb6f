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
    environment = Environment(
        name=settings.environment,
        resource_prefix=settings.resource_prefix,
        aws=settings.aws,
        backend=backend,
        versions=settings.versions,
    )
    network = _build_network(app, settings, environment)
    cluster = ClusterStack(
        app,
        "cluster",
        environment=environment,
        settings=settings.cluster,
        availability_zones=settings.network.availability_zones,
        protect_running_jobs=settings.protect_running_jobs,
        nat_gateway_per_zone=settings.network.nat_gateways == "one_per_zone",
        alarms=settings.alarms,
    )
    workloads = WorkloadsStack(
        app,
        "workloads",
        environment=environment,
        cluster=settings.cluster,
        availability_zones=settings.network.availability_zones,
        autoscaler=settings.autoscaler,
        runners=settings.runners,
        cache_expiration_days=settings.cache_expiration_days,
        protect_running_jobs=settings.protect_running_jobs,
    )
    _warn_of_untested_versions(settings, network, cluster, workloads)
    cluster.add_dependency(network)
    workloads.add_dependency(cluster)


def _build_network(app: App, settings: Settings, environment: Environment) -> EnvironmentStack:
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


def _warn_of_untested_versions(
    settings: Settings, network: EnvironmentStack, cluster: EnvironmentStack, workloads: EnvironmentStack
) -> None:
    untested = settings.versions.find_untested(settings.cluster.kubernetes_version)
    aws_provider, kubernetes = "versions.aws_provider", "cluster.kubernetes_version"
    for stack, used in ((network, {aws_provider}), (cluster, {aws_provider, kubernetes})):
        stack.warn_of_untested_versions({path: untested[path] for path in untested if path in used})
    workloads.warn_of_untested_versions(untested)
