"""Each secret that a run is given is only where it belongs, whatever the run does and however it fails."""

import fcntl
import http.client
import json
import os
import re
import secrets
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from local_aws import aws_provider, emulator, provider_mirror
from local_aws.rehearsal.record import changing
from stacks import STACKS
from stacks.settings.load import load_settings
from tests.chaos.figures import Figures
from tests.chaos.secret_places import (
    MARK,
    WITH_CORE_FILES,
    Evidence,
    Find,
    Kinds,
    Watcher,
    core_files_stay,
    read_files,
    read_versions,
)
from tests.chaos.secret_search import Searcher, Secret
from tests.emulator.project import Project, copy_project, inherited_environment, running_project
from tests.machine import find_free_port
from tests.processes import find_processes

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="only Linux shows processes under /proc")

NO_UPDATE_CHECKS = {"CHECKPOINT_DISABLE": "1", "DISABLE_VERSION_CHECK": "1"}  # as the Makefile has them
WAIT_SECONDS = 600
PLAIN, ODD, WRONG = (
    "runner token",
    "runner token with < & \" ' + / % é",
    "value in SSM that is no runner token",
)
DOCKER_HUB, GITLAB, AWS = "Docker Hub's credential", "GITLAB_TOKEN", "AWS_SECRET_ACCESS_KEY"
SESSION, KUBERNETES = "AWS_SESSION_TOKEN", "token for the Kubernetes API"
CI_VARIABLE, SENSITIVE = "variable in a CI file", "sensitive value in a plan"
RECORD, ENVIRONMENTS = "record of the stand-ins", "process environments"
# The places where a secret belongs: whoever runs a command sets its environment variables.
ALLOWED = {(RECORD, PLAIN), (RECORD, ODD), *((ENVIRONMENTS, name) for name in (GITLAB, AWS, SESSION))}
ODD_PARAMETER = "/cicd/runners/odd/token"
SETTINGS = {"runners.odd": {"token_parameter": ODD_PARAMETER}}
OPEN = {
    "cluster.endpoint_public_access_cidrs": ["0.0.0.0/0"],
    "cluster.allow_public_endpoint_from_anywhere": True,
}


def make_value(before: str = "") -> str:
    """Return a new secret."""
    return before + secrets.token_urlsafe(24)


@contextmanager
def serving(
    answer: Callable[[BaseHTTPRequestHandler, bytes], tuple[int, dict[str, str], bytes]],
) -> Iterator[str]:
    """Serve HTTP on loopback with a function that answers each request, and yield the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers, content = answer(self, body)
            self.send_response_only(status)
            length = {"content-length": str(len(content))}
            for name, value in (length | {name.lower(): value for name, value in headers.items()}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Run:
    """The commands of one copy of the project, and what is searched.

    Attributes:
        project: The copy of the project.
        evidence: What was searched.
        logs: The folder for the logs of Terraform at TRACE.
        started: When the run began; older files are the project's own.
        numbers: The number of commands so far, for the names of their logs.

    """

    project: Project
    evidence: Evidence
    logs: Path
    started: float
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1000)))

    def __call__(
        self,
        *command: str,
        folder: Path | None = None,
        stdin: str = "",
        accepted: Iterable[int] = (0,),
        **variables: str,
    ) -> str:
        """Run a command, search its output, and return the output on one line."""
        done = subprocess.run(
            command,
            cwd=folder or self.project.folder,
            env={**self.environment("-".join(command[-2:])), **variables},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
        )
        self.evidence.add("output of commands", " ".join(command), (done.stdout + done.stderr).encode())
        assert done.returncode in accepted, f"{command}\n{done.stdout}{done.stderr}"
        return " ".join((done.stdout + done.stderr).replace("│", " ").split())

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment variables of a command, with a log of its own."""
        log = self.logs / f"{next(self.numbers):03}-{name.replace('/', '_')[-40:]}.log"
        return {**self.project.environment, "TF_LOG": "TRACE", "TF_LOG_PATH": str(log)}

    def deployment(self, *arguments: str, accepted: Iterable[int] = (0,)) -> str:
        """Run a command of `python -m deployment`."""
        return self(".venv/bin/python", "-m", "deployment", *arguments, accepted=accepted)

    def jobs(self, *arguments: str) -> str:
        """Run a command of `python -m jobs`; whether the jobs can run does not matter."""
        return self(".venv/bin/python", "-m", "jobs", *arguments, accepted=(0, 2))

    def terraform(self, *arguments: str, stdin: str = "", accepted: Iterable[int] = (0,)) -> str:
        """Run Terraform in the folder of the workloads stack."""
        folder = self.project.stack_folder("workloads")
        return self("terraform", *arguments, folder=folder, stdin=stdin, accepted=accepted)

    def cdktf(self, command: str, *arguments: str) -> str:
        """Run cdktf, with its own log at debug; one command in a run synthesizes."""
        options = () if command == "synth" else ("workloads", "--skip-synth", "--skip-provider-lock")
        return self("node_modules/.bin/cdktf", command, *options, *arguments, CDKTF_LOG_LEVEL="debug")

    def put_token(self, value: str, kind: str = "SecureString") -> None:
        """Store a value as the token of the fleet `odd`."""
        ssm = self.project.client("ssm")
        if kind != "SecureString":
            ssm.delete_parameter(Name=ODD_PARAMETER)
        ssm.put_parameter(Name=ODD_PARAMETER, Type=kind, Value=value, Overwrite=True)

    def collect(self) -> None:
        """Search every state and every file that the commands have left."""
        project, kinds = self.project, Kinds(self.project.folder, Path(tempfile.gettempdir()))
        self.evidence.add_all(read_versions(project.client("s3"), project.state_bucket))
        self.evidence.add_all(read_files(project.folder, kinds, since=self.started))


@pytest.mark.chaos
def test_no_secret_leaves_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figures: Figures
) -> None:
    """All commands of the project run, and fail in many ways; each secret is only where it belongs."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv(MARK, str(tmp_path))
    values = {
        ODD: make_value("glrt-<&\"'+/\\ %é"),
        WRONG: make_value("GR13489"),
        DOCKER_HUB: make_value("dckr_pat_"),
        GITLAB: make_value("glpat-"),
        AWS: make_value(),
        SESSION: make_value(),
        CI_VARIABLE: make_value(),
        SENSITIVE: make_value(),
    }
    planted = tuple(Secret(name, value) for name, value in values.items())
    # The token is this prefix and the base64 of a signed URL.
    planted += (Secret(KUBERNETES, "k8s-aws-v1.aHR0c", halves=False),)
    before = os.umask(0)  # a file is private only if the program makes it so
    try:
        evidence, watcher, crash = run_on_own_providers(tmp_path, values, planted)
        demo, demo_watcher = run_demo(tmp_path)
    finally:
        os.umask(before)
    searched = Counter(evidence.searched) + Counter(demo.searched)
    finds = evidence.finds | demo.finds
    figures.write("secrets", table({"core files": 0} | searched, finds, crash))
    assert {(find.kind, find.secret) for find in finds} <= ALLOWED | {(REVEALED, PLAIN)}, sorted(finds)
    # The search could have found them: each is where it belongs.
    assert {(find.kind, find.secret) for find in finds} == ALLOWED | {(REVEALED, PLAIN)}
    assert {"terraform", "python", "node"} <= {name.rstrip("0123456789.") for name in watcher.programs}
    assert any(name.startswith("terraform-provider-aws") for name in watcher.programs)
    for watched in (watcher, demo_watcher):
        modes = {name: modes for name, modes in watched.open_modes.items() if not name.endswith(".lock")}
        assert modes
        assert set().union(*modes.values()) == {0o600}


def run_on_own_providers(
    tmp_path: Path, values: dict[str, str], planted: tuple[Secret, ...]
) -> tuple[Evidence, Watcher, str]:
    """Run the commands for a real account, Terraform's, cdktf's and those without AWS."""
    started = time.time()
    with ExitStack() as stack:
        aws = aws_provider.running(aws_provider.installed_provider(), aws_provider.stack_types())
        project = stack.enter_context(running_project(tmp_path / "project", stack.enter_context(aws)))
        project = replace(
            project,
            environment={
                **project.environment,
                "PATH": os.environ["PATH"],
                **NO_UPDATE_CHECKS,
                "GITLAB_TOKEN": values[GITLAB],
                "AWS_SECRET_ACCESS_KEY": values[AWS],
                "AWS_SESSION_TOKEN": values[SESSION],
            },
        )
        evidence = Evidence(Searcher((*planted, Secret(PLAIN, project.token))))
        logs = project.folder / ".work" / "logs"
        logs.mkdir(mode=0o700)
        run = Run(project, evidence, logs, started)
        kinds = Kinds(project.folder, Path(tempfile.gettempdir()))
        folders = [kinds.temporary, project.folder / "plans", project.folder / "cdktf.out"]
        project.client("secretsmanager").create_secret(
            Name="ecr-pullthroughcache/docker-hub",
            SecretString=json.dumps({"username": "ci", "accessToken": values[DOCKER_HUB]}),
        )
        arn = project.client("secretsmanager").list_secrets()["SecretList"][0]["ARN"]
        run.put_token(values[ODD])
        with (
            Watcher(str(tmp_path), folders, kinds, record=project.record) as watcher,
            project.changed({**SETTINGS, "cluster.docker_hub_credential_arn": arn}),
        ):
            run_without_terraform(run, values)
            run.deployment("deploy", "--yes", "network", "cluster")
            fail_at_the_token(run, values)
            fail_in_the_middle(run)
            run.deployment("deploy", "--yes", "workloads")
            crash = crash_in_the_middle(run, f"{values[ODD]}-2")
            plan_and_apply(run, values)
            run_tools_of_others(run, f"{values[ODD]}-3")
            run.deployment("destroy", "--yes", "network", accepted=[1])  # the cluster reads it
            run.deployment("destroy", "--yes")
        evidence.add_all(watcher.contents)
        run.collect()
    return evidence, watcher, crash


def run_without_terraform(run: Run, values: dict[str, str]) -> None:
    """Run the commands that need no stack."""
    run.deployment("validate")
    run.deployment("bootstrap", "--dry-run")
    run.deployment("bootstrap")
    run.deployment("consumer-policy", *STACKS)
    ci_file = run.project.folder.parent / "ci.yml"
    job = {"script": ["make"], "tags": ["eks"], "variables": {"PASSWORD": values[CI_VARIABLE]}}
    ci_file.write_text(
        json.dumps({"build": job, "wrong": {**job, "variables": {"KUBERNETES_CPU_LIMIT": "99"}}})
    )
    output = run.project.folder / "plans" / "code-quality.json"
    output.parent.mkdir()
    assert '"job": "build"' in run.jobs("explain", str(ci_file), "--json")  # it has read the variable, too
    run.jobs("explain", str(ci_file), "--code-quality", str(output))
    run.jobs("all-maxima")


def fail_at_the_token(run: Run, values: dict[str, str]) -> None:
    """Plan with a value that is no token, with a token in the clear, and with an SSM that refuses."""
    run.put_token(values[WRONG])
    assert "does not begin with glrt-" in run.deployment("deploy", "--yes", "workloads", accepted=[1])
    run.put_token(values[WRONG], "String")
    assert "is of the type String" in run.deployment("plan", accepted=[1])
    run.project.client("ssm").delete_parameter(Name=ODD_PARAMETER)
    assert "no such parameter" in run.deployment("plan", accepted=[1])
    run.put_token(values[ODD])
    with (
        denying(str(run.project.settings.aws.endpoint_url)) as url,
        run.project.changed({"aws.endpoint_url": url}),
    ):
        assert "AccessDenied" in run.deployment("deploy", "--yes", "workloads", accepted=[1])


@contextmanager
def denying(endpoint_url: str) -> Iterator[str]:
    """An AWS whose SSM decrypts nothing; it passes every other request on."""

    def answer(request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if b'"WithDecryption":true' in body:
            denied = {"__type": "AccessDeniedException", "message": "not authorized to perform: kms:Decrypt"}
            return 400, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(denied).encode()
        connection = http.client.HTTPConnection(urlsplit(endpoint_url).netloc)
        connection.request(request.command, request.path, body, dict(request.headers))
        response = connection.getresponse()
        dropped = {"connection", "transfer-encoding", "date", "server"}
        headers = {name: value for name, value in response.getheaders() if name.lower() not in dropped}
        return response.status, headers, response.read()

    with serving(answer) as url:
        yield url


def fail_in_the_middle(run: Run) -> None:
    """Apply the workloads stack where a release of the fleet `odd` is there already: Helm refuses."""
    with changing(run.project.record) as objects:
        objects.setdefault("helm_release", {})["gitlab-runner-odd/gitlab-runner"] = {"state": {}}
    assert "already exists" in run.deployment("deploy", "--yes", "workloads", accepted=[1])
    with changing(run.project.record) as objects:
        assert f"{run.project.token}" in json.dumps(objects)  # Terraform had the tokens
        del objects["helm_release"]["gitlab-runner-odd/gitlab-runner"]


def crash_in_the_middle(run: Run, token: str) -> str:
    """Crash Terraform while it applies a rotated token, and a command of ours; return what that left.

    The record is locked meanwhile, so that Terraform waits for the stand-in of the cluster.
    """
    run.put_token(token)
    project = run.project
    with project.record.with_name(f".{project.record.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with crashing(run, "deploy", "--yes", "workloads") as (process, output):
            wait_until(lambda: "Modifying..." in output.read_text(), process, output)
            terraforms = list(find_processes(project.folder, "terraform"))
            assert terraforms
            for pid in terraforms:
                os.kill(pid, signal.SIGABRT)
            assert process.wait(WAIT_SECONDS) == 1
    assert "SIGABRT" in output.read_text()  # Go prints the stacks of all its routines
    assert "locked by" in run.deployment("unlock", "--yes", "workloads")
    with crashing(run, "approvals") as (process, output):
        limits = Path(f"/proc/{process.pid}/limits")
        wait_until(lambda: re.search(r"Max core file size +0 ", limits.read_text()), process, output)
        process.send_signal(signal.SIGSEGV)
        assert process.wait(WAIT_SECONDS) == -signal.SIGSEGV
    if not core_files_stay():
        return "Core files of this machine go elsewhere, so they were not searched"
    return (
        "SIGABRT to a Terraform of ours and SIGSEGV to a command of ours left the core files that are counted"
    )


@contextmanager
def crashing(run: Run, *arguments: str) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    """Run a command of `python -m deployment` where core files have no limit; yield it with its output."""
    output = run.project.folder / ".work" / f"crashed-{arguments[0]}.log"
    with output.open("w") as file:
        process = subprocess.Popen(
            [*WITH_CORE_FILES, ".venv/bin/python", "-m", "deployment", *arguments],
            cwd=run.project.folder,
            env={**run.environment("crash"), "GOTRACEBACK": "crash"},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process, output
        finally:
            process.kill()
            process.wait()


def wait_until(is_done: Callable[[], object], process: "subprocess.Popen[bytes]", output: Path) -> None:
    """Wait for a condition while a process runs."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_done():
        assert time.monotonic() < deadline, output.read_text()
        assert process.poll() is None, output.read_text()
        time.sleep(0.1)


def plan_and_apply(run: Run, values: dict[str, str]) -> None:
    """Plan a change that needs an approval, review it, and apply it with a token that was rotated again."""
    folder = run.project.folder
    with run.project.changed({**SETTINGS, **OPEN}):
        run.deployment("plan", accepted=[3])
        review(run, values)
        run.deployment("apply", "--require-approval", accepted=[1])
        run.deployment("approve", "--yes")
        run.deployment("approvals")
        # The plan files are deleted by the apply.
        kinds = Kinds(folder, Path(tempfile.gettempdir()))
        run.evidence.add_all(read_files(folder / "plans", kinds))
        run.deployment("apply", "--require-approval")


def review(run: Run, values: dict[str, str]) -> None:
    """Review the plans and one with a sensitive value, and post the report to a GitLab."""
    plans = run.project.folder / "plans"
    local = plans / "local"
    resource = {"address": "random_password.p", "mode": "managed", "type": "random_password", "name": "p"}
    change = {
        "actions": ["update"],
        "before": {"result": values[SENSITIVE]},
        "after": {"result": f"{values[SENSITIVE]}2"},
        "before_sensitive": {"result": True},
        "after_sensitive": {"result": True},
    }
    given = run.project.folder.parent / "sensitive.json"  # not of this run: Terraform writes it so
    document = {"format_version": "1.2", "terraform_version": "1.11.4"}
    given.write_text(json.dumps({**document, "resource_changes": [{**resource, "change": change}]}))
    files = ("--sarif", "a.sarif", "--code-quality", "code-quality.json", "--gitlab-report", "gitlab.json")
    command = (".venv/bin/python", "-m", "plan_review")
    names = [str(local / f"{stack}.json") for stack in STACKS]
    options = (str(plans / item) if "." in item else item for item in files)
    report = run(*command, *names, str(given), *options, accepted=(0, 2, 3))
    assert "random_password.p" in report  # it has read the sensitive value, too
    posted: list[bytes] = []

    def answer(request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        posted.append(body)
        answers = {"/user": b'{"id": 1}', "/notes": b'{"id": 2}' if body else b"[]"}
        text = next(
            (text for end, text in answers.items() if request.path.partition("?")[0].endswith(end)), b"{}"
        )
        if "/refusing" in request.path:
            token = request.headers["PRIVATE-TOKEN"]
            return 403, {}, json.dumps({"message": f"{'x' * 280} {token} may not write"}).encode()
        return 200, {}, text

    with serving(answer) as url:
        file = str(local / "report.md")
        for api, status in ((url, 0), (f"{url}/refusing", 1)):
            run(
                *(*command, "comment", file),
                accepted=[status],
                CI_API_V4_URL=api,
                CI_PROJECT_ID="7",
                CI_MERGE_REQUEST_IID="3",
            )
    for body in filter(None, posted):
        run.evidence.add("comments on merge requests", "comment", body)


def run_tools_of_others(run: Run, token: str) -> None:
    """Run Terraform and cdktf as their users type them; Terraform starts the AWS provider itself.

    So its log is in Terraform's, at TRACE. Their commands are not ours: no limit of ours holds for them.
    """
    run.put_token(token)
    reattach = json.loads(run.project.environment["TF_REATTACH_PROVIDERS"])
    del reattach["hashicorp/aws"]
    environment = {**run.project.environment, "TF_REATTACH_PROVIDERS": json.dumps(reattach)}
    own = replace(run, project=replace(run.project, environment=environment))
    provider_mirror.prepare(run.project.folder / "cdktf.out")
    own.terraform("init", "-input=false")
    own.terraform("apply", "-input=false", "-auto-approve")
    run.terraform("plan", "-input=false", "-out=own.tfplan")
    run.terraform("show", "own.tfplan")
    run.terraform("show", "-json", "own.tfplan")
    run.terraform("output", "-json")
    run.terraform("state", "pull")
    run.terraform("console", stdin="ephemeral.aws_ssm_parameter.runner_odd_token.value\n", accepted=(0, 1))
    run.cdktf("synth")
    run.cdktf("diff")
    run.cdktf("deploy", "--auto-approve", "--ignore-missing-stack-dependencies")
    run.cdktf("output")
    run.cdktf("destroy", "--auto-approve", "--ignore-missing-stack-dependencies")


REVEALED = "output of `show --reveal`"


def run_demo(tmp_path: Path) -> tuple[Evidence, Watcher]:
    """Run the commands of the local environment, whose emulator and stand-ins are processes of theirs."""
    folder, started = tmp_path / "demo", time.time()
    copy_project(folder)
    local = folder / "environments" / "local.yaml"
    local.write_text(local.read_text().replace(":4566", f":{find_free_port()}"))
    settings = load_settings(local)
    variables = {"PATH": os.environ["PATH"], **NO_UPDATE_CHECKS, "VERBOSE": "1", "TF_LOG": "TRACE"}
    environment = {**inherited_environment(), **variables}
    outputs: dict[str, bytes] = {}

    def local_aws(*arguments: str) -> None:
        command = [".venv/bin/python", "-m", "local_aws", *arguments]
        log = folder / ".work" / f"trace-{len(outputs)}.log"
        done = subprocess.run(
            command, cwd=folder, env={**environment, "TF_LOG_PATH": str(log)}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=1200, check=False,
        )  # fmt: skip
        outputs[" ".join(arguments)] = done.stdout
        assert done.returncode == 0, done.stdout.decode()

    kinds = Kinds(folder, Path(tempfile.gettempdir()))
    record = folder / ".work" / "rehearsal.json"
    try:
        with Watcher(str(tmp_path), [kinds.temporary, folder / "cdktf.out"], kinds, record=record) as watcher:
            local_aws("demo")
            ssm = emulator.client(
                "ssm", endpoint_url=str(settings.aws.endpoint_url), region=settings.aws.region
            )
            found = ssm.get_parameter(Name=settings.runners["default"].token_parameter, WithDecryption=True)
            local_aws("seed")
            local_aws("show")
            local_aws("run", ".venv/bin/python", "-m", "deployment", "plan")
            local_aws("show", "--reveal")
            files = list(read_files(folder, kinds, since=started))
            local_aws("down")
            files += read_files(folder, kinds, since=started)
    finally:
        emulator.stop(work=folder / ".work")
    evidence = Evidence(Searcher((Secret(PLAIN, found["Parameter"]["Value"]),)))
    for arguments, content in outputs.items():
        kind = REVEALED if "--reveal" in arguments else "output of commands"
        evidence.add(kind, f"local_aws {arguments}", content)
    evidence.add_all([*files, *watcher.contents])
    return evidence, watcher


def table(searched: dict[str, int], finds: set[Find], crash: str) -> Iterator[str]:
    """Yield the lines of the table in docs/reliability.md."""
    yield "| place | searched | found |"
    yield "| --- | --- | --- |"
    for kind, number in sorted(searched.items()):
        names = sorted({find.secret for find in finds if find.kind == kind})
        yield f"| {kind} | {number} | {'; '.join(names) or 'none'} |"
    yield ""
    yield f"{sum(searched.values())} contents were searched for {len(ALL)} secrets. {crash}."


ALL = (PLAIN, ODD, WRONG, DOCKER_HUB, GITLAB, AWS, SESSION, KUBERNETES, CI_VARIABLE, SENSITIVE)
