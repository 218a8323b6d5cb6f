"""`python -m jobs` answers whether a job would run, where, and what to change."""

import json
import random
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from jobs.__main__ import main
from jobs.ci_file import Job, read_pipeline
from jobs.ci_yaml import Place
from jobs.explain import Answer, Verdict, explain
from jobs.instance_sizes import InstanceSize, parse_sizes
from jobs.quantities import parse_quantity
from jobs.scheduling import Group, choose_groups
from jobs.variables import Variable
from stacks.errors import UserError
from stacks.resources import RESOURCES
from stacks.settings import Settings
from stacks.settings.autoscaler import AutoscalerSettings
from stacks.settings.load import PROJECT, load_settings
from tests.environments import Changes, WriteEnvironment

Ask = Callable[..., Answer]
PLACE = Place("ci.yml", 7)


@pytest.fixture
def settings(write_environment: WriteEnvironment) -> Callable[..., Settings]:
    """Return the example's settings with some changed."""

    def load(changes: Changes | None = None) -> Settings:
        return load_settings(write_environment(changes))

    return load


@pytest.fixture
def ask(settings: Callable[..., Settings], tmp_path: Path) -> Ask:
    """Return the answer for a job of a CI file with these variables and further keys."""

    def answer(
        variables: dict[str, Any] | None = None, changes: Changes | None = None, **keys: Any
    ) -> Answer:
        job = {"script": "make", "tags": ["eks"], "variables": variables or {}, **keys}
        (tmp_path / "ci.yml").write_text(json.dumps({"job": job}))
        pipeline = read_pipeline(tmp_path / "ci.yml", variables={})
        (found,) = explain(pipeline.jobs, settings(changes))
        return found

    return answer


def amounts(answer: Answer, which: str) -> dict[str, dict[str, str]]:
    """Return the requests or limits of each container."""
    resources = {resource.key: resource for resource in RESOURCES}
    return {
        container.name: {
            resources[key].name: resources[key].write(amount)
            for key, amount in sorted(getattr(container, which).items())
        }
        for container in answer.pod.containers
    }


def test_a_pod_has_the_defaults_of_runner_and_limit_range(ask: Ask) -> None:
    """The runner sets the fleet's requests; the LimitRange gives each container a limit."""
    answer = ask(services=["postgres:17"])
    small = {"cpu": "100m", "memory": "128Mi"}
    assert amounts(answer, "requests") == {
        "build": {"cpu": "1", "memory": "4Gi"},
        "helper": small,
        "service postgres:17": small,
    }
    assert set(map(str, amounts(answer, "limits").values())) == {str({"cpu": "16", "memory": "16Gi"})}


def test_a_limit_without_a_request_is_the_request_too(ask: Ask) -> None:
    """The API server sets it before the LimitRange gives its own default."""
    answer = ask({}, {"runners.default.service": {"memory_limit": "1Gi"}}, services=["a"])
    assert amounts(answer, "requests")["service a"] == {"cpu": "100m", "memory": "1Gi"}


def test_the_job_changes_its_build_container(ask: Ask) -> None:
    """`KUBERNETES_CPU_REQUEST` and `KUBERNETES_MEMORY_LIMIT`, up to the fleet's maxima."""
    answer = ask({"KUBERNETES_CPU_REQUEST": 3, "KUBERNETES_MEMORY_LIMIT": "5G"})
    assert amounts(answer, "requests")["build"]["cpu"] == "3"
    assert answer.pod.containers[0].limits["memory"] == Decimal("5e9")
    assert answer.verdict is Verdict.RUNS


def test_a_variable_without_a_maximum_has_no_effect(ask: Ask) -> None:
    """The runner ignores it silently, and the report says so; also if its value is unknown."""
    answer = ask({"KUBERNETES_HELPER_CPU_REQUEST": "$SIZE", "KUBERNETES_NODE_SELECTOR_A": "a=b"})
    assert answer.verdict is Verdict.RUNS
    assert ["no effect" in note for note in answer.notes] == [True, True]


def test_a_variable_of_a_service_is_for_it_alone(ask: Ask) -> None:
    """`services:variables`, up to the maximum of `service`."""
    changes = {
        "runners.default.service.cpu_request": "100m",
        "runners.default.service.cpu_request_overwrite_max_allowed": "2",
    }
    big = {"name": "docker:dind", "variables": {"KUBERNETES_SERVICE_CPU_REQUEST": "2"}}
    requests = amounts(ask({}, changes, services=["redis:8", big]), "requests")
    assert (requests["service redis:8"]["cpu"], requests["service docker:dind"]["cpu"]) == ("100m", "2")


@pytest.mark.parametrize(
    ("variables", "who", "text", "nearest"),
    [
        ({"KUBERNETES_CPU_REQUEST": "20"}, "runner", "20 is higher than 16", "16"),
        ({"KUBERNETES_MEMORY_REQUEST": "4GB"}, "runner", "not a Kubernetes quantity", "4G"),
        ({"KUBERNETES_MEMORY_REQUEST": "lots"}, "runner", "not a Kubernetes quantity", "16Gi"),
        ({"KUBERNETES_CPU_LIMIT": "500m"}, "Kubernetes", "request 1 is above the limit 500m", "1"),
        ({"KUBERNETES_CPU_REQUEST": "-1"}, "Kubernetes", "is below zero", "100m"),
        ({"KUBERNETES_MEMORY_LIMIT": "3G"}, "Kubernetes", "4Gi is above the limit 3000000000", "4Gi"),
    ],
)
def test_a_refused_job_gets_the_nearest_value_that_works(
    ask: Ask, variables: dict[str, str], who: str, text: str, nearest: str
) -> None:
    """The report names the program, the reason and the line."""
    answer = ask(variables)
    (problem,) = answer.problems
    assert answer.verdict is Verdict.CANNOT
    assert (problem.who, problem.nearest) == (who, nearest)
    assert text in problem.text
    assert f'ci.yml:1: {next(iter(variables))}: "{nearest}"' in problem.change


def test_a_job_that_no_node_can_hold_gets_what_the_largest_one_has(ask: Ask) -> None:
    """The maximum accepts 16 CPU, and an m5.2xlarge has 7760m for a job with its helper's 100m."""
    changes = {"runners.default.node_groups": ["main"]}
    (problem,) = ask({"KUBERNETES_CPU_REQUEST": "16"}, changes).problems
    assert (problem.who, problem.nearest) == ("scheduler", "7660m")
    assert ask({"KUBERNETES_CPU_REQUEST": "7660m"}, changes).fits == ("main",)
    assert ask({"KUBERNETES_CPU_REQUEST": "7661m"}, changes).fits == ()


def test_a_maximum_above_every_node_is_not_the_nearest_value(ask: Ask) -> None:
    """20 CPU become 16 by the runner's maximum, and 7660m by the node."""
    answer = ask({"KUBERNETES_CPU_REQUEST": "20"}, {"runners.default.node_groups": ["main"]})
    assert [problem.nearest for problem in answer.problems] == ["7660m"]


def test_the_autoscaler_adds_the_node_that_wastes_least(ask: Ask) -> None:
    """A small job fits on both groups, a big one on `big` alone."""
    small, big = ask({"KUBERNETES_CPU_REQUEST": "2"}), ask({"KUBERNETES_CPU_REQUEST": "16"})
    assert (small.fits, small.chosen) == (("big", "main"), ("main",))
    assert (big.fits, big.chosen) == (("big",), ("big",))


def test_the_autoscaler_follows_the_priorities(ask: Ask) -> None:
    """With the expander `priority` the highest number wins."""
    priorities = {"expander": "priority", "expander_priorities": {"main": 1, "big": 2}}
    assert ask({}, {"autoscaler": priorities}).chosen == ("big",)


def test_an_image_that_the_fleet_does_not_allow_is_refused(ask: Ask) -> None:
    """`allowed_images` are patterns in which * ends at a slash."""
    changes = {"runners.default.kubernetes": {"allowed_images": ["registry.example.com/*/*:*"]}}
    assert ask({}, changes, image="registry.example.com/ci/base:1").verdict is Verdict.RUNS
    assert ask({}, changes, image="registry.example.com/ci/x/base:1").verdict is Verdict.CANNOT
    assert ask({}, changes, image="$IMAGE").verdict is Verdict.UNKNOWN


def test_root_does_not_start_on_a_fleet_of_other_users(ask: Ask) -> None:
    """`kubernetes:user` of image or service; the level `baseline` alone accepts root."""
    root = {"name": "alpine", "kubernetes": {"user": 0}}
    non_root = {"runners.default.kubernetes.pod_security_context": {"run_as_non_root": True}}
    own = {"runners.default.kubernetes.build_container_security_context": {"run_as_user": 1000}}
    assert ask(image=root).verdict is Verdict.RUNS
    assert ask({}, {"runners.default.privileged": False}, image=root).verdict is Verdict.RUNS
    assert ask({}, {**non_root, **own}, image=root).verdict is Verdict.RUNS
    assert ask({}, non_root, image={"name": "a", "kubernetes": {"user": "$U"}}).verdict is Verdict.UNKNOWN
    assert ask({}, non_root, image={"name": "a", "kubernetes": {"user": "1000"}}).verdict is Verdict.RUNS
    for keys in ({"image": root}, {"services": [root]}):
        (problem,) = ask({}, non_root, **keys).problems
        assert problem.who == "kubelet"
        assert "the user 0 is root" in problem.text


def test_the_tags_choose_the_fleet(ask: Ask) -> None:
    """A fleet takes a job if it has all of the job's tags; unknown tags are never guessed."""
    assert ask({}, tags=["eks"]).fleet == "default"
    other = ask({}, tags=["gpu"])
    assert (other.fleet, other.verdict, other.problems[0].nearest) == (None, Verdict.CANNOT, "[eks]")
    unknown = ask({}, {"runners.default.tags": None})
    assert (unknown.fleet, unknown.verdict) == (None, Verdict.UNKNOWN)
    assert "--fleet" in unknown.unknown[0]
    (reason,) = ask({}, tags=[]).unknown
    assert reason.endswith("and whether default runs untagged jobs is only in GitLab: choose with --fleet")
    assert ask({}, {"runners.default.tags": []}, tags=[]).fleet == "default"


def test_an_instance_type_of_unknown_size_is_named(settings: Callable[..., Settings]) -> None:
    """The message has the flag; with the size the job fits."""
    changed = settings(
        {"cluster.node_groups.big.instance_types": ["m99.8xlarge"], "runners.default.node_groups": ["big"]}
    )
    job = Job("job", PLACE)
    (unknown,) = explain((job,), changed, fleet="default")
    assert unknown.verdict is Verdict.UNKNOWN
    assert "--instance-type m99.8xlarge=" in unknown.unknown[0]
    (known,) = explain((job,), changed, fleet="default", sizes=parse_sizes(["m99.8xlarge=32:131072"]))
    assert known.fits == ("big",)


@pytest.mark.parametrize("text", ["m5.large", "m5.large=2", "m5.large=2:x", "=2:3", "m5.large=0:8192"])
def test_a_size_of_another_form_is_refused(text: str) -> None:
    """The message shows the form."""
    with pytest.raises(UserError, match="must be TYPE=VCPUS:MIB"):
        parse_sizes([text])


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1.5", "1.5"),
        ("500m", "0.5"),
        (".5", "0.5"),
        ("1e3", "1000"),
        ("2Ki", "2048"),
        ("1E", "1e18"),
        ("+1", "1"),
    ],
)
def test_a_quantity_is_read_as_kubernetes_reads_it(text: str, amount: str) -> None:
    """A job may write more forms than the settings accept."""
    assert parse_quantity(text) == Decimal(amount)


@pytest.mark.parametrize("text", ["", "4GB", "1 Gi", "x", "1ki", "0x1", "1_0", "--1", "1e", "NaN"])
def test_a_text_that_is_no_quantity_is_refused(text: str) -> None:
    """Kubernetes would not read it either."""
    assert parse_quantity(text) is None


# --- Promises for all jobs, tried with random ones

VALUES = ("", "100m", "1", "2.5", "7", "12", "16", "20", "512Mi", "4Gi", "9G", "16Gi", "20Gi", "4GB", "-1")
NAMES = [
    f"KUBERNETES_{kind}{resource}_{which}"
    for kind in ("", "SERVICE_", "HELPER_")
    for resource in ("CPU", "MEMORY")
    for which in ("REQUEST", "LIMIT")
]


def random_job(chance: random.Random) -> Job:
    """Return a job with random values of some variables."""
    names = chance.sample(NAMES, chance.randint(0, 4))
    return Job("job", PLACE, variables={name: Variable(chance.choice(VALUES), PLACE) for name in names})


@pytest.fixture
def random_answers(settings: Callable[..., Settings]) -> Callable[..., list[Answer]]:
    """Return the answers for 300 random jobs, always the same ones."""

    def answers(changes: Changes | None = None) -> list[Answer]:
        chance = random.Random(15)
        return explain(tuple(random_job(chance) for _ in range(300)), settings(changes), fleet="default")

    return answers


def test_the_changes_of_a_refused_job_together_work(
    random_answers: Callable[..., list[Answer]], settings: Callable[..., Settings]
) -> None:
    """The nearest values were tried."""
    example = settings()
    refused = [answer for answer in random_answers() if answer.verdict is Verdict.CANNOT]
    assert len(refused) > 50
    for answer in refused:
        assert all(problem.variable and problem.nearest for problem in answer.problems)
        values = {str(problem.variable): Variable(problem.nearest) for problem in answer.problems}
        job = replace(answer.job, variables={**answer.job.variables, **values})
        (again,) = explain((job,), example, fleet="default")
        assert again.verdict is Verdict.RUNS, (answer.job.variables, answer.problems, again.problems)


def test_an_admitted_pod_keeps_to_the_rules(random_answers: Callable[..., list[Answer]]) -> None:
    """No request is above its limit, no limit above the LimitRange's, and a new node can hold the pod."""
    admitted = [answer for answer in random_answers() if answer.verdict is Verdict.RUNS]
    assert len(admitted) > 50
    for answer in admitted:
        assert answer.chosen
        assert {*answer.chosen} <= {*answer.fits}
        for container in answer.pod.containers:
            for key, most in (("cpu", Decimal(16)), ("memory", Decimal(16 * 1024**3))):
                assert 0 <= container.requests[key] <= container.limits[key] <= most


def test_equal_groups_are_chosen_at_random() -> None:
    """Then the report names both."""
    room = {"cpu": 8000, "memory": 30000, "ephemeral_storage": 90000}
    groups = [Group("a", room, room), Group("b", room, room)]
    assert choose_groups({"cpu": Decimal(1)}, groups, AutoscalerSettings()) == ["a", "b"]


# --- The command


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `python -m jobs explain` in this process; return the exit status and what it prints."""

    def explain_file(name: str, text: str, *options: str) -> tuple[int, str]:
        (tmp_path / name).write_text(text)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["jobs", "explain", name, *options, "--environment", "example"])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        message = ended.value.code if isinstance(ended.value.code, str) else ""  # Python prints it, status 1
        status = 1 if message else int(ended.value.code or 0)
        return status, f"{captured.out}{captured.err}{message}"

    return explain_file


def test_the_command_is_a_module(tmp_path: Path) -> None:
    """`python -m jobs` in a process of its own: the message of a mistake, status 1, no traceback."""
    (tmp_path / "ci.yml").write_text("job: {scrpt: x}")
    done = subprocess.run(
        [sys.executable, "-m", "jobs", "explain", "ci.yml", "--environment", "example"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(PROJECT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("ci.yml:1: job.scrpt: unknown key")


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("job: {script: x, tags: [eks]}", 0),
        ("job: {script: x, tags: [eks], variables: {KUBERNETES_CPU_REQUEST: 99}}", 2),
        ("job: {script: x, tags: [$UNKNOWN]}", 2),
        ("job: {scrpt: x}", 1),
    ],
)
def test_a_pipeline_decides_by_the_exit_status(run: Run, text: str, status: int) -> None:
    """0 if all can run, 2 if one can't or is unknown, 1 for bad input."""
    ended, printed = run("ci.yml", text)
    assert ended == status, printed
    assert status == 1 or max(map(len, printed.splitlines())) <= 100


def test_the_answers_are_also_json(run: Run) -> None:
    """Programs read the verdict, the place and the change."""
    text = "job: {script: x, tags: [eks], variables: {KUBERNETES_CPU_REQUEST: 99}}"
    (job,) = json.loads(run("ci.yml", text, "--json")[1])["jobs"]
    assert (job["fleet"], job["verdict"], job["place"]) == ("default", "cannot run", "ci.yml:1")
    assert job["problems"][0]["nearest"] == "16"


def test_the_documented_table_is_the_printed_one(run: Run) -> None:
    """docs/jobs.md shows a CI file and what the command prints for it."""
    text = (PROJECT / "docs" / "jobs.md").read_text(encoding="utf-8")
    example, shown = (
        re.findall(rf"^```{kind}\n(.+?)^```$", text, re.MULTILINE | re.DOTALL)[0] for kind in ("yml", "text")
    )
    printed = run(".gitlab-ci.yml", example)[1].splitlines()
    assert [line.rstrip() for line in printed] == shown.splitlines()


def test_a_token_in_the_file_is_never_printed(run: Run) -> None:
    """A message or a table may end in the log of a pipeline."""
    token = "glpat-abcdefghij0123456789"
    text = f"job: {{script: x, tags: [eks, {token}], variables: {{KUBERNETES_CPU_REQUEST: {token}}}}}"
    for options in ((), ("--json",), ("--fleet", "default"), ("--fleet", "default", "--json")):
        status, printed = run("ci.yml", text, *options)
        assert status == 2
        assert token not in printed


def test_the_sizes_of_a_flag_may_have_interfaces() -> None:
    """With four numbers nothing is assumed."""
    assert parse_sizes(["a.b=2:8192:3:10"]) == {"a.b": InstanceSize(2, 8192, 3, 10)}
