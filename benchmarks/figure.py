"""The figure of the results: how many times faster, and how the time of an iteration grows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from benchmarks.scaling import NAMES

BAR, LINE_OF_ONE = "#4477aa", "#888888"


class Bar(NamedTuple):
    """A ratio with the least and the largest of its rounds."""

    name: str
    ratio: float
    least: float
    largest: float


def save(results: Mapping[str, Any], path: Path) -> None:
    """Draw what was measured of the two, side by side, as a PNG."""
    sections = {name: each["found"] for name, each in results["sections"].items() if "found" in each}
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    _ratios(left, bars(sections))
    _growth(right, sections.get("scaling", {}).get("axes", {}))
    figure.savefig(path, dpi=120, format="png", metadata={"Software": None})
    plt.close(figure)


def bars(sections: Mapping[str, Any]) -> list[Bar]:
    """The ratios to the yardstick, and to the other revision."""
    made = []
    for row in sections.get("yardstick", {}).get("rows", ()):
        if row["ratio"] is not None:
            what = "iteration" if row["mode"] == "iteration" else "chain step"
            made.append(Bar(f"{what}, {row['precision']}\nto PyTorch", row["ratio"], *row["ratio_range"]))
    other = sections.get("first_version", {})
    for rate, ratio in other.get("ratios", {}).items():
        made.append(Bar(f"digits: {rate}\nto revision {other['revision']}", ratio["median"], *ratio["range"]))
    return made


def _ratios(axes: Axes, found: list[Bar]) -> None:
    axes.set_title("Times faster")
    if not found:
        _say_nothing(axes)
        return
    places = range(len(found))
    reach = [[bar.ratio - bar.least for bar in found], [bar.largest - bar.ratio for bar in found]]
    axes.barh(places, [bar.ratio for bar in found], xerr=reach, color=BAR, ecolor="black", capsize=3)
    axes.set_yticks(places, [bar.name for bar in found], fontsize=8)
    axes.invert_yaxis()
    axes.axvline(1, color=LINE_OF_ONE, linewidth=1, linestyle="--")
    axes.set_xlabel("ratio (the bars' ends: least and largest of the rounds)")


def _growth(axes: Axes, measured: Mapping[str, Any]) -> None:
    axes.set_title("Time of a training iteration")
    lines = {axis: each["rows"] for axis, each in measured.items() if len(each["rows"]) > 1}
    if not lines:
        _say_nothing(axes)
        return
    for axis, rows in lines.items():
        first = rows[0]
        x = [row["value"] / first["value"] for row in rows]
        axes.plot(x, [row["ms"] / first["ms"] for row in rows], marker="o", label=NAMES[axis])
    ends = [1, max(row["value"] / rows[0]["value"] for rows in lines.values() for row in rows)]
    axes.plot(ends, ends, color=LINE_OF_ONE, linewidth=1, linestyle="--", label="in proportion")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xlabel("times the first row")
    axes.set_ylabel("times the first row's time")
    axes.legend(fontsize=8)


def _say_nothing(axes: Axes) -> None:
    axes.text(0.5, 0.5, "not measured", ha="center", va="center", transform=axes.transAxes)
    axes.set_axis_off()
