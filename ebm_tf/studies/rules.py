"""How a claim is decided: rules that look at numbers, and say what they saw.

A claim about a difference holds where the interval of the difference over seeds lies on its side of 0, does not hold
where it lies on the other, and is not decided where 0 is inside: that two things look alike proves neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

import numpy as np

from ebm_tf.evaluation.repeated import of_difference, over_seeds
from ebm_tf.evaluation.rounding import rounded, with_interval
from ebm_tf.evaluation.verdicts import level as percent

HOLDS = "holds"
FAILS = "does not hold here"
OPEN = "not decided here"
INCOMPARABLE = "not comparable"
NOT_RUN = "not run at this size"
VERDICTS = {
    HOLDS: "the numbers of this run say what the paper says",
    FAILS: "the numbers of this run say otherwise",
    OPEN: "the numbers of this run are too few or too alike to say",
    INCOMPARABLE: "the paper's value is of other images, another measure, or a picture",
    NOT_RUN: "this experiment does not have what the claim is about",
}
"""Every verdict, with its meaning."""

Case = Mapping[str, Any]
"""A case of a study, as `evidence.summarise` gives it."""


class Row(NamedTuple):
    """A line of the report: where the paper says it, what it says, its value and ours, and what becomes of it.

    why: one sentence or more.
    """

    place: str
    claim: str
    paper: str
    ours: str
    verdict: str
    why: str


class Difference(NamedTuple):
    """Of a number between two cases: -1 where the first has less, 1 where it has more, 0 where it is not decided."""

    sign: int
    words: str


def value(case: Case, name: str) -> str:
    """The mean of a number with its interval over seeds, as tables show it."""
    found = case["numbers"][name]
    return with_interval(found["mean"], found["interval"])


def beside(cases: Mapping[str, Case], name: str) -> str:
    """That of several cases, in one line."""
    return "; ".join(f"{title}: {value(case, name)}" for title, case in cases.items())


def difference(first: Case, second: Case, name: str, level: float) -> Difference:
    """Which of two cases has less of a number, at a confidence, by Welch's interval over their seeds."""
    interval = of_difference(_values(first, name), _values(second, name), level)
    if interval is None:
        return Difference(0, "fewer than two trainings of each have the number")
    low, high = interval.low, interval.high
    told = f"the {percent(level)} interval of the difference is {rounded(low)} to {rounded(high)}"
    if low > 0:
        return Difference(1, told)
    return Difference(-1, told) if high < 0 else Difference(0, f"{told}, with 0 inside")


def decided(sign: int, wanted: int) -> str:
    """The verdict on a claim that the sign of a difference is `wanted`."""
    return OPEN if sign == 0 else HOLDS if sign == wanted else FAILS


def by_divergence(claimed_stable: Case, other: Case) -> Optional[tuple[str, str]]:
    """Verdict and reason where all trainings of one case diverged and none of the other; None elsewhere."""
    stable, unstable = (len(case["diverged"]) for case in (claimed_stable, other))
    counts = f"{stable} of {seeds(claimed_stable)} trainings diverged against {unstable} of {seeds(other)}"
    if stable == 0 and unstable == seeds(other):
        return HOLDS, counts
    if unstable == 0 and stable == seeds(claimed_stable):
        return FAILS, counts
    return None


def ratios(first: Case, second: Case, name: str) -> dict[str, float]:
    """The number of the first over that of the second, seed by seed, where both have it."""
    of_first, of_second = (case["numbers"][name]["by_seed"] for case in (first, second))
    return {seed: of_first[seed] / of_second[seed] for seed in of_first if of_second.get(seed)}


def above(values: Mapping[str, float], limit: float, level: float) -> tuple[str, str, str]:
    """Whether the mean of a number per seed is above a limit: the verdict, the number, and why."""
    interval = over_seeds([*values.values()], level)
    if interval is None:
        return OPEN, "-", "fewer than two seeds have the number"
    told = with_interval(float(np.mean([*values.values()])), (interval.low, interval.high))
    what = f"the {percent(level)} interval over {len(values)} seeds lies"
    if interval.low > limit:
        return HOLDS, told, f"{what} above {limit:g}"
    if interval.high <= limit:
        return FAILS, told, f"{what} below {limit:g}"
    return OPEN, told, f"{limit:g} is inside the {percent(level)} interval over {len(values)} seeds"


def seeds(case: Case) -> int:
    """How many trainings the case has."""
    return len(case["steps"])


def _values(case: Case, name: str) -> list[float]:
    return [*case["numbers"][name]["by_seed"].values()]
