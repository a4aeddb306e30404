"""Cases of studies with numbers that nobody measured."""

from __future__ import annotations

import numpy as np

from ebm_tf.studies.evidence import JUDGED, KINDS, Training, summarise

STEPS = 100
REAL = {"class_entropy": 2.3, "recall": 0.9, "pairwise_pixels": 3.0, "pairwise_features": 9.0}
FLAT = {"class_entropy": 0.1, "recall": 0.0, "pairwise_pixels": 0.01, "pairwise_features": 0.02}
"""Of samples that are all alike."""
JUDGEMENT = {
    "frechet_distance": 5.0,
    "inception_score": 9.0,
    "precision": 0.9,
    "coverage": 0.9,
    **REAL,
}


def training(seed=0, gap=0.1, score=9.0, milliseconds=20.0, diverged_at=None, judged=None, drawn=True):
    """One training: `gap` spreads between the energies all the way, a score that has come to `score`."""
    steps = np.arange(10, (diverged_at or STEPS) + 1, 10, dtype=float)
    even = np.ones_like(steps)
    values = {**JUDGEMENT, **(judged or {})}
    return Training(
        seed,
        STEPS,
        diverged_at or STEPS,
        None if diverged_at is None else {"step": diverged_at, "problem": "it broke", "weights_of_step": 0},
        {"step": steps, "energy_real": gap * 0.5 * even, "energy_sample": 0 * even, "energy_real_spread": 0.5 * even},
        {"step": steps[-1:], "inception_score": np.array([score]), "frechet_distance": np.array([5.0])},
        {"step": steps, "steps_per_second": 1e3 / milliseconds * even},
        600.0 + seed,
        10.0,
        {metric: dict.fromkeys(KINDS if drawn else (), values[metric]) for metric in JUDGED},
    )  # fmt: skip


def over(seeds=(0, 1, 2), **each):
    """A case of a training for each seed; a keyword has one value for all, or a list of one for each."""
    trainings = [
        training(seed, **{key: value[place] if isinstance(value, list) else value for key, value in each.items()})
        for place, seed in enumerate(seeds)
    ]  # fmt: skip
    return summarise(trainings, 0.95)


def judged(metric, *values):
    """As `judged=` of `over`: a metric with a value for each seed."""
    return [{metric: value} for value in values]
