"""What each part takes: chain steps, iterations, augmentation, buffer, sampling, features, metrics, start-up.

A group of parts has a process of its own, configured as a run configures its own: "authors" is the network of
`benchmarks.training` with all cores; "digits" what configs/digits.yaml says; "arithmetic" is NumPy's work, at the
sizes of papers; "start" is processes from their beginning to their end. Each part is a median over its laps, and a
rate in units of what it works on. Graphs are built before laps are counted.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import programs
from benchmarks.tables import Table, mark_if_wide, milliseconds_in_words
from benchmarks.training import LANES
from benchmarks.turns import laps
from ebm_tf.errors import EBMError

FEATURES, IMAGES = 2048, 10_000
STORE, QUERIES, SHAPE = 50_000, 64, (32, 32, 3)
CLI = programs.REPOSITORY / "cli.py"
BRIEF = (  # every stage of the run is there, and takes as little as it can
    "langevin.steps=2",
    "training.steps=8",
    "training.log_every=4",
    "training.checkpoint_every=4",
    "selection.every=0",
    "sampling.steps=3",
    "sampling.buffer_steps=1",
    "sampling.count=40",
    "sampling.batch_size=20",
    "extractor.epochs=6",
    "evaluation.baseline_count=60",
    "evaluation.kid_subsets=3",
    "evaluation.bootstrap=5",
)


class Part(NamedTuple):
    """Something to be measured: its name, what does it, how much it works on in a call, and of what."""

    name: str
    action: Callable[[], object]
    amount: float
    unit: str
    warm_up: int = 2


def parsed() -> argparse.Namespace:
    """The options."""
    parser = programs.parser("parts", __doc__)
    parser.add_argument("--only", nargs="*", default=[*GROUPS], choices=[*GROUPS], help="groups of parts")
    parser.add_argument("--rounds", type=int, default=7, help="laps of each part; processes take fewer")
    return parser.parse_args()


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """A row for each part: median, fastest and slowest lap in milliseconds, and the rate."""
    if len(options.only) > 1:
        rows = []
        for group in options.only:
            programs.to_stderr(f"parts: {group}")
            command = programs.ours("parts", "--only", group, "--rounds", options.rounds)
            rows += programs.answer(command)["rows"]
        return {"rows": rows}
    with tempfile.TemporaryDirectory() as folder:
        return {
            "rows": [
                _row(part, options.rounds if part.warm_up else max(options.rounds // 3, 1))
                for group in options.only
                for part in GROUPS[group](Path(folder))
            ]
        }


def _row(part: Part, rounds: int) -> dict[str, Any]:
    times = laps({"": part.action}, rounds, part.warm_up)[""]
    median = statistics.median(times)
    return {
        "name": part.name,
        "ms": median,
        "ms_range": [min(times), max(times)],
        "rate": 1e3 * part.amount / median,
        "unit": part.unit,
    }


def _authors(folder: Path) -> list[Part]:
    """Of the authors' network, 32 filters, batch 32, 32x32."""
    import tensorflow as tf

    from benchmarks import subjects
    from ebm_tf.config import Compute
    from ebm_tf.replay import Chains

    size = subjects.Size()
    trainer = subjects.authors_trainer(size, Compute(lanes=LANES))
    buffer, count = trainer.buffer, 100 + size.batch
    images = tf.random.stateless_uniform([count, *trainer.image_shape], [0, 0])
    ends = Chains(images, tf.fill([count], -1), tf.zeros([count], tf.int32))
    augment = tf.function(trainer.augment)
    draw = tf.function(lambda seed: buffer.draw(count, seed).images)
    add = tf.function(lambda seed: buffer.add(ends, seed))
    seed, named = tf.constant([0, 1]), f"{size.filters} filters, batch {size.batch}"
    chain_steps = subjects.image_steps(trainer)
    return [
        Part(f"chain of {size.steps} steps, {named}", subjects.chain(trainer), chain_steps, "image steps"),
        Part(f"training iteration, {named}", subjects.iteration(trainer), size.batch, "images"),
        Part("augmentation, 32x32x3", lambda: augment(images, seed).numpy(), count, "images"),
        Part("buffer: draw, 32x32x3", lambda: draw(seed).numpy(), count, "images"),
        Part("buffer: add, 32x32x3", lambda: (add(seed), buffer.added.numpy()), count, "images"),
    ]


def _digits(folder: Path) -> list[Part]:
    """At the settings of the digits."""
    import numpy as np
    import tensorflow as tf

    from benchmarks import subjects
    from ebm_tf.config_files import load_experiment
    from ebm_tf.evaluation.extractors.classifier import Classifier, classifier_network
    from ebm_tf.sampling import stream_chains, uniform_noise
    from ebm_tf.sampling_settings import method_of

    experiment = load_experiment("digits")
    trainer, sampling = subjects.digits_trainer(experiment), experiment.sampling
    method = method_of(sampling, experiment.langevin, sampling.steps)
    method = method._replace(lanes=experiment.compute.lanes)
    network = classifier_network(subjects.DIGITS_SHAPE, subjects.DIGITS_CLASSES)
    classifier = Classifier(network, subjects.DIGITS_CLASSES, test_accuracy=0.0)
    images = subjects.random_images(sampling.count, subjects.DIGITS_SHAPE)

    def sample() -> None:
        def starts(first: int, count: int) -> tf.Tensor:
            return uniform_noise(first, count, subjects.DIGITS_SHAPE, 0)

        for _ in stream_chains(
            trainer.average, starts, sampling.count, method, 0, sampling.batch_size, lambda *_: None
        ):
            pass

    def extract() -> None:
        for first in range(0, len(images), experiment.compute.extraction_batch):
            classifier(np.ascontiguousarray(images[first : first + experiment.compute.extraction_batch]))

    steps, batch = experiment.langevin.steps, experiment.training.batch_size
    return [
        Part(
            f"digits: chain of {steps} steps",
            subjects.chain(trainer),
            subjects.image_steps(trainer),
            "image steps",
        ),
        Part("digits: training iteration", subjects.iteration(trainer), batch, "images"),
        Part(f"digits: sampling, {sampling.steps} steps", sample, sampling.count, "images", warm_up=1),
        Part("digits: features of the classifier", extract, len(images), "images"),
    ]


def _arithmetic(folder: Path) -> list[Part]:
    """The Fréchet distance of 2048 features, and exact neighbours."""
    import numpy as np

    from benchmarks.subjects import random_images
    from ebm_tf.evaluation.distances import frechet_distance
    from ebm_tf.evaluation.neighbours import nearest
    from ebm_tf.evaluation.statistics import Moments

    random = np.random.default_rng(0)
    features = random.standard_normal((IMAGES, FEATURES), dtype=np.float32)
    one, other = Moments.of(features[: IMAGES // 2]), Moments.of(features[IMAGES // 2 :])
    store = random_images(STORE, SHAPE)
    queries = random.integers(0, 256, (QUERIES, *SHAPE), np.uint8)
    return [
        Part(f"mean and covariance, {FEATURES} features", lambda: Moments.of(features), IMAGES, "images", 1),
        Part(
            f"Fréchet distance, {FEATURES} features", lambda: frechet_distance(one, other), 1, "distances", 1
        ),
        Part(
            f"neighbours among {STORE:,}, 32x32x3",
            lambda: nearest(queries, store, 10),
            QUERIES * STORE,
            "pairs",
            1,
        ),
    ]


def _start(folder: Path) -> list[Part]:
    """Processes, begun and ended. The run is made whole before it is timed with nothing left to do."""
    stages = stages_of("EvaluateFID")
    cached = [CLI, "run", "--task", "EvaluateFID", "--root", folder, *_sets(BRIEF), "--json"]
    programs.answer([sys.executable, *cached], say=lambda line: None)

    def import_all() -> None:
        for module in stages:
            _ended([sys.executable, "-c", f"from ebm_tf import devices; import ebm_tf.stages.{module}"])

    return [
        Part("cli.py --help", lambda: _ended([sys.executable, CLI, "--help"]), 1, "starts", 0),
        Part(
            f"imports of the {len(stages)} processes of a run of digits",
            import_all,
            len(stages),
            "processes",
            0,
        ),
        Part("run with nothing left to do", lambda: _ended([sys.executable, *cached]), 1, "runs", 0),
    ]


def stages_of(task: str) -> list[str]:
    """Modules of the stages that a run of the digits starts, one for each process."""
    from ebm_tf.config_files import load_experiment
    from ebm_tf.stages.__main__ import STAGES
    from pipelines.tasks import task_named
    from pipelines.trees import tree

    steps = tree(task_named(task).of(load_experiment("digits"), Path("artifacts")))
    return [STAGES[step.name()] for step in steps]


def _sets(settings: Sequence[str]) -> list[str]:
    return [part for setting in settings for part in ("--set", setting)]


def _ended(command: Sequence[object]) -> None:
    """Run a program to its end."""
    done = subprocess.run(
        [str(part) for part in command], cwd=programs.REPOSITORY, capture_output=True, check=False
    )
    if done.returncode:
        raise EBMError(f"{command[1]} ended with {done.returncode}: {done.stderr.decode()[-300:].strip()}")


GROUPS: dict[str, Callable[[Path], list[Part]]] = {
    "authors": _authors,
    "digits": _digits,
    "arithmetic": _arithmetic,
    "start": _start,
}


def tables(found: dict[str, Any]) -> list[Table]:
    """One table of all parts."""
    rows = tuple(
        (
            row["name"],
            f"{milliseconds_in_words(row['ms'])}{mark_if_wide([row['ms_range']])}",
            f"{row['rate']:,.0f}" if row["rate"] >= 10 else f"{row['rate']:.2g}",
            f"{row['unit']} a second",
        )
        for row in found["rows"]
    )
    return [
        Table(
            "Parts",
            "Each part by itself: the median of its laps, and how much of its work that makes in a second. "
            "Nothing is compared here; rows of digits run as configs/digits.yaml says, the others on all cores.",
            ("part", "ms", "rate", "of"),
            rows,
        )
    ]


if __name__ == "__main__":
    programs.run(parsed(), measure, tables)
