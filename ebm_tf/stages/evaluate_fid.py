"""EvaluateFID: Frechet distance and KID of the samples, beside rows that say what the numbers mean."""

from __future__ import annotations

from typing import Any

import numpy as np

from ebm_tf.datasets.store import Store
from ebm_tf.evaluation.distances import (
    class_share,
    entropy_of,
    frechet_distance,
    frechet_distance_from_features,
    kernel_distance,
)
from ebm_tf.evaluation.features import extract, load_classifier
from ebm_tf.evaluation.statistics import Moments
from ebm_tf.figures import save_bars
from ebm_tf.stages.context import Context

ROWS = {
    "fresh": "EBM, fresh chains from noise",
    "buffer": "EBM, chains from the buffer",
    "real_test": "real test images",
    "uniform_noise": "uniform noise",
    "gaussian_pixels": "Gaussian fitted to pixels",
}


def run(context: Context) -> None:
    settings = context.section("evaluation")
    network, card = load_classifier(context.inputs["TrainFeatureExtractor"])
    references, sampled = context.inputs["ReferenceStatistics"], context.inputs["GenerateSamples"]
    moments = Moments.load(references / "reference_moments.npz")
    reference = _load(references / "reference.npz")["features"]
    rows, chains = {}, {}
    for name in ROWS:
        if name in ("fresh", "buffer"):
            rows[name] = extract(network, _load(sampled / f"{name}.npz")["images"])
            chains[name] = context.read_json("GenerateSamples", f"{name}.json")["chain"]
        else:
            kept = _load(references / f"{name}.npz")
            rows[name] = (kept["features"], kept["probabilities"])
        context.progress(len(rows), 2 * len(ROWS), f"features: {ROWS[name]}")

    smallest = min(len(features) for features, _ in rows.values())
    frechet, equal_size, kernel, shares = {}, {}, {}, {}
    for done, (name, (features, probabilities)) in enumerate(rows.items()):
        frechet[name] = _frechet(features, reference, moments)
        equal_size[name] = _frechet(features[:smallest], reference, moments)
        kernel[name] = kernel_distance(
            features, reference, settings.kid_subsets, settings.kid_subset_size, settings.seed
        )
        shares[name] = class_share(probabilities.argmax(axis=1), card["classes"]).tolist()
        context.progress(len(ROWS) + done + 1, 2 * len(ROWS), f"distances: {ROWS[name]}")

    metrics = {
        "frechet_distance": frechet,
        "frechet_distance_at_equal_size": {"images": smallest, **equal_size},
        "kid": {name: value.mean for name, value in kernel.items()},
        "kid_spread": {name: value.spread for name, value in kernel.items()},
        "class_share": shares["fresh"],
        "class_share_by_row": shares,
        "class_entropy": {name: float(entropy_of(np.asarray(share))) for name, share in shares.items()},
        "protocol": {
            "extractor": {key: card[key] for key in ("name", "sha256", "features", "test_accuracy")},
            "reference": {"split": "train", "images": len(reference)},
            "images": {name: len(features) for name, (features, _) in rows.items()},
            "pixels": "uint8, quantised to the data set's levels",
            "weights": "average (EMA)",
            "chains": chains,
            "kid": {
                "subsets": settings.kid_subsets,
                "subset_size": {
                    name: min(settings.kid_subset_size, len(features), len(reference))
                    for name, (features, _) in rows.items()
                },
            },
            "seed": settings.seed,
        },
        "warnings": _warnings(smallest, card["features"]),
    }
    context.write_json("metrics.json", metrics)
    names = Store(context.inputs["PrepareDataset"]).manifest.classes
    shown = {ROWS[name]: shares[name] for name in ("fresh", "buffer", "real_test")}
    save_bars(names, shown, "Share of each class, by the extractor", context.out / "class_share.png")
    (context.out / "summary.txt").write_text(summary(metrics), encoding="utf-8")


def _frechet(features: np.ndarray, reference: np.ndarray, moments: Moments) -> float:
    """Between features and the reference; with fewer images than features, without their singular covariance."""
    if len(features) < features.shape[1]:
        return frechet_distance_from_features(features, reference)
    return frechet_distance(Moments.of(features), moments)


def _warnings(images: int, features: int) -> list[str]:
    """What a reader has to know about the number of images."""
    if images < features:
        return [
            f"{images} images are fewer than the {features} features: the distance is mostly bias; raise "
            "sampling.count and evaluation.baseline_count"
        ]
    if images < 10_000:
        return [
            f"With {images} images the Frechet distance is biased upwards; compare only with numbers of as many "
            "images."
        ]
    return []


def summary(metrics: dict[str, Any]) -> str:
    """The table for people."""
    protocol = metrics["protocol"]
    sizes = protocol["images"]
    equal = metrics["frechet_distance_at_equal_size"]
    lines = [
        f"{'':30} {'Frechet':>9} {'at n=' + str(equal['images']):>9} {'KID':>16} "
        f"{'class entropy':>13} {'images':>7}"
    ]
    for name, title in ROWS.items():
        kid = f"{metrics['kid'][name]:.2f} +- {metrics['kid_spread'][name]:.2f}"
        lines.append(
            f"{title:30} {metrics['frechet_distance'][name]:9.2f} {equal[name]:9.2f} {kid:>16} "
            f"{metrics['class_entropy'][name]:13.3f} {sizes[name]:7d}"
        )
    share = metrics["class_share"]
    lines += [
        "",
        f"Distances to {protocol['reference']['images']} training images, in the "
        f"{protocol['extractor']['features']} features of a classifier that gets "
        f"{protocol['extractor']['test_accuracy']:.1%} of the test images right "
        f"(sha256 {protocol['extractor']['sha256'][:12]}). Not an Inception FID.",
        f"Fresh samples: rarest class {min(share):.1%}, commonest {max(share):.1%}; an even split has an "
        f"entropy of {np.log(len(share)):.3f}.",
        *metrics["warnings"],
    ]
    return "\n".join(lines) + "\n"


def _load(path: Any) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)
