"""Keys of GitLab Runner's Kubernetes executor: refused and accepted values."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stacks.settings.load import load_settings
from tests.environments import Mistakes, WriteEnvironment

PATH = "runners.default.kubernetes"
REQUIRED = "required_during_scheduling_ignored_during_execution"
DATA = Path(__file__).resolve().parents[1] / "data"
MISTAKES = YAML(typ="safe").load((DATA / "mistakes_in_executor_settings.yaml").read_text())


def test_a_misspelled_key_is_corrected(mistakes: Mistakes) -> None:
    """GitLab Runner would ignore the key without a message."""
    (line,) = mistakes({f"{PATH}.pull_polcy": "always"})
    assert line.startswith(
        f"example.yaml: {PATH}.pull_polcy: unknown key. Did you mean pull_policy? Accepted"
    )


@pytest.mark.parametrize(
    "key",
    [
        "namespace",
        "image",
        "privileged",
        "cpu_request",
        "poll_timeout",
        "pod_labels",
        "node_selector",
        "host",
        "bearer_token",
        "namespace_overwrite_allowed",
        "node_tolerations",
        "cpu_limit",
    ],
)
def test_keys_that_the_project_sets_are_refused(mistakes: Mistakes, key: str) -> None:
    """Each setting has one place, and no key lets a job change it."""
    (line,) = mistakes({f"{PATH}.{key}": "x"})
    assert line.startswith(f"example.yaml: {PATH}.{key}: unknown key. ")


@pytest.mark.parametrize(
    ("table", "path"),
    [
        ({"pod_security_context": {"runAsUser": 1000}}, "pod_security_context.runAsUser"),
        (
            {"build_container_security_context": {"privileged": True}},
            "build_container_security_context.privileged",
        ),
        ({"volumes": {"hostPath": []}}, "volumes.hostPath"),
        (
            {"volumes": {"pvc": [{"name": "a", "mount_path": "/a", "readonly": True}]}},
            "volumes.pvc.0.readonly",
        ),
        ({"services": [{"name": "a", "image": "b"}]}, "services.0.image"),
        (
            {"host_aliases": [{"ip": "10.0.0.1", "hostnames": ["a"], "names": ["b"]}]},
            "host_aliases.0.names",
        ),
        ({"dns_config": {"nameserver": ["10.0.0.2"]}}, "dns_config.nameserver"),
        ({"container_lifecycle": {"preStop": {}}}, "container_lifecycle.preStop"),
        (
            {"affinity": {"pod_affinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}}},
            "affinity.pod_affinity.requiredDuringSchedulingIgnoredDuringExecution",
        ),
        ({"affinity": {"node_affinity": {}}}, "affinity.node_affinity"),
        ({"pod_spec": [{"patchType": "merge"}]}, "pod_spec.0.patchType"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_keys_of_tables_are_gitlabs(mistakes: Mistakes, table: dict[str, Any], path: str) -> None:
    """The runner ignores the spelling of Kubernetes, and `privileged` is a setting of the fleet."""
    (line,) = mistakes({PATH: table})
    assert line.startswith(f"example.yaml: {PATH}.{path}: ")


@pytest.mark.parametrize(
    ("table", "shown"),
    [
        (
            {"pull_policy": "Always"},
            "pull_policy.0: \"Always\": must be 'always', 'if-not-present' or 'never'",
        ),
        ({"allowed_pull_policies": ["x"]}, 'allowed_pull_policies.0: "x": must be '),
        ({"dns_policy": "ClusterFirst"}, "dns_policy: \"ClusterFirst\": must be 'none', 'default', "),
        ({"cap_add": "NET_ADMIN"}, 'cap_add: "NET_ADMIN": must be a list'),
        ({"cap_add": ["net admin"]}, 'cap_add.0: "net admin": not of the accepted form'),
        ({"allowed_users": [1000]}, 'allowed_users.0: 1000: must be a string: write "1000"'),
        ({"allowed_groups": ["root"]}, 'allowed_groups.0: "root": not of the accepted form'),
        ({"helper_image": "a b"}, 'helper_image: "a b": not of the accepted form'),
        ({"service_account": "A_b"}, 'service_account: "A_b": not of the accepted form'),
        ({"image_pull_secrets": ["A_b"]}, 'image_pull_secrets.0: "A_b": not of the accepted form'),
        ({"priority_class_name": ""}, 'priority_class_name: "": not of the accepted form'),
        ({"cleanup_grace_period_seconds": -1}, "cleanup_grace_period_seconds: -1: must be at least 0"),
        ({"poll_interval": 0}, "poll_interval: 0: must be at least 1"),
        ({"retry_backoff_max": 499}, "retry_backoff_max: 499: must be at least 500"),
        ({"retry_limits": {"EOF": -1}}, "retry_limits.EOF: -1: must be at least 0"),
        ({"retry_limit": 2**63}, "retry_limit: 9223372036854775808: must be at most 9223372036854775807"),
        ({"pod_security_context": []}, "pod_security_context: []: must be a map"),
        ({"pod_security_context": {"run_as_user": None}}, "pod_security_context.run_as_user: null: must be "),
        ({"services": ["docker:dind"]}, 'services.0: "docker:dind": must be a map'),
        (
            {"services": [{"alias": "a"}]},
            "services.0.name: missing. Accepted: Image of the service, such as docker:dind",
        ),
        ({"volumes": {"pvc": {}}}, "volumes.pvc: {}: must be a list"),
        (
            {"volumes": {"pvc": [{"name": "a"}]}},
            "volumes.pvc.0.mount_path: missing. Accepted: Absolute path in the containers, such as /cache.",
        ),
        (
            {"volumes": {"pvc": [{"name": "a", "mount_path": "a"}]}},
            'volumes.pvc.0.mount_path: "a": not of the accepted form. Accepted: Absolute path in the ',
        ),
    ],
    ids=lambda value: value.split(":")[0] if isinstance(value, str) else "",
)
def test_values_that_runner_or_kubernetes_refuse_are_refused(
    mistakes: Mistakes, table: dict[str, Any], shown: str
) -> None:
    """With a wrong type the runner does not start; with a wrong name no job's pod does."""
    (line,) = mistakes({PATH: table})
    assert line.startswith(f"example.yaml: {PATH}.{shown}")


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake["message"].partition(": ")[0])
def test_a_mistake_inside_a_table_is_refused(mistakes: Mistakes, mistake: dict[str, Any]) -> None:
    """The message has the path inside the table and the accepted form."""
    assert mistakes({PATH: mistake["settings"]}) == [f"example.yaml: {PATH}.{mistake['message']}"]


def test_each_misspelled_key_of_a_rule_is_corrected(mistakes: Mistakes) -> None:
    """In the spelling of Kubernetes a rule has no key that the runner knows, and an empty topology key."""
    path = f"example.yaml: {PATH}.affinity.pod_affinity.{REQUIRED}.0"
    rule = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {}}
    lines = mistakes({PATH: {"affinity": {"pod_affinity": {REQUIRED: [rule]}}}})
    assert [line.partition(" Accepted")[0] for line in lines] == [
        f"{path}.topology_key: missing.",
        f"{path}.topologyKey: unknown key. Did you mean topology_key?",
        f"{path}.labelSelector: unknown key. Did you mean label_selector?",
    ]


@pytest.mark.parametrize(
    "entry", [{"name": "docker-certs", "mount_path": "/a"}, {"name": "a", "mount_path": "/certs/client"}]
)
def test_the_volume_of_docker_in_docker_is_reserved(
    mistakes: Mistakes, write_environment: WriteEnvironment, entry: dict[str, str]
) -> None:
    """A privileged fleet has this volume, so Kubernetes would refuse a second one."""
    volumes = {"volumes": {"empty_dir": [entry]}}
    (line,) = mistakes({PATH: volumes})
    assert line.startswith(f"example.yaml: {PATH}.volumes.empty_dir.0: ")
    assert "must be neither called docker-certs nor mounted at /certs/client" in line
    assert load_settings(write_environment({PATH: volumes, "runners.default.privileged": False}))


def test_a_full_table_passes(write_environment: WriteEnvironment) -> None:
    """Examples of GitLab's documentation are accepted unchanged."""
    term = {"topology_key": "topology.kubernetes.io/zone", "label_selector": {"match_labels": {"a": "b"}}}
    table = {
        "affinity": {"pod_anti_affinity": {"required_during_scheduling_ignored_during_execution": [term]}},
        "allowed_users": ["1000"],
        "build_container_security_context": {"run_as_user": 1000, "capabilities": {"add": ["NET_ADMIN"]}},
        "cap_drop": ["ALL"],
        "container_lifecycle": {"pre_stop": {"exec": {"command": ["true"]}}},
        "dns_config": {"nameservers": ["10.0.0.2"], "options": [{"name": "ndots", "value": "2"}]},
        "helper_image": "registry.example.com/helper:x86_64-v${CI_RUNNER_VERSION}",
        "host_aliases": [{"ip": "10.0.0.1", "hostnames": ["a.example.com"]}],
        "image_pull_secrets": ["registry.example.com"],
        "pod_spec": [{"name": "host", "patch": "hostname: a", "patch_type": "merge"}],
        "pull_policy": ["always", "if-not-present"],
        "retry_limits": {"TLS handshake timeout": 5},
        "services": [{"name": "docker:dind", "alias": "docker", "environment": ["A=b"]}],
        "volumes": {
            "csi": [{"name": "a", "mount_path": "/a", "driver": "x", "volume_attributes": {"size": "2Gi"}}],
            "empty_dir": [{"name": "b", "mount_path": "/b", "medium": "Memory", "size_limit": "1Gi"}],
        },
    }
    fleet = load_settings(write_environment({PATH: table})).runners["default"]
    assert fleet.kubernetes.model_dump(exclude_none=True) == table


def test_keys_keep_the_order_of_the_file(write_environment: WriteEnvironment) -> None:
    """The manager's configuration changes only when the settings do."""
    written = {"medium": "Memory", "mount_path": "/a", "name": "a"}
    fleet = load_settings(write_environment({f"{PATH}.volumes": {"empty_dir": [written]}})).runners["default"]
    (entry,) = fleet.kubernetes.model_dump(exclude_none=True)["volumes"]["empty_dir"]
    assert list(entry) == list(written)


def test_one_pull_policy_needs_no_list(write_environment: WriteEnvironment) -> None:
    """Users write `pull_policy: always`."""
    fleet = load_settings(write_environment({f"{PATH}.pull_policy": "always"})).runners["default"]
    assert fleet.kubernetes.pull_policy == ["always"]


@pytest.mark.parametrize(
    "path", [f"{PATH}.logs_base_dir", f"{PATH}.scripts_base_dir", "runners.default.builds_dir"]
)
@pytest.mark.parametrize("folder", ["tmp", "/tmp/", "/", "/a b", "/$(id)", "C:\\builds"])
def test_a_malformed_folder_is_refused(mistakes: Mistakes, path: str, folder: str) -> None:
    """The runner puts these paths into scripts; a relative one would be somewhere in the image."""
    (line,) = mistakes({path: folder})
    assert line.startswith(f"example.yaml: {path}: ")
    assert "not of the accepted form. Accepted: Absolute path of the folder" in line
