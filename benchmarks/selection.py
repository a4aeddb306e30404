"""What judging during training adds to a run, at the settings of the digits.

Short runs of the training loop with and without selection, in turns and all from the same state; one evaluation each,
at the end, as after every `--every` steps of a whole run. Files are written in both: the loop saves two checkpoints
a run, which a whole run does every 250 steps. The classifier is one that nobody trained: it takes as long as another.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from benchmarks.subjects import DIGITS_CLASSES, DIGITS_LEVELS, DIGITS_SHAPE, digits
from benchmarks.turns import milliseconds
from ebm_tf import devices
from ebm_tf.config import Experiment
from ebm_tf.config_files import load_experiment
from ebm_tf.datasets.image_sets import ArrayImages
from ebm_tf.evaluation.extractors.classifier import Classifier, classifier_network
from ebm_tf.evaluation.feature_set import extract
from ebm_tf.stages.train_ebm import Judge
from ebm_tf.training.loop import Loop
from ebm_tf.training.selection import Selection
from ebm_tf.training.trainer import Trainer


def main() -> None:
    digits = load_experiment("digits").selection
    parser = argparse.ArgumentParser(prog="python -m benchmarks.selection", description=__doc__)
    parser.add_argument(
        "--every", type=int, default=digits.every or 500, help="training steps per evaluation"
    )
    parser.add_argument("--count", type=int, default=digits.count, help="chains of an evaluation")
    parser.add_argument("--steps", type=int, default=digits.steps, help="Langevin steps of each")
    parser.add_argument("--batch-size", type=int, default=digits.batch_size, help="chains side by side")
    parser.add_argument("--rounds", type=int, default=3, help="measured runs of each kind")
    options = parser.parse_args()
    experiment = load_experiment(
        "digits",
        [
            f"training.steps={options.every}",
            f"selection.every={options.every}",
            f"selection.count={options.count}",
            f"selection.steps={options.steps}",
            f"selection.batch_size={options.batch_size}",
        ],
    )
    devices.configure(experiment.compute)
    with tempfile.TemporaryDirectory() as folder:
        times = milliseconds(_runs(experiment, Path(folder)), options.rounds, warm_up=1)
    more = times["with"] / times["without"] - 1
    print(
        f"{options.every} training steps, then {options.count} chains of {options.steps} steps, "
        f"{options.batch_size} at a time, judged"
    )
    print(f"without {times['without']:8.0f} ms   with {times['with']:8.0f} ms   more {more:6.1%}")


def _runs(experiment: Experiment, folder: Path) -> dict[str, Callable[[], object]]:
    images, labels = digits()
    sections = ("model", "langevin", "replay", "augmentation", "loss", "optimiser", "training")
    trainer = Trainer(
        devices.mirrored_strategy(),
        DIGITS_SHAPE,
        DIGITS_LEVELS,
        DIGITS_CLASSES,
        experiment.seed,
        **{name: getattr(experiment, name) for name in sections},
    )
    begun = trainer.checkpoint.write(str(folder / "begun"))
    selection = Selection(trainer, _judge(experiment, images, folder), experiment.selection)

    def run(judged: Selection | None) -> None:
        trainer.checkpoint.read(begun).assert_consumed()
        with tempfile.TemporaryDirectory(dir=folder) as work:
            Loop(trainer, images, labels, experiment.health, Path(work), judged).run(lambda *_: None)

    return {"without": lambda: run(None), "with": lambda: run(selection)}


def _judge(experiment: Experiment, images: np.ndarray, folder: Path) -> Judge:
    classifier = Classifier(
        classifier_network(DIGITS_SHAPE, DIGITS_CLASSES), DIGITS_CLASSES, test_accuracy=0.0
    )
    reference = extract(classifier, ArrayImages(images), folder / "reference", 250)
    return Judge(classifier, reference, experiment.selection.count, experiment.selection.seed)


if __name__ == "__main__":
    main()
