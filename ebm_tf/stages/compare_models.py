"""CompareModels: the energy model and the SNGAN baseline side by side (S A.2), provided they were judged alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ebm_tf.datasets.store import Store
from ebm_tf.errors import EBMError
from ebm_tf.evaluation.protocols import BY_NATURE, confidence_of, differences, of_row
from ebm_tf.evaluation.rounding import rounded, with_spread
from ebm_tf.evaluation.verdicts import apart, best, level, title_of, unlike
from ebm_tf.figures import save_rows, spread_over
from ebm_tf.stages.context import Context

MODELS = {"ebm": "TrainEBM", "sngan": "TrainSNGAN"}
NAMES = {"ebm": "the energy model", "sngan": "the SNGAN"}
RANKED = ("frechet_distance", "kid")
"""The metrics that say which is better."""
ROW = "fresh"
"""The samples that are compared: those that are made from noise alone."""
SHOWN_ROWS, SHOWN_COLUMNS = 3, 16


def run(context: Context) -> None:
    judged = {model: context.read_json(model, "metrics.json") for model in MODELS}
    demand_equal_protocols(judged)
    models = {model: _numbers(context, model, judged[model]) for model in MODELS}
    real = {key: judged["ebm"][key].get("real_test") for key in (*RANKED, "class_entropy")}
    share = judged["ebm"]["class_share"]
    metrics = {
        "models": models,
        "real_test": real,
        "better": {key: better(models, key) for key in RANKED},
        "told_apart": {key: told_apart(models, key) for key in RANKED},
        "warnings": judged["ebm"]["warnings"],
        "even_class_entropy": None if share is None else float(np.log(len(share))),
        "protocol": {key: value for key, value in judged["ebm"]["protocol"].items() if key not in BY_NATURE},
        "differs_by_nature": {
            key: {model: judged[model]["protocol"].get(key) for model in MODELS}
            for key in BY_NATURE
            if any(key in judged[model]["protocol"] for model in MODELS)
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
    for row in judged["ebm"]["titles"]:
        if row not in judged["sngan"]["titles"]:
            continue
        ebm, sngan = (
            of_row(judged[model]["protocol"], list(judged[model]["titles"]), row) for model in MODELS
        )
        if found := differences(ebm, sngan):
            field, of_ebm, of_sngan = found[0]
            raise EBMError(
                f"the models were not judged alike: {field} of {row} is {of_ebm!r} for the energy model and "
                f"{of_sngan!r} for the SNGAN; run EvaluateFID for both with the same dataset, extractor, "
                "evaluation and sampling.count"
            )


def better(models: dict[str, dict[str, Any]], key: str) -> str | None:
    """The model with the better number, None if they are equal."""
    return best(key, {model: models[model][key] for model in MODELS})


def told_apart(models: dict[str, dict[str, Any]], key: str) -> bool | None:
    """Whether the models' intervals lie apart, None if one is not known or they are of unlike confidence."""
    ebm, sngan = (models[model]["intervals"].get(key) for model in MODELS)
    return apart(ebm, sngan, _confidences(models))


def summary(metrics: dict[str, Any]) -> str:
    """The table and the verdict, for people."""
    models, real = metrics["models"], metrics["real_test"]
    lines = [
        f"{'':30} {'Frechet':>9} {'KID':>16} {'class entropy':>13} {'images':>7} {'parameters':>10} {'seconds':>8}"
    ]
    for numbers in models.values():
        kid = with_spread(numbers["kid"], numbers["kid_spread"])
        lines.append(
            f"{numbers['title']:30} {rounded(numbers['frechet_distance']):>9} {kid:>16} "
            f"{rounded(numbers['class_entropy'], 3):>13} "
            f"{numbers['images']:7d} {numbers['parameters']:10d} {numbers['seconds']:8.0f}"
        )
    lines.append(
        f"{'real test images':30} {rounded(real['frechet_distance']):>9} {rounded(real['kid']):>16} "
        f"{rounded(real['class_entropy'], 3):>13}"
    )
    discriminator = models["sngan"]["parameters_discriminator"]
    entropy = metrics["even_class_entropy"]
    even = [] if entropy is None else [f"An even split over the classes has an entropy of {entropy:.3f}."]
    return "\n".join(
        [
            *lines,
            "",
            *verdict(models),
            f"Parameters are those that sampling needs; the SNGAN trains a discriminator of {discriminator} more. "
            "Seconds are of the whole training task, the last time that it ran.",
            *even,
            "Each model was trained once: how much another seed would change is not known from this.",
            *metrics["warnings"],
        ]
    ) + "\n"  # fmt: skip


def verdict(models: dict[str, dict[str, Any]]) -> list[str]:
    """Which is better and by how much: one sentence for each distance."""
    sentences = []
    for key in RANKED:
        name, winner = title_of(key), better(models, key)
        if winner is None:
            sentences.append(f"By {name} neither is better: both have {rounded(models['ebm'][key])}.")
            continue
        loser = next(model for model in MODELS if model != winner)
        low, high = models[winner][key], models[loser][key]
        against = f"{rounded(low)} against {rounded(high)}"
        told, confidence = told_apart(models, key), models[winner]["confidence"]
        if told is False:
            sentences.append(
                f"By {name} the two cannot be told apart: {NAMES[winner]} has {against}, and their "
                f"{level(confidence)} intervals overlap."
            )
            continue
        times = f", {high / low:.2f} times smaller" if low > 0 else ""
        less = f"({rounded(high - low)} less{times})"
        sentence = f"By {name} {NAMES[winner]} is better than {NAMES[loser]}: {against} {less}."
        reason = unlike(_confidences(models))
        if told:
            sentence += f" Their {level(confidence)} intervals lie apart."
        elif reason and all(key in models[model]["intervals"] for model in MODELS):
            sentence += f" Nobody knows whether by chance: {reason}."
        sentences.append(sentence)
    return sentences


def _confidences(models: dict[str, dict[str, Any]]) -> list[float | None]:
    """Those of the models' intervals."""
    return [models[model]["confidence"] for model in MODELS]


def _numbers(context: Context, model: str, judged: dict[str, Any]) -> dict[str, Any]:
    """What is told of one model."""
    trained = context.read_json(MODELS[model], "metrics.json")
    intervals = judged.get("intervals", {}).get(ROW, {})
    extra = ("parameters_discriminator",) if model == "sngan" else ()
    return {
        "title": judged["titles"][ROW],
        **{key: judged[key].get(ROW) for key in (*RANKED, "kid_spread", "class_entropy")},
        "intervals": {key: intervals[key] for key in RANKED if intervals.get(key)},
        "confidence": confidence_of(of_row(judged["protocol"], list(judged["titles"]), ROW)),
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
    groups["real test images"] = spread_over(test, shown)
    rows, names = [], []
    for title, images in groups.items():
        cut = [images[first : first + SHOWN_COLUMNS] for first in range(0, len(images), SHOWN_COLUMNS)]
        rows += cut
        names += [title, *[""] * (len(cut) - 1)]
    save_rows(rows, context.out / "comparison.png", names)


def _samples(folder: Path) -> np.ndarray:
    with np.load(folder / f"{ROW}.npz", allow_pickle=False) as file:
        return np.asarray(file["images"])
