"""The processes of one run, found by a mark in their environment and by their session."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from typing import Optional

import psutil

MARK = "EBM_FAULT_MARK"
GONE_SECONDS = 30.0  # more than the ten that a process is given to end politely


def new_mark() -> dict[str, str]:
    """An environment variable that no other process has."""
    return {MARK: uuid.uuid4().hex}


def survivors(mark: dict[str, str], session: Optional[int] = None) -> list[int]:
    """Live processes with the mark in the environment that they began with, or in the session."""
    sign = f"{MARK}={mark[MARK]}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            pid = int(folder.name)
            alive = psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
            marked = sign in (folder / "environ").read_bytes().split(b"\0")
            if alive and (marked or os.getsid(pid) == session):
                found.append(pid)
        except (OSError, psutil.Error):
            continue
    return found


def assert_all_gone(mark: dict[str, str], session: Optional[int] = None) -> None:
    """Wait until none is left."""
    until = time.monotonic() + GONE_SECONDS
    while left := survivors(mark, session):
        if time.monotonic() > until:
            lines = [f"{pid} {' '.join(psutil.Process(pid).cmdline())}" for pid in left]
            raise AssertionError(f"these live on: {lines}")
        time.sleep(0.02)
