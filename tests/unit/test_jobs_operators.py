"""`python -m jobs` for those who run the fleets: all-maxima, replay, convert and generate."""

import io
import json
import random
import re
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from jobs import job_log
from jobs.__main__ import main
from jobs.ci_file import Job, read_pipeline
from jobs.ci_yaml import Place
from jobs.explain import Verdict, explain
from jobs.generate_log import generate
from jobs.gitlab_jobs import FleetChoice, convert, find_requests
from jobs.instance_sizes import known_sizes
from jobs.job_log import JobLogError, Row, read_log, write_log
from jobs.maxima import Fit, find_maxima
from jobs.maxima_report import describe_picture, draw_maxima
from jobs.replay import Replay, describe_nodes, replay
from jobs.replay_report import as_document, print_replays
from jobs.variables import Variable
from prices.table import PriceTable, Source, known_prices
from prices.table import Row as PriceRow
from stacks.errors import UserError
from stacks.settings import Settings
from stacks.settings.load import PROJECT, load_settings
from stacks.settings.quantities import cpu_text
from tests.environments import Changes, WriteEnvironment

PICTURE = PROJECT / "docs" / "pictures" / "maxima.svg"
PRICES = PriceTable(
    [
        PriceRow("eu-central-1", name, Decimal(usd), "hour", "a")
        for name, usd in (("m5.2xlarge", 2), ("m5.8xlarge", 8))
    ],
    {"a": Source("2026-01-01", "made up")},
)
Load = Callable[..., Settings]
Write = Callable[..., Path]


@pytest.fixture
def load(write_environment: WriteEnvironment) -> Load:
    """Return the example's settings with some changed."""

    def settings(changes: Changes | None = None, name: str = "example") -> Settings:
        node_start = {"waiting_times.on_demand_node_seconds": [80, 120]}
        return load_settings(write_environment({**node_start, **(changes or {})}, name=name))

    return settings


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a log with these rows: start, seconds, CPU, memory and fleet."""

    def log(*rows: str, header: str = "start,seconds,CPU,memory,fleet") -> Path:
        path = tmp_path / "jobs.csv"
        path.write_text("\n".join([header, *rows]) + "\n")
        return path

    return log


def answer(path: Path, *environments: Settings) -> list[Replay]:
    """Return the replay of a log."""
    named = {settings.environment: settings for settings in environments}
    return replay(read_log(path), named, prices=PRICES)


def test_a_job_waits_for_the_scan_and_the_node(load: Load, write: Write) -> None:
    """12 CPU fit on `big` alone, which has no node: the scan at 10 asks for one, ready after 100 seconds."""
    path = write("0,60,,,default", "3,3600,12,4Gi,default")
    (found,) = answer(path, load())
    (fleet,) = found.fleets
    assert fleet.waits
    assert fleet.waits.total == {"p50": 0, "p90": 107, "p99": 107, "max": 107}
    main, big = found.groups
    assert (main.most, big.most, big.added) == (1, 1, 1)
    assert [main.hours, big.hours] == pytest.approx([3710 / 3600, 3700 / 3600])
    assert found.cost == pytest.approx(Decimal(2 * 3710 + 8 * 3700) / 3600)
    # 12100m for 3600 of 3700 seconds, of the 31600m that a node of `big` has for jobs.
    assert big.used["cpu"] == pytest.approx(12.1 * 3600 / (31.6 * 3700), rel=0.01)


def test_a_slot_is_free_when_a_job_ends(load: Load, write: Write) -> None:
    """`concurrent` times `replicas` jobs run at once; the others wait in GitLab's queue."""
    path = write(*["0,60,,,default"] * 5)
    (found,) = answer(path, load({"runners.default.concurrent": 1, "runners.default.replicas": 2}))
    waits = found.fleets[0].waits
    assert waits
    assert (waits.slot, waits.node["max"]) == ({"p50": 60, "p90": 120, "p99": 120, "max": 120}, 0)


def test_gitlab_drops_a_job_after_a_day(load: Load, write: Write) -> None:
    """A job that no runner takes within a day does not run, and is counted apart."""
    path = write("0,90000,,,default", "100,1,,,default", "10000,1,,,default")
    (found,) = answer(path, load({"runners.default.concurrent": 1}))
    (fleet,) = found.fleets
    assert (fleet.ran, fleet.dropped, fleet.timed_out) == (2, 1, 0)


def test_replay_and_explain_refuse_the_same_jobs(load: Load, write: Write) -> None:
    """Random requests, near the fleet's maxima and the nodes' room: the same verdict, the same reason."""
    draw = random.Random(4)
    settings = load(
        {
            "runners.default.build.cpu_limit": "12",
            "runners.default.build.cpu_request_overwrite_max_allowed": "14",
            "runners.default.build.memory_request_overwrite_max_allowed": "200Gi",
            "runners.default.build.memory_limit_overwrite_max_allowed": "200Gi",
        }
    )
    for _ in range(30):
        cpu, memory = f"{draw.randrange(100, 16000)}m", f"{draw.randrange(1, 205)}Gi"
        (found,) = answer(write(f"0,1,{cpu},{memory},default"), settings)
        variables = {"KUBERNETES_CPU_REQUEST": Variable(cpu), "KUBERNETES_MEMORY_REQUEST": Variable(memory)}
        (explained,) = explain((Job("a", Place("", 1), variables=variables),), settings, fleet="default")
        assert (explained.verdict is Verdict.RUNS) == (found.fleets[0].ran == 1), (cpu, memory)
        (reason,) = found.fleets[0].never or [""]
        assert not reason or reason.startswith((explained.problems[0].who, "the pod fits on no empty node"))


def test_a_request_without_a_maximum_has_no_effect(load: Load, write: Write) -> None:
    """The runner ignores it, and the replay says so."""
    changes = {
        "runners.default.build.cpu_request_overwrite_max_allowed": None,
        "runners.default.build.cpu_limit_overwrite_max_allowed": None,
    }
    (found,) = answer(write("0,1,99,,default"), load(changes))
    assert found.fleets[0].ran == 1
    assert "the cpu request of 1 job has no effect" in found.notes[0]


def test_managers_and_system_pods_hold_the_steady_node(load: Load, write: Write) -> None:
    """A job that needs a whole `main` node gets a second one, and the first is never idle."""
    changes = {"runners.default.node_groups": ["main"], "cluster.node_groups.big": None}
    (found,) = answer(write("0,7200,7600m,,default", "9000,1,,,default"), load(changes))
    assert found.groups[0].most == 2
    assert found.groups[0].hours == pytest.approx((9001 + 7200 + 100 + 600) / 3600, rel=0.01)


def test_every_job_of_a_day_is_counted_once(load: Load, tmp_path: Path) -> None:
    """A generated day on two environments: the same jobs, busy hours within node hours, one end."""
    example = load()
    other = load({"runners.default.concurrent": 40, "runners.default.poll_timeout_seconds": 60}, "other")
    path = tmp_path / "day.csv"
    with path.open("w") as file:
        write_log(generate(example, count=400, seed=3), file)
    replays = answer(path, example, other)
    assert len({(found.start, found.end) for found in replays}) == 1
    for found in replays:
        (fleet,) = found.fleets
        assert fleet.jobs == fleet.ran + fleet.dropped + fleet.timed_out + sum(fleet.never.values()) == 400
        assert all(0 <= share <= 1 for group in found.groups for share in group.used.values())
        assert all(group.most <= group.max_size for group in found.groups)
    assert replays[1].fleets[0].timed_out
    slow, fast = (found.fleets[0].waits for found in replays)
    assert slow
    assert fast
    assert fast.total["max"] < slow.total["max"]


def test_the_tables_fit_and_the_json_has_the_same_numbers(
    load: Load, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    """100 columns, with a comparison of two environments."""
    long_name = {"runners.a-fleet-with-a-long-name": {"token_parameter": "/a/b", "concurrent": 3}}
    environments = [
        load(long_name),
        load({**long_name, "runners.default.concurrent": 20}, "twice-as-many-jobs"),
    ]
    path = write(
        *[f"{second},5000,16,16Gi,default" for second in range(60)], "0,1,17,,a-fleet-with-a-long-name"
    )
    replays = answer(path, *environments)
    print_replays(replays, "jobs.csv")
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 100
    assert "a-fleet-with-a-long-name: never run: 1 job: runner: KUBERNETES_CPU_REQUEST: 17 is higher" in text
    rows = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]
    document = as_document(replays, "jobs.csv")
    hours = [f"{environment['node_hours']:.1f}" for environment in document["environments"]]
    assert ["node hours", *hours] in rows
    assert ["cost", *(f"${environment['usd']}" for environment in document["environments"])] in rows
    json.dumps(document)


def test_the_example_in_the_documents_is_current(
    write_environment: WriteEnvironment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/jobs.md shows what its commands print."""
    example = load_settings(PROJECT / "environments" / "example.yaml")
    more = load_settings(write_environment({"runners.default.concurrent": 40}, name="more"))
    path = tmp_path / "day.csv"
    with path.open("w") as file:
        write_log(generate(example, count=1000, seed=1), file)
    print_replays(
        replay(read_log(path), {"example": example, "more.yaml": more}, prices=known_prices()), "jobs.csv"
    )
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert "\n".join(lines) in (PROJECT / "docs" / "jobs.md").read_text(encoding="utf-8")


def test_a_price_or_size_that_is_not_known_is_said(load: Load, write: Write) -> None:
    """The cost is unknown without a price; a replay needs each size."""
    path = write("0,1,,,default")
    (found,) = answer(path, load({"cluster.node_groups.main.instance_types": ["m5.4xlarge"]}))
    assert found.cost is None
    assert found.notes == ("no price known for m5.4xlarge in eu-central-1 (table of 2026-01-01)",)
    (mixed,) = answer(path, load({"cluster.node_groups.main.instance_types": ["m5.2xlarge", "m5.4xlarge"]}))
    assert (mixed.cost, mixed.notes) == (None, found.notes)
    with pytest.raises(
        UserError, match=r"example: the size of m9\.2xlarge .* --instance-type m9\.2xlarge=VCPUS:MIB"
    ):
        answer(path, load({"cluster.node_groups.main.instance_types": ["m9.2xlarge"]}))


def test_the_monitoring_agent_takes_its_part_of_each_node(load: Load, write: Write) -> None:
    """The biggest job and a replay have 10m CPU and one pod less with the add-on, as `explain` has."""
    key = "runners.default.build.cpu_request_overwrite_max_allowed"
    changes = {key: "31500m", key.replace("request", "limit"): "40", "runners.default.node_groups": ["big"]}
    agent = {"cluster.node_monitoring_agent": True}
    assert [fits(load({**changes, **more}))[1] for more in ({}, agent)] == [Fit.ALONE, Fit.NEVER]
    path = write("0,1,31500m,,default")
    for more, ran in (({}, 1), (agent, 0)):
        (found,) = answer(path, load({**changes, **more}))
        assert found.fleets[0].ran == ran
    groups = [describe_nodes(load(more), known_sizes(), {})[0] for more in ({}, agent)]
    assert groups[0].room[3] - groups[1].room[3] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["generate", "--jobs", "9" * 5000], "must be a number from 0 to 1000000"),
        (["convert", "x.json", "--runner", f"{'9' * 5000}=default"], "must be ID=FLEET"),
        (["replay", "x.csv", "--node-start", f"SPOT={'9' * 5000}"], "and 0 to 3600"),
        (["all-maxima", "--instance-type", f"a.b={'9' * 5000}:1"], "must be TYPE=VCPUS:MIB"),
    ],
)
def test_a_number_of_thousands_of_digits_is_refused(
    monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    """Python reads none of more than 4300 digits; the command says what it accepts."""
    monkeypatch.setattr(sys, "argv", ["jobs", *options, "--environment", "example"])
    with pytest.raises(SystemExit, match=message):
        main()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("yesterday,1,,,default", "jobs.csv:2: start: 'yesterday': must be an ISO 8601 time"),
        ("1e300,1,,,default", "start: '1e300': must be"),
        ("0,-1,,,default", "jobs.csv:2: seconds: '-1': must be a number from 0 to 2678400"),
        ("0,nan,,,default", "seconds: 'nan'"),
        ("0,1,2 CPU,,default", "CPU: '2 CPU': must be a Kubernetes quantity"),
        ("0,1,-1,,default", "CPU: '-1'"),
        ("0,1,,16,default", "memory: '16': must be a Kubernetes quantity of 1Mi or more"),
        ("0,1,,,", "fleet: '': must be the name of a fleet"),
        ("0,1,,,nobody", "jobs.csv:2: fleet: 'nobody': must be a fleet of the environment example: default"),
        ("0,1", "has 2 values. Accepted: a value for each column"),
        ('0,"1', "can't be read as CSV"),
    ],
)
def test_a_row_that_is_not_accepted_is_named(load: Load, write: Write, row: str, message: str) -> None:
    """File, line, column, value, and what is accepted."""
    with pytest.raises(JobLogError) as refused:
        answer(write(row), load())
    assert message in str(refused.value)


def test_a_file_that_is_no_log_is_refused(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten mistakes at most, missing columns, no jobs, another encoding, a large file."""
    with pytest.raises(JobLogError) as refused:
        read_log(write(*["x,1,,,default"] * 30))
    assert len(str(refused.value).splitlines()) == 10
    with pytest.raises(JobLogError, match=r"jobs\.csv:1: 'a,start': has no column seconds and no column CPU"):
        read_log(write(header="a,start"))
    with pytest.raises(JobLogError, match="has no jobs"):
        read_log(write())
    with pytest.raises(JobLogError, match="No such file"):
        read_log(tmp_path / "missing.csv")
    path = tmp_path / "other.csv"
    for content, message in ((b"", "is empty"), (b"\xff\xfe\x00", "it is not UTF-8")):
        path.write_bytes(content)
        with pytest.raises(JobLogError, match=message):
            read_log(path)
    monkeypatch.setattr(job_log, "MAX_BYTES", 10)
    with pytest.raises(JobLogError, match="Accepted: up to 0 MB"):
        read_log(write("0,1,,,default"))


def test_a_log_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Rows in any order, columns in any order and case, times of any zone; others are ignored."""
    path = tmp_path / "jobs.csv"
    path.write_text(
        "\ufeffFleet,note,MEMORY,cpu,seconds,start\nb,x,1G,500m,1.5,2026-11-25T02:00:00+01:00\n"
        "a,,,,0,2026-11-25 00:30\n"
    )
    log = read_log(path)
    assert [log.names[index] for index in log.fleets] == ["a", "b"]
    assert (log.starts[1] - log.starts[0], log.durations[1]) == (1_800_000, 1500)
    assert (log.cpu.tolist(), log.memory.tolist()) == ([-1, 500], [-1, 10**9])
    text = io.StringIO()
    write_log([Row(log.starts[1] / 1000, 1.5, "500m", "1G", "b")], text)
    assert text.getvalue().splitlines()[1] == "2026-11-25T01:00:00.000Z,1.5,500m,1G,b"


def test_the_same_seed_gives_the_same_day(load: Load) -> None:
    """Sorted jobs of one day, which the fleet accepts."""
    settings = load()
    rows = list(generate(settings, count=200, seed=1))
    assert rows == list(generate(settings, count=200, seed=1))
    assert rows != list(generate(settings, count=200, seed=2))
    assert [row.start for row in rows] == sorted(row.start for row in rows)
    assert rows[-1].start - rows[0].start < 86400


API_JOB = {
    "id": 7,
    "name": "build 1/2",
    "status": "success",
    "created_at": "2026-11-25T08:00:00.000Z",
    "started_at": "2026-11-25T09:30:00.000Z",
    "finished_at": "2026-11-25T09:31:00.500Z",
    "duration": 60.5,
    "queued_duration": 12.25,
    "tag_list": ["eks"],
    "runner": {"id": 12, "description": "default", "active": True},
}


def test_gitlabs_jobs_become_a_log(load: Load, tmp_path: Path) -> None:
    """A start is `started_at` less `queued_duration`; pages may overlap; jobs that never ran are left out."""
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    waiting = {**API_JOB, "id": 8, "status": "manual", "started_at": None, "duration": None}
    running = {**API_JOB, "id": 9, "status": "running", "finished_at": None, "duration": None}
    elsewhere = {**API_JOB, "id": 10, "tag_list": ["macos"], "runner": {"id": 13}}
    first.write_text(json.dumps([API_JOB, waiting]) + "\n" + json.dumps([running]))
    second.write_text(
        "\n".join(map(json.dumps, [API_JOB, elsewhere, {**API_JOB, "id": 11, "queued_duration": None}]))
    )
    (tmp_path / "ci.yml").write_text(
        json.dumps(
            {
                "build": {
                    "script": "a",
                    "parallel": 2,
                    "variables": {"KUBERNETES_CPU_REQUEST": "2"},
                    "rules": [
                        {"if": "$A", "variables": {"KUBERNETES_CPU_REQUEST": "2500m"}},
                        {"when": "always"},
                    ],
                }
            }
        )
    )
    requests = find_requests(read_pipeline(tmp_path / "ci.yml", variables={}).jobs)
    found = convert([first, second], FleetChoice(load()), requests)
    row, other = found.rows
    assert (other.start - row.start, row.seconds) == (12.25, 60.5)
    assert (row.cpu, row.memory, row.fleet) == ("2500m", "", "default")
    assert found.left_out == {
        "that no runner has started (manual)": 1,
        "that have not ended": 1,
        "with the tags macos, which no fleet's `tags` have": 1,
    }
    first.write_text(json.dumps([{**API_JOB, "name": "build: [8]"}, {**API_JOB, "id": 8}]))
    matrix = convert([first], FleetChoice(load()), {"build: [8]": ("8", ""), "build": ("1", "")})
    assert [row.cpu for row in matrix.rows] == ["8", "1"]
    first.write_text(json.dumps([{**waiting, "status": "x" * 9000}, {**elsewhere, "tag_list": ["y" * 9000]}]))
    assert all(len(reason) < 200 for reason in convert([first], FleetChoice(load())).left_out)
    first.write_text(json.dumps([{**API_JOB, "id": 8}, API_JOB]))
    by_runner = convert([first, second], FleetChoice(load(), by_runner={13: "default"}))
    assert len(by_runner.rows) == 1
    assert "of the runner 12, which --runner does not name" in by_runner.left_out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty. Accepted: the answer of GitLab's API"),
        ("[{", ":1: not valid JSON"),
        ("[" * 100_000, "nested too deep"),
        ('{"message": "401 Unauthorized"}', "is an error of GitLab: 401 Unauthorized"),
        ('{"message": "a\\u001b[31m"}', r"is an error of GitLab: a\u001b[31m. "),
        (f"[{'9' * 5000}]", "a number with too many digits"),
        ("[1]", "1: is not a job with an id"),
        (json.dumps({**API_JOB, "duration": -1}), "job 7: duration: '-1': must be a number of seconds"),
        (json.dumps({**API_JOB, "started_at": "soon"}), "job 7: started_at: 'soon': must be a time"),
        (json.dumps({**API_JOB, "started_at": "0001-01-01T00:00:00Z"}), "must be a time of 1971 to 9998"),
        (json.dumps({**API_JOB, "started_at": "9999-12-31T23:59:59-14:00"}), "must be a time of 1971 to"),
    ],
)
def test_an_answer_that_is_not_gitlabs_is_refused(
    load: Load, tmp_path: Path, text: str, message: str
) -> None:
    """The file and the job are named."""
    path = tmp_path / "jobs.json"
    path.write_text(text)
    with pytest.raises(UserError, match=re.escape(message)):
        convert([path], FleetChoice(load()))


def fits(settings: Settings, fleet: str = "default") -> list[Fit]:
    """Return the cells of a fleet."""
    maxima = find_maxima(settings)
    return [maxima.cells[fleet, group].fit for group in maxima.groups]


def test_the_biggest_job_fits_alone_or_never(load: Load) -> None:
    """m5.8xlarge has 31600m for jobs, of which an ordinary job takes 1100m and the biggest all but 100m."""
    assert fits(load()) == [Fit.NEVER, Fit.FITS]
    key = "runners.default.build.cpu_request_overwrite_max_allowed"
    expected = {30400: Fit.FITS, 30401: Fit.ALONE, 31500: Fit.ALONE, 31501: Fit.NEVER}
    changes = [
        {key: cpu_text(Decimal(cpu) / 1000), key.replace("request", "limit"): "40"} for cpu in expected
    ]
    assert [fits(load(change))[1] for change in changes] == list(expected.values())
    assert fits(load({"runners.default.node_groups": ["main"]})) == [Fit.NEVER, Fit.NOT_USED]
    assert fits(load({"cluster.node_groups.big.instance_types": ["m9.8xlarge"]}))[1] is Fit.UNKNOWN
    assert find_maxima(load({"runners.default.node_groups": ["main"]})).without_room == ["default"]


def test_a_service_counts_if_a_job_may_enlarge_it(load: Load) -> None:
    """The biggest job then has one service with the most that it may request."""
    maximum = {"runners.default.service": {"cpu_request": "100m", "cpu_request_overwrite_max_allowed": "8"}}
    requests = [find_maxima(load(changes)).requests["default"]["cpu"] for changes in ({}, maximum)]
    assert requests == [Decimal("16.1"), Decimal("24.1")]


def test_the_picture_in_the_documents_is_current(load: Load) -> None:
    """`make docs` would draw the same: the picture has its numbers in its description."""
    text = PICTURE.read_text(encoding="utf-8")
    found = re.search(r"<dc:description>(.*?)</dc:description>", text, re.DOTALL)
    assert found
    assert json.loads(found[1]) == json.loads(describe_picture(find_maxima(load())))
    assert "](pictures/maxima.svg)" in (PROJECT / "docs" / "runners.md").read_text(encoding="utf-8")


@pytest.mark.long
def test_a_picture_is_drawn_the_same_each_time(load: Load, tmp_path: Path) -> None:
    """No date and no random id: the file in the documents has the same bytes."""
    draw_maxima(find_maxima(load()), tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_bytes() == PICTURE.read_bytes()
    draw_maxima(find_maxima(load()), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UserError, match="must end with"):
        draw_maxima(find_maxima(load()), tmp_path / "a.gif")
