"""One training iteration, or its Langevin chain alone, timed: the yardstick's options, and its answer.

`python benchmarks/torch_reference.py --mode iteration` in an environment with PyTorch, and this program with the same
options, do the authors' iteration at the same sizes and print the same fields. Taken in turns they make a ratio
(`python -m benchmarks.yardstick` does that). The median lap of --iters is told, the upper one if they are even, after
two that are not counted: the first builds the graph.

What is not as in the yardstick:

- Augmentation of the next iteration's starts and compared images runs beside this iteration's chain, as training here
  does; there it is done by PIL, image by image, in front. What is compared is drawn before this iteration's negatives
  enter the buffer.
- An iteration here is one compiled graph, so that its parts cannot be clocked in it. `split_ms` has parts that were
  timed alone: drawing and augmenting, the chain without the KL branch, and the update (clipping, Adam, the average,
  the buffer). `loss_backward` is what is left of the whole; as parts overlap in the whole it comes out too small.
- The last chain step is itself differentiated, for all chains; there it is computed again, for 128 of them at most.
  Positives and negatives are one batch here.
- Layers: halving is a mean of 2x2 pixels here and of 3x3 (stride 2, zeros at the border counted) there; the half-size
  network keeps the attention, which there is in the full network alone; the last map and attention's keys have no
  bias. Beyond 32 filters the norm works in groups in all layers (there in those wider than 128).
- Real images are dequantised on the clock. Operations are deterministic, as the product's are by default.
- `tensorflow` is told instead of `torch`, and `precision` and `lanes` among the options.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Callable, Sequence
from typing import Any, Optional

from benchmarks.programs import claim_stdout
from benchmarks.turns import laps, milliseconds
from ebm_tf.memory import peak_mib

LANES = 1
"""Of the programs that measure this network, unless they are told otherwise."""
SIZES = {
    "filters": (32, "channels of the first layer; later ones have up to eight times as many"),
    "batch": (32, "chains, and real images"),
    "size": (32, "pixels of a side"),
    "channels": (3, "colours of an image, 1 or 3; with 1 nothing is augmented"),
    "steps": (10, "K, Langevin steps"),
    "iters": (3, "laps that are timed"),
    "threads": (2, "CPU threads in an operation"),
    "lanes": (LANES, "parts of the batch that are computed side by side, see compute.lanes"),
}


def parsed(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """The options; what cannot be measured ends the program with 2 and one line that says what can."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--mode", choices=("langevin", "iteration"), default="iteration")
    for name, (value, meaning) in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"{meaning}; default %(default)s")
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        default="float32",
        help="of what convolutions multiply; default %(default)s",
    )
    parser.add_argument("--json", action="store_true", help="the JSON object on one line")
    options = parser.parse_args(arguments)
    refusal = _refusal(options)
    if refusal:
        parser.error(refusal)
    return options


def _refusal(options: argparse.Namespace) -> Optional[str]:
    """What is wrong with the sizes, as one line, or None."""
    checks = {
        "size": (options.size >= 16 and options.size % 4 == 0, "a multiple of 4 from 16 on"),
        "filters": (options.filters >= 8 and options.filters % 8 == 0, "a multiple of 8 from 8 on"),
        "channels": (options.channels in (1, 3), "1 or 3"),
        **{name: (getattr(options, name) >= 1, "1 or more") for name in ("batch", "steps", "iters", "lanes")},
        "threads": (options.threads >= 0, "1 or more, or 0 for one per core"),
    }
    wrong = [name for name, (allowed, _) in checks.items() if not allowed]
    if not wrong:
        return None
    return f"--{wrong[0]} is {getattr(options, wrong[0])}; give {checks[wrong[0]][1]}"


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of the yardstick."""
    import tensorflow as tf

    from benchmarks import subjects
    from ebm_tf.config import Compute

    trainer = subjects.authors_trainer(
        subjects.sized(options), Compute(threads=options.threads, lanes=options.lanes)
    )
    make = subjects.chain if options.mode == "langevin" else subjects.iteration
    action, losses = _kept(make(trainer))
    times = sorted(laps({"lap": action}, options.iters)["lap"])
    lap, peak = times[len(times) // 2], peak_mib()
    if options.mode == "langevin":
        found: dict[str, Any] = {
            "ms_per_step": round(lap / options.steps, 3),
            "image_steps_per_s": round(1e3 * options.batch * options.steps / lap, 2),
        }
    else:
        last = losses[-1]
        found = {
            "ms_per_iteration": round(lap, 2),
            "split_ms": _split(trainer, lap, options.iters),
            "last_loss": last if math.isfinite(last) else None,
        }
    return {
        "mode": options.mode,
        **found,
        "ms_range": [round(times[0], 2), round(times[-1], 2)],
        "parameters": subjects.parameters_of(trainer),
        "peak_rss_mib": round(peak, 1),
        "tensorflow": tf.__version__,
        "config": {name: value for name, value in vars(options).items() if name not in ("mode", "json")},
    }


def _kept(action: Callable[[], Any]) -> tuple[Callable[[], None], list[Any]]:
    """The action, and where what it returns is kept."""
    answers: list[Any] = []
    return lambda: answers.append(action()), answers


def _split(trainer: Any, whole: float, rounds: int) -> dict[str, float]:
    """Milliseconds of each part alone, and what they leave of the whole."""
    from benchmarks import subjects

    alone = milliseconds(
        {"draw": _drawing(trainer), "chain": subjects.chain(trainer), "update": _update(trainer)}, rounds
    )
    parts = {
        "replay_augment": alone["draw"],
        "langevin": alone["chain"],
        "loss_backward": whole - sum(alone.values()),
        "update": alone["update"],
    }
    return {name: round(time, 2) for name, time in parts.items()}


def _drawing(trainer: Any) -> Callable[[], object]:
    """The starts of the chains and the compared images: drawn, augmented."""
    import tensorflow as tf

    batch, others = trainer.training_settings.batch_size, trainer.loss_settings.entropy_images

    @tf.function
    def draw(seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        start = trainer.buffer.start(batch, seed, None, trainer.augment)
        return start.images, trainer.buffer.draw(others, seed + 1, trainer.augment).images

    return lambda: [images.numpy() for images in draw(tf.constant([0, 0]))]


def _update(trainer: Any) -> Callable[[], object]:
    """Clipping, Adam, the averaged weights, and the negatives into the buffer, with gradients that are given."""
    import tensorflow as tf

    from ebm_tf.replay import Chains
    from ebm_tf.training.step import clip_by_global_norm

    weights, batch = trainer.model.trainable_variables, trainer.training_settings.batch_size
    gradients = [tf.random.stateless_normal(weight.shape, [0, 0]) for weight in weights]
    images = tf.random.stateless_uniform([batch, *trainer.image_shape], [0, 0])
    ends = Chains(images, tf.fill([batch], -1), tf.zeros([batch], tf.int32))

    def apply(given: list[tf.Tensor]) -> None:
        clipped = clip_by_global_norm(
            given, tf.linalg.global_norm(given), trainer.optimiser_settings.clip_norm
        )
        trainer.optimiser.apply_gradients(zip(clipped, weights), skip_gradients_aggregation=True)

    @tf.function
    def update(given: list[tf.Tensor], negatives: Chains) -> tf.Tensor:
        trainer.strategy.run(apply, args=(given,))
        trainer.update_average()
        trainer.buffer.add(negatives, tf.constant([0, 1]))
        return trainer.buffer.added

    return lambda: update(gradients, ends).numpy()


def main() -> None:
    """Print the fields."""
    options = parsed()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    channel = claim_stdout()
    print(json.dumps(measure(options), indent=None if options.json else 2), file=channel)


if __name__ == "__main__":
    main()
