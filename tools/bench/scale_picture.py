"""The picture and the table of large environments in docs/performance.md."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from tools.bench.scale import FLEETS, MEASURED, NODE_GROUPS, Measurement

_COLOURS = ("#1b6ca8", "#e08e0b", "#5a2a6e")  # told apart by people who see few colours
_MARKERS = ("o", "s", "^")
_TITLE = "The cost of an environment, by its fleets and node groups"


def write_table(measurements: Sequence[Measurement]) -> Iterator[str]:
    """Yield the lines of a table in Markdown: one environment a line."""
    yield (
        "| fleets | node groups | planned resources | JSON of the stacks, KiB | JSON of the plans, KiB | "
        "synth, s | plan, s | review, s | memory of synth, plan, review, MiB |"
    )
    yield "| --: | --: | --: | --: | --: | --: | --: | --: | --: |"
    for each in sorted(measurements, key=lambda each: (each.node_groups, each.fleets)):
        seconds = " | ".join(f"{each.seconds[name]:.1f}" for name in MEASURED)
        memory = ", ".join(f"{each.peak_mib[name]:.0f}" for name in MEASURED)
        yield (
            f"| {each.fleets} | {each.node_groups} | {each.resources} | {each.terraform_kib:.0f} | "
            f"{each.plan_kib:.0f} | {seconds} | {memory} |"
        )


def draw_scale(measurements: Sequence[Measurement], path: Path) -> None:
    """Draw the measurements to an SVG file, which has them in its description, too."""
    import matplotlib as mpl  # noqa: PLC0415 - takes half a second
    from matplotlib.figure import Figure  # noqa: PLC0415

    columns = (*MEASURED, "JSON")
    rows: list[list[tuple[str, Callable[[Measurement], float]]]] = [
        [(f"{name}: processor time, s", lambda each, name=name: each.seconds[name]) for name in MEASURED]
        + [("JSON of the stacks, MiB", lambda each: each.terraform_kib / 1024)],
        [(f"{name}: peak memory, MiB", lambda each, name=name: each.peak_mib[name]) for name in MEASURED]
        + [("JSON of the plans, MiB", lambda each: each.plan_kib / 1024)],
    ]
    # Text stays text in an SVG. The salt makes its ids the same each time.
    with mpl.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "scale",
            "font.family": "sans-serif",
            "font.sans-serif": ["DejaVu Sans", "Arial"],
            "font.size": 8,
        }
    ):
        figure = Figure(figsize=(3 * len(columns), 5.4), layout="constrained")
        figure.suptitle(_TITLE, fontweight="bold")
        for axes_of_row, row in zip(figure.subplots(2, len(columns)), rows, strict=True):
            for axes, (title, value) in zip(axes_of_row, row, strict=True):
                for node_groups, colour, marker in zip(NODE_GROUPS, _COLOURS, _MARKERS, strict=True):
                    line = [each for each in measurements if each.node_groups == node_groups]
                    if not line:
                        continue
                    axes.plot(
                        [each.fleets for each in line],
                        [value(each) for each in line],
                        color=colour,
                        marker=marker,
                        markersize=4,
                        label=f"{node_groups} node group{'s' if node_groups > 1 else ''}",
                    )
                axes.set_title(title, fontsize=8)
                axes.set_xlabel("fleets")
                axes.set_xticks(FLEETS[1:])
                axes.set_ylim(bottom=0)
                axes.grid(visible=True, linewidth=0.3)
        figure.get_axes()[0].legend(frameon=False)
        data = json.dumps([asdict(each) for each in measurements])
        figure.savefig(path, metadata={"Date": None, "Creator": None, "Title": _TITLE, "Description": data})
