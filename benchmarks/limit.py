"""The convolution limit: how much of a chain step this processor spends on the network's own convolutions.

A chain step is the energy and its gradient with respect to the image. Its graph is built, and each convolution in it,
forward or backward, is timed alone in a loop within one graph, so that no call counts; an empty loop is taken off.
Where a step is computed in lanes, as many loops run side by side. The sum is what a chain step would take if
everything else cost nothing: its share of a measured chain step is the fraction of the limit that is reached. What
takes the rest is told by TensorFlow's profiler, by kind of operation, summed over threads.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks import programs
from benchmarks.tables import Table, milliseconds_in_words
from benchmarks.training import LANES
from ebm_tf.errors import EBMError

if TYPE_CHECKING:
    import tensorflow as tf

FORWARD, BACKWARD = "Conv2D", "Conv2DBackpropInput"
LAP_SECONDS = 0.05
"""About how long a loop of one convolution runs."""
MOST_ROWS = 12
"""Of a table."""


class Convolution(NamedTuple):
    """One that a chain step does: its kind, its images or gradients [B, H, W, C], its kernel [h, w, C, C'], dtype."""

    kind: str
    images: tuple[int, ...]
    kernel: tuple[int, ...]
    dtype: str

    @property
    def multiply_adds(self) -> int:
        """Of all images."""
        batch, height, width, _ = self.images
        rows, columns, inputs, outputs = self.kernel
        return batch * height * width * rows * columns * inputs * outputs


def parsed() -> argparse.Namespace:
    """The options."""
    parser = programs.parser("limit", __doc__)
    parser.add_argument(
        "--filters", type=int, default=32, help="channels of the first layer; default %(default)s"
    )
    parser.add_argument("--batch", type=int, default=32, help="chains; default %(default)s")
    parser.add_argument("--size", type=int, default=32, help="pixels of a side; default %(default)s")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument(
        "--threads", type=int, default=0, help="CPU threads (0: one per core); default %(default)s"
    )
    parser.add_argument(
        "--lanes", type=int, default=LANES, help="parts of the batch, side by side; default %(default)s"
    )
    parser.add_argument("--rounds", type=int, default=5, help="laps of each convolution, and of the chain")
    return parser.parse_args()


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of a chain step, of its convolutions, and of the rest by kind of operation."""
    from benchmarks import subjects
    from benchmarks.operations import milliseconds_by_kind
    from benchmarks.turns import laps
    from ebm_tf.config import Compute
    from ebm_tf.devices import parts

    size = subjects.Size(options.filters, options.batch, options.size, precision=options.precision)
    trainer = subjects.authors_trainer(size, Compute(threads=options.threads, lanes=options.lanes))
    lanes = parts(size.batch, trainer.lanes)
    found = Counter(convolutions(trainer.model, max(count for _, count in lanes)))
    if not found:
        raise EBMError("no convolution was found in the graph of a chain step; this program looks for "
                       f"{FORWARD} and {BACKWARD}")  # fmt: skip
    empty = _milliseconds(lambda images, kernel: images, next(iter(found)), len(lanes), options.rounds)
    rows = []
    for convolution, count in found.items():
        turn = _milliseconds(_operation(convolution), convolution, len(lanes), options.rounds)
        alone = max(turn - empty, 1e-6)
        rows.append(
            {
                **convolution._asdict(),
                "count": count,
                "ms": count * alone,
                "gflops": 2e-6 * len(lanes) * convolution.multiply_adds / alone,
            }
        )
    run = subjects.chain(trainer)
    steps = [lap / size.steps for lap in laps({"chain": run}, options.rounds)["chain"]]
    gflop = 2e-9 * len(lanes) * sum(count * each.multiply_adds for each, count in found.items())
    step, whole = statistics.median(steps), sum(row["ms"] for row in rows)
    return {
        "size": size._asdict(),
        "ms_per_step": step,
        "ms_range": [min(steps), max(steps)],
        "ms_convolutions": whole,
        "fraction": whole / step,
        "gflop": gflop,
        "lanes": len(lanes),
        "convolutions": rows,
        "ms_by_kind": {kind: ms / size.steps for kind, ms in milliseconds_by_kind(run).items()},
    }


def convolutions(model: Any, batch: int) -> Iterator[Convolution]:
    """Those in the graph of dE/dx for a batch of images, one for each time that they are done."""
    import tensorflow as tf

    from ebm_tf.langevin import energy_gradient

    @tf.function
    def gradient(images: tf.Tensor) -> tf.Tensor:
        with model.kernels_computed_once():
            return energy_gradient(model, images)

    graph = gradient.get_concrete_function(tf.TensorSpec([batch, *model.image_shape], tf.float32)).graph
    for operation in graph.get_operations():
        if operation.type == FORWARD:
            images, kernel = operation.inputs
        elif operation.type == BACKWARD:
            _, kernel, images = operation.inputs
        else:
            continue
        yield Convolution(operation.type, tuple(images.shape), tuple(kernel.shape), str(images.dtype.name))


def _operation(convolution: Convolution) -> Callable[..., Any]:
    """What it does to images (or gradients) and a kernel."""
    import tensorflow as tf

    if convolution.kind == FORWARD:
        return lambda images, kernel: tf.nn.conv2d(images, kernel, 1, "SAME")
    inputs = (*convolution.images[:3], convolution.kernel[2])
    return lambda images, kernel: tf.nn.conv2d_transpose(images, kernel, inputs, 1, "SAME")


def _milliseconds(operation: Callable[..., Any], convolution: Convolution, lanes: int, rounds: int) -> float:
    """One turn of loops that do the operation, one loop in each lane of one graph: the median of some laps."""
    import tensorflow as tf

    images = tf.cast(tf.random.stateless_normal(convolution.images, [0, 0]), convolution.dtype)
    kernel = tf.cast(tf.random.stateless_normal(convolution.kernel, [0, 1]), convolution.dtype)

    def loop(count: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        for _ in tf.range(count):
            first = tf.reshape(operation(images, kernel), [-1])[0]
            # So that a turn depends on the one before, and none is left out: this never comes true.
            images = tf.cond(tf.cast(first, tf.float32) > 1e30, lambda x=images: x + 1, lambda x=images: x)
        return tf.reshape(images, [-1])[0]

    @tf.function
    def side_by_side(count: tf.Tensor, images: tf.Tensor) -> list[tf.Tensor]:
        return [loop(count, images) for _ in range(lanes)]

    def seconds(count: int) -> float:
        begun = time.perf_counter()
        for end in side_by_side(tf.constant(count), images):
            end.numpy()
        return time.perf_counter() - begun

    seconds(2)
    count = max(2, int(LAP_SECONDS / max(seconds(4) / 4, 1e-6)))
    return 1e3 * statistics.median(seconds(count) / count for _ in range(rounds))


def tables(found: dict[str, Any]) -> list[Table]:
    """What takes a chain step, and the convolutions one by one."""
    size, step, whole = found["size"], found["ms_per_step"], found["ms_convolutions"]
    total = sum(found["ms_by_kind"].values())
    kinds = list(found["ms_by_kind"].items())
    if len(kinds) > MOST_ROWS:
        kinds = [*kinds[:MOST_ROWS], ("all others", sum(ms for _, ms in kinds[MOST_ROWS:]))]
    named = (
        f"{size['filters']} filters, batch {size['batch']}, {size['size']}x{size['size']}, {size['precision']}, "
        f"lanes {found['lanes']}"
    )
    longest = sorted(found["convolutions"], key=lambda row: -row["ms"])[:MOST_ROWS]
    return [
        Table(
            f"The convolution limit ({named})",
            f"A chain step takes {milliseconds_in_words(step)} ms, its convolutions alone "
            f"{milliseconds_in_words(whole)} ms ({found['gflop']:.2f} GFLOP at {1e3 * found['gflop'] / whole:.0f} "
            f"GFLOP/s): {found['fraction']:.0%} of the convolution limit. The rows are the kinds of operations "
            "that a chain step consists of, by the profiler, summed over threads.",
            ("operation", "share", "ms a step"),
            tuple((kind, f"{ms / total:.1%}", milliseconds_in_words(ms)) for kind, ms in kinds),
        ),
        Table(
            f"Convolutions of a chain step ({named})",
            f"The {len(longest)} that take longest, of {len(found['convolutions'])}: each alone, in a loop within "
            "one graph; the time is that of all of its kind in one chain step.",
            ("GFLOP/s", "ms", "times", "convolution", "images", "kernel"),
            tuple(
                (
                    f"{row['gflops']:.0f}",
                    milliseconds_in_words(row["ms"]),
                    str(row["count"]),
                    "forward" if row["kind"] == FORWARD else "backward",
                    "x".join(map(str, row["images"])),
                    "x".join(map(str, row["kernel"])),
                )
                for row in longest
            ),
        ),
    ]


if __name__ == "__main__":
    programs.run(parsed(), measure, tables)
