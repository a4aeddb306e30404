"""How the time of a training iteration grows: with K, the batch, the filters, the size of images, and replicas.

Each row changes one option of the iteration of `benchmarks.training`; the rows of an option take their steps in
turns, each in a process of its own. The ratio is to the first row. Of K and of the batch it is told how far the times
are from a straight line (of least relative squares, with a constant: some work of an iteration depends on neither).

Replicas are logical CPUs on which a global batch is shared; they have the same threads between them, so that on one
processor they show what sharing costs, not what more devices gain.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import programs
from benchmarks.tables import Table, mark_if_wide, milliseconds_in_words
from benchmarks.training import LANES
from benchmarks.workers import in_turns

AXES: dict[str, tuple[int, ...]] = {
    "steps": (5, 10, 20, 40),
    "batch": (8, 16, 32, 64),
    "filters": (16, 32, 64),
    "size": (16, 32, 64),
    "replicas": (1, 2),
}
NAMES = {
    "steps": "K",
    "batch": "batch",
    "filters": "filters",
    "size": "pixels of a side",
    "replicas": "replicas",
}
STRAIGHT = ("steps", "batch")


def parsed() -> argparse.Namespace:
    """The options."""
    parser = programs.parser("scaling", __doc__)
    parser.add_argument("--only", nargs="*", default=[*AXES], choices=[*AXES], help="what changes")
    parser.add_argument(
        "--filters", type=int, default=32, help="where they do not change; default %(default)s"
    )
    parser.add_argument("--batch", type=int, default=32, help="where it does not change; default %(default)s")
    parser.add_argument(
        "--steps", type=int, default=10, help="K where it does not change; default %(default)s"
    )
    parser.add_argument(
        "--threads", type=int, default=0, help="CPU threads (0: one per core); default %(default)s"
    )
    parser.add_argument("--lanes", type=int, default=LANES, help="of each replica; default %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="iterations of each row that are measured")
    return parser.parse_args()


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The rows of each option."""
    base = {
        "filters": options.filters,
        "batch": options.batch,
        "steps": options.steps,
        "size": 32,
        "replicas": 1,
    }
    axes = {}
    for axis in options.only:
        programs.to_stderr(f"iterations at {NAMES[axis]} {', '.join(map(str, AXES[axis]))}")
        axes[axis] = _rows(axis, base, options.threads, options.lanes, options.rounds)
    return {"base": base, "threads": options.threads, "lanes": options.lanes, "axes": axes}


def _rows(axis: str, base: dict[str, int], threads: int, lanes: int, rounds: int) -> dict[str, Any]:
    cases = {str(value): (iterations, {**base, axis: value}, threads, lanes) for value in AXES[axis]}
    measured = in_turns(cases, rounds)
    rows = [
        {
            "value": int(value),
            "ms": statistics.median(each.laps),
            "ms_range": [min(each.laps), max(each.laps)],
            "peak_mib": each.peak_mib,
        }
        for value, each in measured.items()
    ]
    found: dict[str, Any] = {"rows": rows}
    if axis in STRAIGHT:
        times = [statistics.median(each.laps) for each in measured.values()]
        found["deviation"] = off_a_line(AXES[axis], times)
    return found


def iterations(at: dict[str, int], threads: int, lanes: int) -> Callable[[], object]:
    """A whole training iteration at these options, in the process in which this is called."""
    from benchmarks import subjects
    from ebm_tf.config import Compute

    compute = Compute(threads=threads, lanes=lanes, logical_cpus=at["replicas"])
    size = subjects.Size(at["filters"], at["batch"], at["size"], steps=at["steps"])
    return subjects.iteration(subjects.authors_trainer(size, compute))


def off_a_line(values: Sequence[float], times: Sequence[float]) -> float:
    """The largest share by which a time is above or below the line through all, of least relative squares."""
    import numpy as np

    x, y = np.asarray(values, float), np.asarray(times, float)
    lines = np.stack([1 / y, x / y], axis=1)  # each row divided by its time: shares count, not milliseconds
    fitted, *_ = np.linalg.lstsq(lines, np.ones_like(y), rcond=None)
    return float(np.abs(y / (fitted[0] + fitted[1] * x) - 1).max())


def tables(found: dict[str, Any]) -> list[Table]:
    """One table for each option."""
    base = found["base"]
    made = []
    for axis, measured in found["axes"].items():
        others = ", ".join(f"{NAMES[name]} {value}" for name, value in base.items() if name != axis)
        comparison = f"A training iteration at {others}; each row in a process of its own, in turns."
        if "deviation" in measured:
            comparison += f" Largest deviation from a straight line: {measured['deviation']:.1%}."
        first = measured["rows"][0]["ms"]
        rows = tuple(
            (
                str(row["value"]),
                f"{row['ms'] / first:.2f}{mark_if_wide([row['ms_range']])}",
                milliseconds_in_words(row["ms"]),
                f"{row['peak_mib']:,.0f}",
            )
            for row in measured["rows"]
        )
        made.append(
            Table(f"Scaling with {NAMES[axis]}", comparison, (NAMES[axis], "ratio", "ms", "peak MiB"), rows)
        )
    return made


if __name__ == "__main__":
    programs.run(parsed(), measure, tables)
