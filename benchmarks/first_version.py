"""Training on digits: this version against another revision of this repository, by default the first.

The other revision is unpacked into a temporary folder. Each runs in processes of its own, in turns, with the settings
that its own configs/digits.yaml gives, the network, the chain and the threads among them: what is compared is what a
user of each gets. Trained is by the revision's training loop on the real digits, history and pictures included. The
rate is the median over the intervals between lines of the log; before the first line the graph is built. A chain step
is one of all chains of a batch. "The chain alone" is the chain of one training step without a gradient through it.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FIRST = "33aa83c"
LOG_EVERY = 25
CHAINS = 10  # laps of the chain alone
SHAPE, LEVELS, CLASSES = (8, 8, 1), 17, 10


def main() -> None:
    """Compare, or, as the program that it starts, measure the revision that it finds."""
    if sys.argv[1:2] == ["--measure"]:
        tree, steps = sys.argv[2:]
        sys.path[0] = tree  # that revision's packages, and not this folder's modules
        print(json.dumps(_trained(int(steps))), file=_claimed_stdout())
        return
    from benchmarks import programs

    parser = programs.parser("first_version", __doc__)
    parser.add_argument("--revision", default=FIRST, help="that this is compared with; default %(default)s")
    parser.add_argument(
        "--steps", type=int, default=1000, help="training steps of a run; default %(default)s"
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs of each; default %(default)s")
    options = parser.parse_args()
    if options.steps < 2 * LOG_EVERY:
        parser.error(
            f"--steps is {options.steps}; give {2 * LOG_EVERY} or more, since the first {LOG_EVERY} do not count"
        )
    programs.run(options, measure, tables)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Rates of both, and the ratios of this version's to the other's."""
    from benchmarks import programs

    with tempfile.TemporaryDirectory() as folder:
        trees = {options.revision: _unpacked(options.revision, Path(folder)), "this": programs.REPOSITORY}
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in trees}
        for number in range(options.rounds):
            for name, tree in trees.items():
                programs.to_stderr(f"digits, round {number + 1} of {options.rounds}: {name}")
                command = [sys.executable, Path(__file__).resolve(), "--measure", tree, options.steps]
                runs[name].append(programs.answer(command, say=lambda line: None, folder=Path(folder)))
    rates = list(runs[options.revision][0]["rates"])
    ratios = {
        rate: [
            new["rates"][rate] / old["rates"][rate] for old, new in zip(runs[options.revision], runs["this"])
        ]
        for rate in rates
    }
    return {
        "revision": options.revision,
        "settings": {name: done[0]["settings"] for name, done in runs.items()},
        "rates": {
            name: {rate: statistics.median(each["rates"][rate] for each in done) for rate in rates}
            for name, done in runs.items()
        },
        "ms_ranges": {name: [each["ms_range"] for each in done] for name, done in runs.items()},
        "ratios": {
            rate: {"median": statistics.median(found), "range": [min(found), max(found)]}
            for rate, found in ratios.items()
        },
    }


def _unpacked(revision: str, folder: Path) -> Path:
    """The files of a revision.

    Raises:
        EBMError: git knows none of this name, or this is no repository.
    """
    from benchmarks.programs import REPOSITORY
    from ebm_tf.errors import EBMError

    tree = folder / "tree"
    clone = ["git", "clone", "--quiet", "--shared", "--no-checkout", str(REPOSITORY), str(tree)]
    for command in (clone, ["git", "-C", str(tree), "checkout", "--quiet", "--detach", revision]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise EBMError(f"git, which has the revision {revision}, could not be run: {error}") from error
        if done.returncode:
            raise EBMError(
                f"git cannot unpack the revision {revision} ({done.stderr.strip()}); give one that `git log` lists"
            )
    return tree


def _trained(steps: int) -> dict[str, Any]:
    """Rates of the revision whose packages are imported, in a process of its own."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from ebm_tf import devices

    load = _loader()
    experiment = load("digits", [f"training.steps={steps}", f"training.log_every={LOG_EVERY}"])
    devices.configure(experiment.compute)
    trainer = _trainer(experiment)
    seconds = _intervals(trainer, experiment)
    chain = _chain_seconds(trainer)
    chain_steps = experiment.langevin.steps
    median = statistics.median(seconds) / LOG_EVERY
    settings = {
        "K": chain_steps,
        "batch": experiment.training.batch_size,
        "threads": experiment.compute.threads,
        "lanes": getattr(experiment.compute, "lanes", 1),  # there were none at first
        "architecture": experiment.model.architecture,
    }
    return {
        "settings": settings,
        "ms_range": [1e3 * min(seconds) / LOG_EVERY, 1e3 * max(seconds) / LOG_EVERY],
        "rates": {
            "training iterations": 1 / median,
            "chain steps in training": chain_steps / median,
            "steps of the chain alone": chain_steps / chain,
        },
    }


def _loader() -> Callable[..., Any]:
    """What reads an experiment, where this revision has it."""
    try:
        from ebm_tf.config_files import load_experiment
    except ImportError:  # it was in config.py at first
        from ebm_tf.config import load_experiment
    loader: Callable[..., Any] = load_experiment
    return loader


def _trainer(experiment: Any) -> Any:
    """The trainer of a revision, by the names that its arguments have there."""
    from ebm_tf import devices
    from ebm_tf.training.trainer import Trainer

    known: dict[str, Any] = {
        "strategy": devices.mirrored_strategy(),
        "image_shape": SHAPE,
        "levels": LEVELS,
        "classes": CLASSES,
        "seed": experiment.seed,
    }
    wanted = list(inspect.signature(Trainer.__init__).parameters)[1:]
    for name in wanted:
        if name not in known:  # a section, or a setting of how it is computed
            place = experiment if hasattr(experiment, name) else experiment.compute
            known[name] = getattr(place, name)
    return Trainer(**{name: known[name] for name in wanted})


def _intervals(trainer: Any, experiment: Any) -> list[float]:
    """Seconds between the lines of the log of a whole run of the training loop."""
    import numpy as np
    from sklearn.datasets import load_digits

    from ebm_tf.training.loop import Loop

    bunch = load_digits()
    with tempfile.TemporaryDirectory() as work:
        known = {
            "trainer": trainer,
            "images": (bunch.images[..., None] * (255 / 16)).round().astype(np.uint8),
            "labels": bunch.target.astype(np.int64),
            "health": experiment.health,
            "checkpoint_every": 250,
            "work": Path(work),
        }
        wanted = [name for name in inspect.signature(Loop.__init__).parameters if name in known]
        at: list[float] = []
        Loop(**{name: known[name] for name in wanted}).run(lambda *_: at.append(time.perf_counter()))
    return [end - begun for begun, end in zip(at, at[1:])]


def _chain_seconds(trainer: Any) -> float:
    """Of the chain of one training step alone, the median of some laps."""
    import tensorflow as tf

    from ebm_tf import langevin

    batch, model = trainer.training_settings.batch_size, trainer.model

    @tf.function
    def run(images: tf.Tensor) -> tf.Tensor:
        def noise(first: int, count: int) -> Callable[[tf.Tensor], tf.Tensor]:
            return lambda k: tf.random.stateless_normal([count, *SHAPE], tf.stack([first, k]))

        if not hasattr(model, "kernels_computed_once"):
            return langevin.langevin(model, images, noise(0, batch), trainer.chain)
        from ebm_tf import devices

        ends = []
        for first, count in devices.parts(batch, trainer.lanes):
            with model.kernels_computed_once():
                rows = images[first : first + count]
                ends.append(langevin.langevin(model, rows, noise(first, count), trainer.chain))
        return tf.concat(ends, axis=0)

    start, seconds = tf.random.stateless_uniform([batch, *SHAPE], [0, 0]), []
    for _ in range(2 + CHAINS):
        begun = time.perf_counter()
        run(start).numpy()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds[2:])


def _claimed_stdout() -> Any:
    """As `programs.claim_stdout`, which another revision may not have."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return channel


def tables(found: dict[str, Any]) -> list[Any]:
    """Rates of both, the ratio first."""
    from benchmarks.tables import Table, mark_if_wide, ratio_in_words

    old, new = found["revision"], "this"
    words = {name: ", ".join(f"{k} {v}" for k, v in each.items()) for name, each in found["settings"].items()}
    rows = tuple(
        (
            ratio_in_words(ratio["median"], ratio["range"])
            + mark_if_wide(pair for pairs in found["ms_ranges"].values() for pair in pairs),
            rate,
            f"{found['rates'][new][rate]:,.1f}",
            f"{found['rates'][old][rate]:,.1f}",
        )
        for rate, ratio in found["ratios"].items()
    )
    return [
        Table(
            f"Digits: this version against revision {old}",
            f"Training on digits, each revision with the settings of its own configs/digits.yaml (this: "
            f"{words[new]}; {old}: {words[old]}), in processes that take turns. More is better; the ratio is the "
            "median over rounds, in brackets the least and the largest.",
            ("ratio", "a second", "this", old),
            rows,
        )
    ]


if __name__ == "__main__":
    main()
