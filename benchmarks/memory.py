"""What memory is held: by a large iteration, over many small ones, and by the processes of a run of the digits.

- iteration: peak resident set of a process that takes one training iteration of table 2 at 128x128. K changes time
  and not memory, since a chain is a loop through whose last step alone a gradient goes; so few steps are taken by
  default.
- growth: the resident set of a process that trains on digits, read every --every iterations after the first
  --settling, in which what has a bound fills up (the guard's memory of energies, the heap). The slope is that of the
  means of blocks, by least squares, with its standard error: no growth is a slope within two.
- run: `run --task EvaluateFID` of the digits on a root of its own, with fewer training steps (memory does not depend
  on their number, as `growth` shows). Each process's peak is what the kernel tells of it (on systems without /proc,
  what was seen 20 times a second).
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import programs
from benchmarks.tables import Table
from ebm_tf.errors import EBMError
from ebm_tf.memory import MIB, PEAK, peak_mib

BLOCKS = 20
SECONDS_BETWEEN_LOOKS = 0.05
STAGE = re.compile(r"ebm_tf\.stages (\w+)")


def parsed() -> argparse.Namespace:
    """The options."""
    parser = programs.parser("memory", __doc__)
    parser.add_argument("--only", nargs="*", default=[*KINDS], choices=[*KINDS], help="what is measured")
    parser.add_argument("--steps", type=int, default=2, help="K of the iteration; default %(default)s")
    parser.add_argument("--width", type=float, default=1.0, help="of table 2; default %(default)s")
    parser.add_argument("--batch", type=int, default=8, help="of the iteration; default %(default)s")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--iterations", type=int, default=2000, help="of the digits; default %(default)s")
    parser.add_argument(
        "--settling", type=int, default=2000, help="iterations before these; default %(default)s"
    )
    parser.add_argument("--every", type=int, default=10, help="iterations between looks; default %(default)s")
    parser.add_argument("--training-steps", type=int, default=500, help="of the run; default %(default)s")
    return parser.parse_args()


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The answers of what is measured, by its name; each in a process of its own."""
    if len(options.only) == 1:
        (kind,) = options.only
        return {kind: KINDS[kind](options)}
    found = {}
    for kind in options.only:
        programs.to_stderr(f"memory: {kind}")
        given = {name.replace("_", "-"): value for name, value in vars(options).items()}
        passed = [
            part
            for name, value in given.items()
            if name not in ("only", "json")
            for part in (f"--{name}", value)
        ]
        found.update(programs.answer(programs.ours("memory", "--only", kind, *passed)))
    return found


def _iteration(options: argparse.Namespace) -> dict[str, Any]:
    from benchmarks import subjects
    from ebm_tf.config import Augmentation, Compute, Model

    model = Model(architecture="table2", width=options.width, scales=3, precision=options.precision)
    trainer = subjects.full_trainer(
        Compute(), (128, 128, 3), options.batch, options.steps, model, Augmentation()
    )
    step, before = subjects.iteration(trainer), peak_mib()
    step()
    begun = time.perf_counter()
    step()
    return {
        "peak_mib": peak_mib(),
        "before_mib": before,
        "seconds": time.perf_counter() - begun,
        "parameters": subjects.parameters_of(trainer),
        "width": options.width,
        "batch": options.batch,
        "steps": options.steps,
        "precision": options.precision,
    }


def _growth(options: argparse.Namespace) -> dict[str, Any]:
    from itertools import islice

    import psutil

    from benchmarks import subjects
    from ebm_tf.config_files import load_experiment
    from ebm_tf.training.health import Guard
    from ebm_tf.training.loop import Position, steps_from

    experiment = load_experiment("digits")
    trainer, process = subjects.digits_trainer(experiment), psutil.Process()
    steps = steps_from(Position(), trainer, *subjects.digits(), Guard(experiment.health))
    at, held = [], []
    for number, _ in enumerate(islice(steps, options.settling + options.iterations), -options.settling):
        if number >= 0 and number % options.every == 0:
            at.append(number)
            held.append(process.memory_info().rss / 1024)
    if len(at) < 2 * BLOCKS:
        raise EBMError(
            f"{len(at)} looks at the memory are too few for {BLOCKS} blocks of 2; give more --iterations or a "
            "smaller --every"
        )
    slope, error = slope_of(at, held)
    return {
        "kib_per_100": 100 * slope,
        "standard_error": 100 * error,
        "iterations": options.iterations,
        "settling": options.settling,
        "from_mib": held[0] / 1024,
        "to_mib": held[-1] / 1024,
    }


def slope_of(at: list[int], held: list[float]) -> tuple[float, float]:
    """Slope and its standard error, of the means of `BLOCKS` blocks: neighbours in time are alike, blocks less so."""
    import numpy as np

    x, y = (
        np.array([block.mean() for block in np.array_split(np.asarray(v, float), BLOCKS)]) for v in (at, held)
    )
    x -= x.mean()
    slope = float(x @ y / (x @ x))
    rest = y - y.mean() - slope * x
    return slope, float(np.sqrt(rest @ rest / (BLOCKS - 2) / (x @ x)))


def _run(options: argparse.Namespace) -> dict[str, Any]:
    import psutil

    peaks: dict[str, float] = {}
    most_together = 0.0
    settings = [f"training.steps={options.training_steps}", f"selection.every={options.training_steps}"]
    with tempfile.TemporaryDirectory() as root:
        sets = [part for setting in settings for part in ("--set", setting)]
        command = [sys.executable, "cli.py", "run", "--task", "EvaluateFID", "--root", root, *sets]
        log = Path(root) / "said"
        with (
            log.open("w") as said,
            subprocess.Popen(command, cwd=programs.REPOSITORY, stdout=said, stderr=said) as run,
        ):
            parent = psutil.Process(run.pid)
            while run.poll() is None:
                held = 0.0
                for process in _with_children(parent):
                    now, peak = _held_mib(process)
                    held += now
                    name = _name(process, parent)
                    peaks[name] = max(peaks.get(name, 0.0), peak)
                most_together = max(most_together, held)
                time.sleep(SECONDS_BETWEEN_LOOKS)
        if run.returncode:
            words = log.read_text().strip().splitlines()
            raise EBMError(
                f"the run ended with {run.returncode}: {words[-1] if words else 'it said nothing'}"
            )
    return {"peaks_mib": peaks, "together_mib": most_together, "settings": settings}


def _with_children(parent: Any) -> list[Any]:
    import psutil

    try:
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _held_mib(process: Any) -> tuple[float, float]:
    """What a process holds, and the most that it held so far."""
    import psutil

    try:
        now = process.memory_info().rss / MIB
        status = Path(f"/proc/{process.pid}/status").read_text()
        return now, int(PEAK.findall(status)[0]) / 1024
    except (psutil.NoSuchProcess, IndexError, ProcessLookupError):
        return 0.0, 0.0
    except OSError:  # no /proc here
        return now, now


def _name(process: Any, parent: Any) -> str:
    """Of the stage that a process runs."""
    import psutil

    if process == parent:
        return "the run itself"
    try:
        found = STAGE.search(" ".join(process.cmdline()))
    except psutil.Error:
        found = None
    return found[1] if found else "other processes"


KINDS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "iteration": _iteration,
    "growth": _growth,
    "run": _run,
}


def tables(found: dict[str, Any]) -> list[Table]:
    """One table for each kind that was measured."""
    made = []
    if each := found.get("iteration"):
        made.append(
            Table(
                "Memory of an iteration at 128x128",
                f"One training iteration of table 2 at three scales, width {each['width']:g}, batch {each['batch']}, "
                f"{each['precision']}, K {each['steps']}: {each['parameters']:,} parameters. Before is what the "
                "process held when it began: TensorFlow, weights, and a full buffer of 10,000 images (469 MiB).",
                ("peak MiB", "before MiB", "seconds"),
                ((f"{each['peak_mib']:,.0f}", f"{each['before_mib']:,.0f}", f"{each['seconds']:.1f}"),),
            )
        )
    if each := found.get("growth"):
        made.append(
            Table(
                "Growth of memory over training",
                f"The resident set of a process that trains on digits, over {each['iterations']:,} iterations "
                f"that follow {each['settling']:,} others. A slope within two standard errors of 0 is no growth.",
                ("KiB per 100 iterations", "standard error", "MiB at first", "MiB at last"),
                (
                    (
                        f"{each['kib_per_100']:+.2f}",
                        f"{each['standard_error']:.2f}",
                        f"{each['from_mib']:,.0f}",
                        f"{each['to_mib']:,.0f}",
                    ),
                ),
            )
        )
    if each := found.get("run"):
        peaks = sorted(each["peaks_mib"].items(), key=lambda pair: -pair[1])
        made.append(
            Table(
                "Memory of a run of the digits",
                f"`run --task EvaluateFID` with {', '.join(each['settings'])}. Together is the most that its "
                "processes held at the same time; pages that they share count for each.",
                ("process", "peak MiB"),
                (
                    *((name, f"{peak:,.0f}") for name, peak in peaks),
                    ("together", f"{each['together_mib']:,.0f}"),
                ),
            )
        )
    return made


if __name__ == "__main__":
    programs.run(parsed(), measure, tables)
