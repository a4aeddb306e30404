"""JudgeTraining: what a training came to: how good, and how different from each other, its samples are.

Samples are drawn as by GenerateSamples. Here nothing is an error that a study wants to know of: samples that are all
the same image have a diversity of 0; chains that end in no numbers, and trainings that diverged before there was
anything to draw with, have no row, and `not_drawn` says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ebm_tf.config import Evaluation
from ebm_tf.datasets.image_sets import ArrayImages
from ebm_tf.errors import ChainsDiverged
from ebm_tf.evaluation.distances import class_share, entropy_of
from ebm_tf.evaluation.diversity import mean_pairwise_distance, some
from ebm_tf.evaluation.extractors.sources import load_extractor
from ebm_tf.evaluation.feature_set import FeatureSet
from ebm_tf.evaluation.judge import Judgement, judge, known_metric, protocol_of
from ebm_tf.evaluation.protocols import by_rows
from ebm_tf.evaluation.rounding import rounded
from ebm_tf.figures import save_grid
from ebm_tf.grey_levels import Images
from ebm_tf.shards import open_shard, write_shard
from ebm_tf.stages.context import Context
from ebm_tf.stages.drawing import Chains, Source, source_of
from ebm_tf.stages.features import extract_all

METRICS = (
    "frechet_distance",
    "inception_score",
    "precision",
    "recall",
    "density",
    "coverage",
    "class_coverage",
)
"""What `judge` measures of each row, where extractor and reference allow it."""
DIVERSITY = ("class_entropy", "pairwise_pixels", "pairwise_features")
"""What is measured here: nats, and mean L2 distances of two images in pixels of 0..1 and in features."""
PAIRED = 2000
"""Images of a row whose distances to each other are measured, at most; drawn by evaluation.seed."""
SHOWN, COLUMNS = 100, 20


def run(context: Context) -> None:
    images, not_drawn = _drawn(context)
    for kind, drawn in images.items():
        save_grid(np.asarray(drawn[:SHOWN]), context.out / f"{kind}.png", COLUMNS)
    np.savez(context.out / "first.npz", **{kind: drawn[:SHOWN] for kind, drawn in images.items()})
    extractor = load_extractor(context.inputs["Extractor"])
    sets = extract_all(context, extractor, {kind: ArrayImages(drawn, kind) for kind, drawn in images.items()})
    metrics = measure(sets, images, FeatureSet.open(context.inputs["ReferenceStatistics"] / "train"), context)
    context.write_json("metrics.json", {**metrics, "not_drawn": not_drawn})
    (context.out / "summary.txt").write_text(summary(metrics, not_drawn), encoding="utf-8")


def measure(
    sets: Mapping[str, FeatureSet], images: Mapping[str, Images], reference: FeatureSet, context: Context
) -> dict[str, Any]:
    """Every metric by row, and what they depend on.

    Args:
        sets, images: of each row; of the extractor of the reference.
        context: has the settings of `evaluation` that are needed.
    """
    # Intervals over the images of one training are not what a study asks for.
    settings = Evaluation(**{**context.settings["evaluation"], "bootstrap": 0})
    possible = [name for name in METRICS if not known_metric(name).impossible(reference.identity, reference)]
    judged = {}
    for done, (name, row) in enumerate(sets.items()):
        context.progress(done, len(sets), f"judging {name.replace('_', ' ')}")
        judged[name] = judge(row, reference, settings, possible)
    each = {
        name: protocol_of(row, reference, settings, {"reference": "train split"}, judged[name].measured)
        for name, row in sets.items()
    }
    shared = by_rows(each)
    diversity = {name: _diversity(row, images[name], settings.seed) for name, row in sets.items()}
    classes = reference.identity.classes
    return {
        **{metric: _by_row(judged, metric) for metric in METRICS},
        **{metric: {name: found[metric] for name, found in diversity.items()} for metric in DIVERSITY},
        "even_class_entropy": float(np.log(classes)) if classes else None,
        "protocol": {**shared, "pairs_of_images": PAIRED, "seed": settings.seed},
    }


def summary(metrics: Mapping[str, Any], not_drawn: Mapping[str, str]) -> str:
    """The table for people."""
    columns = {
        "frechet_distance": "Frechet",
        "inception_score": "IS",
        "precision": "precision",
        "recall": "recall",
        "class_entropy": "class entropy",
        "pairwise_pixels": "pixels apart",
        "pairwise_features": "features apart",
    }
    lines = [f"{'':12}" + "".join(f" {title:>{max(9, len(title))}}" for title in columns.values())]
    for row in metrics["pairwise_pixels"]:
        cells = (
            f" {rounded(metrics[metric].get(row)):>{max(9, len(title))}}" for metric, title in columns.items()
        )
        lines.append(f"{row.replace('_', ' '):12}" + "".join(cells))
    lines += ["", "Apart: mean L2 distance of two images, in pixels of 0 to 1 and in features."]
    lines += [f"No {kind} samples: {why}." for kind, why in not_drawn.items()]
    return "\n".join(lines) + "\n"


def _drawn(context: Context) -> tuple[dict[str, Images], dict[str, str]]:
    """The samples by kind, in files of the work folder; and of kinds that there are none of, why."""
    diverged = _nothing_learned(context)
    if diverged is not None:
        return {}, dict.fromkeys(Chains.titles, diverged)
    source, found, missing = source_of(context), {}, {}
    for kind in source.titles:
        try:
            found[kind] = _written(context, source, kind)
        except ChainsDiverged as error:
            missing[kind] = str(error)
    return found, missing


def _nothing_learned(context: Context) -> str | None:
    """Why there is nothing to draw with, where training ended before its first checkpoint."""
    if "TrainEBM" not in context.inputs:
        return None
    diverged = context.read_json("TrainEBM", "metrics.json")["diverged"]
    if diverged is None or diverged["weights_of_step"] > 0:
        return None
    return f"training diverged at step {diverged['step']}, before its first checkpoint"


def _written(context: Context, source: Source, kind: str) -> Images:
    folder, rows = context.work / kind, range(context.section("sampling").count)
    folder.mkdir(exist_ok=True)

    def report(done: int, of_kind: int) -> None:
        context.progress(done, len(rows) * source.work(kind), source.told(kind))

    write_shard(folder, rows, [(kind, source.draw(kind, rows, report))])
    return open_shard(folder)[1][kind]


def _by_row(judged: Mapping[str, Judgement], metric: str) -> dict[str, float | None]:
    return {row: judgement.values.get(metric) for row, judgement in judged.items()}


def _diversity(row: FeatureSet, images: Images, seed: int) -> dict[str, float | None]:
    chosen = some(len(row), PAIRED, seed)
    pixels = np.asarray(images[chosen]).reshape(len(chosen), -1)
    entropy = None
    if row.predicted is not None and row.identity.classes:
        entropy = entropy_of(class_share(row.predicted, row.identity.classes))
    return {
        "class_entropy": entropy,
        "pairwise_pixels": mean_pairwise_distance(pixels) / 255,
        "pairwise_features": mean_pairwise_distance(row.features[chosen]),
    }
