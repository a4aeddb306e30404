"""TrainEBM: the energy model, its averaged weights, its replay buffer, and the record of the run.

With selection.every above 0 the averaged weights are judged on the way. Then there are also selection.csv,
selection_speed.csv, selection.png and, unless no evaluation came to a finite number, best.weights.h5.

With health.on_divergence=keep a training that diverges is a result, too: `diverged` in metrics.json says when and
why; rows go up to there, weights and buffer are those of the last checkpoint from before the trouble.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Optional

import numpy as np

from ebm_tf.datasets.store import Store
from ebm_tf.evaluation.extractors.sources import load_extractor
from ebm_tf.evaluation.feature_set import FeatureSet
from ebm_tf.evaluation.sample_judge import Judge
from ebm_tf.exported import load_weights_into
from ebm_tf.figures import save_curves, save_marked_curves
from ebm_tf.models.energy import save_model_card
from ebm_tf.stages.context import Context
from ebm_tf.stages.together import build_trainer, chiefs_team
from ebm_tf.training.history import read_csv
from ebm_tf.training.loop import Loop
from ebm_tf.training.selection import Selection
from ebm_tf.training.trainer import Trainer

PANELS = {
    "Energy difference": ("energy_difference",),
    "Mean energy": ("energy_real", "energy_sample"),
    "Spread of energies": ("energy_real_spread", "energy_sample_spread"),
    "Loss terms": ("loss_cd", "loss_opt", "loss_entropy", "loss_regularisation"),
    "Gradient norm": ("gradient_norm", "gradient_norm_cd_reg", "gradient_norm_kl"),
    "Chain displacement (pixels, L2)": ("displacement",),
    "Share of clipped pixels": ("clipped_share",),
}
JUDGED = {  # of selection.png, where they are measured
    "Fréchet distance": "frechet_distance",
    "KID": "kid",
    "Inception Score, one split": "inception_score",
}


def run(context: Context) -> None:
    store = Store(context.inputs["PrepareDataset"])
    with chiefs_team(context, store) as team:
        trainer = build_trainer(context, store, team.strategy())
        _start_from(context, trainer)
        judge = _judge(context)
        loop = Loop(
            trainer,
            store.images("train"),
            store.labels("train"),
            context.section("health"),
            context.work,
            None if judge is None else Selection(trainer, judge, context.section("selection")),
            team.share,
        )
        loop.run(context.progress)
        team.finish()
    _write(context, trainer, loop, () if judge is None else judge.warnings)


def _start_from(context: Context, trainer: Trainer) -> None:
    """Give both networks the weights of training.initial_model; a checkpoint that is there overwrites them."""
    settings = context.section("training")
    if settings.initial_model is None:
        return
    for network in (trainer.model, trainer.average):
        folder = Path(settings.initial_model)
        load_weights_into(network, folder, trainer.model_settings, settings.initial_sha256)


def _judge(context: Context) -> Optional[Judge]:
    """None where nothing is judged on the way."""
    settings = context.section("selection")
    if not settings.every:
        return None
    steps = context.section("training").steps
    context.progress(0, steps, "reading what samples will be judged by")
    extractor = load_extractor(context.inputs["Extractor"])
    reference = FeatureSet.open(context.inputs["ReferenceStatistics"] / "train")
    return Judge(extractor, reference, settings.count, settings.seed)


def _write(context: Context, trainer: Trainer, loop: Loop, warnings: tuple[str, ...]) -> None:
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
    history = read_csv(context.out / "history.csv")
    history["energy_difference"] = history["energy_real"] - history["energy_sample"]
    save_curves(history, PANELS, context.out / "curves.png")
    judged = {} if loop.selection is None else _write_selection(context, loop.selection, history, warnings)
    context.write_json(
        "metrics.json",
        {
            "steps": loop.position.step,
            "rollbacks": loop.position.rollbacks,
            "diverged": loop.position.diverged,
            "parameters": trainer.model.count_params(),
            **judged,
        },
    )


def _write_selection(
    context: Context, selection: Selection, history: dict[str, np.ndarray], warnings: tuple[str, ...]
) -> dict[str, dict]:
    """The best weights and the course of the run (S figure 1); returns what metrics.json says of them."""
    found, columns = selection.summary(), read_csv(context.out / "selection.csv")
    if found["best_step"] is not None:
        selection.best.save_weights(context.out / "best.weights.h5")
    panels = {"Energy difference": (history["step"], history["energy_difference"])}
    panels |= {title: (columns["step"], columns[name]) for title, name in JUDGED.items() if name in columns}
    words = f"least {found['metric'].replace('_', ' ')}"
    save_marked_curves(panels, found["best_step"], words, context.out / "selection.png")
    return {"selection": {**found, "warnings": list(warnings)}}
