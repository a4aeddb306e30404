"""Artifacts of the tasks of an experiment, as a run publishes them, without the time that one takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ebm_tf.config_files import load_experiment
from pipelines.artifact import Artifact
from pipelines.publishing import prepare_work, publish
from pipelines.stage_task import StageTask
from pipelines.tasks import task_named
from pipelines.trees import tree

STARTED = "2024-05-01T12:00:00+00:00"


def step(root: Path, task: str, *settings: str) -> StageTask:
    """The task of the digits' experiment with some settings changed."""
    return task_named(task).of(load_experiment("digits", settings), root)


def build(
    task: StageTask, text: str = "content", metrics: Mapping[str, Any] | None = None, **record: Any
) -> Artifact:
    """Publish the artifact of a task whose inputs are there.

    Args:
        text: all the content that it has beside its metrics.
        record: what params.json says besides, or otherwise.
    """
    artifact = task.artifact
    inputs = {
        name: {"task": made.name(), "fingerprint": made.fingerprint, "content": made.artifact.content()}
        for name, made in task.sources().items()
    }
    prepare_work(artifact, {})
    (artifact.output / "data.txt").write_text(text)
    if metrics is not None:
        (artifact.output / "metrics.json").write_text(json.dumps(metrics))
    artifact.log.write_text("what happened\n")
    known = {
        "task": task.name(), "version": task.VERSION, "fingerprint": task.fingerprint, "settings": task.settings,
        "inputs": inputs, "seed": 0, "started": STARTED, "seconds": 10.0, "attempts": 1,
    }  # fmt: skip
    publish(artifact, {**known, **record})
    return artifact


def build_all(task: StageTask, **record: Any) -> StageTask:
    """Publish all that is missing of a task and what it stands on; returns the task."""
    for needed in tree(task):
        if not needed.artifact.exists():
            build(needed, **record)
    return task


def change_record(artifact: Artifact, **changes: Any) -> None:
    """Write other values into a params.json."""
    path = artifact.path / "params.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
