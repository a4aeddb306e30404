"""TrainEBM: the energy model, its averaged weights, its replay buffer, and the record of the run.

With selection.every above 0 the averaged weights are judged on the way. Then there are also selection.csv,
selection_speed.csv, selection.png and, unless no evaluation came to a finite number, best.weights.h5.
"""

from __future__ import annotations

import shutil
from typing import Optional

import numpy as np

from ebm_tf import devices
from ebm_tf.datasets.store import Store
from ebm_tf.errors import EBMError
from ebm_tf.evaluation.distances import FrechetTo, inception_score_from_logits, kernel_distance
from ebm_tf.evaluation.extractors.base import FeatureExtractor, Identity
from ebm_tf.evaluation.extractors.sources import load_extractor
from ebm_tf.evaluation.feature_set import FeatureSet
from ebm_tf.evaluation.statistics import Moments
from ebm_tf.figures import save_curves, save_marked_curves
from ebm_tf.grey_levels import Images
from ebm_tf.models.energy import save_model_card
from ebm_tf.stages.context import Context
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
EXTRACTED = 250  # images at a time
KID_SUBSET = 1000  # images, at most


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
    judge = _judge(context)
    loop = Loop(
        trainer,
        store.images("train"),
        store.labels("train"),
        context.section("health"),
        context.work,
        None if judge is None else Selection(trainer, judge, context.section("selection")),
    )
    loop.run(context.progress)
    _write(context, trainer, loop, () if judge is None else judge.warnings)


class Judge:
    """Frechet distance and KID of samples to reference images; the Inception Score where the extractor classifies.

    The Inception Score is that of all samples in one split; EvaluateFID's, the mean over
    `evaluation.inception_score_splits`, is lower for as many. KID is the mean over disjoint pairs of subsets of at
    most `KID_SUBSET`: the first samples, and as many reference images, which are drawn once by `seed`. Its cost is
    linear in `count`.

    Args:
        reference: features of the reference images, of the same extractor. count: of the samples to be judged.

    Attributes:
        warnings: what a reader of the numbers has to know, a sentence each.

    Raises:
        EBMError: the reference was measured by another extractor.
    """

    def __init__(self, extractor: FeatureExtractor, reference: FeatureSet, count: int, seed: int) -> None:
        if reference.identity != extractor.identity:
            raise EBMError(
                f"the reference features are of {reference.identity.name} ({reference.identity.sha256[:12]}), but "
                f"the extractor is {extractor.identity.name} ({extractor.identity.sha256[:12]}); run "
                "ReferenceStatistics again"
            )
        self.extractor, self.frechet = extractor, FrechetTo(reference.moments)
        self.warnings = _warnings(extractor.identity, count)
        known = len(reference.features)
        self.subset = min(KID_SUBSET, count, known)
        drawn = min(count, known) // self.subset * self.subset
        rows = np.random.default_rng(seed).choice(known, drawn, replace=False)
        self.reference = np.asarray(reference.features[rows])

    @property
    def names(self) -> tuple[str, ...]:
        """Of the metrics, in their order."""
        scored = () if self.extractor.identity.classes is None else ("inception_score",)
        return ("frechet_distance", "kid", *scored)

    def __call__(self, images: Images) -> dict[str, float]:
        """The metrics of uint8 images [n, H, W, C], n >= `count`."""
        parts = [self.extractor(images[row : row + EXTRACTED]) for row in range(0, len(images), EXTRACTED)]
        features = np.concatenate([part.features for part in parts])
        values = [self._frechet_distance(features), self._kid(features)]
        if self.extractor.identity.classes is not None:
            logits = np.concatenate([part.logits for part in parts if part.logits is not None])
            values.append(inception_score_from_logits(logits, splits=1).mean)
        return dict(zip(self.names, values))

    def _frechet_distance(self, features: np.ndarray) -> float:
        if len(features) < features.shape[1]:
            return self.frechet.distance_of_few(features)
        return self.frechet.distance(Moments.of(features))

    def _kid(self, features: np.ndarray) -> float:
        size = self.subset
        subsets = [slice(row, row + size) for row in range(0, len(self.reference), size)]
        each = [
            kernel_distance(features[rows], self.reference[rows], subsets=1, subset_size=size).mean
            for rows in subsets
        ]
        return float(np.mean(each))


def _warnings(identity: Identity, count: int) -> tuple[str, ...]:
    if count >= identity.features:
        return ()
    return (
        f"selection.count is {count}, fewer than the {identity.features} features of {identity.name}: the Frechet "
        "distances on the way are far too large, and say little but how they change; raise selection.count, or set "
        "selection.metric=kid",
    )


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
            "parameters": trainer.model.count_params(),
            "traces": trainer.step.experimental_get_tracing_count(),
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
