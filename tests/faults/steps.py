"""What a process does to the files below a folder, step by step, and an act at one of the steps.

A step is what Python's audit events tell of: a file opened for writing, a folder made, something renamed, linked
or removed; and for a file that is opened for writing one more, when it is there but empty.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Optional

PATHS_OF = {  # event: position of the path, and of the descriptor of the folder that it is relative to
    "open": (0, None),
    "os.mkdir": (0, 2),
    "os.rename": (1, 3),
    "os.symlink": (1, 2),
    "os.remove": (0, 1),
    "os.rmdir": (0, 1),
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
FIRST_BYTES = ("write", "pwrite", "sendfile")

Act = Callable[[str, str], None]
"""Gets the event, "os.rename" or "first write", and the path."""


def watch(folder: str, act: Act) -> None:
    """From now on, call `act` just before each step below the folder. Cannot be undone: for processes of tests."""
    acting = False

    def step(event: str, path: str) -> None:
        nonlocal acting
        if not acting and path.startswith(folder + os.sep):
            acting = True
            try:
                act(event, path)
            finally:
                acting = False

    def before_first_write(path: str) -> None:
        def profile(frame: FrameType, event: str, called: Any) -> None:
            name = getattr(called, "__name__", "") if event == "c_call" else ""
            if name in FIRST_BYTES:
                sys.setprofile(None)
                step("first write", path)
            elif name == "close":  # nothing is written
                sys.setprofile(None)

        sys.setprofile(profile)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in PATHS_OF:
            return
        path = _path(event, arguments)
        if path is None or (event == "open" and not (arguments[2] or 0) & WRITING):
            return
        step(event, path)
        if event == "open" and not acting and path.startswith(folder + os.sep):
            before_first_write(path)

    sys.addaudithook(hook)


def _path(event: str, arguments: tuple[Any, ...]) -> Optional[str]:
    position, descriptor = PATHS_OF[event]
    if isinstance(arguments[position], int):  # an open descriptor: its file was opened before
        return None
    path = Path(os.fsdecode(arguments[position]))
    if descriptor is not None and arguments[descriptor] >= 0:
        path = Path(f"/proc/self/fd/{arguments[descriptor]}").readlink() / path
    return str(path.absolute())
