"""RunnerFleet: one GitLab runner: namespaces, the token's Secret, access to the cache, its Helm release.

Intent: the manager (which holds the token) and the jobs (which are strangers) live in namespaces of
their own; the token goes from SSM to the Secret and is stored nowhere on the way.
Not here: the runner's own configuration (runner_config.py), and what its jobs may not (isolation.py).
"""

from collections.abc import Mapping

from cdktf import (
    ITerraformDependable,
    Postcondition,
    Precondition,
    TerraformResourceLifecycle,
    TerraformStack,
    Token,
)
from cdktf_cdktf_provider_aws.data_aws_ssm_parameter import DataAwsSsmParameter
from cdktf_cdktf_provider_helm.release import Release
from cdktf_cdktf_provider_kubernetes.namespace_v1 import NamespaceV1
from cdktf_cdktf_provider_kubernetes.secret_v1 import SecretV1
from constructs import Construct

from stacks.cache import RunnerCache
from stacks.helm_values import values_yaml
from stacks.iam import PodIdentities
from stacks.isolation import FleetIsolation
from stacks.job_capacity import NodeAllocatable, promise_preconditions
from stacks.runner_config import NEVER_EVICT, runner_toml
from stacks.settings.node_groups import NODE_GROUP_LABEL, NodeGroupSettings
from stacks.settings.runners import FLEET_LABEL, RunnerSettings
from stacks.versions import GITLAB_RUNNER_CHART

NAME = "gitlab-runner"
TOKEN_SECRET = "gitlab-runner-token"  # noqa: S105 - the Secret's name, not the token
TERMINATION_GRACE_PERIOD_SECONDS = 3600  # how long a manager may wait for its jobs before it is replaced
METRICS_PORT = 9252
NAMESPACE_DELETE_TIMEOUT = "12m"  # the provider's token for the Kubernetes API lives 15 minutes

# GitLab Runner, "Kubernetes executor", "Configure runner API permissions".
MANAGER_PERMISSIONS = {
    "events": ["list", "watch"],
    "pods": ["create", "delete", "get", "list", "watch"],
    "pods/attach": ["create", "delete", "get", "patch"],
    "pods/exec": ["create", "delete", "get", "patch"],
    "pods/log": ["get", "list"],
    "secrets": ["create", "delete", "get", "update"],
    "serviceaccounts": ["get"],
    "services": ["create", "get"],
}


class RunnerFleet(Construct):
    """One runner of the settings' `runners` map."""

    def __init__(
        self,
        scope: TerraformStack,
        id_: str,
        *,
        name: str,
        identities: PodIdentities,
        manager_node_group: str,
        node_groups: Mapping[str, NodeGroupSettings],
        room: NodeAllocatable,
        cache: RunnerCache,
        protect_running_jobs: bool,
        settings: RunnerSettings,
    ) -> None:
        """Install the fleet `name`.

        Args:
            scope: The workloads stack.
            id_: The construct's id.
            name: The fleet's name in the settings.
            identities: Makes the manager's role.
            manager_node_group: The node group that is never without a node, for the fleet's manager.
            node_groups: Where the fleet's jobs may run, by name.
            room: What a node of these groups has for a job.
            cache: The bucket of the distributed cache.
            protect_running_jobs: Whether job pods are kept from being evicted.
            settings: What the settings say of the fleet.

        """
        super().__init__(scope, id_)
        self._stack = scope
        self._name = name
        self._settings = settings
        self.manager_namespace = f"gitlab-runner-{name}"
        self.job_namespace = f"gitlab-jobs-{name}"
        self._namespaces = self._build_namespaces()
        secret = self._build_token_secret()
        needs: list[ITerraformDependable] = [*self._namespaces, secret]
        if settings.cache:
            # For the manager alone: jobs get links that it signs, and no AWS identity.
            needs += identities.grant(
                self,
                thing=f"runner-{name}",
                namespace=self.manager_namespace,
                service_account=NAME,
                permissions=cache.access_policy(name),
            )
        FleetIsolation(
            self,
            "boundaries",
            fleet=name,
            manager_namespace=self.manager_namespace,
            job_namespace=self.job_namespace,
            metrics_port=METRICS_PORT,
            settings=settings,
            protect_running_jobs=protect_running_jobs,
            depends_on=list(self._namespaces),
        )
        config = runner_toml(
            name,
            settings,
            job_namespace=self.job_namespace,
            node_groups=node_groups,
            cache_bucket=cache.bucket_name,
            region=cache.region,
            protect_running_jobs=protect_running_jobs,
        )
        token_version = Token.as_string(secret.data_wo_revision_input)
        self.release = Release(
            self,
            "release",
            name=NAME,
            namespace=self.manager_namespace,
            repository="https://charts.gitlab.io",
            chart=NAME,
            version=GITLAB_RUNNER_CHART,
            wait=True,
            timeout=600,
            max_history=5,
            values=[self._values(config, node_group=manager_node_group, token_version=token_version)],
            depends_on=needs,
            lifecycle=TerraformResourceLifecycle(
                precondition=promise_preconditions(name, settings, node_groups=list(node_groups), room=room)
            ),
        )

    def _build_namespaces(self) -> list[NamespaceV1]:
        # Pod Security's "restricted" would refuse every image that runs as root, which most do.
        jobs_level = "privileged" if self._settings.privileged else "baseline"
        return [
            NamespaceV1(
                self,
                id_,
                metadata={
                    "name": name,
                    "labels": {"pod-security.kubernetes.io/enforce": level, FLEET_LABEL: self._name},
                },
                timeouts={"delete": NAMESPACE_DELETE_TIMEOUT},
            )
            for id_, name, level in (
                ("manager_namespace", self.manager_namespace, "restricted"),
                ("job_namespace", self.job_namespace, jobs_level),
            )
        ]

    def _build_token_secret(self) -> SecretV1:
        parameter = self._settings.token_parameter
        # Without decryption, for its version alone: this is all of the token that state ever holds.
        described = DataAwsSsmParameter(
            self,
            "token_parameter",
            name=parameter,
            with_decryption=False,
            lifecycle=TerraformResourceLifecycle(
                postcondition=[
                    Postcondition(
                        condition='${self.type == "SecureString"}',
                        error_message=(
                            f"runners.{self._name}.token_parameter: {parameter} is not a SecureString. "
                            "Store the token again with `aws ssm put-parameter --type SecureString`."
                        ),
                    )
                ]
            ),
        )
        # cdktf 0.21 has no class for ephemeral resources.
        ephemeral = f"aws_ssm_parameter.runner_{self._name}_token"
        self._stack.add_override(f"ephemeral.{ephemeral}", {"arn": described.arn})
        return SecretV1(
            self,
            "token_secret",
            metadata={"name": TOKEN_SECRET, "namespace": self.manager_namespace},
            data_wo={
                "runner-token": f"${{ephemeral.{ephemeral}.value}}",
                "runner-registration-token": "",  # the chart mounts both keys
            },
            data_wo_revision=Token.as_number(described.version),
            depends_on=list(self._namespaces),
            # Not a postcondition of the ephemeral resource: `terraform show -json` of 1.11 crashes on one.
            lifecycle=TerraformResourceLifecycle(
                precondition=[
                    Precondition(
                        condition=f'${{startswith(ephemeral.{ephemeral}.value, "glrt-")}}',
                        error_message=(
                            f"runners.{self._name}.token_parameter: what {parameter} holds does not begin "
                            "with glrt-. Accepted: the authentication token that GitLab shows when a runner "
                            "is created, no registration token."
                        ),
                    )
                ]
            ),
        )

    def _values(self, config: str, *, node_group: str, token_version: str) -> str:
        return values_yaml(
            {
                "fullnameOverride": NAME,
                "gitlabUrl": self._settings.gitlab_url,
                "concurrent": self._settings.concurrent,
                "replicas": 1,
                "rbac": {
                    "create": True,
                    "rules": [
                        {"apiGroups": [""], "resources": [resource], "verbs": verbs}
                        for resource, verbs in MANAGER_PERMISSIONS.items()
                    ],
                },
                "serviceAccount": {"create": True, "name": NAME},
                "runners": {
                    "name": self._name,
                    "secret": TOKEN_SECRET,
                    "jobNamespace": self.job_namespace,
                    "config": config,
                },
                "metrics": {
                    "enabled": True,
                    "port": METRICS_PORT,
                    "podMonitor": {"enabled": self._settings.pod_monitor},
                },
                "unregisterRunners": False,  # the chart's own preStop hook, which the next one replaces
                # QUIT lets running jobs finish; TERM, which Kubernetes sends once the hook is over, aborts
                # them. So the hook goes on until the end of process 1 ends it too, and repeats the signal,
                # since the chart's start script ignores one that comes before the runner is up.
                "deploymentLifecycle": {
                    "preStop": {
                        "exec": {"command": ["/bin/sh", "-c", "while kill -QUIT 1; do sleep 30; done"]}
                    }
                },
                "terminationGracePeriodSeconds": TERMINATION_GRACE_PERIOD_SECONDS,
                "nodeSelector": {NODE_GROUP_LABEL: node_group},
                # A new token version changes the annotation, and that rolls the manager.
                "podAnnotations": {**NEVER_EVICT, "runner-token-version": token_version},
                "podSecurityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
            }
        )
