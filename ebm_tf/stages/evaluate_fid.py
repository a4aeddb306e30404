"""EvaluateFID: Frechet distance and KID of the samples, beside rows that say what the numbers mean."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

import keras
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

CONTEXT_ROWS = {
    "real_test": "real test images",
    "uniform_noise": "uniform noise",
    "gaussian_pixels": "Gaussian fitted to pixels",
}
"""What says what the numbers mean: of these, whatever ReferenceStatistics has."""


class Row(NamedTuple):
    """Some images: what they are called, their features [n, d] and class probabilities [n, classes].

    labels: of samples that were drawn by class, the classes that were asked for, int [n].
    """

    title: str
    features: np.ndarray
    probabilities: np.ndarray
    labels: Optional[np.ndarray] = None

    @property
    def agreement(self) -> Optional[float]:
        """Share of the samples that the extractor takes for the class that was asked for."""
        if self.labels is None:
            return None
        return float(np.mean(self.probabilities.argmax(axis=1) == self.labels))


def run(context: Context) -> None:
    settings = context.section("evaluation")
    network, card = load_classifier(context.inputs["TrainFeatureExtractor"])
    references = context.inputs["ReferenceStatistics"]
    moments = Moments.load(references / "reference_moments.npz")
    reference = _load(references / "reference.npz")["features"]
    samples = context.read_json("GenerateSamples", "samples.json")
    rows = _rows(context, network, samples["kinds"])

    smallest = min(len(features) for _, features, *_ in rows.values())
    frechet, equal_size, kernel, shares = {}, {}, {}, {}
    for done, (name, (title, features, probabilities, _)) in enumerate(rows.items()):
        frechet[name] = _frechet(features, reference, moments)
        equal_size[name] = _frechet(features[:smallest], reference, moments)
        kernel[name] = kernel_distance(
            features, reference, settings.kid_subsets, settings.kid_subset_size, settings.seed
        )
        shares[name] = class_share(probabilities.argmax(axis=1), card["classes"]).tolist()
        context.progress(len(rows) + done + 1, 2 * len(rows), f"distances: {title}")

    metrics = {
        "titles": {name: row.title for name, row in rows.items()},
        "frechet_distance": frechet,
        "frechet_distance_at_equal_size": {"images": smallest, **equal_size},
        "kid": {name: value.mean for name, value in kernel.items()},
        "kid_spread": {name: value.spread for name, value in kernel.items()},
        "class_share": shares["fresh"],
        "class_share_by_row": shares,
        "class_entropy": {name: float(entropy_of(np.asarray(share))) for name, share in shares.items()},
        "label_agreement": {name: row.agreement for name, row in rows.items() if row.agreement is not None},
        "protocol": {
            "extractor": {key: card[key] for key in ("name", "sha256", "features", "test_accuracy")},
            "reference": {"split": "train", "images": len(reference)},
            "images": {name: len(row.features) for name, row in rows.items()},
            "pixels": "uint8, quantised to the data set's levels",
            "weights": samples["weights"],
            "chains": {name: kind["chain"] for name, kind in samples["kinds"].items() if "chain" in kind},
            "kid": {
                "subsets": settings.kid_subsets,
                "subset_size": {
                    name: min(settings.kid_subset_size, len(row.features), len(reference))
                    for name, row in rows.items()
                },
            },
            "seed": settings.seed,
        },
        "warnings": _warnings(smallest, card["features"]),
    }
    context.write_json("metrics.json", metrics)
    names = Store(context.inputs["PrepareDataset"]).manifest.classes
    shown = {rows[name].title: shares[name] for name in (*samples["kinds"], "real_test")}
    save_bars(names, shown, "Share of each class, by the extractor", context.out / "class_share.png")
    (context.out / "summary.txt").write_text(summary(metrics), encoding="utf-8")


def _rows(context: Context, network: keras.Model, kinds: dict[str, Any]) -> dict[str, Row]:
    """Every kind of samples that there is, then the rows that say what the numbers mean."""
    sampled, references = context.inputs["GenerateSamples"], context.inputs["ReferenceStatistics"]
    rows = {}
    for name, kind in kinds.items():
        drawn = _load(sampled / f"{name}.npz")
        rows[name] = Row(kind["title"], *extract(network, drawn["images"]), drawn.get("labels"))
        context.progress(len(rows), 2 * (len(kinds) + len(CONTEXT_ROWS)), f"features: {kind['title']}")
    for name, title in CONTEXT_ROWS.items():
        if (references / f"{name}.npz").is_file():
            kept = _load(references / f"{name}.npz")
            rows[name] = Row(title, kept["features"], kept["probabilities"])
    return rows


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
    for name, title in metrics["titles"].items():
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
        f"{metrics['titles']['fresh']}: rarest class {min(share):.1%}, commonest {max(share):.1%}; an even split "
        f"has an entropy of {np.log(len(share)):.3f}.",
        *(
            f"{metrics['titles'][name]}: the extractor takes {agreement:.1%} for the class that was asked for."
            for name, agreement in metrics["label_agreement"].items()
        ),
        *metrics["warnings"],
    ]
    return "\n".join(lines) + "\n"


def _load(path: Any) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)
