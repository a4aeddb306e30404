"""TrainSNGAN: the baseline of S A.2, its networks and the record of the run."""

from __future__ import annotations

import shutil

from ebm_tf import devices
from ebm_tf.baselines.adversarial import Adversaries
from ebm_tf.baselines.sngan import GENERATOR_FILE
from ebm_tf.baselines.training import Loop
from ebm_tf.datasets.store import Store
from ebm_tf.figures import save_curves
from ebm_tf.stages.context import Context
from ebm_tf.training.history import read_csv

PANELS = {
    "Mean score": ("score_real", "score_generated"),
    "Loss of the discriminator (2: it tells nothing apart)": ("loss_discriminator",),
    "Loss of the generator": ("loss_generator",),
    "Gradient norm": ("gradient_norm_discriminator", "gradient_norm_generator"),
}


def run(context: Context) -> None:
    store = Store(context.inputs["PrepareDataset"])
    adversaries = Adversaries(
        devices.mirrored_strategy(),
        store.manifest.shape,
        store.manifest.levels,
        context.section("seed"),
        context.section("sngan"),
    )
    loop = Loop(adversaries, store.images("train"), context.work)
    loop.run(context.progress)
    _write(context, adversaries, loop)


def _write(context: Context, adversaries: Adversaries, loop: Loop) -> None:
    """Nothing here tells the time, so that the same run again is the same artifact; params.json has the seconds."""
    adversaries.average.save_weights(context.out / GENERATOR_FILE)
    adversaries.discriminator.save_weights(context.out / "discriminator.weights.h5")
    shutil.copytree(loop.record, context.out, dirs_exist_ok=True)
    save_curves(read_csv(context.out / "history.csv"), PANELS, context.out / "curves.png")
    steps, settings = loop.position.step, adversaries.settings
    context.write_json(
        "sngan.json",
        {
            "settings": settings.model_dump(mode="json"),
            "image_shape": list(Store(context.inputs["PrepareDataset"]).manifest.shape),
            "steps": steps,
            "weights": "average (EMA)" if settings.ema_decay else "last",
        },
    )
    context.write_json(
        "metrics.json",
        {
            "steps": steps,
            "stopped_by": "steps" if steps >= settings.steps else "seconds",
            "parameters": adversaries.generator.count_params(),
            "parameters_discriminator": adversaries.discriminator.count_params(),
        },
    )
