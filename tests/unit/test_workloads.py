"""The JSON of the workloads stack."""

import json
import re
from collections.abc import Callable
from typing import Any

from tests.environments import Synthesized
from tests.environments import runner_values as fleets

REPOSITORIES = {
    "cluster-autoscaler": "https://kubernetes.github.io/autoscaler",
    "gitlab-runner": "https://charts.gitlab.io",
}
SECOND_FLEET = {
    "runners.untrusted": {"token_parameter": "/cicd/runners/untrusted/token", "privileged": False}
}


def pod_security(workloads: dict[str, Any]) -> dict[str, str]:
    """Return the enforced Pod Security level of each namespace."""
    return {
        namespace["metadata"]["name"]: namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        for namespace in workloads["resource"]["kubernetes_namespace_v1"].values()
    }


def test_helm_and_kubernetes_providers_use_the_applied_cluster(example: Synthesized) -> None:
    """Both providers get endpoint and CA from the cluster's state, and an ephemeral token."""
    providers = example["workloads"]["provider"]
    (kubernetes,) = providers["kubernetes"]
    (helm,) = providers["helm"]
    outputs = "data.terraform_remote_state.cluster.outputs"
    assert (
        kubernetes
        == helm["kubernetes"]
        == {
            "host": f"${{{outputs}.cluster_endpoint}}",
            "cluster_ca_certificate": f"${{base64decode({outputs}.cluster_certificate_authority_data)}}",
            "token": "${ephemeral.aws_eks_cluster_auth.cluster_admin.token}",
        }
    )
    assert set(helm) == {"kubernetes"}


def test_the_cluster_token_is_of_the_admin_role(example: Synthesized) -> None:
    """The token comes from an AWS provider that assumes the cluster-admin role."""
    outputs = "data.terraform_remote_state.cluster.outputs"
    token = example["workloads"]["ephemeral"]["aws_eks_cluster_auth"]["cluster_admin"]
    (provider,) = (
        item
        for item in example["workloads"]["provider"]["aws"]
        if f"aws.{item.get('alias')}" == token["provider"]
    )
    assert token["name"] == f"${{{outputs}.cluster_name}}"
    assert provider["assume_role"] == [{"role_arn": f"${{{outputs}.cluster_admin_role_arn}}"}]


def test_only_the_cluster_token_needs_the_admin_role(example: Synthesized) -> None:
    """No resource or data source uses the provider of the cluster-admin role."""
    kinds = example["workloads"]["resource"] | example["workloads"]["data"]
    for resources in kinds.values():
        assert all("provider" not in resource for resource in resources.values())


def test_charts_have_an_official_source_and_one_version(example: Synthesized) -> None:
    """Every release names the official repository and an exact version of the chart."""
    releases = example["workloads"]["resource"]["helm_release"].values()
    assert {release["chart"] for release in releases} == set(REPOSITORIES)
    for release in releases:
        assert release["repository"] == REPOSITORIES[release["chart"]]
        assert re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", release["version"])


def test_a_release_is_done_when_its_pods_are_ready(example: Synthesized) -> None:
    """Terraform waits for the pods, so the workload runs after a successful apply."""
    for release in example["workloads"]["resource"]["helm_release"].values():
        assert release["wait"] is True


def test_a_role_of_pods_is_for_one_service_account_of_this_cluster(example: Synthesized) -> None:
    """The role of a pod identity trusts only that cluster, namespace and service account."""
    resources = example["workloads"]["resource"]
    associations = resources["aws_eks_pod_identity_association"].values()
    assert associations
    for association in associations:
        name = association["role_arn"].removeprefix("${aws_iam_role.").removesuffix(".arn}")
        (statement,) = json.loads(resources["aws_iam_role"][name]["assume_role_policy"])["Statement"]
        assert statement["Principal"] == {"Service": "pods.eks.amazonaws.com"}
        assert statement["Action"] == ["sts:AssumeRole", "sts:TagSession"]
        assert statement["Condition"]["StringEquals"] == {
            "aws:RequestTag/eks-cluster-arn": "${data.terraform_remote_state.cluster.outputs.cluster_arn}",
            "aws:RequestTag/kubernetes-namespace": association["namespace"],
            "aws:RequestTag/kubernetes-service-account": association["service_account"],
        }


def test_every_role_is_for_pods(example: Synthesized) -> None:
    """No role of this stack is without a pod identity that uses it."""
    resources = example["workloads"]["resource"]
    used = {item["role_arn"] for item in resources["aws_eks_pod_identity_association"].values()}
    assert {f"${{aws_iam_role.{name}.arn}}" for name in resources["aws_iam_role"]} == used


def test_the_autoscaler_resizes_groups_of_this_cluster_only(example: Synthesized) -> None:
    """The autoscaler may change an Auto Scaling group only if it has both discovery tags."""
    (cluster,) = example["cluster"]["resource"]["aws_eks_cluster"].values()
    policies = example["workloads"]["resource"]["aws_iam_role_policy"].values()
    statements = [item for each in policies for item in json.loads(each["policy"])["Statement"]]
    (resizing,) = (item for item in statements if "autoscaling:SetDesiredCapacity" in item["Action"])
    assert resizing["Action"] == [
        "autoscaling:SetDesiredCapacity",
        "autoscaling:TerminateInstanceInAutoScalingGroup",
    ]
    assert resizing["Condition"] == {
        "StringEquals": {
            "aws:ResourceTag/k8s.io/cluster-autoscaler/enabled": "true",
            f"aws:ResourceTag/k8s.io/cluster-autoscaler/{cluster['name']}": "owned",
        }
    }


def test_wildcard_resources_are_for_reading_only(example: Synthesized) -> None:
    """A statement on `*` without a condition allows only Describe and Get."""
    policies = example["workloads"]["resource"]["aws_iam_role_policy"].values()
    for statement in (item for each in policies for item in json.loads(each["policy"])["Statement"]):
        if statement["Resource"] == "*" and "Condition" not in statement:
            assert all(re.match(r"[a-z0-9]+:(Describe|Get)[A-Z]", action) for action in statement["Action"])


def test_the_token_goes_into_the_secret_without_being_stored(example: Synthesized) -> None:
    """The Secret is write-only; it has both keys that the chart mounts, and the token is ephemeral."""
    (secret,) = example["workloads"]["resource"]["kubernetes_secret_v1"].values()
    (token,) = example["workloads"]["ephemeral"]["aws_ssm_parameter"]
    assert "data" not in secret
    assert secret["data_wo"] == {
        "runner-token": f"${{ephemeral.aws_ssm_parameter.{token}.value}}",
        "runner-registration-token": "",
    }


def test_ephemeral_values_reach_the_secret_and_the_providers_only(
    synthesize_changed: Callable[..., Synthesized],
) -> None:
    """No other resource, data source or output has an ephemeral value."""
    workloads = synthesize_changed(SECOND_FLEET)["workloads"]
    for secret in workloads["resource"]["kubernetes_secret_v1"].values():
        assert "ephemeral." in json.dumps(secret.pop("data_wo"))
        assert "ephemeral." not in secret["lifecycle"].pop("precondition")[0]["error_message"]
    for block in ("resource", "data", "output"):
        assert "ephemeral." not in json.dumps(workloads[block])


def test_a_rotated_token_is_written_again(example: Synthesized) -> None:
    """The Secret's revision is the version of the token's SSM parameter."""
    ((name, parameter),) = example["workloads"]["data"]["aws_ssm_parameter"].items()
    (secret,) = example["workloads"]["resource"]["kubernetes_secret_v1"].values()
    (token,) = example["workloads"]["ephemeral"]["aws_ssm_parameter"].values()
    assert parameter["name"] == "/cicd/runners/default/token"
    assert token["arn"] == f"${{data.aws_ssm_parameter.{name}.arn}}"
    assert secret["data_wo_revision"] == f"${{data.aws_ssm_parameter.{name}.version}}"


def test_a_rotated_token_replaces_the_managers_pod(synthesize_changed: Callable[..., Synthesized]) -> None:
    """An annotation of the pod is its Secret's revision, so Kubernetes replaces the pod for a new token."""
    workloads = synthesize_changed(SECOND_FLEET)["workloads"]
    revisions = {
        secret["metadata"]["namespace"]: secret["data_wo_revision"]
        for secret in workloads["resource"]["kubernetes_secret_v1"].values()
    }
    assert len(set(revisions.values())) == 2
    for release, values in fleets(workloads):
        assert revisions[release["namespace"]] in values["podAnnotations"].values()


def test_state_never_holds_the_tokens_plaintext(example: Synthesized) -> None:
    """The data source, which state stores, reads the parameter without decryption."""
    for parameter in example["workloads"]["data"]["aws_ssm_parameter"].values():
        assert parameter["with_decryption"] is False


def test_a_token_in_a_plain_parameter_is_refused(example: Synthesized) -> None:
    """A parameter that is not a SecureString fails the plan; the message names the setting and the remedy."""
    (parameter,) = example["workloads"]["data"]["aws_ssm_parameter"].values()
    (check,) = parameter["lifecycle"]["postcondition"]
    assert check["condition"] == '${self.type == "SecureString"}'
    assert "runners.default.token_parameter" in check["error_message"]
    assert parameter["name"] in check["error_message"]
    assert "--type SecureString" in check["error_message"]


def test_the_manager_reads_the_secret_of_its_namespace(
    synthesize_changed: Callable[..., Synthesized],
) -> None:
    """The Secret of a release is in the release's namespace, and Terraform creates it first."""
    workloads = synthesize_changed(SECOND_FLEET)["workloads"]
    secrets = {
        (secret["metadata"]["namespace"], secret["metadata"]["name"]): f"kubernetes_secret_v1.{address}"
        for address, secret in workloads["resource"]["kubernetes_secret_v1"].items()
    }
    for release, values in fleets(workloads):
        assert secrets[release["namespace"], values["runners"]["secret"]] in release["depends_on"]


def test_no_token_is_a_helm_value(example: Synthesized) -> None:
    """Helm stores values in the release and Terraform in state, so no value is a token."""
    for release in example["workloads"]["resource"]["helm_release"].values():
        assert not {"set", "set_list", "set_sensitive", "set_wo"} & set(release)
        (values,) = release["values"]
        assert not re.search(r"runnerToken|runnerRegistrationToken|glrt-|ephemeral\.", values)


def test_jobs_do_not_share_a_namespace_with_a_manager(
    synthesize_changed: Callable[..., Synthesized],
) -> None:
    """Each fleet has a namespace for its manager, which holds the token, and another for its jobs."""
    workloads = synthesize_changed(SECOND_FLEET)["workloads"]
    managers = [release["namespace"] for release, _ in fleets(workloads)]
    jobs = [values["runners"]["jobNamespace"] for _, values in fleets(workloads)]
    assert len(managers) == 2
    assert len({*managers, *jobs}) == 4
    assert {*managers, *jobs} <= set(pod_security(workloads))


def test_releases_wait_for_their_namespaces(example: Synthesized) -> None:
    """Terraform creates the namespaces before a release, and destroys them after it."""
    namespaces = {
        namespace["metadata"]["name"]: f"kubernetes_namespace_v1.{address}"
        for address, namespace in example["workloads"]["resource"]["kubernetes_namespace_v1"].items()
    }
    for release, values in fleets(example["workloads"]):
        for namespace in (release["namespace"], values["runners"]["jobNamespace"]):
            assert namespaces[namespace] in release["depends_on"]


def test_managers_are_restricted(synthesize_changed: Callable[..., Synthesized]) -> None:
    """Pod Security admits only restricted pods in a namespace that has a token."""
    workloads = synthesize_changed(SECOND_FLEET)["workloads"]
    for release, _ in fleets(workloads):
        assert pod_security(workloads)[release["namespace"]] == "restricted"


def test_only_a_privileged_fleet_may_run_privileged_pods(
    synthesize_changed: Callable[..., Synthesized],
) -> None:
    """Pod Security admits privileged job pods only in the namespace of a privileged fleet."""
    workloads = synthesize_changed(SECOND_FLEET)["workloads"]
    levels = {
        values["runners"]["name"]: pod_security(workloads)[values["runners"]["jobNamespace"]]
        for _, values in fleets(workloads)
    }
    assert levels["default"] == "privileged"
    assert levels["untrusted"] in {"baseline", "restricted"}


def test_a_manager_has_the_documented_permissions_only(example: Synthesized) -> None:
    """The permissions of a manager are exactly the minimum that GitLab Runner documents."""
    for _, values in fleets(example["workloads"]):
        assert values["rbac"]["create"] is True
        assert not values["rbac"].get("clusterWideAccess", False)
        granted = {
            (group, resource): set(rule["verbs"])
            for rule in values["rbac"]["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
        }
        assert granted == {
            ("", "events"): {"list", "watch"},
            ("", "pods"): {"create", "delete", "get", "list", "watch"},
            ("", "pods/attach"): {"create", "delete", "get", "patch"},
            ("", "pods/exec"): {"create", "delete", "get", "patch"},
            ("", "pods/log"): {"get", "list"},
            ("", "secrets"): {"create", "delete", "get", "update"},
            ("", "serviceaccounts"): {"get"},
            ("", "services"): {"create", "get"},
        }


def test_a_manager_has_a_service_account_of_its_own(example: Synthesized) -> None:
    """The namespace's default service account gets no permissions."""
    for _, values in fleets(example["workloads"]):
        assert values["serviceAccount"]["create"] is True
        assert values["serviceAccount"]["name"] not in {"", "default"}


def test_managers_run_where_a_node_always_is(example: Synthesized) -> None:
    """Their node group has a minimum of one node and no taints, and the autoscaler does not evict them."""
    groups = example["cluster"]["resource"]["aws_eks_node_group"].values()
    for _, values in fleets(example["workloads"]):
        selected = [group for group in groups if values["nodeSelector"].items() <= group["labels"].items()]
        assert any(group["scaling_config"]["min_size"] > 0 and not group["taint"] for group in selected)
        assert values["podAnnotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"


def test_managers_are_scheduled_before_jobs_and_end_none(example: Synthesized) -> None:
    """Their priority is above that of job pods and below the system's; a Pending manager evicts no pod."""
    (priority,) = example["workloads"]["resource"]["kubernetes_priority_class_v1"].values()
    assert 0 < priority["value"] < 1_000_000_000
    assert priority["preemption_policy"] == "Never"
    assert not priority.get("global_default")
    for release, values in fleets(example["workloads"]):
        assert values["priorityClassName"] == priority["metadata"]["name"]
        assert "kubernetes_priority_class_v1.manager_priority" in release["depends_on"]


def test_managers_share_a_node_with_each_other_and_the_autoscaler(example: Synthesized) -> None:
    """The autoscaler removes no node with one of them, so they prefer the same node."""
    for _, values in fleets(example["workloads"]):
        preferred = values["affinity"]["podAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
        terms = [term["podAffinityTerm"] for term in preferred]
        assert [term["labelSelector"]["matchLabels"] for term in terms] == [
            {"app": "gitlab-runner"},
            {"app.kubernetes.io/instance": "cluster-autoscaler"},
        ]
        assert {term["topologyKey"] for term in terms} == {"kubernetes.io/hostname"}
        assert terms[1]["namespaces"] == ["kube-system"]


def test_several_managers_of_a_fleet_prefer_different_nodes(
    synthesize_changed: Callable[..., Synthesized],
) -> None:
    """Only the spread counts for them: an affinity to other managers would bring them together again."""
    ((_, values),) = fleets(synthesize_changed({"runners.default.replicas": 2})["workloads"])
    assert values["topologySpreadConstraints"][0]["whenUnsatisfiable"] == "ScheduleAnyway"
    assert "affinity" not in values


def test_an_outage_of_gitlab_restarts_no_manager(example: Synthesized) -> None:
    """The probe fails while GitLab does not answer; only a day of failures has a restart."""
    for _, values in fleets(example["workloads"]):
        probe = values["livenessProbe"]
        assert probe["periodSeconds"] * probe["failureThreshold"] >= 24 * 60 * 60
        assert values["probeTimeoutSeconds"] > 4


def test_a_release_waits_for_the_boundaries_of_its_fleet(example: Synthesized) -> None:
    """Policies, quota, limits and disruption budget exist before the first job, and until the last."""
    resources = example["workloads"]["resource"]
    boundaries = {
        f"kubernetes_{kind}_v1.{address}"
        for kind in ("network_policy", "resource_quota", "limit_range", "pod_disruption_budget")
        for address in resources[f"kubernetes_{kind}_v1"]
    }
    assert len(boundaries) == 5
    for release, _ in fleets(example["workloads"]):
        assert boundaries <= set(release["depends_on"])


def test_settings_of_a_fleet_reach_its_release(synthesize_changed: Callable[..., Synthesized]) -> None:
    """GitLab's URL and the number of concurrent jobs come from the settings."""
    changes = {"runners.default.gitlab_url": "https://gitlab.example.com", "runners.default.concurrent": 7}
    ((_, values),) = fleets(synthesize_changed(changes)["workloads"])
    assert values["gitlabUrl"] == "https://gitlab.example.com"
    assert values["concurrent"] == 7


def test_the_managers_metrics_are_exposed(
    synthesize_changed: Callable[..., Synthesized], example: Synthesized
) -> None:
    """They are on the port that the network policy opens; a PodMonitor exists only with `pod_monitor`."""
    ((_, values),) = fleets(example["workloads"])
    assert values["metrics"] == {"enabled": True, "port": 9252, "podMonitor": {"enabled": False}}
    ((_, values),) = fleets(synthesize_changed({"runners.default.pod_monitor": True})["workloads"])
    assert values["metrics"]["podMonitor"] == {"enabled": True}


def test_a_manager_has_requests_and_a_seccomp_profile(example: Synthesized) -> None:
    """Pod Security "restricted" requires the profile; the requests reserve the manager's share of a node."""
    ((_, values),) = fleets(example["workloads"])
    assert values["podSecurityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}}
    assert values["resources"] == {
        "requests": {"cpu": "100m", "memory": "128Mi"},
        "limits": {"memory": "512Mi"},
    }
    assert values["replicas"] == 1
    assert values["unregisterRunners"] is False


def test_a_second_fleet_does_not_change_the_first(
    synthesize_changed: Callable[..., Synthesized], example: Synthesized
) -> None:
    """Every resource of the first fleet keeps its address and arguments."""
    more = synthesize_changed(SECOND_FLEET)["workloads"]["resource"]
    for kind, resources in example["workloads"]["resource"].items():
        assert {name: more[kind].get(name) for name in resources} == resources


def test_several_managers_share_a_fleet(
    synthesize_changed: Callable[..., Synthesized], example: Synthesized
) -> None:
    """They prefer different nodes; a fleet of one manager has no such rule."""
    ((_, values),) = fleets(synthesize_changed({"runners.default.replicas": 3})["workloads"])
    assert values["replicas"] == 3
    (spread,) = values["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    assert spread["whenUnsatisfiable"] == "ScheduleAnyway"
    assert spread["labelSelector"]["matchLabels"] == {"app": values["fullnameOverride"]}
    ((_, values),) = fleets(example["workloads"])
    assert values["replicas"] == 1
    assert "topologySpreadConstraints" not in values


def test_jobs_of_all_managers_have_room(synthesize_changed: Callable[..., Synthesized]) -> None:
    """Each of the managers runs `concurrent` jobs, and the disruption budget covers them all."""
    workloads = synthesize_changed({"runners.default.replicas": 3})["workloads"]["resource"]
    (budget,) = workloads["kubernetes_pod_disruption_budget_v1"].values()
    assert int(budget["spec"]["min_available"]) >= 3 * 10
