"""Waiting until something is so, and not for ever."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.02


def until(true: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """Ask again and again until it is true; what it then says.

    Args:
        what: is waited for, in the words of a failure.
        seconds: after which it fails.
    """
    over = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < over, f"never came: {what}"
        time.sleep(LOOK_SECONDS)
    return found
