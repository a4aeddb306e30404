"""What can be known to fail before a run begins."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path

from ebm_tf.errors import MissingInput
from pipelines.stage_task import StageTask
from pipelines.trees import tree

MEBIBYTE = 1 << 20


def check(root_task: StageTask, minimum_free_disk_mb: int, forced: Collection[str] = ()) -> None:
    """Check the root, the disk, and the artifacts that the task stands on; writes nothing.

    Args:
        root_task: the task that is to be run.
        minimum_free_disk_mb: MiB that must be free at the root.
        forced: keys of tasks that are rebuilt anyway, damaged or not.

    Raises:
        MissingInput: one of them will not do.
    """
    root = Path(root_task.root)
    place = _writable_place(root)
    free = shutil.disk_usage(place).free // MEBIBYTE
    if free < minimum_free_disk_mb:
        raise MissingInput(
            f"no disk space: {free} MiB are free at {place}, and compute.minimum_free_disk_mb asks for "
            f"{minimum_free_disk_mb}; free some, or give another --root"
        )
    for task in tree(root_task):
        wanted = task.key in forced or task.artifact.rebuild_wanted
        if not wanted and (damage := task.artifact.damage()):
            raise MissingInput(damage)


def _writable_place(root: Path) -> Path:
    """The root, or the nearest folder above it that exists; files can be made there."""
    place = next(path for path in (root, *root.parents) if path.exists())
    if not place.is_dir():
        raise MissingInput(f"root {root} cannot be used: {place} is a file; give a folder with --root")
    try:
        with tempfile.TemporaryFile(dir=place):
            return place
    except OSError as error:
        raise MissingInput(
            f"root {root} cannot be written ({error.strerror or error}); give another with --root"
        ) from error
