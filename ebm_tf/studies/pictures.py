"""Pictures of studies: curves with a thin line for each seed, numbers as points, in the style of `figures.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ebm_tf.figures import panel_grid, save_and_close

CURVE_COLUMNS, POINT_COLUMNS = 2, 4


class Curve(NamedTuple):
    """One seed's: steps [n]; values [n], gaps where not finite; whether its training diverged at the end."""

    steps: np.ndarray
    values: np.ndarray
    diverged: bool


Panel = Mapping[str, Sequence[Curve]]
"""The curves of each case, by its title."""


def save_seed_curves(panels: Mapping[str, Panel], path: Path) -> None:
    """A panel for each title: of every case a thin line per seed, and their mean, as far as all seeds go.

    A training that diverged ends in a cross. Cases have one colour in all panels.
    """
    titles = [*dict.fromkeys(case for panel in panels.values() for case in panel)]
    figure, axes = panel_grid(len(panels), CURVE_COLUMNS, (5.5, 2.7))
    for axis, (title, panel) in zip(axes, panels.items()):
        for case, curves in panel.items():
            _draw(axis, curves, f"C{titles.index(case)}", case)
        axis.set_title(title, fontsize=10)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    save_and_close(figure, path)


def save_points(
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    marks: Mapping[str, float],
    path: Path,
) -> None:
    """A panel for each title: of every case a point per seed and a bar at their mean, and a dashed line at a mark.

    Args:
        panels: by title, the values of each case. marks: by title, of real test images; not all have one.
    """
    figure, axes = panel_grid(len(panels), POINT_COLUMNS, (2.9, 3.2))
    for axis, (title, cases) in zip(axes, panels.items()):
        for place, values in enumerate(cases.values()):
            if len(values):
                axis.plot([place] * len(values), values, "o", color=f"C{place}", markersize=4, alpha=0.7)
                axis.hlines(float(np.mean(values)), place - 0.25, place + 0.25, color=f"C{place}")
        if title in marks:
            axis.axhline(marks[title], color="0.4", linestyle="--", linewidth=1, label="real test images")
            axis.legend(fontsize=7)
        axis.set_xticks(range(len(cases)), [*cases], rotation=35, ha="right", fontsize=8)
        axis.set_xlim(-0.6, len(cases) - 0.4)
        axis.set_title(title, fontsize=10)
        axis.grid(alpha=0.3, axis="y")
    save_and_close(figure, path)


def _draw(axis: Any, curves: Sequence[Curve], colour: str, title: str) -> None:
    for curve in curves:
        axis.plot(curve.steps, curve.values, color=colour, linewidth=0.7, alpha=0.5)
        if curve.diverged and len(curve.steps):
            axis.plot(curve.steps[-1], curve.values[-1], "x", color=colour, markersize=7)
    shared = min((len(curve.steps) for curve in curves), default=0)
    if shared:
        mean = np.mean([curve.values[:shared] for curve in curves], axis=0)
        axis.plot(curves[0].steps[:shared], mean, color=colour, linewidth=1.8, label=title)
