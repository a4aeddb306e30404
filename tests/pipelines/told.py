"""What people are shown, as text."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from rich.console import Console


def told(show: Callable[..., None], found: Any, *more: Any) -> str:
    """The text of a function that shows something on a console as wide as a pipe's."""
    console = Console(file=io.StringIO(), width=250)
    show(found, console, *more)
    return str(console.file.getvalue())  # type: ignore[attr-defined]
