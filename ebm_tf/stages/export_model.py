"""ExportModel: a SavedModel with the averaged weights, checked by a process that cannot import this project."""

from __future__ import annotations

import numpy as np

from ebm_tf.config import chain_of_samples
from ebm_tf.datasets.store import Store
from ebm_tf.export import SIGNATURES, check_export, export
from ebm_tf.models.energy import load_energy_model
from ebm_tf.stages.context import Context


def run(context: Context) -> None:
    manifest = Store(context.inputs["PrepareDataset"]).manifest
    step_size, noise_scale = chain_of_samples(context.section("sampling"), context.section("langevin"))
    weights = context.inputs["TrainEBM"] / "average.weights.h5"
    model = load_energy_model(context.section("model"), manifest.shape, weights)
    context.progress(0, 2, "writing the SavedModel")
    folder = context.out / "saved_model"
    export(model, step_size, noise_scale, folder)
    context.progress(1, 2, "checking it in a process without this project")
    images = np.random.default_rng(0).random((5, *manifest.shape), dtype=np.float32)
    differences = check_export(folder, model, images)
    context.write_json("metrics.json", {"signatures": list(SIGNATURES), "largest_difference": differences})
