"""What the metrics take at the size in which papers report them: 50,000 images a side, 2048 features, from disk.

Each metric has a process of its own, because a process's peak memory only ever rises. "own MB" is the most that it
held of its own; "with file MB" adds the pages of the mapped features, which the system takes back when it needs them.
The reference's moments are made once, by the row "moments". All else is at its defaults.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

CLASSES = 1008
BLOCK = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.metrics", description=__doc__)
    parser.add_argument("--images", type=int, default=50_000, help="of each side")
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument(
        "--only", nargs="*", default=[*METRICS], choices=[*METRICS], help="metrics to measure"
    )
    options = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), options.images, options.features)
        print(f"{options.images} x {options.features} features a side, float32 on disk")
        print(f"{'':32} {'s':>8} {'own MB':>7} {'with file MB':>13}  value", flush=True)
        for name in dict.fromkeys(["moments", *options.only]):
            here, there = spawn.Pipe()
            process = spawn.Process(target=_work, args=(there, name, Path(folder)), daemon=True)
            process.start()
            there.close()  # so that a worker that fails ends the wait for its answer
            seconds, own, whole, value = here.recv()
            process.join()
            print(f"{name:32} {seconds:8.1f} {own / 1e6:7.0f} {whole / 1e6:13.0f}  {value}", flush=True)


def _write(folder: Path, images: int, features: int) -> None:
    """Two Gaussians whose features have unequal variances, and logits, block by block."""
    import numpy as np

    deviations = np.linspace(1.0, 0.1, features, dtype=np.float32)
    for seed, (name, shift, scale) in enumerate((("samples", 0.02, 1.03), ("reference", 0.0, 1.0))):
        _fill(folder / f"{name}.npy", images, seed, shift, scale * deviations)
    _fill(folder / "logits.npy", images, 2, 0.0, np.full(CLASSES, 3, np.float32))


def _fill(path: Path, images: int, seed: int, shift: float, deviations: Any) -> None:
    import numpy as np

    rng = np.random.default_rng(seed)
    shape = (images, len(deviations))
    file = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    for start in range(0, images, BLOCK):
        rows = file[start : start + BLOCK]
        rows[:] = shift + deviations * rng.standard_normal(rows.shape, dtype=np.float32)
    file.flush()


def _work(parent: Connection, name: str, folder: Path) -> None:
    """A process that measures one metric, and answers with seconds, bytes, bytes with mapped pages, and the value."""
    import numpy as np

    from ebm_tf.evaluation import distances, extrapolation, intervals, manifold  # noqa: F401  (not timed)

    sides = {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in folder.glob("*.npy")}
    memory = _Peak()
    begun = time.perf_counter()
    value = METRICS[name](sides, folder)
    parent.send((time.perf_counter() - begun, *memory.end(), value))


class _Peak:
    """The most memory that this process holds until `end`, looked at 50 times a second."""

    def __init__(self) -> None:
        self.own = self.whole = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self) -> None:
        import psutil

        process = psutil.Process()
        while True:
            held = process.memory_info()
            self.own = max(self.own, held.rss - getattr(held, "shared", 0))
            self.whole = max(self.whole, held.rss)
            if self.ended.wait(0.02):
                return

    def end(self) -> tuple[int, int]:
        self.ended.set()
        self.thread.join()
        return self.own, self.whole


def _moments(sides: Any, folder: Path) -> str:
    from ebm_tf.evaluation.statistics import Moments

    moments = Moments.of(sides["reference"])
    moments.save(folder / "moments.npz")
    return f"n {moments.count}"


def _reference(folder: Path) -> Any:
    from ebm_tf.evaluation.statistics import Moments

    return Moments.load(folder / "moments.npz")


def _frechet(sides: Any, folder: Path) -> str:
    from ebm_tf.evaluation.distances import frechet_distance
    from ebm_tf.evaluation.statistics import Moments

    return f"{frechet_distance(_reference(folder), Moments.of(sides['samples'])):.4f}"


def _infinity(sides: Any, folder: Path) -> str:
    from ebm_tf.evaluation.extrapolation import frechet_distance_at_infinity

    return f"{frechet_distance_at_infinity(sides['samples'], _reference(folder)).value:.4f}"


def _kid(sides: Any, folder: Path) -> str:
    from ebm_tf.evaluation.distances import kernel_distance

    found = kernel_distance(sides["samples"], sides["reference"])
    return f"{found.mean:.6f} +- {found.spread:.6f}"


def _inception_score(sides: Any, folder: Path) -> str:
    from ebm_tf.evaluation.distances import inception_score_from_logits

    found = inception_score_from_logits(sides["logits"])
    return f"{found.mean:.3f} +- {found.spread:.3f}"


def _manifold(sides: Any, folder: Path) -> str:
    from ebm_tf.evaluation.manifold import manifold

    numbers = manifold(sides["reference"], sides["samples"])[:4]
    return " ".join(f"{number:.4f}" for number in numbers)


def _interval(name: str, *which: str) -> Callable[[Any, Path], str]:
    def measure(sides: Any, folder: Path) -> str:
        from ebm_tf.evaluation import intervals

        inputs = [_reference(folder) if part == "moments" else sides[part] for part in which]
        low, high, _ = getattr(intervals, name)(*inputs)
        return f"[{low:.6g}, {high:.6g}]"

    return measure


def _mean_interval(sides: Any, folder: Path) -> str:
    from ebm_tf.evaluation.intervals import mean_interval

    low, high, _ = mean_interval(sides["samples"][:, 0])
    return f"[{low:.6g}, {high:.6g}]"


METRICS: dict[str, Callable[[Any, Path], str]] = {
    "moments": _moments,
    "FD": _frechet,
    "FD-infinity": _infinity,
    "KID": _kid,
    "IS": _inception_score,
    "FD interval": _interval("frechet_interval", "samples", "moments"),
    "IS interval": _interval("inception_score_interval", "logits"),
    "interval of a mean": _mean_interval,
    "precision recall density coverage": _manifold,
    "KID interval": _interval("kernel_interval", "samples", "reference"),
}

if __name__ == "__main__":
    main()
