"""Run Terraform on a stack of the demo, and print a line for each resource."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, TextIO

from rich.console import Console
from rich.status import Status

from deployment.terraform import Stack, TerraformError
from local_aws.emulator import WORK
from stacks.settings.load import PROJECT

LOG = WORK / "demo.log"
OPTIONS = ("-json", "-auto-approve", "-input=false")
DONE = {"create": "created", "update": "changed", "delete": "destroyed"}


@dataclass(frozen=True)
class Screen:
    """The terminal, and the log file of a demo.

    Attributes:
        console: The terminal.
        log: The file that gets everything that Terraform prints.
        verbose: Whether the terminal gets it too.

    """

    console: Console
    log: TextIO
    verbose: bool


@dataclass
class Progress:
    """The progress of one stack, read from the events of `terraform apply -json`.

    Terraform, "Machine-Readable UI".

    Attributes:
        stack: Id of the stack.
        screen: Where to show it.
        status: The line that the terminal shows until the next one.
        outputs: The stack's outputs.
        counts: Numbers of resources by Terraform's action: add, change, remove.
        errors: Terraform's errors.

    """

    stack: str
    screen: Screen
    status: Status
    outputs: dict[str, Any] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return the numbers of changed resources in Terraform's words."""
        if not self.counts.total():
            return "No changes"
        return (
            f"{self.counts['add']} added, {self.counts['change']} changed, {self.counts['remove']} destroyed"
        )

    def read_line(self, line: str) -> None:
        """Read one event, and print it if it matters."""
        try:
            event = json.loads(line)
        except ValueError:
            event = {"type": "text", "@message": line.rstrip()}
        text = describe_event(event)
        print(f"{self.stack}: {text}", file=self.screen.log, flush=True)
        if self.screen.verbose:
            self._print(text)
        match event["type"]:
            case "diagnostic" if event["diagnostic"]["severity"] == "error":
                self.errors.append(text)
            case "text":
                self.errors.append(text)
            case "outputs":
                self.outputs = {name: item.get("value") for name, item in event["outputs"].items()}
            case "change_summary":
                changes = event["changes"]
                self.counts = Counter({name: changes[name] for name in ("add", "change", "remove")})
            case "apply_start" | "apply_progress" | "refresh_start":
                self.status.update(f"{self.stack}: {event['@message']}")
            case "apply_complete" if event["hook"]["action"] in DONE and not self.screen.verbose:
                hook = event["hook"]
                seconds = hook.get("elapsed_seconds", 0)
                self._print(f"{hook['resource']['addr']}: {DONE[hook['action']]} in {seconds:.0f} s")

    def _print(self, text: str) -> None:
        self.screen.console.print(text, markup=False)


def run_terraform(stack: Stack, command: str, screen: Screen) -> Progress:
    """Run `terraform apply` or `terraform destroy` without questions.

    Raises:
        TerraformError: If Terraform fails; the message has its errors.

    """
    with screen.console.status(f"{stack.name}: {command}") as status:
        stack.init()
        progress = Progress(stack.name, screen, status)
        returncode = stack.follow(command, *OPTIONS, read_line=progress.read_line)
    if returncode:
        raise TerraformError(
            f"{stack.name}: terraform {command} failed. The whole output is in {LOG.relative_to(PROJECT)}"
            "\n\n" + "\n\n".join(progress.errors)
        )
    return progress


def describe_event(event: dict[str, Any]) -> str:
    """Return an event as Terraform would print it for people."""
    if event["type"] != "diagnostic":
        return str(event["@message"])
    diagnostic = event["diagnostic"]
    lines = [f"{diagnostic['severity'].capitalize()}: {diagnostic['summary']}"]
    if address := diagnostic.get("address"):
        lines.append(f"  with {address}")
    return "\n".join(filter(None, [*lines, diagnostic.get("detail", "")]))
