"""EvaluateFID: every metric of the samples, beside rows that say what the numbers mean.

Features of samples that were drawn in shards (sampling.shard_size) were measured in these, too, by MeasureShard, and
are put together here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np

from ebm_tf.datasets.image_sets import NpzImages
from ebm_tf.datasets.store import Store
from ebm_tf.evaluation.distances import class_share, entropy_of
from ebm_tf.evaluation.extractors.base import FeatureExtractor
from ebm_tf.evaluation.extractors.classifier import Classifier
from ebm_tf.evaluation.extractors.sources import load_extractor
from ebm_tf.evaluation.feature_set import FeatureSet
from ebm_tf.evaluation.judge import Judgement, judge, protocol_of
from ebm_tf.evaluation.measures import MEASURES, METRICS, frechet
from ebm_tf.evaluation.protocols import by_rows
from ebm_tf.evaluation.rounding import NONE, rounded, with_spread
from ebm_tf.evaluation.verdicts import level
from ebm_tf.figures import save_bars
from ebm_tf.shards import shards_among
from ebm_tf.stages.context import Context
from ebm_tf.stages.features import extract_all, merge_all

CONTEXT_ROWS = {
    "real_test": ("ReferenceStatistics", "test", "real test images"),
    "uniform_noise": ("BaselineStatistics", "uniform_noise", "uniform noise"),
    "gaussian_pixels": ("BaselineStatistics", "gaussian_pixels", "Gaussian fitted to pixels"),
}
"""Rows that say what the numbers mean: task, folder in its artifact, title."""


class Row(NamedTuple):
    """Some images: what they are called, and their features.

    labels: of samples that were drawn by class, the classes that were asked for, int [n].
    """

    title: str
    features: FeatureSet
    labels: Optional[np.ndarray] = None

    @property
    def agreement(self) -> Optional[float]:
        """Share of the samples that the extractor takes for the class that was asked for, where it tells classes."""
        if self.labels is None or self.features.predicted is None:
            return None
        return float(np.mean(self.features.predicted == self.labels))


def run(context: Context) -> None:
    settings = context.section("evaluation")
    extractor = load_extractor(context.inputs["Extractor"])
    samples = context.read_json("GenerateSamples", "samples.json")
    reference = FeatureSet.open(context.inputs["ReferenceStatistics"] / "train")
    rows = _rows(context, extractor, samples["kinds"])
    judged = {}
    for done, (name, row) in enumerate(rows.items()):

        def report(now: int, of_row: int, metric: str, done: int = done, title: str = row.title) -> None:
            context.progress(done * len(MEASURES) + now, len(rows) * len(MEASURES), f"{title}: {metric}")

        judged[name] = judge(row.features, reference, settings, report=report)

    smallest = min(len(row.features) for row in rows.values())
    metrics = {
        "titles": {name: row.title for name, row in rows.items()},
        **_by_metric(judged),
        "frechet_distance_at_equal_size": {
            "images": smallest,
            **{name: frechet(row.features.features[:smallest], reference) for name, row in rows.items()},
        },
        **_classes(rows),
        "protocol": {
            **_protocol(reference, settings, rows, judged),
            "weights": samples["weights"],
            "chains": {name: kind["chain"] for name, kind in samples["kinds"].items() if "chain" in kind},
        },
        "extractor_test_accuracy": extractor.test_accuracy if isinstance(extractor, Classifier) else None,
        "warnings": _warnings(judged, rows, extractor),
    }
    context.write_json("metrics.json", metrics)
    names = Store(context.inputs["PrepareDataset"]).manifest.classes
    shares = metrics["class_share_by_row"]
    if shares and len(names) == extractor.identity.classes:
        shown = {rows[name].title: shares[name] for name in (*samples["kinds"], "real_test")}
        save_bars(names, shown, "Share of each class, by the extractor", context.out / "class_share.png")
    (context.out / "summary.txt").write_text(summary(metrics), encoding="utf-8")


def _rows(context: Context, extractor: FeatureExtractor, kinds: dict[str, Any]) -> dict[str, Row]:
    """Every kind of samples that there is, then the rows that say what the numbers mean."""
    files = {name: context.inputs["GenerateSamples"] / f"{name}.npz" for name in kinds}
    images = {name: NpzImages(file) for name, file in files.items()}
    shards = shards_among(context.inputs)
    sets = merge_all(context, shards, images) if shards else extract_all(context, extractor, images)
    rows = {name: Row(kind["title"], sets[name], _labels(files[name])) for name, kind in kinds.items()}
    for name, (task, folder, title) in CONTEXT_ROWS.items():
        rows[name] = Row(title, FeatureSet.open(context.inputs[task] / folder))
    return rows


def _labels(file: Path) -> Optional[np.ndarray]:
    with np.load(file, allow_pickle=False) as arrays:
        return np.asarray(arrays["labels"]) if "labels" in arrays else None


def _by_metric(judged: dict[str, Judgement]) -> dict[str, Any]:
    """Values, spreads and what was left out by metric and row; intervals by row and metric."""
    found: dict[str, Any] = {
        metric: {row: judgement.values[metric] for row, judgement in judged.items()} for metric in METRICS
    }
    for metric in ("kid", "inception_score"):
        found[f"{metric}_spread"] = {row: judgement.spreads.get(metric) for row, judgement in judged.items()}
    found["intervals"] = {row: judgement.intervals for row, judgement in judged.items()}
    found["omitted"] = {row: judgement.omitted for row, judgement in judged.items() if judgement.omitted}
    return found


def _classes(rows: dict[str, Row]) -> dict[str, Any]:
    """What the extractor takes the images for, where it classifies."""
    shares = {
        name: class_share(row.features.predicted, row.features.identity.classes).tolist()
        for name, row in rows.items()
        if row.features.predicted is not None and row.features.identity.classes
    }
    return {
        "class_share": shares.get("fresh"),
        "class_share_by_row": shares,
        "class_entropy": {name: entropy_of(share) for name, share in shares.items()},
        "label_agreement": {name: row.agreement for name, row in rows.items() if row.agreement is not None},
    }


def _protocol(
    reference: FeatureSet, settings: Any, rows: dict[str, Row], judged: dict[str, Judgement]
) -> Any:
    """Of all rows: what differs between them is told row by row."""
    names = {"reference": "train split"}
    each = {
        name: protocol_of(row.features, reference, settings, names, judged[name].measured)
        for name, row in rows.items()
    }
    return {**by_rows(each), "images": {name: len(row.features) for name, row in rows.items()}}


def _warnings(judged: dict[str, Judgement], rows: dict[str, Row], extractor: FeatureExtractor) -> list[str]:
    """Those of the row with the fewest images, and what the extractor has to say."""
    fewest = min(rows, key=lambda name: len(rows[name].features))
    notes = () if isinstance(extractor, Classifier) else extractor.notes  # its accuracy stands in the summary
    return [*judged[fewest].warnings, *notes]


def summary(metrics: dict[str, Any]) -> str:
    """The tables for people."""
    return "\n".join([*_distances_table(metrics), "", *_shares_table(metrics), "", *_words(metrics)]) + "\n"


def _distances_table(metrics: dict[str, Any]) -> list[str]:
    """Frechet distances and KID."""
    equal, sizes = metrics["frechet_distance_at_equal_size"], metrics["protocol"]["images"]
    interval = f"{level(metrics['protocol']['intervals']['confidence'])} interval"
    lines = [
        f"{'':30} {'Frechet':>9} {interval:>17} {'at n=' + str(equal['images']):>9} {'n -> inf':>9} "
        f"{'KID':>16} {'images':>7}"
    ]
    for name, title in metrics["titles"].items():
        kid = with_spread(metrics["kid"][name], metrics["kid_spread"][name])
        lines.append(
            f"{title:30} {rounded(metrics['frechet_distance'][name]):>9} "
            f"{_interval(metrics, name, 'frechet_distance'):>17} {rounded(equal[name]):>9} "
            f"{rounded(metrics['frechet_distance_infinity'][name]):>9} {kid:>16} {sizes[name]:7d}"
        )
    return lines


def _shares_table(metrics: dict[str, Any]) -> list[str]:
    """What is between 0 and 1, or counts classes."""
    columns = ("precision", "recall", "density", "coverage", "inception_score", "class_coverage")
    titles = ("precision", "recall", "density", "coverage", "IS", "classes", "class entropy")
    lines = [f"{'':30}" + "".join(f" {title:>{max(9, len(title))}}" for title in titles)]
    for name, title in metrics["titles"].items():
        cells = [rounded(metrics[column][name]) for column in columns]
        cells.append(rounded(metrics["class_entropy"].get(name), 3))
        lines.append(
            f"{title:30}" + "".join(f" {cell:>{max(9, len(head))}}" for cell, head in zip(cells, titles))
        )
    return lines


def _words(metrics: dict[str, Any]) -> list[str]:
    """What has to be known of the tables."""
    protocol, share = metrics["protocol"], metrics["class_share"]
    extractor = protocol["extractor"]
    network, accuracy = extractor["name"], metrics["extractor_test_accuracy"]
    if accuracy is not None:
        network = f"a classifier that gets {accuracy:.1%} of the test images right"
    no_fid = "" if extractor["name"] == "inception" else " Not an Inception FID."
    lines = [
        f"Distances to {protocol['reference']['images']} training images, in the {extractor['features']} features of "
        f"{network} (sha256 {extractor['sha256'][:12]}).{no_fid}",
    ]
    if share is not None:
        lines.append(
            f"{metrics['titles']['fresh']}: rarest class {min(share):.1%}, commonest {max(share):.1%}; an even split "
            f"has an entropy of {np.log(len(share)):.3f}."
        )
    lines += [
        f"{metrics['titles'][name]}: the extractor takes {agreement:.1%} for the class that was asked for."
        for name, agreement in metrics["label_agreement"].items()
    ]
    for metric in METRICS:
        reasons = {left[metric] for left in metrics["omitted"].values() if metric in left}
        lines += [f"No {metric.replace('_', ' ')}: {reason}." for reason in sorted(reasons)]
    return [*lines, *metrics["warnings"]]


def _interval(metrics: dict[str, Any], row: str, metric: str) -> str:
    found = metrics["intervals"][row].get(metric)
    return NONE if found is None else f"{rounded(found[0])} to {rounded(found[1])}"
