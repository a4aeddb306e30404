"""What the stages of the studies have in common: reading the trainings, the table, grids of samples, claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np

from ebm_tf.datasets.store import Store
from ebm_tf.evaluation.feature_set import FeatureSet
from ebm_tf.evaluation.rounding import rounded
from ebm_tf.evaluation.verdicts import level as percent
from ebm_tf.figures import save_rows, spread_over
from ebm_tf.stages.context import Context
from ebm_tf.stages.judge_training import measure
from ebm_tf.studies.claims_of_studies import CLAIMS
from ebm_tf.studies.design import called, inputs_of, trainings
from ebm_tf.studies.evidence import JUDGED, KINDS, Training, summarise
from ebm_tf.studies.pictures import Curve
from ebm_tf.training.history import read_csv

REAL = "real_test"
SHOWN = 16
"""Samples of each training in the grids."""
COLUMNS = {
    "frechet_distance_fresh": "Frechet, noise",
    "frechet_distance_buffer": "Frechet, buffer",
    "inception_score_fresh": "IS, noise",
    "recall_buffer": "recall",
    "class_entropy_buffer": "class entropy",
    "pairwise_features_buffer": "features apart",
    "energy_gap": "energy gap",
    "milliseconds_per_step": "ms a step",
    "peak_memory_mib": "peak MiB",
}
"""Of the table, with the words over them."""

Found = Mapping[str, Sequence[Training]]
"""The trainings of each case, by its title."""


def read(context: Context) -> dict[str, list[Training]]:
    """The trainings of the study, from its inputs."""
    found: dict[str, list[Training]] = {}
    for case, seed in trainings(context.stage, context.settings):
        found.setdefault(case.title, []).append(_training(context, called(case.title, seed), seed))
    return found


def write(context: Context, found: Found, words: str) -> dict[str, Optional[float]]:
    """metrics.json, summary.txt, and the grids of samples; returns the metrics of real test images.

    Args:
        words: what has to be known of the table, for people.
    """
    level = context.settings["evaluation"]["confidence"]
    cases = {title: summarise(of_case, level) for title, of_case in found.items()}
    store = Store(context.inputs["PrepareDataset"])
    real = _real(context, store)
    rows = CLAIMS[context.stage](cases, real, level)
    metrics = {
        "cases": cases,
        "real_test": real,
        "claims": [row._asdict() for row in rows],
        "confidence": level,
        "seeds": [training.seed for training in next(iter(found.values()))],
        "seconds": {
            called(title, training.seed): training.seconds
            for title, of_case in found.items()
            for training in of_case
        },
        "planned_steps": next(iter(found.values()))[0].planned,
        "protocol": _protocol(found),
    }
    context.write_json("metrics.json", metrics)
    (context.out / "summary.txt").write_text(summary(metrics, words), encoding="utf-8")
    for kind in KINDS:
        _save_grid(context, found, kind, store)
    return real


def curves(found: Found, column: str) -> dict[str, list[Curve]]:
    """Of a column of selection.csv, or "energy_difference", of every case; a case that has none is left out."""
    panel = {}
    for title, of_case in found.items():
        each = [_curve(training, column) for training in of_case]
        if any(curve is not None for curve in each):
            panel[title] = [curve for curve in each if curve is not None]
    return panel


def summary(metrics: Mapping[str, Any], words: str) -> str:
    """The table, and the claims with their verdicts, for people."""
    cases, level = metrics["cases"], metrics["confidence"]
    lines = [f"{'':34}" + "".join(f" {title:>{_width(title)}}" for title in COLUMNS.values())]
    for title, case in cases.items():
        cells = (f" {_cell(case['numbers'][name]):>{_width(head)}}" for name, head in COLUMNS.items())
        lines.append(f"{title:34}" + "".join(cells))
    real = (f" {_of_real(metrics[REAL], name):>{_width(head)}}" for name, head in COLUMNS.items())
    lines.append(f"{'real test images':34}" + "".join(real))
    lines += [
        "",
        f"Means over the seeds {', '.join(map(str, metrics['seeds']))}, +- half the width of their {percent(level)} "
        f"interval (Student's t); {metrics['planned_steps']} training steps each. Recall, class entropy and features "
        "apart (mean L2 distance of two samples) are of samples from the buffer.",
        "Energy gap: root mean square of E(real) - E(samples) over the second half, in spreads of E(real).",
        words,
    ]
    for title, case in cases.items():
        for seed, event in case["diverged"].items():
            lines.append(f"{called(title, seed)}: diverged at step {event['step']}: {event['problem']}.")
        for seed, kinds in case["not_drawn"].items():
            lines += [f"{called(title, seed)}: no {kind} samples: {why}." for kind, why in kinds.items()]
    for claim in metrics["claims"]:
        lines += [
            "",
            f"{claim['claim']} ({claim['place']}): {claim['verdict']}.",
            f"  {claim['ours']}. {claim['why']}",
        ]
    return "\n".join(lines) + "\n"


def _training(context: Context, name: str, seed: int) -> Training:
    trained, judged = inputs_of(name)
    folder, record = context.inputs[trained], context.read_json(trained, "params.json")
    metrics = context.read_json(trained, "metrics.json")
    return Training(
        seed,
        record["settings"]["training"]["steps"],
        metrics["steps"],
        metrics["diverged"],
        read_csv(folder / "history.csv"),
        read_csv(folder / "selection.csv"),
        read_csv(folder / "speed.csv"),
        record.get("peak_memory_mib"),
        record["seconds"] + context.read_json(judged, "params.json")["seconds"],
        context.read_json(judged, "metrics.json"),
    )


def _real(context: Context, store: Store) -> dict[str, Optional[float]]:
    """The same metrics of the real test images."""
    reference = context.inputs["ReferenceStatistics"]
    sets = {REAL: FeatureSet.open(reference / "test")}
    metrics = measure(sets, {REAL: store.images("test")}, FeatureSet.open(reference / "train"), context)
    return {metric: metrics[metric][REAL] for metric in JUDGED}


def _protocol(found: Found) -> dict[str, Any]:
    """What the numbers were measured by; that of the first training, as all are judged alike."""
    protocol = next(iter(found.values()))[0].judged["protocol"]
    return {key: protocol[key] for key in ("extractor", "reference") if key in protocol}


def _curve(training: Training, column: str) -> Optional[Curve]:
    if column == "energy_difference":
        steps, values = training.history["step"], training.energy_difference
    elif column in training.evaluated:
        steps, values = training.evaluated["step"], training.evaluated[column]
    else:
        return None
    return Curve(steps, values, training.diverged is not None)


def _save_grid(context: Context, found: Found, kind: str, store: Store) -> None:
    """The first samples of a kind, a row for each training that has any; real test images below."""
    rows, titles = [], []
    for title, of_case in found.items():
        for training in of_case:
            name = called(title, training.seed)
            with np.load(context.inputs[inputs_of(name).judged] / "first.npz", allow_pickle=False) as file:
                if kind in file:
                    rows.append(np.asarray(file[kind][:SHOWN]))
                    titles.append(name)
    test = spread_over(store.images("test"), SHOWN)
    save_rows([*rows, test], context.out / f"{kind}.png", [*titles, "real test images"])


def _of_real(metrics: Mapping[str, Optional[float]], column: str) -> str:
    """The same of real test images, or a dash; the Fréchet distance depends too much on how many they are."""
    value = None if column.startswith("frechet") else metrics.get(column.rpartition("_")[0])
    return rounded(value)


def _cell(number: Mapping[str, Any]) -> str:
    digits = 1 if number["mean"] is not None and abs(number["mean"]) >= 100 else 2
    if number["interval"] is None:
        return rounded(number["mean"], digits)
    low, high = number["interval"]
    return f"{rounded(number['mean'], digits)} +- {rounded((high - low) / 2, digits)}"


def _width(title: str) -> int:
    return max(15, len(title))
