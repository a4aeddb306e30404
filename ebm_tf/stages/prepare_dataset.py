"""PrepareDataset: a TFDS data set becomes the uint8 store, with a contact sheet."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ebm_tf.datasets.contact_sheet import save_contact_sheet
from ebm_tf.datasets.folder_listing import without_images
from ebm_tf.datasets.store import Manifest, Store
from ebm_tf.datasets.writing import write_store
from ebm_tf.stages.context import Context

NAMED = 3


def run(context: Context) -> None:
    dataset = context.section("dataset")
    manifest = write_store(dataset, context.compute.data_dir, context.work, context.out, context.progress)
    shutil.rmtree(context.work / "tfds", ignore_errors=True)  # the store has all that its records had
    store = Store(context.out)
    save_contact_sheet(
        store.images("train"), store.labels("train"), manifest.classes, context.out / "contact_sheet.png"
    )
    passed_over = without_images(Path(dataset.path)) if dataset.name == "folder" else []
    lines = summary(manifest, store.labels("train"), passed_over)
    (context.out / "summary.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for warning in lines[1:]:
        print(warning, file=sys.stderr)


def summary(manifest: Manifest, labels: np.ndarray, passed_over: Sequence[str] = ()) -> list[str]:
    """A line on what the store holds, and warnings: of files of no use, of folders and classes without images.

    Args:
        labels: int [n], of the training images.
        passed_over: the user's folders that would be classes if they held an image.
    """
    height, width, channels = manifest.shape
    classes = f"{len(manifest.classes)} classes" if manifest.classes else "no labels"
    held = f"{manifest.counts['train']} images to train with, {manifest.counts['test']} held out"
    lines = [f"{manifest.dataset}: {held}, {height}x{width}x{channels}, {classes}"]
    if manifest.unusable:
        named = [f"{name} ({reason})" for name, reason in manifest.unusable["files"].items()]
        count = manifest.unusable["count"]
        lines.append(f"warning: {count} files cannot be used: {_few(named, count)}")
    if manifest.classes and passed_over:
        lines.append(
            f"warning: folders without an image are passed over: {_few(passed_over, len(passed_over))}"
        )
    found = set(np.unique(labels).tolist())
    if bare := [name for number, name in enumerate(manifest.classes) if number not in found]:
        lines.append(
            f"warning: {len(bare)} of {len(manifest.classes)} classes have no image to train with: "
            f"{_few(bare, len(bare))}"
        )
    return lines


def _few(names: Sequence[str], count: int) -> str:
    """The first names of so many."""
    return ", ".join(names[:NAMED]) + (", ..." if count > NAMED else "")
