"""`ROOT/runs/<experiment>/<Task>`: links to the current artifacts of an experiment."""

from __future__ import annotations

import os
from pathlib import Path

from ebm_tf.config import Experiment
from pipelines.tasks import all_tasks


def refresh(experiment: Experiment, root: Path) -> None:
    """Point each task's link to its artifact; one whose artifact is not there is removed."""
    folder = root / "runs" / experiment.name
    folder.mkdir(parents=True, exist_ok=True)
    for task in all_tasks(experiment, root):
        artifact, link = task.artifact, folder / task.title.replace("/", "-")
        if artifact.exists():
            fresh = folder / f".{link.name}-{os.getpid()}"
            fresh.symlink_to(os.path.relpath(artifact.path, folder.resolve()))
            fresh.replace(link)
        elif link.is_symlink():
            link.unlink()
