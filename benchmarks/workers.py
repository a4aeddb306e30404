"""Measuring in turns what needs a process of its own: peak memory, and what TensorFlow fixes once per process.

A process's peak memory only ever rises, and its threads and replicas cannot be changed. So each case lives in a
process of its own, all at the same time, and they take their steps one after the other; those that wait do nothing.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from ebm_tf.errors import EBMError
from ebm_tf.memory import peak_mib

Make = Callable[..., Callable[[], object]]
"""Makes, in its process, what is measured: called without arguments, it returns when its work is done."""


@dataclass(frozen=True)
class Measured:
    """A case: milliseconds of its steps, seconds of its first call, peak MiB of its process, and what of these the
    process held when its first step began."""

    laps: list[float]
    first_call: float
    peak_mib: float
    before_mib: float


def in_turns(cases: Mapping[str, tuple[Any, ...]], rounds: int, warm_up: int = 1) -> dict[str, Measured]:
    """Measure cases, each in a process of its own.

    Args:
        cases: by name, a function of a module (`Make`) and its arguments, as they travel between processes.
        rounds: steps of each that are measured.
        warm_up: steps of each after the first call that are not.

    Raises:
        EBMError: a process ended before it answered; what it had to say is on standard error.
    """
    spawn = multiprocessing.get_context("spawn")
    workers = {}
    for name, (make, *arguments) in cases.items():
        here, there = spawn.Pipe()
        process = spawn.Process(target=_work, args=(there, make, arguments), daemon=True)
        process.start()
        there.close()  # so that a worker that fails ends the wait for its answer
        workers[name] = (here, process)
    before = {name: _ask(name, here, "memory") for name, (here, _) in workers.items()}
    first = {name: _ask(name, here, "step") for name, (here, _) in workers.items()}
    times: dict[str, list[float]] = {name: [] for name in workers}
    for number in range(warm_up + rounds):
        for name, (here, _) in workers.items():
            seconds = _ask(name, here, "step")
            if number >= warm_up:
                times[name].append(1e3 * seconds)
    peaks = {name: _ask(name, here, "memory") for name, (here, _) in workers.items()}
    for here, process in workers.values():
        here.send("end")
        process.join()
    return {name: Measured(times[name], first[name], peaks[name], before[name]) for name in workers}


def _ask(name: str, worker: Connection, what: str) -> float:
    try:
        worker.send(what)
        answer: float = worker.recv()
    except (EOFError, OSError) as error:
        raise EBMError(f"the process of {name} ended before it answered; see above what it said") from error
    return answer


def _work(parent: Connection, make: Make, arguments: list[Any]) -> None:
    """Take steps when asked, and answer with seconds, or with the memory held at most."""
    step = make(*arguments)
    while (wanted := parent.recv()) != "end":
        begun = time.perf_counter()
        if wanted == "step":
            step()
        parent.send(time.perf_counter() - begun if wanted == "step" else peak_mib())
