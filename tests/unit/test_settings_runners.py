"""Settings of runner fleets: refused values, and accepted values at the limits."""

import pytest

from stacks.settings.load import load_settings
from tests.environments import Mistakes, WriteEnvironment

FLEET = "runners.default"
TOKEN = "glrt-t1_abcdefghijklmnopqrst"
BASELINE = "the fleet has `privileged: false`, so its job pods are under Pod Security `baseline`"
VOLUME = {"name": "a", "mount_path": "/a"}
ARM = {"instance_types": ["m7g.large"], "ami_type": "AL2023_ARM_64_STANDARD", "max_size": 1}


def test_a_fleet_is_required(mistakes: Mistakes) -> None:
    """An environment has at least one runner."""
    (line,) = mistakes({"runners": {}})
    assert line.startswith(
        "example.yaml: runners: {}: must have 1 or more entries. Accepted: Runner fleets by name"
    )


@pytest.mark.parametrize("name", ["Default", "a_b", "1a", "a-", "a" * 31])
def test_a_malformed_fleet_name_is_refused(mistakes: Mistakes, name: str) -> None:
    """Names of namespaces, releases and roles contain it."""
    (line,) = mistakes({"runners": {name: {"token_parameter": "/a"}}})
    assert line.startswith(f'example.yaml: runners.{name}: "{name}": not of the accepted form. Accepted: ')


def test_two_fleets_with_one_token_are_refused(mistakes: Mistakes) -> None:
    """Two managers with one token would take each other's jobs; the message names both fleets."""
    parameter = "/cicd/runners/default/token"
    assert mistakes({"runners.other": {"token_parameter": parameter}}) == [
        (
            f'example.yaml: runners.other.token_parameter: "{parameter}": must be a parameter of its own: '
            "the fleet default reads this one"
        )
    ]


@pytest.mark.parametrize(
    "name",
    [
        "cicd/token",
        "/a//b",
        "/a/",
        "/",
        "/a b",
        "/a:1",
        "arn:aws:ssm:eu-central-1:123456789012:parameter/x",
        "/a" * 16,
        "",
    ],
)
def test_a_malformed_parameter_name_is_refused(mistakes: Mistakes, name: str) -> None:
    """A name has up to 15 levels and no version, and is not an ARN."""
    (line,) = mistakes({f"{FLEET}.token_parameter": name})
    assert line.startswith(f'example.yaml: {FLEET}.token_parameter: "{name}": not of the accepted form.')
    assert "such as /cicd/runners/default/token: up to 15 levels" in line


@pytest.mark.parametrize("name", ["/aws/x", "/ssm/x", "/AWS-x"])
def test_a_reserved_parameter_name_is_refused(mistakes: Mistakes, name: str) -> None:
    """Systems Manager reserves these names for AWS, in upper and lower case."""
    (line,) = mistakes({f"{FLEET}.token_parameter": name})
    assert line.startswith(
        f'example.yaml: {FLEET}.token_parameter: "{name}": must not begin with /aws or /ssm'
    )


@pytest.mark.parametrize("name", ["/" + "a" * 1010, "/a" * 15, "/cicd/glrt-token/default", "/my_AWS.x"])
def test_long_parameter_names_pass(write_environment: WriteEnvironment, name: str) -> None:
    """15 levels and 1011 characters are accepted."""
    assert load_settings(write_environment({f"{FLEET}.token_parameter": name}))


@pytest.mark.parametrize(
    "pasted",
    [
        pytest.param(TOKEN, id="token"),
        pytest.param(f"/{TOKEN}", id="behind a slash"),
        pytest.param(f"/cicd/{TOKEN}", id="in a path"),
        pytest.param(f"instance-{TOKEN}", id="with the instance's own prefix"),
        pytest.param([TOKEN], id="in a list"),
        pytest.param({TOKEN: ""}, id="as a key"),
        pytest.param("t1_abcdefghijklmnopqrst", id="of an old GitLab"),
        pytest.param("GR1348941t1_abcdefghijklmnopqrst", id="registration token"),
        pytest.param(f"x{'/' * 70}{TOKEN}", id="where the message is cut"),
    ],
)
def test_a_pasted_token_is_refused_and_never_shown(mistakes: Mistakes, pasted: object) -> None:
    """No part of a token reaches a terminal or a pipeline's log."""
    (line,) = mistakes({f"{FLEET}.token_parameter": pasted})
    assert line.startswith(f"example.yaml: {FLEET}.token_parameter: ")
    assert "t1_" not in line
    assert "abcdef" not in line


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({f"{FLEET}.token": TOKEN}, id="unknown key"),
        pytest.param({f"{FLEET}.{TOKEN}": 1}, id="as a key"),
        pytest.param({f"runners.{TOKEN}": {}}, id="as a fleet's name"),
        pytest.param({f"{FLEET}.concurrent": TOKEN}, id="in another field"),
        pytest.param({f"{FLEET}.kubernetes": [TOKEN]}, id="in place of a section"),
    ],
)
def test_a_token_elsewhere_is_never_shown(mistakes: Mistakes, changes: dict[str, object]) -> None:
    """A token is masked in every other place of the file, too."""
    assert not [line for line in mistakes(changes) if "t1_" in line or "abcdef" in line]


@pytest.mark.parametrize(
    "url",
    [
        "gitlab.com",
        "ftp://gitlab.com",
        "https://user:pass@gitlab.com",
        "https://gitlab.com?x=1",
        "https://gitlab.com:65536",
        "https://-gitlab.com",
        "https://gitlab.com-",
        "https://${host}",
        "https://gitlab.com/{{ x }}",
    ],
)
def test_a_malformed_gitlab_url_is_refused(mistakes: Mistakes, url: str) -> None:
    """A URL has no user, no query, and no template of Terraform or of a chart."""
    (line,) = mistakes({f"{FLEET}.gitlab_url": url})
    words = "settings are not templates" if "{" in url else "not of the accepted form. Accepted: "
    assert line.startswith(f'example.yaml: {FLEET}.gitlab_url: "{url}": {words}')


@pytest.mark.parametrize("url", ["http://10.0.0.1:8080/gitlab/", "https://gitlab", "https://a-b.c:65535"])
def test_the_url_of_a_self_managed_gitlab_passes(write_environment: WriteEnvironment, url: str) -> None:
    """Addresses, ports, paths and names without a domain are accepted."""
    assert load_settings(write_environment({f"{FLEET}.gitlab_url": url}))


@pytest.mark.parametrize(
    "image",
    ["Alpine", "alpine:", "alpine 3", "reg:0/a", "alpine@sha256:ab", "/a", "$", "$1/a", "${A/b", "{{ A }}/b"],
)
def test_a_malformed_image_reference_is_refused(mistakes: Mistakes, image: str) -> None:
    """Kubernetes would refuse each job's pod."""
    (line,) = mistakes({f"{FLEET}.image": image})
    assert line.startswith(f'example.yaml: {FLEET}.image: "{image}": not of the accepted form. Accepted: ')


@pytest.mark.parametrize(
    "image",
    [
        "alpine",
        "a__b/c--d",
        "reg.example.com:65535/a/b_c:V1.2",
        f"a/b:c@sha256:{'0' * 64}",
        "$CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX/alpine:3.22",
        "${REGISTRY}:5000/team-$TEAM/${NAME}:v$TAG@$DIGEST",
    ],
)
def test_image_references_pass(write_environment: WriteEnvironment, image: str) -> None:
    """Registries with a port, tags, digests and the job's variables are accepted."""
    assert load_settings(write_environment({f"{FLEET}.image": image}))


@pytest.mark.parametrize(
    ("key", "value", "accepted"),
    [
        ("concurrent", 0, "0: must be at least 1. Accepted: Maximum number of jobs that a manager"),
        ("concurrent", 10001, "10001: must be at most 10000"),
        ("concurrent", "10", '"10": must be an integer'),
        ("replicas", 0, "0: must be at least 1. Accepted: Number of managers, 1 to 10"),
        ("replicas", 11, "11: must be at most 10"),
        ("poll_timeout_seconds", 59, "59: must be at least 60"),
        ("poll_timeout_seconds", 7201, "7201: must be at most 7200"),
        ("privileged", "yes", '"yes": must be true or false'),
        ("build", None, "null: must be a map"),
    ],
)
def test_a_value_out_of_range_is_refused(mistakes: Mistakes, key: str, value: object, accepted: str) -> None:
    """The message has the value and what is accepted."""
    changes = {FLEET: {"token_parameter": "/a", key: value}}
    (line,) = mistakes(changes)
    assert line.startswith(f"example.yaml: {FLEET}.{key}: {accepted}")


@pytest.mark.parametrize(
    ("changes", "path", "accepted"),
    [
        pytest.param(
            {"cpu_request": "17"}, "cpu_request_overwrite_max_allowed", "cpu_request, which is 17", id="cpu"
        ),
        pytest.param({"cpu_limit": "500m"}, "cpu_limit", "cpu_request, which is 1", id="limit"),
        pytest.param(
            {"cpu_limit": "17"}, "cpu_limit_overwrite_max_allowed", "cpu_limit, which is 17", id="limit max"
        ),
        pytest.param(
            {"memory_request": "17Gi"},
            "memory_request_overwrite_max_allowed",
            "memory_request, which is 17Gi",
            id="memory",
        ),
        pytest.param(
            {"ephemeral_storage_request": "10G", "ephemeral_storage_limit": "9Gi"},
            "ephemeral_storage_limit",
            "ephemeral_storage_request, which is 10G",
            id="disk",
        ),
        pytest.param(
            {"cpu_limit": "2", "cpu_limit_overwrite_max_allowed": "8"},
            "cpu_limit_overwrite_max_allowed",
            "cpu_request_overwrite_max_allowed, which is 16: with the cpu_limit of 2",
            id="maximum above the limit",
        ),
    ],
)
def test_a_request_above_its_limit_or_maximum_is_refused(
    mistakes: Mistakes, changes: dict[str, str], path: str, accepted: str
) -> None:
    """Kubernetes refuses such a pod, and GitLab Runner such a job; 10G is more than 9Gi."""
    (line,) = mistakes({f"{FLEET}.build.{key}": value for key, value in changes.items()})
    assert line.startswith(f"example.yaml: {FLEET}.build.{path}: ")
    assert f"must be at least {accepted}" in line


def test_requests_limits_and_maxima_may_be_equal(write_environment: WriteEnvironment) -> None:
    """A fleet may give every job the same resources."""
    names = ("request", "limit", "request_overwrite_max_allowed", "limit_overwrite_max_allowed")
    for kind, amount in (("cpu", "16"), ("memory", "16Gi"), ("ephemeral_storage", "16G")):
        assert load_settings(write_environment({f"{FLEET}.build.{kind}_{name}": amount for name in names}))


@pytest.mark.parametrize(
    ("names", "path", "accepted"),
    [
        pytest.param(["big", "spot"], ".1", '"spot": must be one of main, big', id="unknown"),
        pytest.param(["big", "big"], ".1", '"big": must not be in the list twice', id="twice"),
        pytest.param("big", "", '"big": must be a list', id="no list"),
    ],
)
def test_an_unknown_node_group_of_a_fleet_is_refused(
    mistakes: Mistakes, names: object, path: str, accepted: str
) -> None:
    """The fleet's jobs would wait for a node that never starts."""
    (line,) = mistakes({f"{FLEET}.node_groups": names})
    assert line.startswith(f"example.yaml: {FLEET}.node_groups{path}: {accepted}")


@pytest.mark.parametrize("names", [None, ["main", "arm"]])
def test_a_fleet_on_two_architectures_is_refused(mistakes: Mistakes, names: list[str] | None) -> None:
    """The helper image has one architecture; that holds for the default groups, too."""
    fleet = {"token_parameter": "/a"} | ({"node_groups": names} if names else {})
    (line,) = mistakes({"cluster.node_groups.arm": ARM, FLEET: fleet})
    assert line.startswith(f"example.yaml: {FLEET}.node_groups: ")
    assert "must name groups of one architecture" in line
    assert "arm is arm64" in line
    assert "main is amd64" in line


def test_tainted_groups_of_another_architecture_pass(write_environment: WriteEnvironment) -> None:
    """A fleet without node_groups uses no group with taints."""
    taints = [{"key": "arm", "effect": "NO_SCHEDULE"}]
    settings = load_settings(write_environment({"cluster.node_groups.arm": {**ARM, "taints": taints}}))
    placed = settings.runners["default"].placed_on(settings.cluster.node_groups)
    assert sorted(placed) == ["big", "main"]


@pytest.mark.parametrize("kind", ["pod_labels", "pod_annotations"])
@pytest.mark.parametrize(
    "key",
    [
        "pod",
        "gitlab-runner-fleet",
        "cluster-autoscaler.kubernetes.io/safe-to-evict",
        "runner.gitlab.com/id",
        "job.runner.gitlab.com/id",
    ],
)
def test_reserved_keys_of_job_pods_are_refused(mistakes: Mistakes, kind: str, key: str) -> None:
    """The project and GitLab Runner set these keys themselves."""
    assert mistakes({f"{FLEET}.{kind}": {key: "x"}}) == [
        (
            f'example.yaml: {FLEET}.{kind}.{key}: "x": must be a key that neither this project nor '
            "GitLab Runner sets itself"
        )
    ]


@pytest.mark.parametrize(
    ("kind", "value"), [("pod_labels", "a b"), ("pod_labels", "${A} b"), ("pod_annotations", "two\nlines")]
)
def test_malformed_label_and_annotation_values_are_refused(mistakes: Mistakes, kind: str, value: str) -> None:
    """A label has no spaces, an annotation one line."""
    (line,) = mistakes({f"{FLEET}.{kind}": {"a": value}})
    assert line.startswith(f"example.yaml: {FLEET}.{kind}.a: ")
    assert "not of the accepted form. Accepted: Up to 50 " in line


def test_variables_pass_in_labels_and_annotations(write_environment: WriteEnvironment) -> None:
    """The runner replaces variables in both spellings."""
    values = {"a": "$CI_PROJECT_ID-${CI_JOB_ID}", "example.com/b": ""}
    fleet = {"token_parameter": "/a", "pod_labels": values, "pod_annotations": {**values, "c": "x: y z"}}
    assert load_settings(write_environment({FLEET: fleet})).runners["default"].pod_labels == values


@pytest.mark.parametrize(
    "table", ["", "build_container_security_context.", "service_container_security_context."]
)
def test_a_privileged_fleet_may_not_deny_more_privileges(mistakes: Mistakes, table: str) -> None:
    """Kubernetes refuses each pod with such a container, and `privileged` is true by default."""
    path = f"{FLEET}.kubernetes.{table}allow_privilege_escalation"
    assert mistakes({path: False}) == [
        (
            f"example.yaml: {path}: false: must be true or left out, because the fleet has "
            "`privileged: true`: Kubernetes refuses a privileged container that may not get more privileges"
        )
    ]


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"cap_add": ["CHOWN", "NET_ADMIN"]}, 'cap_add.1: "NET_ADMIN": must be one of AUDIT_WRITE, CHOWN, '),
        (
            {"helper_container_security_context": {"capabilities": {"add": ["SYS_ADMIN"]}}},
            'helper_container_security_context.capabilities.add.0: "SYS_ADMIN": must be one of AUDIT_WRITE, ',
        ),
        (
            {"build_container_security_context": {"proc_mount": "unmasked"}},
            'build_container_security_context.proc_mount: "unmasked": must be Default, or a patch in ',
        ),
        (
            {"pod_security_context": {"selinux_type": "spc_t"}},
            'pod_security_context.selinux_type: "spc_t": must be one of container_t, container_init_t, ',
        ),
        (
            {"volumes": {"host_path": [VOLUME]}},
            'volumes.host_path.0: {"name": "a", "mount_path": "/a"}: must be a volume of another kind',
        ),
        (
            {"volumes": {"pvc": [{**VOLUME, "mount_propagation": "Bidirectional"}]}},
            'volumes.pvc.0.mount_propagation: "Bidirectional": must be None or HostToContainer: ',
        ),
    ],
    ids=lambda value: value.partition(": ")[0] if isinstance(value, str) else "",
)
def test_a_fleet_that_is_not_privileged_keeps_to_pod_security(
    mistakes: Mistakes, write_environment: WriteEnvironment, settings: dict[str, object], shown: str
) -> None:
    """The namespace of its jobs refuses such pods; a privileged fleet may have them."""
    (line,) = mistakes({f"{FLEET}.privileged": False, f"{FLEET}.kubernetes": settings})
    assert line.startswith(f"example.yaml: {FLEET}.kubernetes.{shown}")
    assert line.endswith(BASELINE)
    assert load_settings(write_environment({f"{FLEET}.kubernetes": settings}))


@pytest.mark.parametrize(
    ("patch", "refused"),
    [
        ("hostNetwork: true", '"hostNetwork: true"'),
        ("hostIPC: yes", '"hostIPC: true"'),
        ("hostPID: true", '"hostPID: true"'),
        ("volumes: [{name: a, hostPath: {path: /}}]", '"hostPath: {\\"path\\": \\"/\\"}"'),
        ("containers: [{name: build, ports: [{hostPort: 80}]}]", '"hostPort: 80"'),
        ("containers: [{name: build, securityContext: {privileged: true}}]", '"privileged: true"'),
        ("initContainers: [{securityContext: {procMount: Unmasked}}]", '"procMount: \\"Unmasked\\""'),
        (
            "containers: [{securityContext: {capabilities: {add: [KILL, NET_ADMIN]}}}]",
            '"capabilities.add: NET_ADMIN"',
        ),
        ("securityContext: {seccompProfile: {type: Unconfined}}", '"seccompProfile.type: Unconfined"'),
        ("securityContext: {seLinuxOptions: {type: spc_t}}", '"seLinuxOptions.type: spc_t"'),
        ("[{op: add, path: /hostNetwork, value: true}]", '"hostNetwork: true"'),
        (
            "[{op: add, path: /containers/0/securityContext/capabilities/add/-, value: NET_ADMIN}]",
            '"capabilities.add: NET_ADMIN"',
        ),
    ],
)
def test_a_patch_of_the_pod_keeps_to_pod_security(
    mistakes: Mistakes, write_environment: WriteEnvironment, patch: str, refused: str
) -> None:
    """A fleet that is not privileged can't get around the level with a patch of any type."""
    kind = "json" if patch.startswith("[") else "strategic"
    settings = {f"{FLEET}.kubernetes.pod_spec": [{"patch": patch, "patch_type": kind}]}
    assert mistakes({f"{FLEET}.privileged": False, **settings}) == [
        f"example.yaml: {FLEET}.kubernetes.pod_spec.0.patch: {refused}: must not be in the patch: {BASELINE}"
    ]
    assert load_settings(write_environment(settings))


@pytest.mark.parametrize(
    "settings",
    [
        {"allow_privilege_escalation": False},
        {"cap_add": ["NET_ADMIN"], "cap_drop": ["NET_ADMIN"]},
        {"build_container_security_context": {"capabilities": {"add": ["CHOWN"], "drop": ["ALL"]}}},
        {"pod_security_context": {"selinux_type": "container_t"}},
        {"pod_spec": [{"patch": "{hostUsers: false, hostNetwork: false}"}]},
        {"pod_spec": [{"patch": "[{op: remove, path: /hostNetwork}]", "patch_type": "json"}]},
        {"pod_spec": [{"patch_path": "/patches/pod.yaml"}]},
        {
            "pod_spec": [{"patch": "hostUsers: false"}],
            "build_container_security_context": {"proc_mount": "Unmasked"},
        },
    ],
)
def test_a_fleet_that_is_not_privileged_may_have_what_pod_security_accepts(
    write_environment: WriteEnvironment, settings: dict[str, object]
) -> None:
    """User namespaces, fewer privileges, and the capabilities of `baseline` are accepted."""
    changes = {f"{FLEET}.privileged": False, f"{FLEET}.kubernetes": settings}
    assert load_settings(write_environment(changes))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("termination_grace_period_seconds", 179),
        ("termination_grace_period_seconds", 86401),
        ("unhealthy_requests_limit", 0),
        ("unhealthy_interval", "0s"),
        ("unhealthy_interval", "2 m"),
        ("unhealthy_interval", "1h30min"),
        ("request_concurrency", 0),
        ("request_concurrency", 11),
    ],
)
def test_numbers_that_stop_a_manager_are_refused(mistakes: Mistakes, key: str, value: object) -> None:
    """The message names the setting and its range, for requests also the fleet's `concurrent`."""
    (line,) = mistakes({f"{FLEET}.{key}": value})
    assert line.startswith(f"example.yaml: {FLEET}.{key}: ")
    assert value != 11 or "must be at most concurrent, which is 10" in line


@pytest.mark.parametrize("tags", [["a,b"], [" a"], [""], ["a\nb"], ["a" * 256], ["eks", "eks"], "eks"])
def test_a_tag_that_gitlab_would_not_keep_is_refused(mistakes: Mistakes, tags: object) -> None:
    """GitLab separates tags by commas and strips spaces around them."""
    (line,) = mistakes({f"{FLEET}.tags": tags})
    assert line.startswith(f"example.yaml: {FLEET}.tags")


def test_a_tag_may_have_spaces(write_environment: WriteEnvironment) -> None:
    """GitLab accepts every sign but the comma inside of a tag; an empty list is a runner without tags."""
    for tags in (["big nodes", "größe:xl"], []):
        settings = load_settings(write_environment({f"{FLEET}.tags": tags}))
        assert settings.runners["default"].tags == tuple(tags)


def test_a_volume_of_the_runners_name_is_refused(
    mistakes: Mistakes, write_environment: WriteEnvironment
) -> None:
    """The runner makes a volume `repo`, unless the fleet mounts one at the folder of the repositories."""

    def volumes(path: str) -> dict[str, object]:
        return {f"{FLEET}.kubernetes": {"volumes": {"empty_dir": [{"name": "repo", "mount_path": path}]}}}

    (line,) = mistakes(volumes("/x"))
    assert line.startswith(
        f'example.yaml: {FLEET}.kubernetes.volumes.empty_dir.0.name: "repo": must be another'
    )
    assert load_settings(write_environment(volumes("/builds")))


def test_jobs_have_not_the_priority_of_managers(mistakes: Mistakes) -> None:
    """A manager without a node gets the next free place before any job."""
    (line,) = mistakes({f"{FLEET}.kubernetes": {"priority_class_name": "gitlab-runner-manager"}})
    assert line.startswith(
        f'example.yaml: {FLEET}.kubernetes.priority_class_name: "gitlab-runner-manager": must'
    )
