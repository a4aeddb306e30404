"""A worker that is not the chief of a training: the data that it needs, and then its part in the training."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ebm_tf.config import Experiment
from ebm_tf.errors import EBMError
from ebm_tf.workers.cluster import AGAIN, Cluster, demand_other_worker
from pipelines.in_use import in_use
from pipelines.interruption import Interrupted, Interruption
from pipelines.journal import Journal
from pipelines.running.runner import STATUS_OF_EXIT_CODE, Request, Watch, execute
from pipelines.stage_process import Progress, run_stage
from pipelines.stage_task import StageTask
from pipelines.tasks import TrainEBM

STAGE = "JoinTraining"


@dataclass(frozen=True)
class Joined:
    """What came of a worker's part in a training.

    Attributes:
        worker: its number. workers: the cluster's addresses; the first is the chief's, who keeps the result.
        steps: that it took part in.
        error: why it ended early, if it did. log: what to read then.
    """

    status: str
    exit_code: int
    worker: int
    workers: tuple[str, ...]
    steps: int
    seconds: float
    error: Optional[str] = None
    log: Optional[Path] = None


def join(
    experiment: Experiment,
    root: Path,
    wait: bool = True,
    watch: Watch = lambda journal: nullcontext(),
) -> Joined:
    """Have the images that the experiment trains on below the root; then train with the chief until it is done.

    Writes nothing else there than a log.

    Args:
        wait: for another run that builds the images.
        watch: makes a context, entered while something goes on, that may read the journal.

    Raises:
        ConfigError: this process has no place in a cluster, or is its chief.
        MissingInput, Busy: as of a run.
    """
    cluster, began = demand_other_worker(experiment.compute), time.monotonic()
    prepared = execute(Request("PrepareDataset", experiment, root, wait=wait), watch)
    steps, code, error, log = 0, prepared.exit_code, prepared.error, prepared.log
    if code == 0:
        log = log_of(experiment, root, cluster)
        with Interruption(), in_use(root, wait):
            try:
                steps = _take_part(TrainEBM.of(experiment, root), cluster, log, watch)
            except EBMError as failure:
                code, error = failure.exit_code, str(failure)
            except Interrupted as interrupt:
                code = 128 + interrupt.signal_number
                error = f"interrupted; the others end, too: {AGAIN}"
    seconds = round(time.monotonic() - began, 2)
    status = STATUS_OF_EXIT_CODE.get(code, "interrupted")
    return Joined(status, code, cluster.index, cluster.workers, steps, seconds, error, log)


def log_of(experiment: Experiment, root: Path, cluster: Cluster) -> Path:
    """Where the log of the last time is that this worker took part."""
    return root / "runs" / experiment.name / f"worker-{cluster.index}.log"


def _take_part(task: StageTask, cluster: Cluster, log: Path, watch: Watch) -> int:
    """Run the stage; returns the steps that it took."""
    images = task.sources()["PrepareDataset"].artifact
    images.verify()
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="ebm-join-") as folder:
        scratch = Path(folder)
        spec, output = scratch / "spec.json", scratch / "output"
        for empty in (output, scratch / "work"):
            empty.mkdir()
        spec.write_text(json.dumps(_spec(task, images.path, scratch)), encoding="utf-8")
        with _journalled(f"worker {cluster.index}", scratch, watch) as progress, _opened(scratch) as lock:
            run_stage(STAGE, f"worker {cluster.index}", spec, output, log, lock, progress)
        return int(json.loads((output / "joined.json").read_text(encoding="utf-8"))["steps"])


@contextmanager
def _journalled(title: str, scratch: Path, watch: Watch) -> Iterator[Progress]:
    """Keep a journal of a stage that is no task, and have it watched."""
    journal, began, ending = Journal(scratch / "journal.jsonl"), time.monotonic(), "failed"
    with watch(journal):
        journal.write(title, "started")
        try:
            yield lambda event: journal.write(title, **event)
            ending = "ran"
        finally:
            journal.write(title, ending, seconds=round(time.monotonic() - began, 2))


@contextmanager
def _opened(scratch: Path) -> Iterator[int]:
    """A descriptor for a child that expects an artifact's lock: here there is no artifact."""
    descriptor = os.open(scratch / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _spec(task: StageTask, images: Path, scratch: Path) -> dict[str, Any]:
    """Of the stage: the settings of the training, but the images alone of what it reads."""
    own = {"stage": STAGE, "inputs": {"PrepareDataset": str(images)}, "work": str(scratch / "work")}
    return {**task.spec(), **own}
