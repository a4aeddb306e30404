"""RetrieveNeighbours: the training images nearest to fresh samples (S A.1, figure 2), and what that tells."""

from __future__ import annotations

import csv

import numpy as np

from ebm_tf.datasets.store import NO_LABEL, Store
from ebm_tf.evaluation.neighbours import nearest
from ebm_tf.figures import save_neighbours
from ebm_tf.stages.context import Context


def run(context: Context) -> None:
    settings, store = context.section("neighbours"), Store(context.inputs["PrepareDataset"])
    train, labels = store.images("train"), store.labels("train")
    samples = np.load(context.inputs["GenerateSamples"] / "fresh.npz", allow_pickle=False)["images"]
    k = min(settings.k, len(train))
    found = nearest(samples, train, k)
    distances = np.sqrt(found.squared_distances) / 255
    to_test = np.sqrt(nearest(np.asarray(store.images("test")), train, 1).squared_distances[:, 0]) / 255

    shown = slice(0, min(settings.queries, len(samples)))
    captions = [[_caption(i, labels[i], store.manifest.classes) for i in row] for row in found.indices[shown]]
    save_neighbours(
        samples[shown],
        train[found.indices[shown]],
        distances[shown],
        captions,
        context.out / "neighbours.png",
    )
    _write_table(context, found.indices, labels, distances)
    context.write_json(
        "metrics.json",
        {
            "unit": "L2 over pixels of 0..1",
            "sample_to_train_mean": float(distances[:, 0].mean()),
            "test_to_train_mean": float(to_test.mean()),
            "share_nearer_than_median_test": float((distances[:, 0] < np.median(to_test)).mean()),
            "share_nearer_than_5th_percentile_test": float(
                (distances[:, 0] < np.percentile(to_test, 5)).mean()
            ),
            "samples": len(samples),
            "k": k,
        },
    )


def _caption(index: int, label: int, classes: list[str]) -> str:
    """Which training image it is, and of what class where it has one."""
    return f"#{index}" if label == NO_LABEL else f"#{index}, {classes[label]}"


def _write_table(context: Context, indices: np.ndarray, labels: np.ndarray, distances: np.ndarray) -> None:
    with (context.out / "neighbours.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["sample", "rank", "train_index", "train_label", "distance"])
        for sample, row in enumerate(indices):
            for rank, index in enumerate(row):
                distance = f"{distances[sample, rank]:.6f}"
                writer.writerow([sample, rank + 1, index, labels[index], distance])
