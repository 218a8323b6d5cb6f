"""RunnerFleet: one GitLab runner: namespaces, the token's Secret, access to the cache, its Helm release.

Intent: the manager holds the token, and jobs are strangers' programs; so each has a namespace of its own.
The token goes from SSM to the Secret, and neither plan nor state stores it.
Not here: the runner's own configuration (runner_config.py); the limits of its jobs (isolation.py); the
manager's size (manager_resources.py) and neighbours (steady_pods.py).
"""

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from cdktf import (
    ITerraformDependable,
    Postcondition,
    Precondition,
    TerraformResourceLifecycle,
    TerraformStack,
    Token,
)
from cdktf_cdktf_provider_aws.data_aws_ssm_parameter import DataAwsSsmParameter
from cdktf_cdktf_provider_aws.iam_role_policy import IamRolePolicy
from cdktf_cdktf_provider_helm.release import Release
from cdktf_cdktf_provider_kubernetes.namespace_v1 import NamespaceV1
from cdktf_cdktf_provider_kubernetes.priority_class_v1 import PriorityClassV1
from cdktf_cdktf_provider_kubernetes.secret_v1 import SecretV1
from constructs import Construct

from stacks.cache import RunnerCache
from stacks.helm_values import values_yaml
from stacks.iam import PodIdentities, policy
from stacks.isolation import FleetIsolation
from stacks.job_capacity import capacity_preconditions
from stacks.job_identity import JobIdentity
from stacks.manager_resources import manager_resources
from stacks.node_allocatable import NodeAllocatable
from stacks.runner_config import NEVER_EVICT, runner_toml
from stacks.settings.node_groups import NODE_GROUP_LABEL, NodeGroupSettings
from stacks.settings.runners import FLEET_LABEL, MANAGER_PRIORITY, RunnerSettings
from stacks.steady_pods import AFFINITY, MANAGER_LABELS
from stacks.versions import GITLAB_RUNNER_REPOSITORY

NAME = "gitlab-runner"
TOKEN_SECRET = "gitlab-runner-token"  # noqa: S105 - the Secret's name, not the token
# The end of a manager's grace, in which it aborts its jobs: up to 10 seconds since the last QUIT, the
# shutdown timeout, and a reserve.
ABORT_SECONDS = 90
SHUTDOWN_TIMEOUT_SECONDS = 60  # for the jobs to end and their pods to go; the runner's own 30 are short
CERTIFICATES_SECRET = "gitlab-certificates"  # noqa: S105 - the Secret's name; certificates are public
METRICS_PORT = 9252
NAMESPACE_DELETE_TIMEOUT = "12m"  # the provider's token for the Kubernetes API is valid for 15 minutes

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


class ManagerRelease(NamedTuple):
    """The node group, the priority and the chart's version of all managers of a cluster."""

    node_group: str
    priority: PriorityClassV1
    chart_version: str


class RunnerFleet(Construct):
    """One runner of the settings' `runners` map."""

    def __init__(
        self,
        scope: TerraformStack,
        id_: str,
        *,
        name: str,
        identities: PodIdentities,
        managers: ManagerRelease,
        node_groups: Mapping[str, NodeGroupSettings],
        allocatable: NodeAllocatable,
        cache: RunnerCache,
        protect_running_jobs: bool,
        settings: RunnerSettings,
    ) -> None:
        """Install the fleet `name`; its jobs run on `node_groups`."""
        super().__init__(scope, id_)
        self._stack = scope
        self._name = name
        self._settings = settings
        self.manager_namespace = f"gitlab-runner-{name}"
        self.job_namespace = f"gitlab-jobs-{name}"
        self._namespaces = self._build_namespaces()
        secret = self._build_token_secret(self._read_token_parameter())
        certificates = self._build_certificates_secret()
        cache_access, cache_role_arn = self._grant_cache_access(identities, cache)
        job_identity = self._build_job_identity(identities)
        isolation = FleetIsolation(
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
            cache_role_arn=cache_role_arn,
            protect_running_jobs=protect_running_jobs,
        )
        self.release = self._build_release(
            chart_version=managers.chart_version,
            values=self._build_values(
                config,
                node_group=managers.node_group,
                token_version=Token.as_string(secret.data_wo_revision_input),
            ),
            depends_on=[
                *self._namespaces,
                *isolation.resources,
                secret,
                *certificates,
                *cache_access,
                *job_identity,
                managers.priority,
            ],
            preconditions=capacity_preconditions(
                scope, fleet=name, settings=settings, node_groups=node_groups, allocatable=allocatable
            ),
        )

    def _build_namespaces(self) -> list[NamespaceV1]:
        # Pod Security's "restricted" refuses every image that runs as root; most job images do.
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

    def _read_token_parameter(self) -> DataAwsSsmParameter:
        """Read the parameter without decryption: state gets its version, never its value."""
        parameter = self._settings.token_parameter
        is_encrypted = Postcondition(
            condition='${self.type == "SecureString"}',
            error_message=(
                f"runners.{self._name}.token_parameter: {parameter} is not a SecureString. "
                "Store the token again with `aws ssm put-parameter --type SecureString`."
            ),
        )
        return DataAwsSsmParameter(
            self,
            "token_parameter",
            name=parameter,
            with_decryption=False,
            lifecycle=TerraformResourceLifecycle(postcondition=[is_encrypted]),
        )

    def _build_token_secret(self, parameter: DataAwsSsmParameter) -> SecretV1:
        # cdktf 0.21 has no class for ephemeral resources.
        address = f"ephemeral.aws_ssm_parameter.runner_{self._name}_token"
        self._stack.add_override(address, {"arn": parameter.arn})
        # Not a postcondition of the ephemeral resource: `terraform show -json` of 1.11 crashes on one.
        is_runner_token = Precondition(
            condition=f'${{startswith({address}.value, "glrt-")}}',
            error_message=(
                f"runners.{self._name}.token_parameter: the value of {self._settings.token_parameter} does "
                "not begin with glrt-. Accepted: the authentication token that GitLab shows when a runner "
                "is created; a registration token is not accepted."
            ),
        )
        return SecretV1(
            self,
            "token_secret",
            metadata={"name": TOKEN_SECRET, "namespace": self.manager_namespace},
            data_wo={
                "runner-token": f"${{{address}.value}}",
                "runner-registration-token": "",  # the chart mounts both keys
            },
            data_wo_revision=Token.as_number(parameter.version),
            depends_on=list(self._namespaces),
            lifecycle=TerraformResourceLifecycle(precondition=[is_runner_token]),
        )

    def _build_certificates_secret(self) -> list[ITerraformDependable]:
        """Store the certificates of GitLab's private authority where the chart mounts them.

        GitLab Runner, "Configure the GitLab Runner Helm chart", "Access GitLab with a custom certificate":
        the runner reads `<host>.crt`. It passes the content to each job as CI_SERVER_TLS_CA_FILE
        ("Self-signed certificates or custom Certification Authorities", "Git cloning").
        """
        if not self._settings.tls_ca:
            return []
        return [
            SecretV1(
                self,
                "certificates_secret",
                metadata={"name": CERTIFICATES_SECRET, "namespace": self.manager_namespace},
                data={f"{self._settings.gitlab_host}.crt": self._settings.tls_ca},
                depends_on=list(self._namespaces),
            )
        ]

    def _grant_cache_access(
        self, identities: PodIdentities, cache: RunnerCache
    ) -> tuple[list[ITerraformDependable], str | None]:
        """Give the manager a role for its cache; jobs get access to single objects from it, not the role.

        Returns the resources that must exist before the manager starts, and the ARN of the role for
        multipart transfers, if there is one.
        """
        if not self._settings.cache:
            return [], None
        name = f"runner-{self._name}"
        manager, association = identities.assign_role(
            self, name=name, namespace=self.manager_namespace, service_account=NAME
        )
        statements = [cache.access_statement(self._name)]
        transfer_role_arn = None
        if self._settings.cache_multipart:
            transfer_role_arn = cache.build_transfer_role(self, prefix=self._name, manager=manager).arn
            statements.append({"Action": ["sts:AssumeRole", "sts:TagSession"], "Resource": transfer_role_arn})
        permissions = IamRolePolicy(self, "policy", name=name, role=manager.name, policy=policy(*statements))
        return [permissions, association], transfer_role_arn

    def _build_job_identity(self, identities: PodIdentities) -> list[ITerraformDependable]:
        if not self._settings.job_policy_arns:
            return []
        return JobIdentity(
            self,
            "job_identity",
            fleet=self._name,
            namespace=self.job_namespace,
            identities=identities,
            policy_arns=self._settings.job_policy_arns,
            depends_on=list(self._namespaces),
        ).resources

    def _build_release(
        self,
        *,
        chart_version: str,
        values: str,
        depends_on: list[ITerraformDependable],
        preconditions: list[Precondition],
    ) -> Release:
        return Release(
            self,
            "release",
            name=NAME,
            namespace=self.manager_namespace,
            repository=GITLAB_RUNNER_REPOSITORY,
            chart=NAME,
            version=chart_version,
            wait=True,
            timeout=600,
            max_history=5,
            values=[values],
            depends_on=depends_on,
            lifecycle=TerraformResourceLifecycle(precondition=preconditions),
        )

    def _place_managers(self) -> dict[str, Any]:
        """Prefer a node that a manager or the autoscaler already holds.

        Several managers of one fleet prefer different nodes, so that the failure of a node stops one.
        """
        if self._settings.replicas == 1:
            return {"affinity": AFFINITY}
        spread = {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": MANAGER_LABELS},
        }
        return {"topologySpreadConstraints": [spread]}

    def _write_pre_stop_hook(self) -> str:
        """Return the shell script that runs before Kubernetes stops a manager.

        QUIT lets running jobs finish. The script repeats it, since the chart's start script ignores a
        signal that comes before the runner is up. When the grace nears its end, one TERM aborts the jobs:
        the runner tells GitLab (runner_system_failure) and removes their pods. A second TERM would end the
        runner before that, and so would the signal that Kubernetes sends after the script. So the script
        waits until the runner has exited; its container then ends, and the script with it.
        """
        seconds = self._settings.termination_grace_period_seconds - ABORT_SECONDS
        return (
            f"end=$(($(date +%s) + {seconds}))\n"
            'while kill -QUIT 1 && [ "$(date +%s)" -lt "$end" ]; do sleep 10; done\n'
            "kill -TERM 1\n"
            "while kill -0 1; do sleep 1; done\n"
        )

    def _build_values(self, config: str, *, node_group: str, token_version: str) -> str:
        tls_ca = self._settings.tls_ca
        checksum = {"tls-ca-sha256": hashlib.sha256(tls_ca.encode()).hexdigest()} if tls_ca else {}
        return values_yaml(
            {
                "fullnameOverride": NAME,
                "gitlabUrl": self._settings.gitlab_url,
                **({"certsSecretName": CERTIFICATES_SECRET} if tls_ca else {}),
                "concurrent": self._settings.concurrent,
                "replicas": self._settings.replicas,
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
                "unregisterRunners": False,  # true would add the chart's own preStop hook
                "deploymentLifecycle": {
                    "preStop": {"exec": {"command": ["/bin/sh", "-c", self._write_pre_stop_hook()]}}
                },
                "terminationGracePeriodSeconds": self._settings.termination_grace_period_seconds,
                "shutdown_timeout": SHUTDOWN_TIMEOUT_SECONDS,
                # The chart's probe fails while GitLab does not answer. A restart would not help then: it
                # would stop the manager as an update does. Only a day of failures restarts it.
                "livenessProbe": {"periodSeconds": 300, "failureThreshold": 288},
                "probeTimeoutSeconds": 10,
                "priorityClassName": MANAGER_PRIORITY,
                "nodeSelector": {NODE_GROUP_LABEL: node_group},
                **self._place_managers(),
                # A new token or certificate changes an annotation, so Kubernetes replaces the manager's pod.
                "podAnnotations": {
                    **NEVER_EVICT,
                    "runner-token-version": token_version,
                    **checksum,
                },
                "podSecurityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
                "resources": manager_resources(self._settings.manager, concurrent=self._settings.concurrent),
            }
        )
