"""What back-propagation through more Langevin steps costs a training step: m = 1, K/2 and K (S D.2).

The paper differentiates L_KL through the last step (m = 1) and reports training through all steps as more than 3
times slower. Each m has a process of its own, because a process's peak memory only ever rises; the processes take
steps in turns. Time is the median of a step. Memory is the peak resident set (on a GPU, TensorFlow's peak) less what
the process held before its first step. The first call builds the graph: its size does not depend on m, since the
steps are a loop that is differentiated through.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

from benchmarks import programs
from benchmarks.tables import Table, mark_if_wide, milliseconds_in_words
from benchmarks.workers import in_turns

SHAPE = (28, 28, 1)  # S D.2 is about MNIST


def main() -> None:
    parser = programs.parser("backprop", __doc__)
    parser.add_argument("--langevin-steps", type=int, default=40, help="K")
    parser.add_argument("--batch", type=int, default=16, help="chains")
    parser.add_argument("--width", type=float, default=0.125, help="of the network mnist")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads in an operation")
    parser.add_argument("--rounds", type=int, default=7, help="measured steps of each m")
    programs.run(parser.parse_args(), measure, tables)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """A row for each m."""
    steps = options.langevin_steps
    tails = sorted({1, max(steps // 2, 1), steps})
    measured = in_turns({str(tail): (_step, tail, options) for tail in tails}, options.rounds, warm_up=0)
    rows = [
        {
            "m": int(tail),
            "ms": statistics.median(each.laps),
            "ms_range": [min(each.laps), max(each.laps)],
            "more_mib": each.peak_mib - each.before_mib,
            "first_call": each.first_call,
        }
        for tail, each in measured.items()
    ]
    return {"batch": options.batch, "steps": steps, "width": options.width, "rows": rows}


def tables(found: dict[str, Any]) -> list[Table]:
    """Time and memory of each m, as ratios to the last step alone."""
    first = found["rows"][0]
    rows = tuple(
        (
            str(row["m"]),
            f"{row['ms'] / first['ms']:.2f}{mark_if_wide([row['ms_range']])}",
            milliseconds_in_words(row["ms"]),
            f"{row['more_mib'] / first['more_mib']:.2f}",
            f"{row['more_mib']:,.0f}",
            f"{row['first_call']:.1f}",
        )
        for row in found["rows"]
    )
    return [
        Table(
            "Back-propagation through more steps",
            f"A training step of {found['batch']} chains of K = {found['steps']} steps, the mnist network at width "
            f"{found['width']:g}, differentiated through the last m of them; each in a process of its own, in turns. "
            "Memory is the peak less what the process held before its first step. The paper trains with m = 1, and "
            "reports m = K as more than 3 times slower.",
            ("m", "ratio of time", "ms", "ratio of memory", "MiB", "first call, s"),
            rows,
        )
    ]


def _step(tail: int, options: argparse.Namespace) -> Any:
    import numpy as np
    import tensorflow as tf

    from ebm_tf import config, devices
    from ebm_tf.training.trainer import Trainer

    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    trainer = Trainer(
        devices.mirrored_strategy(),
        SHAPE,
        levels=256,
        classes=0,
        seed=0,
        model=config.Model(architecture="mnist", width=options.width),
        langevin=config.Langevin(steps=options.langevin_steps, step_size=100.0, backprop_steps=tail),
        replay=config.Replay(capacity=1000),
        augmentation=config.Augmentation(),
        loss=config.Loss(),
        optimiser=config.Optimiser(),
        training=config.Training(batch_size=options.batch),
    )
    images = np.random.default_rng(0).integers(0, 256, (options.batch, *SHAPE), np.uint8)
    real, labels, number = tf.constant(images), tf.zeros([options.batch], tf.int32), iter(range(1_000_000))

    def step() -> None:
        samples, _ = trainer.step(real, labels, next(number), 0, 1e-4)
        samples.numpy()

    return step


if __name__ == "__main__":
    main()
