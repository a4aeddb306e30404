"""Which of several numbers is better, and whether chance may have made the difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Optional

SMALLER = ("frechet_distance", "frechet_distance_infinity", "kid")
"""Metrics of which less is better."""
LARGER = (
    "inception_score",
    "precision",
    "recall",
    "density",
    "coverage",
    "class_coverage",
    "label_agreement",
)
"""Metrics of which more is better."""
TITLES = {
    "frechet_distance": "Frechet distance",
    "frechet_distance_infinity": "Frechet distance at infinity",
    "kid": "KID",
}
"""What a metric is called where its name with spaces will not do."""

Interval = Sequence[float]
"""Lowest and highest value that the data allow."""


def title_of(metric: str) -> str:
    """What people call a metric."""
    return TITLES.get(metric, metric.replace("_", " "))


def best(metric: str, values: Mapping[str, float]) -> Optional[str]:
    """Who has the best value; None where several share it, or where the metric has no better and worse.

    Args:
        metric: name of the metric.
        values: its value by model or run, one at least.
    """
    if metric not in SMALLER and metric not in LARGER:
        return None
    goal = min(values.values()) if metric in SMALLER else max(values.values())
    winners = [name for name, value in values.items() if value == goal]
    return winners[0] if len(winners) == 1 else None


def apart(
    first: Optional[Interval], second: Optional[Interval], confidences: Sequence[Optional[float]]
) -> Optional[bool]:
    """Whether two intervals have no value in common; None where that says nothing.

    Args:
        first, second: None where it is not known.
        confidences: of both, between 0 and 1; None where it is not told. Intervals are set against each other only
            if they have one confidence: of two of 50% each, more lie apart.

    Raises:
        ValueError: an interval is not a low and a high end.
    """
    for interval in (first, second):
        if interval is not None and (len(interval) != 2 or not interval[0] <= interval[1]):
            raise ValueError(f"an interval is a low and a high end. Received: {list(interval)}")
    of_first, of_second = confidences
    if first is None or second is None or of_first is None or of_first != of_second:
        return None
    return first[1] < second[0] or second[1] < first[0]


def unlike(confidences: Sequence[Optional[float]]) -> Optional[str]:
    """Why two intervals cannot be set against each other, in words; None where they can.

    Args:
        confidences: of both; None where it is not told.
    """
    of_first, of_second = confidences
    if of_first is None or of_second is None:
        return "the confidence of their intervals is not told"
    if of_first != of_second:
        return f"their intervals are of different confidence ({level(of_first)} and {level(of_second)})"
    return None


def level(confidence: float) -> str:
    """A confidence as people say it: 95%, 99.9%."""
    return f"{100 * confidence:g}%"
