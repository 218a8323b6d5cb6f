"""Settings of the cluster: refused values, and accepted values at the limits."""

import pytest

from stacks.settings.load import load_settings
from stacks.versions import CLUSTER_AUTOSCALER_IMAGE_TAGS
from tests.environments import Changes, Mistakes, WriteEnvironment

ROLE = "arn:aws:iam::123456789012:role"


@pytest.mark.parametrize("name", ["-cicd", "ci cd", "ci.cd", "", "a" * 101])
def test_a_cluster_name_that_eks_refuses_is_refused(mistakes: Mistakes, name: str) -> None:
    """EKS accepts up to 100 letters, digits, - and _, starting with a letter or digit."""
    (line,) = mistakes({"cluster.name": name})
    assert line.startswith(f'example.yaml: cluster.name: "{name[:79]}')
    assert "not of the accepted form. Accepted: Name of the EKS cluster" in line


def test_a_cluster_name_may_have_100_characters(write_environment: WriteEnvironment) -> None:
    """The longest name of EKS is accepted."""
    assert load_settings(write_environment({"cluster.name": "a" * 100}))


@pytest.mark.parametrize("version", ["1.35.1", "latest", "v1.35", "2.0"])
def test_a_kubernetes_version_is_a_minor_version(mistakes: Mistakes, version: str) -> None:
    """EKS chooses the patch."""
    (line,) = mistakes({"cluster.kubernetes_version": version})
    assert line.startswith(f'example.yaml: cluster.kubernetes_version: "{version}": not of the accepted form')


def test_a_kubernetes_version_without_a_tested_autoscaler_needs_its_image(mistakes: Mistakes) -> None:
    """Each version needs an autoscaler of its own, and the message names the setting for its image."""
    (line,) = mistakes({"cluster.kubernetes_version": "1.99"})
    known = ", ".join(CLUSTER_AUTOSCALER_IMAGE_TAGS)
    assert line.startswith(f'example.yaml: cluster.kubernetes_version: "1.99": must be one of {known}, ')
    assert "set versions.cluster_autoscaler_image_tag to a release of kubernetes/autoscaler" in line
    assert line.endswith("such as v1.99.0")


def test_a_kubernetes_version_is_a_string(mistakes: Mistakes) -> None:
    """YAML reads 1.30 as 1.3, which is another version."""
    (line,) = mistakes({"cluster.kubernetes_version": 1.35})
    assert line.startswith('example.yaml: cluster.kubernetes_version: 1.35: must be a string: write "1.35"')


@pytest.mark.parametrize(
    ("cidr", "accepted"),
    [
        ("10.0.0.0/8", "must be a public range"),
        ("100.64.0.0/10", "must be a public range"),
        ("203.0.113.7/24", "first address and its prefix length: 203.0.113.0/24"),
        ("203.0.113.7", "as address/prefix length"),
    ],
)
def test_a_private_range_for_api_access_is_refused(mistakes: Mistakes, cidr: str, accepted: str) -> None:
    """EKS refuses private ranges as sources of public access."""
    (line,) = mistakes({"cluster.endpoint_public_access_cidrs": [cidr]})
    assert line.startswith(f'example.yaml: cluster.endpoint_public_access_cidrs.0: "{cidr}": must be ')
    assert accepted in line


@pytest.mark.parametrize(
    ("key", "entry"),
    [
        ("endpoint_public_access_cidrs", "203.0.113.0/24"),
        ("admin_principal_arns", f"{ROLE}/admin"),
        ("enabled_cluster_log_types", "api"),
    ],
)
def test_a_duplicate_entry_is_refused(mistakes: Mistakes, key: str, entry: str) -> None:
    """AWS refuses repeated entries; the message names the second one."""
    (line,) = mistakes({f"cluster.{key}": [entry, entry]})
    assert line == f'example.yaml: cluster.{key}.1: "{entry}": must not be in the list twice'


def test_there_are_at_most_40_ranges_and_10_principals(mistakes: Mistakes) -> None:
    """More than the quotas of EKS and of a trust policy is refused, both in one run."""
    cidrs = [f"203.0.113.{n}/32" for n in range(41)]
    arns = [f"{ROLE}/admin{n}" for n in range(11)]
    first, second = mistakes(
        {"cluster.endpoint_public_access_cidrs": cidrs, "cluster.admin_principal_arns": arns}
    )
    assert "cluster.endpoint_public_access_cidrs: " in first
    assert "must have 40 or fewer" in first
    assert "cluster.admin_principal_arns: " in second
    assert "must have 10 or fewer" in second


@pytest.mark.parametrize(
    "arn",
    [
        "*",
        "123456789012",
        f"{ROLE}/*",
        f"{ROLE}/{'a' * 65}",
        "arn:aws:iam::12345678901:role/admin",
        "arn:aws:iam::123456789012:group/admins",
        "arn:aws:sts::123456789012:assumed-role/admin/session",
    ],
)
def test_only_roles_users_and_accounts_are_admins(mistakes: Mistakes, arn: str) -> None:
    """IAM refuses other principals in a trust policy, and a wildcard would admit everyone."""
    (line,) = mistakes({"cluster.admin_principal_arns": [arn]})
    assert line.startswith("example.yaml: cluster.admin_principal_arns.0: ")
    assert "not of the accepted form. Accepted: Up to 10 IAM principals" in line


def test_every_kind_of_admin_passes(write_environment: WriteEnvironment) -> None:
    """Roles with and without a path, users, whole accounts and other partitions are accepted."""
    arns = [f"{ROLE}/a/b/{'a' * 64}", f"{ROLE}/x", "arn:aws-us-gov:iam::123456789012:user/u@example.com"]
    arns += ["arn:aws:iam::210987654321:root"]
    settings = load_settings(write_environment({"cluster.admin_principal_arns": arns}))
    assert list(settings.cluster.admin_principal_arns) == arns


@pytest.mark.parametrize(
    ("key", "value", "accepted"),
    [
        ("support_type", "standard", "must be 'STANDARD' or 'EXTENDED'"),
        ("log_retention_days", 2, "must be one of 1, 3, 5, 7, 14, 30"),
        ("enabled_cluster_log_types", ["apis"], "must be 'api', 'audit'"),
        ("addon_versions", {"vpccni": "v1.20.4-eksbuild.2"}, "must be 'vpc-cni', 'kube-proxy'"),
        ("addon_versions", {"vpc-cni": "latest"}, "such as {vpc-cni: v1.20.4-eksbuild.2}"),
        ("enable_irsa", "yes", "must be true or false"),
    ],
)
def test_a_value_that_aws_does_not_know_is_refused(
    mistakes: Mistakes, key: str, value: object, accepted: str
) -> None:
    """If AWS accepts one of a few values, the message lists them."""
    (line,) = mistakes({f"cluster.{key}": value})
    assert line.startswith(f"example.yaml: cluster.{key}")
    assert accepted in line


@pytest.mark.parametrize("change", [{"min_size": 0}, {"taints": [{"key": "a", "effect": "NO_SCHEDULE"}]}])
def test_a_steady_node_group_is_required(mistakes: Mistakes, change: dict[str, object]) -> None:
    """DNS, the autoscaler and the managers need a group that always has a node, without taints."""
    (line,) = mistakes({f"cluster.node_groups.main.{key}": value for key, value in change.items()})
    assert line.startswith("example.yaml: cluster.node_groups: {")
    assert "one group must have a min_size of 1 or more and no taints" in line


@pytest.mark.parametrize("name", ["Main", "a_b", "1a", "a-", "", "a" * 31])
def test_a_malformed_node_group_name_is_refused(mistakes: Mistakes, name: str) -> None:
    """AWS names and Kubernetes labels contain the name."""
    group = {"instance_types": ["m5.large"], "min_size": 1, "max_size": 1}
    (line,) = mistakes({"cluster.node_groups": {"main": group, name: group}})
    shown = name or '""'
    assert line.startswith(f'example.yaml: cluster.node_groups.{shown}: "{name}": not of the accepted form.')
    assert "names have up to 30 of a-z, 0-9 and -, start with a letter" in line


def test_a_cluster_needs_a_node_group(mistakes: Mistakes) -> None:
    """A cluster without nodes runs no jobs."""
    (line,) = mistakes({"cluster.node_groups": {}})
    assert line.startswith(
        "example.yaml: cluster.node_groups: {}: must have 1 or more entries. Accepted: Managed"
    )


def test_a_public_endpoint_for_everyone_needs_consent(
    mistakes: Mistakes, write_environment: WriteEnvironment
) -> None:
    """0.0.0.0/0 is refused with the name of the setting that allows it."""
    changes: Changes = {"cluster.endpoint_public_access_cidrs": ["203.0.113.0/24", "0.0.0.0/0"]}
    assert mistakes(changes) == [
        (
            'example.yaml: cluster.endpoint_public_access_cidrs.1: "0.0.0.0/0": opens the Kubernetes API to '
            "the whole internet: name the ranges that need it, or set "
            "cluster.allow_public_endpoint_from_anywhere: true"
        )
    ]
    changes["cluster.allow_public_endpoint_from_anywhere"] = True
    assert load_settings(write_environment(changes))


@pytest.mark.parametrize("version", ["v1.19.2-eksbuild.5", "v1.18.6-eksbuild.1", "v0.20.0-eksbuild.1"])
def test_an_agent_that_drops_the_first_answers_is_refused(mistakes: Mistakes, version: str) -> None:
    """Jobs hang in their clone with it; the message says from which version on they do not."""
    (line,) = mistakes({"cluster.addon_versions": {"vpc-cni": version}})
    assert line.startswith(
        f'example.yaml: cluster.addon_versions.vpc-cni: "{version}": must be v1.19.3 or newer: with older '
    )


@pytest.mark.parametrize("version", ["v1.19.3-eksbuild.1", "v1.20.4-eksbuild.2", "v2.0.0-eksbuild.1"])
def test_newer_agents_pass(write_environment: WriteEnvironment, version: str) -> None:
    """The rule is for vpc-cni alone: other add-ons have other numbers."""
    versions = {"vpc-cni": version, "coredns": "v1.11.4-eksbuild.2"}
    assert load_settings(write_environment({"cluster.addon_versions": versions}))


SMALL = {"instance_types": ["m5.large"], "max_size": 3}
MAIN = {"main": {"instance_types": ["m5.2xlarge"], "min_size": 1, "max_size": 10}}


def test_more_node_groups_than_eks_has_in_a_cluster_are_refused(mistakes: Mistakes) -> None:
    """Eleven entries in three zones are 33 node groups, where the quota is 30."""
    groups = MAIN | {f"g{number}": SMALL for number in range(10)}
    (line,) = mistakes({"cluster.node_groups": groups})
    assert line.startswith("example.yaml: cluster.node_groups: ")
    assert "must be 30 managed node groups or fewer (the EKS quota), but are 33" in line
    assert "each entry is one group in each of the 3 zones" in line


@pytest.mark.parametrize(
    "changes",
    [
        {"cluster.node_groups": MAIN | {f"g{number}": SMALL for number in range(9)}},
        {"cluster.node_groups": MAIN | {f"g{number}": SMALL | {"max_size": 1} for number in range(27)}},
        {
            "cluster.node_groups": MAIN | {f"g{number}": SMALL for number in range(29)},
            "protect_running_jobs": False,
        },
    ],
    ids=["ten entries", "entries of one zone", "entries that span the zones"],
)
def test_as_many_node_groups_as_the_quota_allows_pass(
    write_environment: WriteEnvironment, changes: dict[str, object]
) -> None:
    """The settings count the groups that EKS would have: none in a zone that max_size does not reach."""
    assert load_settings(write_environment(changes))


@pytest.mark.parametrize("version", ["1.36", "1.31", "1.350"])
def test_nodes_are_not_newer_and_not_much_older_than_the_control_plane(
    mistakes: Mistakes, version: str
) -> None:
    """Kubernetes supports a kubelet of the API server's version, and of the three before it."""
    (line,) = mistakes({"cluster.node_groups.big.kubernetes_version": version})
    assert line == (
        f'example.yaml: cluster.node_groups.big.kubernetes_version: "{version}": must be one of 1.32, 1.33, '
        "1.34, 1.35, since the cluster has 1.35"
    )


def test_a_release_is_one_of_the_groups_version(
    mistakes: Mistakes, write_environment: WriteEnvironment
) -> None:
    """EKS refuses a release of another Kubernetes version."""
    group = "cluster.node_groups.big"
    (line,) = mistakes({f"{group}.release_version": "1.34.2-20260520"})
    assert line.startswith(f'example.yaml: {group}.release_version: "1.34.2-20260520": must be a release of')
    held = {f"{group}.kubernetes_version": "1.34", f"{group}.release_version": "1.34.2-20260520"}
    assert load_settings(write_environment(held))
