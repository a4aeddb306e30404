"""Numbers as tables show them."""

from __future__ import annotations

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
