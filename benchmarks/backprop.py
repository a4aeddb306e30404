"""What back-propagation through more Langevin steps costs a training step: m = 1, K/2 and K (S D.2).

The paper differentiates L_KL through the last step (m = 1) and reports training through all steps as more than 3
times slower. Each m has a process of its own, because a process's peak memory only ever rises; the processes take
steps in turns. Time is the median of a step. Memory is the peak resident set (on a GPU, TensorFlow's peak) less what
the process held before its first step. The first call builds the graph: its size does not depend on m, since the
steps are a loop that is differentiated through.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import statistics
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
SHAPE = (28, 28, 1)  # S D.2 is about MNIST


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.backprop", description=__doc__)
    parser.add_argument("--langevin-steps", type=int, default=40, help="K")
    parser.add_argument("--batch", type=int, default=16, help="chains")
    parser.add_argument("--width", type=float, default=0.125, help="of the network mnist")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads in an operation")
    parser.add_argument("--rounds", type=int, default=7, help="measured steps of each m")
    options = parser.parse_args()
    steps = options.langevin_steps
    tails = sorted({1, max(steps // 2, 1), steps})

    spawn = multiprocessing.get_context("spawn")
    workers = {}
    for tail in tails:
        here, there = spawn.Pipe()
        process = spawn.Process(target=_work, args=(there, tail, options), daemon=True)
        process.start()
        there.close()  # so that a worker that fails ends the wait for its answer
        workers[tail] = (here, process)
    first = {tail: _ask(here, "step") for tail, (here, _) in workers.items()}
    times: dict[int, list[float]] = {tail: [] for tail in tails}
    for _ in range(options.rounds):
        for tail, (here, _) in workers.items():
            times[tail].append(_ask(here, "step"))
    peaks = {tail: _ask(here, "memory") for tail, (here, _) in workers.items()}
    for here, process in workers.values():
        here.send("end")
        process.join()

    print(f"{options.batch} chains of K = {steps} steps, mnist network of width {options.width:g}")
    print(f"{'m':>4} {'s a step':>9} {'ratio':>6} {'MB':>7} {'ratio':>6} {'first call, s':>14}")
    middle = {tail: statistics.median(values) for tail, values in times.items()}
    for tail in tails:
        print(
            f"{tail:4d} {middle[tail]:9.3f} {middle[tail] / middle[1]:6.2f} {peaks[tail] / 1e6:7.0f} "
            f"{peaks[tail] / peaks[1]:6.2f} {first[tail]:14.1f}"
        )


def _ask(worker: Connection, what: str) -> float:
    worker.send(what)
    answer: float = worker.recv()
    return answer


def _work(parent: Connection, tail: int, options: argparse.Namespace) -> None:
    """A process that takes training steps through `tail` Langevin steps, and answers with seconds and bytes."""
    step = _step(tail, options)
    before = _peak_bytes()
    while (wanted := parent.recv()) != "end":
        begun = time.perf_counter()
        if wanted == "step":
            step()
        parent.send(time.perf_counter() - begun if wanted == "step" else _peak_bytes() - before)


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
        samples, _ = trainer.step(real, labels, tf.constant(next(number)), tf.constant(0), tf.constant(1e-4))
        samples.numpy()

    return step


def _peak_bytes() -> int:
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
