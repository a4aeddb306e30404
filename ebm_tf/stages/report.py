"""Report: one self-contained HTML page with every picture, curve and number, the config and where all came from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from ebm_tf.pages import embedded, rendered
from ebm_tf.stages.context import Context

PICTURES = {
    "GenerateSamples/fresh.png": "Samples made from noise alone; the first ones, not chosen.",
    "GenerateSamples/buffer.png": "Samples of chains from the replay buffer; the first ones, not chosen.",
    "GenerateSamples/classes.png": "Samples made from noise by class, a row for each.",
    "ReferenceStatistics/real_test.png": "Real test images, for comparison.",
    "BaselineStatistics/gaussian_pixels.png": "Draws from a Gaussian fitted to the training pixels.",
    "GenerateSamples/film.png": "Fresh chains from noise (left) to sample (right).",
    "RetrieveNeighbours/neighbours.png": "Fresh samples, each with the training images nearest to it.",
    "RetrieveNeighbours/closest.png": "The samples that lie nearest to a training image, each above that image.",
    "EvaluateFID/class_share.png": "What the classifier takes the images for.",
    "TrainEBM/selection.png": "The averaged weights' samples over training: distance, Inception Score where there "
    "are classes, and which step was the best.",
    "TrainEBM/curves.png": "Measurements over training.",
    "PrepareDataset/contact_sheet.png": "Training images.",
}
"""What stands under each picture; some models have not all of them."""


def run(context: Context) -> None:
    records = {task: context.read_json(task, "params.json") for task in context.inputs}
    values = {
        "fid": context.read_json("EvaluateFID", "metrics.json"),
        "neighbours": context.read_json("RetrieveNeighbours", "metrics.json"),
        "training": context.read_json("TrainEBM", "metrics.json"),
        "manifest": context.read_json("PrepareDataset", "manifest.json"),
        "pictures": list(_pictures(context)),
        "export": context.read_json("ExportModel", "metrics.json"),
        "config": yaml.safe_dump(_config(records), sort_keys=False),
        "records": records,
    }
    page = rendered("report.html", values, escaped=True)
    (context.out / "report.html").write_text(page, encoding="utf-8")


def _pictures(context: Context) -> Iterator[dict[str, str]]:
    for place, words in PICTURES.items():
        task, file = place.split("/")
        if (picture := context.inputs[task] / file).is_file():
            yield {"task": task, "words": words, "data": embedded(picture)}


def _config(records: dict[str, Any]) -> dict[str, Any]:
    """The settings that went into the artifacts, put together from their slices."""
    settings: dict[str, Any] = {}
    for record in records.values():
        for section, values in record["settings"].items():
            known = settings.get(section, {})
            settings[section] = {**known, **values} if isinstance(values, dict) else values
    return settings
