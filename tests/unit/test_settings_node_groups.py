"""Settings of a node group: refused values, and accepted values at the limits."""

import pytest

from stacks.settings.load import load_settings
from tests.environments import Mistakes, WriteEnvironment

BIG = "cluster.node_groups.big"
ARM = {"instance_types": ["m7g.large"], "ami_type": "AL2023_ARM_64_STANDARD", "max_size": 1}


def test_max_size_below_min_size_is_refused(mistakes: Mistakes) -> None:
    """The message says which of the two to change, and how."""
    assert mistakes({f"{BIG}.min_size": 5}) == [
        (
            f"example.yaml: {BIG}.max_size: 4: must be at least min_size, which is 5: raise max_size "
            "or lower min_size"
        )
    ]


def test_min_and_max_size_may_be_equal(write_environment: WriteEnvironment) -> None:
    """A group may have a fixed size."""
    group = load_settings(write_environment({f"{BIG}.min_size": 4})).cluster.node_groups["big"]
    assert group.min_size == group.max_size == 4


@pytest.mark.parametrize(
    ("key", "value", "accepted"),
    [
        ("min_size", -1, "must be at least 0. Accepted: Minimum number of nodes"),
        ("max_size", 0, "must be at least 1. Accepted: Maximum number of nodes"),
        ("max_size", 451, "must be at most 450. Accepted: Maximum number of nodes"),
        ("max_size", "4", "must be an integer. Accepted: Maximum number of nodes"),
        ("max_size", 4.0, "must be an integer. Accepted: Maximum number of nodes"),
        (
            "disk_size_gib",
            19,
            "must be at least 20. Accepted: Size of a node's encrypted root volume, 20 to 16384",
        ),
        ("disk_size_gib", 16385, "must be at most 16384. Accepted: Size of a node"),
        ("disk_size_gib", "100Gi", "must be an integer. Accepted: Size of a node"),
        ("capacity_type", "spot", "must be 'ON_DEMAND' or 'SPOT'. Accepted: ON_DEMAND, or SPOT"),
        ("ami_type", "AL2_x86_64", "must be 'AL2023_x86_64_STANDARD' or 'AL2023_ARM_64_STANDARD'"),
    ],
)
def test_a_value_that_eks_refuses_is_refused(
    mistakes: Mistakes, key: str, value: object, accepted: str
) -> None:
    """The message has the value and what is accepted."""
    (line,) = mistakes({f"{BIG}.{key}": value})
    shown = f'"{value}"' if isinstance(value, str) else value
    assert line.startswith(f"example.yaml: {BIG}.{key}: {shown}: {accepted}")


@pytest.mark.parametrize(
    "name", ["m7g.large", "c6gn.xlarge", "a1.large", "im4gn.large", "p6e-gb200.36xlarge"]
)
def test_an_arm_type_needs_an_arm_image(mistakes: Mistakes, name: str) -> None:
    """A Graviton instance can't boot the x86 image; the message names the ARM image."""
    assert mistakes({f"{BIG}.instance_types": [name]}) == [
        (
            f'example.yaml: {BIG}.instance_types.0: "{name}": must be of the ami_type\'s architecture, x86; '
            "or ami_type: AL2023_ARM_64_STANDARD"
        )
    ]


@pytest.mark.parametrize(
    "name", ["m5.large", "g4dn.xlarge", "g6e.xlarge", "m7i-flex.large", "p6-b200.48xlarge"]
)
def test_an_x86_type_needs_an_x86_image(mistakes: Mistakes, name: str) -> None:
    """An x86 instance can't boot the ARM image; the g of graphics instances does not mean Graviton."""
    lines = mistakes(
        {
            "cluster.node_groups.arm": {**ARM, "instance_types": [name]},
            "runners.default.node_groups": ["main"],
        }
    )
    assert lines == [
        (
            f'example.yaml: cluster.node_groups.arm.instance_types.0: "{name}": must be of the ami_type\'s '
            "architecture, ARM; or ami_type: AL2023_x86_64_STANDARD"
        )
    ]


def test_arm_types_pass_with_an_arm_image(write_environment: WriteEnvironment) -> None:
    """A fleet that names its group may have ARM nodes beside x86 ones."""
    path = write_environment({"cluster.node_groups.arm": ARM, "runners.default.node_groups": ["arm"]})
    assert load_settings(path).cluster.node_groups["arm"].architecture == "arm64"


@pytest.mark.parametrize(
    ("types", "path", "accepted"),
    [
        pytest.param([], "", "must have 1 or more", id="none"),
        pytest.param([f"m5.{n}xlarge" for n in range(2, 23)], "", "must have 20 or fewer", id="21"),
        pytest.param(["m5.large"] * 2, ".1", "must not be in the list twice", id="twice"),
        pytest.param(["m5"], ".0", "must be an instance type as family.size", id="a family"),
        pytest.param(["M5.large"], ".0", "must be an instance type as family.size", id="capitals"),
        pytest.param("m5.large", "", "must be a list", id="no list"),
    ],
)
def test_instance_types_are_a_list_without_duplicates(
    mistakes: Mistakes, types: object, path: str, accepted: str
) -> None:
    """EKS accepts 1 to 20 different types."""
    (line,) = mistakes({f"{BIG}.instance_types": types})
    assert line.startswith(f"example.yaml: {BIG}.instance_types{path}: ")
    assert accepted in line


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("m5.8xlrge", "; did you mean m5.8xlarge?"),
        ("m5.lrage", "; did you mean m5.large?"),
        ("m5.metl", "; did you mean m5.metal?"),
        ("m5.2large", "; did you mean m5.2xlarge?"),
        ("m5.huge", ""),
    ],
)
def test_a_misspelt_instance_size_is_corrected(mistakes: Mistakes, name: str, meant: str) -> None:
    """Without this check only the plan of workloads finds it, after the cluster is deployed."""
    assert mistakes({f"{BIG}.instance_types": [name]}) == [
        (
            f'example.yaml: {BIG}.instance_types.0: "{name}": must end with a size that EC2 has, such as '
            f"large, 2xlarge or metal{meant}"
        )
    ]


@pytest.mark.parametrize(
    "name", ["u7i-12tb.224xlarge", "t3.nano", "m5.metal", "m7i.metal-24xl", "mac1.metal"]
)
def test_every_form_of_instance_type_passes(write_environment: WriteEnvironment, name: str) -> None:
    """Numbers of xlarge, metal, and metal with a size are sizes of EC2."""
    assert load_settings(write_environment({f"{BIG}.instance_types": [name]}))


@pytest.mark.parametrize(
    "key",
    ["node-group", "kubernetes.io/x", "node.kubernetes.io/x", "x.k8s.io/y", "eks.amazonaws.com/x"],
)
def test_reserved_labels_are_refused(mistakes: Mistakes, key: str) -> None:
    """The project sets node-group, and EKS reserves some prefixes."""
    assert mistakes({f"{BIG}.labels": {key: "x"}}) == [
        (
            f'example.yaml: {BIG}.labels.{key}: "x": must be a key that neither this project nor EKS '
            "sets itself: not node-group, nothing under kubernetes.io, k8s.io or eks.amazonaws.com"
        )
    ]


@pytest.mark.parametrize(
    ("labels", "accepted"),
    [
        pytest.param({"-a": "x"}, "not of the accepted form", id="starts with -"),
        pytest.param({"a/b/c": "x"}, "not of the accepted form", id="two prefixes"),
        pytest.param({"A.b/c": "x"}, "not of the accepted form", id="capitals in a prefix"),
        pytest.param({"a" * 64: "x"}, "longer than 63 characters", id="long name"),
        pytest.param({f"{'a' * 40}.{'b' * 10}/{'c' * 12}": "x"}, "longer than 63 characters", id="long key"),
        pytest.param({"a": "x y"}, "not of the accepted form", id="space"),
        pytest.param({"a": "x" * 64}, "not of the accepted form", id="long value"),
        pytest.param({"a": ""}, "not of the accepted form. Accepted: Up to 20", id="empty value"),
        pytest.param({"a": True}, 'must be a string: write "true"', id="boolean"),
        pytest.param({"a/b": "x", "a_b": "x"}, "must differ from the keys before it", id="one address"),
        pytest.param({f"k{n}": "x" for n in range(21)}, "must have 20 or fewer", id="21"),
    ],
)
def test_labels_that_eks_refuses_are_refused(
    mistakes: Mistakes, labels: dict[str, object], accepted: str
) -> None:
    """Labels that a node, a request to EKS or a Terraform address can't have."""
    (line,) = mistakes({f"{BIG}.labels": labels})
    assert line.startswith(f"example.yaml: {BIG}.labels")
    assert accepted in line


def test_the_largest_labels_pass(write_environment: WriteEnvironment) -> None:
    """20 labels, a key and a value of 63 characters; and keys that resemble reserved ones."""
    labels = {f"{'a' * 40}.{'b' * 10}/{'c' * 11}": "x" * 63, "xkubernetes.io/x": "1", "kubernetes.io": "1"}
    labels |= {f"k{n}": "x" for n in range(17)}
    groups = load_settings(write_environment({f"{BIG}.labels": labels})).cluster.node_groups
    assert groups["big"].labels == labels


@pytest.mark.parametrize(
    ("taints", "path", "accepted"),
    [
        pytest.param(
            [{"key": "a", "effect": "NoSchedule"}],
            ".0.effect",
            "must be 'NO_SCHEDULE', 'NO_EXECUTE' or 'PREFER_NO_SCHEDULE'",
            id="spelling of Kubernetes",
        ),
        pytest.param([{"key": "a"}], ".0.effect", "missing. Accepted: Effect on pods", id="no effect"),
        pytest.param([{"effect": "NO_SCHEDULE"}], ".0.key", "missing. Accepted: Taint key", id="no key"),
        pytest.param(
            [{"key": "a", "effect": "NO_SCHEDULE"}, {"key": "a", "effect": "NO_EXECUTE"}],
            ".1.key",
            "must differ from the keys of the taints before it",
            id="one key twice",
        ),
        pytest.param(
            [{"key": "a", "valu": "b", "effect": "NO_SCHEDULE"}],
            ".0.valu",
            "unknown key. Did you mean value? Accepted here: key, value, effect",
            id="misspelled",
        ),
        pytest.param(["a=b:NoSchedule"], ".0", "must be a map", id="kubectl's form"),
        pytest.param(
            [{"key": "k" * 40 + "/" + "k" * 23, "effect": "NO_SCHEDULE"}],
            ".0.key",
            "longer than 63",
            id="long",
        ),
        pytest.param(
            [{"key": f"k{n}", "effect": "NO_SCHEDULE"} for n in range(21)], "", "20 or fewer", id="21"
        ),
    ],
)
def test_taints_that_eks_refuses_are_refused(
    mistakes: Mistakes, taints: object, path: str, accepted: str
) -> None:
    """Each taint has a key of its own and an effect in EKS's spelling."""
    (line,) = mistakes({f"{BIG}.taints": taints})
    assert line.startswith(f"example.yaml: {BIG}.taints{path}: ")
    assert accepted in line
