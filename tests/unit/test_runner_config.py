"""GitLab Runner's own configuration (TOML) in a fleet's Helm values."""

import json
import re
import tomllib
from collections.abc import Callable
from typing import Any

import pytest
from ruamel.yaml import YAML

from stacks.runner_config import runner_toml
from stacks.settings.node_groups import NodeGroupSettings
from stacks.settings.runners import RunnerSettings
from tests.environments import Synthesized, runners
from tests.recipes import recipes

OWN_KEYS = {
    "runners.default.kubernetes": {
        "cleanup_grace_period_seconds": 0,
        "retry_limit": 3,
        "retry_limits": {"exceeded quota": 40, "x509": 2},
    },
    "runners.default.unhealthy_requests_limit": 5,
    "runners.default.unhealthy_interval": "90s",
    "runners.default.request_concurrency": 10,
}


def config_text(stacks: Synthesized) -> str:
    """Return `runners.config` of the only fleet."""
    (release,) = (
        release
        for release in stacks["workloads"]["resource"]["helm_release"].values()
        if release["chart"] == "gitlab-runner"
    )
    text: str = YAML(typ="safe").load(release["values"][0])["runners"]["config"]
    return text


def kubernetes(stacks: Synthesized) -> dict[str, Any]:
    """Return the `[runners.kubernetes]` table of the only fleet."""
    (runner,) = tomllib.loads(config_text(stacks))["runners"]
    executor: dict[str, Any] = runner["kubernetes"]
    return executor


def test_the_chart_gets_one_runner_and_no_global_option(example: Synthesized) -> None:
    """The chart accepts exactly one `[[runners]]`, and writes the global options itself."""
    config = tomllib.loads(config_text(example))
    assert set(config) == {"runners"}
    assert len(config["runners"]) == 1


def test_keys_of_the_chart_are_not_set_twice(example: Synthesized) -> None:
    """URL and name come from the chart's own values, the token from the Secret."""
    (runner,) = tomllib.loads(config_text(example))["runners"]
    assert not {"url", "token", "name", "id"} & set(runner)


def test_a_job_gets_the_default_requests(example: Synthesized) -> None:
    """A job without requests of its own gets one CPU and 4 GiB."""
    assert kubernetes(example)["cpu_request"] == "1"
    assert kubernetes(example)["memory_request"] == "4Gi"


def test_a_job_may_ask_for_the_default_maxima(example: Synthesized) -> None:
    """A job may raise request and limit to 16 CPUs and 16 GiB."""
    for kind in ("request", "limit"):
        assert kubernetes(example)[f"cpu_{kind}_overwrite_max_allowed"] == "16"
        assert kubernetes(example)[f"memory_{kind}_overwrite_max_allowed"] == "16Gi"


def test_job_containers_are_privileged_as_the_settings_say(
    synthesize_changed: Callable[..., Synthesized], example: Synthesized
) -> None:
    """Jobs of the example environment are privileged; with `privileged: false` they are not."""
    assert kubernetes(example)["privileged"] is True
    assert kubernetes(synthesize_changed({"runners.default.privileged": False}))["privileged"] is False


def test_jobs_run_in_the_namespace_for_jobs(example: Synthesized) -> None:
    """The executor uses the namespace that the stack publishes for the fleet's jobs."""
    (namespace,) = example["workloads"]["output"]["job_namespaces"]["value"].values()
    assert kubernetes(example)["namespace"] == namespace


def test_job_pods_are_marked_as_not_safe_to_evict(example: Synthesized) -> None:
    """The autoscaler does not remove a node with a running job."""
    annotations = kubernetes(example)["pod_annotations"]
    assert annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"


def test_job_pods_get_no_kubernetes_token(example: Synthesized) -> None:
    """Kubernetes mounts no service account token in a job pod."""
    assert kubernetes(example)["automount_service_account_token"] is False


def test_helper_and_service_containers_have_requests_of_their_own(example: Synthesized) -> None:
    """The scheduler counts all containers of a job, not only the build container."""
    for kind in ("helper", "service"):
        assert kubernetes(example)[f"{kind}_cpu_request"] == "100m"
        assert kubernetes(example)[f"{kind}_memory_request"] == "128Mi"


def test_each_kind_of_container_is_configured_under_its_own_keys(
    synthesize_changed: Callable[..., Synthesized],
) -> None:
    """`build`, `helper` and `service` each set the executor's keys of their own prefix."""
    changed = {
        "runners.default.build": {"cpu_limit": "3"},
        "runners.default.helper": {"cpu_limit": "500m"},
        "runners.default.service": {"cpu_limit": "2", "memory_limit_overwrite_max_allowed": "8Gi"},
    }
    executor = kubernetes(synthesize_changed(changed))
    assert executor["cpu_limit"] == "3"
    assert executor["helper_cpu_limit"] == "500m"
    assert executor["service_cpu_limit"] == "2"
    assert executor["service_memory_limit_overwrite_max_allowed"] == "8Gi"


def test_maxima_that_are_not_set_are_not_written(synthesize_changed: Callable[..., Synthesized]) -> None:
    """The settings omit a maximum, and so does the configuration: an empty one has another meaning."""
    executor = kubernetes(synthesize_changed({"runners.default.build": {"cpu_request": "2"}}))
    assert executor["cpu_request"] == "2"
    assert not {key for key in executor if re.match(r"(cpu|memory).*_overwrite_max_allowed", key)}


def test_a_job_waits_for_a_new_node(
    synthesize_changed: Callable[..., Synthesized], example: Synthesized
) -> None:
    """A pod may stay Pending for a quarter of an hour, or as long as the settings say."""
    assert kubernetes(example)["poll_timeout"] == 900
    changed = synthesize_changed({"runners.default.poll_timeout_seconds": 1800})
    assert kubernetes(changed)["poll_timeout"] == 1800


def test_docker_in_docker_finds_its_certificates(example: Synthesized) -> None:
    """Build and service containers of a privileged job share the folder of Docker's certificates."""
    volumes = kubernetes(example)["volumes"]["empty_dir"]
    assert "/certs/client" in [volume["mount_path"] for volume in volumes]


def test_neither_terraform_nor_helm_rewrites_the_configuration(example: Synthesized) -> None:
    """Apart from references to resources, the configuration has no template expression."""
    assert not re.search(r"\$\{(?!aws_|data\.)|%\{|\{\{", config_text(example))


def test_variables_of_a_job_reach_the_runner_unchanged(
    synthesize_changed: Callable[..., Synthesized],
) -> None:
    """The runner replaces the variables of `image`; Terraform, which reads `${`, gets it escaped."""
    image = "${CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX}/alpine:$TAG"
    changed = synthesize_changed({"runners.default.image": image})
    assert kubernetes(changed)["image"] == image.replace("${", "$${")


def test_a_job_may_run_in_other_folders(synthesize_changed: Callable[..., Synthesized]) -> None:
    """`builds_dir` is a key of `[[runners]]`; the folders of logs and scripts are the executor's."""
    recipe = recipes()["User namespaces"]
    found = runners(synthesize_changed(recipe))["userns"]
    assert found["builds_dir"] == "/tmp/builds"
    assert found["kubernetes"]["logs_base_dir"] == found["kubernetes"]["scripts_base_dir"] == "/tmp"


def test_user_namespaces_reach_the_pod(synthesize_changed: Callable[..., Synthesized]) -> None:
    """The recipe's patch sets `hostUsers: false`, and its flag is on."""
    found = runners(synthesize_changed(recipes()["User namespaces"]))["userns"]
    (patch,) = found["kubernetes"]["pod_spec"]
    assert patch["patch_type"] == "json"
    assert json.loads(patch["patch"]) == [{"op": "add", "path": "/hostUsers", "value": False}]
    assert found["feature_flags"] == {"FF_USE_ADVANCED_POD_SPEC_CONFIGURATION": True}
    assert found["kubernetes"]["privileged"] is False


def test_the_pod_of_a_finished_job_goes_within_seconds(
    synthesize_changed: Callable[..., Synthesized], example: Synthesized
) -> None:
    """Its shell ignores TERM, so without the key it would stay for 30 seconds; a fleet's own value wins."""
    assert kubernetes(example)["cleanup_grace_period_seconds"] == 5
    own = synthesize_changed(OWN_KEYS)
    assert kubernetes(own)["cleanup_grace_period_seconds"] == 0


def test_a_moment_without_the_kubernetes_api_fails_no_job(
    synthesize_changed: Callable[..., Synthesized], example: Synthesized
) -> None:
    """The manager tries again for half a minute; a fleet's own numbers win, and its errors are added."""
    assert kubernetes(example)["retry_limit"] == 20
    limits = kubernetes(example)["retry_limits"]
    assert {"exceeded quota", "the object has been modified", "etcdserver: leader changed"} <= limits.keys()
    assert set(limits.values()) == {20}
    own = kubernetes(synthesize_changed(OWN_KEYS))
    assert own["retry_limit"] == 3
    assert own["retry_limits"] == {**dict.fromkeys(limits, 3), "exceeded quota": 40, "x509": 2}


def test_a_manager_asks_gitlab_again_soon_after_an_outage(
    synthesize_changed: Callable[..., Synthesized], example: Synthesized
) -> None:
    """The runner's own defaults, 3 requests and an hour, would stop a fleet for an hour after 10 seconds."""
    (runner,) = tomllib.loads(config_text(example))["runners"]
    assert (runner["unhealthy_requests_limit"], runner["unhealthy_interval"]) == (30, "2m")
    (own,) = tomllib.loads(config_text(synthesize_changed(OWN_KEYS)))["runners"]
    assert (own["unhealthy_requests_limit"], own["unhealthy_interval"]) == (5, "90s")


@pytest.mark.parametrize(("concurrent", "expected"), [(1, 1), (2, 2), (4, 2), (20, 5), (150, 20)])
def test_requests_for_jobs_follow_concurrent(concurrent: int, expected: int) -> None:
    """GitLab's examples are 5 for 20 jobs and 20 for 150; never more than jobs."""
    config = runner_toml(
        "default",
        RunnerSettings(token_parameter="/token", concurrent=concurrent),
        job_namespace="jobs",
        node_groups={"main": NodeGroupSettings(instance_types=("m5.large",), max_size=1)},
        cache_bucket="cache",
        region="eu-central-1",
        cache_role_arn=None,
        protect_running_jobs=True,
    )
    (runner,) = tomllib.loads(config)["runners"]
    assert runner["request_concurrency"] == expected


def test_the_settings_may_say_how_many_requests_for_jobs(
    synthesize_changed: Callable[..., Synthesized],
) -> None:
    """`request_concurrency` replaces the default."""
    (own,) = tomllib.loads(config_text(synthesize_changed(OWN_KEYS)))["runners"]
    assert own["request_concurrency"] == 10


@pytest.mark.parametrize(
    "settings",
    [
        {"pod_termination_grace_period_seconds": 60},
        {"container_lifecycle": {"pre_stop": {"exec": {"command": ["sleep", "30"]}}}},
    ],
)
def test_the_grace_that_a_fleet_sets_is_kept(
    synthesize_changed: Callable[..., Synthesized], settings: dict[str, Any]
) -> None:
    """The runner's cleanup would replace the pod's own grace."""
    changed = synthesize_changed({"runners.default.kubernetes": settings})
    assert "cleanup_grace_period_seconds" not in kubernetes(changed)
