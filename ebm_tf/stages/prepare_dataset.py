"""PrepareDataset: a TFDS data set becomes the uint8 store, with a contact sheet."""

from __future__ import annotations

import shutil
import sys

from ebm_tf.datasets.contact_sheet import save_contact_sheet
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
    lines = summary(manifest)
    (context.out / "summary.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for warning in lines[1:]:
        print(warning, file=sys.stderr)


def summary(manifest: Manifest) -> list[str]:
    """A line on what the store holds, and a warning if files of the user were no use."""
    height, width, channels = manifest.shape
    classes = f"{len(manifest.classes)} classes" if manifest.classes else "no labels"
    held = f"{manifest.counts['train']} images to train with, {manifest.counts['test']} held out"
    lines = [f"{manifest.dataset}: {held}, {height}x{width}x{channels}, {classes}"]
    if manifest.unusable:
        named = [f"{name} ({reason})" for name, reason in manifest.unusable["files"].items()]
        more = ", ..." if manifest.unusable["count"] > NAMED else ""
        lines.append(
            f"warning: {manifest.unusable['count']} files cannot be used: {', '.join(named[:NAMED])}{more}"
        )
    return lines
