"""Workers of a small training, each the real stage in a process of its own."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
import tensorflow as tf

from ebm_tf.config_files import load_experiment
from pipelines.tasks import TrainEBM
from tests.stages.running import stage_command
from tests.workers.free_ports import free_addresses

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 150
SMALL = (
    "training.steps=40", "training.batch_size=8", "training.log_every=4", "training.grid_every=20",
    "training.checkpoint_every=7", "langevin.steps=3", "replay.capacity=100", "loss.entropy_minimum_fill=40",
    "selection.every=0",
)  # fmt: skip


class Ending(NamedTuple):
    """How a process ended: exit code, its events, seconds from when it was asked after."""

    code: int
    events: list[dict[str, Any]]
    seconds: float

    @property
    def line(self) -> str:
        """The one error that it told of."""
        (line,) = [event["message"] for event in self.events if event["event"] == "error"]
        return str(line)


class Worker:
    """One worker: the chief's stage is TrainEBM, the others' JoinTraining.

    Args:
        folder: for its files; made if it is not there.
        inputs: by the names that the stage knows them under.
        index: its number; None for training alone.
    """

    def __init__(
        self,
        folder: Path,
        inputs: dict[str, Path],
        *overrides: str,
        workers: Sequence[str] = (),
        index: Optional[int] = None,
    ) -> None:
        of_a_cluster = ["compute.strategy=multi_worker", f"compute.workers=[{', '.join(workers)}]"]
        of_a_cluster.append(f"compute.worker={index}")
        given = [*SMALL, *(of_a_cluster if workers else []), *overrides]
        experiment = load_experiment("digits", given).model_dump(mode="json")
        stage, settings = "JoinTraining" if index else "TrainEBM", TrainEBM.slice_of(experiment)
        self.work, self.out = folder / "work", folder / "out"
        self.command = stage_command(folder, stage, settings, inputs, experiment["compute"])
        self.process: Optional[subprocess.Popen[str]] = None

    def start(self) -> None:
        """Begin, or begin again."""
        self.process = subprocess.Popen(
            self.command,
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def reach(self, step: int) -> None:
        """Wait until it has told of a step as late as this."""
        self._hear(lambda event: int(event["done"]) >= step)

    def say(self, beginning: str) -> None:
        """Wait until it says something that begins like this."""
        self._hear(lambda event: str(event["message"]).startswith(beginning))

    def _hear(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        assert self.process is not None and self.process.stdout is not None
        for line in self.process.stdout:
            event = json.loads(line)
            assert event["event"] == "progress", event
            if wanted(event):
                return
        raise AssertionError("it ended before that")

    def end(self) -> Ending:
        """Wait for the end."""
        assert self.process is not None
        began = time.monotonic()
        out, _ = self.process.communicate(timeout=PATIENCE_SECONDS)
        events = [json.loads(line) for line in out.splitlines()]
        return Ending(self.process.returncode, events, time.monotonic() - began)

    def state(self, step: int) -> dict[str, np.ndarray]:
        """Every variable of the checkpoint after so many steps."""
        reader = tf.train.load_checkpoint(str(self.work / "checkpoints" / f"step-{step:08d}" / "state"))
        names = [name for name in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in name]
        return {name: reader.get_tensor(name) for name in names}


def together(
    folder: Path, inputs: dict[str, Path], *overrides: str, count: int = 2, differing: Sequence[str] = ()
) -> list[Worker]:
    """The workers of a cluster on this machine, the chief first.

    Args:
        differing: more overrides, of the last one alone.
    """
    addresses = free_addresses(count)
    return [
        Worker(
            folder / str(index),
            inputs,
            *overrides,
            *(differing if index == count - 1 else ()),
            workers=addresses,
            index=index,
        )
        for index in range(count)
    ]


def finish_well(workers: Sequence[Worker]) -> list[Ending]:
    """As `finish`; all end with 0."""
    endings = finish(workers)
    assert all(ending.code == 0 for ending in endings), [ending.events[-1:] for ending in endings]
    return endings


def finish(workers: Sequence[Worker]) -> list[Ending]:
    """Start all that are not running, and wait for all."""
    for worker in workers:
        if worker.process is None or worker.process.poll() is not None:
            worker.start()
    return [worker.end() for worker in workers]
