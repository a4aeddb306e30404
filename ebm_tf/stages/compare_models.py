"""CompareModels: the energy model and the SNGAN baseline side by side (S A.2), provided they were judged alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ebm_tf.datasets.store import Store
from ebm_tf.errors import EBMError
from ebm_tf.figures import save_rows
from ebm_tf.nested import flat
from ebm_tf.stages.context import Context

MODELS = {"ebm": "TrainEBM", "sngan": "TrainSNGAN"}
NAMES = {"ebm": "the energy model", "sngan": "the SNGAN"}
BY_NATURE = ("weights", "chains")
"""Parts of a protocol that tell how the model samples, and so differ between any two."""
ROW = "fresh"
"""The samples that are compared: those that are made from noise alone."""
SHOWN_ROWS, SHOWN_COLUMNS = 3, 16


def run(context: Context) -> None:
    judged = {model: context.read_json(model, "metrics.json") for model in MODELS}
    demand_equal_protocols(judged)
    models = {model: _numbers(context, model, judged[model]) for model in MODELS}
    real = {key: judged["ebm"][key]["real_test"] for key in ("frechet_distance", "kid", "class_entropy")}
    metrics = {
        "models": models,
        "real_test": real,
        "better": {key: better(models, key) for key in ("frechet_distance", "kid")},
        "warnings": judged["ebm"]["warnings"],
        "even_class_entropy": float(np.log(len(judged["ebm"]["class_share"]))),
        "protocol": {key: value for key, value in judged["ebm"]["protocol"].items() if key not in BY_NATURE},
        "differs_by_nature": {
            key: {model: judged[model]["protocol"][key] for model in MODELS} for key in BY_NATURE
        },
    }
    context.write_json("metrics.json", metrics)
    (context.out / "summary.txt").write_text(summary(metrics), encoding="utf-8")
    _draw(context, {model: judged[model]["titles"][ROW] for model in MODELS})


def demand_equal_protocols(judged: dict[str, Any]) -> None:
    """Refuse to compare numbers that were not measured in the same way.

    Args:
        judged: metrics.json of EvaluateFID, of "ebm" and "sngan".

    Raises:
        EBMError: a field of the protocols differs; the text names it with both values.
    """
    ebm, sngan = (dict(flat(judged[model]["protocol"])) for model in MODELS)
    of_one = set(judged["ebm"]["titles"]) ^ set(judged["sngan"]["titles"])  # rows that the other has none of
    for field in sorted(set(ebm) | set(sngan)):
        part, row = field.split(".")[0], field.split(".")[-1]
        if part in BY_NATURE or row in of_one or ebm.get(field) == sngan.get(field):
            continue
        raise EBMError(
            f"the models were not judged alike: {field} is {ebm.get(field)!r} for the energy model and "
            f"{sngan.get(field)!r} for the SNGAN; run EvaluateFID for both with the same dataset, extractor, "
            "evaluation and sampling.count"
        )


def better(models: dict[str, dict[str, Any]], key: str) -> str | None:
    """The model with the smaller number, None if they are equal."""
    ebm, sngan = (models[model][key] for model in MODELS)
    if ebm == sngan:
        return None
    return "ebm" if ebm < sngan else "sngan"


def summary(metrics: dict[str, Any]) -> str:
    """The table and the verdict, for people."""
    models, real = metrics["models"], metrics["real_test"]
    lines = [
        f"{'':30} {'Frechet':>9} {'KID':>16} {'class entropy':>13} {'images':>7} {'parameters':>10} {'seconds':>8}"
    ]
    for numbers in models.values():
        kid = f"{numbers['kid']:.2f} +- {numbers['kid_spread']:.2f}"
        lines.append(
            f"{numbers['title']:30} {numbers['frechet_distance']:9.2f} {kid:>16} {numbers['class_entropy']:13.3f} "
            f"{numbers['images']:7d} {numbers['parameters']:10d} {numbers['seconds']:8.0f}"
        )
    lines.append(
        f"{'real test images':30} {real['frechet_distance']:9.2f} {real['kid']:16.2f} {real['class_entropy']:13.3f}"
    )
    discriminator = models["sngan"]["parameters_discriminator"]
    return "\n".join(
        [
            *lines,
            "",
            *verdict(models),
            f"Parameters are those that sampling needs; the SNGAN trains a discriminator of {discriminator} more. "
            "Seconds are of the whole training task, the last time that it ran.",
            f"An even split over the classes has an entropy of {metrics['even_class_entropy']:.3f}. Each model was "
            "trained once: how much another seed would change is not known from this.",
            *metrics["warnings"],
        ]
    ) + "\n"  # fmt: skip


def verdict(models: dict[str, dict[str, Any]]) -> list[str]:
    """Which is better and by how much: one sentence for each distance."""
    sentences = []
    for key, name in (("frechet_distance", "Frechet distance"), ("kid", "KID")):
        winner = better(models, key)
        if winner is None:
            sentences.append(f"By {name} neither is better: both have {models['ebm'][key]:.2f}.")
            continue
        loser = next(model for model in MODELS if model != winner)
        low, high = models[winner][key], models[loser][key]
        times = f", {high / low:.2f} times smaller" if low > 0 else ""
        sentences.append(
            f"By {name} {NAMES[winner]} is better than {NAMES[loser]}: {low:.2f} against {high:.2f} "
            f"({high - low:.2f} less{times})."
        )
    return sentences


def _numbers(context: Context, model: str, judged: dict[str, Any]) -> dict[str, Any]:
    """What is told of one model."""
    trained = context.read_json(MODELS[model], "metrics.json")
    extra = ("parameters_discriminator",) if model == "sngan" else ()
    return {
        "title": judged["titles"][ROW],
        **{key: judged[key][ROW] for key in ("frechet_distance", "kid", "kid_spread", "class_entropy")},
        "images": judged["protocol"]["images"][ROW],
        "steps": trained["steps"],
        "seconds": context.read_json(MODELS[model], "params.json")["seconds"],
        **{key: trained[key] for key in ("parameters", *extra)},
    }


def _draw(context: Context, titles: dict[str, str]) -> None:
    """The first samples of each, and real test images from all over their file."""
    shown = SHOWN_ROWS * SHOWN_COLUMNS
    test = Store(context.inputs["PrepareDataset"]).images("test")
    groups = {titles[model]: _samples(context.inputs[f"{model} samples"])[:shown] for model in MODELS}
    groups["real test images"] = test[np.unique(np.linspace(0, len(test) - 1, shown).astype(int))]
    rows, names = [], []
    for title, images in groups.items():
        cut = [images[first : first + SHOWN_COLUMNS] for first in range(0, len(images), SHOWN_COLUMNS)]
        rows += cut
        names += [title, *[""] * (len(cut) - 1)]
    save_rows(rows, context.out / "comparison.png", names)


def _samples(folder: Path) -> np.ndarray:
    with np.load(folder / f"{ROW}.npz", allow_pickle=False) as file:
        return np.asarray(file["images"])
