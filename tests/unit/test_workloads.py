"""The workloads stack's JSON, read as its users would."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from ruamel.yaml import YAML

from tests.environments import Synthesized

REPOSITORIES = {
    "cluster-autoscaler": "https://kubernetes.github.io/autoscaler",
    "gitlab-runner": "https://charts.gitlab.io",
}
SECOND_FLEET = {
    "runners.untrusted": {"token_parameter": "/cicd/runners/untrusted/token", "privileged": False}
}


def fleets(workloads: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield the release of each runner fleet with its Helm values."""
    for release in workloads["resource"]["helm_release"].values():
        if release["chart"] == "gitlab-runner":
            (values,) = release["values"]
            yield release, YAML(typ="safe").load(values)


def pod_security(workloads: dict[str, Any]) -> dict[str, str]:
    """Return the enforced Pod Security level of each namespace."""
    return {
        namespace["metadata"]["name"]: namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        for namespace in workloads["resource"]["kubernetes_namespace_v1"].values()
    }


def test_the_kubernetes_side_is_reached_as_the_applied_cluster_says(example: Synthesized) -> None:
    """Both providers get endpoint and CA from the cluster's state, and a token that is never stored."""
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


def test_the_cluster_token_is_the_admin_roles(example: Synthesized) -> None:
    """The token is obtained through a provider that has assumed the cluster-admin role."""
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
    """Nothing but the cluster's token is made through the provider with the cluster-admin role."""
    kinds = example["workloads"]["resource"] | example["workloads"]["data"]
    for resources in kinds.values():
        assert all("provider" not in resource for resource in resources.values())


def test_charts_come_from_their_makers_in_one_version(example: Synthesized) -> None:
    """Every release names the official repository and an exact version of the chart."""
    releases = example["workloads"]["resource"]["helm_release"].values()
    assert {release["chart"] for release in releases} == set(REPOSITORIES)
    for release in releases:
        assert release["repository"] == REPOSITORIES[release["chart"]]
        assert re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", release["version"])


def test_a_release_is_done_when_its_pods_are_ready(example: Synthesized) -> None:
    """Terraform waits, so that an apply that succeeds means a workload that runs."""
    for release in example["workloads"]["resource"]["helm_release"].values():
        assert release["wait"] is True


def test_a_role_of_pods_is_for_one_service_account_of_this_cluster(example: Synthesized) -> None:
    """Each pod identity's role trusts that cluster, namespace and service account and nobody else."""
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
    """What changes an Auto Scaling group is allowed only where both discovery tags are on it."""
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


def test_what_is_allowed_on_everything_is_only_looking(example: Synthesized) -> None:
    """A statement on `*` without a condition allows nothing but Describe and Get."""
    policies = example["workloads"]["resource"]["aws_iam_role_policy"].values()
    for statement in (item for each in policies for item in json.loads(each["policy"])["Statement"]):
        if statement["Resource"] == "*" and "Condition" not in statement:
            assert all(re.match(r"[a-z0-9]+:(Describe|Get)[A-Z]", action) for action in statement["Action"])


def test_the_token_goes_into_the_secret_without_being_stored(example: Synthesized) -> None:
    """The Secret is write-only: both keys that the chart mounts, the token an ephemeral value."""
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
    """No resource, output or data source besides takes a value that must not be stored."""
    workloads = synthesize_changed(SECOND_FLEET)["workloads"]
    for secret in workloads["resource"]["kubernetes_secret_v1"].values():
        assert "ephemeral." in json.dumps(secret.pop("data_wo"))
        assert "ephemeral." not in secret["lifecycle"].pop("precondition")[0]["error_message"]
    for block in ("resource", "data", "output"):
        assert "ephemeral." not in json.dumps(workloads[block])


def test_a_rotated_token_is_written_again(example: Synthesized) -> None:
    """The Secret's revision is the version of the SSM parameter that the token is read from."""
    ((name, parameter),) = example["workloads"]["data"]["aws_ssm_parameter"].items()
    (secret,) = example["workloads"]["resource"]["kubernetes_secret_v1"].values()
    (token,) = example["workloads"]["ephemeral"]["aws_ssm_parameter"].values()
    assert parameter["name"] == "/cicd/runners/default/token"
    assert token["arn"] == f"${{data.aws_ssm_parameter.{name}.arn}}"
    assert secret["data_wo_revision"] == f"${{data.aws_ssm_parameter.{name}.version}}"


def test_a_rotated_token_rolls_the_manager(synthesize_changed: Callable[..., Synthesized]) -> None:
    """An annotation of the manager's pod is its own Secret's revision, so a new token means a new pod."""
    workloads = synthesize_changed(SECOND_FLEET)["workloads"]
    revisions = {
        secret["metadata"]["namespace"]: secret["data_wo_revision"]
        for secret in workloads["resource"]["kubernetes_secret_v1"].values()
    }
    assert len(set(revisions.values())) == 2
    for release, values in fleets(workloads):
        assert revisions[release["namespace"]] in values["podAnnotations"].values()


def test_state_never_holds_the_tokens_plaintext(example: Synthesized) -> None:
    """The parameter is described without decryption, since a data source ends up in the state."""
    for parameter in example["workloads"]["data"]["aws_ssm_parameter"].values():
        assert parameter["with_decryption"] is False


def test_a_token_in_a_plain_parameter_is_refused(example: Synthesized) -> None:
    """A parameter that is no SecureString fails the plan, with the setting and the way out named."""
    (parameter,) = example["workloads"]["data"]["aws_ssm_parameter"].values()
    (check,) = parameter["lifecycle"]["postcondition"]
    assert check["condition"] == '${self.type == "SecureString"}'
    assert "runners.default.token_parameter" in check["error_message"]
    assert parameter["name"] in check["error_message"]
    assert "--type SecureString" in check["error_message"]


def test_the_manager_reads_the_secret_of_its_namespace(
    synthesize_changed: Callable[..., Synthesized],
) -> None:
    """The Secret that a release names exists in the release's namespace, and comes before it."""
    workloads = synthesize_changed(SECOND_FLEET)["workloads"]
    secrets = {
        (secret["metadata"]["namespace"], secret["metadata"]["name"]): f"kubernetes_secret_v1.{address}"
        for address, secret in workloads["resource"]["kubernetes_secret_v1"].items()
    }
    for release, values in fleets(workloads):
        assert secrets[release["namespace"], values["runners"]["secret"]] in release["depends_on"]


def test_no_token_is_a_helm_value(example: Synthesized) -> None:
    """Helm stores values in the release and Terraform in the state, so neither gets a token."""
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


def test_namespaces_come_before_what_lives_in_them(example: Synthesized) -> None:
    """A release waits for its namespaces, and on the way down they wait for it."""
    namespaces = {
        namespace["metadata"]["name"]: f"kubernetes_namespace_v1.{address}"
        for address, namespace in example["workloads"]["resource"]["kubernetes_namespace_v1"].items()
    }
    for release, values in fleets(example["workloads"]):
        for namespace in (release["namespace"], values["runners"]["jobNamespace"]):
            assert namespaces[namespace] in release["depends_on"]


def test_managers_are_restricted(synthesize_changed: Callable[..., Synthesized]) -> None:
    """Pod Security admits nothing but restricted pods beside a token."""
    workloads = synthesize_changed(SECOND_FLEET)["workloads"]
    for release, _ in fleets(workloads):
        assert pod_security(workloads)[release["namespace"]] == "restricted"


def test_only_a_privileged_fleet_may_run_privileged_pods(
    synthesize_changed: Callable[..., Synthesized],
) -> None:
    """Pod Security admits privileged job pods where the settings say so, and nowhere else."""
    workloads = synthesize_changed(SECOND_FLEET)["workloads"]
    levels = {
        values["runners"]["name"]: pod_security(workloads)[values["runners"]["jobNamespace"]]
        for _, values in fleets(workloads)
    }
    assert levels["default"] == "privileged"
    assert levels["untrusted"] in {"baseline", "restricted"}


def test_a_manager_may_do_what_runner_documents_and_no_more(example: Synthesized) -> None:
    """The manager's permissions are GitLab Runner's documented minimum, exactly."""
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
    """The permissions are not given to the namespace's default service account."""
    for _, values in fleets(example["workloads"]):
        assert values["serviceAccount"]["create"] is True
        assert values["serviceAccount"]["name"] not in {"", "default"}


def test_managers_live_on_the_steady_group_and_are_not_evicted(example: Synthesized) -> None:
    """A manager's node is of a group that never is empty, and the autoscaler leaves it alone."""
    groups = example["cluster"]["resource"]["aws_eks_node_group"].values()
    for _, values in fleets(example["workloads"]):
        selected = [group for group in groups if values["nodeSelector"].items() <= group["labels"].items()]
        assert any(group["scaling_config"]["min_size"] > 0 and not group["taint"] for group in selected)
        assert values["podAnnotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"


def test_a_manager_lets_running_jobs_finish(example: Synthesized) -> None:
    """Before it goes a manager is asked to quit (QUIT), with time for its jobs, not told to (TERM)."""
    for _, values in fleets(example["workloads"]):
        assert "kill -QUIT 1" in " ".join(values["deploymentLifecycle"]["preStop"]["exec"]["command"])
        assert values["terminationGracePeriodSeconds"] >= 3600


def test_settings_of_a_fleet_reach_its_release(synthesize_changed: Callable[..., Synthesized]) -> None:
    """GitLab's URL and the number of jobs at once are the settings'."""
    changes = {"runners.default.gitlab_url": "https://gitlab.example.com", "runners.default.concurrent": 7}
    ((_, values),) = fleets(synthesize_changed(changes)["workloads"])
    assert values["gitlabUrl"] == "https://gitlab.example.com"
    assert values["concurrent"] == 7


def test_the_managers_metrics_are_exposed(
    synthesize_changed: Callable[..., Synthesized], example: Synthesized
) -> None:
    """Always on the port that the network policy opens; a PodMonitor only where it is asked for."""
    ((_, values),) = fleets(example["workloads"])
    assert values["metrics"] == {"enabled": True, "port": 9252, "podMonitor": {"enabled": False}}
    ((_, values),) = fleets(synthesize_changed({"runners.default.pod_monitor": True})["workloads"])
    assert values["metrics"]["podMonitor"] == {"enabled": True}


def test_a_manager_has_requests_and_a_seccomp_profile(example: Synthesized) -> None:
    """What Pod Security "restricted" and a fair share of the steady node ask for."""
    ((_, values),) = fleets(example["workloads"])
    assert values["podSecurityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}}
    assert values["resources"] == {
        "requests": {"cpu": "100m", "memory": "128Mi"},
        "limits": {"memory": "512Mi"},
    }
    assert values["replicas"] == 1
    assert values["unregisterRunners"] is False


def test_a_further_fleet_changes_nothing_of_the_first(
    synthesize_changed: Callable[..., Synthesized], example: Synthesized
) -> None:
    """With a second fleet, every resource of the first keeps its address and arguments."""
    more = synthesize_changed(SECOND_FLEET)["workloads"]["resource"]
    for kind, resources in example["workloads"]["resource"].items():
        assert {name: more[kind].get(name) for name in resources} == resources
