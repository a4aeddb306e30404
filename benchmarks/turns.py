"""Measuring in turns: rounds in which everything that is compared runs once, and what each took."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def milliseconds(
    actions: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 2
) -> dict[str, float]:
    """The median time of each action in milliseconds; arguments as of `laps`."""
    return {name: statistics.median(times) for name, times in laps(actions, rounds, warm_up).items()}


def laps(
    actions: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 2
) -> dict[str, list[float]]:
    """All times of each action in milliseconds, in the order in which they were measured.

    Args:
        actions: what is compared, by name; each returns only when its work is done.
        rounds: how often each is measured.
        warm_up: rounds before that, not counted, in which graphs are built.
    """
    times: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(warm_up + rounds):
        for name, action in actions.items():
            begun = time.perf_counter()
            action()
            if number >= warm_up:
                times[name].append(1e3 * (time.perf_counter() - begun))
    return times
