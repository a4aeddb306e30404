"""EvaluateOOD: how well the energy tells the data set's own test images from images of other kinds.

The score is -E(x) with the averaged weights, the test images are the positives (Du et al. 2021). All sets are
quantised to the levels of the data set and stand at mid level, so that nothing but the image tells them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
import tensorflow as tf

from ebm_tf import demands
from ebm_tf.config import OOD
from ebm_tf.datasets.store import Split, Store
from ebm_tf.errors import EBMError
from ebm_tf.evaluation.extractors.digests import weights_sha256
from ebm_tf.evaluation.levels import level_of
from ebm_tf.evaluation.ood import (
    GaussianPixels,
    detection,
    fit_gaussian_pixels,
    synthetic_images,
)
from ebm_tf.figures import save_histograms
from ebm_tf.grey_levels import Images, at_mid_level
from ebm_tf.langevin import Energy
from ebm_tf.models.compose import of_any_label, of_label
from ebm_tf.models.energy import EnergyModel, load_trained
from ebm_tf.stages.context import Context

BATCH = 250
GAUSSIAN_PIXELS, GAUSSIAN_IMAGES = 4096, 50_000
"""Most pixels of an image, and most images, that a Gaussian is fitted to: its covariance has the pixels' square."""

TITLES = {
    "test": "test images",
    "train": "training images",
    "uniform_noise": "uniform noise",
    "rotated": "rotated by 90 degrees",
    "inverted": "inverted",
    "constant": "flat greys",
    "shuffled": "pixels shuffled",
}
"""Of the rows; other data sets go by their names."""


class Scored(NamedTuple):
    """A set's energies [n], and its log-likelihoods [n] under the Gaussian where there is one."""

    energies: np.ndarray
    likelihoods: Optional[np.ndarray]


def run(context: Context) -> None:
    settings, store = context.section("ood"), Store(context.inputs["PrepareDataset"])
    others = _other_stores(context, store)
    model, levels = load_trained(context.inputs["TrainEBM"]), store.manifest.levels
    label_levels = _label_levels(model, store)
    energy, gaussian = _compiled(model, label_levels), _gaussian(store, settings.seed)
    sets, scored = _sets(settings, store, others), {}
    for number, (name, images) in enumerate(sets.items()):

        def report(share: float, number: int = number, name: str = name) -> None:
            context.progress(int(BATCH * (number + share)), BATCH * len(sets), TITLES.get(name, name))

        scored[name] = _score(energy, gaussian, images(), levels, report)
        _check(scored[name].energies, TITLES.get(name, name))
    protocol = {
        "score": "-E(x), by the label that fits best, all labels at one level" if model.classes else "-E(x)",
        "label_levels": label_levels,
        "positives": TITLES["test"],
        "weights": {"which": "average (EMA)", "sha256": weights_sha256(model)},
        "pixels": f"quantised to {levels} levels, at mid level",
        "images_at_most": settings.count,
        "seed": settings.seed,
    }
    metrics = {"sets": measure(scored), "protocol": protocol, "warnings": _warnings(others, levels)}
    context.write_json("metrics.json", metrics)
    (context.out / "summary.txt").write_text(summary(metrics), encoding="utf-8")
    _write_energies(context, {name: values.energies for name, values in scored.items()})


def measure(scored: dict[str, Scored]) -> dict[str, dict[str, Any]]:
    """AUROC, AUPR and FPR95 of the test images against each other set, by the energy and by the Gaussian."""
    test, rows = scored["test"], {}
    for name, (energies, likelihoods) in scored.items():
        row: dict[str, Any] = {"images": len(energies), "mean_energy": float(energies.mean())}
        if name != "test":
            row |= detection(-test.energies, -energies)._asdict()
            if likelihoods is not None and test.likelihoods is not None:
                row["gaussian_pixels"] = detection(test.likelihoods, likelihoods)._asdict()
        rows[name] = row
    return rows


def summary(metrics: dict[str, Any]) -> str:
    """The table for people."""
    rows, protocol = metrics["sets"], metrics["protocol"]
    lines = [
        f"{'':30} {'AUROC':>7} {'AUPR':>7} {'FPR95':>7} {'Gaussian':>9} {'mean energy':>12} {'images':>7}"
    ]
    for name, row in rows.items():
        values = [f"{row[key]:7.3f}" if key in row else f"{'':7}" for key in ("auroc", "aupr", "fpr95")]
        by_gaussian = f"{row['gaussian_pixels']['auroc']:.3f}" if "gaussian_pixels" in row else ""
        lines.append(
            f"{TITLES.get(name, name):30} {' '.join(values)} {by_gaussian:>9} {row['mean_energy']:12.4g} "
            f"{row['images']:7d}"
        )
    fitted = "gaussian_pixels" in rows["train"]
    lines += [
        "",
        f"Score {protocol['score']}. The {protocol['positives']} of the data set are the positives; an AUROC of 0.5 "
        "is guessing.",
        "Gaussian: AUROC of the log-likelihood under a Gaussian fitted to the pixels of the training images."
        if fitted
        else f"Gaussian: not fitted to images of more than {GAUSSIAN_PIXELS} values.",
        "Training images should be at 0.5; far below it, the energy knows them by heart.",
        f"Weights: {protocol['weights']['which']}, sha256 {protocol['weights']['sha256'][:12]}. Pixels: "
        f"{protocol['pixels']}. At most {protocol['images_at_most']} images of a set.",
        *metrics["warnings"],
    ]
    return "\n".join(lines) + "\n"


def _other_stores(context: Context, own: Store) -> dict[str, Store]:
    """The other data sets by title, in the order of `ood.datasets`."""
    stores: dict[str, Store] = {}
    for number, entry in enumerate(context.section("ood").datasets, start=1):
        other = Store(context.inputs[f"PrepareDataset {number}"])
        demands.images_of_one_shape(entry.name, other.manifest.shape, own.manifest.shape)
        name = f"{entry.name} {Path(entry.path).name}" if entry.path else entry.name
        stores[name if name not in stores else f"{name} ({number})"] = other
    return stores


def _sets(settings: OOD, own: Store, others: dict[str, Store]) -> dict[str, Callable[[], Images]]:
    """How to get the images of every row, so that one set at a time is held; the test images come first."""

    def split_of(store: Store, split: Split) -> Callable[[], Images]:
        return lambda: chosen(store.images(split), settings.count, settings.seed)

    def made(kind: str) -> Callable[[], Images]:
        return lambda: synthetic_images(kind, test(), own.manifest.levels, settings.seed)

    test = split_of(own, "test")
    return {
        "test": test,
        "train": split_of(own, "train"),
        **{kind: made(kind) for kind in settings.synthetic},
        **{name: split_of(other, "test") for name, other in others.items()},
    }


def chosen(images: Images, count: int, seed: int) -> Images:
    """At most `count` images, drawn by the seed, since a data set may be sorted; in their order."""
    if len(images) <= count:
        return np.asarray(images)
    random = np.random.default_rng(seed)
    return np.asarray(images[np.sort(random.choice(len(images), count, replace=False))])


def _label_levels(model: EnergyModel, store: Store) -> dict[int, float]:
    """Mean energy of the training images of each label that a conditional model has learned; else nothing."""
    learned = np.unique(store.labels("train")) if model.classes else []
    return {int(label): level_of(of_label(model, int(label)), store, int(label)) for label in learned}


def _compiled(model: EnergyModel, label_levels: dict[int, float]) -> Energy:
    of_images = of_any_label(model, label_levels) if label_levels else model

    @tf.function(reduce_retracing=True)
    def energy(images: tf.Tensor) -> tf.Tensor:
        return of_images(images)

    return energy


def _gaussian(store: Store, seed: int) -> GaussianPixels | None:
    """The Gaussian fitted to the training images; None where these have too many pixels."""
    if np.prod(store.manifest.shape) > GAUSSIAN_PIXELS:
        return None
    images, levels = chosen(store.images("train"), GAUSSIAN_IMAGES, seed), store.manifest.levels
    return fit_gaussian_pixels((at_mid_level(part, levels) for part in _batches(images)), levels)


def _score(
    energy: Energy,
    gaussian: GaussianPixels | None,
    images: Images,
    levels: int,
    report: Callable[[float], None],
) -> Scored:
    energies, likelihoods, done = [], [], 0
    for batch in _batches(images):
        pixels = at_mid_level(batch, levels)
        energies.append(energy(tf.constant(pixels)).numpy())
        if gaussian is not None:
            likelihoods.append(gaussian.log_likelihood(pixels))
        done += len(batch)
        report(done / len(images))
    return Scored(np.concatenate(energies), np.concatenate(likelihoods) if likelihoods else None)


def _batches(images: Images) -> Iterator[Images]:
    return (np.asarray(images[first : first + BATCH]) for first in range(0, len(images), BATCH))


def _check(energies: np.ndarray, title: str) -> None:
    bad = len(energies) - int(np.count_nonzero(np.isfinite(energies)))
    if bad:
        raise EBMError(
            f"{bad} of {len(energies)} energies of {title} are not numbers: the model is broken, train it again"
        )


def _write_energies(context: Context, energies: dict[str, np.ndarray]) -> None:
    np.savez(context.out / "energies.npz", **energies)
    sets = {TITLES.get(name, name): values for name, values in energies.items() if name != "test"}
    save_histograms((TITLES["test"], energies["test"]), sets, "energy", context.out / "energies.png")


def _warnings(others: dict[str, Store], levels: int) -> list[str]:
    """Data sets of fewer greys, which no quantisation can make like the others."""
    return [
        f"{name} has {other.manifest.levels} grey levels, fewer than the {levels} of the data set: the energy may "
        "know it by that."
        for name, other in others.items()
        if other.manifest.levels < levels
    ]
