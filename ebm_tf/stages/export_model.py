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
    langevin = context.section("langevin")
    sampling = context.section("sampling")
    step_size, noise_scale = chain_of_samples(sampling, langevin)
    weights = context.inputs["TrainEBM"] / f"{sampling.weights}.weights.h5"
    model = load_energy_model(context.section("model"), manifest.shape, weights, len(manifest.classes))
    context.progress(0, 2, "writing the SavedModel")
    folder = context.out / "saved_model"
    export(model, step_size, noise_scale, folder, langevin.anneal, langevin.gradient_clip)
    context.progress(1, 2, "checking it in a process without this project")
    random = np.random.default_rng(0)
    images = random.random((5, *manifest.shape), dtype=np.float32)
    labels = random.integers(model.classes, size=5, dtype=np.int32) if model.classes else None
    differences = check_export(folder, model, images, labels)
    context.write_json(
        "metrics.json",
        {
            "signatures": list(SIGNATURES),
            "classes": manifest.classes if model.classes else [],
            "largest_difference": differences,
        },
    )
