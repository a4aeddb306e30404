"""What came of the trainings of a study: the numbers of each, and of each case over its seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from ebm_tf.evaluation.repeated import over_seeds

SECOND_HALF = 0.5
"""Share of the planned steps after which a run counts as under way: what is steady is measured from there on."""
KINDS = {"fresh": "from noise", "buffer": "from the buffer"}
"""Of samples, with what people call them."""
JUDGED = (
    "frechet_distance",
    "inception_score",
    "precision",
    "recall",
    "coverage",
    "class_entropy",
    "pairwise_pixels",
    "pairwise_features",
)
"""Metrics of JudgeTraining that studies tell."""

Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Training:
    """One training of a case.

    Attributes:
        seed: its own.
        planned, steps: steps that were asked for, and taken: fewer where it diverged.
        diverged: when and why it did (`step`, `problem`); None where it did not.
        history, evaluated, speed: columns of history.csv, selection.csv, speed.csv.
        peak_memory_mib: of its process, where that is known.
        seconds: that it took to train and judge.
        judged: metrics.json of JudgeTraining.
    """

    seed: int
    planned: int
    steps: int
    diverged: Optional[Mapping[str, Any]]
    history: Columns
    evaluated: Columns
    speed: Columns
    peak_memory_mib: Optional[float]
    seconds: float
    judged: Mapping[str, Any]

    @property
    def energy_difference(self) -> np.ndarray:
        """E(real) - E(samples) of each row of the history."""
        return np.asarray(self.history["energy_real"] - self.history["energy_sample"])

    @property
    def gap(self) -> Optional[float]:
        """Root mean square of the energy difference over the second half of training, in spreads of E(real).

        None where the training did not come so far.
        """
        late = self.history["step"] > SECOND_HALF * self.planned
        if not late.any():
            return None
        spreads = np.maximum(self.history["energy_real_spread"][late], 1e-6)
        return float(np.sqrt(np.mean(np.square(self.energy_difference[late] / spreads))))

    @property
    def milliseconds_per_step(self) -> Optional[float]:
        """The median over training, without evaluations and without compilation."""
        rates = self.speed.get("steps_per_second")
        return None if rates is None or not len(rates) else float(1e3 / np.median(rates))

    @property
    def last_inception_score(self) -> Optional[float]:
        """Of the last evaluation on the way."""
        scores = self.evaluated.get("inception_score")
        return None if scores is None or not np.isfinite(scores[-1]) else float(scores[-1])

    def of_samples(self, metric: str, kind: str) -> Optional[float]:
        """A metric of the finished weights' samples of a kind; None where there is none."""
        value = self.judged.get(metric, {}).get(kind)
        return None if value is None or not math.isfinite(value) else float(value)

    def numbers(self) -> dict[str, Optional[float]]:
        """All that is told of it."""
        return {
            "energy_gap": self.gap,
            "last_inception_score": self.last_inception_score,
            "milliseconds_per_step": self.milliseconds_per_step,
            "peak_memory_mib": self.peak_memory_mib,
            **{f"{metric}_{kind}": self.of_samples(metric, kind) for kind in KINDS for metric in JUDGED},
        }


def summarise(trainings: Sequence[Training], level: float) -> dict[str, Any]:
    """A case as JSON: each number by seed with mean and t interval over the seeds, and which seeds diverged.

    A mean is of the seeds that have the number; it is None where none has.
    """
    numbers = {training.seed: training.numbers() for training in trainings}
    names = next(iter(numbers.values()))
    return {
        "steps": {str(training.seed): training.steps for training in trainings},
        "diverged": {
            str(training.seed): dict(training.diverged) for training in trainings if training.diverged
        },
        "not_drawn": {
            str(training.seed): dict(training.judged["not_drawn"])
            for training in trainings
            if training.judged.get("not_drawn")
        },
        "numbers": {name: _over(numbers, name, level) for name in names},
    }


def _over(numbers: Mapping[int, Mapping[str, Optional[float]]], name: str, level: float) -> dict[str, Any]:
    known = {seed: value for seed, own in numbers.items() if (value := own[name]) is not None}
    interval = over_seeds([*known.values()], level)
    return {
        "mean": float(np.mean([*known.values()])) if known else None,
        "interval": None if interval is None else [interval.low, interval.high],
        "by_seed": {str(seed): value for seed, value in known.items()},
    }
