"""RetrieveNeighbours: the training images nearest to fresh samples (S A.1, figure 2), and what that tells.

Writes neighbours.png (some samples, each with its neighbours), neighbours.csv (of all samples), closest.png (the
samples that lie nearest to a training image), metrics.json (whether samples are nearer than test images are) and
summary.txt (the same for people).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

import numpy as np

from ebm_tf.datasets.image_sets import ArrayImages, NpzImages
from ebm_tf.datasets.store import NO_LABEL, Store
from ebm_tf.evaluation.extractors.sources import load_extractor
from ebm_tf.evaluation.feature_set import FeatureSet
from ebm_tf.evaluation.memorisation import Memorisation, closest_pairs, memorisation
from ebm_tf.evaluation.neighbours import Neighbours, mirror_images, nearest
from ebm_tf.evaluation.rounding import rounded
from ebm_tf.figures import save_neighbours, save_pairs
from ebm_tf.stages.context import Context
from ebm_tf.stages.features import extract_all

DRAWN = 20  # neighbours of a sample in the picture, at most
FEW_TESTS = 5  # test images below the threshold; with fewer a reader is warned


class Space(NamedTuple):
    """What is compared: arrays [n, ...], memory maps as far as they are large.

    samples_mirrored, tests_mirrored: of the mirror images, where these count as well. scale: distances are divided by
    it. protocol: what a reader has to know of the space.
    """

    train: np.ndarray
    samples: np.ndarray
    tests: np.ndarray
    samples_mirrored: Optional[np.ndarray]
    tests_mirrored: Optional[np.ndarray]
    scale: float
    protocol: dict[str, Any]


def run(context: Context) -> None:
    settings, store = context.section("neighbours"), Store(context.inputs["PrepareDataset"])
    samples = next(NpzImages(context.inputs["GenerateSamples"] / "fresh.npz").batches(settings.count))
    space = (_pixels if settings.space == "pixels" else _features)(context, store, samples)
    k = min(settings.k, len(space.train))
    found, of_tests = _search(context, space, k)
    distances = np.sqrt(found.squared_distances) / space.scale
    to_test = np.sqrt(of_tests.squared_distances[:, 0]) / space.scale
    compared = memorisation(distances[:, 0], to_test, settings.percentile)
    _draw_neighbours(context, store, samples, found, distances)
    _write_table(context, found, store.labels("train"), distances)
    metrics = {
        "space": settings.space,
        **space.protocol,
        "flips": settings.flips,
        **_as_metrics(compared),
        "share_nearer_than_median_test": float((distances[:, 0] < compared.test_median).mean()),
        "k": k,
        "closest": _draw_closest(context, store, samples, found, space.scale),
        "warnings": _warnings(compared),
    }
    context.write_json("metrics.json", metrics)
    (context.out / "summary.txt").write_text(summary(metrics), encoding="utf-8")


def summary(metrics: Mapping[str, Any]) -> str:
    """How near samples and test images are to training images, for people."""
    interval, closest = metrics["share_interval"], metrics["closest"][0]
    between = f"{interval['low']:.1%} to {interval['high']:.1%}"
    lines = [f"{'':24}{'mean':>10}{'median':>10}{'images':>10}"]
    for title, kind, count in (
        ("fresh samples", "sample", metrics["samples"]),
        ("real test images", "test", metrics["tests"]),
    ):
        cells = (f"{rounded(metrics[f'{kind}_to_train_{which}']):>10}" for which in ("mean", "median"))
        lines.append(f"{title:24}{''.join(cells)}{count:>10}")
    lines += [
        "",
        f"Distances to the nearest training image, {metrics['unit']}{', or its mirror image' * metrics['flips']}.",
        f"{metrics['share_nearer_than_percentile_test']:.1%} ({between}) of the samples are nearer than the nearest "
        f"{metrics['percentile']:g}% of the test images are "
        f"({rounded(metrics['threshold'])}); {metrics['copies']:.1%} are exact copies, at distance 0.",
        f"The samples' median is {rounded(metrics['median_ratio'])} times that of the test images. Distances cannot "
        "tell a copy with grain in it from a new image: look at neighbours.png, too.",
        f"The nearest of all are sample {closest['sample']} and training image {closest['train_index']}, "
        f"{rounded(closest['distance'])} apart: closest.png, and neighbours.csv for all.",
        *metrics["warnings"],
    ]
    return "\n".join(lines) + "\n"


def _pixels(context: Context, store: Store, samples: np.ndarray) -> Space:
    settings = context.section("neighbours")
    tests, flips = store.images("test")[: settings.count], settings.flips
    return Space(
        train=store.images("train"),
        samples=samples,
        tests=tests,
        samples_mirrored=mirror_images(samples) if flips else None,
        tests_mirrored=mirror_images(tests) if flips else None,
        scale=255,
        protocol={"unit": "L2 over pixels of 0..1"},
    )


def _features(context: Context, store: Store, samples: np.ndarray) -> Space:
    """Those of the real images are there already; a mirror image has features of its own."""
    extractor = load_extractor(context.inputs["Extractor"])
    references = context.inputs["ReferenceStatistics"]
    images, settings = {"samples": samples}, context.section("neighbours")
    if settings.flips:
        tests = store.images("test")[: settings.count]
        images.update(samples_mirrored=mirror_images(samples), tests_mirrored=mirror_images(tests))
    sets = {name: ArrayImages(these, name.replace("_", ", ")) for name, these in images.items()}
    found = {name: part.features for name, part in extract_all(context, extractor, sets).items()}
    return Space(
        train=FeatureSet.open(references / "train").features,
        samples=found["samples"],
        tests=FeatureSet.open(references / "test").features[: settings.count],
        samples_mirrored=found.get("samples_mirrored"),
        tests_mirrored=found.get("tests_mirrored"),
        scale=1,
        protocol={
            "unit": f"L2 over the features of {extractor.identity.name}",
            "extractor": extractor.identity.as_json(),
        },
    )


def _search(context: Context, space: Space, k: int) -> tuple[Neighbours, Neighbours]:
    """The k nearest to each sample, and the nearest to each test image."""

    def report(done: int, total: int) -> None:
        context.progress(done, 2 * total, "neighbours of samples")

    def report_tests(done: int, total: int) -> None:
        context.progress(total + done, 2 * total, "neighbours of test images")

    return (
        nearest(space.samples, space.train, k, mirrored=space.samples_mirrored, report=report),
        nearest(space.tests, space.train, 1, mirrored=space.tests_mirrored, report=report_tests),
    )


def _as_metrics(compared: Memorisation) -> dict[str, Any]:
    return {
        "samples": compared.samples,
        "tests": compared.tests,
        "sample_to_train_mean": compared.sample_mean,
        "sample_to_train_median": compared.sample_median,
        "test_to_train_mean": compared.test_mean,
        "test_to_train_median": compared.test_median,
        "median_ratio": compared.ratio,
        "percentile": compared.percentile,
        "threshold": compared.threshold,
        "share_nearer_than_percentile_test": compared.share,
        "share_interval": compared.interval._asdict(),
        "copies": compared.copies,
        "test_copies": compared.test_copies,
    }


def _warnings(compared: Memorisation) -> list[str]:
    found = []
    if compared.tests_below < FEW_TESTS:
        found.append(
            f"The nearest {compared.percentile:g}% of {compared.tests} test images are {compared.tests_below:.3g} "
            "images: too few for a sure threshold; raise neighbours.percentile, or hold out more images"
        )
    if compared.test_copies > 0:
        found.append(
            f"{100 * compared.test_copies:.3g}% of the test images are copies of training images: they lie nearer "
            "than new images do, so that threshold and ratio tell too little; take duplicates out of the data"
        )
    return found


def _draw_neighbours(
    context: Context, store: Store, samples: np.ndarray, found: Neighbours, distances: np.ndarray
) -> None:
    shown = slice(0, context.section("neighbours").queries), slice(0, DRAWN)
    indices, flipped = found.indices[shown], found.flipped[shown]
    save_neighbours(
        samples[shown[0]],
        _as_compared(store, indices, flipped),
        distances[shown],
        [
            [_caption(store, *place) for place in zip(row, turned)]
            for row, turned in zip(indices.tolist(), flipped.tolist())
        ],
        context.out / "neighbours.png",
    )


def _draw_closest(
    context: Context, store: Store, samples: np.ndarray, found: Neighbours, scale: float
) -> list[dict[str, Any]]:
    """Writes closest.png; returns its pairs."""
    pairs = closest_pairs(found, context.section("neighbours").pairs)
    distances = [float(np.sqrt(pair.squared_distance)) / scale for pair in pairs]
    save_pairs(
        samples[[pair.sample for pair in pairs]],
        _as_compared(
            store,
            np.array([pair.train_index for pair in pairs]),
            np.array([pair.flipped for pair in pairs]),
        ),
        [
            f"sample {pair.sample}: {distance:.2f}\n{_caption(store, pair.train_index, pair.flipped)}"
            for pair, distance in zip(pairs, distances)
        ],
        context.out / "closest.png",
    )
    return [
        {
            "sample": pair.sample,
            "train_index": pair.train_index,
            "distance": distance,
            "flipped": pair.flipped,
        }
        for pair, distance in zip(pairs, distances)
    ]


def _as_compared(store: Store, indices: np.ndarray, flipped: np.ndarray) -> np.ndarray:
    """Training images [..., H, W, C] of these indices [...], the mirror images of those that are flipped."""
    images = store.images("train")[indices]
    images[flipped] = images[flipped][..., ::-1, :]
    return images


def _caption(store: Store, index: int, flipped: bool) -> str:
    """Which training image it is, of what class where it has one, and whether its mirror image is shown."""
    label = int(store.labels("train")[index])
    words = f"#{index}" if label == NO_LABEL else f"#{index}, {store.manifest.classes[label]}"
    return f"{words}\nmirrored" if flipped else words


def _write_table(context: Context, found: Neighbours, labels: np.ndarray, distances: np.ndarray) -> None:
    with (context.out / "neighbours.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["sample", "rank", "train_index", "train_label", "distance", "flipped"])
        for sample, (row, turned) in enumerate(zip(found.indices, found.flipped.astype(int))):
            for rank, (index, flipped) in enumerate(zip(row, turned)):
                distance = f"{distances[sample, rank]:.6f}"
                writer.writerow([sample, rank + 1, index, labels[index], distance, flipped])
