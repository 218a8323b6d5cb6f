"""The JSON of the cluster stack."""

import json
from collections.abc import Callable
from typing import Any

from tests.environments import Synthesized

SPECIAL_GROUP = {
    "instance_types": ["m5.2xlarge"],
    "min_size": 0,
    "max_size": 2,
    "labels": {"team": "platform", "example.com/purpose": "builds"},
    "taints": [
        {"key": "example.com/builds", "value": "only", "effect": "NO_SCHEDULE"},
        {"key": "drained", "effect": "NO_EXECUTE"},
        {"key": "rather-not", "effect": "PREFER_NO_SCHEDULE"},
    ],
}


def only(stack: dict[str, Any], kind: str) -> tuple[str, dict[str, Any]]:
    """Return address and arguments of the one resource of this kind."""
    ((name, arguments),) = stack["resource"][kind].items()
    return f"{kind}.{name}", arguments


def admin_role(cluster: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return address and arguments of the role that the output `cluster_admin_role_arn` names."""
    address = cluster["output"]["cluster_admin_role_arn"]["value"].removeprefix("${").removesuffix(".arn}")
    kind, name = address.split(".")
    return address, cluster["resource"][kind][name]


def groups_and_tags(cluster: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, str]]]:
    """Return every node group with its Auto Scaling group's node-template tags."""
    prefix = "k8s.io/cluster-autoscaler/node-template/"
    return [
        (
            group,
            {
                item["tag"]["key"].removeprefix(prefix): item["tag"]["value"]
                for item in cluster["resource"]["aws_autoscaling_group_tag"].values()
                if f"aws_eks_node_group.{name}." in item["autoscaling_group_name"]
                and item["tag"]["key"].startswith(prefix)
            },
        )
        for name, group in cluster["resource"]["aws_eks_node_group"].items()
    ]


def test_access_entries_are_the_only_way_in(example: Synthesized) -> None:
    """EKS ignores the aws-auth ConfigMap, and the cluster's creator gets no rights."""
    _, cluster = only(example["cluster"], "aws_eks_cluster")
    assert cluster["access_config"] == {
        "authentication_mode": "API",
        "bootstrap_cluster_creator_admin_permissions": False,
    }


def test_all_control_plane_logs_are_kept(example: Synthesized) -> None:
    """EKS writes every type of log."""
    _, cluster = only(example["cluster"], "aws_eks_cluster")
    assert set(cluster["enabled_cluster_log_types"]) == {
        *("api", "audit", "authenticator", "controllerManager", "scheduler")
    }


def test_logs_have_a_retention_before_eks_writes_any(synthesize_changed: Callable[..., Synthesized]) -> None:
    """Terraform creates the log group before the cluster; otherwise EKS creates it without a retention."""
    stack = synthesize_changed({"cluster.log_retention_days": 7})["cluster"]
    address, logs = only(stack, "aws_cloudwatch_log_group")
    _, cluster = only(stack, "aws_eks_cluster")
    assert logs["name"] == f"/aws/eks/{cluster['name']}/cluster"
    assert logs["retention_in_days"] == 7
    assert address in cluster["depends_on"]


def test_secrets_are_encrypted_with_a_rotated_kms_key(example: Synthesized) -> None:
    """EKS encrypts Kubernetes Secrets with a KMS key of this stack, which rotates."""
    address, key = only(example["cluster"], "aws_kms_key")
    _, cluster = only(example["cluster"], "aws_eks_cluster")
    assert cluster["encryption_config"]["resources"] == ["secrets"]
    assert cluster["encryption_config"]["provider"]["key_arn"] == f"${{{address}.arn}}"
    assert key["enable_key_rotation"] is True


def test_the_api_is_reachable_from_inside_the_vpc(example: Synthesized) -> None:
    """The private endpoint is on, so nodes do not need the internet to reach it."""
    _, cluster = only(example["cluster"], "aws_eks_cluster")
    assert cluster["vpc_config"]["endpoint_private_access"] is True


def test_the_api_is_public_for_the_configured_ranges_only(example: Synthesized) -> None:
    """`endpoint_public_access_cidrs` are the only ranges that may reach the API over the internet."""
    _, cluster = only(example["cluster"], "aws_eks_cluster")
    assert cluster["vpc_config"]["endpoint_public_access"] is True
    assert cluster["vpc_config"]["public_access_cidrs"] == ["203.0.113.0/24"]


def test_without_ranges_the_api_is_not_public(synthesize_changed: Callable[..., Synthesized]) -> None:
    """Without a range there is no public endpoint."""
    stack = synthesize_changed({"cluster.endpoint_public_access_cidrs": None})["cluster"]
    _, cluster = only(stack, "aws_eks_cluster")
    assert cluster["vpc_config"]["endpoint_public_access"] is False
    assert "public_access_cidrs" not in cluster["vpc_config"]


def test_the_cluster_lives_in_the_private_subnets(example: Synthesized) -> None:
    """Control plane and nodes are in the private subnets that the network stack published."""
    private = "data.terraform_remote_state.network.outputs.private_subnet_ids"
    _, cluster = only(example["cluster"], "aws_eks_cluster")
    groups = example["cluster"]["resource"]["aws_eks_node_group"].values()
    assert cluster["vpc_config"]["subnet_ids"] == f"${{{private}}}"
    assert all(private in str(group["subnet_ids"]) for group in groups)


def test_the_own_account_may_assume_the_admin_role(example: Synthesized) -> None:
    """Principals of the account may assume the cluster-admin role if IAM allows it to them."""
    _, role = admin_role(example["cluster"])
    (statement,) = json.loads(role["assume_role_policy"])["Statement"]
    (principal,) = statement["Principal"]["AWS"]
    assert statement["Action"] == ["sts:AssumeRole"]
    assert "data.aws_caller_identity." in principal
    assert principal.endswith(":root")


def test_settings_may_name_further_admins(synthesize_changed: Callable[..., Synthesized]) -> None:
    """`admin_principal_arns` may assume the cluster-admin role besides the account's own."""
    other = "arn:aws:iam::210987654321:role/platform"
    _, role = admin_role(synthesize_changed({"cluster.admin_principal_arns": [other]})["cluster"])
    (statement,) = json.loads(role["assume_role_policy"])["Statement"]
    assert statement["Principal"]["AWS"][0].endswith(":root")
    assert statement["Principal"]["AWS"][1:] == [other]


def test_the_admin_role_administers_the_whole_cluster(example: Synthesized) -> None:
    """Its access entry is bound to EKS's cluster-admin policy, for all namespaces."""
    role, _ = admin_role(example["cluster"])
    address, entry = only(example["cluster"], "aws_eks_access_entry")
    _, association = only(example["cluster"], "aws_eks_access_policy_association")
    assert entry["principal_arn"] == f"${{{role}.arn}}"
    assert association["principal_arn"] == f"${{{address}.principal_arn}}"
    assert association["policy_arn"].endswith(":cluster-access-policy/AmazonEKSClusterAdminPolicy")
    assert association["access_scope"] == {"type": "cluster"}


def test_nodes_run_amazon_linux_2023_from_the_launch_template(example: Synthesized) -> None:
    """Every node group uses AL2023 and the newest version of a launch template of this stack."""
    templates = {
        f"aws_launch_template.{name}" for name in example["cluster"]["resource"]["aws_launch_template"]
    }
    for group in example["cluster"]["resource"]["aws_eks_node_group"].values():
        template = group["launch_template"]["id"].removeprefix("${").removesuffix(".id}")
        assert template in templates
        assert group["launch_template"]["version"] == f"${{{template}.latest_version}}"
        assert group["ami_type"].startswith("AL2023_")


def test_node_disks_are_encrypted_gp3(synthesize_changed: Callable[..., Synthesized]) -> None:
    """Every volume of a node is encrypted, of type gp3 and `disk_size_gib`; EC2 deletes it with the node."""
    sizes = {"cluster.node_groups.main.disk_size_gib": 50, "cluster.node_groups.big.disk_size_gib": 50}
    for template in synthesize_changed(sizes)["cluster"]["resource"]["aws_launch_template"].values():
        for mapping in template["block_device_mappings"]:
            assert mapping["ebs"]["encrypted"] == "true"
            assert mapping["ebs"]["delete_on_termination"] == "true"
            assert mapping["ebs"]["volume_type"] == "gp3"
            assert mapping["ebs"]["volume_size"] == 50


def test_the_tags_reach_what_costs_money(example: Synthesized) -> None:
    """Instances, volumes, network interfaces and Auto Scaling groups have the tags of the settings."""
    cluster = example["cluster"]
    wanted = {"environment": "example", "project": "cicd"}
    for template in cluster["resource"]["aws_launch_template"].values():
        tagged = {item["resource_type"]: item["tags"] for item in template["tag_specifications"]}
        assert tagged.keys() == {"instance", "volume", "network-interface"}
        assert all(tags == {"Name": template["name"], **wanted} for tags in tagged.values())
    groups = cluster["resource"]["aws_eks_node_group"]
    tags = [item for item in cluster["resource"]["aws_autoscaling_group_tag"].values() if "for_each" in item]
    assert len(tags) == len(groups)
    assert {item["autoscaling_group_name"].split(".")[1] for item in tags} == groups.keys()
    assert all(item["for_each"] == wanted for item in tags)


def test_pods_cannot_reach_the_nodes_credentials(example: Synthesized) -> None:
    """The metadata service requires a token (IMDSv2), and its answer has a hop limit of 1."""
    for template in example["cluster"]["resource"]["aws_launch_template"].values():
        assert template["metadata_options"]["http_tokens"] == "required"
        assert template["metadata_options"]["http_put_response_hop_limit"] == 1


def test_nodes_have_no_ssh_key(example: Synthesized) -> None:
    """Neither launch templates nor node groups name an SSH key."""
    for template in example["cluster"]["resource"]["aws_launch_template"].values():
        assert "key_name" not in template
    for group in example["cluster"]["resource"]["aws_eks_node_group"].values():
        assert "remote_access" not in group


def test_the_autoscaler_knows_the_labels_of_an_empty_group(
    synthesize_changed: Callable[..., Synthesized],
) -> None:
    """Every label of a node group is also a node-template tag of its Auto Scaling group."""
    cluster = synthesize_changed({"cluster.node_groups.special": SPECIAL_GROUP})["cluster"]
    for group, tags in groups_and_tags(cluster):
        expected = {f"label/{key}": value for key, value in group["labels"].items()}
        assert expected.items() <= tags.items()


def test_nodes_have_the_label_of_their_group(
    synthesize_changed: Callable[..., Synthesized],
) -> None:
    """Nodes have the labels of the settings, and `node-group` with the group's name in the settings."""
    cluster = synthesize_changed({"cluster.node_groups.special": SPECIAL_GROUP})["cluster"]
    labels = [group["labels"] for group, _ in groups_and_tags(cluster)]
    special = {"node-group": "special", "team": "platform", "example.com/purpose": "builds"}
    assert {item["node-group"] for item in labels} == {"main", "big", "special"}
    assert all(special.items() <= item.items() for item in labels if item["node-group"] == "special")


def test_the_autoscaler_knows_the_taints_of_an_empty_group(
    synthesize_changed: Callable[..., Synthesized],
) -> None:
    """Every taint is also a node-template tag, with its effect in the spelling of Kubernetes."""
    cluster = synthesize_changed({"cluster.node_groups.special": SPECIAL_GROUP})["cluster"]
    for group, tags in groups_and_tags(cluster):
        is_special = group["labels"]["node-group"] == "special"
        assert {key: value for key, value in tags.items() if key.startswith("taint/")} == (
            {
                "taint/example.com/builds": "only:NoSchedule",
                "taint/drained": ":NoExecute",
                "taint/rather-not": ":PreferNoSchedule",
            }
            if is_special
            else {}
        )
        assert {taint["key"] for taint in group["taint"]} == (
            {"example.com/builds", "drained", "rather-not"} if is_special else set()
        )


def test_an_apply_does_not_undo_the_autoscaler(example: Synthesized) -> None:
    """Terraform sets the number of nodes of a new group and ignores it from then on."""
    for group in example["cluster"]["resource"]["aws_eks_node_group"].values():
        assert "scaling_config[0].desired_size" in group["lifecycle"]["ignore_changes"]


def test_a_node_group_may_start_at_zero(synthesize_changed: Callable[..., Synthesized]) -> None:
    """A group with `min_size: 0` is created without a node."""
    cluster = synthesize_changed({"cluster.node_groups.special": SPECIAL_GROUP})["cluster"]
    sizes = [
        group["scaling_config"]
        for group in cluster["resource"]["aws_eks_node_group"].values()
        if group["labels"]["node-group"] == "special"
    ]
    assert sizes
    assert all(size["min_size"] == size["desired_size"] == 0 < size["max_size"] for size in sizes)


def test_every_group_starts_between_its_minimum_and_maximum(example: Synthesized) -> None:
    """EKS refuses a group with a first size below its minimum or above its maximum."""
    for group in example["cluster"]["resource"]["aws_eks_node_group"].values():
        size = group["scaling_config"]
        assert size["min_size"] <= size["desired_size"] <= size["max_size"]


def test_nodes_run_the_version_of_the_control_plane(example: Synthesized) -> None:
    """Every node group has the cluster's Kubernetes version."""
    _, cluster = only(example["cluster"], "aws_eks_cluster")
    for group in example["cluster"]["resource"]["aws_eks_node_group"].values():
        assert group["version"] == cluster["version"] == "1.35"


def test_the_cluster_has_its_add_ons(example: Synthesized) -> None:
    """EKS manages the add-ons of network, DNS and pod identity."""
    addons = {addon["addon_name"] for addon in example["cluster"]["resource"]["aws_eks_addon"].values()}
    assert {"vpc-cni", "kube-proxy", "coredns", "eks-pod-identity-agent"} <= addons


def test_nodes_start_after_the_add_ons_that_they_need(example: Synthesized) -> None:
    """Node groups wait for the add-ons and permissions that a node needs to become ready."""
    resources = example["cluster"]["resource"]
    addons = {
        f"aws_eks_addon.{name}"
        for name, addon in resources["aws_eks_addon"].items()
        if addon["addon_name"] in {"vpc-cni", "kube-proxy", "eks-pod-identity-agent"}
    }
    (node_role,) = {group["node_role_arn"] for group in resources["aws_eks_node_group"].values()}
    permissions = {
        f"aws_iam_role_policy_attachment.{name}"
        for name, attachment in resources["aws_iam_role_policy_attachment"].items()
        if attachment["role"] == node_role.replace(".arn}", ".name}")
    }
    assert permissions
    for group in resources["aws_eks_node_group"].values():
        assert addons | permissions <= set(group["depends_on"])


def test_dns_comes_after_the_nodes_that_it_runs_on(example: Synthesized) -> None:
    """The add-on of DNS waits for the node groups, since without a node it never becomes active."""
    resources = example["cluster"]["resource"]
    (dns,) = (addon for addon in resources["aws_eks_addon"].values() if addon["addon_name"] == "coredns")
    groups = {f"aws_eks_node_group.{name}" for name in resources["aws_eks_node_group"]}
    assert groups <= set(dns.get("depends_on", []))


def test_network_policies_are_enforced(example: Synthesized) -> None:
    """The VPC CNI enforces NetworkPolicy objects, which is off by default."""
    addons = example["cluster"]["resource"]["aws_eks_addon"].values()
    (cni,) = (addon for addon in addons if addon["addon_name"] == "vpc-cni")
    assert json.loads(cni["configuration_values"])["enableNetworkPolicy"] == "true"


def test_add_on_versions_may_be_pinned(synthesize_changed: Callable[..., Synthesized]) -> None:
    """`addon_versions` pins the add-ons that it names and no other."""
    stack = synthesize_changed({"cluster.addon_versions": {"vpc-cni": "v1.20.4-eksbuild.2"}})["cluster"]
    pinned = {
        addon["addon_name"]: addon["addon_version"]
        for addon in stack["resource"]["aws_eks_addon"].values()
        if "addon_version" in addon
    }
    assert pinned == {"vpc-cni": "v1.20.4-eksbuild.2"}


def test_the_recommended_release_is_read_by_each_plan(
    synthesize_changed: Callable[..., Synthesized],
) -> None:
    """Each group gets the newest release of its own Kubernetes version and architecture, in plain text."""
    groups = "cluster.node_groups"
    arm = {"ami_type": "AL2023_ARM_64_STANDARD", "instance_types": ["m7g.large"], "max_size": 1}
    stack = synthesize_changed(
        {
            f"{groups}.main.release_version": "recommended",
            f"{groups}.arm": {
                **arm,
                "kubernetes_version": "1.34",
                "release_version": "recommended",
            },
            "cluster.force_update_version": True,
            "runners.default.node_groups": ["main", "big"],
        }
    )["cluster"]
    parameters = stack["data"]["aws_ssm_parameter"]
    path = "/aws/service/eks/optimized-ami/{}/amazon-linux-2023/{}/standard/recommended/release_version"
    assert {name: item["name"] for name, item in parameters.items()} == {
        "recommended_release_main": path.format("1.35", "x86_64"),
        "recommended_release_arm": path.format("1.34", "arm64"),
    }
    releases = {
        name: group.get("release_version") for name, group in stack["resource"]["aws_eks_node_group"].items()
    }
    assert releases["node_group_main-a"] == (
        "${data.aws_ssm_parameter.recommended_release_main.insecure_value}"
    )
    assert releases["node_group_big-a"] is None
    assert stack["resource"]["aws_eks_cluster"]["cluster"]["force_update_version"] is True


def test_one_command_connects_kubectl(example: Synthesized) -> None:
    """The output `update_kubeconfig_command` has the cluster's name, region and admin role."""
    role, _ = admin_role(example["cluster"])
    cluster, _ = only(example["cluster"], "aws_eks_cluster")
    command = example["cluster"]["output"]["update_kubeconfig_command"]["value"]
    assert command == (
        f"aws eks update-kubeconfig --name ${{{cluster}.name}} "
        f"--region eu-central-1 --role-arn ${{{role}.arn}}"
    )


def test_irsa_is_off_unless_asked_for(example: Synthesized) -> None:
    """By default there is no IAM OIDC provider, and the output is empty."""
    assert "aws_iam_openid_connect_provider" not in example["cluster"]["resource"]
    assert example["cluster"]["output"]["oidc_provider_arn"]["value"] == ""


def test_irsa_is_an_option_for_other_projects(synthesize_changed: Callable[..., Synthesized]) -> None:
    """`enable_irsa` creates an IAM OIDC provider of the cluster's issuer and publishes its ARN."""
    stack = synthesize_changed({"cluster.enable_irsa": True})["cluster"]
    address, provider = only(stack, "aws_iam_openid_connect_provider")
    cluster, _ = only(stack, "aws_eks_cluster")
    assert provider["url"].startswith(f"${{{cluster}.identity")
    assert provider["client_id_list"] == ["sts.amazonaws.com"]
    assert stack["output"]["oidc_provider_arn"]["value"] == f"${{{address}.arn}}"


def test_the_running_version_is_read_from_aws_and_depends_on_nothing(example: Synthesized) -> None:
    """Every plan knows it, also the plan of a new cluster: a list tells whether the cluster exists."""
    data = example["cluster"]["data"]
    (listing,) = data["aws_eks_clusters"]
    (running,) = data["aws_eks_cluster"].values()
    assert running["name"] == "cicd"
    assert running["count"] == f'${{contains(data.aws_eks_clusters.{listing}.names, "cicd") ? 1 : 0}}'
    assert "depends_on" not in running


def test_a_jump_of_the_kubernetes_version_is_refused_before_anything_changes(
    synthesize_changed: Callable[..., Synthesized],
) -> None:
    """A precondition of the cluster refuses it, with the setting and the version in the message."""
    stack = synthesize_changed({"cluster.kubernetes_version": "1.34"})["cluster"]
    _, cluster = only(stack, "aws_eks_cluster")
    precondition = cluster["lifecycle"]["precondition"][0]
    assert precondition["condition"] == "${contains([0, 1], 34 - local.running_minor_version)}"
    assert precondition["error_message"].startswith("cluster.kubernetes_version: 1.34: the cluster runs 1.")


def test_a_new_zone_leaves_the_control_plane_where_it_is(example: Synthesized) -> None:
    """Its subnets count when it is created, since EKS refuses other zones; Terraform watches all the rest."""
    _, cluster = only(example["cluster"], "aws_eks_cluster")
    assert cluster["lifecycle"]["ignore_changes"] == ["vpc_config[0].subnet_ids"]


def test_a_group_that_spans_zones_needs_its_instance_type_in_each(
    synthesize_changed: Callable[..., Synthesized],
) -> None:
    """EKS creates no node group if one of its zones does not offer the type."""
    stack = synthesize_changed({"protect_running_jobs": False})["cluster"]
    for group in stack["resource"]["aws_eks_node_group"].values():
        messages = [check["error_message"] for check in group["lifecycle"]["precondition"]]
        assert [message.partition(" offers none.")[0].rpartition(" ")[2] for message in messages] == [
            "eu-central-1a",
            "eu-central-1b",
            "eu-central-1c",
        ]
