"""EvaluateFID: Frechet distance and KID of the samples, beside rows that say what the numbers mean."""

from __future__ import annotations

from typing import Any

import numpy as np

from ebm_tf.datasets.store import Store
from ebm_tf.evaluation.distances import class_share, entropy_of, frechet_distance, kernel_distance
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
    rows, chain_steps = {}, {}
    for name in ROWS:
        if name in ("fresh", "buffer"):
            drawn = _load(sampled / f"{name}.npz")
            rows[name] = extract(network, drawn["images"])
            chain_steps[name] = int(drawn["chain_steps"])
        else:
            kept = _load(references / f"{name}.npz")
            rows[name] = (kept["features"], kept["probabilities"])
        context.progress(len(rows), 2 * len(ROWS), f"features: {ROWS[name]}")

    smallest = min(len(features) for features, _ in rows.values())
    frechet, equal_size, kernel, shares = {}, {}, {}, {}
    for done, (name, (features, probabilities)) in enumerate(rows.items()):
        frechet[name] = frechet_distance(Moments.of(features), moments)
        equal_size[name] = frechet_distance(Moments.of(features[:smallest]), moments)
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
            "chain_steps": chain_steps,
            "kid": {"subsets": settings.kid_subsets, "subset_size": settings.kid_subset_size},
            "seed": settings.seed,
        },
    }
    context.write_json("metrics.json", metrics)
    names = Store(context.inputs["PrepareDataset"]).manifest.classes
    shown = {ROWS[name]: shares[name] for name in ("fresh", "buffer", "real_test")}
    save_bars(names, shown, "Share of each class, by the extractor", context.out / "class_share.png")
    (context.out / "summary.txt").write_text(summary(metrics), encoding="utf-8")


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
    ]
    return "\n".join(lines) + "\n"


def _load(path: Any) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)
