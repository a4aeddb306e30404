"""Faults for the processes of a run, which find this file by PYTHONPATH; FAULTS in the environment says which.

FAULTS is a JSON object of

- `fill`: `below` (a folder), `at` ("event end-of-path", of steps.py, "open output/params.json") and `with` (a file):
  at the first such step, fill the disk that the file is on;
- `clock`: `by` (seconds, negative is back) and `once` (a file): from when the file is there, the clock is off by that
  much. Python's clocks only: time.time, time_ns, localtime, gmtime, datetime.now, utcnow, today.
"""

import importlib.util
import json
import os
from pathlib import Path

FAULTS = json.loads(os.environ.get("FAULTS", "{}"))
BLOCK_BYTES = 1 << 12


def fill(below: str, at: str, ballast: str) -> None:
    """Wait for the step, and then write the file until nothing more goes onto its disk."""
    steps = loaded("steps")
    event_awaited, _, end_of_path = at.rpartition(" ")

    def act(event: str, path: str) -> None:
        if event == event_awaited and path.endswith(end_of_path):
            write_until_full(ballast)

    steps.watch(below, act)


def write_until_full(path: str) -> None:
    """Once: a file that is there already is left alone."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        return
    try:
        while True:
            os.write(descriptor, bytes(BLOCK_BYTES))
    except OSError:  # ENOSPC, which is what was wanted
        os.close(descriptor)


def jump(by: float, once: str) -> None:
    """Replace the functions that read the clock."""
    import datetime
    import time

    true_ns = time.time_ns

    def time_ns() -> int:
        return true_ns() + (int(by * 1e9) if Path(once).exists() else 0)

    class OfType(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, true)

    true = datetime.datetime

    class Datetime(true, metaclass=OfType):
        @classmethod
        def now(cls, tz=None):
            return true.fromtimestamp(time_ns() / 1e9, tz)

        @classmethod
        def utcnow(cls):
            return true.fromtimestamp(time_ns() / 1e9, datetime.timezone.utc).replace(tzinfo=None)

        @classmethod
        def today(cls):
            return cls.now()

    for name in ("localtime", "gmtime"):
        of_given = getattr(time, name)
        setattr(
            time, name, lambda seconds=None, f=of_given: f(time_ns() / 1e9 if seconds is None else seconds)
        )
    time.time_ns, time.time = time_ns, lambda: time_ns() / 1e9
    datetime.datetime = Datetime


def loaded(name: str):
    """A module that lies beside this folder."""
    path = Path(__file__).parents[1] / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"fault_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if "fill" in FAULTS:
    fill(FAULTS["fill"]["below"], FAULTS["fill"]["at"], FAULTS["fill"]["with"])
if "clock" in FAULTS:
    jump(FAULTS["clock"]["by"], FAULTS["clock"]["once"])
