"""What to expect: hours of training for each of the paper's configs, here and on a GPU.

Counted are multiply-adds of convolutions and linear maps. With F of them for one energy of one image, an iteration of
K steps, m of them differentiated, costs each of its chains F times

    2 K          energy and gradient of each step
    + 4 m        the gradient of those of the last m steps
    + 2 * 3      energies of a real image and a sample, with the gradients that reach image and weights.

Here: this count over the time of one iteration of the yardstick's network (`--filters`, `--batch`, `--steps`) is the
rate at which this machine works, and all configs are taken to reach it. On the GPU: a share of its peak for matrix
products (NVIDIA's data sheet of the A100: 156 TFLOP/s in TF32); the share is a guess, and so the hours are an
estimate, for one such GPU.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

from benchmarks import programs
from benchmarks.tables import Table

CONFIGS = (
    "mnist", "cifar10", "cifar10_released_code", "imagenet32", "celeba_hq128", "lsun_bedroom128",
)  # fmt: skip
GPU, GPU_PEAK, GPU_SHARE = "A100", 156e12, 0.25


def parsed() -> argparse.Namespace:
    """The options."""
    parser = programs.parser("expect", __doc__)
    for name, value in {
        "filters": 32,
        "batch": 32,
        "size": 32,
        "steps": 10,
        "threads": 0,
        "rounds": 3,
    }.items():
        parser.add_argument(f"--{name}", type=int, default=value, help="default %(default)s")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    return parser.parse_args()


def evaluations(steps: int, tail: int) -> int:
    """How many times F one iteration costs each of its chains."""
    return 2 * steps + 4 * tail + 2 * 3


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The rate of this machine, and the iterations of each config with their cost."""
    from benchmarks import subjects
    from benchmarks.turns import laps
    from ebm_tf.config import Compute
    from ebm_tf.config_files import load_experiment
    from ebm_tf.models.summary import summarise
    from pipelines.knowledge import images_of

    size = subjects.Size(options.filters, options.batch, options.size, 3, options.steps, options.precision)
    step = subjects.iteration(subjects.authors_trainer(size, Compute(threads=options.threads)))
    seconds = statistics.median(laps({"step": step}, options.rounds)["step"]) / 1e3
    shape = (size.size, size.size, size.channels)
    of_one = summarise(subjects.model_of(size), shape).multiply_adds
    rate = 2 * of_one * size.batch * evaluations(size.steps, 1) / seconds
    rows = []
    for name in CONFIGS:
        experiment = load_experiment(name)
        images = images_of(experiment.dataset.model_dump())
        assert images is not None  # of a set that the registry knows
        network = summarise(experiment.model, images.shape, images.classes)
        chains = experiment.training.batch_size
        cost = evaluations(experiment.langevin.steps, experiment.langevin.backprop_steps)
        rows.append(
            {
                "config": name,
                "steps": experiment.training.steps,
                "multiply_adds": network.multiply_adds,
                "flop_of_a_step": 2 * network.multiply_adds * chains * cost,
            }
        )
    return {"size": size._asdict(), "seconds": seconds, "flop_per_second": rate, "configs": rows}


def tables(found: dict[str, Any]) -> list[Table]:
    """Hours of each config."""
    size, rate = found["size"], found["flop_per_second"]
    rows = []
    for row in found["configs"]:
        flop = row["flop_of_a_step"] * row["steps"]
        hours, gpu_hours = flop / rate / 3600, flop / (GPU_PEAK * GPU_SHARE) / 3600
        rows.append(
            (
                row["config"], f"{row['steps']:,}", f"{row['multiply_adds'] / 1e6:,.0f} million",
                f"{row['flop_of_a_step'] / rate:.1f} s", f"{hours:,.0f}", f"{gpu_hours:,.0f}",
            )
        )  # fmt: skip
    return [
        Table(
            "What to expect",
            f"An iteration of {size['filters']} filters, batch {size['batch']}, K = {size['steps']}, in "
            f"{size['precision']} works at {rate / 1e9:.0f} GFLOP/s here. At this rate, and on one {GPU} at "
            f"{GPU_SHARE:.0%} of its peak (an estimate: no GPU was measured), training as the paper does takes:",
            ("config", "steps", "multiply-adds of an energy", "a step here", "hours here", f"hours, {GPU}"),
            tuple(rows),
        )
    ]


if __name__ == "__main__":
    programs.run(parsed(), measure, tables)
