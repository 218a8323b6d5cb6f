"""The biggest jobs as a table, as JSON, and as a picture."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs.maxima import Fit, Maxima
from jobs.report import WIDTH
from stacks.errors import UserError
from stacks.resources import RESOURCES

PICTURE_SUFFIXES = (".svg", ".png")
_STYLES = {Fit.FITS: "green", Fit.ALONE: "yellow", Fit.NEVER: "bold red"}
# Okabe and Ito, "Color Universal Design": colour-blind readers tell these apart. The text says it, too.
_COLOURS = {
    Fit.FITS: "#56B4E9",
    Fit.ALONE: "#F0E442",
    Fit.NEVER: "#D55E00",
    Fit.NOT_USED: "#EEEEEE",
    Fit.UNKNOWN: "#FFFFFF",
}
_LEGEND = (
    "fits: with another job of the fleet beside it, one with the fleet's own requests.\n"
    "fits only alone: on a node that has only the daemon sets. never: on no node of the group."
)


def print_maxima(maxima: Maxima) -> None:
    """Print a line for each fleet and node group."""
    console = Console(width=WIDTH, highlight=False)
    title = f"The biggest job of each fleet in the environment {maxima.environment}"
    table = Table(title=Text(title), box=None, pad_edge=False, title_justify="left")
    table.add_column("fleet", overflow="fold", max_width=24)
    table.add_column("CPU", justify="right", no_wrap=True)
    table.add_column("memory", justify="right", no_wrap=True)
    table.add_column("node group", overflow="fold", max_width=24)
    table.add_column("", no_wrap=True)
    table.add_column("of the node", no_wrap=True)
    for fleet, requests in maxima.requests.items():
        first: list[str | Text] = [
            Text(fleet),
            *(resource.write(requests[resource.key]) for resource in RESOURCES[:2]),
        ]
        for group in maxima.groups:
            cell = maxima.cells[fleet, group]
            table.add_row(*first, Text(group), Text(cell.fit, style=_STYLES.get(cell.fit, "")), cell.detail)
            first = [Text(), "", ""]
    console.print(table)
    console.print(Text(f"\n{_LEGEND}"))
    for fleet in maxima.without_room:
        text = (
            f"\n{fleet}: its biggest job fits on no node. Lower the maxima in runners.{fleet}.build, or add "
            "a node group with larger instances."
        )
        console.print(Text(text))


def as_document(maxima: Maxima) -> dict[str, Any]:
    """Return the biggest jobs as JSON's types; amounts are Kubernetes quantities."""
    return {
        "environment": maxima.environment,
        "fleets": [
            {
                "fleet": fleet,
                "requests": {resource.name: resource.write(requests[resource.key]) for resource in RESOURCES},
                "groups": [
                    {
                        "group": group,
                        "fit": maxima.cells[fleet, group].fit.value,
                        "resource": maxima.cells[fleet, group].resource or None,
                        "share": round(maxima.cells[fleet, group].share, 3),
                    }
                    for group in maxima.groups
                ],
            }
            for fleet, requests in maxima.requests.items()
        ],
    }


def draw_maxima(maxima: Maxima, path: Path) -> None:
    """Draw fleets × node groups to an SVG or PNG file. The same maxima give the same bytes.

    An SVG has the numbers of the picture in its description, so that a test can compare them.
    """
    import matplotlib as mpl  # noqa: PLC0415 - takes half a second
    from matplotlib.figure import Figure  # noqa: PLC0415

    if path.suffix.lower() not in PICTURE_SUFFIXES:
        raise UserError(f"--picture {path}: must end with {' or '.join(PICTURE_SUFFIXES)}")
    fleets, groups = list(maxima.requests), maxima.groups
    width, height = max(5.6, 2.2 + 1.7 * len(groups)), 1.9 + 0.75 * len(fleets)
    # Text stays text in an SVG. The salt makes its ids the same each time.
    with mpl.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "maxima",
            "font.family": "sans-serif",
            "font.sans-serif": ["DejaVu Sans", "Arial"],
        }
    ):
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((1.9 / width, 0.75 / height, 1 - 2.1 / width, 1 - 1.65 / height))
        for row, fleet in enumerate(fleets):
            for column, group in enumerate(groups):
                cell = maxima.cells[fleet, group]
                axes.fill_between(
                    [column, column + 1],
                    row,
                    row + 1,
                    facecolor=_COLOURS[cell.fit],
                    edgecolor="white",
                    linewidth=3,
                )
                text = "\n".join(filter(None, [cell.fit, cell.detail]))
                axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=9)
        axes.set(xlim=(0, len(groups)), ylim=(len(fleets), 0), frame_on=False)
        axes.set_xticks([index + 0.5 for index in range(len(groups))], [_shorten(group) for group in groups])
        axes.set_yticks(
            [index + 0.5 for index in range(len(fleets))], [_label(maxima, fleet) for fleet in fleets]
        )
        axes.tick_params(length=0, labelsize=9, labeltop=True, labelbottom=False)
        title = f"Biggest job of each fleet on each node group: {maxima.environment}"
        figure.text(0.1 / width, 1 - 0.3 / height, title, fontsize=10, fontweight="bold")
        figure.text(0.1 / width, 0.15 / height, _LEGEND, fontsize=7)
        data: dict[str, str | None] = {"Software": None}
        if path.suffix.lower() == ".svg":
            data = {"Date": None, "Creator": None, "Title": title, "Description": describe_picture(maxima)}
        try:
            figure.savefig(path, metadata=data, dpi=150)
        except OSError as error:
            raise UserError(f"--picture {path}: can't be written: {error.strerror}") from None


def describe_picture(maxima: Maxima) -> str:
    """Return the numbers of a picture as JSON."""
    return json.dumps(as_document(maxima), separators=(",", ":"))


def _label(maxima: Maxima, fleet: str) -> str:
    cpu, memory = (resource.write(maxima.requests[fleet][resource.key]) for resource in RESOURCES[:2])
    return f"{_shorten(fleet)}\nCPU {cpu}\nmemory {memory}"


def _shorten(name: str) -> str:
    return name if len(name) <= 18 else f"{name[:17]}…"  # noqa: PLR2004 - what the picture has room for
