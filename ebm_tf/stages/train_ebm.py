"""TrainEBM: the energy model, its averaged weights, its replay buffer, and the record of the run."""

from __future__ import annotations

import shutil

import numpy as np

from ebm_tf import devices
from ebm_tf.datasets.store import Store
from ebm_tf.figures import save_curves
from ebm_tf.models.energy import save_model_card
from ebm_tf.stages.context import Context
from ebm_tf.training.history import read_csv
from ebm_tf.training.loop import Loop
from ebm_tf.training.trainer import Trainer

PANELS = {
    "Mean energy": ("energy_real", "energy_sample"),
    "Spread of energies": ("energy_real_spread", "energy_sample_spread"),
    "Loss terms": ("loss_cd", "loss_opt", "loss_entropy", "loss_regularisation"),
    "Gradient norm": ("gradient_norm", "gradient_norm_cd_reg", "gradient_norm_kl"),
    "Chain displacement (pixels, L2)": ("displacement",),
    "Share of clipped pixels": ("clipped_share",),
}


def run(context: Context) -> None:
    store = Store(context.inputs["PrepareDataset"])
    sections = ("model", "langevin", "replay", "augmentation", "loss", "optimiser", "training")
    trainer = Trainer(
        devices.mirrored_strategy(),
        store.manifest.shape,
        store.manifest.levels,
        len(store.manifest.classes),
        context.section("seed"),
        **{name: context.section(name) for name in sections},
    )
    loop = Loop(
        trainer,
        store.images("train"),
        store.labels("train"),
        context.section("health"),
        context.work,
    )
    loop.run(context.progress)
    _write(context, trainer, loop)


def _write(context: Context, trainer: Trainer, loop: Loop) -> None:
    trainer.model.save_weights(context.out / "last.weights.h5")
    trainer.average.save_weights(context.out / "average.weights.h5")
    save_model_card(context.out, trainer.model_settings, trainer.image_shape, trainer.classes)
    buffer, filled = trainer.buffer, int(trainer.buffer.fill)
    np.savez(
        context.out / "replay.npz",
        images=buffer.images.numpy()[:filled],
        labels=buffer.labels.numpy()[:filled],
        ages=buffer.ages.numpy()[:filled],
    )
    shutil.copytree(loop.record, context.out, dirs_exist_ok=True)
    save_curves(read_csv(context.out / "history.csv"), PANELS, context.out / "curves.png")
    context.write_json(
        "metrics.json",
        {
            "steps": loop.position.step,
            "rollbacks": loop.position.rollbacks,
            "parameters": trainer.model.count_params(),
            "traces": trainer.step.experimental_get_tracing_count(),
        },
    )
