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
LARGEST_REST_SECONDS = 2.5  # of work; a stage looks for its parent twice a second, when native code lets it


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
    """Wait until none is left; none may work on meanwhile, be it to a good end."""
    until = time.monotonic() + GONE_SECONDS
    at_first: dict[int, float] = {}
    while left := survivors(mark, session):
        for pid in left:
            worked = _seconds_worked(pid)
            if worked - at_first.setdefault(pid, worked) > LARGEST_REST_SECONDS:
                raise AssertionError(f"{_line(pid)} works on")
        if time.monotonic() > until:
            raise AssertionError(f"these live on: {[_line(pid) for pid in left]}")
        time.sleep(0.02)


def _seconds_worked(pid: int) -> float:
    """Of processor time, so that a busy machine makes no difference; 0 when the process is gone."""
    try:
        times = psutil.Process(pid).cpu_times()
        return times.user + times.system
    except psutil.Error:
        return 0.0


def _line(pid: int) -> str:
    try:
        return f"{pid} {' '.join(psutil.Process(pid).cmdline())}"
    except psutil.Error:
        return f"{pid} (gone by now)"
