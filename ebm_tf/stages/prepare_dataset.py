"""PrepareDataset: a TFDS data set becomes the uint8 store, with a contact sheet."""

from __future__ import annotations

import numpy as np

from ebm_tf.datasets.registry import source
from ebm_tf.datasets.store import Store, write_store
from ebm_tf.figures import save_grid
from ebm_tf.stages.context import Context


def run(context: Context) -> None:
    name = context.section("dataset").name
    write_store(source(name), name, context.work / "tfds", context.out, context.progress)
    images = Store(context.out).images("train")
    save_grid(np.asarray(images[:64]), context.out / "contact_sheet.png", columns=16)
