"""Numbers as tables show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

NONE = "-"
"""What stands for a number that there is none of."""


def rounded(value: Optional[float], digits: int = 2) -> str:
    """To `digits` decimals; of small numbers, such as a KID of 0.00234, as many significant digits and one more."""
    if value is None:
        return NONE
    if value and abs(value) < 10 ** (1 - digits):
        return f"{value:.{digits + 1}g}"
    return f"{value:.{digits}f}"


def with_spread(value: Optional[float], spread: Optional[float]) -> str:
    """A number with its spread, where it has one: a single subset has none."""
    return f"{rounded(value)} +- {rounded(spread)}" if spread else rounded(value)


def with_interval(value: Optional[float], interval: Optional[Sequence[float]]) -> str:
    """A number with the ends of its interval, where it has one."""
    if value is None or not interval:
        return rounded(value)
    low, high = interval
    return f"{rounded(value)} [{rounded(low)}, {rounded(high)}]"
