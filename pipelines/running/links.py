"""`ROOT/runs/<experiment>/<Task>`: links to the current artifacts of an experiment."""

from __future__ import annotations

import os
from pathlib import Path

from ebm_tf.config import Experiment
from ebm_tf.errors import MissingInput
from pipelines.stage_task import StageTask
from pipelines.trees import all_tasks


def check(experiment: Experiment, root: Path) -> None:
    """Refuse a place for links that has something else in it.

    Raises:
        MissingInput: it has.
    """
    links = _links(experiment, root)
    for folder in (root / "runs", root / "runs" / experiment.name):
        if folder.exists() and not folder.is_dir():
            raise MissingInput(f"{folder} is in the place of a folder of links; move it away")
    for link in links:
        if link.exists() and not link.is_symlink():
            raise MissingInput(f"{link} is in the place of a link; move it away")


def refresh(experiment: Experiment, root: Path) -> list[str]:
    """Point each task's link to its artifact; one whose artifact is not there, or whose task, is removed.

    Returns:
        "Task/fingerprint" of each artifact that a link led to before and which has another's in its place now.
    """
    replaced = []
    links, folder = _links(experiment, root), root / "runs" / experiment.name
    folder.mkdir(parents=True, exist_ok=True)
    for link, task in links.items():
        if task.artifact.exists():
            before = link.resolve()
            if before != task.artifact.path.resolve() and before.is_dir():
                replaced.append(f"{before.parent.name}/{before.name}")
            fresh = folder / f".{link.name}-{os.getpid()}"
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(os.path.relpath(task.artifact.path, folder.resolve()))
            fresh.replace(link)
        elif link.is_symlink():
            link.unlink()
    for other in folder.iterdir():
        if other.is_symlink() and other not in links and "artifacts" in other.readlink().parts:
            other.unlink()
    return replaced


def _links(experiment: Experiment, root: Path) -> dict[Path, StageTask]:
    """The link of each task that the experiment has a use for."""
    folder = root / "runs" / experiment.name
    return {folder / task.title.replace("/", "-"): task for task in all_tasks(experiment, root)}
